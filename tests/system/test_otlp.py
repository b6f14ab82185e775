# SPDX-License-Identifier: Apache-2.0
"""OTLP over HTTP against the real program: every file of tests/data/otlp, encodings, limits, TLS."""
import gzip
import http.client
import json
import re
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from conftest import DATA, wait_for

FILES = DATA / "otlp"
JSON, PB = "application/json", "application/x-protobuf"


def post(address, body, kind=JSON, headers=(), path="/v1/metrics", method="POST", context=None):
    """Status, headers, body of the answer."""
    host, _, port = address.rpartition(":")
    c = (http.client.HTTPSConnection(host, int(port), timeout=30, context=context) if context
         else http.client.HTTPConnection(host, int(port), timeout=30))
    c.request(method, path, body=body, headers={"content-type": kind, **dict(headers)})
    r = c.getresponse()
    out = r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
    c.close()
    return out


def query(f, expr):
    with urllib.request.urlopen(f.web + "/api/v1/query?query=" + urllib.parse.quote(expr), timeout=10) as r:
        return json.load(r)["data"]["result"]


def value(f, expr):
    found = query(f, expr)
    assert len(found) == 1, found
    return float(found[0]["value"][1])


def gauge(name, v, attributes=(), resource=(), t=None):
    def attrs(pairs):
        return [{"key": k, "value": {"stringValue": s}} for k, s in dict(pairs).items()]
    return json.dumps({"resourceMetrics": [{"resource": {"attributes": attrs(resource)}, "scopeMetrics": [{"metrics": [
        {"name": name, "gauge": {"dataPoints": [
            {"timeUnixNano": str(t or time.time_ns()), "asDouble": v, "attributes": attrs(attributes)}]}}]}]}]})


@pytest.fixture(scope="module")
def f(tmp_path_factory):
    from conftest import Flyball
    f = Flyball(tmp_path_factory.mktemp("otlp") / "data").start()
    f.otlp, f.scaler = f.env["FLYBALL_OTLP"], f.env["FLYBALL_SCALER"]
    yield f
    f.stop()


def expectations():
    for line in (FILES / "EXPECTED.tsv").read_text().splitlines()[1:]:
        name, _, wanted = line.split("\t")[:3]
        yield name, wanted


@pytest.mark.parametrize("name,wanted", expectations())
def test_every_sample_is_answered_as_a_strict_receiver_does(f, name, wanted):
    headers = {"content-encoding": "gzip"} if name.endswith(".gz") else {}
    kind = JSON if name.endswith(".json") else PB
    status, got, body = post(f.otlp, (FILES / name).read_bytes(), kind, headers)
    allowed = {int(n) for n in re.findall(r"\b[24]\d\d\b", wanted)}
    assert status in allowed, (body, wanted)
    assert got["content-type"] == kind
    rejected = re.search(r"rejected (\d+)", wanted)
    if kind == JSON and status == 200:
        partial = json.loads(body).get("partialSuccess", {})
        assert int(partial.get("rejectedDataPoints", 0)) == (int(rejected[1]) if rejected else 0)
        assert bool(partial.get("errorMessage")) == bool(rejected)
    elif kind == JSON:
        assert json.loads(body)["code"] in (3, 8) and json.loads(body)["message"]


def test_what_is_pushed_is_answered_by_promql(f):
    for i, (body, kind, headers) in enumerate([
            (lambda b: b, JSON, {}),
            (lambda b: gzip.compress(b), JSON, {"content-encoding": "gzip"}),
            (lambda b: subprocess.run(["zstd", "-qc"], input=b, stdout=subprocess.PIPE, check=True).stdout, JSON,
             {"content-encoding": "zstd"}),
            (lambda b: b, "Application/JSON; charset=utf-8", {"content-encoding": "identity"})]):
        status, _, answer = post(f.otlp, body(gauge("vllm:num_requests_running", i + 0.5, {"engine": "0"}).encode()),
                                 kind, headers)
        assert (status, answer) == (200, b"{}")
        assert value(f, 'vllm:num_requests_running{engine="0"}') == i + 0.5


def test_the_scalers_port_takes_metrics_too(f):
    assert post(f.scaler, gauge("by_the_other_port", 1))[0] == 200
    assert value(f, "by_the_other_port") == 1


def test_what_is_no_otlp_is_refused_by_its_status(f):
    assert post(f.otlp, b"", method="GET")[0] == 405
    assert post(f.otlp, b"", method="GET")[1]["allow"] == "POST"
    assert post(f.otlp, b"{}", "text/plain")[0] == 415
    assert post(f.otlp, b"{}", headers={"content-encoding": "br"})[0] == 415
    assert post(f.otlp, b"{}", headers={"content-encoding": "gzip"})[0] == 400
    assert post(f.otlp, b"{}", path="/v1/traces")[0] == 404
    assert post(f.otlp, b"{}", headers={"host": "evil.example"})[0] == 421
    status, headers, body = post(f.otlp, b"\0" * (65 << 20), PB)
    assert status == 413 and body[:2] == b"\x08\x08"  # RESOURCE_EXHAUSTED


def test_the_size_limit_can_be_set(flyball_factory):
    f = flyball_factory(args=["--otlp-max-message", "4"])
    body = gauge("g", 1).encode()
    fits, more = body + b" " * ((4 << 20) - len(body)), body + b" " * ((4 << 20) - len(body) + 1)
    assert post(f.env["FLYBALL_OTLP"], fits)[0] == 200
    assert post(f.env["FLYBALL_OTLP"], more)[0] == 413
    assert post(f.env["FLYBALL_OTLP"], gzip.compress(fits), headers={"content-encoding": "gzip"})[0] == 200
    assert post(f.env["FLYBALL_OTLP"], gzip.compress(more), headers={"content-encoding": "gzip"})[0] == 413


def test_a_full_store_refuses_and_says_so(flyball_factory):
    f = flyball_factory(args=["--max-series", "3"])
    otlp = f.env["FLYBALL_OTLP"]
    answers = [json.loads(post(otlp, gauge("g", i, {"n": str(i)}))[2]) for i in range(5)]
    assert answers[0] == {} and "the store is full" in answers[-1]["partialSuccess"]["errorMessage"]
    assert post(otlp, gauge("g", 9, {"n": "0"}))[2] == b"{}"  # known ones go on
    assert value(f, 'g{n="0"}') == 9
    f.stop()
    f = flyball_factory("small", args=["--max-samples", "1"])
    otlp = f.env["FLYBALL_OTLP"]

    def many(start):
        points = [{"timeUnixNano": str(time.time_ns()), "asInt": 1, "attributes": [
            {"key": "n", "value": {"stringValue": f"{start}-{i}"}}]} for i in range(2000)]
        return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
            {"name": "g", "gauge": {"dataPoints": points}}]}]}]})
    statuses = [post(otlp, many(i)) for i in range(4)]
    status, headers, body = statuses[-1]
    assert status == 429 and headers["retry-after"] == "5"
    assert json.loads(body)["code"] == 14 and json.loads(body)["details"][0]["retryDelay"] == "5s"


def test_one_connection_serves_many_requests_and_bad_ones_between(f):
    host, _, port = f.otlp.rpartition(":")
    c = http.client.HTTPConnection(host, int(port), timeout=10)
    for i in range(50):
        c.request("POST", "/v1/metrics", gauge("kept_alive", i) if i % 3 else "{", {"content-type": JSON})
        r = c.getresponse()
        assert r.status == (200 if i % 3 else 400)
        r.read()
    assert value(f, "kept_alive") == 49
    c.close()


def test_a_cut_body_and_a_deep_megabyte_cost_nothing(f):
    def memory():
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{f.process.pid}/status").read())[1])
    before = memory()
    host, _, port = f.otlp.rpartition(":")
    for _ in range(20):
        s = socket.create_connection((host, int(port)))
        s.sendall(b"POST /v1/metrics HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                  b"content-length: 1000000\r\n\r\n" + b"{" * 1000)
        s.close()
    deep = b'{"resourceMetrics":[{"resource":{"attributes":[{"key":"k","value":' + \
        b'{"arrayValue":{"values":[                    ' * 20000
    assert len(deep) > 900000 and post(f.otlp, deep)[0] == 400
    assert post(f.otlp, (FILES / "bad_39_gzip_bomb.pb.gz").read_bytes(), PB, {"content-encoding": "gzip"})[0] == 413
    assert post(f.otlp, gauge("alive", 1))[0] == 200
    assert memory() - before < 120 * 1024  # kB; the bomb may fill its 64 MiB, and no more


def test_the_receiver_counts_in_metrics(f):
    def metric(name):
        page = urllib.request.urlopen(f.web + "/metrics", timeout=10).read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(name))
    accepted, refused = metric("flyball_otlp_accepted_points_total"), metric("flyball_otlp_refused_points_total")
    post(f.otlp, gauge("counted", 1))
    post(f.otlp, gauge("counted", 1, t=1000))
    assert metric("flyball_otlp_accepted_points_total") == accepted + 1
    assert metric("flyball_otlp_refused_points_total") == refused + 1


def make_certificates(tmp_path):
    """ca.pem, and server and client under it; returns the options of flyball up."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=tmp_path, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("server", "client"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (tmp_path / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", "ext", "-out", f"{name}.pem")
    return ["--otlp-tls-cert", str(tmp_path / "server.pem"), "--otlp-tls-key", str(tmp_path / "server.key"),
            "--otlp-client-ca", str(tmp_path / "ca.pem")]


def test_tls_and_client_certificates(flyball_factory, tmp_path):
    f = flyball_factory(args=make_certificates(tmp_path))
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    assert post(f.env["FLYBALL_OTLP"], gauge("g", 1), context=context)[0] == 401
    context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
    assert post(f.env["FLYBALL_OTLP"], gauge("g", 2), context=context)[0] == 200
    assert value(f, "g") == 2
    assert post(f.env["FLYBALL_SCALER"], gauge("g", 3))[0] == 200  # the scaler's port stays as KServe expects it


@pytest.mark.parametrize("args,says", [
    (["--otlp-tls-cert", "x.pem"], "--otlp-tls-cert and --otlp-tls-key go together"),
    (["--otlp-client-ca", "x.pem"], "--otlp-client-ca needs both"),
    (["--otlp-tls-cert", "/none/x.pem", "--otlp-tls-key", "/none/x.key"], "cannot read '/none/x.pem'"),
    (["--otlp-max-message", "3"], "not a number of MiB from 4"),
])
def test_wrong_options_are_explained(tmp_path, args, says):
    from conftest import FLYBALL
    free = [x for o in ("api", "gateway", "web", "otlp", "scaler") for x in (f"--{o}-listen", "127.0.0.1:0")]
    r = subprocess.run([str(FLYBALL), "up", "--data-dir", str(tmp_path / "d"), *free, *args], capture_output=True,
                       text=True, timeout=20)
    assert r.returncode in (1, 2) and says in r.stderr


def test_series_end_with_their_pod(f):
    f.kubectl("apply", "-f", "-", stdin="""
apiVersion: v1
kind: Pod
metadata: {name: pusher, labels: {app: pusher}}
spec:
  containers: [{name: c, image: busybox, command: [sleep, "1000"]}]
""")
    wait_for("running", lambda: f.get("pod", "pusher")["status"].get("phase") == "Running")
    pod = {"k8s.namespace.name": "default", "k8s.pod.name": "pusher", "service.name": "s"}
    assert post(f.otlp, gauge("queue", 7, resource=pod))[0] == 200
    labels = query(f, 'queue{app="pusher"}')[0]["metric"]
    assert labels == {"__name__": "queue", "job": "s", "namespace": "default", "pod": "pusher", "deployment": "pusher",
                      "node": f.get("pod", "pusher")["spec"]["nodeName"], "app": "pusher"}
    f.kubectl("delete", "pod", "pusher", "--wait=false")
    wait_for("stale", lambda: not query(f, "queue"), timeout=3)
    answer = json.loads(post(f.otlp, gauge("queue", 8, resource=pod))[2])
    assert "has ended" in answer["partialSuccess"]["errorMessage"]
    assert not query(f, "queue")
