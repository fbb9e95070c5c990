"""How kopf is set up: own finalizer and annotations, small storages, bounded watches, no peering.

kopf's defaults keep the whole spec and each handler's progress in annotations. A reconcile is repeatable, so a digest
of the spec is enough, and progress needs no place in the resource at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any

import kopf

from lingua_operator.cluster import MANAGER
from lingua_operator.pods import LABEL_MANAGED, MANAGED
from lingua_operator.resource import FINALIZER, OWN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingua_operator.settings import OperatorSettings

_HANDLED = f"{OWN}/handled"
_TOUCHED = f"{OWN}/looked-again"


class SpecDigest(kopf.DiffBaseStorage):
    """Remember which spec was handled by a digest: a spec can be larger than an annotation may be, and labels and
    annotations of others change nothing for us."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:
        """Reduce a resource to what is compared."""
        text = json.dumps(dict(body.get("spec") or {}), sort_keys=True, default=dict)
        return _essence(hashlib.sha256(text.encode()).hexdigest()[:32])

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Read which spec was handled; None: none was."""
        digest = body.metadata.annotations.get(_HANDLED)
        return _essence(digest) if digest else None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Write which spec was handled."""
        patch.metadata.annotations[_HANDLED] = essence["spec"]["digest"]


def _essence(digest: str) -> kopf.BodyEssence:
    return kopf.BodyEssence({"spec": {"digest": digest}})


class NoProgress(kopf.ProgressStorage):
    """Keep nothing of a handler's progress: each call begins from what is there. Only the end of a long wait leaves a
    mark, since kopf needs a change to look again."""

    def fetch(self, *, key: Any, body: kopf.Body) -> None:  # noqa: ANN401 - kopf's
        """Find nothing."""

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:  # noqa: ANN401 - kopf's
        """Keep nothing."""

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:  # noqa: ANN401 - kopf's
        """Have nothing to remove."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Change one annotation, so that the resource comes by again."""
        if value is not None and body.metadata.annotations.get(_TOUCHED) != value:
            patch.metadata.annotations[_TOUCHED] = value

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Have nothing to hide."""
        return essence


def kopf_settings(settings: OperatorSettings) -> kopf.OperatorSettings:
    """Set kopf up."""
    made = kopf.OperatorSettings()
    made.persistence.finalizer = FINALIZER
    made.persistence.diffbase_storage = SpecDigest()
    made.persistence.progress_storage = NoProgress()
    made.peering.standalone = True
    made.posting.enabled = True
    made.posting.level = logging.WARNING
    made.posting.reporting_component = MANAGER
    made.posting.event_name_prefix = f"{MANAGER}-"
    made.networking.request_timeout = settings.kubernetes.timeout_ms / 1000
    made.networking.trust_env = True
    made.watching.server_timeout = settings.watch.server_timeout_ms // 1000
    made.watching.inactivity_timeout = settings.watch.inactivity_ms / 1000
    made.watching.initial_streaming = settings.watch.initial_streaming
    made.watching.label_selectors["", "v1", "pods"] = f"{LABEL_MANAGED}={MANAGED}"
    made.queueing.worker_limit = None
    made.queueing.exit_timeout = 1.0
    # What kopf drops by an error of the API server it does not try again; the resync does.
    made.queueing.error_delays = (0.5, 1, 2, 5, 10)
    # Kinds and namespaces are not looked for, so no right to list them is needed; the program waits for its kinds.
    made.scanning.disabled = True
    return made
