"""``python -m lingua_client.cli.store FOLDER PORT``: a private store in a process (and session) of its own.

So the store outlives the schedulers when a Ctrl-C reaches a whole terminal, and ends like every other program.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path


def main() -> int:
    """Start the store, wait for SIGTERM or for its end, stop it."""
    from lingua_state import embedded  # noqa: PLC0415 - not there without the extra
    from lingua_state.errors import StateError  # noqa: PLC0415

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server = embedded.start(Path(sys.argv[1]), port=int(sys.argv[2]))
    except StateError as trouble:
        sys.stderr.write(f"{trouble.message}\n")
        return 1
    try:
        return server.process.wait()
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
