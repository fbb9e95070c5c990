"""What existing clients and nodes send, with its nulls and oddities: all of it must be read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lingua_wire import node_messages, room_messages, session_messages
from lingua_wire.catalogue import Direction
from lingua_wire.codec import decode
from lingua_wire.fields import Message, Mode

SESSION_ID = "s-8F2A61C0"
TRACE_ID = "b7c9a1de-4a0f-4a8e-9f7e-0d5d1b7c2a11"
GPU_SERVICE = {
    "service_id": "faster-whisper-vad",
    "type": "asr",
    "device": "gpu",
    "status": "running",
    "version": "2.0.0",
    "model_id": None,
    "engine": None,
    "mem_mb": None,
    "warmup_ms": None,
    "last_error": None,
}

WEB_INIT: dict[str, Any] = {
    "type": "session_init",
    "client_version": "2.0.0",
    "platform": "web",
    "src_lang": "auto",
    "tgt_lang": "en",
    "dialect": None,
    "features": {},
    "pairing_code": None,
    "tenant_id": None,
    "mode": "two_way_auto",
    "lang_a": "zh",
    "lang_b": "en",
    "auto_langs": ["zh", "en"],
    "trace_id": TRACE_ID,
}
WEB: list[dict[str, Any]] = [
    WEB_INIT,
    {**WEB_INIT, "mode": "one_way", "lang_a": None, "lang_b": None, "auto_langs": None},
    {
        "type": "audio_chunk",
        "session_id": SESSION_ID,
        "seq": 1187,
        "is_final": False,
        "payload": "BQBIC+TBNg==",
        "client_timestamp_ms": 1732171286000,
    },
    {"type": "audio_chunk", "session_id": SESSION_ID, "seq": 1188, "is_final": True, "payload": ""},
    {"type": "client_heartbeat", "session_id": SESSION_ID, "timestamp": 1732171286000},
    {
        "type": "tts_started",
        "session_id": SESSION_ID,
        "trace_id": TRACE_ID,
        "group_id": "g-1",
        "ts_start_ms": 1732171286000,
    },
    {"type": "room_create", "client_ts": 1732171286000, "display_name": None, "preferred_lang": None},
    {"type": "room_join", "room_code": "493021", "display_name": "Li", "preferred_lang": "zh"},
    {"type": "room_leave", "room_code": "493021"},
    {
        "type": "room_raw_voice_preference",
        "room_code": "493021",
        "target_session_id": SESSION_ID,
        "receive_raw_voice": False,
    },
    {"type": "webrtc_offer", "room_code": "493021", "to": SESSION_ID, "sdp": {"type": "offer", "sdp": "v=0\r\n"}},
    {
        "type": "webrtc_ice",
        "room_code": "493021",
        "to": SESSION_ID,
        "candidate": {"candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": None},
    },
]

USAGE = {
    "cpu_percent": 17.3,
    "gpu_percent": None,
    "gpu_mem_percent": None,
    "mem_percent": 61.25,
    "running_jobs": 0,
    "gpu_queue_length": 0,
}
LANGUAGES = {
    "asr_languages": ["zh", "en", "ja", "yue", "haw"],
    "semantic_languages": ["zh", "en"],
    "tts_languages": ["zh", "en"],
    "semantic_core_ready": True,
    "nmt_capabilities": [{"model_id": "m2m100", "languages": ["zh", "en"], "rule": "any_to_any"}],
}
CAPABILITIES = [
    {"type": kind, "ready": kind == "asr", "devices": ["gpu"] if kind == "asr" else []}
    for kind in ("asr", "nmt", "tts", "tone", "semantic", "phonetic", "punctuation")
]
RESULT = {
    "type": "job_result",
    "job_id": "job-7C1F",
    "attempt_id": 1,
    "node_id": "node-2F41",
    "session_id": SESSION_ID,
    "utterance_index": 0,
    "success": True,
    "text_asr": "你好",
    "text_translated": "Hello",
    "tts_audio": "",
    "tts_format": "opus",
    "extra": {"emotion": None, "speech_rate": None, "voice_style": None, "language_probabilities": {"zh": 0.98}},
    "processing_time_ms": 812,
    "error": None,
    "trace_id": TRACE_ID,
    "asr_quality_level": "good",
    "reason_codes": [],
    "quality_score": 0.91,
    "rerun_count": 0,
    "segments_meta": {"count": 1, "max_gap": 0.0, "avg_duration": 1.1},
}
ELECTRON: list[dict[str, Any]] = [
    {
        "type": "node_register",
        "node_id": None,
        "version": "2.0.0",
        "capability_schema_version": "2.0",
        "platform": "windows",
        "hardware": {"cpu_cores": 16, "memory_gb": 32, "gpus": [{"name": "NVIDIA RTX 4060", "memory_gb": 8}]},
        "installed_models": [],
        "installed_services": [GPU_SERVICE],
        "capability_by_type": CAPABILITIES,
        "features_supported": {"emotion_detection": False, "voice_style_detection": False},
        "advanced_features": None,
        "accept_public_jobs": True,
        "language_capabilities": LANGUAGES,
    },
    {
        "type": "node_register",
        "node_id": None,
        "version": "2.0.0",
        "platform": "linux",
        "hardware": {"cpu_cores": 4, "memory_gb": 15.6, "gpus": None},
        "features_supported": {},
        "accept_public_jobs": True,
    },
    {
        "type": "node_heartbeat",
        "node_id": "node-2F41",
        "timestamp": 1732171286000,
        "resource_usage": USAGE,
        "installed_services": [GPU_SERVICE],
        "capability_by_type": CAPABILITIES,
        "language_capabilities": LANGUAGES,
        "processing_metrics": {"serviceEfficiencies": {"faster-whisper-vad": 1.4}, "windowMs": 15000},
        "rerun_metrics": {"totalReruns": 0, "successfulReruns": 0},
        "asr_metrics": None,
    },
    {
        "type": "node_heartbeat",
        "node_id": "node-2F41",
        "timestamp": 1732171286000,
        "resource_usage": {"cpu_percent": 0, "mem_percent": 61, "running_jobs": 0},
    },
    {
        "type": "asr_partial",
        "job_id": "job-7C1F",
        "node_id": "node-2F41",
        "session_id": SESSION_ID,
        "utterance_index": 0,
        "text": "你",
        "is_final": False,
        "trace_id": TRACE_ID,
    },
    RESULT,
    {**RESULT, "text_asr": "", "text_translated": "", "extra": {"reason": "ASR_EMPTY"}, "trace_id": ""},
    {
        **RESULT,
        "success": False,
        "text_asr": None,
        "text_translated": None,
        "tts_audio": None,
        "tts_format": None,
        "extra": None,
        "error": {"code": "PROCESSING_ERROR", "message": "Duplicate job_id", "details": None},
    },
]


def read(direction: Direction, sent: dict[str, Any]) -> Message:
    return decode(json.dumps(sent, ensure_ascii=False), direction)


@pytest.mark.parametrize("sent", WEB, ids=lambda sent: sent["type"])
def test_everything_the_web_page_sends_is_read(sent: dict[str, Any]) -> None:
    assert read(Direction.FROM_CLIENT, sent).type == sent["type"]


@pytest.mark.parametrize("sent", ELECTRON, ids=lambda sent: sent["type"])
def test_everything_the_electron_node_sends_is_read(sent: dict[str, Any]) -> None:
    assert read(Direction.FROM_NODE, sent).type == sent["type"]


def test_the_page_names_its_languages() -> None:
    init = read(Direction.FROM_CLIENT, WEB_INIT)
    assert isinstance(init, session_messages.SessionInit)
    assert (init.mode, init.lang_a, init.lang_b, init.extensions) == (Mode.TWO_WAY_AUTO, "zh", "en", ())


def test_types_of_services_that_we_do_not_know_are_kept() -> None:
    register = read(Direction.FROM_NODE, ELECTRON[0])
    assert isinstance(register, node_messages.NodeRegister)
    assert [item.type for item in register.capability_by_type][-2:] == ["phonetic", "punctuation"]
    assert register.language_capabilities is not None
    assert register.language_capabilities.semantic_core_ready


def test_lists_that_a_node_leaves_out_are_empty_at_registration_and_unknown_in_a_heartbeat() -> None:
    register = read(Direction.FROM_NODE, ELECTRON[1])
    heartbeat = read(Direction.FROM_NODE, ELECTRON[3])
    assert isinstance(register, node_messages.NodeRegister)
    assert isinstance(heartbeat, node_messages.NodeHeartbeat)
    assert register.installed_services == ()
    assert heartbeat.installed_services is None


def test_what_webrtc_peers_say_to_each_other_is_passed_on_unchanged() -> None:
    offer = read(Direction.FROM_CLIENT, WEB[-2])
    assert isinstance(offer, room_messages.WebrtcOffer)
    assert offer.sdp == WEB[-2]["sdp"]
