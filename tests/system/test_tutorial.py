# SPDX-License-Identifier: Apache-2.0
"""The tutorial, word for word, with the ecosystem's own tools."""
import json
import re
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
import yaml

from conftest import DATA, FLYBALL, kubectls, wait_for

BODY = '{"model": "fbopt", "prompt": "Write a poem about colors", "stream": false, "max_tokens": 100}'


def query(f, expr):
    url = f.web + "/api/v1/query?" + urllib.parse.urlencode({"query": expr})
    with urllib.request.urlopen(url, timeout=5) as r:
        return json.load(r)["data"]["result"]


def ready(f, namespace="default"):
    out = f.kubectl("get", "isvc", "huggingface-fbopt", "-n", namespace, "-o",
                    "jsonpath={.status.conditions[?(@.type=='Ready')].status}").stdout
    return out == "True"


def hey(f, host, seconds, clients=5):
    return subprocess.Popen(
        ["hey", "-z", f"{seconds}s", "-c", str(clients), "-m", "POST", "-host", host, "-H", "Content-Type: application/json",
         "-d", BODY, f"http://{f.env['INGRESS_HOST']}:{f.env['INGRESS_PORT']}/openai/v1/completions"],
        stdout=subprocess.PIPE, text=True)


def host_of(f, namespace="default"):
    url = f.kubectl("get", "inferenceservice", "huggingface-fbopt", "-n", namespace, "-o", "jsonpath={.status.url}").stdout
    assert url == f"http://huggingface-fbopt-{namespace}.example.com"
    return url.split("/")[2]


@pytest.fixture
def applied(flyball, tutorial_yaml):
    out = flyball.kubectl("apply", "-f", "-", stdin=tutorial_yaml).stdout
    assert out == "inferenceservice.serving.kserve.io/huggingface-fbopt created\n"
    wait_for("the InferenceService is Ready", lambda: ready(flyball), 10)
    return flyball


@pytest.mark.parametrize("kubectl", kubectls())
def test_from_apply_to_three_replicas(flyball_factory, tutorial_yaml, kubectl):
    f = flyball_factory(kubectl=kubectl)
    assert f.kubectl("apply", "-f", "-", stdin=tutorial_yaml).stdout == "inferenceservice.serving.kserve.io/huggingface-fbopt created\n"
    wait_for("READY within 10 s", lambda: ready(f), 10)
    # a simulated model says so everywhere: event, log, list of models, header of every answer
    assert wait_for("the event", lambda: re.search(r"StandIn +.*computes no model", f.kubectl("get", "events").stdout))
    pod = f.pods()[0]["metadata"]["name"]
    assert "simulated" in f.kubectl("logs", pod, "-c", "kserve-container").stdout.lower()
    answer = subprocess.run(["curl", "-si", "-H", "Host: huggingface-fbopt-default.example.com", "-H", "Content-Type: application/json",
                             "-d", BODY.replace("100", "1"), f"http://{f.env['INGRESS_HOST']}:{f.env['INGRESS_PORT']}/openai/v1/completions"],
                            capture_output=True, text=True).stdout
    assert "x-flyball-simulated:" in answer.lower(), answer
    models = subprocess.run(["curl", "-s", "-H", "Host: huggingface-fbopt-default.example.com",
                             f"http://{f.env['INGRESS_HOST']}:{f.env['INGRESS_PORT']}/openai/v1/models"], capture_output=True, text=True).stdout
    assert json.loads(models)["data"][0]["simulated"] is True
    table = wait_for("the ScaledObject is ready",
                     lambda: (lambda t: t if re.search(r" True +(True|False) +False +Unknown", t) else None)(
                         f.kubectl("get", "scaledobjects", "huggingface-fbopt-predictor").stdout), 5).splitlines()
    assert table[0].split() == ["NAME", "SCALETARGETKIND", "SCALETARGETNAME", "MIN", "MAX", "TRIGGERS", "AUTHENTICATION",
                                "READY", "ACTIVE", "FALLBACK", "PAUSED", "AGE"]
    assert re.match(r"huggingface-fbopt-predictor +apps/v1.Deployment +huggingface-fbopt-predictor +1 +5 +prometheus", table[1])
    load = hey(f, host_of(f), 8)
    seen = set()
    end = time.monotonic() + 8
    while time.monotonic() < end:
        seen.add(len(f.pods()))
        time.sleep(0.2)
    out = load.communicate()[0]
    assert seen <= {1, 3} and 3 in seen, (seen, f.tail())
    assert re.findall(r"\[(\d+)\]\t\d+ responses", out) == ["200"], out
    assert "Error distribution" not in out
    assert all(re.fullmatch(r"huggingface-fbopt-predictor-[a-z0-9]{8,10}-[a-z0-9]{5}", p["metadata"]["name"]) for p in f.pods())
    assert "keda-hpa-huggingface-fbopt-predictor" in f.kubectl("get", "hpa").stdout
    text = f.kubectl("describe", "scaledobject", "huggingface-fbopt-predictor").stdout
    assert "from 1 to 3 replicas: s0-prometheus (vllm:num_requests_running) is 5" in text or "from 1 to 3 replicas" in text, text
    assert "1 -> 3 replicas" in f.tail(200)


def test_load_in_one_namespace_leaves_the_other_at_one(applied, tutorial_yaml):
    f = applied
    f.kubectl("create", "namespace", "team-b")
    f.kubectl("apply", "-n", "team-b", "-f", "-", stdin=tutorial_yaml)
    wait_for("the second one is Ready", lambda: ready(f, "team-b"), 10)
    load = hey(f, host_of(f, "team-b"), 5)
    wait_for("three pods there", lambda: len(f.pods("team-b")) == 3, 6)
    assert len(f.pods("default")) == 1
    load.wait()
    both = [hey(f, host_of(f), 6), hey(f, host_of(f, "team-b"), 6)]
    wait_for("three and three", lambda: (len(f.pods()), len(f.pods("team-b"))) == (3, 3), 7)
    for p in both:
        p.wait()


def test_running_requests_equal_the_gateways_in_flight(applied):
    f = applied
    load = hey(f, host_of(f), 6)
    wait_for("three pods are ready", lambda: sum(
        1 for p in f.pods() for c in p["status"].get("conditions", []) if c["type"] == "Ready" and c["status"] == "True") == 3, 6)
    for _ in range(10):
        page = urllib.request.urlopen(f.web + "/metrics", timeout=5).read().decode()
        in_flight = sum(int(v) for v in re.findall(r"^flyball_gateway_in_flight\{.*\} (\d+)$", page, re.M))
        running = sum(float(r["value"][1]) for r in query(f, "vllm:num_requests_running"))
        assert abs(in_flight - running) <= 3, (in_flight, running)
        time.sleep(0.2)
    load.wait()


def test_a_client_that_leaves_frees_its_slot(applied):
    f = applied
    p = subprocess.Popen(["curl", "-sN", "-m", "1", "-H", f"Host: {host_of(f)}", "-d",
                          '{"prompt":"x","max_tokens":1500,"stream":true}',
                          f"http://{f.env['INGRESS_HOST']}:{f.env['INGRESS_PORT']}/openai/v1/completions"],
                         stdout=subprocess.PIPE)
    wait_for("it runs", lambda: sum(float(r["value"][1]) for r in query(f, "vllm:num_requests_running")) == 1, 3)
    out = p.communicate()[0]
    assert out.startswith(b"data: {")
    wait_for("nothing runs any more", lambda: sum(float(r["value"][1]) for r in query(f, "vllm:num_requests_running")) == 0, 3)


def test_what_is_deleted_or_patched_comes_back(applied):
    f = applied
    hpa = "keda-hpa-huggingface-fbopt-predictor"
    f.kubectl("patch", "hpa", hpa, "--type", "merge", "-p", '{"spec":{"maxReplicas":2}}')
    wait_for("the ScaledObject reverts it", lambda: f.get("hpa", hpa)["spec"]["maxReplicas"] == 5, 5)
    uid = f.get("hpa", hpa)["metadata"]["uid"]
    f.kubectl("delete", "hpa", hpa)
    wait_for("the HPA comes back", lambda: f.get("hpa", hpa)["metadata"]["uid"] != uid, 5)
    uid = f.get("deploy", "huggingface-fbopt-predictor")["metadata"]["uid"]
    f.kubectl("delete", "deploy", "huggingface-fbopt-predictor")
    wait_for("the Deployment comes back", lambda: f.get("deploy", "huggingface-fbopt-predictor")["metadata"]["uid"] != uid, 10)
    wait_for("and is Ready", lambda: ready(f), 15)


def test_a_container_that_never_opens_its_port_is_not_ready_and_says_why(flyball):
    flyball.kubectl("apply", "-f", "-", stdin="""
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: deaf, annotations: {serving.kserve.io/autoscalerClass: none}}
spec:
  predictor:
    containers:
    - {name: kserve-container, image: local/deaf, command: [sleep, "1000"]}
""")
    wait_for("the reason is told", lambda: "connection refused" in json.dumps(
        flyball.get("isvc", "deaf")["status"]) or "dial tcp" in json.dumps(flyball.pods()[0]["status"]), 10)
    ready_condition = [c for c in flyball.get("isvc", "deaf")["status"]["conditions"] if c["type"] == "Ready"][0]
    assert ready_condition["status"] == "False"


def test_an_image_without_a_command_says_what_to_do(flyball):
    flyball.kubectl("run", "x", "--image=nginx", "--restart=Never")
    waiting = wait_for("it waits with a reason", lambda: flyball.pods()[0]["status"]["containerStatuses"][0]["state"]["waiting"], 5)
    assert waiting["reason"] == "ImageNotRunnable"
    assert "--image-map" in waiting["message"]


@pytest.mark.parametrize("change, says", [
    (lambda o: o["spec"]["predictor"].update(minReplicas=7), "MinReplicas cannot be greater than MaxReplicas"),
    (lambda o: o["metadata"]["annotations"].update({"serving.kserve.io/autoscalerClass": "kpa"}), "not a supported autoscaler class"),
    (lambda o: o["metadata"]["annotations"].update(big="x" * 262145), "Too long"),
])
def test_bad_input_is_refused_with_a_reason(flyball, tutorial_yaml, change, says):
    o = yaml.safe_load(tutorial_yaml)
    change(o)
    r = flyball.kubectl("create", "-f", "-", stdin=json.dumps(o), check=False)
    assert r.returncode != 0 and says in r.stderr, r.stderr
    assert flyball.get("isvc")["items"] == []


def test_an_unknown_runtime_is_named_and_waited_for(flyball, tutorial_yaml):
    o = yaml.safe_load(tutorial_yaml)
    o["spec"]["predictor"]["model"]["runtime"] = "nope"
    flyball.kubectl("create", "-f", "-", stdin=json.dumps(o))
    status = wait_for("the status says it", lambda: flyball.get("isvc", "huggingface-fbopt")["status"]["modelStatus"], 5)
    assert status["lastFailureInfo"]["reason"] == "RuntimeNotRecognized"
    assert "nope" in status["lastFailureInfo"]["message"]


def test_broken_yaml_and_a_second_object_of_one_name(applied, tutorial_yaml):
    assert applied.kubectl("apply", "-f", "-", stdin="a: [", check=False).returncode != 0
    r = applied.kubectl("create", "-f", "-", stdin=tutorial_yaml, check=False)
    assert 'inferenceservices.serving.kserve.io "huggingface-fbopt" already exists' in r.stderr


def test_a_second_instance_on_one_directory_and_a_taken_port(flyball):
    r = subprocess.run([str(FLYBALL), "up", "--data-dir", str(flyball.data_dir)], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and f"in use by process {flyball.process.pid}" in r.stderr
    other = str(flyball.data_dir) + "-other"
    r = subprocess.run([str(FLYBALL), "up", "--data-dir", other, "--gateway-listen",
                        f"{flyball.env['INGRESS_HOST']}:{flyball.env['INGRESS_PORT']}"], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and "--gateway-listen" in r.stderr and "already in use" in r.stderr


def test_two_instances_side_by_side_have_their_own_addresses(flyball_factory, tutorial_yaml):
    a, b = flyball_factory("a"), flyball_factory("b")
    for f in (a, b):
        f.kubectl("apply", "-f", "-", stdin=tutorial_yaml)
    for f in (a, b):
        wait_for("Ready", lambda: ready(f), 15)
    assert a.pods()[0]["status"]["podIP"] != b.pods()[0]["status"]["podIP"]


def test_unknown_host_and_service_without_pods_get_clear_answers(flyball):
    base = f"http://{flyball.env['INGRESS_HOST']}:{flyball.env['INGRESS_PORT']}/"
    out = subprocess.run(["curl", "-s", "-w", "%{http_code}", "-H", "Host: nobody.example.com", base], capture_output=True, text=True).stdout
    assert out.endswith("404") and "no route for host 'nobody.example.com'" in out
    flyball.kubectl("create", "service", "clusterip", "empty", "--tcp=80:80")
    wait_for("503", lambda: (lambda o: o.endswith("503") and "no ready pod" in o)(subprocess.run(
        ["curl", "-s", "-w", "%{http_code}", "-H", "Host: empty.default.svc", base], capture_output=True, text=True).stdout), 5)
