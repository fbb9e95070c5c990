"""The API server of the tests: it is a real one, says who did what, and is gone when the tests are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.eventually import eventually_sync
from kit.kube.accounts import service_account, token
from kit.kube.api import path
from kit.kube.manifests import FLEET, NODE, collection, fleet, node
from kit.kube.programs import KUBECTL, find
from kit.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.kube.bed import Bed

ROOT = Path(__file__).resolve().parents[2]
LOOK = {"apiGroups": ["lingua.dev"], "resources": ["translationnodes"], "verbs": ["get", "list"]}
#: Runs a bed, tells its processes, and waits to be killed.
_VICTIM = """
import sys
from pathlib import Path
from kit.kube.bed import kubernetes
with kubernetes(Path(sys.argv[1])) as bed:
    print(bed.etcd.pid, bed.api_server.pid, bed.controllers.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a bed in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, str(tmp_path / "bed")],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'lua'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


def test_nothing_is_left_when_the_tests_are_killed(victim: subprocess.Popen[str]) -> None:
    assert victim.stdout is not None
    pids = [int(word) for word in victim.stdout.readline().split()]
    assert len(pids) == 3
    assert all(map(is_alive, pids))
    victim.kill()
    eventually_sync(lambda: not any(map(is_alive, pids)), within_s=30, what="etcd, API server and controllers gone")


def test_an_account_may_do_what_its_rules_say_and_no_more(bed: Bed, namespace: str) -> None:
    mine = service_account(bed, namespace, "viewer", rules=[LOOK])
    assert bed.kubectl("get", "tnode", "-o", "name", kubeconfig=mine) == ""
    with pytest.raises(AssertionError, match='cannot list resource "translationfleets"'):
        bed.kubectl("get", "tfleet", kubeconfig=mine)
    with pytest.raises(AssertionError, match="cannot list resource"):
        bed.kubectl("get", "tnode", "-A", kubeconfig=mine)
    service_account(bed, namespace, "viewer", rules=[])
    with pytest.raises(AssertionError, match='cannot list resource "translationnodes"'):
        bed.kubectl("get", "tnode", kubeconfig=mine)


def test_the_audit_log_tells_who_was_refused(bed: Bed, namespace: str) -> None:
    user = bed.user(token(bed, namespace, "default"))
    try:
        assert user.get(collection(NODE, namespace)).status == 403
    finally:
        user.close()
    name = f"system:serviceaccount:{namespace}:default"
    (refused,) = [event for event in bed.audit() if event["user"]["username"] == name]
    assert refused["verb"] == "list"
    assert refused["objectRef"]["resource"] == "translationnodes"
    assert refused["responseStatus"]["code"] == 403


def test_a_namespace_is_deleted_with_what_is_in_it(bed: Bed) -> None:
    name = bed.namespace("doomed")
    bed.api.create(collection(NODE, name), node()).expect()
    bed.api.delete(path("namespaces", name=name, group="v1")).expect()
    bed.api.until(path("namespaces", name=name, group="v1"), lambda found: not found, within_s=90)


def test_what_a_deleted_owner_owned_is_collected(bed: Bed, namespace: str) -> None:
    fleets, nodes = collection(FLEET, namespace), collection(NODE, namespace)
    made = bed.api.create(fleets, fleet("owner")).expect()
    reference = {"apiVersion": made["apiVersion"], "kind": FLEET, "name": "owner", "uid": made["metadata"]["uid"]}
    owned = node("owned")
    owned["metadata"]["ownerReferences"] = [reference]
    bed.api.create(nodes, owned).expect()
    bed.api.delete(f"{fleets}/owner", propagationPolicy="Background").expect()
    bed.api.until(f"{nodes}/owned", lambda found: not found, within_s=90)


def test_a_paused_api_server_comes_back_with_everything(tmp_path: Path) -> None:
    from kit.kube.bed import kubernetes

    with kubernetes(tmp_path, controllers=False) as mine:
        name = mine.namespace()
        mine.api.create(collection(NODE, name), node()).expect()
        mine.api_server.pause()
        mine.api_server.go_on()
        mine.api.get(f"{collection(NODE, name)}/a").expect()
        mine.api_server.stop(kill=True)
        mine.api_server.start()
        mine.wait_ready()
        mine.api.get(f"{collection(NODE, name)}/a").expect()


def where(**environment: str) -> subprocess.CompletedProcess[str]:
    """Ask the set-up script for the programs, with nothing of this machine's in its cache folder."""
    return subprocess.run(
        [ROOT / "setup/kubernetes", "--where"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_programs_that_were_not_built_are_asked_for_in_one_sentence(tmp_path: Path) -> None:
    asked = where(XDG_CACHE_HOME=str(tmp_path))
    assert asked.returncode == 3
    assert asked.stdout == ""
    assert "etcd kube-apiserver kube-controller-manager kubectl. Run `setup/kubernetes`" in asked.stderr
    assert list(tmp_path.iterdir()) == []


def test_assets_of_envtest_are_taken_and_only_the_rest_is_missing(tmp_path: Path) -> None:
    # envtest brings three programs; the controller manager is not among them.
    for name in ("etcd", "kube-apiserver", KUBECTL):
        (tmp_path / name).symlink_to(find(name))
    asked = where(XDG_CACHE_HOME=str(tmp_path), KUBEBUILDER_ASSETS=str(tmp_path))
    assert asked.returncode == 3
    assert "missing: kube-controller-manager. Run" in asked.stderr
    (tmp_path / "kube-controller-manager").symlink_to(find("kube-controller-manager"))
    asked = where(XDG_CACHE_HOME=str(tmp_path), KUBEBUILDER_ASSETS=str(tmp_path))
    assert asked.returncode == 0
    assert f"etcd {tmp_path}/etcd" in asked.stdout.splitlines()
