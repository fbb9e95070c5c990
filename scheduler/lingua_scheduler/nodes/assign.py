"""A job as the frames that give it to a node. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_scheduler.nodes.profile import EXTENSION_FIELDS
from lingua_wire import codec, frames
from lingua_wire.audio import encode_base64

if TYPE_CHECKING:
    from lingua_scheduler.nodes.profile import NodeProfile
    from lingua_scheduler.work import Delivery


def assign_frames(delivery: Delivery, profile: NodeProfile, digest: str) -> tuple[bytes, bytes | None]:
    """Write ``job_assign``: the JSON, and the binary frame of its audio where that was negotiated."""
    fields = {"type": "job_assign", "attempt_id": delivery.attempt_id, **delivery.head}
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
