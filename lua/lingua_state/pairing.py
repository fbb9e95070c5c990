"""Pairing codes: whether one opens anything, asked at most so often that nobody finds one by trying."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lingua_state.errors import GuessesUsedUp, PairingCodeWrong

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lingua_state.client import Store


async def check(store: Store, code_sha256: str, guessers: Sequence[str], *, tries: int, window_ms: int) -> None:
    """Look at a pairing code for whoever asks; all of ``guessers`` count, on whichever instance they ask.

    A code is known while a class of nodes that it opens is listed, that is for a minute after its last node went.

    :raises PairingCodeWrong: no class has it. :raises GuessesUsedUp: one of them was wrong ``tries`` times within
        ``window_ms``; a right code is refused too then.
    """
    keys = [store.keys.paired(code_sha256), *(store.keys.guesses(_hidden(name)) for name in guessers)]
    outcome, *rest = await store.scripts.run("pairing_try", keys, [tries, window_ms])
    if outcome == "wrong":
        raise PairingCodeWrong("no node has this pairing code")
    if outcome == "limited":
        raise GuessesUsedUp(f"for {rest[0]} ms more")


def _hidden(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]
