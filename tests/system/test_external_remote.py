# SPDX-License-Identifier: Apache-2.0
"""Triggers external and external-push on somebody else's scaler: a server made with grpcio and official messages."""
import base64
import concurrent.futures
import json
import queue
import subprocess
import threading
import time

import grpc
import pytest

from conftest import wait_for
from externalscaler import handler, message
from test_external import create, deployment, ready, replicas, scaledobject
from test_keda_metrics import scrape


class Scaler:
    """What it answers may be changed at any time."""

    def __init__(self, credentials=None):
        self.values, self.active, self.target, self.metric = [("m", 0, 0.0)], False, 2.0, "m"
        self.delay, self.error, self.credentials = 0, None, credentials
        self.calls, self.peers, self.metadata, self.asked = {}, set(), {}, set()
        self.streams, self.spec_streams = [], None
        self.port = 0
        self.start()

    def start(self):
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(40), options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers([handler(self)])
        address = f"127.0.0.1:{self.port}"
        self.port = (self.server.add_secure_port(address, self.credentials) if self.credentials else self.server.add_insecure_port(address))
        assert self.port
        self.server.start()
        self.address = f"localhost:{self.port}"

    def stop(self):
        self.server.stop(0).wait()
        for q, _ in self.streams:
            q.put(None)
        self.streams = []

    def seen(self, name, request, context):
        self.calls[name] = self.calls.get(name, 0) + 1
        self.peers.add(context.peer())
        r = getattr(request, "scaledObjectRef", request)
        self.metadata[r.name] = dict(r.scalerMetadata)
        if self.delay:
            time.sleep(self.delay)
        if self.error:
            context.abort(*self.error)

    def IsActive(self, request, context):
        self.seen("IsActive", request, context)
        return message("IsActiveResponse")(result=self.active)

    def GetMetricSpec(self, request, context):
        self.seen("GetMetricSpec", request, context)
        return self.spec()

    def spec(self):
        return message("GetMetricSpecResponse")(metricSpecs=[message("MetricSpec")(metricName=self.metric, targetSizeFloat=self.target)])

    def GetMetrics(self, request, context):
        self.seen("GetMetrics", request, context)
        self.asked.add(request.metricName)
        return message("GetMetricsResponse")(metricValues=[
            message("MetricValue")(metricName=n, metricValue=i, metricValueFloat=f) for n, i, f in self.values])

    def StreamIsActive(self, request, context):
        self.seen("StreamIsActive", request, context)
        q = queue.Queue()
        self.streams.append((q, request.name))
        context.add_callback(lambda: q.put(None))
        while (m := q.get()) is not None:
            yield message("IsActiveResponse")(result=m)
        self.streams = [s for s in self.streams if s[0] is not q]

    def push(self, is_active):
        for q, _ in self.streams:
            q.put(is_active)


@pytest.fixture
def scaler():
    s = Scaler()
    yield s
    s.stop()


@pytest.fixture
def web(flyball, scaler):
    create(flyball, deployment("web", 1))
    wait_for("a pod is ready", lambda: flyball.get("deploy", "web")["status"].get("readyReplicas") == 1)
    return flyball


def remote(address, **metadata):
    return {"scalerAddress": address, **metadata}


def hpa_metric(f):
    return f.get("hpa", "keda-hpa-web")["spec"]["metrics"][0]["external"]


def test_value_target_and_metadata_go_both_ways(web, scaler):
    scaler.values, scaler.active = [("m", 5, 4.5)], True
    create(web, scaledobject("web", remote(scaler.address, other="x"), pollingInterval=1))
    wait_for("three for 4.5", lambda: replicas(web) == 3, 10)
    assert hpa_metric(web)["metric"]["name"] == "s0-m" and hpa_metric(web)["target"]["averageValue"] == "2"
    assert scaler.metadata["web"] == {"scalerAddress": scaler.address, "other": "x"} and scaler.asked == {"m"}
    scaler.values = [("m", 9, 0.0)]  # a scaler of before KEDA 2.17: integers only
    wait_for("five for nine", lambda: replicas(web) == 5, 5)
    scaler.values = [("m", 0, 3.0), ("m", 2, 0.0), ("m", 0, -4.0)]
    wait_for("several are summed, none is below zero", lambda: replicas(web) == 3, 5)
    scaler.target = 2.5
    wait_for("the HPA has the new target", lambda: hpa_metric(web)["target"]["averageValue"] == "2500m", 5)
    wait_for("two for five", lambda: replicas(web) == 2, 5)
    assert web.get("scaledobject", "web")["status"]["triggersTypes"] == "external"


def test_activity_is_apart_from_the_value(web, scaler):
    scaler.values, scaler.active = [("m", 0, 6.0)], True
    create(web, scaledobject("web", remote(scaler.address), minimum=0, pollingInterval=1))
    wait_for("three for six", lambda: replicas(web) == 3, 10)
    scaler.active = False
    wait_for("not active: none, whatever the value", lambda: replicas(web) == 0, 10)
    scaler.values = [("m", 0, 0.0)]
    scaler.active = True
    wait_for("active: one, whatever the value", lambda: replicas(web) == 1, 5)


def test_a_scaler_that_goes_holds_the_count_and_is_found_again(web, scaler):
    scaler.values, scaler.active = [("m", 0, 6.0)], True
    create(web, scaledobject("web", remote(scaler.address), pollingInterval=1))
    wait_for("three for six", lambda: replicas(web) == 3, 10)
    scaler.stop()
    message = wait_for("it is said", lambda: (lambda c: c["message"] if c["status"] == "False" else None)(ready(web)), 15)
    assert scaler.address in message and "check scalerAddress" in message and replicas(web) == 3
    scaler.values = [("m", 0, 8.0)]
    scaler.start()
    wait_for("four for eight", lambda: replicas(web) == 4, 20)
    assert ready(web)["status"] == "True"
    scaler.error = (grpc.StatusCode.INTERNAL, "the queue is on fire")
    message = wait_for("its error is told", lambda: (lambda c: c["message"] if c["status"] == "False" else None)(ready(web)), 10)
    assert "INTERNAL the queue is on fire" in message and replicas(web) == 4


def test_a_slow_scaler_blocks_nobody_else(web, scaler):
    scaler.delay = 5
    other = Scaler()
    other.values, other.active = [("m", 0, 6.0)], True
    create(web, deployment("other", 1), scaledobject("other", remote(other.address), pollingInterval=1),
           scaledobject("web", remote(scaler.address), pollingInterval=1))
    wait_for("the other scales", lambda: replicas(web, "other") == 3, 10)
    message = wait_for("it is said", lambda: (lambda c: c["message"] if "DEADLINE" in c["message"] else None)(ready(web)), 15)
    assert "it has 3 s" in message and replicas(web) == 1
    latency = {labels["scaledObject"]: v for labels, v in scrape(web)[1]["keda_scaler_metrics_latency_seconds"]}
    assert latency["other"] < 1 < 2.9 < latency["web"] < 5, latency
    other.stop()


def test_what_a_scaler_may_not_say_is_told(web, scaler):
    scaler.target = 0
    create(web, scaledobject("web", remote(scaler.address), pollingInterval=1))
    text = wait_for("it is told", lambda: (lambda m: m if "greater than 0" in m else None)(ready(web)["message"]), 10)
    assert scaler.address in text and "'m'" in text
    scaler.target, scaler.values, scaler.active = 2, [("m", 0, 4.0)], True
    wait_for("two for four", lambda: replicas(web) == 2, 20)


def test_a_scaler_may_name_several_metrics(web, scaler):
    def specs(**targets):
        return lambda: message("GetMetricSpecResponse")(
            metricSpecs=[message("MetricSpec")(metricName=n, targetSizeFloat=t) for n, t in targets.items()])

    def names():
        return [(m["external"]["metric"]["name"], m["external"]["target"]["averageValue"]) for m in
                web.get("hpa", "keda-hpa-web")["spec"]["metrics"]]

    def get_metrics(request, context):
        return message("GetMetricsResponse")(metricValues=[
            message("MetricValue")(metricName=request.metricName, metricValueFloat=values[request.metricName])])
    values = {"queue": 4.0, "cache": 3.0, "third": 50.0}
    scaler.stop()
    scaler.GetMetrics, scaler.spec, scaler.active = get_metrics, specs(queue=2, cache=1), True
    scaler.start()
    create(web, scaledobject("web", remote(scaler.address), pollingInterval=1))
    wait_for("both are in the HPA", lambda: names() == [("s0-queue", "2"), ("s0-cache", "1")], 10)
    assert web.get("scaledobject", "web")["status"]["externalMetricNames"] == ["s0-queue", "s0-cache"]
    wait_for("the higher of 4/2 and 3/1", lambda: replicas(web) == 3, 10)
    values.update(queue=10.0)
    wait_for("the higher of 10/2 and 3/1", lambda: replicas(web) == 5, 10)
    scaler.spec = specs(cache=1.5, queue=5, third=100)
    wait_for("other targets, one more", lambda: names() == [("s0-cache", "1500m"), ("s0-queue", "5"), ("s0-third", "100")], 10)
    wait_for("the higher of 3/1.5, 10/5, 50/100", lambda: replicas(web) == 2, 10)
    scaler.spec = specs(queue=2.5)
    wait_for("one again", lambda: names() == [("s0-queue", "2500m")], 10)
    wait_for("10/2.5", lambda: replicas(web) == 4, 10)
    scaler.spec = specs(**{f"m{i}": 1 for i in range(17)})
    wait_for("too many", lambda: "it names 17 metrics, at most 16 are taken" in ready(web)["message"], 15)
    assert replicas(web) == 4


def test_a_push_brings_a_target_from_zero_without_a_poll(web, scaler):
    create(web, scaledobject("web", remote(scaler.address), "external-push", minimum=0, pollingInterval=300))
    wait_for("a stream is open", lambda: scaler.streams, 10)
    wait_for("none", lambda: replicas(web) == 0, 10)
    scaler.push(False)
    scaler.active, scaler.values = True, [("m", 0, 6.0)]
    polls = scaler.calls["GetMetrics"]
    scaler.push(True)
    wait_for("up, by the poll that the push brings forward", lambda: replicas(web) == 3, 3)
    assert scaler.calls["GetMetrics"] > polls
    assert web.get("scaledobject", "web")["status"]["triggersTypes"] == "external-push"
    # the stream comes back after a restart of the scaler, and one at a time
    scaler.stop()
    scaler.start()
    wait_for("a stream again", lambda: len(scaler.streams) == 1, 20)
    # a changed ScaledObject has a stream of its own, and the old one ends
    web.kubectl("patch", "scaledobject", "web", "--type", "merge", "-p", json.dumps(
        {"spec": {"triggers": [{"type": "external-push", "metadata": remote(scaler.address, now="two")}]}}))
    wait_for("the new one", lambda: scaler.metadata["web"].get("now") == "two", 10)
    wait_for("only the new one", lambda: len(scaler.streams) == 1, 10)
    web.kubectl("delete", "scaledobject", "web")
    wait_for("no stream", lambda: not scaler.streams, 10)


def test_targets_are_pushed_too(web, scaler):
    specs = queue.Queue()

    def stream_metric_spec(request, context):
        context.add_callback(lambda: specs.put(None))
        while specs.get() is not None:
            yield scaler.spec()
    scaler.stop()
    scaler.StreamMetricSpec = stream_metric_spec
    scaler.start()
    scaler.values, scaler.active = [("m", 0, 6.0)], True
    create(web, scaledobject("web", remote(scaler.address), "external-push", pollingInterval=300))
    wait_for("three for six", lambda: replicas(web) == 3, 10)
    scaler.target = 1.5
    specs.put(True)
    wait_for("four with the new target", lambda: replicas(web) == 4, 5)
    assert hpa_metric(web)["target"]["averageValue"] == "1500m"


def test_all_with_one_address_share_one_connection(web, scaler):
    scaler.values, scaler.active = [("m", 0, 4.0)], True
    names = [f"so{i}" for i in range(10)]
    create(web, *[deployment(n, 1) for n in names], *[scaledobject(n, remote(scaler.address, who=n), pollingInterval=1) for n in names])
    wait_for("all are asked", lambda: set(scaler.metadata) >= set(names), 15)
    wait_for("all scale", lambda: all(replicas(web, n) == 2 for n in names), 15)
    assert len(scaler.peers) == 1


# --- TLS ---

def openssl(directory, *args):
    subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    d = tmp_path_factory.mktemp("pki")
    for ca in ("ca", "other"):
        openssl(d, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={ca}",
                "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    (d / "ext").write_text("subjectAltName=DNS:localhost\n")
    for name in ("server", "client"):
        openssl(d, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr")
        openssl(d, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext",
                "-out", f"{name}.pem")
    return {p.name: p.read_bytes() for p in d.iterdir()}


def authentication(pki, **keys):
    """A TriggerAuthentication and its Secret; keys: parameter -> file."""
    return ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"},
             "data": {p: base64.b64encode(pki[f]).decode() for p, f in keys.items()}},
            {"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": {"name": "tls"},
             "spec": {"secretTargetRef": [{"parameter": p, "name": "tls", "key": p} for p in keys]}})


def with_authentication(so):
    so["spec"]["triggers"][0]["authenticationRef"] = {"name": "tls"}
    return so


def test_client_certificates_are_shown_and_the_servers_is_checked(web, pki):
    s = Scaler(grpc.ssl_server_credentials([(pki["server.key"], pki["server.pem"])], pki["ca.pem"], True))
    s.values, s.active = [("m", 0, 6.0)], True
    create(web, *authentication(pki, caCert="ca.pem", tlsClientCert="client.pem", tlsClientKey="client.key"),
           with_authentication(scaledobject("web", remote(s.address), pollingInterval=1)))
    wait_for("three for six", lambda: replicas(web) == 3, 15)
    # another CA in the Secret: the server is no longer believed
    web.kubectl("patch", "secret", "tls", "--type", "merge", "-p", json.dumps({"data": {"caCert": base64.b64encode(pki["other.pem"]).decode()}}))
    message = wait_for("it is said", lambda: (lambda c: c["message"] if c["status"] != "True" else None)(ready(web)), 20)
    assert "certificate" in message and "BEGIN" not in message and replicas(web) == 3
    s.stop()


def test_unsafe_ssl_skips_the_check_and_clear_text_does_not_do(web, pki):
    s = Scaler(grpc.ssl_server_credentials([(pki["server.key"], pki["server.pem"])]))
    s.values, s.active = [("m", 0, 6.0)], True
    create(web, scaledobject("web", remote(s.address, unsafeSsl="true"), pollingInterval=1))  # does not switch TLS on
    wait_for("it is said", lambda: "UNAVAILABLE" in ready(web)["message"], 15)
    assert replicas(web) == 1
    web.kubectl("patch", "scaledobject", "web", "--type", "merge", "-p", json.dumps({"spec": {"triggers": [
        {"type": "external", "metadata": remote(s.address, enableTLS="true", unsafeSsl="true")}]}}))
    wait_for("three for six", lambda: replicas(web) == 3, 20)
    s.stop()
