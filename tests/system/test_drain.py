# SPDX-License-Identifier: Apache-2.0
"""Scaling down cuts nothing: a pod leaves routing, finishes what it is answering, and only then gets SIGTERM."""
import http.client
import json
import threading
import urllib.request

from conftest import FLYBALL, wait_for

# the server dies at once on SIGTERM, so that only draining saves its streams
MODEL = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: model}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: model}}}}
  template:
    metadata: {{labels: {{app: model}}}}
    spec:
      containers:
      - name: main
        image: local/model
        command: [{FLYBALL}, model-server, --model_name=fbopt, --shutdown_timeout=0, "--step-times=a=10000,b=10,c=10,d=0,e=0,jitter=0.1"]
        ports: [{{containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /health, port: 8080}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: model}}
spec: {{selector: {{app: model}}, ports: [{{port: 80, targetPort: 8080}}]}}
"""


class Streamer(threading.Thread):
    """One stream after the other, each of about a second."""

    def __init__(self, f):
        super().__init__(daemon=True)
        self.f, self.ended, self.whole, self.cut = f, threading.Event(), 0, []

    def run(self):
        body = json.dumps({"model": "fbopt", "prompt": "hello", "stream": True, "max_tokens": 80})
        while not self.ended.is_set():
            c = http.client.HTTPConnection(self.f.env["INGRESS_HOST"], int(self.f.env["INGRESS_PORT"]), timeout=30)
            try:
                c.request("POST", "/openai/v1/completions", body,
                          {"Host": "model.default.svc", "Content-Type": "application/json"})
                r = c.getresponse()
                text = r.read()
                events = [line for line in text.split(b"\n") if line.startswith(b"data: ")]
                if r.status == 200 and events and events[-1] == b"data: [DONE]" and len(events) >= 80:
                    self.whole += 1
                else:
                    self.cut.append((r.status, len(events), text[-100:]))
            except (OSError, http.client.HTTPException) as e:
                self.cut.append(repr(e))
            finally:
                c.close()


def scale(f, n):
    f.kubectl("scale", "deployment", "model", f"--replicas={n}")


def ready(f):
    return f.get("deployment", "model")["status"].get("readyReplicas", 0)


def test_scaling_from_3_to_1_under_30_streams_cuts_none(flyball):
    flyball.kubectl("apply", "-f", "-", stdin=MODEL)
    wait_for("three ready", lambda: ready(flyball) == 3, 15)
    streams = [Streamer(flyball) for _ in range(30)]
    for s in streams:
        s.start()
    try:
        for i in range(20):
            wait_for(f"{i}: streams on every pod", lambda: in_flight_everywhere(flyball), 10)
            scale(flyball, 1)
            wait_for(f"{i}: one pod left", lambda: len(flyball.get("pods", "-l", "app=model")["items"]) == 1, 20)
            scale(flyball, 3)
            wait_for(f"{i}: three ready", lambda: ready(flyball) == 3, 15)
    finally:
        for s in streams:
            s.ended.set()
        for s in streams:
            s.join(30)
    assert [s.cut for s in streams if s.cut] == []
    assert min(s.whole for s in streams) >= 5
    print(f"{sum(s.whole for s in streams)} streams, none cut")


def in_flight_everywhere(f):
    """Every one of the three pods is answering something."""
    text = urllib.request.urlopen(f.web + "/metrics", timeout=5).read().decode()
    busy = [line for line in text.splitlines()
            if line.startswith("flyball_gateway_in_flight{") and float(line.rsplit(" ", 1)[1]) > 0]
    return len(busy) >= 3
