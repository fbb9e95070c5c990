"""What a person may set of a node: environment variables that begin with ``LINGUA_NODE_``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lingua_wire.ids import Id, Language  # noqa: TC001 - pydantic reads them

PREFIX = "LINGUA_NODE_"

Pair = tuple[str, str]


class AsrName(StrEnum):
    """The recognisers there are."""

    POCKETSPHINX = "pocketsphinx"
    FASTER_WHISPER = "faster-whisper"


class NmtName(StrEnum):
    """The translators there are."""

    APERTIUM = "apertium"
    CTRANSLATE2 = "ctranslate2"


class TtsName(StrEnum):
    """The voices there are."""

    ESPEAK = "espeak-ng"
    PIPER = "piper"


class NodeSettings(BaseSettings):
    """Every setting of a node, with its unit and default."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    url: str = Field(default="ws://127.0.0.1:5010/ws/node", pattern=r"^(ws|wss|http|https)://")
    """Where the scheduler listens for nodes."""
    token: SecretStr | None = None
    """What the node shows the scheduler when it connects; none: nothing."""
    token_file: Path | None = None
    """A file that holds the token in place of ``token``, read again at each connection: its owner may change it."""
    node_id: Id | None = None
    """The node's name; none: the one kept in ``data_dir``, else a new one."""
    max_jobs: int = Field(default=2, ge=1, le=1000)
    """How many jobs are worked on at once; more are refused."""
    decoders: int = Field(default=0, ge=0, le=256)
    """Recogniser processes for each language; 0: as many as ``max_jobs``."""
    languages: Annotated[frozenset[Language], NoDecode] = frozenset({"en", "es", "ca", "eo"})
    """The languages the node may use, separated by commas; what it can do with them depends on its engines."""
    asr: AsrName = AsrName.POCKETSPHINX
    """The recogniser."""
    nmt: NmtName = NmtName.APERTIUM
    """The translator."""
    tts: TtsName = TtsName.ESPEAK
    """The voice."""
    domain_sentences: Path | None = None
    """A file of English sentences, one a line, to hear only speech of that kind, but well; none: any English."""
    phrasebook: Path | None = None
    """A file of phrases, one a line, to be recognised in ``phrasebook_language``; none: that language is not heard."""
    phrasebook_language: Language = "es"
    """The language of the phrasebook: es, or en in place of open English."""
    pivots: Annotated[dict[Pair, str], NoDecode] = Field(default_factory=dict)
    """Pairs that go through a third language although there is a direct way, as ``en-es:ca`` separated by commas."""
    model_dir: Path | None = None
    """Where faster-whisper, CTranslate2 and Piper find their models (docs/node.md)."""
    data_dir: Path | None = None
    """Where the node keeps its name and the models it builds; none: a temporary folder, and a new name each time."""
    private: bool = False
    """Serve only the own tenant, or who holds the pairing code."""
    pairing_code: SecretStr | None = None
    """What a client must show to use a private node."""
    tenant_id: Id | None = None
    """The tenant of a private node where the scheduler does not know it by the token."""
    drain_s: float = Field(default=30.0, ge=0, le=3600)
    """How long, in seconds, running jobs may go on after SIGTERM."""
    reconnect_max_s: float = Field(default=15.0, gt=0, le=600)
    """The longest wait, in seconds, before the node connects again."""
    log_json: bool = False
    """Write log lines as JSON."""

    @field_validator("languages", mode="before")
    @classmethod
    def _split_languages(cls, value: object) -> object:
        return frozenset(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("pivots", mode="before")
    @classmethod
    def _split_pivots(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return dict(_pivot(part.strip()) for part in value.split(",") if part.strip())

    @property
    def decoders_per_language(self) -> int:
        """Count the recogniser processes of one language."""
        return self.decoders or self.max_jobs


def _pivot(text: str) -> tuple[Pair, str]:
    pair, _, middle = text.partition(":")
    src, _, tgt = pair.partition("-")
    if not (src and tgt and middle):
        raise ValueError("a pivot is written as en-es:ca")
    return (src, tgt), middle
