# SPDX-License-Identifier: Apache-2.0
"""Triggers external and external-push. First: our own address, answered from the built-in store as samples arrive."""
import json
import time
import urllib.request

import pytest
import yaml

from conftest import wait_for
from pushing import push

METRIC = "vllm:num_requests_running"
OWN = "keda-otel-scaler.keda.svc:4318"


def deployment(name, replicas):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}},
                                  "spec": {"containers": [{"name": "app", "image": "local/app", "command": ["sleep", "1000"]}]}}}}


def scaledobject(name, metadata, kind="external", minimum=1, **spec):
    fast = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 100, "periodSeconds": 1}]}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name},
            "spec": {"scaleTargetRef": {"name": name}, "minReplicaCount": minimum, "maxReplicaCount": 8, "cooldownPeriod": 1,
                     "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleUp": fast, "scaleDown": fast}}},
                     "triggers": [{"type": kind, "metadata": metadata}], **spec}}


def own(name, target=2, **metadata):
    return {"scalerAddress": OWN, "targetValue": str(target),
            "metricQuery": f'sum({METRIC}{{namespace="default", deployment="{name}"}})', **metadata}


def create(f, *objects):
    f.kubectl("create", "-f", "-", stdin="---\n".join(yaml.safe_dump(o) for o in objects))


def replicas(f, name="web"):
    return f.get("deploy", name)["spec"]["replicas"]


def ready(f, name="web"):
    return {c["type"]: c for c in f.get("scaledobject", name)["status"]["conditions"]}["Ready"]


def load(f, value, name="web", pod="a"):
    push(f.web, [(METRIC, {"namespace": "default", "deployment": name, "pod": pod}, value)])


@pytest.fixture
def pushed(flyball_factory):
    return flyball_factory(args=["--enable-remote-write"])


def test_samples_that_are_pushed_scale_at_once(pushed):
    create(pushed, deployment("web", 1), deployment("other", 1), scaledobject("web", own("web")), scaledobject("other", own("other", 1)))
    wait_for("a pod is ready", lambda: pushed.get("deploy", "web")["status"].get("readyReplicas") == 1)
    load(pushed, 5)
    wait_for("three for five", lambda: replicas(pushed) == 3, 3)
    metric = pushed.get("hpa", "keda-hpa-web")["spec"]["metrics"][0]["external"]
    assert metric["metric"]["name"] == "s0-default-web" and metric["target"]["averageValue"] == "2"
    assert pushed.get("scaledobject", "web")["status"]["triggersTypes"] == "external"
    assert "external" in pushed.kubectl("get", "scaledobject", "web").stdout
    load(pushed, 1, pod="b")
    load(pushed, 2, "other", "c")
    wait_for("two for two", lambda: replicas(pushed, "other") == 2, 3)
    assert replicas(pushed) == 3  # six are three for each two
    load(pushed, None)  # pod a is gone: what it had no longer counts
    wait_for("one for one", lambda: replicas(pushed) == 1, 3)


def test_without_samples_the_count_is_held_and_said_so(pushed):
    create(pushed, deployment("web", 3), scaledobject("web", own("web")))
    wait_for("pods are ready", lambda: pushed.get("deploy", "web")["status"].get("readyReplicas") == 3)
    message = wait_for("it is said", lambda: (lambda c: c["message"] if c["status"] == "False" else None)(ready(pushed)), 12)
    assert METRIC in message and "do the pods push it?" in message
    assert replicas(pushed) == 3
    load(pushed, 9)
    wait_for("five for nine", lambda: replicas(pushed) == 5, 3)
    wait_for("it is well", lambda: ready(pushed)["status"] == "True", 5)


def test_a_restart_scales_nothing_before_the_pods_are_heard_again(pushed):
    create(pushed, deployment("web", 1), scaledobject("web", own("web")))
    wait_for("a pod is ready", lambda: pushed.get("deploy", "web")["status"].get("readyReplicas") == 1)
    load(pushed, 8)
    wait_for("four for eight", lambda: replicas(pushed) == 4, 3)
    pushed.kill()
    pushed.start()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert replicas(pushed) == 4
        time.sleep(0.2)
    load(pushed, 6)
    wait_for("three for six", lambda: replicas(pushed) == 3, 3)


def test_a_query_that_cannot_be_meant_is_refused_with_its_place(pushed):
    create(pushed, deployment("web", 1), scaledobject("web", own("web", metricQuery="rate(m)", operationOverTime="median")))
    message = wait_for("it is told", lambda: (lambda c: c["message"] if c["reason"] == "ScaledObjectCheckFailed" else None)(ready(pushed)), 8)
    assert "operationOverTime 'median'" in message and "rate" in message
    pushed.kubectl("patch", "scaledobject", "web", "--type", "merge", "-p", json.dumps(
        {"spec": {"triggers": [{"type": "external", "metadata": own("web", operationOverTime="rate", clampMax="7")}]}}))
    wait_for("it works", lambda: ready(pushed)["status"] == "True", 15)


def test_a_target_goes_to_zero_and_comes_back_with_the_first_request(pushed):
    create(pushed, deployment("web", 1), scaledobject("web", own("web"), minimum=0))
    load(pushed, 3)
    wait_for("two for three", lambda: replicas(pushed) == 2, 8)
    load(pushed, 0)
    wait_for("none", lambda: replicas(pushed) == 0, 10)
    load(pushed, 1)
    wait_for("one again", lambda: replicas(pushed) == 1, 3)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "dns:///localhost"])
def test_other_names_of_our_own_port_are_answered_within_too(pushed, address):
    port = pushed.env["FLYBALL_SCALER"].rsplit(":", 1)[1]
    create(pushed, deployment("web", 1), scaledobject("web", own("web", scalerAddress=f"{address}:{port}")))
    wait_for("a pod is ready", lambda: pushed.get("deploy", "web")["status"].get("readyReplicas") == 1)
    load(pushed, 5)
    wait_for("three for five", lambda: replicas(pushed) == 3, 3)


def otlp(f, pods, at=None):
    """One request as the sidecar sends it: {pod: running}."""
    nanos = str(int((at or time.time()) * 1e9))

    def resource(pod, value):
        who = {"k8s.namespace.name": "default", "k8s.deployment.name": "web", "k8s.pod.name": pod, "service.name": "kserve-container",
               "service.instance.id": "localhost:8080"}
        point = {"namespace": "default", "deployment": "web", "pod": pod, "model_name": "opt", "engine": "0"}
        attributes = [[{"key": k, "value": {"stringValue": v}} for k, v in d.items()] for d in (who, point)]
        number = {"attributes": attributes[1], "timeUnixNano": nanos, **({"flags": 1} if value is None else {"asDouble": value})}
        return {"resource": {"attributes": attributes[0]},
                "scopeMetrics": [{"metrics": [{"name": METRIC, "gauge": {"dataPoints": [number]}}]}]}
    body = json.dumps({"resourceMetrics": [resource(p, v) for p, v in pods.items()]}).encode()
    request = urllib.request.Request(f"http://{f.env['FLYBALL_OTLP']}/v1/metrics", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as r:
        answer = json.loads(r.read() or b"{}")
        assert r.status == 200 and not answer.get("partialSuccess"), answer


def test_otlp_scales_and_a_pod_that_ends_no_longer_counts(flyball):
    create(flyball, deployment("web", 1), scaledobject("web", own("web", 4)))
    wait_for("a pod is ready", lambda: flyball.get("deploy", "web")["status"].get("readyReplicas") == 1)
    otlp(flyball, {"a": 5.0})
    wait_for("two for five", lambda: replicas(flyball) == 2, 3)
    otlp(flyball, {"a": 5.0, "b": 11.0, "c": 4.0})
    wait_for("five for twenty", lambda: replicas(flyball) == 5, 3)
    otlp(flyball, {"b": None})  # no recorded value: the series is over
    wait_for("three for nine", lambda: replicas(flyball) == 3, 3)
    otlp(flyball, {"a": 0.0, "c": 1.0})
    wait_for("one for one", lambda: replicas(flyball) == 1, 3)
