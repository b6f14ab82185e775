# SPDX-License-Identifier: Apache-2.0
"""Scale-down by an HPA takes the pod with the least running work, and cuts no stream. FLYBALL_SCALE_DOWNS=100 repeats
the latter that often (default 8)."""
import http.client
import json
import os
import threading
import urllib.parse
import urllib.request

import pytest

from conftest import wait_for
from test_drain import MODEL, Streamer, ready
from test_hpa import create, hpa

COST = "controller.kubernetes.io/pod-deletion-cost"
MODEL_5 = MODEL.replace("replicas: 3", "replicas: 5").replace(
    "metadata: {labels: {app: model}}",
    "metadata: {labels: {app: model}, annotations: {prometheus.io/scrape: 'true', prometheus.io/port: '8080'}}", 1)
# never wants to change anything by itself: the size follows its bounds
IDLE = {"type": "External", "external": {"metric": {"name": "no_such"}, "target": {"type": "AverageValue", "averageValue": "1"}}}


def bounds(f, n):
    f.kubectl("patch", "hpa", "model", "--type", "merge", "-p", json.dumps({"spec": {"minReplicas": n, "maxReplicas": n}}))


@pytest.fixture
def model(flyball):
    flyball.kubectl("apply", "-f", "-", stdin=MODEL_5)
    wait_for("five ready", lambda: ready(flyball) == 5, 20)
    create(flyball, hpa([IDLE], name="model", target="model", minReplicas=5, max_replicas=5))
    return flyball


class Direct(threading.Thread):
    """Streams from one pod, past the gateway, until told to end."""

    def __init__(self, ip):
        super().__init__(daemon=True)
        self.ip, self.ended, self.bytes, self.error = ip, threading.Event(), 0, None

    def run(self):
        c = http.client.HTTPConnection(self.ip, 8080, timeout=60)
        try:
            c.request("POST", "/openai/v1/completions", json.dumps(
                {"model": "fbopt", "prompt": "hello", "stream": True, "max_tokens": 1500}), {"Content-Type": "application/json"})
            r = c.getresponse()
            while not self.ended.is_set():
                part = r.read1(4096)
                if not part:
                    break
                self.bytes += len(part)
        except (OSError, http.client.HTTPException) as e:  # its pod went
            self.error = e
        finally:
            c.close()


def test_the_pod_with_the_least_running_work_goes_first(model):
    pods = model.pods(selector="app=model")
    # the oldest and by no other rule preferred pods are busy: two, two, one and one streams; the fifth is idle
    load = {p["metadata"]["name"]: n for p, n in zip(pods, (2, 1, 0, 2, 1))}
    streams = [Direct(p["status"]["podIP"]) for p in pods for _ in range(load[p["metadata"]["name"]])]
    for s in streams:
        s.start()
    try:
        wait_for("all stream", lambda: all(s.bytes > 0 for s in streams), 10)
        wait_for("the store knows", lambda: seen(model) == sum(load.values()), 10)
        bounds(model, 4)
        wait_for("four are left", lambda: len(model.pods(selector="app=model")) == 4, 10)
        left = {p["metadata"]["name"]: p["metadata"].get("annotations", {}).get(COST) for p in model.pods(selector="app=model")}
        assert left == {name: str(n) for name, n in load.items() if n}, (load, left)
        bounds(model, 2)
        wait_for("two are left", lambda: len(model.pods(selector="app=model")) == 2, 10)
        assert {p["metadata"]["name"] for p in model.pods(selector="app=model")} == {n for n, k in load.items() if k == 2}
    finally:
        for s in streams:
            s.ended.set()
        for s in streams:
            s.join(20)


def seen(f):
    q = urllib.parse.quote("sum(vllm:num_requests_running) + sum(vllm:num_requests_waiting)")
    r = json.load(urllib.request.urlopen(f"{f.web}/api/v1/query?query={q}", timeout=5))["data"]["result"]
    return float(r[0]["value"][1]) if r else -1


def test_a_users_deletion_cost_is_left_alone(model):
    victim, *others = [p["metadata"]["name"] for p in model.pods(selector="app=model")]
    for name in others:
        model.kubectl("annotate", "pod", name, f"{COST}=100")
    stream = Direct(next(p for p in model.pods(selector="app=model") if p["metadata"]["name"] == victim)["status"]["podIP"])
    stream.start()
    try:
        wait_for("it streams", lambda: stream.bytes > 0, 10)
        bounds(model, 4)
        wait_for("four are left", lambda: len(model.pods(selector="app=model")) == 4, 10)
        left = model.pods(selector="app=model")
        assert victim not in {p["metadata"]["name"] for p in left}
        assert {p["metadata"]["annotations"][COST] for p in left} == {"100"}
    finally:
        stream.ended.set()
        stream.join(20)


def test_scaling_from_5_to_1_under_50_streams_cuts_none(model):
    times = int(os.environ.get("FLYBALL_SCALE_DOWNS", "8"))
    streams = [Streamer(model) for _ in range(50)]
    for s in streams:
        s.start()
    try:
        for i in range(times):
            wait_for(f"{i}: streams on every pod", lambda: busy(model) >= 5, 15)
            bounds(model, 1)
            wait_for(f"{i}: one pod left", lambda: len(model.get("pods", "-l", "app=model")["items"]) == 1, 30)
            bounds(model, 5)
            wait_for(f"{i}: five ready", lambda: ready(model) == 5, 20)
    finally:
        for s in streams:
            s.ended.set()
        for s in streams:
            s.join(30)
    cut = [c for s in streams for c in s.cut]
    whole = sum(s.whole for s in streams)
    print(f"{times} scale-downs from 5 to 1 under 50 clients: {whole} streams, {len(cut)} cut")
    assert cut == []
    assert whole >= 50 * times


def busy(f):
    text = urllib.request.urlopen(f.web + "/metrics", timeout=5).read().decode()
    return sum(1 for line in text.splitlines()
               if line.startswith("flyball_gateway_in_flight{") and float(line.rsplit(" ", 1)[1]) > 0)
