"""A page of records: what lists are read in, so that no list is ever read whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some records, and the cursor of the next page; None: this was the last."""

    items: tuple[T, ...]
    cursor: str | None = None


class BadCursor(ValueError):
    """A cursor that no page of this list gave."""
