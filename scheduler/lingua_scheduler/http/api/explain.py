"""Why this node: what selection would do now, node by node, without reserving anything."""

from __future__ import annotations

from lingua_scheduler.http.clock import now_ms
from lingua_scheduler.http.endpoint import Call, Endpoint
from lingua_scheduler.http.models.cluster import CandidateView, ExplainAnswer, ExplainQuery
from lingua_scheduler.http.models.common import PairView
from lingua_scheduler.http.problems import ProblemError
from lingua_scheduler.nodes.capability import pairing_digest
from lingua_state import dispatch, ids, sessions
from lingua_state.models import DispatchRequest, Pair
from lingua_wire.codes import ErrorCode
from lingua_wire.ids import normal_language


async def explain(call: Call[ExplainQuery, None]) -> ExplainAnswer:
    """Answer which node would be chosen and why each other one would not."""
    store = call.scheduler.store
    await call.check_pairing(call.query.pairing_code)
    request = await _request(call)
    try:
        found = await dispatch.explain(store, request)
    except ValueError as error:
        raise ProblemError(ErrorCode.INVALID_MESSAGE, "These names can't be asked for.") from error
    return ExplainAnswer(
        now_ms=await now_ms(store),
        pair=PairView.of(request.pair),
        chosen=found.chosen,
        candidates=[CandidateView.model_validate(candidate) for candidate in found.candidates],
    )


async def _request(call: Call[ExplainQuery, None]) -> DispatchRequest:
    store, query = call.scheduler.store, call.query
    session = await sessions.get(store, query.session) if query.session else None
    tenant = call.identity.tenant if call.identity.verified else ""
    return DispatchRequest(
        job_id=ids.new_job_id(store.cell),
        session_id=query.session or ids.new_session_id(store.cell),
        owner=call.scheduler.instance_id,
        pair=Pair(normal_language(query.src), normal_language(query.tgt)),
        utterance_index=0,
        turn_id=(session.turn_id if session else None) or "explain",
        languages=_languages(query),
        both_ways=query.both_ways,
        tenant=query.tenant or (session.tenant if session else tenant),
        pairing=pairing_digest(query.pairing_code) if query.pairing_code else None,
    )


def _languages(query: ExplainQuery) -> tuple[str, ...]:
    if query.lang_a and query.lang_b:
        return normal_language(query.lang_a), normal_language(query.lang_b)
    return (normal_language(query.src), normal_language(query.tgt)) if query.both_ways else ()


ENDPOINTS = (
    Endpoint(
        "GET", "/api/v1/explain", explain, "cluster", "Which node would be chosen, and why not the others",
        query=ExplainQuery, answer=ExplainAnswer,
        errors=(ErrorCode.STORE_UNAVAILABLE, ErrorCode.INVALID_PAIRING_CODE, ErrorCode.RATE_LIMITED),
    ),
)  # fmt: skip
