"""The start of a session: what is asked for, and the handshake up to the acknowledgement."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from lingua_client import refusals
from lingua_client.errors import CannotReachError, LinguaError
from lingua_client.link import Link, open_link
from lingua_client.settings import VERSION, SessionSettings
from lingua_client.sources import SAMPLE_RATE
from lingua_wire import session_messages as wire
from lingua_wire.audio import AudioFormat
from lingua_wire.fields import Extension, Message, Mode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lingua_client.address import Address

_ACK_S = 15.0
Awaited = TypeVar("Awaited", bound=Message)


def session_init(
    source: str, target: str, mode: Mode, extensions: Sequence[str], settings: SessionSettings
) -> wire.SessionInit:
    """Write the ``session_init`` for what the caller wants.

    :raises LinguaError: a language or a setting is not one (``BAD_SETTINGS``).
    """
    two_way = mode is Mode.TWO_WAY_AUTO
    try:
        return wire.SessionInit(
            client_version=VERSION,
            platform="python",
            src_lang="auto" if two_way else source,
            tgt_lang=target,
            mode=mode,
            lang_a=source if two_way else None,
            lang_b=target if two_way else None,
            auto_langs=(source, target) if two_way else (),
            dialect=settings.dialect,
            pairing_code=settings.pairing_code,
            tenant_id=settings.tenant,
            enable_streaming_asr=settings.partial_interval_ms > 0,
            partial_update_interval_ms=settings.partial_interval_ms or None,
            trace_id=settings.trace_id,
            **_extended(extensions, settings),
        )
    except ValidationError as trouble:
        wrong = trouble.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in wrong["loc"])
        raise LinguaError(
            "BAD_SETTINGS", f"{where}: {wrong['msg']}", "Languages are codes such as en, es, zh."
        ) from None


def _extended(extensions: Sequence[str], settings: SessionSettings) -> dict[str, Any]:
    """Give the fields that exist only for a client that asks for extensions."""
    if not extensions:
        return {}
    return {
        "extensions": tuple(Extension(name).value for name in extensions),
        "audio_format": AudioFormat.PCM16,
        "sample_rate": SAMPLE_RATE,
        "pipeline": None if settings.speech else wire.Pipeline(use_tts=False),
        "pause_ms": settings.pause_ms,
        "vad_silence_ms": settings.vad_silence_ms,
        "max_duration_ms": settings.max_duration_ms,
    }


async def open_session(
    address: Address, token: str | None, init: wire.SessionInit, timeout_s: float
) -> tuple[Link, wire.SessionInitAck]:
    """Open a socket and a session on it.

    :raises CannotReachError: nobody answers, or nobody acknowledges.
    :raises RefusedError: the session was refused.
    """
    link = await open_link(address, token, timeout_s)
    return link, await greet(link, init)


async def greet(link: Link, init: wire.SessionInit) -> wire.SessionInitAck:
    """Open a session, or go on with one, over an open socket; the socket is closed if that fails.

    :raises CannotReachError: nobody acknowledges.
    :raises LinguaError: the session was refused.
    """
    try:
        async with asyncio.timeout(_ACK_S):
            await link.send(init)
            return await _awaited(link, wire.SessionInitAck)
    except TimeoutError as trouble:
        await link.close()
        raise CannotReachError("CANNOT_REACH", "the service did not acknowledge the session") from trouble
    except BaseException:
        await link.close()
        raise


async def resumed(link: Link) -> wire.SessionResumed:
    """Wait for where the session goes on, after its acknowledgement.

    :raises LinguaError: the connection is lost again, or nothing comes.
    """
    try:
        async with asyncio.timeout(_ACK_S):
            return await _awaited(link, wire.SessionResumed)
    except TimeoutError as trouble:
        raise CannotReachError("CANNOT_REACH", "the service did not say where the session goes on") from trouble


async def _awaited(link: Link, kind: type[Awaited]) -> Awaited:
    last_error: tuple[str, str] | None = None
    while (received := await link.receive()) is not None:
        if isinstance(received, kind):
            return received
        if isinstance(received, wire.Error):
            last_error = (received.code, received.message)
        elif not isinstance(received, Message):
            continue
    raise refusals.from_close(link.close_code, last_error)
