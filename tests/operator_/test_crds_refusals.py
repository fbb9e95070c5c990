"""Each rule of the schemas has a manifest that it refuses, with words that tell what to do.

The tables are merge patches of a small valid manifest, what must be named in the refusal, and the remedy in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from kit.kube.manifests import FLEET, NODE, collection, fleet, full, merged, node, node_spec, schema, try_out
from kit.kube.schemas import rules

if TYPE_CHECKING:
    from kit.kube.api import Body
    from kit.kube.bed import Bed

POD = {"spec": {"containers": [{"name": "node", "image": "example.org/node:1"}]}}
LONG = "a" * 64


@dataclass(frozen=True, slots=True)
class Refused:
    """A patch, the field that the refusal names, and the words of the remedy."""

    patch: Body
    field: str
    remedy: str


def workload(**pod: Any) -> Body:
    """Patch a pod into a node's spec."""
    return {"workload": {"podTemplate": merged(POD, pod)}}


def container(**fields: Any) -> Body:
    """Patch a pod with one container into a node's spec."""
    return workload(spec={"containers": [{"name": "node", "image": "example.org/node:1", **fields}]})


#: What a node's spec refuses, in a TranslationNode and in the template of a fleet alike.
SPEC = {
    "no language": Refused({"languages": None}, "languages", "Required value"),
    "nothing heard": Refused({"languages": {"asr": None}}, "languages.asr", "Required value"),
    "nothing spoken": Refused({"languages": {"tts": None}}, "languages.tts", "Required value"),
    "an empty list of languages": Refused({"languages": {"asr": []}}, "languages.asr", "at least 1 items"),
    "a language twice": Refused({"languages": {"asr": ["en", "en"]}}, "languages.asr[1]", "Duplicate value"),
    "a language that is none": Refused({"languages": {"asr": ["en US"]}}, "languages.asr[0]", "written like en, pt-BR"),
    "a comma": Refused({"languages": {"tts": ["es,ca"]}}, "languages.tts[0]", "written like en, pt-BR"),
    "a line break": Refused({"languages": {"tts": ["es\n"]}}, "languages.tts[0]", "written like en, pt-BR"),
    "letters of another script": Refused(
        {"languages": {"asr": ["中文"]}}, "languages.asr[0]", "written like en, pt-BR"
    ),
    "braces": Refused({"languages": {"semantic": ["{es}"]}}, "languages.semantic[0]", "written like en, pt-BR"),
    "Norwegian read as a no": Refused({"languages": {"asr": [False]}}, "languages.asr[0]", "must be of type string"),
    "auto among what it says": Refused({"languages": {"tts": ["es", "auto"]}}, "languages.tts[1]", "auto is for asr"),
    "auto among what it means": Refused({"languages": {"semantic": ["auto", "es"]}}, "semantic[0]", "auto is for asr"),
    "only auto heard": Refused({"languages": {"asr": ["auto"]}}, "languages", "name at least one language to hear"),
    "one language only": Refused({"languages": {"tts": ["en"]}}, "languages", "another one to translate into"),
    "semantic without another": Refused({"languages": {"semantic": ["en"]}}, "languages", "another one to translate"),
    "a pair excluded that it does not hear": Refused(
        {"languages": {"exclude": [{"source": "fr", "target": "es"}]}}, "languages.exclude", "or remove the line"
    ),
    "a pair excluded that it does not say": Refused(
        {"languages": {"exclude": [{"source": "en", "target": "EN"}]}}, "languages.exclude", "write source as in asr"
    ),
    "a pair excluded twice": Refused(
        {"languages": {"exclude": [{"source": "en", "target": "es"}] * 2}}, "languages.exclude[1]", "Duplicate value"
    ),
    "half a pair": Refused({"languages": {"exclude": [{"source": "en"}]}}, "exclude[0].target", "Required value"),
    "an unknown service": Refused({"services": ["asr", "gpt"]}, "services[1]", '"asr", "nmt", "tts", "tone"'),
    "no service": Refused({"services": []}, "services", "at least 1 items"),
    "no jobs": Refused({"capacity": {"maxJobs": 0}}, "capacity.maxJobs", "greater than or equal to 1"),
    "half a job": Refused({"capacity": {"maxJobs": 1.5}}, "capacity.maxJobs", "must be of type integer"),
    "a weight with a fraction": Refused({"weight": 0.5}, "weight", "must be of type integer"),
    "a weight as text": Refused({"weight": "100"}, "weight", "must be of type integer"),
    "a negative weight": Refused({"weight": -1}, "weight", "greater than or equal to 0"),
    "a weight beyond all numbers": Refused({"weight": 2**63}, "weight", "integer"),
    "On, which YAML reads as true": Refused({"scheduling": True}, "scheduling", '"Active", "Cordoned", "Draining"'),
    "Off, which YAML reads as false": Refused({"scheduling": False}, "scheduling", '"Active", "Cordoned", "Draining"'),
    "small letters": Refused({"scheduling": "active"}, "scheduling", '"Active", "Cordoned", "Draining"'),
    "access for nobody": Refused({"access": {}}, "access", "leave access out for a public node"),
    "an empty list of tenants": Refused({"access": {"tenants": []}}, "access.tenants", "at least 1 items"),
    "a tenant with a space": Refused({"access": {"tenants": ["a b"]}}, "tenants[0]", "as the tokens of its clients do"),
    "a tenant with a colon": Refused({"access": {"tenants": ["a:b"]}}, "tenants[0]", "as the tokens of its clients do"),
    "a pairing secret without a key": Refused(
        {"access": {"pairingSecretRef": {"name": "code"}}}, "pairingSecretRef.key", "Required value"
    ),
    "a pairing secret of another namespace": Refused(
        {"access": {"pairingSecretRef": {"name": "other/code", "key": "code"}}},
        "access.pairingSecretRef.name",
        "without the namespace",
    ),
    "a key with a slash": Refused(
        {"access": {"pairingSecretRef": {"name": "code", "key": "../code"}}}, "pairingSecretRef.key", "made of letters"
    ),
    "no way to prove itself": Refused({"auth": {}}, "auth", "give exactly one of serviceAccountName"),
    "two ways to prove itself": Refused(
        {"auth": {"serviceAccountName": "a", "tokenSecretRef": {"name": "a", "key": "b"}}}, "auth", "give exactly one"
    ),
    "a secret of another namespace": Refused(
        {"auth": {"tokenSecretRef": {"name": "kube-system/admin", "key": "token"}}},
        "auth.tokenSecretRef.name",
        "without the namespace",
    ),
    "a secret's key with a space": Refused(
        {"auth": {"tokenSecretRef": {"name": "a", "key": "a b"}}}, "tokenSecretRef.key", "made of letters, digits"
    ),
    "an account of another namespace": Refused(
        {"auth": {"serviceAccountName": "system:serviceaccount:other:admin"}},
        "auth.serviceAccountName",
        "without the namespace",
    ),
    "a negative deadline": Refused({"drainDeadlineSeconds": -1}, "drainDeadlineSeconds", "greater than or equal to 0"),
    "a deadline as text": Refused({"drainDeadlineSeconds": "5m"}, "drainDeadlineSeconds", "must be of type integer"),
    "a workload without a pod": Refused({"workload": {}}, "workload.podTemplate", "Required value"),
    "a pod without containers": Refused(
        {"workload": {"podTemplate": {"spec": {}}}}, "podTemplate.spec.containers", "Required value"
    ),
    "a container without an image": Refused(
        {"workload": {"podTemplate": {"spec": {"containers": [{"name": "node"}]}}}}, "containers[0].image", "Required"
    ),
    "another account in the pod": Refused(
        {"auth": {"serviceAccountName": "speaker"}, **workload(spec={"serviceAccountName": "admin"})},
        "workload.podTemplate.spec.serviceAccountName",
        ": write the same name here, or leave it out here",
    ),
    "our own labels": Refused(
        workload(metadata={"labels": {"lingua.dev/node-id": "a"}}),
        "metadata.labels",
        "set by the operator: remove them",
    ),
    "the host's network": Refused(workload(spec={"hostNetwork": True}), "podTemplate.spec", "remove hostNetwork"),
    "the host's processes": Refused(workload(spec={"hostPID": True}), "podTemplate.spec", "remove hostNetwork"),
    "the host's memory": Refused(workload(spec={"hostIPC": True}), "podTemplate.spec", "remove hostNetwork"),
    "the host's folders": Refused(
        workload(spec={"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}), "volumes[0]", "use emptyDir"
    ),
    "a privileged container": Refused(
        container(securityContext={"privileged": True}), "containers[0]", "remove securityContext.privileged"
    ),
    "a container that gains privileges": Refused(
        container(securityContext={"allowPrivilegeEscalation": True}),
        "containers[0]",
        "allowPrivilegeEscalation to false",
    ),
    "a privileged first container": Refused(
        workload(spec={"initContainers": [{"name": "a", "image": "b", "securityContext": {"privileged": True}}]}),
        "initContainers[0]",
        "remove securityContext.privileged",
    ),
    "a first container that gains privileges": Refused(
        workload(
            spec={
                "initContainers": [{"name": "a", "image": "b", "securityContext": {"allowPrivilegeEscalation": True}}]
            }
        ),
        "initContainers[0]",
        "allowPrivilegeEscalation to false",
    ),
}

#: What only a TranslationNode can get wrong.
OF_NODES = {
    "a long name": Refused({"metadata": {"name": LONG}}, "", "choose a shorter one"),
    "no spec": Refused({"spec": None}, "spec", "Required value"),
    "an id with a space": Refused({"spec": {"nodeId": "a b"}}, "spec.nodeId", "leave out spaces"),
    "an id with a comma": Refused({"spec": {"nodeId": "a,b"}}, "spec.nodeId", "leave out spaces"),
    "an id with braces": Refused({"spec": {"nodeId": "{a}"}}, "spec.nodeId", "leave out spaces"),
    "an id with an accent": Refused({"spec": {"nodeId": "köln"}}, "spec.nodeId", "letters, digits"),
    "an id that ends its line": Refused({"spec": {"nodeId": "a\n"}}, "spec.nodeId", "letters, digits"),
    "an id that is a key of another": Refused({"spec": {"nodeId": "a:jobs"}}, "spec.nodeId", "give it another end"),
    "an empty id": Refused({"spec": {"nodeId": ""}}, "spec.nodeId", "at least 1 chars long"),
}

#: What only a TranslationFleet can get wrong.
OF_FLEETS = {
    "a long name": Refused({"metadata": {"name": LONG}}, "", "choose a shorter one"),
    "no spec": Refused({"spec": None}, "spec", "Required value"),
    "no template": Refused({"spec": {"template": None}}, "spec.template", "Required value"),
    "fewer than none": Refused({"spec": {"replicas": -1}}, "spec.replicas", "greater than or equal to 0"),
    "10 001 nodes": Refused({"spec": {"replicas": 10_001}}, "spec.replicas", "less than or equal to 10000"),
    "half a node": Refused({"spec": {"replicas": 1.5}}, "spec.replicas", "must be of type integer"),
    "an unknown order": Refused({"spec": {"scaleDown": "Oldest"}}, "spec.scaleDown", '"LeastBusyFirst", "NewestFirst"'),
    "an unknown deletion": Refused({"spec": {"deletionPolicy": "Wait"}}, "deletionPolicy", '"Drain", "Immediate"'),
    "no surge, and none missing by default": Refused(
        {"spec": {"updateStrategy": {"maxSurge": 0}}}, "spec.updateStrategy", "set one of them to 1 or more"
    ),
    "neither surge nor missing, as shares": Refused(
        {"spec": {"updateStrategy": {"maxSurge": "0%", "maxUnavailable": "0%"}}}, "updateStrategy", "set one of them"
    ),
    "a negative surge": Refused({"spec": {"updateStrategy": {"maxSurge": -1}}}, "maxSurge", "from 0 to 10000"),
    "a surge above all bounds": Refused({"spec": {"updateStrategy": {"maxSurge": 10_001}}}, "maxSurge", "to 10000"),
    "a surge of more than all": Refused({"spec": {"updateStrategy": {"maxSurge": "101%"}}}, "maxSurge", "0% to 100%"),
    "a surge as bare text": Refused({"spec": {"updateStrategy": {"maxSurge": "25"}}}, "maxSurge", "0% to 100%"),
    "a fraction missing": Refused({"spec": {"updateStrategy": {"maxUnavailable": 1.5}}}, "maxUnavailable", "integer"),
    "a negative number missing": Refused(
        {"spec": {"updateStrategy": {"maxUnavailable": -5}}}, "maxUnavailable", "a number of nodes from 0 to 10000"
    ),
    "more missing than there are": Refused(
        {"spec": {"updateStrategy": {"maxUnavailable": "200%"}}}, "maxUnavailable", "a share from 0% to 100%"
    ),
    "our own labels": Refused(
        {"spec": {"template": {"metadata": {"labels": {"lingua.dev/fleet": "b"}}}}},
        "spec.template.metadata.labels",
        "set by the operator: remove them",
    ),
}

#: What can't be changed later, from the smallest node with this id (none: without one).
LATER = {
    "another id": ("a", Refused({"spec": {"nodeId": "b"}}, "spec.nodeId", "delete this TranslationNode and create")),
    "an id where there was none": (None, Refused({"spec": {"nodeId": "b"}}, "spec.nodeId", "can't be changed, added")),
    "no id any more": ("a", Refused({"spec": {"nodeId": None}}, "spec.nodeId", "delete this TranslationNode")),
}


def cases(table: dict[str, Refused]) -> pytest.MarkDecorator:
    """Make one test of each row."""
    return pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in table.items()])


def judge(bed: Bed, resource: Body, row: Refused) -> None:
    """Expect that the API server refuses ``resource`` with the words of ``row``."""
    answer = try_out(bed, resource)
    assert answer.status == 422, answer.message or "it was taken"
    assert row.field in answer.message
    assert row.remedy in answer.message


@cases(SPEC)
def test_a_node_is_refused(bed: Bed, row: Refused) -> None:
    judge(bed, merged(node(), {"spec": row.patch}), row)


@cases(SPEC)
def test_the_template_of_a_fleet_is_refused(bed: Bed, row: Refused) -> None:
    judge(bed, merged(fleet(), {"spec": {"template": {"spec": row.patch}}}), row)


@cases(OF_NODES)
def test_what_is_only_in_nodes_is_refused(bed: Bed, row: Refused) -> None:
    judge(bed, merged(node(), row.patch), row)


@cases(OF_FLEETS)
def test_what_is_only_in_fleets_is_refused(bed: Bed, row: Refused) -> None:
    judge(bed, merged(fleet(), row.patch), row)


@pytest.mark.parametrize(("node_id", "row"), LATER.values(), ids=LATER)
def test_the_id_of_a_node_stays(bed: Bed, namespace: str, node_id: str | None, row: Refused) -> None:
    where = collection(NODE, namespace)
    bed.api.create(where, merged(node(), {"spec": {"nodeId": node_id}})).expect()
    answer = bed.api.patch(f"{where}/a", row.patch)
    assert answer.status == 422
    assert row.field in answer.message
    assert row.remedy in answer.message


@pytest.mark.parametrize("kind", [NODE, FLEET])
def test_the_manifest_with_every_field_is_taken_as_it_is(bed: Bed, kind: str) -> None:
    written = full(kind)
    kept = try_out(bed, written, fieldValidation="Strict").expect()
    assert kept["spec"] == written["spec"]
    assert node_spec(written).keys() >= schema(NODE)["properties"]["spec"]["properties"].keys() - {"nodeId"}


@pytest.mark.parametrize("kind", [NODE, FLEET])
def test_every_rule_has_a_row(kind: str) -> None:
    own = OF_NODES if kind == NODE else OF_FLEETS
    rows = [*SPEC.values(), *own.values(), *(row for _, row in LATER.values())]
    unproved = [
        (where, words) for where, words in rules(schema(kind)) if not any(proves(row, where, words) for row in rows)
    ]
    assert unproved == []


def proves(row: Refused, where: str, words: str) -> bool:
    """Tell whether a row is refused by the rule with these words at this place."""
    field = re.sub(r"\[\d+\]", "[]", row.field)
    return row.remedy in words and (where.endswith(field) if field else where == "")
