"""Where everything random in a run comes from: printed, and set again by ``LINGUA_SEED``."""

from __future__ import annotations

import os
import random
import sys


def chosen_seed() -> int:
    """Choose a seed, or take the one that was asked for, and print it."""
    seed = int(os.environ.get("LINGUA_SEED") or 0) or random.SystemRandom().randrange(1, 1 << 32)
    sys.stdout.write(f"LINGUA_SEED={seed}\n")
    return seed
