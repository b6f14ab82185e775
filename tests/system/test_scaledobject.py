# SPDX-License-Identifier: Apache-2.0
"""Every field and annotation of a ScaledObject, through kubectl. One Deployment says what it is told to (gauges that the
triggers query), others are scaled; windows and periods are seconds. Conditions and events are compared as KEDA writes them."""
import itertools
import json
import re
import time
import urllib.request

import pytest
import yaml

import conftest
from conftest import Flyball

# Exposes the gauges that were POSTed last ("a 5"), as pods on one machine must: on its own address.
SOURCE = """
import http.server, os
page = b''
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self, body):
        self.send_response(200)
        self.send_header('Content-Type', 'text/plain; version=0.0.4')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(page)
    def do_POST(self):
        global page
        page = self.rfile.read(int(self.headers['Content-Length']))
        self.answer(b'')
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer((os.environ['POD_IP'], 8080), H).serve_forever()
"""
OWN = "http://prometheus.istio-system.svc:9090"
AT_ONCE = {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}}


def wait_for(what, fn, timeout=30.0):
    """What takes a second alone takes many beside other tests, under sanitizers."""
    return conftest.wait_for(what, fn, timeout)


def container(*command):
    return {"name": "app", "image": "local/app", "command": list(command)}


def workload(name, replicas=1, kind="Deployment", labels=None):
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}},
                                  "spec": {"terminationGracePeriodSeconds": 0, "containers": [container("sleep", "1000")]}}}}


class World:
    """One flyball; the gauges; and names that no other test has."""

    def __init__(self, f):
        self.f = f
        self.values = {}
        self.numbers = itertools.count(1)

    def name(self, stem):
        return f"{stem}{next(self.numbers)}"

    def say(self, **values):
        """Sets gauges; each test has its own, by the name of what it scales."""
        self.values.update(values)
        ip = wait_for("the source's address", lambda: [p["status"]["podIP"] for p in self.f.pods(selector="app=source")
                                                       if p["status"].get("podIP")])[0]
        page = "".join(f"# TYPE {k} gauge\n{k} {v}\n" for k, v in self.values.items()).encode()
        wait_for("the source", lambda: urllib.request.urlopen(
            urllib.request.Request(f"http://{ip}:8080/", page), timeout=2).status == 200, 10)

    def create(self, *objects, check=True):
        return self.f.kubectl("create", "-f", "-", stdin="---\n".join(yaml.safe_dump(o) for o in objects), check=check)

    def so(self, name):
        return self.f.get("scaledobject", name)

    def condition(self, name, type_):
        return {c["type"]: c for c in self.so(name)["status"].get("conditions", [])}.get(type_, {})

    def is_condition(self, name, type_, status, reason):
        c = self.condition(name, type_)
        return (c.get("status"), c.get("reason")) == (status, reason)

    def replicas(self, name, kind="deploy"):
        return self.f.get(kind, name)["spec"].get("replicas")

    def events(self, name):
        """Oldest first: (type, reason, message)."""
        items = [e for e in self.f.get("events")["items"]
                 if e["involvedObject"]["kind"] == "ScaledObject" and e["involvedObject"]["name"] == name]
        return [(e["type"], e["reason"], e["message"]) for e in items]

    def reasons(self, name):
        return {r for _, r, _ in self.events(name)}

    def patch(self, name, spec):
        self.f.kubectl("patch", "scaledobject", name, "--type", "merge", "-p", json.dumps({"spec": spec}))

    def annotate(self, name, *pairs):
        self.f.kubectl("annotate", "--overwrite", "scaledobject", name, *pairs)


def start_with_source(f):
    w = World(f)
    source = workload("source")
    source["spec"]["template"]["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
    source["spec"]["template"]["spec"]["containers"] = [container("/usr/bin/python3", "-c", SOURCE)]
    w.create(source)
    return w


@pytest.fixture(scope="module")
def w(tmp_path_factory):
    f = Flyball(tmp_path_factory.mktemp("so") / "data").start()
    world = start_with_source(f)
    yield world
    assert f.stop() == 0, f.tail()


def trigger(gauge, threshold="2", name=None, metric_type=None, **more):
    t = {"type": "prometheus", "metadata": {"serverAddress": OWN, "query": f"sum({gauge})", "threshold": threshold}}
    t["metadata"].update(more.pop("metadata", {}))
    if name:
        t["name"] = name
    if metric_type:
        t["metricType"] = metric_type
    t.update(more)
    return t


def scaled(name, triggers, annotations=None, labels=None, target=None, **spec):
    spec.setdefault("advanced", AT_ONCE)
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": {"name": name, "annotations": annotations or {}, "labels": labels or {}},
            "spec": {"scaleTargetRef": target or {"name": name}, "maxReplicaCount": 8, "triggers": triggers, **spec}}


def hold(what, fn, seconds=1.5):
    """True for that long, or fails: for what must not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert fn(), what
        time.sleep(0.1)


# --- the object, its HPA, its status ---

def test_status_metadata_and_hpa_are_as_keda_writes_them(w):
    n = w.name("plain")
    w.say(**{n: 5})
    w.create(workload(n, 2), scaled(n, [trigger(n)], labels={"team": "x"}, annotations={"note": "kept"}, minReplicaCount=1))
    wait_for("three for five", lambda: w.replicas(n) == 3)
    wait_for("active", lambda: w.is_condition(n, "Active", "True", "ScalerActive"))
    so = w.so(n)
    assert so["metadata"]["finalizers"] == ["finalizer.keda.sh"]
    assert so["metadata"]["labels"] == {"team": "x", "scaledobject.keda.sh/name": n}
    s = so["status"]
    assert s["scaleTargetKind"] == "apps/v1.Deployment"
    assert s["scaleTargetGVKR"] == {"group": "apps", "version": "v1", "kind": "Deployment", "resource": "deployments"}
    assert s["originalReplicaCount"] == 2
    assert s["externalMetricNames"] == ["s0-prometheus"] and "resourceMetricNames" not in s
    assert s["hpaName"] == f"keda-hpa-{n}" and s["triggersTypes"] == "prometheus"
    assert s["triggersActivity"] == {"s0-prometheus": {"isActive": True}}
    assert s["lastActiveTime"].endswith("Z") and "health" not in s and "pausedReplicaCount" not in s
    assert [(c["type"], c["status"], c.get("reason")) for c in s["conditions"]] == [
        ("Ready", "True", "ScaledObjectReady"), ("Active", "True", "ScalerActive"),
        ("Fallback", "False", "NoFallbackFound"), ("Paused", "Unknown", None), ("HPAActive", "True", "HPAActive")]
    assert all("lastTransitionTime" not in c for c in s["conditions"])
    h = w.f.get("hpa", f"keda-hpa-{n}")
    assert h["metadata"]["labels"] == {"app.kubernetes.io/name": f"keda-hpa-{n}", "app.kubernetes.io/version": "2.18.0",
                                       "app.kubernetes.io/part-of": n, "app.kubernetes.io/managed-by": "keda-operator",
                                       "team": "x", "scaledobject.keda.sh/name": n}
    assert h["metadata"]["annotations"] == {"note": "kept"}
    owner = h["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("ScaledObject", n, True)
    assert (h["spec"]["minReplicas"], h["spec"]["maxReplicas"]) == (1, 8)
    metric = h["spec"]["metrics"][0]["external"]
    assert metric["metric"] == {"name": "s0-prometheus", "selector": {"matchLabels": {"scaledobject.keda.sh/name": n}}}
    assert metric["target"] == {"type": "AverageValue", "averageValue": "2"}
    assert {"KEDAScalersStarted", "ScaledObjectReady"} <= w.reasons(n)


def test_min_and_max_bound_the_count_and_follow_an_update(w):
    n = w.name("bounds")
    w.say(**{n: 100})
    w.create(workload(n), scaled(n, [trigger(n)], minReplicaCount=1, maxReplicaCount=3))
    wait_for("the maximum", lambda: w.replicas(n) == 3)
    w.patch(n, {"maxReplicaCount": 2})
    wait_for("the new maximum", lambda: w.replicas(n) == 2)
    w.say(**{n: 0})
    wait_for("the minimum", lambda: w.replicas(n) == 1)
    w.patch(n, {"minReplicaCount": 2})
    wait_for("the new minimum", lambda: w.replicas(n) == 2)


def test_metric_type_value_multiplies_by_the_ready_pods(w):
    n = w.name("value")
    w.say(**{n: 2})
    w.create(workload(n, 2), scaled(n, [trigger(n, "2", metric_type="Value")], minReplicaCount=1))
    metric = wait_for("the HPA", lambda: w.f.get("hpa", f"keda-hpa-{n}"))["spec"]["metrics"][0]["external"]
    assert metric["target"] == {"type": "Value", "value": "2"}
    wait_for("two ready", lambda: w.f.get("deploy", n)["status"].get("readyReplicas") == 2)
    hold("the value is at its target", lambda: w.replicas(n) == 2)
    w.say(**{n: 1})
    wait_for("half of two", lambda: w.replicas(n) == 1)


def test_behavior_and_the_name_of_the_hpa_are_the_users(w):
    n = w.name("named")
    behavior = {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
                "scaleDown": {"stabilizationWindowSeconds": 0}}
    w.say(**{n: 9})
    w.create(workload(n), scaled(n, [trigger(n)], minReplicaCount=1, advanced={
        "horizontalPodAutoscalerConfig": {"name": f"{n}-own", "behavior": behavior}}))
    wait_for("one more a minute", lambda: w.replicas(n) == 2)
    hold("no second one", lambda: w.replicas(n) == 2)
    h = w.f.get("hpa", f"{n}-own")
    assert h["spec"]["behavior"]["scaleUp"]["policies"] == behavior["scaleUp"]["policies"]
    w.patch(n, {"advanced": {"horizontalPodAutoscalerConfig": {"name": f"{n}-new"}}})
    wait_for("the new one", lambda: w.f.get("hpa", f"{n}-new"))
    wait_for("the old one goes", lambda: w.f.kubectl("get", "hpa", f"{n}-own", check=False).returncode != 0)
    assert w.so(n)["status"]["hpaName"] == f"{n}-new"


def test_labels_that_are_excluded_do_not_reach_the_hpa(w):
    n = w.name("labels")
    w.create(workload(n), scaled(n, [trigger(n)], labels={"a": "1", "b": "2", "app.kubernetes.io/managed-by": "me"},
                                 annotations={"scaledobject.keda.sh/hpa-excluded-labels": "a,zzz"}, minReplicaCount=1))
    labels = wait_for("the HPA", lambda: w.f.get("hpa", f"keda-hpa-{n}"))["metadata"]["labels"]
    assert "a" not in labels and labels["b"] == "2" and labels["app.kubernetes.io/managed-by"] == "me"


# --- to and from zero ---

def test_activation_is_strict_and_the_cooldown_ends_in_zero(w):
    n = w.name("zero")
    w.say(**{n: 3})
    w.create(workload(n, 0), scaled(n, [trigger(n, "10", metadata={"activationThreshold": "3"})], cooldownPeriod=2))
    wait_for("inactive", lambda: w.is_condition(n, "Active", "False", "ScalerNotActive"))
    hold("3 is not above 3", lambda: w.replicas(n) == 0)
    assert w.is_condition(n, "HPAActive", "True", "ScalingDisabled")
    w.say(**{n: 3.5})
    wait_for("one", lambda: w.replicas(n) == 1)
    wait_for("active", lambda: w.is_condition(n, "Active", "True", "ScalerActive"))
    w.say(**{n: 0})
    wait_for("cooling down", lambda: w.is_condition(n, "Active", "False", "ScalerCooldown"))
    assert w.replicas(n) == 1
    wait_for("zero", lambda: w.replicas(n) == 0)
    wait_for("inactive", lambda: w.is_condition(n, "Active", "False", "ScalerNotActive"))
    told = w.events(n)
    assert any(t == "Normal" and r == "KEDAScaleTargetActivated" and "from 0 to 1" in m and "s0-prometheus" in m for t, r, m in told)
    assert any(t == "Normal" and r == "KEDAScaleTargetDeactivated" and "from 1 to 0" in m for t, r, m in told)


def test_from_zero_to_the_minimum_and_from_many_straight_to_zero(w):
    n = w.name("many")
    w.say(**{n: 9})
    w.create(workload(n, 0), scaled(n, [trigger(n)], minReplicaCount=0, cooldownPeriod=1))
    wait_for("five", lambda: w.replicas(n) == 5)
    w.say(**{n: 0})
    wait_for("zero", lambda: w.replicas(n) == 0)
    assert any("from 5 to 0" in m or "from 1 to 0" in m for _, r, m in w.events(n) if r == "KEDAScaleTargetDeactivated")


def test_the_initial_cooldown_guards_what_was_never_active(w):
    n = w.name("initial")
    w.say(**{n: 0})
    w.create(workload(n, 1), scaled(n, [trigger(n)], initialCooldownPeriod=4, cooldownPeriod=1))
    wait_for("cooling down", lambda: w.is_condition(n, "Active", "False", "ScalerCooldown"))
    hold("still one", lambda: w.replicas(n) == 1)
    wait_for("zero", lambda: w.replicas(n) == 0)


def test_idle_replicas_while_nothing_is_active(w):
    n = w.name("idle")
    w.say(**{n: 0})
    w.create(workload(n, 3), scaled(n, [trigger(n)], idleReplicaCount=0, minReplicaCount=2, cooldownPeriod=1))
    wait_for("idle", lambda: w.replicas(n) == 0)
    w.say(**{n: 1})
    wait_for("the minimum", lambda: w.replicas(n) == 2)
    w.say(**{n: 0})
    wait_for("idle again", lambda: w.replicas(n) == 0)


def test_below_the_minimum_is_raised_though_inactive(w):
    n = w.name("raised")
    w.say(**{n: 0})
    w.create(workload(n, 0), scaled(n, [trigger(n)], minReplicaCount=2))
    wait_for("the minimum", lambda: w.replicas(n) == 2)
    assert w.is_condition(n, "Active", "False", "ScalerNotActive")
    assert "KEDAScaleTargetActivated" not in w.reasons(n)


def test_activation_can_be_forced(w):
    n = w.name("forced")
    w.say(**{n: 0})
    w.create(workload(n, 0), scaled(n, [trigger(n)], cooldownPeriod=1))
    wait_for("inactive", lambda: w.is_condition(n, "Active", "False", "ScalerNotActive"))
    w.annotate(n, "autoscaling.keda.sh/force-activation=yes")
    wait_for("one", lambda: w.replicas(n) == 1)
    wait_for("active", lambda: w.is_condition(n, "Active", "True", "ScalerActive"))
    assert "forced by annotation" in w.condition(n, "Active")["message"]
    w.annotate(n, "autoscaling.keda.sh/force-activation=false")
    wait_for("zero", lambda: w.replicas(n) == 0)


# --- pauses ---

def test_a_paused_object_keeps_its_count_and_has_no_hpa(w):
    n = w.name("paused")
    w.say(**{n: 6})
    w.create(workload(n), scaled(n, [trigger(n)], minReplicaCount=1))
    wait_for("three", lambda: w.replicas(n) == 3)
    w.annotate(n, "autoscaling.keda.sh/paused=true")
    wait_for("no HPA", lambda: w.f.kubectl("get", "hpa", f"keda-hpa-{n}", check=False).returncode != 0)
    wait_for("it says so", lambda: w.is_condition(n, "Paused", "True", "ScaledObjectPaused"))
    assert w.is_condition(n, "Ready", "True", "ScaledObjectReady")
    w.say(**{n: 0})
    hold("the count stays", lambda: w.replicas(n) == 3)
    w.annotate(n, "autoscaling.keda.sh/paused-")
    wait_for("it goes on", lambda: w.replicas(n) == 1)
    assert w.is_condition(n, "Paused", "False", "ScaledObjectUnpaused")
    assert {"ScaledObjectPaused", "ScaledObjectUnpaused", "KEDAScalersStopped"} <= w.reasons(n)


def test_paused_replicas_set_the_count_and_beat_paused_false(w):
    n = w.name("count")
    w.say(**{n: 2})
    w.create(workload(n), scaled(n, [trigger(n)], minReplicaCount=1,
                                 annotations={"autoscaling.keda.sh/paused": "false", "autoscaling.keda.sh/paused-replicas": "4"}))
    wait_for("four", lambda: w.replicas(n) == 4)
    wait_for("it says so", lambda: w.so(n)["status"].get("pausedReplicaCount") == 4)
    w.annotate(n, "autoscaling.keda.sh/paused-replicas=0")
    wait_for("none", lambda: w.replicas(n) == 0)
    w.annotate(n, "autoscaling.keda.sh/paused-replicas=many")
    wait_for("not a number", lambda: w.is_condition(n, "Ready", "False", "ScaledObjectCheckFailed"))
    assert "not an integer" in w.condition(n, "Ready")["message"]
    assert w.is_condition(n, "Active", "Unknown", "UnknownState")
    w.annotate(n, "autoscaling.keda.sh/paused-replicas-")
    wait_for("it goes on", lambda: w.replicas(n) == 1)
    wait_for("ready", lambda: w.is_condition(n, "Ready", "True", "ScaledObjectReady"))
    assert "pausedReplicaCount" not in w.so(n)["status"]


def test_paused_scale_in_only_goes_up(w):
    n = w.name("nodown")
    w.say(**{n: 6})
    w.create(workload(n), scaled(n, [trigger(n)], annotations={"autoscaling.keda.sh/paused-scale-in": "true"}, cooldownPeriod=1,
                                 advanced={}))
    wait_for("three", lambda: w.replicas(n) == 3)
    assert w.f.get("hpa", f"keda-hpa-{n}")["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Disabled"
    assert w.is_condition(n, "Paused", "True", "ScaledObjectPaused")
    w.say(**{n: 0})
    wait_for("inactive", lambda: w.is_condition(n, "Active", "False", "ScalerNotActive"))
    hold("neither fewer nor zero", lambda: w.replicas(n) == 3, 2.5)
    w.say(**{n: 8})
    wait_for("more", lambda: w.replicas(n) == 4)
    w.say(**{n: 0})
    w.annotate(n, "autoscaling.keda.sh/paused-scale-in-")
    wait_for("zero", lambda: w.replicas(n) == 0)
    assert "behavior" not in w.f.get("hpa", f"keda-hpa-{n}")["spec"]


def test_paused_scale_out_only_goes_down(w):
    n = w.name("noup")
    w.say(**{n: 2})
    w.create(workload(n, 2), scaled(n, [trigger(n)], annotations={"autoscaling.keda.sh/paused-scale-out": "T"}, cooldownPeriod=1))
    wait_for("one", lambda: w.replicas(n) == 1)
    w.say(**{n: 9})
    hold("not more", lambda: w.replicas(n) == 1)
    w.say(**{n: 0})
    wait_for("zero", lambda: w.replicas(n) == 0)
    w.say(**{n: 9})
    wait_for("active", lambda: w.is_condition(n, "Active", "True", "ScalerActive"))
    hold("not from zero either", lambda: w.replicas(n) == 0)
    w.annotate(n, "autoscaling.keda.sh/paused-scale-out=false")
    wait_for("it goes on", lambda: w.replicas(n) == 5)


# --- failures ---

def test_a_failing_trigger_holds_the_count_past_the_cooldown(w):
    n = w.name("held")
    w.say(**{n: 6})
    w.create(workload(n), scaled(n, [trigger(n)], cooldownPeriod=1))
    wait_for("three", lambda: w.replicas(n) == 3)
    w.say(**{n: "NaN"})
    wait_for("it says so", lambda: w.is_condition(n, "Ready", "False", "TriggerError"))
    assert "NaN" in w.condition(n, "Ready")["message"]
    hold("the count is held", lambda: w.replicas(n) == 3, 2.5)
    assert w.is_condition(n, "HPAActive", "False", "FailedGetExternalMetric")
    assert any(t == "Warning" and r == "KEDAScalerFailed" for t, r, _ in w.events(n))
    w.say(**{n: 2})
    wait_for("it works again", lambda: w.replicas(n) == 1)
    wait_for("ready", lambda: w.is_condition(n, "Ready", "True", "ScaledObjectReady"))


def test_one_of_two_triggers_failing_forbids_only_going_down(w):
    n = w.name("partial")
    a, b = n + "a", n + "b"
    w.say(**{a: 6, b: 1})
    w.create(workload(n), scaled(n, [trigger(a), trigger(b)], minReplicaCount=1))
    wait_for("three", lambda: w.replicas(n) == 3)
    w.say(**{b: "NaN"})
    wait_for("it says so", lambda: w.is_condition(n, "Ready", "Unknown", "PartialTriggerError"))
    assert w.so(n)["status"]["triggersActivity"] == {"s0-prometheus": {"isActive": True}, "s1-prometheus": {"isActive": False}}
    w.say(**{a: 10})
    wait_for("up is allowed", lambda: w.replicas(n) == 5)
    w.say(**{a: 1})
    hold("down is not", lambda: w.replicas(n) == 5)
    w.say(**{b: 2})
    wait_for("both work", lambda: w.replicas(n) == 1)


def test_a_fallback_takes_over_from_zero_and_ends(w):
    n = w.name("fallback")
    w.say(**{n: "NaN"})
    w.create(workload(n, 0), scaled(n, [trigger(n)], pollingInterval=1, fallback={"failureThreshold": 2, "replicas": 3}))
    wait_for("one failure", lambda: w.so(n)["status"]["health"]["s0-prometheus"]["status"] == "Failing")
    assert w.is_condition(n, "Ready", "True", "ScaledObjectReady"), "a fallback is waited for"
    assert w.replicas(n) == 0
    wait_for("the fallback's count", lambda: w.replicas(n) == 3)
    wait_for("it says so", lambda: w.is_condition(n, "Fallback", "True", "FallbackExists"))
    assert w.is_condition(n, "Active", "True", "ScalerActive")
    assert w.so(n)["status"]["health"]["s0-prometheus"]["numberOfFailures"] >= 3
    w.say(**{n: 2})
    wait_for("the value counts again", lambda: w.replicas(n) == 1)
    wait_for("it says so", lambda: w.is_condition(n, "Fallback", "False", "NoFallbackFound"))
    assert w.so(n)["status"]["health"] == {"s0-prometheus": {"numberOfFailures": 0, "status": "Happy"}}
    assert {"ScaledObjectFallbackActivated", "ScaledObjectFallbackDeactivated"} <= w.reasons(n)


@pytest.mark.parametrize("behavior, before, after", [
    ("static", 4, 2), ("currentReplicas", 4, 4), ("currentReplicasIfHigher", 4, 4), ("currentReplicasIfHigher", 1, 2),
    ("currentReplicasIfLower", 4, 2), ("currentReplicasIfLower", 1, 1)])
def test_behaviors_of_a_fallback(w, behavior, before, after):
    n = w.name("behaves")
    w.say(**{n: 2 * before})
    w.create(workload(n, before), scaled(n, [trigger(n)], minReplicaCount=1, pollingInterval=1,
                                         fallback={"failureThreshold": 1, "replicas": 2, "behavior": behavior}))
    wait_for("the count before", lambda: w.replicas(n) == before and w.is_condition(n, "Active", "True", "ScalerActive"))
    w.say(**{n: "NaN"})
    wait_for("the fallback", lambda: w.is_condition(n, "Fallback", "True", "FallbackExists"))
    wait_for("its count", lambda: w.replicas(n) == after)
    hold("and it stays", lambda: w.replicas(n) == after)


# --- formulas ---

def test_a_formula_over_three_triggers_one_of_them_failing(w):
    n = w.name("formula")
    a, b, c = n + "a", n + "b", n + "c"
    w.say(**{a: 4, b: 2, c: 1})
    formula = {"formula": "max(ta ?? tb, tc) * 2", "target": "2"}
    w.create(workload(n), scaled(n, [trigger(a, name="ta"), trigger(b, name="tb"), trigger(c, name="tc")], minReplicaCount=1,
                                 pollingInterval=1, fallback={"failureThreshold": 1, "replicas": 1, "behavior": "scalingModifiers"},
                                 advanced={**AT_ONCE, "scalingModifiers": formula}))
    wait_for("max(4, 1) * 2 / 2", lambda: w.replicas(n) == 4)
    h = w.f.get("hpa", f"keda-hpa-{n}")
    assert [m["external"]["metric"]["name"] for m in h["spec"]["metrics"]] == ["composite-metric"]
    s = w.so(n)["status"]
    assert s["compositeScalerName"] == "composite-metric"
    assert s["externalMetricNames"] == ["s0-prometheus", "s1-prometheus", "s2-prometheus"]
    w.say(**{a: "NaN"})
    wait_for("the failure is seen", lambda: w.so(n)["status"]["health"]["s0-prometheus"]["status"] == "Failing")
    wait_for("then b counts instead: max(2, 1) * 2 / 2", lambda: w.replicas(n) == 2)
    w.say(**{c: 5})
    wait_for("max(2, 5) * 2 / 2", lambda: w.replicas(n) == 5)
    w.say(**{a: 3, c: 1})
    wait_for("a is back", lambda: w.replicas(n) == 3)
    activity = w.so(n)["status"]["triggersActivity"]
    assert all(v == {"isActive": True} for v in activity.values()) and len(activity) == 3


def test_without_a_fallback_a_formula_with_a_failing_trigger_holds(w):
    n = w.name("fholds")
    a, b = n + "a", n + "b"
    w.say(**{a: 4, b: 2})
    w.create(workload(n), scaled(n, [trigger(a, name="ta"), trigger(b, name="tb")], cooldownPeriod=1,
                                 advanced={**AT_ONCE, "scalingModifiers": {"formula": "ta + tb", "target": "2"}}))
    wait_for("(4 + 2) / 2", lambda: w.replicas(n) == 3)
    w.say(**{b: "NaN"})
    wait_for("it says so", lambda: w.is_condition(n, "Ready", "False", "TriggerError"))
    hold("neither fewer nor zero", lambda: w.replicas(n) == 3, 2.5)
    assert "KEDAMetricSourceFailed" in w.reasons(n)
    w.say(**{b: 0})
    wait_for("it works again", lambda: w.replicas(n) == 2)


def test_activation_target_and_metric_type_of_a_formula(w):
    n = w.name("ftarget")
    w.say(**{n: 2})
    w.create(workload(n, 0), scaled(n, [trigger(n, name="t")], cooldownPeriod=1, advanced={
        **AT_ONCE, "scalingModifiers": {"formula": "t / 2", "target": "0.5", "activationTarget": "1", "metricType": "Value"}}))
    target = wait_for("the HPA", lambda: w.f.get("hpa", f"keda-hpa-{n}"))["spec"]["metrics"][0]["external"]["target"]
    assert target == {"type": "Value", "value": "500m"}
    wait_for("inactive", lambda: w.is_condition(n, "Active", "False", "ScalerNotActive"))
    hold("1 is not above 1", lambda: w.replicas(n) == 0)
    w.say(**{n: 2.2})
    wait_for("active", lambda: w.replicas(n) >= 1)


def test_a_division_by_zero_holds_the_count(w):
    n = w.name("fzero")
    a, b = n + "a", n + "b"
    w.say(**{a: 4, b: 1})
    w.create(workload(n), scaled(n, [trigger(a, name="ta"), trigger(b, name="tb")], cooldownPeriod=1,
                                 advanced={**AT_ONCE, "scalingModifiers": {"formula": "ta / tb", "target": "2"}}))
    wait_for("4 / 1 / 2", lambda: w.replicas(n) == 2)
    w.say(**{b: 0})
    wait_for("it says so", lambda: "not finite" in w.condition(n, "Ready").get("message", ""))
    hold("the count is held", lambda: w.replicas(n) == 2, 2.5)


# --- the rest of the fields ---

def test_the_original_count_is_restored(w):
    n = w.name("restore")
    w.say(**{n: 9})
    w.create(workload(n, 2), scaled(n, [trigger(n)], minReplicaCount=1, advanced={**AT_ONCE, "restoreToOriginalReplicaCount": True}))
    wait_for("five", lambda: w.replicas(n) == 5)
    w.f.kubectl("delete", "scaledobject", n)
    wait_for("two as before", lambda: w.replicas(n) == 2)
    wait_for("the HPA goes too", lambda: w.f.kubectl("get", "hpa", f"keda-hpa-{n}", check=False).returncode != 0)
    assert any(t == "Warning" and r == "ScaledObjectDeleted" for t, r, _ in w.events(n))


def test_without_that_the_count_stays_where_it_is(w):
    n = w.name("leave")
    w.say(**{n: 9})
    w.create(workload(n, 2), scaled(n, [trigger(n)], minReplicaCount=1))
    wait_for("five", lambda: w.replicas(n) == 5)
    w.f.kubectl("delete", "scaledobject", n)
    hold("five stay", lambda: w.replicas(n) == 5)


def test_a_replicaset_is_a_target_too(w):
    n = w.name("rs")
    w.say(**{n: 6})
    w.create(workload(n, 1, kind="ReplicaSet"), scaled(n, [trigger(n)], minReplicaCount=1,
                                                       target={"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": n}))
    wait_for("three", lambda: w.replicas(n, "rs") == 3)
    assert w.so(n)["status"]["scaleTargetKind"] == "apps/v1.ReplicaSet"


def test_a_custom_kind_with_a_scale_is_a_target_too(w):
    n = w.name("col")
    w.say(**{n: 6})
    w.create({"apiVersion": "opentelemetry.io/v1beta1", "kind": "OpenTelemetryCollector", "metadata": {"name": n},
              "spec": {"mode": "deployment", "replicas": 1, "config": {
                  "receivers": {"otlp": {"protocols": {"grpc": {}}}}, "exporters": {"debug": {}},
                  "service": {"pipelines": {"metrics": {"receivers": ["otlp"], "exporters": ["debug"]}}}}}},
             scaled(n, [trigger(n)], minReplicaCount=2,
                    target={"apiVersion": "opentelemetry.io/v1beta1", "kind": "OpenTelemetryCollector", "name": n}))
    wait_for("the minimum at least", lambda: w.replicas(n, "otelcol") >= 2)
    assert w.so(n)["status"]["scaleTargetGVKR"]["resource"] == "opentelemetrycollectors"


@pytest.mark.parametrize("target, says", [
    ({"name": "nobody"}, "the target resource doesn't exist"),
    ({"name": "x", "kind": "Service", "apiVersion": "v1"}, "has no scale subresource"),
    ({"name": "x", "kind": "Nothing", "apiVersion": "a/v1"}, "there is no kind 'Nothing'")])
def test_a_target_that_cannot_be_scaled_is_named(w, target, says):
    n = w.name("lost")
    w.create(scaled(n, [trigger(n)], target=target))
    wait_for("it says so", lambda: w.is_condition(n, "Ready", "False", "ScaledObjectCheckFailed"))
    assert says in w.condition(n, "Ready")["message"]
    assert w.is_condition(n, "Active", "Unknown", "UnknownState")
    assert "ScaledObjectCheckFailed" in w.reasons(n)


def test_a_target_that_appears_later_is_scaled(w):
    n = w.name("late")
    w.say(**{n: 4})
    w.create(scaled(n, [trigger(n)], minReplicaCount=1))
    wait_for("it says so", lambda: w.is_condition(n, "Ready", "False", "ScaledObjectCheckFailed"))
    w.create(workload(n))
    wait_for("two", lambda: w.replicas(n) == 2)
    wait_for("ready", lambda: w.is_condition(n, "Ready", "True", "ScaledObjectReady"))


def test_a_change_that_cannot_be_built_is_told_until_it_can_and_what_was_before_goes_on(w):
    n = w.name("typo")
    w.say(**{n: 4})
    w.create(workload(n), scaled(n, [trigger(n)], minReplicaCount=1))
    wait_for("two", lambda: w.replicas(n) == 2)
    w.patch(n, {"triggers": [{"type": "prometheus", "metadata": {"serverAddress": OWN, "threshold": "2"}}]})
    wait_for("it says so", lambda: w.is_condition(n, "Ready", "False", "ScaledObjectCheckFailed"))
    assert "query" in w.condition(n, "Ready")["message"]
    w.say(**{n: 8})
    wait_for("four, by the trigger before", lambda: w.replicas(n) == 4)
    assert w.is_condition(n, "Ready", "False", "ScaledObjectCheckFailed")
    w.patch(n, {"triggers": [trigger(n, threshold="4")]})
    wait_for("two again", lambda: w.replicas(n) == 2)
    wait_for("ready", lambda: w.is_condition(n, "Ready", "True", "ScaledObjectReady"))


def test_cached_metrics_are_asked_once_per_polling_interval(w):
    n = w.name("cached")
    w.say(**{n: 4})
    w.create(workload(n), scaled(n, [trigger(n, useCachedMetrics=True)], minReplicaCount=1, pollingInterval=8))
    wait_for("two", lambda: w.replicas(n) == 2)
    w.say(**{n: 8})
    wait_for("four, at the next poll", lambda: w.replicas(n) == 4)
    w.say(**{n: 10})
    hold("nothing within the interval", lambda: w.replicas(n) == 4, 2)
    wait_for("five, at the poll after", lambda: w.replicas(n) == 5)


def test_cpu_beside_an_external_trigger(w):
    n = w.name("cpu")
    d = workload(n)
    d["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    w.say(**{n: 5})
    w.create(d, scaled(n, [{"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}}, trigger(n)], minReplicaCount=1))
    wait_for("three", lambda: w.replicas(n) == 3)
    h = w.f.get("hpa", f"keda-hpa-{n}")
    assert [m["type"] for m in h["spec"]["metrics"]] == ["External", "Resource"]
    s = w.so(n)["status"]
    assert s["resourceMetricNames"] == ["cpu"] and s["externalMetricNames"] == ["s1-prometheus"] and s["triggersTypes"] == "cpu,prometheus"


# --- taking over an HPA, and what admission refuses ---

def test_an_hpa_of_the_users_own_is_taken_over_when_asked(w):
    n = w.name("taken")
    w.say(**{n: 6})
    own = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": f"{n}-hpa"},
           "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": n}, "maxReplicas": 2,
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}}
    w.create(workload(n), own)
    refused = w.create(scaled(n, [trigger(n)], minReplicaCount=1), check=False)
    assert f"already managed by the hpa '{n}-hpa'" in refused.stderr
    transfer = {"scaledobject.keda.sh/transfer-hpa-ownership": "true"}
    refused = w.create(scaled(n, [trigger(n)], annotations=transfer, minReplicaCount=1), check=False)
    assert "set spec.advanced.horizontalPodAutoscalerConfig.name" in refused.stderr
    w.create(scaled(n, [trigger(n)], annotations=transfer, minReplicaCount=1,
                    advanced={"horizontalPodAutoscalerConfig": {"name": f"{n}-hpa"}}))
    wait_for("three", lambda: w.replicas(n) == 3)
    h = w.f.get("hpa", f"{n}-hpa")
    assert h["metadata"]["ownerReferences"][0]["kind"] == "ScaledObject" and h["spec"]["maxReplicas"] == 8
    assert h["spec"]["metrics"][0]["type"] == "External"


@pytest.mark.parametrize("change, says", [
    ({"minReplicaCount": 9}, "minReplicaCount (9) must not be greater than maxReplicaCount (8)"),
    ({"idleReplicaCount": 1, "minReplicaCount": 1}, "IdleReplicaCount=1 must be less than MinReplicaCount=1"),
    ({"triggers": [trigger("x", name="a"), trigger("y", name="a")]}, "triggerName a is defined multiple times"),
    ({"triggers": [{"type": "cron", "metadata": {}, "useCachedMetrics": True}]}, "\"useCachedMetrics\" is not supported for cron"),
    ({"triggers": [{"type": "cpu", "metricType": "Utilization", "metadata": {"value": "5"}}]}, "only cpu/memory triggers AND minReplica is 0"),
    ({"triggers": [{"type": "cpu", "metricType": "Utilization", "metadata": {"value": "5"}}], "minReplicaCount": 1,
      "fallback": {"failureThreshold": 1, "replicas": 1}}, "needs at least one trigger that is not cpu or memory"),
    ({"fallback": {"failureThreshold": 1, "replicas": 1, "behavior": "scalingModifiers"}}, "needs advanced.scalingModifiers.formula"),
    ({"advanced": {"scalingModifiers": {"target": "2"}}}, "Formula is mandatory"),
    ({"advanced": {"scalingModifiers": {"formula": "a"}}}, "target is empty"),
    ({"advanced": {"scalingModifiers": {"formula": "a", "target": "0"}}}, "must be a number greater than 0"),
    ({"advanced": {"scalingModifiers": {"formula": "a + b", "target": "2"}}}, "unknown name 'a'"),
    ({"advanced": {"horizontalPodAutoscalerConfig": {"name": "h" * 64}}}, "63 are allowed"),
    ({"pollingInterval": 0}, "pollingInterval"), ({"cooldownPeriod": -1}, "cooldownPeriod"),
    ({"initialCooldownPeriod": -1}, "initialCooldownPeriod"), ({"fallback": {"replicas": 1}}, "failureThreshold"),
    ({"fallback": {"failureThreshold": 1, "replicas": 1, "behavior": "odd"}}, "behavior")])
def test_what_cannot_work_is_refused_with_the_reason(w, change, says):
    n = w.name("refused")
    o = scaled(n, [trigger("x", name="t")])
    o["spec"].update(change)
    r = w.create(o, check=False)
    assert r.returncode != 0 and says in r.stderr, r.stderr


def test_two_scaledobjects_do_not_share_a_target_or_an_hpa(w):
    n = w.name("twice")
    w.create(workload(n), scaled(n, [trigger(n)], minReplicaCount=1))
    r = w.create(scaled(n + "b", [trigger(n)], target={"name": n}), check=False)
    assert f"already managed by the ScaledObject '{n}'" in r.stderr
    r = w.create(scaled(n + "c", [trigger(n)], advanced={"horizontalPodAutoscalerConfig": {"name": f"keda-hpa-{n}"}}), check=False)
    assert f"the HPA 'keda-hpa-{n}' is already managed by the ScaledObject '{n}'" in r.stderr


def test_cpu_needs_a_request_unless_it_is_a_dry_run(w):
    n = w.name("norequest")
    w.create(workload(n))
    o = scaled(n, [{"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}}], minReplicaCount=1)
    r = w.create(o, check=False)
    assert "the container app doesn't have the cpu request defined" in r.stderr
    r = w.f.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(o), check=False)
    assert r.returncode == 0, r.stderr


# --- what people see ---

def test_columns_are_the_tutorials(w):
    n = w.name("columns")
    w.say(**{n: 1})
    w.create(workload(n), scaled(n, [trigger(n)], minReplicaCount=1))
    wait_for("active", lambda: w.is_condition(n, "Active", "True", "ScalerActive"))
    head, row = w.f.kubectl("get", "so", n).stdout.splitlines()
    assert head.split() == ["NAME", "SCALETARGETKIND", "SCALETARGETNAME", "MIN", "MAX", "TRIGGERS", "AUTHENTICATION", "READY", "ACTIVE",
                            "FALLBACK", "PAUSED", "AGE"]
    assert row.split()[:-1] == [n, "apps/v1.Deployment", n, "1", "8", "prometheus", "True", "True", "False", "Unknown"]


def test_a_restart_keeps_what_was_known(flyball_factory):
    f = flyball_factory()
    w = start_with_source(f)
    w.say(load=4)
    w.create(workload("web", 2), scaled("web", [trigger("load")], cooldownPeriod=3600, pollingInterval=1,
                                        fallback={"failureThreshold": 1, "replicas": 3}))
    wait_for("two, active", lambda: w.replicas("web") == 2 and w.is_condition("web", "Active", "True", "ScalerActive"))
    w.say(load="NaN")
    wait_for("the fallback", lambda: w.replicas("web") == 3)
    f.kill()
    f.start()
    hold("it falls back still", lambda: w.replicas("web") == 3, 2)
    assert w.is_condition("web", "Fallback", "True", "FallbackExists")
    w.say(load=0)
    wait_for("cooling down, counted from before", lambda: w.is_condition("web", "Active", "False", "ScalerCooldown"))
    assert w.replicas("web") >= 1 and w.so("web")["status"]["originalReplicaCount"] == 2


def test_columns_of_newer_keda_by_an_option(flyball_factory):
    f = flyball_factory(args=["--scaledobject-columns=new"])
    w = World(f)
    w.create(workload("web"), scaled("web", [trigger("x", name="a"), trigger("y", name="b")], minReplicaCount=1))
    wait_for("the status", lambda: w.so("web")["status"]["triggersTypes"])
    head, row = f.kubectl("get", "so", "web").stdout.splitlines()
    assert head.split() == ["NAME", "SCALETARGETKIND", "SCALETARGETNAME", "MIN", "MAX", "READY", "ACTIVE", "FALLBACK", "PAUSED", "TRIGGERS",
                            "AUTHENTICATIONS", "AGE"]
    assert "prometheus" in row and w.condition("web", "Paused")["status"] == "False"
    assert f.kubectl("get", "hpa", "keda-hpa-web").returncode == 0


def test_the_originals_timing_by_an_option(flyball_factory):
    f = flyball_factory(args=["--sync-period=3s"])
    w = start_with_source(f)
    w.say(load=0)
    w.create(workload("web", 0), scaled("web", [trigger("load")], pollingInterval=2, cooldownPeriod=1))
    wait_for("a look", lambda: w.is_condition("web", "Active", "False", "ScalerNotActive"))
    wait_for("the HPA says that it is off", lambda: w.is_condition("web", "HPAActive", "True", "ScalingDisabled"))
    w.say(load=5)
    began = time.monotonic()
    wait_for("one, by KEDA's loop",
             lambda: any(r == "KEDAScaleTargetActivated" and "from 0 to 1" in m for _, r, m in w.events("web")))
    wait_for("three, by the HPA's sync", lambda: w.replicas("web") == 3)
    assert time.monotonic() - began > 0.5
    w.say(load=0)
    wait_for("zero, by KEDA's loop", lambda: w.replicas("web") == 0)
    why = wait_for("why", lambda: [m for _, r, m in w.events("web") if r == "ScalingDecision" and "to 0 replicas" in m])
    assert re.search(r"to 0 replicas: s0-prometheus \(sum\(load\)\) is 0; KEDA: no trigger has been active for the cooldown period", why[0]), why
