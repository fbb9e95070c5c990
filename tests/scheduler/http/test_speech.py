"""Speech in, speech out in one request: what is read, what is asked of the scheduler, what is answered."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kit.eventually import PATIENCE_S, eventually
from lingua_scheduler.http.port import TranslateOnce, TranslateResult
from lingua_scheduler.http.upload import MAX_BODY_BYTES, MAX_PCM_BYTES
from lingua_wire.audio import parse_wav, write_wav
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scheduler.http.conftest import Served

PCM = struct.pack("<800h", *range(800))
WAV = write_wav(PCM, 16_000)
PATH = "/api/v1/translate?src=en&tgt=es"


def result(request: TranslateOnce, **more: Any) -> TranslateResult:
    """Answer with the same sound and its length as the text."""
    told: dict[str, Any] = {
        "session_id": "s1", "job_id": "j1", "node_id": "n1", "source": request.source, "target": request.target,
        "text": f"{len(request.audio)} bytes", "translation": "¡hola!", "speech": request.audio,
        "speech_rate": request.sample_rate, "timings_ms": {"asr_ms": 1.5, "total_ms": 9},
    }  # fmt: skip
    return TranslateResult(**{**told, **more})


@pytest.fixture(autouse=True)
def echo(served: Served) -> None:
    """The scheduler answers with what it got."""

    async def translate(request: TranslateOnce) -> TranslateResult:
        return result(request)

    served.port.translate = translate


async def post(served: Served, path: str = PATH, data: Any = WAV, **more: Any) -> tuple[int, Any, Any]:
    body = io.BytesIO(data) if isinstance(data, bytes) else data
    return await served.ask(path, "POST", data=body, **more)


async def test_a_wav_body_becomes_text_and_speech(served: Served) -> None:
    status, told, _ = await post(served)
    assert status == 200
    assert (told["text"], told["translation"]) == ("1600 bytes", "¡hola!")
    assert bytes(parse_wav(base64.b64decode(told["speech"])).pcm) == PCM
    assert told["speech_ms"] == 50
    assert told["timings"] == {"asr_ms": 1.5, "nmt_ms": None, "tts_ms": None, "total_ms": 9.0}
    asked = served.port.asked[0]
    assert (asked.source, asked.target, asked.audio_format, asked.sample_rate) == ("en", "es", "pcm16", 16_000)


async def test_the_bare_speech_comes_when_a_wav_is_accepted(served: Served) -> None:
    status, body, headers = await post(served, headers={"Accept": "audio/wav"})
    assert (status, headers["Content-Type"], headers["Lingua-Job-Id"]) == (200, "audio/wav", "j1")
    assert bytes(parse_wav(body).pcm) == PCM


async def test_no_speech_is_no_content_for_who_wants_only_speech(served: Served) -> None:
    async def silent(request: TranslateOnce) -> TranslateResult:
        return result(request, speech=b"")

    served.port.translate = silent
    status, _, _ = await post(served, headers={"Accept": "audio/wav"})
    assert status == 204
    _, told, _ = await post(served)
    assert (told["speech"], told["speech_ms"]) == (None, 0)


async def test_a_form_holds_the_file_and_the_settings(served: Served) -> None:
    form = aiohttp.FormData()
    for name, value in {"src": "EN", "tgt": "pt-br", "tts": "false", "timeout_ms": "5000"}.items():
        form.add_field(name, value)
    form.add_field("audio", WAV, filename="a.wav", content_type="audio/wav")
    status, _, _ = await post(served, "/api/v1/translate", form)
    assert status == 200
    asked = served.port.asked[0]
    assert (asked.source, asked.target, asked.use_tts, asked.timeout_ms) == ("en", "pt-BR", False, 5_000)


async def test_curls_default_content_type_is_fine(served: Served) -> None:
    status, _, _ = await post(served, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert status == 200


async def test_stereo_becomes_the_mean_of_both_channels(served: Served) -> None:
    stereo = struct.pack("<6h", 100, 300, -100, -300, 32767, 32767)
    await post(served, data=write_wav(stereo, 16_000, channels=2))
    assert struct.unpack("<3h", served.port.asked[0].audio) == (200, -200, 32767)


async def test_auto_with_its_languages_is_passed_on(served: Served) -> None:
    await post(served, "/api/v1/translate?src=auto&tgt=es&languages=en,FR")
    assert (served.port.asked[0].source, served.port.asked[0].languages) == ("auto", ("en", "fr"))


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/api/v1/translate", WAV, "INVALID_MESSAGE"),
        ("/api/v1/translate?src=en", WAV, "INVALID_MESSAGE"),
        ("/api/v1/translate?src=en&tgt=e s", WAV, "INVALID_MESSAGE"),
        ("/api/v1/translate?src=en&tgt=es&languages=en", WAV, "INVALID_MESSAGE"),
        ("/api/v1/translate?src=auto&tgt=es&languages=en,,fr", WAV, "INVALID_MESSAGE"),
        ("/api/v1/translate?src=en&tgt=es&timeout_ms=1", WAV, "INVALID_MESSAGE"),
        (PATH, b"", "UNSUPPORTED_FORMAT"),
        (PATH, PCM, "UNSUPPORTED_FORMAT"),
        (PATH, WAV[:30], "UNSUPPORTED_FORMAT"),
        (PATH, write_wav(b"", 16_000), "INVALID_MESSAGE"),
        (PATH, write_wav(PCM, 4_000), "UNSUPPORTED_FORMAT"),
        (PATH, b"ID3" + b"\0" * 500, "UNSUPPORTED_FORMAT"),
        (PATH, write_wav(b"\0" * (MAX_PCM_BYTES + 2), 16_000), "TOO_LARGE"),
        (PATH, b"\0" * (MAX_BODY_BYTES + 1), "TOO_LARGE"),
    ],
)
async def test_what_cannot_be_translated_gets_its_code(served: Served, path: str, body: bytes, code: str) -> None:
    told = await served.problem(path, "POST", data=io.BytesIO(body))
    assert told["code"] == code
    assert served.port.asked == []


def form_body(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


FIELD = b'Content-Disposition: form-data; name="src"\r\n\r\n'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "INVALID_MESSAGE"),
        (b"nonsense", "INVALID_MESSAGE"),
        (form_body(FIELD + b"en"), "INVALID_MESSAGE"),
        (form_body(b"\r\nno headers"), "INVALID_MESSAGE"),
        (form_body(FIELD + b"\xff\xfe"), "INVALID_MESSAGE"),
        (form_body(FIELD + b"x" * 5_000), "TOO_LARGE"),
        (form_body(*[FIELD + b"en"] * 50), "TOO_LARGE"),
        (form_body(FIELD.replace(b"src", b"wrong") + b"1", FIELD.replace(b"src", b"audio") + WAV), "INVALID_MESSAGE"),
        (form_body(b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c--"), "INVALID_MESSAGE"),
        (b"--b\r\n" + FIELD + b"cut", "INVALID_MESSAGE"),
    ],
)
async def test_a_bad_form_gets_its_code(served: Served, body: bytes, code: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    told = await served.problem("/api/v1/translate", "POST", data=body, headers=headers)
    assert told["code"] == code


async def test_a_form_without_a_boundary_is_told_as_such(served: Served) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    told = await served.problem("/api/v1/translate", "POST", data=b"x", headers=headers)
    assert told["code"] == "INVALID_MESSAGE"


@pytest.mark.parametrize(
    "code", [ErrorCode.NO_AVAILABLE_NODE, ErrorCode.PAIR_NOT_OFFERED, ErrorCode.BUFFER_FULL, ErrorCode.RATE_LIMITED]
)
async def test_a_refusal_of_the_scheduler_is_told_with_its_code(served: Served, code: ErrorCode) -> None:
    async def refuse(request: TranslateOnce) -> TranslateResult:
        del request
        raise WireError(code, "Not now.")

    served.port.translate = refuse
    _, told, headers = await post(served)
    assert (told["code"], told["detail"]) == (str(code), "Not now.")
    assert ("Retry-After" in headers) == told["retryable"]


async def test_a_translation_that_takes_too_long_is_given_up(served: Served) -> None:
    cancelled = asyncio.Event()

    async def stuck(request: TranslateOnce) -> TranslateResult:
        del request
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    served.port.translate = stuck
    told = await served.problem(f"{PATH}&timeout_ms=100", "POST", data=io.BytesIO(WAV))
    assert (told["status"], told["code"]) == (504, "JOB_TIMEOUT")
    assert cancelled.is_set()


async def test_a_caller_that_goes_away_cancels_its_translation(served: Served) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def stuck(request: TranslateOnce) -> TranslateResult:
        del request
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    served.port.translate = stuck
    calling = asyncio.ensure_future(post(served))
    await asyncio.wait_for(begun.wait(), PATIENCE_S)
    calling.cancel()
    await eventually(cancelled.is_set, what="the translation is cancelled")


async def test_a_fault_nobody_foresaw_is_a_500_without_its_text(served: Served) -> None:
    async def broken(request: TranslateOnce) -> TranslateResult:
        del request
        raise RuntimeError("private words")

    served.port.translate = broken
    told = await served.problem(PATH, "POST", data=io.BytesIO(WAV))
    assert (told["status"], told["code"]) == (500, "INTERNAL_ERROR")
    assert "private" not in str(told)


async def test_a_draining_instance_takes_no_new_speech(served: Served) -> None:
    served.port.draining = True
    _, told, headers = await post(served)
    assert (told["code"], headers["Retry-After"]) == ("DRAINING", "1")


async def test_dispatch_answers_with_the_job_at_once(served: Served) -> None:
    body = {"session_id": "s1", "src_lang": "en", "tgt_lang": "es", "payload": base64.b64encode(PCM).decode()}
    status, told, _ = await served.ask("/api/v1/dispatch", "POST", json=body)
    assert (status, told["job_id"], told["node_id"], told["status"]) == (202, "job-1", None, "pending")
    assert served.port.asked[0].audio == PCM


async def test_dispatch_takes_a_wav_too(served: Served) -> None:
    body = {
        "session_id": "s1", "src_lang": "en", "tgt_lang": "es", "audio_format": "wav",
        "payload": base64.b64encode(write_wav(PCM, 22_050)).decode(),
    }  # fmt: skip
    await served.ask("/api/v1/dispatch", "POST", json=body)
    asked = served.port.asked[0]
    assert (asked.audio, asked.audio_format, asked.sample_rate) == (PCM, "pcm16", 22_050)


@pytest.mark.parametrize("as_form", [False, True], ids=["body", "form"])
async def test_uploads_are_bounded_together(served: Served, as_form: bool) -> None:
    wav = write_wav(bytes(100_000), 16_000)
    served.uploads.limit_bytes = 150_000
    rest = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield wav[:80_000]
        await rest.wait()
        yield wav[80_000:]

    def whole() -> Any:
        if not as_form:
            return wav
        form = aiohttp.FormData()
        form.add_field("audio", wav, filename="a.wav")
        return form

    first = asyncio.ensure_future(served.ask(PATH, "POST", data=slowly()))
    await eventually(lambda: served.uploads.held_bytes == 80_000)
    status, told, headers = await post(served, data=whole())
    assert (status, told["code"]) == (503, "BUFFER_FULL")
    assert int(headers["Retry-After"]) >= 1
    rest.set()
    assert (await first)[0] == 200
    assert served.uploads.held_bytes == 0
    assert (await post(served, data=whole()))[0] == 200
