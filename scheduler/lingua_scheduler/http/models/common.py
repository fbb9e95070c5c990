"""Models that several subjects share."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lingua_state.models import Pair
from lingua_wire.ids import Id, Language

Millis = Annotated[int, Field(description="Milliseconds of the store's clock (Unix time).")]
CursorText = Annotated[str, StringConstraints(max_length=256, pattern=r"^[!-~]*$")]

Tenant = Annotated[str, StringConstraints(max_length=128, pattern=r"^[A-Za-z0-9._-]+$")]

__all__ = [
    "Answer", "Asked", "CursorText", "Id", "Language", "Millis", "Page", "PageQuery", "PairView", "ProblemView",
    "Tenant",
]  # fmt: skip


class Asked(BaseModel):
    """What a caller sends: nothing unknown, so that a misspelt name is told and not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """What the API answers, made from records by attribute."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class PageQuery(Asked):
    """A part of a list: begin without a cursor, go on with ``next_cursor`` until it is null."""

    limit: int = Field(50, ge=1, le=500, description="Items of one page, at most.")
    cursor: CursorText | None = Field(None, description="`next_cursor` of the page before.")


class Page(Answer):
    """One page of a list."""

    now_ms: Millis
    next_cursor: str | None = Field(description="Null at the end of the list.")


class PairView(Answer):
    """A directed language pair."""

    source: str
    target: str

    @classmethod
    def of(cls, pair: Pair) -> Self:
        """Show a pair."""
        return cls(source=pair.source, target=pair.target)


class FieldError(Answer):
    """One field that was wrong."""

    field: str
    message: str


class ProblemView(Answer):
    """An error (RFC 9457)."""

    type: str = Field(description="A page about this kind of error.")
    title: str
    status: int
    detail: str
    code: str = Field(description="A stable word to decide on.")
    retryable: bool = Field(description="Whether the same call may succeed later.")
    errors: list[FieldError] | None = None


class ErrorCodeView(Answer):
    """What one error code means."""

    code: str
    title: str
    status: int
    retryable: bool
