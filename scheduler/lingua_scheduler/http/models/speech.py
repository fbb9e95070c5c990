"""What goes into and comes out of one-shot translation and dispatch."""

from typing import Self

from pydantic import Field, model_validator

from lingua_scheduler.http.models.common import Answer, Asked, Id, Language, Tenant
from lingua_wire.audio import AudioFormat


class TranslateQuery(Asked):
    """What to do with the speech of the body."""

    src: Language | None = Field(None, description="Language spoken, or `auto`.")
    tgt: Language | None = Field(None, description="Language wanted.")
    languages: str | None = Field(
        None,
        max_length=200,
        description="With `src=auto`: the languages it may be, with commas between.",
    )
    tts: bool = Field(True, description="Whether speech is wanted too.")
    dialect: str | None = Field(None, max_length=64)
    tenant: Tenant | None = Field(None, description="Only while authentication is off; else the token tells.")
    pairing_code: str | None = Field(None, max_length=128, description="Opens private nodes.")
    request_id: Id | None = Field(None, description="The same request again gets the same job.")
    trace_id: Id | None = None
    timeout_ms: int = Field(60_000, ge=100, le=120_000)

    @model_validator(mode="after")
    def _several_languages(self) -> Self:
        if self.languages is not None and self.src not in (None, "auto"):
            raise ValueError("languages goes with src=auto only")
        return self


class Timings(Answer):
    """Milliseconds spent per stage, as far as they are known."""

    asr_ms: float | None = None
    nmt_ms: float | None = None
    tts_ms: float | None = None
    total_ms: float | None = None


class TranslateAnswer(Answer):
    """What was heard and what it means."""

    session_id: str
    job_id: str
    node_id: str
    trace_id: str
    src: str
    tgt: str
    text: str
    translation: str
    speech: str | None = Field(description="A WAV file (PCM16) in base64; null when there is none.")
    speech_ms: int
    timings: Timings


class DispatchBody(Asked):
    """One utterance of a session, as a job that goes on by itself."""

    session_id: Id
    src_lang: Language
    tgt_lang: Language
    payload: str = Field(min_length=1, description="The audio in base64.")
    audio_format: AudioFormat = AudioFormat.PCM16
    sample_rate: int = Field(16_000, ge=8_000, le=48_000)
    request_id: Id | None = Field(None, description="The same request again gets the same job.")
    trace_id: Id | None = None
    tenant: Tenant | None = Field(None, description="Only while authentication is off; else the token tells.")
    pairing_code: str | None = Field(None, max_length=128)


class DispatchAnswer(Answer):
    """The job, and its node when one was free."""

    job_id: str
    session_id: str
    node_id: str | None = Field(description="Null while the job waits for a node.")
    attempt_id: int
    status: str
