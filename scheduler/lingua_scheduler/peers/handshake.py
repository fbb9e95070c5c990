"""How two instances prove to each other that they share the secret, before anything else is said.

The listener speaks first (its name and a number for one use), the caller answers with its own and a proof over both,
the listener proves itself in turn. Nothing that was overheard fits another connection.

A listener that confirms what arrives says so; a caller that numbers what it sends then names its stream. Instances of
older versions do neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from lingua_scheduler.auth import PeerProof, new_nonce
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse, web

    Socket = web.WebSocketResponse | ClientWebSocketResponse

_STREAM_CHARS: Final = 64


async def greet_as_caller(socket: Socket, secret: str, caller: str, listener: str, stream: str) -> bool:
    """Prove this instance to ``listener`` and be sure that it is there; True: it confirms what arrives.

    :raises WireError: ``UNAUTHENTICATED``, it is not the one that was meant, or does not know the secret.
    """
    hello = await _receive(socket)
    if hello.get("instance_id") != listener:
        raise _refused("another instance answers at this address")
    proof = PeerProof(caller, listener, new_nonce(), str(hello.get("nonce", "")))
    told = {"instance_id": caller, "nonce": proof.caller_nonce, "mac": proof.caller_mac(secret), "stream": stream}
    await _send(socket, told)
    answer = await _receive(socket)
    if not proof.listener_proves(secret, str(answer.get("mac", ""))):
        raise _refused("the instance does not know the shared secret")
    return hello.get("confirms") is True


async def greet_as_listener(socket: Socket, secret: str, listener: str) -> tuple[str, str]:
    """Let a caller prove itself; returns its name and that of its stream, "" if it has none.

    :raises WireError: ``UNAUTHENTICATED``.
    """
    nonce = new_nonce()
    await _send(socket, {"instance_id": listener, "nonce": nonce, "confirms": True})
    answer = await _receive(socket)
    caller = str(answer.get("instance_id", ""))
    proof = PeerProof(caller, listener, str(answer.get("nonce", "")), nonce)
    if not proof.caller_proves(secret, str(answer.get("mac", ""))):
        raise _refused("the caller does not know the shared secret")
    await _send(socket, {"mac": proof.listener_mac(secret)})
    return caller, str(answer.get("stream", ""))[:_STREAM_CHARS]


async def _send(socket: Socket, message: dict[str, Any]) -> None:
    await socket.send_bytes(orjson.dumps(message))


async def _receive(socket: Socket) -> dict[str, Any]:
    try:
        message = orjson.loads(await socket.receive_bytes())
    except (TypeError, ValueError) as error:
        raise _refused("the handshake was not kept") from error
    if not isinstance(message, dict):
        raise _refused("the handshake was not kept")
    return message


def _refused(message: str) -> WireError:
    return WireError(ErrorCode.UNAUTHENTICATED, message, close=CloseCode.UNAUTHENTICATED)
