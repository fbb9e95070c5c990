"""A WebSocket by hand, on a bare socket: nothing is read, answered or bounded but what the caller says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)
_BLOCK = 65_536


class RefusedUpgrade(Exception):
    """The answer to the handshake was no. ``retry_after_s`` is what it said about coming again."""

    def __init__(self, status: int, retry_after_s: float | None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.retry_after_s = retry_after_s


class BareSocket:
    """One connection; ``answer`` is the head of the answer to its handshake, ``close_code`` what it was closed with."""

    def __init__(self, held: socket.socket) -> None:
        self.held = held
        self.answer = ""
        self.close_code: int | None = None
        self._heard = bytearray()
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def dial(cls, url: str, source: str = "") -> Self:
        """Connect, and say nothing. :raises OSError: nobody takes it."""
        parts = urlsplit(url)
        held = socket.socket()
        held.setblocking(False)
        try:
            if source:
                held.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(held, (parts.hostname, parts.port))
        except BaseException:
            held.close()
            raise
        return cls(held)

    @classmethod
    async def open(cls, url: str, path: str = "/ws/session", more: str = "") -> Self:
        """Connect and upgrade; ``more`` are header lines. :raises OSError: it broke. :raises RefusedUpgrade: no."""
        made = await cls.dial(url)
        try:
            await made._upgrade(handshake(path, more))
        except BaseException:
            made.cut()
            raise
        return made

    async def _upgrade(self, asking: bytes) -> None:
        await self.send_raw(asking)
        while (end := self._heard.find(b"\r\n\r\n")) < 0:
            await self._more()
        self.answer = self._heard[:end].decode("latin-1")
        del self._heard[: end + 4]
        status = int(self.answer.split(" ", 2)[1])
        if status != 101:
            raise RefusedUpgrade(status, _retry_after(self.answer))

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are; waits while nobody takes them."""
        await self._loop.sock_sendall(self.held, data)

    async def send(self, data: bytes, kind: int = TEXT) -> None:
        """Send one whole frame."""
        await self.send_raw(frame(data, kind))

    async def say(self, message: dict[str, Any]) -> None:
        """Send a message."""
        await self.send(orjson.dumps(message))

    async def receive(self) -> tuple[int, bytes]:
        """Give the next frame, pings answered. :raises EOFError: the connection ended. :raises OSError: it broke."""
        while True:
            while (found := self._parse()) is None:
                await self._more()
            kind, data = found
            if kind == PING:
                await self.send(data, PONG)
                continue
            if kind == CLOSE:
                self.close_code = struct.unpack("!H", data[:2])[0] if len(data) >= 2 else None
            return kind, data

    async def until_closed(self) -> int | None:
        """Read until the end; give the close code, None: it ended without one."""
        try:
            while self.close_code is None:
                await self.receive()
        except (EOFError, OSError):
            pass
        return self.close_code

    def cut(self) -> None:
        """End the connection by a reset, without a word. Safe to repeat."""
        if self.held.fileno() < 0:
            return
        with_reset = struct.pack("ii", 1, 0)
        self.held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, with_reset)
        self.held.close()

    def shut(self) -> None:
        """End the connection without a close frame; who reads it finds the end."""
        with contextlib.suppress(OSError):
            self.held.shutdown(socket.SHUT_RDWR)

    async def _more(self) -> None:
        data = await self._loop.sock_recv(self.held, _BLOCK)
        if not data:
            raise EOFError
        self._heard += data

    def _parse(self) -> tuple[int, bytes] | None:
        heard = self._heard
        if len(heard) < 2:
            return None
        size, at = heard[1] & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(heard) < at + width:
                return None
            size, at = int.from_bytes(heard[at : at + width], "big"), at + width
        if len(heard) < at + size:
            return None
        found = heard[0] & 0x0F, bytes(heard[at : at + size])
        del heard[: at + size]
        return found


def handshake(path: str, more: str = "") -> bytes:
    """Write what asks for an upgrade; ``more`` are header lines."""
    return _HANDSHAKE.format(path=path, more=more).encode()


def frame(data: bytes, kind: int = TEXT, *, fin: bool = True, reserved: int = 0) -> bytes:
    """Write a frame as a client does, masked with zeros."""
    head = bytes(((0x80 if fin else 0) | reserved | kind,))
    if len(data) < 126:
        head += bytes((0x80 | len(data),))
    elif len(data) < 65_536:
        head += b"\xfe" + struct.pack("!H", len(data))
    else:
        head += b"\xff" + struct.pack("!Q", len(data))
    return head + bytes(4) + data


def _retry_after(answer: str) -> float | None:
    for line in answer.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "retry-after":
            return float(value)
    return None
