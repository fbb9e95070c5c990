"""The kinds of objects that the operator reads and writes, as a URL and an ``apiVersion`` name them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object, as a URL and an ``apiVersion`` name it."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """Write it as objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version


NODES = Kind("lingua.dev", "v1alpha1", "TranslationNode", "translationnodes")
FLEETS = Kind("lingua.dev", "v1alpha1", "TranslationFleet", "translationfleets")
PODS = Kind("", "v1", "Pod", "pods")
SECRETS = Kind("", "v1", "Secret", "secrets")
LEASES = Kind("coordination.k8s.io", "v1", "Lease", "leases")
NAMESPACES = Kind("", "v1", "Namespace", "namespaces")
EVENTS = Kind("", "v1", "Event", "events")
