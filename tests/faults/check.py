"""check.py FOLDER: look again for every invariant in what was recorded of a fault run. Exit code 1: one is broken."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kit.verdict import judge, read


def main() -> int:
    """Check one folder."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.stderr.write("name a folder that a fault run left, such as build/faults/F6.test_a_node_...\n")
        return 2
    verdict = judge(read(Path(sys.argv[1])))
    sys.stdout.write(f"{verdict}\nlooked at: {verdict.looked_at}\n")
    return 1 if verdict.broken else 0


if __name__ == "__main__":
    sys.exit(main())
