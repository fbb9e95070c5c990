"""A job as the frames that give it to a node. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lingua_scheduler.nodes.profile import EXTENSION_FIELDS
from lingua_wire import codec, frames
from lingua_wire.audio import encode_base64

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lingua_scheduler.nodes.profile import NodeProfile
    from lingua_scheduler.work import Delivery
    from lingua_wire.node_messages import JobResult


#: Fields of ``job_assign`` that name a language, or several.
_LANGUAGES: Final = ("src_lang", "tgt_lang", "lang_a", "lang_b", "auto_langs")


def assign_frames(
    delivery: Delivery, profile: NodeProfile, digest: str, words: Mapping[str, str]
) -> tuple[bytes, bytes | None]:
    """Write ``job_assign``: the JSON, and the binary frame of its audio where that was negotiated.

    :param words: the node's own words for languages that it is declared with by others.
    """
    fields = {"type": "job_assign", "attempt_id": delivery.attempt_id, **delivery.head}
    if words:
        fields |= {name: _own(fields[name], words) for name in _LANGUAGES if name in fields}
    if profile.base:
        fields = {name: value for name, value in fields.items() if name not in EXTENSION_FIELDS}
    if digest:
        fields["audio_sha256"] = digest
    if not profile.binary_audio:
        fields["audio"] = encode_base64(delivery.audio)
        return codec.encode(fields), None
    fields["audio_follows"] = True
    index = int(fields["utterance_index"])
    frame = frames.pack(frames.Kind.JOB_AUDIO, delivery.audio, index=index, last=True, key=delivery.job_id)
    return codec.encode(fields), frame


def in_declared_words(result: JobResult, words: Mapping[str, str]) -> JobResult:
    """Write the language that the node heard as its declaration does."""
    heard = (result.extra or {}).get("detected_language")
    declared = next((code for code, own in words.items() if own == heard), None)
    if declared is None:
        return result
    return result.model_copy(update={"extra": {**(result.extra or {}), "detected_language": declared}})


def _own(value: Any, words: Mapping[str, str]) -> Any:  # noqa: ANN401 - one code, or a list of them
    return [words.get(code, code) for code in value] if isinstance(value, list) else words.get(value, value)
