"""A bare aiohttp server that does nothing but answer: the reference for what a WebSocket costs by itself.

``python bench/echo.py PORT`` serves until it is terminated. On ``/frames`` a binary frame with the LAST flag gets a
small JSON message and one second of speech back; on ``/messages`` each text message gets one of a result's size.
"""

from __future__ import annotations

import sys

import orjson
import uvloop
from aiohttp import WSMsgType, web

from lingua_wire import frames

SPEECH = bytes(32_000)
RESULT = orjson.dumps({"type": "translation_result", "tts_audio": "A" * 42_668, "text_asr": "x" * 40})
NOTICE = orjson.dumps({"type": "translation_result", "text_asr": "x" * 40, "text_translated": "x" * 40})


async def answer_frames(request: web.Request) -> web.WebSocketResponse:
    """Take frames; answer the last one of each utterance."""
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.BINARY and frames.unpack(message.data).last:
            await socket.send_frame(NOTICE, WSMsgType.TEXT)
            await socket.send_bytes(frames.pack(frames.Kind.SERVER_TTS, SPEECH, last=True))
    return socket


async def answer_messages(request: web.Request) -> web.WebSocketResponse:
    """Parse each text message and answer it with a result."""
    socket = web.WebSocketResponse(compress=False, max_msg_size=4 * 1024 * 1024)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            orjson.loads(message.data)
            await socket.send_frame(RESULT, WSMsgType.TEXT)
    return socket


def main() -> None:
    """Serve on the port named on the command line."""
    app = web.Application()
    app.router.add_get("/frames", answer_frames)
    app.router.add_get("/messages", answer_messages)
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
