# SPDX-License-Identifier: Apache-2.0
"""flyball-agent between a target and a receiver made of the official OTLP messages, and before the real flyball."""
import gzip
import json
import os
import signal
import ssl
import subprocess
import time
import urllib.parse
import urllib.request

import grpc
import pytest
import yaml
from google.protobuf import json_format

from conftest import DATA, FLYBALL, wait_for
from otlp_sink import Sink, Target, metrics_service_pb2
from test_otel import COLLECTOR, POD, condition
from test_tutorial import hey, host_of

AGENT = FLYBALL.parent / "flyball-agent"
FILES = DATA / "otel"
ATTRIBUTES = ("k8s.deployment.name=huggingface-fbopt-predictor,k8s.deployment.uid=5e0c8b8e-6f0e-4a83-9f0e-0b1a6b6b9d11,"
              "k8s.namespace.name=default,k8s.node.name=node-a,k8s.pod.name=huggingface-fbopt-predictor-6c7f9b8d5c-x2k4q,"
              "k8s.pod.uid=0f5f3c7a-9f0b-4f2e-8a59-2f7c1d0e4b77,k8s.replicaset.name=huggingface-fbopt-predictor-6c7f9b8d5c,"
              "k8s.replicaset.uid=b6a5f0b0-37a5-4b7b-8f5e-6d6f5a1e2c33")
TRANSFORM = """
  resourcedetection/env: {detectors: [env], timeout: 2s, override: false}
  transform:
    metric_statements:
    - context: datapoint
      statements:
      - set(attributes["namespace"], resource.attributes["k8s.namespace.name"])
      - set(attributes["deployment"], resource.attributes["k8s.deployment.name"])
      - set(attributes["pod"], resource.attributes["k8s.pod.name"])
"""


def config(target, endpoint, names=(), exporter="tls: {insecure: true}, compression: none"):
    """As KServe generates it; without names nothing is filtered."""
    keep = f"  filter/metrics: {{metrics: {{include: {{match_type: strict, metric_names: {json.dumps(list(names))}}}}}}}\n"
    return f"""
receivers:
  prometheus:
    config:
      scrape_configs:
      - job_name: otel-collector
        scrape_interval: 100ms
        static_configs: [{{targets: ['{target}']}}]
processors:
{TRANSFORM}{keep}
exporters:
  otlp: {{endpoint: '{endpoint}', {exporter}}}
service:
  pipelines:
    metrics:
      receivers: [prometheus]
      processors: [resourcedetection/env, transform{', filter/metrics' if names else ''}]
      exporters: [otlp]
"""


class Agent:
    def __init__(self, tmp_path, text, *args, env=(), config=True):
        self.log_path = tmp_path / f"agent-{time.monotonic_ns()}.log"
        self.process = subprocess.Popen(
            [str(AGENT), *args, *(["--config=env:OTEL_CONFIG"] if config else [])], stdout=subprocess.DEVNULL, stderr=open(self.log_path, "wb"),
            env={"PATH": os.environ["PATH"], "OTEL_CONFIG": text, "OTEL_RESOURCE_ATTRIBUTES": ATTRIBUTES, **dict(env)})

    def log(self):
        return self.log_path.read_text()

    def stop(self):
        """SIGTERM; returns exit status and how long it took."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        return self.process.wait(10), time.monotonic() - start


@pytest.fixture
def start(tmp_path):
    """start(config, ...) -> Agent; start.sink(), start.target(): all ended with the test."""
    ended = []

    def make(text, *args, **kwargs):
        a = Agent(tmp_path, text, *args, **kwargs)
        ended.append(a)
        return a

    def keep(x):
        ended.append(x)
        return x

    make.sink = lambda *a, **k: keep(Sink(*a, **k))
    make.target = lambda *a, **k: keep(Target(*a, **k))
    yield make
    for x in ended:
        x.stop()


def canonical(request):
    """Sorted, and without what a test cannot know: times of the scrape, its duration, the version of who scraped."""
    out = json_format.MessageToDict(request)
    for rm in out["resourceMetrics"]:
        rm["resource"]["attributes"].sort(key=lambda a: a["key"])
        for a in rm["resource"]["attributes"]:
            if a["key"] in ("service.instance.id", "server.port"):
                a["value"] = None
        for sm in rm["scopeMetrics"]:
            sm["scope"].pop("version")
            sm["metrics"].sort(key=lambda m: m["name"])
            for m in sm["metrics"]:
                for kind in ("gauge", "sum", "histogram", "summary"):
                    for p in m.get(kind, {}).get("dataPoints", []):
                        p["timeUnixNano"] = None
                        p["attributes"].sort(key=lambda a: a["key"])
                        if m["name"] == "scrape_duration_seconds":
                            p["asDouble"] = None
                    m.get(kind, {}).get("dataPoints", []).sort(key=lambda p: json.dumps(p["attributes"]))
    return out


@pytest.mark.parametrize("expected,names,text_only", [
    ("vllm_page1.otlp.json", (), False),
    ("vllm_page1.from-text.otlp.json", (), True),
    ("vllm_page1.filtered.otlp.json", ["vllm:num_requests_running"], False)])
def test_what_is_pushed_equals_what_the_collector_pushes(start, expected, names, text_only):
    sink = start.sink()
    target = start.target(page=(FILES / "vllm_page1.prom").read_bytes(),
                          openmetrics=None if text_only else (FILES / "vllm_page1.openmetrics.txt").read_bytes())
    start(config(f"localhost:{target.port}", sink.address, names))
    wait_for("a push", lambda: sink.requests)
    want = json_format.Parse((FILES / expected).read_text(), metrics_service_pb2.ExportMetricsServiceRequest())
    assert canonical(sink.requests[0]) == canonical(want)
    assert target.seen["X-Prometheus-Scrape-Timeout-Seconds".lower()] == "1"


def test_changes_are_pushed_at_once_and_nothing_else_but_a_heartbeat(start):
    sink, target = start.sink(), start.target(page="a 1\nnoise 1\n")
    start(config(f"localhost:{target.port}", sink.address, ["a"]), "--heartbeat=2s")
    wait_for("a push", lambda: sink.requests)
    delays = []
    for i in range(2, 12):
        changed = time.time()
        target.page = f"a {i}\nnoise {i}\n"
        wait_for("the new value", lambda: sink.points("a")[-1][1] == i, every=0.002)
        delays.append(sink.times[-1] - changed)
    assert sorted(delays)[5] < 0.15, delays
    before, scrapes = len(sink.requests), target.scrapes
    wait_for("25 more scrapes", lambda: target.scrapes >= scrapes + 25)
    assert 1 <= len(sink.requests) - before <= 2  # 2.5 s: a heartbeat
    assert all(t % 100 == 0 for _, _, t, _ in sink.points("a")), "at multiples of the interval"


def test_localhost_is_the_pods_own_address(start):
    own, decoy_page = start.target(host="127.0.0.77", page="a 1\n"), "a 666\n"
    decoy = start.target(host="127.0.0.1", port=own.port, page=decoy_page)
    sink = start.sink()
    start(config(f"localhost:{own.port}", sink.address, ["a"]), env={"POD_IP": "127.0.0.77"})
    wait_for("a push", lambda: sink.requests)
    assert sink.points("a")[0][1] == 1 and decoy.scrapes == 0
    attributes = {a.key: a.value.string_value for a in sink.requests[0].resource_metrics[0].resource.attributes}
    assert attributes["service.instance.id"] == f"localhost:{own.port}"


def test_receiver_restarts_and_nothing_wrong_arrives(start):
    sink, target = start.sink(), start.target(page="a 1\n")
    agent = start(config(f"localhost:{target.port}", sink.address, ["a"]))
    wait_for("a push", lambda: sink.requests)
    sink.stop()
    for i in range(2, 8):
        scrapes = target.scrapes
        target.page = f"a {i}\n"
        wait_for("two scrapes", lambda: target.scrapes >= scrapes + 2)
    wait_for("the outage is noted", lambda: "cannot push to" in agent.log())
    back = time.time()
    sink.start()
    wait_for("the newest value", lambda: sink.points("a")[-1][1] == 7, timeout=10)
    assert sink.times[-1] - back < 6
    values = [p[1] for p in sink.points("a")]
    assert values == sorted(values) and set(values) <= {1, 2, 3, 4, 5, 6, 7}, values  # in order, none made up
    times = [p[2] for p in sink.points("a")]
    assert times == sorted(set(times))
    wait_for("the end of the outage is noted", lambda: "takes metrics again" in agent.log())


def test_receiver_that_began_anew_gets_all_at_once(start):
    sink, target = start.sink(), start.target(page="a 1\n")
    start(config(f"localhost:{target.port}", sink.address, ["a"]), "--heartbeat=60s")
    wait_for("a push", lambda: sink.requests)
    sink.stop()
    scrapes = target.scrapes
    wait_for("two scrapes", lambda: target.scrapes >= scrapes + 2)
    sink.start()
    wait_for("the value again, although nothing has changed", lambda: len(sink.requests) == 2, 6)
    scrapes = target.scrapes
    wait_for("ten scrapes", lambda: target.scrapes >= scrapes + 10)
    assert [p[1] for p in sink.points("a")] == [1, 1]


def test_target_gone_ends_its_series_once(start):
    sink, target = start.sink(), start.target(page="a 1\n")
    agent = start(config(f"localhost:{target.port}", sink.address, ["a"]))
    wait_for("a push", lambda: sink.requests)
    target.stop()
    wait_for("the end", lambda: sink.points("a")[-1][1] is None)
    again = start.target(port=target.port, page="a 2\n")
    wait_for("the new value", lambda: sink.points("a")[-1][1] == 2)
    assert [p[1] for p in sink.points("a")] == [1, None, 2]
    assert "is down" in agent.log()
    again.status = 500
    wait_for("the end", lambda: sink.points("a")[-1][1] is None)
    assert "server returned HTTP status 500" in agent.log()


def test_sigterm_ends_all_series_and_is_quick(start):
    sink, target = start.sink(), start.target(page="a 1\nb 2\n")
    agent = start(config(f"localhost:{target.port}", sink.address, ["a", "b"]))
    wait_for("a push", lambda: sink.requests)
    status, took = agent.stop()
    assert status == 0 and took < 1
    assert [(p[0], p[1]) for p in sink.points()[-2:]] == [("a", None), ("b", None)]


def test_sigterm_without_a_receiver_ends_too(start):
    target = start.target()
    agent = start(config(f"localhost:{target.port}", "127.0.0.1:1", ["a"]))
    wait_for("a scrape", lambda: target.scrapes > 2)
    status, took = agent.stop()
    assert status == 0 and took < 3


def test_bad_pages_are_failed_scrapes(start):
    sink, target = start.sink(), start.target(page="a 1\n")
    agent = start(config(f"localhost:{target.port}", sink.address, ["a", "up"]))
    wait_for("up", lambda: sink.points("up") and sink.points("up")[-1][1] == 1)
    target.page = "a 2\nthis is no page\n"
    wait_for("down", lambda: sink.points("up")[-1][1] == 0)
    assert [p[1] for p in sink.points("a")] == [1, None]
    assert "line 2: a number expected as the value: 'this is no page'" in agent.log()
    target.page = gzip.compress(b"a 3\n")
    target.headers = {"Content-Encoding": "gzip"}
    wait_for("a compressed page is read", lambda: sink.points("a")[-1][1] == 3)
    target.page, target.headers = "a 4\n", {"Content-Type": "text/html"}
    wait_for("down", lambda: sink.points("up")[-1][1] == 0)
    wait_for("the log", lambda: "'text/html': expected text/plain" in agent.log())


def test_partial_success_and_refusals_are_logged_and_not_repeated(start):
    sink, target = start.sink(), start.target(page="a 1\n")

    def partly(request, context):
        answer = metrics_service_pb2.ExportMetricsServiceResponse()
        answer.partial_success.rejected_data_points = 1
        answer.partial_success.error_message = "not this one"
        return answer

    sink.answer = partly
    agent = start(config(f"localhost:{target.port}", sink.address, ["a"]), "--heartbeat=60s")
    wait_for("the log", lambda: "refused 1 data points: not this one" in agent.log())
    sink.answer = lambda request, context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad point")
    target.page = "a 2\n"
    wait_for("the log", lambda: "INVALID_ARGUMENT: bad point" in agent.log())
    sink.answer = None
    target.page = "a 3\n"
    wait_for("the next one", lambda: sink.points("a")[-1][1] == 3)
    assert [p[1] for p in sink.points("a")] == [1, 2, 3]  # each once


def test_full_receiver_that_asks_for_a_pause_gets_it(start):
    sink, target = start.sink(), start.target(page="a 1\n")
    info = b"\x0a\x06\x10\x80\xc6\x86\x8f\x01"  # RetryInfo {retry_delay {nanos: 300000000}}
    kind = b"type.googleapis.com/google.rpc.RetryInfo"
    detail = b"\x0a" + bytes([len(kind)]) + kind + b"\x12" + bytes([len(info)]) + info

    def full(request, context):
        context.set_trailing_metadata((("grpc-status-details-bin", b"\x1a" + bytes([len(detail)]) + detail),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")

    sink.answer = full
    agent = start(config(f"localhost:{target.port}", sink.address, ["a"], "tls: {insecure: true}, retry_on_failure: {initial_interval: 10ms}"))
    wait_for("five tries", lambda: len(sink.times) >= 5)
    assert min(b - a for a, b in zip(sink.times, sink.times[1:])) > 0.29
    sink.answer = None
    before = len(sink.requests)
    wait_for("it is taken", lambda: len(sink.requests) > before)
    assert "RESOURCE_EXHAUSTED: full; 1 requests wait, next try in 300 ms" in agent.log()


def test_tls_client_certificate_gzip_and_headers(start, tmp_path):
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=tmp_path)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
            "-out", "ca.pem", "-subj", "/CN=test-ca", "-days", "2")
    for name in ("server", "client"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (tmp_path / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-extfile", "ext", "-out", f"{name}.pem", "-days", "2")
    read = lambda n: (tmp_path / n).read_bytes()
    sink = start.sink(credentials=grpc.ssl_server_credentials([(read("server.key"), read("server.pem"))], read("ca.pem"), True))
    target = start.target(page="a 1\n")
    tls = f"tls: {{ca_file: {tmp_path}/ca.pem, cert_file: {tmp_path}/client.pem, key_file: {tmp_path}/client.key}}"
    start(config(f"localhost:{target.port}", sink.address, ["a"], f"{tls}, compression: gzip, headers: {{X-Tenant: blue}}"))
    wait_for("a push", lambda: sink.requests)
    assert sink.points("a")[0][1] == 1
    assert sink.metadata[0]["x-tenant"] == "blue" and "flyball-agent/" in sink.metadata[0]["user-agent"]
    wrong = start(config(f"localhost:{target.port}", sink.address, ["a"], "tls: {}"))
    wait_for("an unknown CA is refused", lambda: "cannot push to" in wrong.log())


def test_https_target_debug_exporter_and_a_configuration_file(start, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-days", "2"], check=True, capture_output=True, cwd=tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    target = start.target(page="a 1\n", tls=context)
    text = config(f"localhost:{target.port}", "unused:1").replace("scrape_interval: 100ms", "scrape_interval: 100ms\n        scheme: https\n"
                                                                  f"        tls_config: {{ca_file: '{tmp_path}/cert.pem'}}")
    text = text.replace("  otlp: {", "  debug: {}\n  otlp: {").replace("exporters: [otlp]", "exporters: [debug]")
    (tmp_path / "config.yaml").write_text(text)
    agent = start("", f"--config=file:{tmp_path}/config.yaml", config=False)
    wait_for("a push", lambda: "debug: 6 metrics, " in agent.log())  # a, up and four of the scrape
    assert f"target https://localhost:{target.port}/metrics is up: 1 samples" in agent.log()
    assert agent.stop()[0] == 0
    untrusted = start(text.replace(f"ca_file: '{tmp_path}/cert.pem'", ""))
    wait_for("an unknown CA is refused", lambda: "is down" in untrusted.log())


def test_configurations_that_cannot_be_used_say_why():
    bad = config("localhost:1", "a:1").replace("static_configs", "relabel_configs: []\n        kubernetes_sd_configs")
    bad = bad.replace("compression: none", "compression: lz4")
    r = subprocess.run([str(AGENT), "--config=yaml:" + bad], capture_output=True, text=True)
    assert r.returncode == 1 and r.stdout == ""
    assert r.stderr.startswith("flyball-agent: invalid configuration: 3 problems\n"), r.stderr
    for words in ("scrape_configs[0].relabel_configs (line 8): not supported here", "kubernetes_sd_configs (line 9)",
                  "exporters.otlp"):
        assert words in r.stderr
    r = subprocess.run([str(AGENT), "--config=env:NOT_SET"], capture_output=True, text=True)
    assert r.returncode == 1 and "the environment variable 'NOT_SET' is not set" in r.stderr
    r = subprocess.run([str(AGENT), "--config=/no/such/file"], capture_output=True, text=True)
    assert r.returncode == 1 and "the file '/no/such/file' cannot be read" in r.stderr
    for args in ([], ["--interval=1ms", "--config=x"], ["--heartbeat=1h", "--config=x"], ["--what"]):
        assert subprocess.run([str(AGENT), *args], capture_output=True).returncode == 2
    good = subprocess.run([str(FLYBALL), "agent", "--check", "--config=yaml:" + config("localhost:1", "a:1")],
                          capture_output=True, text=True)
    assert (good.returncode, good.stdout) == (0, "the configuration can be used\n"), good.stderr


def query(f, expr):
    with urllib.request.urlopen(f.web + "/api/v1/query?query=" + urllib.parse.quote(expr), timeout=10) as r:
        return json.load(r)["data"]["result"]


def test_into_the_real_flyball_and_through_its_restart(start, flyball_factory):
    f = flyball_factory()
    target = start.target(page="# TYPE a gauge\na{model_name=\"m\"} 1\n")
    start(config(f"localhost:{target.port}", f.env["FLYBALL_OTLP"], ["a"]), "--heartbeat=1s")
    expr = 'a{namespace="default",deployment="huggingface-fbopt-predictor",pod="huggingface-fbopt-predictor-6c7f9b8d5c-x2k4q",model_name="m"}'
    wait_for("the series", lambda: query(f, expr)[0]["value"][1] == "1")
    target.page = "# TYPE a gauge\na{model_name=\"m\"} 5\n"
    wait_for("the new value", lambda: query(f, expr)[0]["value"][1] == "5", every=0.01)
    args = ["--otlp-listen", f.env["FLYBALL_OTLP"]]
    f.stop()
    f.args += args
    target.page = "# TYPE a gauge\na{model_name=\"m\"} 7\n"
    f.start()
    wait_for("the newest value after the restart", lambda: query(f, expr)[0]["value"][1] == "7")
    target.page = "# TYPE b gauge\nb 1\n"
    wait_for("the series' end", lambda: query(f, expr) == [])


def test_what_the_sidecar_refuses_is_on_the_pod_and_the_collector(flyball):
    collector = yaml.safe_load(COLLECTOR % "c")
    collector["spec"]["config"]["receivers"]["prometheus"]["config"]["scrape_configs"][0]["relabel_configs"] = []
    flyball.kubectl("create", "-f", "-", stdin=json.dumps(collector))
    flyball.kubectl("create", "-f", "-", stdin=POD % ("p", "c"))
    words = "receivers.prometheus.config.scrape_configs[0].relabel_configs (line "
    wait_for("the pod says why", lambda: words in json.dumps(flyball.pods()[0]["status"]), 15)
    wait_for("the collector says where", lambda: words in condition(flyball)["message"], 5)
    assert condition(flyball)["status"] == "False"


def test_the_tutorials_second_half_with_a_decoy_on_localhost(start, flyball):
    f = flyball
    try:
        start.target(port=8080, page="vllm:num_requests_running{model_name=\"fbopt\"} 666\n")
    except OSError:
        pass  # somebody else's server is there: a decoy as well
    f.kubectl("apply", "-f", "-", stdin=(DATA / "tutorial" / "otel.yaml").read_text())
    wait_for("both containers run", lambda: " 2/2 " in f.kubectl("get", "pods").stdout, 20)
    pod = f.pods()[0]["metadata"]["name"]
    expr = f'vllm:num_requests_running{{namespace="default",deployment="huggingface-fbopt-predictor",pod="{pod}"}}'
    assert wait_for("the pod's series", lambda: query(f, expr))[0]["value"][1] == "0"
    assert "target http://localhost:8080/metrics is up" in f.kubectl("logs", pod, "-c", "otc-container").stdout
    for clients, pods in ((5, 2), (20, 5)):
        load = hey(f, host_of(f), 6, clients)
        wait_for(f"{pods} pods for {clients} in flight, target 4", lambda: len(f.pods()) == pods, 6)
        load.communicate()
        assert len(f.pods()) == pods
    f.kubectl("delete", "isvc", "huggingface-fbopt")
    wait_for("all series end", lambda: query(f, "vllm:num_requests_running") == [], 20)
