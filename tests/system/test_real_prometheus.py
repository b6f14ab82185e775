# SPDX-License-Identifier: Apache-2.0
"""The servers people already run, Debian's Prometheus and VictoriaMetrics, find and scrape the pods, and drive the scaling."""
import base64
import json
import pathlib
import re
import socket
import subprocess
import urllib.parse
import urllib.request

import pytest
import yaml

from conftest import PEERS, wait_for

BODY = '{"model": "fbopt", "prompt": "Write a poem about colors", "stream": false, "max_tokens": 100}'
NAME = "huggingface-fbopt"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Peer:
    """A real server on a port of its own; stop and start keep its data."""

    def __init__(self, directory, config, command, flush=None):
        directory.mkdir()
        (directory / "config.yml").write_text(yaml.safe_dump(config))
        self.directory, self.port, self.command, self.process = directory, free_port(), command, None
        self.url = f"http://127.0.0.1:{self.port}"
        self.flush = flush  # VictoriaMetrics shows a new series only after some seconds, unless told to

    def start(self):
        self.log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen(self.command(self.directory, self.port), stdout=self.log, stderr=self.log, cwd=self.directory)
        wait_for(f"the server answers\n{(self.directory / 'log').read_text()[-2000:]}", lambda: self.query("1"), 20)
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def query(self, expr):
        if self.flush:
            urllib.request.urlopen(self.url + self.flush, timeout=5).read()
        with urllib.request.urlopen(f"{self.url}/api/v1/query?" + urllib.parse.urlencode({"query": expr}), timeout=5) as r:
            return json.load(r)["data"]["result"]


def prometheus(f, directory):
    """Finds the pods through http_sd_configs."""
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
              "scrape_configs": [{"job_name": "pods", "http_sd_configs": [{"url": f.web + "/sd/pods", "refresh_interval": "1s"}]}]}
    return Peer(directory, config, lambda d, port: [
        str(PEERS / "usr/bin/prometheus"), f"--config.file={d}/config.yml", f"--storage.tsdb.path={d}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"])


def victoria_metrics(f, directory):
    """Finds the pods through its own kubernetes_sd_configs on our API server."""
    kubeconfig = yaml.safe_load(pathlib.Path(f.env["KUBECONFIG"]).read_text())
    cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
    secrets = directory.parent / "vm-secrets"
    secrets.mkdir()
    (secrets / "ca.pem").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    access = {"api_server": cluster["server"], "role": "pod", "tls_config": {"ca_file": str(secrets / "ca.pem")}}
    if "token" in user:
        access["authorization"] = {"credentials": user["token"]}
    else:
        for key in ("certificate", "key"):
            (secrets / f"{key}.pem").write_bytes(base64.b64decode(user[f"client-{key}-data"]))
        access["tls_config"] |= {"cert_file": str(secrets / "certificate.pem"), "key_file": str(secrets / "key.pem")}
    annotation = "__meta_kubernetes_pod_annotation_prometheus_io_"
    config = {"scrape_configs": [{
        "job_name": "pods", "scrape_interval": "1s", "kubernetes_sd_configs": [access],
        "relabel_configs": [
            {"source_labels": [annotation + "scrape"], "regex": "true", "action": "keep"},
            {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Running", "action": "keep"},
            {"source_labels": ["__meta_kubernetes_pod_ip", annotation + "port"], "separator": ":", "target_label": "__address__"},
            {"source_labels": [annotation + "path"], "regex": "(.+)", "target_label": "__metrics_path__"},
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"}]}]}
    return Peer(directory, config, lambda d, port: [
        str(PEERS / "usr/bin/victoria-metrics"), f"-promscrape.config={d}/config.yml", f"-storageDataPath={d}/data",
        f"-httpListenAddr=127.0.0.1:{port}", "-search.latencyOffset=0s", "-promscrape.kubernetesSDCheckInterval=1s",
        "-memory.allowedBytes=64MB", "-retentionPeriod=1d"], flush="/internal/force_flush")


@pytest.fixture(params=[prometheus, victoria_metrics], ids=["prometheus", "victoria-metrics"])
def peer(request, flyball, tmp_path):
    p = request.param(flyball, tmp_path / "peer").start()
    yield p
    p.stop()


def point_elsewhere(f, peer):
    """What a user does whose Prometheus is not ours: the Service keeps its name, its Endpoints are theirs."""
    f.kubectl("patch", "endpoints", "prometheus", "-n", "istio-system", "--type", "merge", "-p", json.dumps({
        "metadata": {"labels": {"flyball.dev/built-in": None}},
        "subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"name": "http", "port": peer.port}]}]}))


def ready_pods(f):
    return [p["metadata"]["name"] for p in f.pods() for c in p["status"].get("conditions", [])
            if c["type"] == "Ready" and c["status"] == "True"]


def ready_condition(f):
    return {c["type"]: c for c in f.get("scaledobject", NAME + "-predictor")["status"]["conditions"]}["Ready"]


def average(f):
    current = f.get("hpa", f"keda-hpa-{NAME}-predictor")["status"]["currentMetrics"]
    return current[0]["external"]["current"]["averageValue"]


def hey(f, seconds, clients):
    return subprocess.Popen(
        ["hey", "-z", f"{seconds}s", "-c", str(clients), "-m", "POST", "-host", f"{NAME}-default.example.com", "-H",
         "Content-Type: application/json", "-d", BODY,
         f"http://{f.env['INGRESS_HOST']}:{f.env['INGRESS_PORT']}/openai/v1/completions"], stdout=subprocess.PIPE, text=True)


def test_the_tutorial_scales_on_a_real_server_and_goes_on_when_it_is_restarted(flyball, tutorial_yaml, peer):
    f = flyball
    point_elsewhere(f, peer)
    f.kubectl("apply", "-f", "-", stdin=tutorial_yaml)
    wait_for("a ready pod", lambda: len(ready_pods(f)) == 1, 15)
    wait_for("it is scraped there", lambda: [r["metric"]["pod"] for r in peer.query("vllm:num_requests_running")] == ready_pods(f), 20)
    wait_for("the ScaledObject works", lambda: ready_condition(f)["status"] == "True", 10)
    explained = f.kubectl("describe", "scaledobject", NAME + "-predictor").stdout
    load = hey(f, 30, 5)
    try:
        wait_for("three to five pods", lambda: 3 <= len(ready_pods(f)) <= 5, 15)
        wait_for("every pod is scraped there", lambda: {r["metric"]["pod"] for r in peer.query("vllm:num_requests_running")} >= set(ready_pods(f)), 15)
        n = len(f.pods())
        peer.stop()
        gone = wait_for("the outage is told", lambda: (lambda c: c if c["status"] == "False" else None)(ready_condition(f)), 8)
        assert "refused" in gone["message"] and "whether it runs" in gone["message"], gone
        assert len(f.pods()) == n, "the count is held"
        peer.start()
        wait_for("it goes on", lambda: ready_condition(f)["status"] == "True", 15)
        wait_for("with a value of the load that runs", lambda: average(f) != "0", 15)
        assert 3 <= len(f.pods()) <= 5
    finally:
        load.terminate()
        load.wait()
    wait_for("the end of the load is seen there", lambda: average(f) == "0", 20)
    assert "s0-prometheus" in f.kubectl("describe", "scaledobject", NAME + "-predictor").stdout, explained


def test_a_pod_that_goes_is_no_target_of_a_watch_on_our_api_server(flyball, tutorial_yaml, tmp_path):
    f = flyball
    peer = victoria_metrics(f, tmp_path / "peer").start()
    try:
        replace_the_pod(f, tutorial_yaml, peer)
    finally:
        peer.stop()


def replace_the_pod(f, tutorial_yaml, peer):
    f.kubectl("apply", "-f", "-", stdin=tutorial_yaml)
    wait_for("a ready pod", lambda: len(ready_pods(f)) == 1, 15)
    first = ready_pods(f)
    wait_for("it is scraped there", lambda: [r["metric"]["pod"] for r in peer.query("vllm:num_requests_running")] == first, 20)
    f.kubectl("delete", "pod", first[0])
    wait_for("another one", lambda: ready_pods(f) and ready_pods(f) != first, 15)
    wait_for("only that one has a value there", lambda: [r["metric"]["pod"] for r in peer.query("vllm:num_requests_running")] == ready_pods(f), 25)


def test_labels_of_http_sd_are_those_of_the_built_in_store(flyball, tutorial_yaml, tmp_path):
    f = flyball
    peer = prometheus(f, tmp_path / "peer").start()
    try:
        f.kubectl("apply", "-f", "-", stdin=tutorial_yaml)
        wait_for("a ready pod", lambda: len(ready_pods(f)) == 1, 15)
        query = 'vllm:num_requests_running{namespace="default"}'
        theirs = wait_for("it is scraped there", lambda: peer.query(query), 20)
        with urllib.request.urlopen(f"{f.web}/api/v1/query?" + urllib.parse.urlencode({"query": query}), timeout=5) as r:
            ours = json.load(r)["data"]["result"]
        assert [s["metric"] | {"job": ""} for s in theirs] == [s["metric"] | {"job": ""} for s in ours]
    finally:
        peer.stop()


def test_the_built_in_answer_comes_back_when_the_service_does(flyball, tutorial_yaml, tmp_path):
    """The Service that pointed elsewhere points at us again: no restart, no stale value."""
    f = flyball
    peer = prometheus(f, tmp_path / "peer").start()
    try:
        point_elsewhere(f, peer)
        f.kubectl("apply", "-f", "-", stdin=tutorial_yaml)
        wait_for("a ready pod", lambda: len(ready_pods(f)) == 1, 15)
        wait_for("it works there", lambda: ready_condition(f)["status"] == "True", 20)
    finally:
        peer.stop()
    wait_for("the outage is told", lambda: ready_condition(f)["status"] == "False", 8)
    host, port = re.fullmatch(r"http://([\d.]+):(\d+)", f.web).groups()
    f.kubectl("patch", "endpoints", "prometheus", "-n", "istio-system", "--type", "merge", "-p", json.dumps({
        "subsets": [{"addresses": [{"ip": host}], "ports": [{"name": "http", "port": int(port)}]}]}))
    wait_for("it works here", lambda: ready_condition(f)["status"] == "True", 8)
    load = hey(f, 5, 5)
    wait_for("three pods", lambda: len(f.pods()) == 3, 6)
    load.wait()
