"""Every error is a problem document with a code; nothing a caller sends makes a 500 or a dead connection."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.eventually import PATIENCE_S
from lingua_scheduler.http.problems import document, from_validation
from lingua_wire.codes import CODES, ErrorCode

if TYPE_CHECKING:
    from scheduler.http.conftest import Served


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nothing", "NOT_FOUND"),
        ("GET", "/api/v1/nothing", "NOT_FOUND"),
        ("GET", "/../../etc/passwd", "NOT_FOUND"),
        ("POST", "/api/v1/nodes", "METHOD_NOT_ALLOWED"),
        ("DELETE", "/api/v1/jobs", "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v1/translate", "METHOD_NOT_ALLOWED"),
        ("PATCH", "/api/v1/nodes", "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v1/jobs/none", "NOT_FOUND"),
        ("GET", "/api/v1/jobs/%7Bx%7D", "NOT_FOUND"),
        ("GET", "/api/v1/jobs/a%0Ab", "NOT_FOUND"),
        ("GET", f"/api/v1/jobs/{'x' * 200}", "NOT_FOUND"),
        ("GET", "/api/v1/nodes/none", "NOT_FOUND"),
        ("POST", "/api/v1/nodes/none/drain", "NOT_FOUND"),
        ("POST", "/api/v1/jobs/none/cancel", "NOT_FOUND"),
        ("GET", "/api/v1/nodes?limit=0", "INVALID_MESSAGE"),
        ("GET", "/api/v1/nodes?limit=501", "INVALID_MESSAGE"),
        ("GET", "/api/v1/nodes?limit=ten", "INVALID_MESSAGE"),
        ("GET", "/api/v1/nodes?limit=1&limit=2", "INVALID_MESSAGE"),
        ("GET", "/api/v1/nodes?lmit=5", "INVALID_MESSAGE"),
        ("GET", "/api/v1/nodes?cursor=nonsense", "INVALID_MESSAGE"),
        ("GET", "/api/v1/jobs?cursor=nonsense", "INVALID_MESSAGE"),
        ("GET", "/api/v1/sessions?cursor=nonsense", "INVALID_MESSAGE"),
        ("GET", "/api/v1/nodes?cursor=%00", "INVALID_MESSAGE"),
        ("GET", "/api/v1/jobs?status=odd", "INVALID_MESSAGE"),
        ("GET", "/api/v1/explain", "INVALID_MESSAGE"),
        ("GET", "/api/v1/explain?src=en&tgt=en", "INVALID_MESSAGE"),
        ("GET", "/api/v1/explain?src=e%7Bn&tgt=es", "INVALID_MESSAGE"),
        ("GET", "/api/v1/explain?src=auto&tgt=es&both_ways=true", "INVALID_MESSAGE"),
        ("GET", "/problems/NOTHING", "NOT_FOUND"),
    ],
)
async def test_a_wrong_call_gets_its_code(served: Served, method: str, path: str, code: str) -> None:
    assert (await served.problem(path, method))["code"] == code


async def test_a_wrong_method_tells_the_right_one(served: Served) -> None:
    _, _, headers = await served.ask("/api/v1/translate")
    assert headers["Allow"] == "POST"


GOOD = {"session_id": "s", "src_lang": "en", "tgt_lang": "es", "payload": "AAAA"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"session_id": "s"}',
        json.dumps({**GOOD, "payload": "?"}).encode(),
        json.dumps({**GOOD, "payload": "\u00e9"}).encode(),
        json.dumps({**GOOD, "payload": "\ud800"}).encode(),
        json.dumps({**GOOD, "unknown": 1}).encode(),
        json.dumps({**GOOD, "session_id": "a b"}).encode(),
        json.dumps({**GOOD, "sample_rate": float("nan")}).encode(),
        json.dumps({**GOOD, "sample_rate": "fast"}).encode(),
    ],
)
async def test_a_bad_body_is_told_as_such(served: Served, body: bytes) -> None:
    told = await served.problem("/api/v1/dispatch", "POST", data=body, headers={"Content-Type": "application/json"})
    assert told["code"] == "INVALID_MESSAGE"
    assert served.port.asked == []


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (json.dumps({**GOOD, "audio_format": "wav"}).encode(), "application/json", "UNSUPPORTED_FORMAT"),
        (b"x", "text/plain", "UNSUPPORTED_FORMAT"),
        (b"x" * 5_000_000, "application/json", "TOO_LARGE"),
    ],
)
async def test_a_body_of_the_wrong_kind_or_size_is_told_as_such(
    served: Served, body: bytes, kind: str, code: str
) -> None:
    told = await served.problem("/api/v1/dispatch", "POST", data=io.BytesIO(body), headers={"Content-Type": kind})
    assert told["code"] == code


async def test_a_body_without_a_length_is_bounded_too(served: Served) -> None:
    async def endless() -> Any:
        for _ in range(1_000):
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}
    told = await served.problem("/api/v1/dispatch", "POST", data=endless(), headers=headers)
    assert told["code"] == "TOO_LARGE"


async def test_what_was_sent_is_never_repeated_in_the_answer(served: Served) -> None:
    body = {"session_id": "my spoken secret", "src_lang": "en", "tgt_lang": "es", "payload": "AAAA"}
    told = await served.problem("/api/v1/dispatch", "POST", json=body)
    assert "secret" not in json.dumps(told)
    assert told["errors"][0]["field"] == "session_id"


async def test_the_type_of_a_problem_leads_to_a_page_about_it(served: Served) -> None:
    told = await served.problem("/nothing")
    page = await served.get(told["type"])
    assert (page["code"], page["title"], page["status"]) == ("NOT_FOUND", told["title"], 404)


@pytest.mark.parametrize("code", list(ErrorCode))
async def test_every_code_has_a_page(served: Served, code: ErrorCode) -> None:
    page = await served.get(f"/problems/{code}")
    assert page["retryable"] == CODES[code].retryable


@pytest.mark.parametrize(
    "raw",
    [
        b"GET\r\n\r\n",
        b"GET /api/v1/nodes HTTP/9.9\r\n\r\n",
        b"GET /api/v1/nodes?\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /api/v1/nodes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\n\r\n",
        b"POST /api/v1/dispatch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{}",
        b"POST /api/v1/translate?src=en&tgt=es HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_raw_nonsense_on_the_line_leaves_the_server_well(served: Served, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
    writer.write(raw)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    await writer.wait_closed()
    assert b" 500 " not in answer.partition(b"\r\n")[0]
    assert (await served.get("/health/live")) == {"live": True}


@given(st.dictionaries(st.text(max_size=20), st.one_of(st.none(), st.integers(), st.floats(), st.text()), max_size=5))
@settings(max_examples=200, deadline=None)
def test_a_problem_about_any_wrong_fields_is_one_that_can_be_sent(fields: dict[str, Any]) -> None:
    from pydantic import ValidationError

    from lingua_scheduler.http.models.speech import DispatchBody

    try:
        DispatchBody.model_validate(fields)
    except ValidationError as error:
        told = document(from_validation(error))
        assert told["code"] == "INVALID_MESSAGE"
        assert len(told["errors"]) <= 10
        json.dumps(told, allow_nan=False)
