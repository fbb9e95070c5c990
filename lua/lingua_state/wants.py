"""What a job asks for, as one text: it names the queue the job waits in, and scripts read it (prelude_choice.lua)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lingua_state.keys import pairing_scope, tenant_scope
from lingua_state.models import AUTO, Pair

if TYPE_CHECKING:
    from lingua_state.models import Access, DispatchRequest

_WANT = re.compile(r"([^:\[<@#]+):([^\[<@#]+)(?:<([^>]+)>|\[([^\]]+)\])?(?:@([^#]+))?(?:#(.+))?")
_WORD = re.compile(r"[^\s:,=\[\]<>@#{}]+")


@dataclass(frozen=True, slots=True)
class Want:
    """A want, taken apart. Both directions of ``languages`` if ``both_ways``, else they are what ``auto`` may be."""

    pair: Pair
    languages: tuple[str, ...] = ()
    both_ways: bool = False
    tenant: str = ""
    pairing: str | None = None

    def __str__(self) -> str:
        names = ",".join(self.languages)
        middle = f"<{names}>" if self.both_ways else f"[{names}]" if names else ""
        return f"{self.pair}{middle}{''.join(self.scopes)}"

    @property
    def scopes(self) -> tuple[str, ...]:
        """Name the scopes the asker may see beside everybody's."""
        tenant = (tenant_scope(self.tenant),) if self.tenant else ()
        return (*tenant, pairing_scope(self.pairing)) if self.pairing else tenant


def want_of(request: DispatchRequest) -> Want:
    """Say what a request asks for; languages count only with ``auto`` or both directions.

    :raises ValueError: a name has a character that names must not have, or both directions of other than two languages.
    """
    languages = tuple(sorted(set(request.languages))) if request.both_ways or request.pair.source == AUTO else ()
    names = (request.pair.source, request.pair.target, *languages, *filter(None, (request.tenant, request.pairing)))
    for name in names:
        if not _WORD.fullmatch(name):
            raise ValueError(f"not a language, tenant or digest: {name!r}")
    if request.both_ways and len(languages) != 2:
        raise ValueError(f"both directions need two languages, not {len(languages)}")
    return Want(request.pair, languages, request.both_ways, request.tenant, request.pairing)


def read_want(text: str) -> Want:
    """Read what ``str(want)`` wrote.

    :raises ValueError: it did not write this.
    """
    match = _WANT.fullmatch(text)
    if match is None:
        raise ValueError(f"not a want: {text!r}")
    source, target, both, some, tenant, pairing = match.groups()
    languages = tuple((both or some or "").split(",")) if both or some else ()
    return Want(Pair(source, target), languages, bool(both), tenant or "", pairing)


def scopes_of(access: Access) -> tuple[str, ...]:
    """Name the scopes in which a class is listed: everybody's, or its tenants' and its pairing code's."""
    if access.public:
        return ("",)
    pairing = (pairing_scope(access.pairing),) if access.pairing else ()
    return tuple(tenant_scope(tenant) for tenant in sorted(set(access.tenants))) + pairing
