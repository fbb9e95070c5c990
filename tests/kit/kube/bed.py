"""A real Kubernetes API server on the loopback: etcd, kube-apiserver and kube-controller-manager, without kubelets.

What it is for: schema, admission, status, finalizers, garbage collection, RBAC, watches. Pods are stored and never run.
Every request of a test's users is in the audit log (:meth:`Bed.audit`).
"""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from kit.eventually import eventually_sync
from kit.kube.api import Api, Body, path
from kit.kube.authority import Authority, Pem, private_pem, write_kubeconfig
from kit.kube.programs import API_SERVER, CONTROLLERS, ETCD, KUBECTL, Program, ProgramEnded, find
from lingua_state.embedded import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

CRDS = Path(__file__).resolve().parents[3] / "crds"
DEFINITIONS = path("customresourcedefinitions", group="apiextensions.k8s.io/v1")
#: A safety, not an expectation: it takes about four seconds.
READY_S = 90.0
#: Other programs look for free ports at the same moment.
_TRIES = 3
#: What the programs of the bed do among themselves is nobody's business.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver", "system:kube-controller-manager"]},
        {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/openapi/*"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True, slots=True)
class Bed:
    """A running API server. ``api`` is its administrator; ``kubeconfig`` is what programs need to be that."""

    url: str
    directory: Path
    authority: Authority
    kubeconfig: Path
    api: Api
    etcd: Program
    api_server: Program
    controllers: Program | None

    def namespace(self, prefix: str = "test", labels: dict[str, str] | None = None) -> str:
        """Make a namespace with a name of its own, in which pods can be created at once."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        metadata = {"name": name, "labels": labels or {}}
        self.api.create(path("namespaces", group="v1"), {"metadata": metadata}).expect()
        # The controller manager would make it too, some time later.
        self.account(name, "default")
        return name

    def account(self, namespace: str, name: str) -> None:
        """Make a ServiceAccount, unless it is there."""
        accounts = path("serviceaccounts", namespace, group="v1")
        answer = self.api.create(accounts, {"metadata": {"name": name}})
        assert answer.ok or answer.status == 409, answer.message

    def user(self, token: str) -> Api:
        """Speak to the API server with a bearer token."""
        return Api(self.url, self.trust(), token)

    def trust(self) -> ssl.SSLContext:
        """Return a client context that trusts this server and shows no certificate."""
        return ssl.create_default_context(cadata=self.authority.pem.decode())

    def kubectl(self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl, as the administrator unless told otherwise, and return what it prints.

        :raises AssertionError: it failed; the message is what it said.
        """
        command = [str(find(KUBECTL)), "--kubeconfig", str(kubeconfig or self.kubeconfig), *arguments]
        # Its home is the bed: no cache and no settings of the person who runs the tests.
        environment = {"HOME": str(self.directory), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, env=environment, timeout=READY_S
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def audit(self) -> list[Body]:
        """List every request that users of the bed made, the oldest first (audit.k8s.io/v1 Event, level Metadata)."""
        # A line may be half written at this moment: its request has no answer yet.
        whole, _, _ = (self.directory / "audit.log").read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def wait_ready(self) -> None:
        """Wait until the API server answers and is ready."""
        eventually_sync(self._is_ready, within_s=READY_S, what="API server ready")

    def _is_ready(self) -> bool:
        self.etcd.check()
        self.api_server.check()
        try:
            return self.api.get("/readyz").status == 200
        except OSError:
            return False


@contextmanager
def kubernetes(directory: Path, *, controllers: bool = True, crds: bool = True) -> Iterator[Bed]:
    """Run an API server for the time of the ``with``; this blocks until it is ready.

    :param directory: empty; everything is kept there, the logs too.
    :param controllers: run the controller manager: namespaces, garbage collection and the rest.
    :param crds: define the project's resources.
    """
    bed = _start(directory, controllers=controllers)
    try:
        if crds:
            define_resources(bed.api)
        yield bed
    finally:
        _stop(bed)


def define_resources(api: Api, folder: Path = CRDS) -> None:
    """Create the project's resource definitions and wait until they are served."""
    found = [yaml.safe_load(file.read_text()) for file in sorted(folder.glob("*.yaml"))]
    for definition in found:
        api.apply(f"{DEFINITIONS}/{definition['metadata']['name']}", definition).expect()
    for definition in found:
        api.until(f"{DEFINITIONS}/{definition['metadata']['name']}", _is_established)
        _wait_served(api, path(definition["spec"]["names"]["plural"]))


def _wait_served(api: Api, where: str) -> None:
    eventually_sync(lambda: api.get(where, limit="1").ok, within_s=READY_S, what=f"{where} served")


def _is_established(definition: Body) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any(found["type"] == "Established" and found["status"] == "True" for found in conditions)


def _start(directory: Path, *, controllers: bool) -> Bed:
    tries = _TRIES
    while True:
        tries -= 1
        attempt = directory / str(tries)
        attempt.mkdir(parents=True)
        bed = _lay_out(attempt, controllers=controllers)
        try:
            bed.etcd.start()
            bed.api_server.start()
            bed.wait_ready()
            if bed.controllers is not None:
                bed.controllers.start()
        except ProgramEnded:  # somebody else may have taken a free port meanwhile
            _stop(bed)
            if tries == 0:
                raise
        except BaseException:
            _stop(bed)
            raise
        else:
            return bed


def _stop(bed: Bed) -> None:
    bed.api.close()
    # In this order nobody misses anybody; none has anything worth keeping.
    for program in (bed.controllers, bed.api_server, bed.etcd):
        if program is not None:
            program.stop(kill=True)


def _lay_out(directory: Path, *, controllers: bool) -> Bed:
    authority, port = Authority(), free_port()
    url = f"https://127.0.0.1:{port}"
    admin = authority.user("bed-admin")
    kubeconfig = write_kubeconfig(directory / "kubeconfig", url, authority.pem, admin)
    (directory / "ca.crt").write_bytes(authority.pem)
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.load_cert_chain(*admin.write(directory, "admin"))
    etcd_port = free_port()
    return Bed(
        url=url,
        directory=directory,
        authority=authority,
        kubeconfig=kubeconfig,
        api=Api(url, context),
        etcd=Program(ETCD, _etcd(directory, etcd_port), directory),
        api_server=Program(API_SERVER, _api_server(directory, authority.server(), port, etcd_port), directory),
        controllers=Program(CONTROLLERS, _controllers(directory, url, authority), directory) if controllers else None,
    )


def _etcd(directory: Path, port: int) -> list[str]:
    clients, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    options = {
        "data-dir": directory / "etcd",
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
        "log-level": "error",
    }
    return [*_options(options), "--unsafe-no-fsync"]


def _api_server(directory: Path, identity: Pem, port: int, etcd_port: int) -> list[str]:
    certificate, key = identity.write(directory, "server")
    accounts_key = directory / "accounts.key"
    accounts_key.write_bytes(private_pem(ec.generate_private_key(ec.SECP256R1())))
    (directory / "audit-policy.yaml").write_text(json.dumps(_AUDIT_POLICY))
    return _options(
        {
            "etcd-servers": f"http://127.0.0.1:{etcd_port}",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "endpoint-reconciler-type": "none",
            "secure-port": port,
            "tls-cert-file": certificate,
            "tls-private-key-file": key,
            "client-ca-file": directory / "ca.crt",
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": accounts_key,
            "service-account-signing-key-file": accounts_key,
            "service-cluster-ip-range": "10.0.0.0/24",
            "audit-policy-file": directory / "audit-policy.yaml",
            "audit-log-path": directory / "audit.log",
            "allow-privileged": "true",  # so that what refuses a pod is Pod Security, as in a real cluster
        }
    )


def _controllers(directory: Path, url: str, authority: Authority) -> list[str]:
    name = "system:kube-controller-manager"
    kubeconfig = write_kubeconfig(directory / "controllers.kubeconfig", url, authority.pem, authority.user(name, name))
    return _options(
        {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "root-ca-file": directory / "ca.crt",
            "service-account-private-key-file": directory / "accounts.key",
            "leader-elect": "false",
            "horizontal-pod-autoscaler-sync-period": "2s",  # 15 s is for people; a test waits for it
            "secure-port": "0",
            # As administrators set it up; without it all controllers would need one user with every right.
            "use-service-account-credentials": "true",
        }
    )


def _options(options: dict[str, Any]) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items()]
