# SPDX-License-Identifier: Apache-2.0
"""The tutorial's second half, word for word: a collector beside each pod pushes, the count follows."""
import contextlib
import http.server
import json
import re
import threading
import time

import pytest
import yaml

from conftest import DATA, kubectls, wait_for
from test_tutorial import hey, host_of, query, ready

NAME = "huggingface-fbopt-predictor"
OTEL = (DATA / "tutorial" / "otel.yaml").read_text()
CREATED = "inferenceservice.serving.kserve.io/huggingface-fbopt created\n"


def ready_pods(f, namespace="default"):
    """Lines of `kubectl get pods` that say 2/2 Running."""
    lines = f.kubectl("get", "pods", "-n", namespace, "--no-headers").stdout.splitlines()
    return [line.split()[0] for line in lines if re.search(r" 2/2 +Running ", line)]


def counts_during(f, load, namespace="default"):
    """Every number of pods seen until the load has ended, and what it printed."""
    seen = set()
    while load.poll() is None:
        seen.add(len(f.pods(namespace)))
        time.sleep(0.1)
    return seen, load.stdout.read()


def assert_all_answered(out):
    assert re.findall(r"\[(\d+)\]\t\d+ responses", out) == ["200"], out
    assert "Error distribution" not in out, out


def running(f, pod=None):
    rows = query(f, "vllm:num_requests_running" + (f'{{pod="{pod}"}}' if pod else ""))
    return sum(float(r["value"][1]) for r in rows), len(rows)


@contextlib.contextmanager
def decoy():
    """Something else on localhost:8080, which claims 100 running requests."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 100\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = wait_for("localhost:8080 is free", lambda: http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler), 60)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("kubectl", kubectls())
def test_the_second_half_word_for_word(flyball_factory, kubectl):
    f = flyball_factory(kubectl=kubectl)
    assert f.kubectl("apply", "-f", "-", stdin=OTEL).stdout == CREATED
    wait_for("READY within 10 s", lambda: ready(f), 10)
    table = wait_for("the ScaledObject is ready", lambda: (lambda t: t if re.search(r" True +(True|False) +False +Unknown", t) else None)(
        f.kubectl("get", "scaledobjects", NAME).stdout), 5).splitlines()
    assert table[0].split() == ["NAME", "SCALETARGETKIND", "SCALETARGETNAME", "MIN", "MAX", "TRIGGERS", "AUTHENTICATION",
                                "READY", "ACTIVE", "FALLBACK", "PAUSED", "AGE"]
    assert re.match(NAME + r" +apps/v1.Deployment +" + NAME + r" +1 +5 +external ", table[1])
    table = f.kubectl("get", "opentelemetrycollector", NAME).stdout.splitlines()
    assert table[0].split() == ["NAME", "MODE", "VERSION", "READY", "AGE", "IMAGE", "MANAGEMENT"]
    assert re.fullmatch(NAME + r" +sidecar +0\.120\.0 +\d+s +managed", table[1])
    assert len(ready_pods(f)) == 1
    assert [c["name"] for c in f.pods()[0]["spec"]["containers"]] == ["kserve-container", "otc-container"]
    wait_for("the metric is there", lambda: running(f) == (0.0, 1), 5)

    load = hey(f, host_of(f), 8)
    wait_for("two pods for five requests", lambda: len(ready_pods(f)) == 2, 7)
    seen, out = counts_during(f, load)
    assert_all_answered(out)
    assert max(seen) == 2, (seen, f.tail())
    load = hey(f, host_of(f), 10, clients=20)
    wait_for("five for twenty", lambda: len(ready_pods(f)) == 5, 9)
    seen, out = counts_during(f, load)
    assert_all_answered(out)
    assert max(seen) == 5, seen
    text = f.kubectl("describe", "scaledobject", NAME).stdout
    assert "from 1 to 2 replicas" in text, text


def test_both_halves_side_by_side_scale_on_their_own(flyball, tutorial_yaml):
    f = flyball
    for namespace, text in (("pull", tutorial_yaml), ("push", OTEL)):
        f.kubectl("create", "namespace", namespace)
        f.kubectl("apply", "-n", namespace, "-f", "-", stdin=text)
    for namespace in ("pull", "push"):
        wait_for(f"{namespace} is Ready", lambda: ready(f, namespace), 15)
    load = hey(f, host_of(f, "push"), 5)
    wait_for("two pods that push", lambda: len(f.pods("push")) == 2, 5)
    seen, out = counts_during(f, load, "push")
    assert_all_answered(out)
    assert max(seen) == 2 and len(f.pods("pull")) == 1
    load = hey(f, host_of(f, "pull"), 5)
    wait_for("three pods that are scraped", lambda: len(f.pods("pull")) == 3, 5)
    seen, out = counts_during(f, load, "pull")
    assert_all_answered(out)
    assert max(seen) == 3 and len(f.pods("push")) == 2  # it keeps its two for the window
    both = [hey(f, host_of(f, n), 5) for n in ("pull", "push")]
    for p in both:
        assert_all_answered(p.communicate()[0])
    assert (len(f.pods("pull")), len(f.pods("push"))) == (3, 2)


def test_a_sidecar_reads_its_own_pod_whatever_is_on_localhost(flyball):
    with decoy():
        flyball.kubectl("apply", "-f", "-", stdin=OTEL)
        wait_for("Ready", lambda: ready(flyball), 15)
        wait_for("the pod's own value", lambda: running(flyball) == (0.0, 1), 5)
        end = time.monotonic() + 2  # twenty scrapes
        while time.monotonic() < end:
            assert running(flyball) == (0.0, 1)
            time.sleep(0.1)
    assert len(flyball.pods()) == 1


def test_a_pod_that_goes_no_longer_counts(flyball):
    f = flyball
    o = yaml.safe_load(OTEL)
    o["spec"]["predictor"]["minReplicas"] = 2
    f.kubectl("apply", "-f", "-", stdin=json.dumps(o))
    wait_for("two pods push", lambda: running(f)[1] == 2, 20)
    gone = f.pods()[0]["metadata"]["name"]
    f.kubectl("delete", "pod", gone, "--grace-period=1", "--wait=false")
    wait_for("its series is gone", lambda: running(f, gone)[1] == 0, 5)
    wait_for("its successor pushes", lambda: running(f)[1] == 2, 15)


def test_agents_find_a_receiver_that_was_away_and_nothing_is_scaled_meanwhile(flyball_factory):
    f = flyball_factory()
    f.kubectl("apply", "-f", "-", stdin=OTEL)
    wait_for("Ready", lambda: ready(f), 15)
    port = f.env["FLYBALL_OTLP"]
    load = hey(f, host_of(f), 4)
    wait_for("two pods", lambda: len(ready_pods(f)) == 2, 4)
    load.wait()
    pods = {p["metadata"]["uid"] for p in f.pods()}
    f.kill()
    f.args += ["--otlp-listen", port]
    f.start()
    wait_for("both push again", lambda: running(f)[1] == 2, 15)
    assert {p["metadata"]["uid"] for p in f.pods()} == pods
    assert f.get("deploy", NAME)["spec"]["replicas"] == 2


def test_a_configuration_that_the_agent_refuses_shows_everywhere(flyball):
    f = flyball
    f.kubectl("apply", "-f", "-", stdin=OTEL)
    wait_for("Ready", lambda: ready(f), 15)
    o = f.get("otelcol", NAME)
    own = {"apiVersion": o["apiVersion"], "kind": o["kind"], "metadata": {"name": "mine"}, "spec": {"mode": "sidecar", "config": o["spec"]["config"]}}
    own["spec"]["config"]["processors"]["tail_sampling"] = {"decision_wait": "10s"}
    own["spec"]["config"]["service"]["pipelines"]["metrics"]["processors"].append("tail_sampling")
    f.kubectl("create", "-f", "-", stdin=json.dumps(own))
    f.kubectl("run", "x", "--image=local/x", "--restart=Always", "--annotations=sidecar.opentelemetry.io/inject=mine",
              "--command", "--", "sleep", "1000")
    status = wait_for("the pod says which part", lambda: (lambda t: t if "tail_sampling" in t else None)(
        json.dumps(f.get("pod", "x")["status"])), 10)
    assert "otc-container" in status
    condition = wait_for("the collector says where", lambda: [c for c in f.get("otelcol", "mine")["status"]["conditions"]
                                                             if c["status"] == "False" and "tail_sampling" in c["message"]], 5)[0]
    assert condition["message"].startswith("pod x: otc-container: ")
    wait_for("an event too", lambda: [e for e in f.get("events")["items"] if e["reason"] == "SidecarFailed" and "tail_sampling" in e["message"]], 5)
    assert ready(f)  # the others are none the worse
