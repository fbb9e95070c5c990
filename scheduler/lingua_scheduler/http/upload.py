"""Reading speech that comes over HTTP: a WAV file as the body, or a form with the file and its fields."""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

from aiohttp import BodyPartReader, web

from lingua_scheduler.http.endpoint import read_bytes
from lingua_scheduler.http.models.speech import TranslateQuery
from lingua_scheduler.http.problems import ProblemError
from lingua_scheduler.http.uploads import UPLOADS
from lingua_wire.audio import Wav, parse_wav
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lingua_scheduler.http.uploads import Upload

#: The sound itself, as PCM16 mono: 65 s at 16 kHz. What nodes accept in one job bounds it.
MAX_PCM_BYTES = 2 * 1024 * 1024

#: A body: the sound twice (stereo), and room for headers and form fields.
MAX_BODY_BYTES = 2 * MAX_PCM_BYTES + 64 * 1024

#: The form field that holds the file.
FILE_FIELD = "audio"

_MAX_FIELD_BYTES = 1_024
_MAX_PARTS = 20


async def read_speech(request: web.Request, query: TranslateQuery) -> tuple[TranslateQuery, bytes, int]:
    """Read a request for translation; returns its settings, PCM16 mono and the sample rate.

    Form fields win over query parameters of the same name.

    :raises ProblemError: too large, not well formed, or languages are missing.
    :raises WireError: no WAV file, or one that is not PCM16.
    """
    if request.content_type == "multipart/form-data":
        fields, file = await _read_form(request)
        query = TranslateQuery.model_validate({**query.model_dump(exclude_none=True), **fields})
    else:
        file = await read_bytes(request, MAX_BODY_BYTES)
    if query.src is None or query.tgt is None:
        missing = "src" if query.src is None else "tgt"
        raise ProblemError(ErrorCode.INVALID_MESSAGE, f"{missing}: a language is wanted, as a parameter or form field.")
    return query, *pcm_of(file)


def pcm_of(file: bytes) -> tuple[bytes, int]:
    """Return the sound of a WAV file as PCM16 mono and its sample rate.

    :raises WireError: no WAV file, or one that is not PCM16. :raises ProblemError: too long, or empty.
    """
    wav = parse_wav(file)
    if len(wav.pcm) // wav.channels > MAX_PCM_BYTES:
        raise ProblemError(ErrorCode.TOO_LARGE, f"At most {MAX_PCM_BYTES} bytes of PCM16 mono are accepted here.")
    if wav.samples == 0:
        raise ProblemError(ErrorCode.INVALID_MESSAGE, "The WAV file holds no sound.")
    return _mono(wav), wav.sample_rate


def _mono(wav: Wav) -> bytes:
    """Return one channel: the one there is, or the mean of the two."""
    if wav.channels == 1:
        return bytes(wav.pcm)
    both = array("h", bytes(wav.pcm))
    if sys.byteorder == "big":
        both.byteswap()
    mean = array("h", [(left + right) >> 1 for left, right in zip(both[::2], both[1::2], strict=True)])
    if sys.byteorder == "big":
        mean.byteswap()
    return mean.tobytes()


async def _read_form(request: web.Request) -> tuple[dict[str, str], bytes]:
    fields: dict[str, str] = {}
    file: bytes | None = None
    left_bytes = MAX_BODY_BYTES
    try:
        with request.app[UPLOADS].begin() as upload:
            async for part in _parts(request):
                limit = left_bytes if part.name == FILE_FIELD else _MAX_FIELD_BYTES
                content = await _read_part(part, limit, upload)
                left_bytes -= len(content)
                if part.name == FILE_FIELD:
                    file = content
                else:
                    fields[str(part.name)] = content.decode()
    except (ValueError, AssertionError, EOFError) as error:
        raise ProblemError(ErrorCode.INVALID_MESSAGE, "The form is not well formed.") from error
    if file is None:
        raise ProblemError(ErrorCode.INVALID_MESSAGE, f"{FILE_FIELD}: the form must hold the WAV file in this field.")
    return fields, file


async def _parts(request: web.Request) -> AsyncIterator[BodyPartReader]:
    reader = await request.multipart()
    for _ in range(_MAX_PARTS):
        part = await reader.next()
        if part is None:
            return
        if not isinstance(part, BodyPartReader) or not part.name:
            raise ValueError("a part without a name")
        yield part
    raise ProblemError(ErrorCode.TOO_LARGE, f"At most {_MAX_PARTS} form fields are accepted here.")


async def _read_part(part: BodyPartReader, limit_bytes: int, upload: Upload) -> bytes:
    pieces, size_bytes = [], 0
    while piece := await part.read_chunk():
        size_bytes += len(piece)
        if size_bytes > limit_bytes:
            raise ProblemError(ErrorCode.TOO_LARGE, f"A form field is larger than {limit_bytes} bytes.")
        upload.add(len(piece))
        pieces.append(piece)
    return b"".join(pieces)
