# SPDX-License-Identifier: Apache-2.0
"""/metrics has every series of KEDA's operator and webhook, with KEDA's names, types and labels (keda.md 7.1)."""
import re
import urllib.request

import pytest
import yaml

from conftest import wait_for
from test_bad_prometheus import Server, vector
from test_hpa import create

TRIGGER = {"namespace", "metric", "scaledObject", "scaler", "triggerIndex", "type"}
OBJECT = {"namespace", "scaledObject"}
HTTP = {"namespace", "scaled_resource", "scaler", "trigger_name", "metric_name", "status_code"}
WEBHOOK = {"namespace", "action"}
EXPECTED = {
    "keda_build_info": ("gauge", {"version", "git_commit", "goversion", "goos", "goarch"}),
    "keda_scaler_metrics_value": ("gauge", TRIGGER),
    "keda_scaler_metrics_latency_seconds": ("gauge", TRIGGER),
    "keda_scaler_active": ("gauge", TRIGGER),
    "keda_scaler_detail_errors_total": ("counter", TRIGGER),
    "keda_scaler_empty_upstream_responses_total": (
        "counter", {"namespace", "scaledResource", "triggerName", "metricName", "resourceType", "ignoreNullValues"}),
    "keda_scaler_http_requests_total": ("counter", HTTP),
    "keda_scaler_http_request_duration_seconds": ("histogram", {"scaler", "status_code"}),
    "keda_scaled_object_errors_total": ("counter", OBJECT),
    "keda_scaled_object_paused": ("gauge", OBJECT),
    "keda_trigger_registered_total": ("gauge", {"type"}),
    "keda_resource_registered_total": ("gauge", {"type", "namespace"}),
    "keda_internal_scale_loop_latency_seconds": ("gauge", {"namespace", "type", "resource"}),
    "keda_webhook_scaled_object_validations_total": ("counter", WEBHOOK),
    "keda_webhook_scaled_object_validation_errors_total": ("counter", WEBHOOK | {"reason"}),
    # their names before 2.16
    "keda_webhook_scaled_object_validation_total": ("counter", WEBHOOK),
    "keda_webhook_scaled_object_validation_errors": ("counter", WEBHOOK | {"reason"}),
}


def scrape(f):
    """Types by name, and [(labels, value)] of each family that is KEDA's."""
    text = urllib.request.urlopen(f.web + "/metrics", timeout=5).read().decode()
    types = dict(re.findall(r"^# TYPE (keda_(?!otel_)\w+) (\w+)$", text, re.M))
    series = {name: [] for name in types}
    for name, labels, value in re.findall(r"^(keda_(?!otel_)\w+)\{(.*)\} (\S+)$", text, re.M):
        family = name if name in types else re.sub(r"_(bucket|sum|count)$", "", name)
        found = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))
        if name.endswith("_bucket"):
            found.pop("le")
        series[family].append((found, float(value)))
    return types, series


def value(f, name, **labels):
    """The one series that has these labels; None: there is none."""
    found = [v for have, v in scrape(f)[1][name] if labels.items() <= have.items()]
    assert len(found) <= 1, (name, labels, found)
    return found[0] if found else None


@pytest.fixture
def busy(flyball):
    """A cluster in which every family has something to tell: triggers of several types, one that fails, one with an
    empty answer, a formula, authentications, a refused ScaledObject."""
    server = Server()

    def reply(h):
        if "fails" in h.path:
            h.send(500, b"no")
        else:
            h.send(200, vector() if "empty" in h.path else vector("3"))

    server.reply = reply

    def scaledobject(name, *triggers, **spec):
        return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name},
                "spec": {"scaleTargetRef": {"name": name}, "pollingInterval": 1, "triggers": list(triggers), **spec}}

    def prometheus(query, name=None):
        return {"type": "prometheus", **({"name": name} if name else {}),
                "metadata": {"serverAddress": server.url, "query": query, "threshold": "5"}}

    def deployment(name):
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
                "spec": {"selector": {"matchLabels": {"app": name}},
                         "template": {"metadata": {"labels": {"app": name}},
                                      "spec": {"containers": [{"name": "c", "image": "local/app", "command": ["sleep", "1000"],
                                                               "resources": {"requests": {"cpu": "1"}}}]}}}}

    own = {"type": "prometheus", "metadata": {"serverAddress": "http://prometheus.istio-system.svc:9090",
                                              "query": "vector(2)", "threshold": "5"}}
    nothing = {"type": "prometheus", "metadata": {**own["metadata"], "query": "no_such_series"}}
    cron = {"type": "cron", "metadata": {"timezone": "UTC", "start": "0 0 1 1 *", "end": "0 1 1 1 *", "desiredReplicas": "1"}}
    cpu = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "50"}}
    create(flyball, deployment("a"), deployment("b"),
           {"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": {"name": "t"}, "spec": {}},
           {"apiVersion": "keda.sh/v1alpha1", "kind": "ClusterTriggerAuthentication", "metadata": {"name": "t"}, "spec": {}},
           scaledobject("a", prometheus("good", "mine"), prometheus("empty"), prometheus("fails"), own, cron, cpu, nothing),
           scaledobject("b", prometheus("good", "x"), advanced={"scalingModifiers": {"formula": "x * 2", "target": "5"}}))
    refused = scaledobject("c", prometheus("good"), scaleTargetRef={"name": "a"})
    assert "denied" in flyball.kubectl("create", "-f", "-", stdin=yaml.safe_dump(refused), check=False).stderr
    yield flyball
    server.close()


def test_every_series_of_keda_is_there_with_its_labels(busy):
    wait_for("something to tell in every family", lambda: all(scrape(busy)[1].get(name) for name in EXPECTED), 15)
    types, series = scrape(busy)
    assert types == {name: kind for name, (kind, _) in EXPECTED.items()}
    for name, (_, labels) in EXPECTED.items():
        for found, _ in series[name]:
            assert set(found) == labels, (name, found)


def test_what_they_say(busy):
    wait_for("errors and values", lambda: value(busy, "keda_scaler_detail_errors_total", metric="s2-prometheus") and
             value(busy, "keda_scaler_metrics_value", scaledObject="b", scaler="composite-metric") == 6, 15)
    a = {"scaledObject": "a", "namespace": "default", "type": "scaledobject"}
    # the one that works has none, and says so
    assert value(busy, "keda_scaler_detail_errors_total", metric="s0-prometheus", **a) == 0
    assert value(busy, "keda_scaler_metrics_value", scaler="mine", triggerIndex="0", **a) == 3
    # nobody is asked, and yet it takes its time; of cpu nothing is fetched
    found = {labels["triggerIndex"]: v for labels, v in scrape(busy)[1]["keda_scaler_metrics_latency_seconds"]
             if labels["scaledObject"] == "a"}
    assert set(found) == set("012346") and all(0 < v < 3 for v in found.values()), found
    # a server's empty answers, and looks that found nothing here
    for metric in ("s1-prometheus", "s6-prometheus"):
        assert value(busy, "keda_scaler_empty_upstream_responses_total", scaledResource="a", metricName=metric) >= 1
    assert value(busy, "keda_scaler_empty_upstream_responses_total", scaledResource="a", metricName="s3-prometheus") is None
    for name in "ab":
        assert 0 <= value(busy, "keda_internal_scale_loop_latency_seconds", resource=name, type="scaledobject") < 1
    for suffix in ("validations_total", "validation_total"):
        name = "keda_webhook_scaled_object_" + suffix
        assert value(busy, name, namespace="default", action="create") == 3
        assert value(busy, name, namespace="default", action="update") is None
    for suffix in ("validation_errors_total", "validation_errors"):
        assert scrape(busy)[1]["keda_webhook_scaled_object_" + suffix] == [
            ({"namespace": "default", "action": "create", "reason": "other-scaled-object"}, 1)]
    busy.kubectl("patch", "scaledobject", "a", "--type=merge", "-p", '{"spec":{"maxReplicaCount":7}}')
    assert value(busy, "keda_webhook_scaled_object_validations_total", action="update") == 1
    wait_for("registered", lambda: value(busy, "keda_trigger_registered_total", type="prometheus") == 6, 5)
    assert value(busy, "keda_trigger_registered_total", type="cpu") == 1
    for kind in ("trigger_authentication", "cluster_trigger_authentication"):
        assert value(busy, "keda_resource_registered_total", type=kind, namespace="default") == 1
    busy.kubectl("delete", "scaledobject", "b")
    wait_for("its series gone", lambda: value(busy, "keda_internal_scale_loop_latency_seconds", resource="b") is None and
             value(busy, "keda_scaled_object_paused", scaledObject="b") is None, 10)
