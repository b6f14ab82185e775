# SPDX-License-Identifier: Apache-2.0
"""HorizontalPodAutoscalers that users make (autoscaling/v2), on a Deployment whose pods say what they are told to."""
import json
import re
import urllib.request

import pytest
import yaml

from conftest import kubectls, wait_for

# A pod that exposes one gauge; POST sets it. It binds its own address, as pods on one machine must.
SERVER = """
import http.server, os
value = '0'
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self, body):
        self.send_response(200)
        self.send_header('Content-Type', 'text/plain; version=0.0.4')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(('# TYPE app_load gauge\\napp_load{service="web"} %s\\n' % value).encode())
    def do_POST(self):
        global value
        value = self.rfile.read(int(self.headers['Content-Length'])).decode()
        self.answer(b'')
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer((os.environ['POD_IP'], 8080), H).serve_forever()
"""


def deployment(name="web", replicas=1):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name},
                                               "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}},
                                  "spec": {"containers": [{"name": "app", "image": "local/app",
                                                           "command": ["/usr/bin/python3", "-c", SERVER],
                                                           "readinessProbe": {"httpGet": {"path": "/", "port": 8080}}}]}}}}


def hpa(metrics, name="web", target="web", max_replicas=6, **spec):
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
                     "minReplicas": 1, "maxReplicas": max_replicas, "metrics": metrics,
                     "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}, **spec}}


PODS = {"type": "Pods", "pods": {"metric": {"name": "app_load"}, "target": {"type": "AverageValue", "averageValue": "2"}}}
EXTERNAL = {"type": "External", "external": {"metric": {"name": "app_load", "selector": {"matchLabels": {"service": "web"}}},
                                             "target": {"type": "AverageValue", "averageValue": "2"}}}
OBJECT = {"type": "Object", "object": {"describedObject": {"apiVersion": "v1", "kind": "Service", "name": "web"},
                                       "metric": {"name": "app_load"}, "target": {"type": "Value", "value": "2"}}}


def create(f, *objects):
    f.kubectl("create", "-f", "-", stdin="---\n".join(yaml.safe_dump(o) for o in objects))


def say(f, value, app="web"):
    """Every pod of the app now has this load."""
    for p in f.pods(selector=f"app={app}"):
        urllib.request.urlopen(urllib.request.Request(f"http://{p['status']['podIP']}:8080/", str(value).encode()), timeout=5).read()


def replicas(f, name="web"):
    return f.get("deploy", name)["spec"]["replicas"]


def conditions(f, name="web"):
    return {c["type"]: c for c in f.get("hpa", name).get("status", {}).get("conditions", [])}


def ready_pods(f, n, name="web"):
    wait_for(f"{n} ready pods", lambda: f.get("deploy", name)["status"].get("readyReplicas") == n, 15)


@pytest.fixture
def web(flyball):
    create(flyball, deployment())
    ready_pods(flyball, 1)
    return flyball


@pytest.mark.parametrize("metric, text", [(PODS, "pods metric app_load"),
                                          (EXTERNAL, "external metric app_load(&LabelSelector{MatchLabels:map[string]string{service: web,}"),
                                          (OBJECT, "Service metric app_load")], ids=["pods", "external", "object"])
def test_a_users_hpa_scales_on_each_kind_of_metric_and_says_from_which(web, metric, text):
    create(web, hpa([metric]))
    wait_for("it works", lambda: conditions(web)["ScalingActive"]["reason"] == "ValidMetricFound", 10)
    assert text in conditions(web)["ScalingActive"]["message"]
    say(web, 5)
    wait_for("three replicas", lambda: replicas(web) == 3, 5)
    able = wait_for("the condition says so", lambda: conditions(web)["AbleToScale"], 5)
    assert able["status"] == "True"
    events = web.kubectl("describe", "hpa", "web").stdout
    assert "SuccessfulRescale" in events and "New size: 3; reason: " + text in events, events


def test_several_metrics_the_highest_wins_and_one_that_fails_only_forbids_going_down(web):
    missing = json.loads(json.dumps(PODS))
    missing["pods"]["metric"]["name"] = "no_such_series"
    create(web, hpa([PODS, missing]))
    say(web, 7)
    wait_for("four replicas in spite of the metric that fails", lambda: replicas(web) == 4, 5)
    ready_pods(web, 4)
    say(web, 1)
    event = wait_for("the failure is told", lambda: [e for e in web.get("events")["items"]
                                                     if e["reason"] == "FailedGetPodsMetric"], 5)[0]
    assert "no metrics returned from custom metrics API" in event["message"]
    active = wait_for("the condition says why", lambda: (lambda c: c if c["status"] == "False" else None)(
        conditions(web)["ScalingActive"]), 5)
    assert active["reason"] == "FailedGetPodsMetric"
    assert replicas(web) == 4
    current = web.get("hpa", "web")["status"]["currentMetrics"]
    assert [m["type"] for m in current] == ["Pods", ""], current
    web.kubectl("patch", "hpa", "web", "--type", "merge", "-p", json.dumps({"spec": {"metrics": [PODS]}}))
    wait_for("one replica when nothing fails any more", lambda: replicas(web) == 1, 5)


def test_targets_follow_the_load_within_three_seconds(web):
    create(web, hpa([EXTERNAL]))
    say(web, 5)
    wait_for("three", lambda: replicas(web) == 3, 5)
    ready_pods(web, 3)
    say(web, 0)
    wait_for("TARGETS shows the end of the load", lambda: "0/2 (avg)" in web.kubectl("get", "hpa", "web").stdout, 3)


def test_two_hpas_on_the_same_pods_are_refused_by_both(web):
    create(web, hpa([EXTERNAL]), hpa([EXTERNAL], name="other"))
    for name in ("web", "other"):
        c = wait_for(f"{name} says so", lambda: (lambda c: c if c["reason"] == "AmbiguousSelector" else None)(
            conditions(web, name)["ScalingActive"]), 20)
        assert "also selected by HPA default/" in c["message"]
    say(web, 9)
    assert replicas(web) == 1


def test_bounds_act_without_metrics_and_a_target_at_zero_is_left_alone(web):
    say(web, 4)  # two are right for it, so that two stay
    create(web, hpa([EXTERNAL], max_replicas=2))
    wait_for("two by the metric", lambda: replicas(web) == 2, 15)
    web.kubectl("scale", "deploy", "web", "--replicas=5")
    wait_for("the reason", lambda: "Current number of replicas above Spec.MaxReplicas" in web.kubectl("describe", "hpa", "web").stdout, 15)
    wait_for("down to maxReplicas", lambda: replicas(web) == 2, 5)
    web.kubectl("scale", "deploy", "web", "--replicas=0")
    wait_for("disabled", lambda: conditions(web)["ScalingActive"]["reason"] == "ScalingDisabled", 5)
    assert replicas(web) == 0


def test_a_target_that_is_not_there_is_named_and_waited_for(flyball):
    create(flyball, hpa([EXTERNAL]))
    c = wait_for("the condition", lambda: conditions(flyball)["AbleToScale"], 5)
    assert c["reason"] == "FailedGetScale" and 'deployments.apps "web" not found' in c["message"]
    create(flyball, deployment())
    wait_for("it goes on", lambda: conditions(flyball)["AbleToScale"]["status"] == "True", 10)


def test_the_hpa_of_a_scaledobject_is_not_decided_twice(web):
    create(web, {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"},
                 "spec": {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 1, "maxReplicaCount": 6,
                          "triggers": [{"type": "prometheus", "metadata": {
                              "serverAddress": "http://prometheus.istio-system.svc:9090", "query": "app_load", "threshold": "2"}}]}})
    say(web, 5)
    wait_for("three", lambda: replicas(web) == 3, 8)
    out = web.kubectl("get", "hpa").stdout
    assert "keda-hpa-web" in out and len(out.splitlines()) == 2
    rescales = [e for e in web.get("events")["items"] if e["reason"] == "SuccessfulRescale"]
    assert [e.get("count", 1) for e in rescales] == [1], rescales
    assert "external metric s0-prometheus(&LabelSelector{MatchLabels:map[string]string{scaledobject.keda.sh/name: web,}" in rescales[0]["message"]


# --- resource metrics: what containers use ---

# Holds as many MiB as it is told by its first argument and burns CPU if there is a second one.
USER = """
import sys, time
hold = bytearray(b'x') * (int(sys.argv[1]) << 20)
while len(sys.argv) > 2:
    pass
time.sleep(3600)
"""


def user(name="web", mib=40, burns=False, cpu="10m", memory="20Mi", replicas=1, more=()):
    command = ["/usr/bin/python3", "-c", USER, str(mib)] + (["burn"] if burns else [])
    d = deployment(name, replicas)
    d["spec"]["template"]["metadata"].pop("annotations")
    d["spec"]["template"]["spec"] = {"containers": [
        {"name": "app", "image": "local/app", "command": command,
         "resources": {"requests": {"cpu": cpu, "memory": memory}}}, *more],
        "terminationGracePeriodSeconds": 0}
    return d


def resource(name, container=None, **target):
    kind = "Utilization" if "averageUtilization" in target else "AverageValue"
    block = {"name": name, "target": {"type": kind, **target}}
    if container:
        return {"type": "ContainerResource", "containerResource": {**block, "container": container}}
    return {"type": "Resource", "resource": block}


@pytest.mark.parametrize("kubectl", kubectls(), ids=lambda p: p.replace("/", "_"))
def test_kubectl_top_says_what_pods_and_the_node_use(flyball_factory, kubectl):
    f = flyball_factory(kubectl=kubectl)
    idle = {"name": "idle", "image": "x", "command": ["/bin/sleep", "3600"]}
    create(f, user(burns=True, more=[idle]))

    def top(*args):
        return [line.split() for line in f.kubectl("top", *args, "--no-headers", check=False).stdout.splitlines()]

    name, cpu, memory = wait_for("top pods", lambda: top("pods"), 15)[0]
    assert name.startswith("web-")
    assert int(memory.removesuffix("Mi")) in range(41, 61), memory
    wait_for("the CPU it burns", lambda: int(top("pods")[0][1].removesuffix("m")) > 100, 20)
    containers = {row[1]: row[2:] for row in top("pods", "--containers")}
    assert set(containers) == {"app", "idle"}
    assert int(containers["idle"][0].removesuffix("m")) < 20
    assert int(containers["app"][0].removesuffix("m")) > 100
    assert top("pods", "-l", "app=other") == []
    node = top("nodes")[0]
    assert int(node[1].removesuffix("m")) > 100 and int(node[3].removesuffix("Mi")) > 40, node
    raw = json.loads(f.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/" + name).stdout)
    assert raw["kind"] == "PodMetrics" and raw["metadata"]["labels"]["app"] == "web" and raw["window"].endswith("s")
    assert {c["name"] for c in raw["containers"]} == {"app", "idle"}
    missing = f.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/none", check=False)
    assert "NotFound" in missing.stderr and "default/none" in missing.stderr


def test_memory_and_cpu_against_requests_and_as_values(flyball):
    create(flyball, user(mib=40), hpa([resource("memory", averageUtilization=100)], max_replicas=4))
    # about 45 MiB of 20 Mi requested: above 100 % whatever the size
    wait_for("up to maxReplicas", lambda: replicas(flyball) == 4, 20)
    status = wait_for("its status", lambda: (lambda s: s if s.get("currentMetrics") else None)(
        flyball.get("hpa", "web")["status"]), 5)
    current = status["currentMetrics"][0]["resource"]["current"]
    assert 190 < current["averageUtilization"] < 300, current
    assert status["conditions"][1]["message"].endswith(
        "successfully calculate a replica count from memory resource utilization (percentage of request)")
    out = flyball.kubectl("get", "hpa", "web").stdout
    assert re.search(r"Deployment/web\s+memory: 2\d\d%/100%", out), out
    flyball.kubectl("patch", "hpa", "web", "--type", "merge", "-p", json.dumps(
        {"spec": {"metrics": [resource("memory", container="app", averageValue="200Mi")]}}))
    wait_for("down when the target is far", lambda: replicas(flyball) == 1, 10)
    wait_for("the value as a quantity", lambda: re.fullmatch(r"\d+[KM]i", flyball.get("hpa", "web")["status"][
        "currentMetrics"][0]["containerResource"]["current"]["averageValue"]), 5)


def test_cpu_of_a_ready_pod_counts_and_one_without_request_is_an_error(flyball):
    create(flyball, user(burns=True, mib=1), hpa([resource("cpu", averageUtilization=80)], max_replicas=3))
    wait_for("above 80 % of 10m: three", lambda: replicas(flyball) == 3, 30)
    events = flyball.kubectl("describe", "hpa", "web").stdout
    assert "reason: cpu resource utilization (percentage of request) above target" in events
    bad = user("other", mib=1)
    del bad["spec"]["template"]["spec"]["containers"][0]["resources"]
    create(flyball, bad, hpa([resource("cpu", averageUtilization=80)], name="other", target="other"))
    c = wait_for("the condition says so", lambda: (lambda c: c if c["reason"] == "FailedGetResourceMetric" and
                                                   "missing request" in c["message"] else None)(
        conditions(flyball, "other")["ScalingActive"]), 15)
    assert "missing request for cpu in container app of Pod other-" in c["message"]


def test_metrics_apis_answer_what_the_hpa_reads(web):
    say(web, 2.5)

    def raw(path, check=True):
        r = web.kubectl("get", "--raw", path, check=check)
        return json.loads(r.stdout) if check else r

    groups = [g["name"] for g in raw("/apis")["groups"]]
    assert groups[-3:] == ["metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"]
    custom = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default"
    item = wait_for("the pod's value", lambda: (lambda i: i if i and i[0]["value"] == "2500m" else None)(
        raw(custom + "/pods/*/app_load?labelSelector=app%3Dweb")["items"]), 5)[0]
    assert item["describedObject"]["name"].startswith("web-") and item["metric"] == {"name": "app_load", "selector": None}
    assert raw(custom + "/pods/*/app_load?labelSelector=app%3Dother")["items"] == []
    assert raw(custom + "/pods/*/app_load?metricLabelSelector=service+in+(a,web)")["items"][0]["value"] == "2500m"
    assert raw(custom + "/pods/*/app_load?metricLabelSelector=service!%3Dweb")["items"] == []
    old = raw("/apis/custom.metrics.k8s.io/v1beta1/namespaces/default/services/web/app_load")["items"][0]
    assert old["metricName"] == "app_load" and old["describedObject"] == {
        "kind": "Service", "namespace": "default", "name": "web", "apiVersion": "v1"}
    assert "could not find the metric nothing" in raw(custom + "/services/web/nothing", check=False).stderr
    external = "/apis/external.metrics.k8s.io/v1beta1"
    assert [r["name"] for r in raw(external)["resources"]] == ["externalmetrics"]
    items = raw(external + "/namespaces/default/app_load?labelSelector=service%3Dweb")["items"]
    assert [(i["metricName"], i["metricLabels"], i["value"]) for i in items] == [("app_load", None, "2500m")]


def test_scale_to_zero_and_back_by_an_external_metric(web):
    # the load is another workload's: at zero the target's own pods say nothing
    create(web, deployment("idle"), hpa([EXTERNAL], target="idle", minReplicas=0, max_replicas=3))
    say(web, 0)
    wait_for("nobody is needed", lambda: replicas(web, "idle") == 0, 10)
    c = wait_for("the condition", lambda: (lambda c: c if c["status"] == "True" else None)(conditions(web)["ScaledToZero"]), 5)
    assert c["reason"] == "ScaledToZero"
    say(web, 3)
    wait_for("back again", lambda: replicas(web, "idle") == 2, 10)
    c = wait_for("the condition", lambda: (lambda c: c if c["status"] == "False" else None)(conditions(web)["ScaledToZero"]), 5)
    assert c["reason"] == "NotScaledToZero"
    refused = web.kubectl("patch", "hpa", "web", "--type", "merge", "-p", json.dumps({"spec": {"metrics": [PODS]}}), check=False)
    assert "must specify at least one Object or External metric to support scaling to zero" in refused.stderr


def test_v1_v2beta2_and_v2_are_one_object(web):
    web.kubectl("autoscale", "deployment", "web", "--min=1", "--max=4", "--cpu-percent=50")
    v2 = web.get("hpa.v2.autoscaling", "web")
    assert v2["spec"]["metrics"] == [resource("cpu", averageUtilization=50)]
    web.kubectl("patch", "hpa.v2.autoscaling", "web", "--type", "merge", "-p", json.dumps({"spec": {"metrics": [
        resource("cpu", averageUtilization=50), EXTERNAL]}}))
    v1 = web.get("hpa.v1.autoscaling", "web")
    assert v1["apiVersion"] == "autoscaling/v1" and v1["spec"]["targetCPUUtilizationPercentage"] == 50
    others = json.loads(v1["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"])
    assert others == [{"type": "External", "external": {"metricName": "app_load", "metricSelector": {
        "matchLabels": {"service": "web"}}, "targetAverageValue": "2"}}]

    def replaced():  # the controller writes the status meanwhile: a conflict is tried again
        o = web.get("hpa.v1.autoscaling", "web")
        o["spec"]["maxReplicas"] = 5
        return web.kubectl("replace", "-f", "-", stdin=json.dumps(o), check=False).returncode == 0

    wait_for("it is replaced", replaced)
    again = web.get("hpa.v2.autoscaling", "web")
    assert again["spec"]["maxReplicas"] == 5
    assert [m["type"] for m in again["spec"]["metrics"]] == ["Resource", "External"]
    assert "autoscaling.alpha.kubernetes.io/metrics" not in again["metadata"].get("annotations", {})
    beta = web.get("hpa.v2beta2.autoscaling", "web")
    assert beta["apiVersion"] == "autoscaling/v2beta2" and beta["spec"] == again["spec"]


def test_kedas_cpu_and_memory_triggers_have_values(flyball):
    create(flyball, user(mib=40, burns=True), {
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 1, "maxReplicaCount": 3, "triggers": [
            {"type": "memory", "metricType": "AverageValue", "metadata": {"value": "30Mi", "containerName": "app"}},
            {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "90000"}}]}})
    wait_for("up to maxReplicaCount by memory", lambda: replicas(flyball) == 3, 20)
    current = wait_for("both are shown", lambda: (lambda m: m if len(m) == 2 and all(x["type"] for x in m) else None)(
        flyball.get("hpa", "keda-hpa-web")["status"].get("currentMetrics", [])), 30)
    by_type = {m["type"]: m for m in current}
    # bytes; the average over three pods is no multiple of 1 Ki
    assert re.fullmatch(r"\d+([KM]i)?", by_type["ContainerResource"]["containerResource"]["current"]["averageValue"])
    assert by_type["Resource"]["resource"]["current"]["averageUtilization"] > 500
