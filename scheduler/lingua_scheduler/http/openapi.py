"""The OpenAPI 3.1 document, made from the route table and the models: nothing is said twice."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from lingua_scheduler.http.endpoint import Endpoint, Guard, Nothing
from lingua_scheduler.http.models.common import ProblemView
from lingua_scheduler.http.problems import CONTENT_TYPE
from lingua_wire.codes import CODES, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

_REF = "#/components/schemas/{model}"
_WRITES = {
    Guard.TOKEN: "Needs a token when authentication is on.",
    Guard.READ: "Needs a token with the scope `read` or `admin` when authentication is on.",
    Guard.ADMIN: "Needs a token with the scope `admin` when authentication is on.",
}


def document(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """Describe all routes."""
    schemas = _schemas(endpoints)
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for endpoint in endpoints:
        paths[endpoint.path][endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lingua scheduler", "version": version, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _schemas(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    models: dict[type[BaseModel], None] = {ProblemView: None}
    for endpoint in endpoints:
        models |= {model: None for model in (endpoint.answer, endpoint.body) if model}
    answers = [(model, "serialization") for model in models if model not in _bodies(endpoints)]
    bodies = [(model, "validation") for model in models if model in _bodies(endpoints)]
    _, found = models_json_schema([*answers, *bodies], ref_template=_REF)  # type: ignore[list-item]
    schemas: dict[str, Any] = found["$defs"]
    schemas["ErrorCode"] = {"type": "string", "enum": [str(code) for code in ErrorCode]}
    schemas["ProblemView"]["properties"]["code"] = {"$ref": _REF.format(model="ErrorCode")}
    return schemas


def _bodies(endpoints: Sequence[Endpoint]) -> set[type[BaseModel]]:
    return {endpoint.body for endpoint in endpoints if endpoint.body}


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": _operation_id(endpoint),
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint, schemas)],
        "responses": {str(endpoint.status): _answer(endpoint), **_errors(endpoint)},
    }
    if endpoint.guard is not Guard.OPEN:
        told["description"] = _WRITES[endpoint.guard]
        told["security"] = [{}, {"bearer": []}]
    content = _request_content(endpoint)
    if content:
        told["requestBody"] = {"required": True, "content": content}
    return told


def _operation_id(endpoint: Endpoint) -> str:
    words = re.findall(r"[A-Za-z0-9]+", endpoint.path.removeprefix("/api/v1"))
    return "_".join([endpoint.method.lower(), *words])


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "maxLength": 128}}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if endpoint.query is Nothing:
        return []
    schema = endpoint.query.model_json_schema(ref_template=_REF)
    for name, definition in schema.get("$defs", {}).items():
        schemas.setdefault(name, definition)
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        | ({"description": field["description"]} if "description" in field else {})
        for name, field in schema["properties"].items()
    ]


def _request_content(endpoint: Endpoint) -> dict[str, Any]:
    content: dict[str, Any] = {media: {"schema": schema} for media, schema in endpoint.uploads.items()}
    if endpoint.body is not None:
        content["application/json"] = {"schema": {"$ref": _REF.format(model=endpoint.body.__name__)}}
    return content


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    content: dict[str, Any] = {media: {"schema": schema} for media, schema in endpoint.media.items()}
    if endpoint.answer is not None:
        content["application/json"] = {"schema": {"$ref": _REF.format(model=endpoint.answer.__name__)}}
    return {"description": endpoint.summary, "content": content}


def _errors(endpoint: Endpoint) -> dict[str, Any]:
    by_status: dict[int, list[ErrorCode]] = defaultdict(list)
    for code in endpoint.all_errors():
        by_status[CODES[code].http_status].append(code)
    return {
        str(status): {
            "description": "; ".join(f"`{code}`: {CODES[code].title}" for code in codes),
            "content": {CONTENT_TYPE: {"schema": {"$ref": _REF.format(model="ProblemView")}}},
            "x-error-codes": [str(code) for code in codes],
        }
        for status, codes in sorted(by_status.items())
    }
