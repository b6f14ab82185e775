# SPDX-License-Identifier: Apache-2.0
"""Why there are that many replicas: one decision, told alike by explain, conditions, events and metrics; and what
windows need outlives the program."""
import json
import re
import subprocess
import time
import urllib.request

import pytest
import yaml

from conftest import FLYBALL, wait_for
from test_hpa import EXTERNAL, conditions, create, deployment, hpa, ready_pods, replicas, say


def explain(f, *args, check=True):
    r = subprocess.run([str(FLYBALL), "explain", "--data-dir", str(f.data_dir), *args], capture_output=True, text=True,
                       env={"HOME": str(f.data_dir.parent)})
    if check:
        assert r.returncode == 0, r.stderr
        return r.stdout
    return r


def scaledobject(name="web", **spec):
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name},
            "spec": {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 1, "maxReplicaCount": 6,
                     "triggers": [{"type": "prometheus", "metadata": {
                         "serverAddress": "http://prometheus.istio-system.svc:9090", "query": "app_load", "threshold": "2"}}],
                     **spec}}


@pytest.fixture
def web(flyball):
    create(flyball, deployment())
    ready_pods(flyball, 1)
    return flyball


def test_explain_tells_the_last_decisions_as_sentences_and_as_json(web):
    assert explain(web) == "there is no ScaledObject or HorizontalPodAutoscaler\n"
    create(web, scaledobject())
    wait_for("a first decision", lambda: "s0-prometheus" in explain(web), 10)
    say(web, 5)
    wait_for("three replicas", lambda: replicas(web) == 3, 8)
    ready_pods(web, 3)
    say(web, 0)
    sentence = wait_for("held by the window", lambda: re.search(
        r"^default/web has 3 of 1\.\.6, at \S+Z decided: 3 replicas: s0-prometheus \(app_load\) is 0, target 2 per replica: "
        r"ceil\(0/2\) = 0; held at 3 by the scale-down stabilization window until \d\d:\d\d:\d\d UTC$", explain(web), re.M), 8)
    assert sentence
    lines = explain(web, "scaledobject", "web", "--last", "5").splitlines()
    assert lines[1].startswith("  next look: ")
    assert any(": scaled to 3 replicas: s0-prometheus (app_load) is 5, target 2 per replica: ceil(5/2) = 3" in line
               for line in lines), lines
    assert len(lines) <= 6
    (one,) = json.loads(explain(web, "so", "web", "-o", "json"))
    assert (one["kind"], one["namespace"], one["name"], one["hpa"]) == ("ScaledObject", "default", "web", "keda-hpa-web")
    last, rescale = one["decisions"][-1], next(d for d in one["decisions"] if d["rescale"] and d["desired"] == 3)
    metric = rescale["metrics"][0]
    assert metric["name"] == "s0-prometheus" and metric["query"] == "app_load" and metric["value"] == 5
    assert metric["target"] == {"type": "AverageValue", "value": 2} and metric["proposal"] == 3
    assert 0 <= metric["ageMs"] < 1000 and metric["state"] == "value"
    assert rescale["current"] == 1 and rescale["reason"].endswith("above target")
    assert last["stabilization"] == "ScaleDownStabilized" and last["heldUntil"] > last["time"] and last["next"] > last["time"]
    assert last["proposal"] == 0 and last["desired"] == 3 and last["looks"] >= 1
    # the HPA goes by its own name too
    assert json.loads(explain(web, "hpa", "keda-hpa-web", "-o", "json")) [0]["name"] == "web"
    event = [e for e in web.get("events")["items"] if e["reason"] == "ScalingDecision"][0]
    assert "3 replicas: s0-prometheus (app_load) is 5, target 2 per replica: ceil(5/2) = 3" in event["message"]
    assert "ceil(5/2) = 3" in web.tail(200)
    for args, why in ((("scaledobject", "nope"), 'there is no ScaledObject "nope" in namespace "default"'),
                      (("pod", "x"), "neither scaledobject nor hpa"), (("--last", "0"), "not a number from 1 on"),
                      (("-o", "yaml"), "json is the only one"), (("hpa", "a", "b"), "unexpected 'b'")):
        r = explain(web, *args, check=False)
        assert r.returncode in (1, 2) and why in r.stderr, r


def test_a_failing_trigger_is_named_with_its_reason(web):
    create(web, scaledobject(triggers=[
        {"type": "prometheus", "metadata": {"serverAddress": "http://127.0.0.1:9", "query": "x", "threshold": "2"}}]))
    text = wait_for("explained", lambda: re.search(r"s0-prometheus is unknown \((.*)\), so the count may not fall", explain(web)), 10)
    assert "127.0.0.1" in text.group(1) or "connect" in text.group(1).lower(), text.group(1)
    (one,) = json.loads(explain(web, "-o", "json"))
    assert one["decisions"][-1]["held"] and one["decisions"][-1]["metrics"][0]["state"] == "unknown"


def test_metrics_have_the_originals_names(web):
    create(web, scaledobject())
    say(web, 5)
    wait_for("three replicas", lambda: replicas(web) == 3, 8)
    prefix = "horizontal_pod_autoscaler_controller_"
    # the look after the one that scaled has nothing to do
    idle = prefix + 'reconciliation_duration_seconds_bucket{action="none",error="none",le="+Inf"}'
    text = wait_for("a look without a change", lambda: (lambda t: t if idle in t else None)(
        urllib.request.urlopen(web.web + "/metrics", timeout=5).read().decode()), 8)
    assert re.search(prefix + r'reconciliations_total\{action="scale_up",error="none"\} 1\n', text), text
    assert re.search(prefix + r'metric_computation_total\{action="scale_up",error="none",metric_type="External"\} \d', text)
    assert re.search(r'keda_scaler_metrics_value\{[^}]*metric="s0-prometheus"[^}]*\} 5\n', text)
    assert 'flyball_desired_replicas{namespace="default",scaledObject="web"} 3' in text
    labels = ('{metric="s0-prometheus",namespace="default",scaledObject="web",scaler="prometheusScaler",triggerIndex="0",'
              'type="scaledobject"}')
    for line in (f"keda_scaler_metrics_value{labels} 5", f"keda_scaler_active{labels} 1",
                 'keda_scaled_object_errors_total{namespace="default",scaledObject="web"} 0',
                 'keda_scaled_object_paused{namespace="default",scaledObject="web"} 0',
                 'keda_resource_registered_total{namespace="default",type="scaled_object"} 1',
                 'keda_trigger_registered_total{type="prometheus"} 1'):
        assert line + "\n" in text, line
    assert 'keda_build_info{version="' in text
    web.kubectl("annotate", "scaledobject", "web", "autoscaling.keda.sh/paused=true")
    wait_for("paused", lambda: 'keda_scaled_object_paused{namespace="default",scaledObject="web"} 1\n' in urllib.request.urlopen(
        web.web + "/metrics", timeout=5).read().decode(), 5)


def test_keda_external_metric_over_the_api(web):
    create(web, scaledobject())
    say(web, 5)
    path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/s0-prometheus?labelSelector=scaledobject.keda.sh%2Fname%3D"
    item = wait_for("the trigger's value", lambda: (lambda i: i if i["value"] == "5" else None)(
        json.loads(web.kubectl("get", "--raw", path + "web", check=False).stdout)["items"][0]), 8)
    assert item["metricName"] == "s0-prometheus" and item["metricLabels"] is None
    r = web.kubectl("get", "--raw", path + "other", check=False)
    assert "no matching metrics found for s0-prometheus of scaledObject default/other" in r.stderr


def test_the_status_shows_a_moved_number_within_two_seconds_without_a_storm(web):
    create(web, hpa([EXTERNAL]))
    say(web, 1)
    wait_for("shown", lambda: "1/2 (avg)" in web.kubectl("get", "hpa", "web").stdout, 5)
    time.sleep(1.2)
    for value in (1.1, 1.2):  # the same count, another number
        say(web, value)
        wait_for(f"{value} is shown", lambda: f"{int(value * 1000)}m/2 (avg)" in web.kubectl("get", "hpa", "web").stdout, 2.5)
    before = int(web.get("hpa", "web")["metadata"]["resourceVersion"])
    end = time.monotonic() + 3
    n = 0
    versions = set()
    while time.monotonic() < end:
        n += 1
        say(web, 1 + n % 9 / 10)
        versions.add(web.get("hpa", "web")["metadata"]["resourceVersion"])
    assert n > 6 and len(versions - {str(before)}) <= 4, (n, versions)


# --- histories ---

def windowed(seconds):
    o = scaledobject(advanced={"horizontalPodAutoscalerConfig": {"behavior": {
        "scaleDown": {"stabilizationWindowSeconds": seconds}}}})
    return o


@pytest.mark.parametrize("owner", ["ScaledObject", "HPA"])
def test_a_kill_within_a_stabilization_window_neither_ends_nor_prolongs_it(flyball_factory, owner):
    window = 20
    f = flyball_factory()
    create(f, deployment())
    ready_pods(f, 1)
    if owner == "HPA":
        create(f, hpa([EXTERNAL], behavior={"scaleDown": {"stabilizationWindowSeconds": window}}))
    else:
        create(f, windowed(window))
    say(f, 5)
    wait_for("three replicas", lambda: replicas(f) == 3, 8)
    ready_pods(f, 3)
    time.sleep(10)  # changes are saved at once, but not sooner than 10 s after the last save
    say(f, 0)
    fell = time.time()
    saved = wait_for("the fall is saved", lambda: [v for m in f.get("configmaps")["items"] if m["metadata"]["name"].startswith(
        "flyball-history-") for v in m["data"].values() if re.search(r" r[01]@", v.split(" ", 1)[1][3:])], 12)
    assert len(saved) == 1
    wait_for("some of the window", lambda: time.time() > fell + 5, 10)
    f.kill()
    wait_for("it is away for a while", lambda: time.time() > fell + 8, 10)
    f.start()
    held = []
    while replicas(f) == 3 and time.time() < fell + window + 15:
        held.append(time.time())
        time.sleep(0.1)
    ended = held[-1] - fell
    # a look 250 ms apart sees the fall; conditions and the scale write come after
    assert window - 1 <= ended <= window + 2, ended
    wait_for("one replica", lambda: replicas(f) == 1, 5)
    f.kubectl("delete", "scaledobject" if owner == "ScaledObject" else "hpa", "web")
    wait_for("its history goes along", lambda: not any(m.get("data") for m in f.get("configmaps")["items"]
                                                       if m["metadata"]["name"].startswith("flyball-history-")), 10)


# --- what no round brings ---

def push(f, value):
    body = {"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"metrics": [{"name": "pushed_load", "gauge": {"dataPoints": [
        {"asDouble": value, "timeUnixNano": str(time.time_ns())}]}}]}]}]}
    r = urllib.request.Request(f"http://{f.env['FLYBALL_OTLP']}/v1/metrics", json.dumps(body).encode(),
                               {"Content-Type": "application/json"})
    assert urllib.request.urlopen(r, timeout=5).status == 200


def test_a_pushed_sample_scales_what_nobody_scrapes_from_zero_on(flyball):
    d = deployment(replicas=0)
    del d["spec"]["template"]["metadata"]["annotations"]
    create(flyball, d, scaledobject(minReplicaCount=0, cooldownPeriod=2, triggers=[{"type": "prometheus", "metadata": {
        "serverAddress": "http://prometheus.istio-system.svc:9090", "query": "sum(pushed_load)", "threshold": "2"}}]))
    wait_for("a first decision", lambda: "s0-prometheus" in explain(flyball), 10)
    push(flyball, 7)
    wait_for("four", lambda: replicas(flyball) == 4, 5)
    push(flyball, 0)
    wait_for("zero after the cooldown", lambda: replicas(flyball) == 0, 15)
