"""Audio has two bounds, the session's and the instance's, and who is refused is told at which one."""

from __future__ import annotations

import pytest

from lingua_scheduler.audio_bound import AudioBound, BufferFullError
from lingua_scheduler.auth import Identity
from lingua_scheduler.metrics import Metrics
from lingua_scheduler.sessions.ear import Ear
from lingua_scheduler.sessions.terms import terms_of
from lingua_scheduler.settings import SchedulerSettings
from lingua_wire.codes import ErrorCode
from lingua_wire.session_messages import SessionInit

CHUNK = bytes(3_200)


@pytest.mark.parametrize(
    ("session_bytes", "instance_bytes", "scope"), [(6_400, 64_000, "session"), (64_000, 6_400, "instance")]
)
def test_audio_beyond_a_bound_is_refused_in_its_name(session_bytes: int, instance_bytes: int, scope: str) -> None:
    said = {
        "client_version": "1",
        "platform": "web",
        "src_lang": "en",
        "tgt_lang": "es",
        "extensions": ["binary_audio"],
    }
    terms = terms_of(SessionInit.model_validate(said), Identity(), SchedulerSettings())
    ear = Ear(terms, AudioBound(instance_bytes, Metrics().audio_held_bytes), session_bytes)
    for seq in range(2):
        ear.chunk(seq, CHUNK, now_ms=100 * seq)
    with pytest.raises(BufferFullError) as refused:
        ear.chunk(2, CHUNK, now_ms=200)
    assert (refused.value.scope, refused.value.code) == (scope, ErrorCode.BUFFER_FULL)
    assert ear.held_bytes == 2 * len(CHUNK)
