"""TranslationNodes by `kubectl apply`: outside the cluster and in it, with each kind of credential, and drained."""

from __future__ import annotations

import base64
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from kit.kind_kube import note
from kit.kind_release import first_result
from kit.kind_speech import URL, Speaker, more_heard, recording, say_once, talking
from kit.samples import EXAMPLES
from lingua_client.cli.processes import Program, Programs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.kind_kube import Kube
    from kit.kind_release import Installed

Manifest = dict[str, Any]

#: Close codes of docs/protocol.md: a token that is not valid here, and a valid one of somebody else.
UNAUTHENTICATED, FORBIDDEN = 4401, 4403


def translation_node(name: str, **spec: Any) -> Manifest:
    """Write a TranslationNode of the outside node below: it alone hears Spanish."""
    languages = {"asr": ["en", "es"], "tts": ["en", "es"]}
    return {
        "apiVersion": "lingua.dev/v1alpha1",
        "kind": "TranslationNode",
        "metadata": {"name": name},
        "spec": {"languages": languages, "capacity": {"maxJobs": 2}, **spec},
    }


def secret(name: str, token: str) -> Manifest:
    data = {"token": base64.b64encode(token.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


@asynccontextmanager
async def node_outside(folder: Path, node_id: str, token: str) -> AsyncIterator[Program]:
    """Run the reference node on this machine, as one that runs by itself somewhere dials in."""
    programs = Programs(folder)
    settings = {
        "LINGUA_NODE_URL": URL.replace("http", "ws", 1) + "/ws/node",
        "LINGUA_NODE_NODE_ID": node_id,
        "LINGUA_NODE_TOKEN": token,
        "LINGUA_NODE_LANGUAGES": "en,es",
        "LINGUA_NODE_PHRASEBOOK": str(EXAMPLES / "phrasebook" / "es.txt"),
        "LINGUA_NODE_DATA_DIR": str(folder / "data"),
        "LINGUA_NODE_RECONNECT_MAX_S": "2",
    }
    try:
        yield await programs.start("node", ["-m", "lingua_node"], settings)
    finally:
        await programs.stop()


async def reason(kube: Kube, name: str) -> str:
    return str((await kube.condition("tnode", name, "Ready")).get("reason", ""))


async def test_a_node_outside_the_cluster_is_ready_once_it_is_declared_and_connected(
    lingua: Installed, tmp_path: Path
) -> None:
    kube, token = lingua.kube, secrets.token_urlsafe(32)
    declared = translation_node("office", auth={"tokenSecretRef": {"name": "office-node", "key": "token"}})
    await kube.apply(secret("office-node", token), declared)
    await kube.until_true("tnode", "office", "Registered")
    await kube.show("a node that has not connected yet", "get", "tnode", "office", "-o", "wide")
    assert (await kube.condition("tnode", "office", "Ready"))["status"] == "False"
    async with node_outside(tmp_path, "lingua.office", token):
        took_s = await kube.until_true("tnode", "office", "Ready", within_s=180)
        note("a node outside the cluster", f"Ready {took_s:.0f} s after its start")
        await kube.show("the same node, connected", "get", "tnode", "office", "-o", "wide")
        spoken = Speaker(sample=recording("es-el-tren-llega"), source="es", target="en")
        result = await say_once(spoken)
        assert result.node_id == "lingua.office"
        assert "train" in result.translation.lower()
    await kube.until("office is told as away", lambda: _is_away(kube, "office"), within_s=120)
    await kube.show("the same node, gone", "describe", "tnode", "office")
    await kube.delete("tnode", "office")


async def test_a_node_with_another_token_than_the_declared_one_is_refused(lingua: Installed, tmp_path: Path) -> None:
    kube = lingua.kube
    declared = translation_node("guarded", auth={"tokenSecretRef": {"name": "guarded-node", "key": "token"}})
    await kube.apply(secret("guarded-node", secrets.token_urlsafe(32)), declared)
    await kube.until_true("tnode", "guarded", "Registered")
    async with node_outside(tmp_path, "lingua.guarded", secrets.token_urlsafe(32)) as program:
        await kube.until("the node is refused", lambda: _closed(program, UNAUTHENTICATED), within_s=120)
    assert (await kube.condition("tnode", "guarded", "Ready"))["status"] == "False"
    await kube.delete("tnode", "guarded")


async def test_a_node_shows_the_token_of_its_service_account_and_one_of_another_account_is_refused(
    lingua: Installed, tmp_path: Path
) -> None:
    kube = lingua.kube
    await kube.apply(*(_account(name) for name in ("van", "stranger")))
    await kube.apply(translation_node("van", auth={"serviceAccountName": "van"}))
    await kube.until_true("tnode", "van", "Registered")
    strange = tmp_path / "stranger"
    strange.mkdir()
    async with node_outside(strange, "lingua.van", await _token(kube, "stranger")) as program:
        await kube.until("the stranger is refused", lambda: _closed(program, FORBIDDEN), within_s=120)
    other_audience = tmp_path / "audience"
    other_audience.mkdir()
    async with node_outside(other_audience, "lingua.van", await _token(kube, "van", "somebody-else")) as program:
        await kube.until("the audience is refused", lambda: _closed(program, UNAUTHENTICATED), within_s=120)
    assert (await kube.condition("tnode", "van", "Ready"))["status"] == "False"
    async with node_outside(tmp_path, "lingua.van", await _token(kube, "van")):
        await kube.until_true("tnode", "van", "Ready", within_s=180)
    await kube.delete("tnode", "van")


async def test_a_node_that_is_deleted_while_people_talk_finishes_its_work_first(lingua: Installed) -> None:
    kube = lingua.kube
    await kube.ctl("scale", "tfleet", "lingua-node", "--replicas=2")
    await kube.until_true("tfleet", "lingua-node", "Ready", within_s=180)
    async with talking(3) as crowd:
        await more_heard(crowd, 1)
        busy = max(crowd.speakers, key=lambda speaker: len(speaker.results)).results[-1].node_id
        name = busy.removeprefix("lingua.")
        uid = await _uid(kube, name)
        await kube.delete("tnode", name, "--wait=false")
        # Its fleet makes another one at once, which may get the same name.
        took_s = await kube.until(f"{name} is gone", lambda: _is_gone(kube, name, uid), within_s=180)
        await more_heard(crowd, 1)
    note("a busy node deleted", f"gone after {took_s:.0f} s; {crowd.summary()}")
    await kube.show("a node drained and deleted", "get", "events", "--field-selector", f"involvedObject.name={name}")
    await kube.until_true("tfleet", "lingua-node", "Ready", within_s=180)
    await kube.ctl("scale", "tfleet", "lingua-node", "--replicas=1")
    await first_result()


def _account(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


async def _token(kube: Kube, account: str, audience: str = "lingua-node") -> str:
    return (await kube.ctl("create", "token", account, "--audience", audience)).strip()


async def _uid(kube: Kube, name: str) -> str:
    found = await kube.get("tnode", name)
    return str(found["metadata"]["uid"]) if found else ""


async def _is_gone(kube: Kube, name: str, uid: str) -> bool:
    return await _uid(kube, name) != uid


async def _is_away(kube: Kube, name: str) -> bool:
    return (await kube.condition("tnode", name, "Connected")).get("status") == "False"


async def _closed(program: Program, code: int) -> bool:
    return f"the connection is closed code={code}" in program.log.read_text(errors="replace")
