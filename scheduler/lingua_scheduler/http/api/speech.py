"""Speech in, speech out, in one request; and jobs that go on by themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from lingua_scheduler.http.endpoint import Call, Endpoint, Guard, Nothing
from lingua_scheduler.http.models.speech import (
    DispatchAnswer,
    DispatchBody,
    Timings,
    TranslateAnswer,
    TranslateQuery,
)
from lingua_scheduler.http.port import TranslateOnce, TranslateResult
from lingua_scheduler.http.problems import ProblemError
from lingua_scheduler.http.upload import FILE_FIELD, MAX_PCM_BYTES, pcm_of, read_speech
from lingua_wire.audio import AudioFormat, decode_base64, encode_base64, ms_of_samples, parse_wav, write_wav
from lingua_wire.codes import ErrorCode
from lingua_wire.ids import AUTO, is_language, normal_language

if TYPE_CHECKING:
    from collections.abc import Coroutine

#: A dispatch body: its audio in base64, and the rest.
_DISPATCH_BODY_BYTES = MAX_PCM_BYTES * 4 // 3 + 16 * 1024

_MAX_LANGUAGES = 8

#: How often a translation looks whether its caller is still there.
_LOOK_S = 0.25

Result = TypeVar("Result")


async def translate(call: Call[TranslateQuery, None]) -> TranslateAnswer | web.Response:
    """Translate one recording; answers JSON, or the bare speech when ``audio/wav`` is accepted."""
    _refuse_when_draining(call.scheduler.draining)
    query, pcm, sample_rate = await read_speech(call.request, call.query)
    request = _once(query, _tenant(call.identity.tenant, query.tenant, call.identity.verified), pcm, sample_rate)
    await call.check_pairing(query.pairing_code)
    try:
        async with asyncio.timeout(query.timeout_ms / 1000):
            result = await while_connected(call.request, call.scheduler.translate_once(request))
    except TimeoutError as error:
        raise ProblemError(ErrorCode.JOB_TIMEOUT) from error
    if "audio/wav" in call.request.headers.get("Accept", ""):
        return _speech_response(result)
    return _answer(result)


async def dispatch(call: Call[Nothing, DispatchBody]) -> DispatchAnswer:
    """Start a job for one utterance; answers as soon as it has a node or waits for one."""
    _refuse_when_draining(call.scheduler.draining)
    body = call.body
    audio, sample_rate = _audio_of(body)
    if len(audio) > MAX_PCM_BYTES:
        raise ProblemError(ErrorCode.TOO_LARGE, f"payload: at most {MAX_PCM_BYTES} bytes of audio are accepted here.")
    request = TranslateOnce(
        source=normal_language(body.src_lang),
        target=normal_language(body.tgt_lang),
        audio=audio,
        audio_format=AudioFormat.OPUS if body.audio_format is AudioFormat.OPUS else AudioFormat.PCM16,
        sample_rate=sample_rate,
        tenant=_tenant(call.identity.tenant, body.tenant, call.identity.verified),
        pairing_code=body.pairing_code,
        session_id=body.session_id,
        request_id=body.request_id,
        trace_id=body.trace_id,
    )
    await call.check_pairing(body.pairing_code)
    started = await call.scheduler.dispatch_once(request)
    return DispatchAnswer(
        job_id=started.job_id,
        session_id=started.session_id,
        node_id=started.node_id or None,
        attempt_id=started.attempt_id,
        status=started.status,
    )


async def while_connected(request: web.Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work as long as somebody waits for it; a caller that goes away, or is cancelled, cancels it.

    :raises ProblemError: the caller is gone; nobody reads this.
    """
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_LOOK_S)
            if request.transport is None and not task.done():
                raise ProblemError(ErrorCode.WS_DISCONNECTED)
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _refuse_when_draining(draining: bool) -> None:
    if draining:
        raise ProblemError(ErrorCode.DRAINING)


def _tenant(of_token: str, asked: str | None, verified: bool) -> str:
    if verified and asked not in (None, of_token):
        raise ProblemError(ErrorCode.FORBIDDEN, "The tenant comes from the token.")
    return of_token if verified else (asked or "")


def _once(query: TranslateQuery, tenant: str, pcm: bytes, sample_rate: int) -> TranslateOnce:
    return TranslateOnce(
        source=normal_language(query.src or AUTO),
        target=normal_language(query.tgt or ""),
        audio=pcm,
        sample_rate=sample_rate,
        languages=_languages(query.languages),
        tenant=tenant,
        pairing_code=query.pairing_code,
        dialect=query.dialect,
        request_id=query.request_id,
        trace_id=query.trace_id,
        use_tts=query.tts,
        timeout_ms=query.timeout_ms,
    )


def _languages(text: str | None) -> tuple[str, ...]:
    codes = [code.strip() for code in text.split(",")] if text else []
    if len(codes) > _MAX_LANGUAGES or not all(is_language(code) and code != AUTO for code in codes):
        raise ProblemError(ErrorCode.INVALID_MESSAGE, f"languages: up to {_MAX_LANGUAGES} language codes are wanted.")
    return tuple(normal_language(code) for code in codes)


def _audio_of(body: DispatchBody) -> tuple[bytes, int]:
    audio = decode_base64(body.payload)
    return pcm_of(audio) if body.audio_format is AudioFormat.WAV else (audio, body.sample_rate)


def _wav(result: TranslateResult) -> bytes | None:
    """Return the speech as a WAV file; ``None`` when there is none, or it is Opus, which nothing here decodes."""
    if not result.speech or result.speech_format == AudioFormat.OPUS:
        return None
    if result.speech_format == AudioFormat.WAV:
        return result.speech
    return write_wav(result.speech, result.speech_rate)


def _length_ms(wav: bytes) -> int:
    sound = parse_wav(wav)
    return ms_of_samples(sound.samples, sound.sample_rate)


def _answer(result: TranslateResult) -> TranslateAnswer:
    wav = _wav(result)
    return TranslateAnswer(
        session_id=result.session_id,
        job_id=result.job_id,
        node_id=result.node_id,
        trace_id=result.trace_id,
        src=result.source,
        tgt=result.target,
        text=result.text,
        translation=result.translation,
        speech=encode_base64(wav) if wav else None,
        speech_ms=_length_ms(wav) if wav else 0,
        timings=Timings.model_validate(result.timings_ms),
    )


def _speech_response(result: TranslateResult) -> web.Response:
    wav = _wav(result)
    headers = {"Lingua-Job-Id": result.job_id, "Lingua-Node-Id": result.node_id, "Lingua-Session-Id": result.session_id}
    if wav is None:
        return web.Response(status=204, headers=headers)
    return web.Response(body=wav, content_type="audio/wav", headers=headers)


_FILE = {"type": "string", "contentMediaType": "audio/wav", "description": "PCM16, mono or stereo, 8 to 48 kHz."}
_FORM = {
    "type": "object",
    "required": [FILE_FIELD],
    "properties": {FILE_FIELD: _FILE},
    "additionalProperties": {"type": "string", "description": "Any query parameter, as a form field."},
}
_SPEECH_ERRORS = (
    ErrorCode.DRAINING, ErrorCode.STORE_UNAVAILABLE, ErrorCode.TOO_LARGE, ErrorCode.PAIR_NOT_OFFERED,
    ErrorCode.NO_AVAILABLE_NODE, ErrorCode.QUEUE_FULL, ErrorCode.BUFFER_FULL, ErrorCode.INVALID_PAIRING_CODE,
    ErrorCode.INVALID_SESSION, ErrorCode.RATE_LIMITED,
)  # fmt: skip

ENDPOINTS = (
    Endpoint(
        "POST", "/api/v1/translate", translate, "speech", "Translate one recording", guard=Guard.TOKEN,
        query=TranslateQuery, answer=TranslateAnswer, media={"audio/wav": {"type": "string"}},
        uploads={"audio/wav": _FILE, "multipart/form-data": _FORM},
        errors=(
            *_SPEECH_ERRORS, ErrorCode.UNSUPPORTED_FORMAT, ErrorCode.JOB_TIMEOUT, ErrorCode.PROCESSING_ERROR,
            ErrorCode.ATTEMPTS_EXHAUSTED, ErrorCode.JOB_CANCELLED,
        ),
    ),
    Endpoint(
        "POST", "/api/v1/dispatch", dispatch, "speech", "Start a job for one utterance", guard=Guard.TOKEN,
        body=DispatchBody, answer=DispatchAnswer, status=202, body_bytes=_DISPATCH_BODY_BYTES,
        errors=_SPEECH_ERRORS,
    ),
)  # fmt: skip
