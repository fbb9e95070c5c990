"""``python -m lingua_client.cli.watcher MARK``: ends the programs of a command that died without ending them itself.

The command holds the other end of standard input and writes the id of each program it starts. When it ends them itself
it says so; when the pipe just closes, nobody else will.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

from lingua_client.cli.processes import DONE, processes_of

_TERM_GRACE_S = 10.0
_POLL_S = 0.1


def main() -> int:
    """Wait for the end of the command, then for that of its programs."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with the command and with nothing else
    pids: set[int] = set()
    for line in sys.stdin:
        if line.strip() == DONE:
            return 0
        pids.add(int(line))
    end_all(sys.argv[1], pids)
    return 0


def end_all(mark: str, pids: set[int]) -> None:
    """Ask every process of the programs to end, and kill what is left after a while."""
    for number, grace_s in ((signal.SIGTERM, _TERM_GRACE_S), (signal.SIGKILL, 1.0)):
        left = processes_of(mark, pids)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        end_s = time.monotonic() + grace_s
        while processes_of(mark, pids) and time.monotonic() < end_s:
            time.sleep(_POLL_S)


if __name__ == "__main__":
    sys.exit(main())
