"""Sizes and counts of the protocol. The programs' settings take their defaults from here."""

from __future__ import annotations

from typing import Final

#: A JSON message without audio.
JSON_BYTES: Final = 64 * 1024
#: A JSON message with base64 audio, from a client.
JSON_AUDIO_BYTES: Final = 1024 * 1024
#: A JSON message from a node: 20 s of 24 kHz speech are 1.3 MB of base64.
NODE_JSON_BYTES: Final = 4 * 1024 * 1024
#: One binary frame from a client.
FRAME_BYTES: Final = 256 * 1024
#: One binary frame from a node: the speech of one job.
NODE_FRAME_BYTES: Final = 4 * 1024 * 1024
#: How deep arrays and objects may nest.
JSON_DEPTH: Final = 32
#: Commas in a message above ``JSON_BYTES``: more is a flood of tiny values, not speech.
JSON_COMMAS: Final = 65_536
#: Duration of one chunk of audio.
CHUNK_MIN_MS: Final = 10
CHUNK_MAX_MS: Final = 1000
ID_CHARS: Final = 128
TEXT_CHARS: Final = 64 * 1024
LIST_ITEMS: Final = 512
