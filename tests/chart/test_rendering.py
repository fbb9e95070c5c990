"""What comes out of the chart for values that people really want."""

from __future__ import annotations

from typing import Any

import pytest

from kit import chart

RELEASED = {"app.kubernetes.io/instance": chart.RELEASE, "app.kubernetes.io/managed-by": "Helm"}
NO_NAMESPACE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}


@pytest.mark.parametrize("profile", chart.profiles())
def test_every_object_is_named_once_labelled_and_in_a_namespace(profile: str) -> None:
    bodies = chart.render(chart.profiles()[profile])
    names = [(body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"]) for body in bodies]
    assert len(names) == len(set(names)), names
    for kind, namespace, name in names:
        assert (namespace is None) == (kind in NO_NAMESPACE), name
        assert len(name) <= 63 or kind in NO_NAMESPACE, name
    for body in bodies:
        assert body["metadata"]["labels"].items() >= RELEASED.items(), body["metadata"]["name"]


@pytest.mark.parametrize("profile", chart.profiles())
def test_selectors_find_their_own_pods_and_no_others(profile: str) -> None:
    bodies = chart.render(chart.profiles()[profile])
    labels = {where: pod["metadata"]["labels"] for where, pod in chart.pods(bodies)}
    for body in bodies:
        if body["kind"] in ("Deployment", "StatefulSet"):
            wanted = body["spec"]["selector"]["matchLabels"]
            where = f"{body['kind']}/{body['metadata']['name']}"
            assert [found for found, has in labels.items() if wanted.items() <= has.items()] == [where]
        if body["kind"] == "Service":
            wanted = body["spec"]["selector"]
            assert len([found for found, has in labels.items() if wanted.items() <= has.items()]) == 1


def test_the_grace_of_a_scheduler_pod_is_the_sum_of_its_parts_and_the_drain_its_setting() -> None:
    values = {**chart.HOSTS, "scheduler": {"preStopSeconds": 7, "drainSeconds": 41, "marginSeconds": 3}}
    pod = chart.one(chart.render(values), "Deployment", "-scheduler")["spec"]["template"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == 7 + 41 + 3
    assert pod["spec"]["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": 7}}
    assert chart.environment(pod)["LINGUA_DRAIN_GRACE_MS"]["value"] == "41000"


@pytest.mark.parametrize(("mode", "written"), [("none", True), ("hpa", False), ("keda", False)])
def test_replicas_are_written_only_where_nobody_else_decides_them(mode: str, written: bool) -> None:
    bodies = chart.render({**chart.HOSTS, "scheduler": {"autoscaling": {"mode": mode}}})
    assert ("replicas" in chart.one(bodies, "Deployment", "-scheduler")["spec"]) is written
    scalers = [body["kind"] for body in bodies if body["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
    assert scalers == {"none": [], "hpa": ["HorizontalPodAutoscaler"], "keda": ["ScaledObject"]}[mode]


def test_pods_are_added_at_70_percent_of_what_one_takes_fast_and_removed_slowly() -> None:
    values = {**chart.HOSTS, "scheduler": {"maxSessionsPerPod": 300, "autoscaling": {"mode": "hpa"}}}
    bodies = chart.render(values)
    spec = chart.one(bodies, "HorizontalPodAutoscaler")["spec"]
    sessions, cpu = spec["metrics"]
    assert sessions["pods"]["metric"]["name"] == "lingua_sessions_active"
    assert sessions["pods"]["target"] == {"type": "AverageValue", "averageValue": "210"}
    assert cpu["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    assert spec["minReplicas"] >= 2
    assert spec["behavior"]["scaleUp"]["policies"] == [{"type": "Percent", "value": 100, "periodSeconds": 30}]
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert spec["behavior"]["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 120}]
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 600
    limit = chart.environment(chart.one(bodies, "Deployment", "-scheduler")["spec"]["template"])["LINGUA_SESSION_LIMIT"]
    assert limit["value"] == "300"


def test_keda_scales_like_the_autoscaler() -> None:
    hpa = chart.one(chart.render(chart.MATRIX["hpa"]), "HorizontalPodAutoscaler")["spec"]
    for profile in ("keda on prometheus", "keda on pods"):
        scaled = chart.one(chart.render(chart.MATRIX[profile]), "ScaledObject")["spec"]
        assert scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
        assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (hpa["minReplicas"], hpa["maxReplicas"])
        sessions, cpu = scaled["triggers"]
        wanted = hpa["metrics"][0]["pods"]["target"]["averageValue"]
        assert wanted in (sessions["metadata"].get("threshold"), sessions["metadata"].get("targetValue"))
        assert (cpu["type"], cpu["metadata"]["value"]) == ("cpu", "80")


@pytest.mark.parametrize(
    ("budget", "written"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"minAvailable": 1}, {"minAvailable": 1}),
        ({"minAvailable": 0}, {"minAvailable": 0}),
        ({"maxUnavailable": "25%"}, {"maxUnavailable": "25%"}),
    ],
)
def test_a_disruption_budget_has_one_bound(budget: dict[str, Any], written: dict[str, Any]) -> None:
    bodies = chart.render({**chart.HOSTS, "scheduler": {"podDisruptionBudget": budget}})
    spec = chart.one(bodies, "PodDisruptionBudget")["spec"]
    assert {name: value for name, value in spec.items() if name.endswith("vailable")} == written


def test_a_digest_wins_over_the_tag_and_the_registry_goes_before_every_image() -> None:
    bodies = chart.render(chart.MATRIX["a volume and a registry"])
    images = {where: pod["spec"]["containers"][0]["image"] for where, pod in chart.pods(bodies)}
    assert (
        images["Deployment/talk-lingua-scheduler"] == f"registry.example.com/lingua/lingua-scheduler@sha256:{'a' * 64}"
    )
    assert images["Deployment/talk-lingua-operator"] == "registry.example.com/lingua/lingua-operator:0.1.0"
    assert all(image.startswith("registry.example.com/lingua/") for image in images.values())
    for where, pod in chart.pods(bodies):
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}], where


@pytest.mark.parametrize(
    ("profile", "url"),
    [
        (
            "a server in parts",
            "rediss://lingua@redis.data:6380/3?ssl_ca_certs=/etc/lingua/redis/ca.crt"
            "&ssl_certfile=/etc/lingua/redis/tls.crt&ssl_keyfile=/etc/lingua/redis/tls.key",
        ),
        (
            "sentinels",
            "rediss+sentinel://s-0:26379,s-1:26379/main/0?ssl_ca_certs=/etc/lingua/redis/ca.crt",
        ),
        ("a cluster", "redis+cluster://r-0:6379,[fd00::1]:6379/"),
        ("hpa", "redis://redis.data:6379/0"),
    ],
)
def test_the_address_of_the_store_is_written_as_the_programs_read_it(profile: str, url: str) -> None:
    from lingua_state.routes import read_address

    bodies = chart.render(chart.MATRIX[profile])
    for part in ("-scheduler", "-operator"):
        pod = chart.one(bodies, "Deployment", part)["spec"]["template"]
        assert chart.environment(pod)["LINGUA_REDIS_URL"]["value"] == url
    kinds = {"a cluster": "cluster", "sentinels": "sentinel"}
    address = read_address(url)
    assert address.kind == kinds.get(profile, "direct")
    assert address.tls == url.startswith("rediss")


@pytest.mark.parametrize("profile", chart.profiles())
def test_every_file_that_a_variable_names_is_mounted(profile: str) -> None:
    """Secrets are files: of each, one key, under the name that the program is told."""
    for where, pod in chart.pods(chart.render(chart.profiles()[profile])):
        named = {
            variable["value"]
            for name, variable in chart.environment(pod).items()
            if name.endswith(("_FILE", "_NODE_TOKENS")) and not where.startswith("TranslationFleet")
        }
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
        mounted = {
            f"{mounts[volume['name']]}/{item['path']}"
            for volume in pod["spec"]["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
            for item in source.get("secret", {}).get("items", [])
        }
        assert named == mounted, where
        assert {volume["name"] for volume in pod["spec"]["volumes"]} == set(mounts), where


def test_the_bundled_store_keeps_its_password_out_of_arguments_and_variables() -> None:
    bodies = chart.render({"redis": {"bundled": {"enabled": True, "password": "Sesam1234567890Oeffne"}}})
    secret = chart.one(bodies, "Secret", "-valkey")
    assert "requirepass Sesam1234567890Oeffne" in secret["stringData"]["valkey.conf"]
    others = [body for body in bodies if body is not secret]
    assert "Sesam" not in str(others)


def test_no_two_installations_get_the_same_random_password() -> None:
    first = chart.one(chart.render(chart.BUNDLED), "Secret", "-valkey")["stringData"]["password"]
    second = chart.one(chart.render(chart.BUNDLED, "other"), "Secret", "-valkey")["stringData"]["password"]
    assert len(first) == len(second) == 32
    assert first != second


def test_only_pods_that_call_the_api_server_have_a_token() -> None:
    def with_token(values: chart.Values) -> list[str]:
        pods = chart.pods(chart.render(values))
        return sorted(where for where, pod in pods if pod["spec"]["automountServiceAccountToken"])

    tokens = {profile: with_token(values) for profile, values in chart.profiles().items()}
    operator, scheduler = "Deployment/talk-lingua-operator", "Deployment/talk-lingua-scheduler"
    fleet = ["Job/talk-lingua-fleet-apply", "Job/talk-lingua-fleet-remove"]
    end = "Job/talk-lingua-uninstall"
    assert tokens["to try out"] == [operator, end]
    assert tokens["to try out, with the node"] == [operator, *fleet, end]
    assert tokens["all checks of nodes"] == [operator, scheduler, *fleet, end]
    assert tokens["schedulers alone"] == []
    for profile, values in chart.profiles().items():
        accounts = chart.of_kind(chart.render(values), "ServiceAccount")
        assert all(account["automountServiceAccountToken"] is False for account in accounts), profile


def test_probes_of_the_scheduler_are_on_the_port_that_users_do_not_reach() -> None:
    bodies = chart.render(chart.HOSTS)
    container = chart.one(bodies, "Deployment", "-scheduler")["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "internal"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live", "never restarted for the store's sake"
    public = chart.one(bodies, "Service", "-scheduler")["spec"]["ports"]
    assert [port["targetPort"] for port in public] == ["public"]


def test_a_constraint_of_the_user_gets_the_selector_it_lacks() -> None:
    pod = chart.one(chart.render(chart.MATRIX["every key of the parts"]), "Deployment", "-scheduler")["spec"][
        "template"
    ]
    (constraint,) = pod["spec"]["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "rack"
    assert constraint["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
