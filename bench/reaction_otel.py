# SPDX-License-Identifier: Apache-2.0
"""bench/reaction --otel: from the change of a gauge to the written replica count, as a client that watches the API sees it
with its own clock. Two ways: pushed straight into the receiver, and through the agent beside the pod, which scrapes it
every 100 ms. The workload is one pod that grows to two and back."""
import http.client
import json
import queue
import random
import time
import urllib.request

from flyball import Flyball, Watch, percentile

NAMESPACE, NAME, METRIC = "default", "gauge", "bench_gauge"
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
        self.answer(('# TYPE bench_gauge gauge\\nbench_gauge %s\\n' % value).encode())
    def do_POST(self):
        global value
        value = self.rfile.read(int(self.headers['Content-Length'])).decode()
        self.answer(b'')
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer((os.environ['POD_IP'], 8080), H).serve_forever()
"""


def deployment(inject):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME},
            "spec": {"selector": {"matchLabels": {"app": NAME}},
                     "template": {"metadata": {"labels": {"app": NAME},
                                               "annotations": {"sidecar.opentelemetry.io/inject": NAME} if inject else {}},
                                  "spec": {"terminationGracePeriodSeconds": 1, "containers": [
                                      {"name": "app", "image": "local/gauge", "command": ["/usr/bin/python3", "-c", SERVER],
                                       "readinessProbe": {"tcpSocket": {"port": 8080}}}]}}}}


def scaled_object(scaler):
    window = {"stabilizationWindowSeconds": 0}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": NAME},
            "spec": {"scaleTargetRef": {"name": NAME}, "minReplicaCount": 1, "maxReplicaCount": 2,
                     "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleUp": window, "scaleDown": window}}},
                     "triggers": [{"type": "external", "metadata": {
                         "scalerAddress": scaler, "targetValue": "4",
                         "metricQuery": f'sum({METRIC}{{namespace="{NAMESPACE}", deployment="{NAME}"}})'}}]}}


def collector(f):
    """What KServe generates, for this gauge."""
    names = [("namespace", "k8s.namespace.name"), ("deployment", "k8s.deployment.name"), ("pod", "k8s.pod.name")]
    return {"apiVersion": "opentelemetry.io/v1beta1", "kind": "OpenTelemetryCollector", "metadata": {"name": NAME},
            "spec": {"mode": "sidecar", "config": {
                "receivers": {"prometheus": {"config": {"scrape_configs": [
                    {"job_name": "otel-collector", "scrape_interval": "100ms", "static_configs": [{"targets": ["localhost:8080"]}]}]}}},
                "processors": {"resourcedetection/env": {"detectors": ["env"], "timeout": "2s", "override": False},
                               "transform": {"metric_statements": [{"context": "datapoint", "statements": [
                                   f'set(attributes["{a}"], resource.attributes["{r}"])' for a, r in names]}]},
                               "filter/metrics": {"metrics": {"include": {"match_type": "strict", "metric_names": [METRIC]}}}},
                "exporters": {"otlp": {"endpoint": f.env["FLYBALL_OTLP"], "compression": "none", "tls": {"insecure": True}}},
                "service": {"pipelines": {"metrics": {"receivers": ["prometheus"], "exporters": ["otlp"],
                                                      "processors": ["resourcedetection/env", "transform", "filter/metrics"]}}}}}}


class Straight:
    """Pushes the gauge over one OTLP/HTTP connection."""

    def __init__(self, f):
        host, port = f.env["FLYBALL_OTLP"].rsplit(":", 1)
        self.connection = http.client.HTTPConnection(host, int(port), timeout=10)
        self.connection.connect()

    def aim(self):
        pass

    def set(self, value):
        attributes = [{"key": k, "value": {"stringValue": v}} for k, v in
                      (("namespace", NAMESPACE), ("deployment", NAME), ("pod", "bench"))]
        point = {"asDouble": value, "timeUnixNano": str(time.time_ns()), "attributes": attributes}
        body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": METRIC, "gauge": {"dataPoints": [point]}}]}]}]})
        began = time.monotonic()
        self.connection.request("POST", "/v1/metrics", body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"the receiver answered {answer.status}")
        return began


class ThroughAgent:
    """Changes what one pod shows; a second one keeps 0. Which of the two survives is not ours to say: of pods that
    became ready within the same second it may be either."""

    def __init__(self, f):
        self.flyball = f
        self.aim()

    def aim(self):
        (pod,) = self.flyball.call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
        self.url = f"http://{pod['status']['podIP']}:8080/"

    def set(self, value):
        began = time.monotonic()
        urllib.request.urlopen(urllib.request.Request(self.url, str(value).encode()), timeout=5).read()
        return began


def pods_are(f, n):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        pods = f.call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
        ready = [c for p in pods for c in p["status"].get("conditions", []) if c["type"] == "Ready" and c["status"] == "True"]
        if len(pods) == n and len(ready) == n:
            return
        time.sleep(0.02)
    raise SystemExit(f"there are not {n} ready pods")


def measure(f, way, runs, changes):
    def seen(count):
        while True:
            replicas, now = changes.get(timeout=20)
            if replicas == count:
                return now

    way.set(0)
    times = []
    for _ in range(runs):
        pods_are(f, 1)
        way.aim()
        time.sleep(random.uniform(0.15, 0.35))  # any phase of the agent's ticks
        while not changes.empty():
            changes.get_nowait()
        began = way.set(7)
        times.append((seen(2) - began) * 1000)
        pods_are(f, 2)
        way.set(0)
        seen(1)
    return times


def one_way(make, inject, runs):
    with Flyball() as f:
        apps, changes = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", queue.Queue()
        if inject:
            f.call("POST", f"/apis/opentelemetry.io/v1beta1/namespaces/{NAMESPACE}/opentelemetrycollectors", collector(f))
        f.call("POST", apps, deployment(inject))
        f.call("POST", f"/apis/keda.sh/v1alpha1/namespaces/{NAMESPACE}/scaledobjects", scaled_object(f.env["FLYBALL_SCALER"]))
        pods_are(f, 1)
        w = Watch(f, apps, lambda o, now: changes.put((o["spec"].get("replicas"), now)))
        times = measure(f, make(f), runs, changes)
        w.close()
        return times


def main(runs):
    for name, make, inject, aim in (("gauge pushed -> decision", Straight, False, "p50 <= 5, p99 <= 10"),
                                    ("gauge changed, agent at 100 ms -> decision", ThroughAgent, True, "p50 <= 90, p99 <= 200")):
        v = one_way(make, inject, runs)
        print(f"{name}: p50 {percentile(v, 0.5):.1f} ms, p90 {percentile(v, 0.9):.1f} ms, p99 {percentile(v, 0.99):.1f} ms, "
              f"worst {max(v):.1f} ms  (aim {aim}; {runs} runs)", flush=True)
