"""ServiceAccounts with just the rights that a test gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.kube.api import Body, path
from kit.kube.authority import write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kit.kube.bed import Bed

RBAC = "rbac.authorization.k8s.io/v1"
_TOKEN_S = 3600


def service_account(
    bed: Bed, namespace: str, name: str, *, rules: Sequence[Body] = (), cluster_rules: Sequence[Body] = ()
) -> Path:
    """Make a ServiceAccount with a Role and a ClusterRole of these rules, and return a kubeconfig of it.

    Calling it again changes the rules. A role's empty list of rules takes every right away.
    """
    bed.account(namespace, name)
    _grant(bed, namespace, name, "Role", rules)
    _grant(bed, namespace, name, "ClusterRole", cluster_rules)
    where = bed.directory / f"{namespace}.{name}.kubeconfig"
    return write_kubeconfig(where, bed.url, bed.authority.pem, token(bed, namespace, name), namespace)


def token(bed: Bed, namespace: str, name: str, audiences: Sequence[str] = ()) -> str:
    """Get a token of a ServiceAccount, valid for an hour, for the API server or for ``audiences``."""
    where = path("serviceaccounts", namespace, f"{name}/token", group="v1")
    body = {"spec": {"expirationSeconds": _TOKEN_S, "audiences": list(audiences)}}
    return str(bed.api.create(where, body).expect()["status"]["token"])


def _grant(bed: Bed, namespace: str, account: str, kind: str, rules: Sequence[Body]) -> None:
    within = namespace if kind == "Role" else None
    # A ClusterRole belongs to no namespace, so its name says whose it is.
    name = account if within else f"{namespace}.{account}"
    plural = f"{kind.lower()}s"
    role = {"apiVersion": RBAC, "kind": kind, "metadata": {"name": name}, "rules": list(rules)}
    bed.api.apply(path(plural, within, name, group=RBAC), role).expect()
    binding = {
        "apiVersion": RBAC,
        "kind": f"{kind}Binding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }
    bed.api.apply(path(f"{kind.lower()}bindings", within, name, group=RBAC), binding).expect()
