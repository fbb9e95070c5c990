from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from lingua_node.__main__ import explain
from lingua_node.settings import PREFIX, NodeSettings

VALUES = {
    "url": ("wss://example.org/ws/node", "ftp://example.org"),
    "node_id": ("node-1", "two words"),
    "max_jobs": ("4", "0"),
    "decoders": ("1", "-1"),
    "languages": ("en,es", "en,not a language"),
    "asr": ("faster-whisper", "ears"),
    "nmt": ("ctranslate2", "dictionary"),
    "tts": ("piper", "voice"),
    "pivots": ("en-es:ca", "en-es"),
    "private": ("true", "perhaps"),
    "phrasebook_language": ("en", "e"),
    "tenant_id": ("acme", "{acme}"),
    "drain_s": ("2.5", "-1"),
    "reconnect_max_s": ("3", "0"),
    "log_json": ("1", "json"),
}
FREE = {"token", "token_file", "pairing_code", "domain_sentences", "phrasebook", "model_dir", "data_dir"}


def test_every_setting_is_tested_and_documented() -> None:
    assert set(NodeSettings.model_fields) == set(VALUES) | FREE
    assert all(field.description for field in NodeSettings.model_fields.values())
    page = (Path(__file__).parents[2] / "docs" / "node.md").read_text("utf-8")
    assert set(re.findall(rf"`{PREFIX}([A-Z_]+)`", page)) >= {name.upper() for name in NodeSettings.model_fields}


@pytest.mark.parametrize("name", VALUES)
def test_a_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", VALUES[name][0])
    assert getattr(NodeSettings(), name) != NodeSettings.model_fields[name].get_default(call_default_factory=True)


@pytest.mark.parametrize("name", VALUES)
def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", VALUES[name][1])
    with pytest.raises(ValidationError) as raised:
        NodeSettings()
    assert f"{PREFIX}{name.upper()}" in explain(raised.value)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}TOKEN", "hidden-token")
    monkeypatch.setenv(f"{PREFIX}PAIRING_CODE", "hidden-code")
    assert "hidden" not in repr(NodeSettings())
