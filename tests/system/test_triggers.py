# SPDX-License-Identifier: Apache-2.0
"""Trigger types beside prometheus, each on a running program. When cron is active is shown by its vectors; here the
schedules are such that the time of day does not matter."""
import http.server
import json
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest
import yaml

from conftest import PEERS, wait_for

NEVER, EVERY_MINUTE = "0 0 30 2 *", "* * * * *"


def deployment(name, replicas):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}},
                                  "spec": {"containers": [{"name": "app", "image": "local/app", "command": ["sleep", "1000"]}]}}}}


def scaledobject(trigger, minimum=1):
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": {"name": "web"}, "minReplicaCount": minimum, "maxReplicaCount": 8, "cooldownPeriod": 1,
                     "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}},
                     "triggers": [trigger]}}


def cron(start, end, timezone="Europe/Berlin", n=3):
    return {"type": "cron", "metadata": {"timezone": timezone, "start": start, "end": end, "desiredReplicas": str(n)}}


def workload(**metadata):
    return {"type": "kubernetes-workload", "metadata": {"podSelector": "app=clients", "value": "2", **metadata}}


def create(f, *objects):
    f.kubectl("create", "-f", "-", stdin="---\n".join(yaml.safe_dump(o) for o in objects))


def set_trigger(f, trigger):
    f.kubectl("patch", "scaledobject", "web", "--type", "merge", "-p", json.dumps({"spec": {"triggers": [trigger]}}))


def replicas(f):
    return f.get("deploy", "web")["spec"]["replicas"]


def ready(f):
    return {c["type"]: c for c in f.get("scaledobject", "web")["status"]["conditions"]}["Ready"]


def test_cron_scales_from_zero_while_active_and_back_to_zero_after(flyball):
    create(flyball, deployment("web", 0), scaledobject(cron(NEVER, EVERY_MINUTE), 0))
    wait_for("three replicas", lambda: replicas(flyball) == 3, 10)
    metric = flyball.get("hpa", "keda-hpa-web")["spec"]["metrics"][0]["external"]["metric"]["name"]
    assert metric == "s0-cron-Europe-Berlin-00302x-xxxxx"
    assert "KEDAScaleTargetActivated" in flyball.kubectl("describe", "scaledobject", "web").stdout
    set_trigger(flyball, cron(EVERY_MINUTE, NEVER))
    wait_for("none", lambda: replicas(flyball) == 0, 10)


def test_a_time_zone_that_is_not_there_holds_the_count_and_is_named(flyball):
    create(flyball, deployment("web", 1), scaledobject(cron(NEVER, EVERY_MINUTE)))
    wait_for("three replicas", lambda: replicas(flyball) == 3, 10)
    set_trigger(flyball, cron(EVERY_MINUTE, NEVER, timezone="Mars/Base"))
    message = wait_for("it is named", lambda: (lambda m: m if "Mars/Base" in m else None)(ready(flyball)["message"]), 8)
    assert "unknown time zone" in message and replicas(flyball) == 3


def test_a_workload_scales_with_the_pods_of_another(flyball):
    create(flyball, deployment("clients", 4), deployment("web", 1), scaledobject(workload()))
    wait_for("two for four", lambda: replicas(flyball) == 2, 10)
    flyball.kubectl("scale", "deploy", "clients", "--replicas=9")
    wait_for("five for nine", lambda: replicas(flyball) == 5, 10)
    set_trigger(flyball, workload(groupByNode="true"))
    wait_for("one for one node", lambda: replicas(flyball) == 1, 10)


def test_an_unknown_type_names_those_that_exist(flyball):
    create(flyball, deployment("web", 1), scaledobject({"type": "kafka", "metadata": {"topic": "x"}}))
    message = wait_for("it is named", lambda: (lambda c: c["message"] if c["reason"] == "ScaledObjectCheckFailed" else None)(ready(flyball)), 8)
    assert "no scaler found for type: kafka" in message
    assert all(t in message for t in ("prometheus", "cron", "kubernetes-workload", "cpu", "memory"))


# --- metrics-api ---

class Pages:
    """A metrics API: pages by path, for who has the key."""

    def __init__(self):
        outer = self
        self.pages, self.seen = {}, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                outer.seen.append((self.path, dict(self.headers)))
                key = self.headers.get("X-API-KEY") or dict(urllib.parse.parse_qsl(url.query)).get("api_key")
                status, page = (200, outer.pages[url.path]) if key == KEY else (403, "who is " + str(key))
                self.send_response(status)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *a: None
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


KEY = "api-key-5c1f0a"


@pytest.fixture
def pages():
    p = Pages()
    yield p
    p.close()


def metrics_api(url, location, **metadata):
    return {"type": "metrics-api", "authenticationRef": {"name": "key"},
            "metadata": {"url": url, "valueLocation": location, "targetValue": "2", "authMode": "apiKey", **metadata}}


def key_objects(key=KEY):
    return [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"apiKey": key}},
            {"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": {"name": "key"},
             "spec": {"secretTargetRef": [{"parameter": "apiKey", "name": "key", "key": "apiKey"}]}}]


def message(f, says, timeout=8):
    return wait_for(f"it says {says}", lambda: (lambda m: m if says in m else None)(ready(f)["message"]), timeout)


def test_metrics_api_reads_json_yaml_and_metrics_for_who_has_the_key(flyball, pages):
    f = flyball
    pages.pages = {"/json": json.dumps({"queues": [{"name": "a", "waiting": 1}, {"name": "b", "waiting": "6"}]}),
                   "/broken": "a: [", "/yaml": "queues:\n- waiting: 10\n",
                   "/metrics": '# TYPE waiting gauge\nwaiting{queue="a"} 3\nwaiting{queue="b"} 8\n'}
    create(f, deployment("web", 1), *key_objects(), scaledobject(metrics_api(pages.url + "/json", "queues.1.waiting")))
    wait_for("three for six", lambda: replicas(f) == 3, 10)
    assert pages.seen[-1][1]["X-API-KEY"] == KEY
    metric = f.get("hpa", "keda-hpa-web")["spec"]["metrics"][0]["external"]["metric"]["name"]
    assert metric == "s0-metric-api-queues-1-waiting"
    set_trigger(f, metrics_api(pages.url + "/yaml", "queues.0.waiting", format="yaml", method="query"))
    wait_for("five for ten", lambda: replicas(f) == 5, 10)
    assert pages.seen[-1][0] == "/yaml?api_key=" + KEY and "X-API-KEY" not in pages.seen[-1][1]
    set_trigger(f, metrics_api(pages.url + "/metrics", 'waiting{queue="b"}', format="prometheus"))
    wait_for("four for eight", lambda: replicas(f) == 4, 10)
    set_trigger(f, metrics_api(pages.url + "/json", 'queues.#(name=="b").waiting'))
    wait_for("three again", lambda: replicas(f) == 3, 10)
    for location, more, says in (("queues.7.waiting", {}, "nothing at valueLocation 'queues.7.waiting'"),
                                 ("queues.0.name", {}, "neither to a number nor to a quantity"),
                                 ("a", {"format": "yaml", "url": pages.url + "/broken"}, "not YAML; check format"),
                                 ("a", {"format": "xml"}, "use json, yaml or prometheus"),
                                 ("a", {"url": "http://127.0.0.1:1/"}, "check url, and whether it runs")):
        set_trigger(f, metrics_api(pages.url + "/json", location) | {"metadata": metrics_api(pages.url + "/json", location)["metadata"] | more})
        message(f, says)
        assert replicas(f) == 3
    f.kubectl("apply", "-f", "-", stdin="---\n".join(yaml.safe_dump(o) for o in key_objects("another")))
    set_trigger(f, metrics_api(pages.url + "/json", "queues.1.waiting"))
    message(f, "HTTP 403")
    assert replicas(f) == 3 and KEY not in f.kubectl("get", "events", "-o", "yaml").stdout
    assert "another" not in f.kubectl("describe", "scaledobject", "web").stdout


def test_keys_from_the_environment_come_from_the_container_that_the_target_names(flyball, pages):
    f = flyball
    pages.pages = {"/six": '{"load": 6}', "/ten": '{"load": 10}'}
    target, so = deployment("web", 1), scaledobject(metrics_api(None, None, urlFromEnv="PAGE", valueLocationFromEnv="PLACE"))
    containers = target["spec"]["template"]["spec"]["containers"]
    containers.append(containers[0] | {"name": "side"})
    for container, page in zip(containers, ("/six", "/ten")):
        container["env"] = [{"name": "PAGE", "value": pages.url + page}, {"name": "PLACE", "value": "load"}]
    for key in ("url", "valueLocation"):
        del so["spec"]["triggers"][0]["metadata"][key]
    so["spec"]["scaleTargetRef"]["envSourceContainerName"] = "side"
    create(f, target, *key_objects(), so)
    wait_for("five for the ten of the second container", lambda: replicas(f) == 5, 10)
    assert {path for path, _ in pages.seen} == {"/ten"}
    f.kubectl("patch", "scaledobject", "web", "--type", "json", "-p",
              '[{"op": "remove", "path": "/spec/scaleTargetRef/envSourceContainerName"}]')
    wait_for("three for the six of the first one", lambda: replicas(f) == 3, 10)
    f.kubectl("patch", "scaledobject", "web", "--type", "merge", "-p", '{"spec": {"scaleTargetRef": {"envSourceContainerName": "nobody"}}}')
    wait_for("it is told", lambda: "has no container 'nobody'" in f.kubectl("get", "events", "-o", "yaml").stdout, 10)
    assert replicas(f) == 3
    # a prometheus trigger, through the same door; one that could not be made is tried again within ten seconds
    f.kubectl("patch", "scaledobject", "web", "--type", "merge", "-p", json.dumps({"spec": {
        "scaleTargetRef": {"envSourceContainerName": "side"},
        "triggers": [{"type": "prometheus", "metadata": {"serverAddress": "http://prometheus.istio-system.svc:9090",
                                                         "queryFromEnv": "QUERY", "threshold": "2"}}]}}))
    containers[1]["env"] = [{"name": "QUERY", "value": "vector(8)"}]
    f.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(target))
    wait_for("four for the eight of the second container", lambda: replicas(f) == 4, 20)
    containers[1]["env"][0]["value"] = "vector(4)"
    f.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(target))
    wait_for("two for its four, at once", lambda: replicas(f) == 2, 5)


WORKER = """
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        page = b'{"load": 4}'
        self.send_response(200); self.send_header("Content-Length", str(len(page))); self.end_headers(); self.wfile.write(page)
    def log_message(self, *a): pass
http.server.HTTPServer((os.environ["POD_IP"], 8500), H).serve_forever()
"""


def test_metrics_api_adds_up_every_endpoint_of_a_service(flyball):
    f = flyball
    workers = deployment("workers", 2)
    workers["spec"]["template"]["spec"]["containers"][0] |= {"command": ["/usr/bin/python3", "-c", WORKER], "readinessProbe": {
        "httpGet": {"port": 8500}}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "workers"},
               "spec": {"selector": {"app": "workers"}, "ports": [{"port": 80, "targetPort": 8500}]}}
    trigger = metrics_api("http://workers.default.svc/", "load", aggregateFromKubeServiceEndpoints="true", aggregationType="sum")
    del trigger["authenticationRef"], trigger["metadata"]["authMode"]
    create(f, deployment("web", 1), workers, service, scaledobject(trigger))
    wait_for("four for two workers of four", lambda: replicas(f) == 4, 15)
    f.kubectl("scale", "deploy", "workers", "--replicas=3")
    wait_for("six for three", lambda: replicas(f) == 6, 15)
    trigger["metadata"]["aggregationType"] = "max"
    set_trigger(f, trigger)
    wait_for("two for the greatest", lambda: replicas(f) == 2, 10)
    f.kubectl("scale", "deploy", "workers", "--replicas=0")
    message(f, "Service 'default/workers' has no ready endpoint", 15)
    assert replicas(f) == 2


# --- graphite ---

GRAPHITE = """
import base64, os, sys, wsgiref.simple_server
os.environ |= {"DJANGO_SETTINGS_MODULE": "graphite.settings", "GRAPHITE_SETTINGS_MODULE": "test_settings"}
sys.path.insert(0, sys.argv[1])
from django.core.wsgi import get_wsgi_application
graphite = get_wsgi_application()

def gate(environ, start):
    if environ.get("HTTP_AUTHORIZATION") != "Basic " + base64.b64encode(b"me:" + sys.argv[3].encode()).decode():
        start("401 Unauthorized", [("Content-Length", "0")])
        return [b""]
    return graphite(environ, start)

class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *a): pass

wsgiref.simple_server.make_server("127.0.0.1", int(sys.argv[2]), gate, handler_class=Quiet).serve_forever()
"""


class Graphite:
    """Debian's graphite-web over a whisper file, behind a password."""

    def __init__(self, directory, password):
        (directory / "whisper" / "load").mkdir(parents=True)
        (directory / "log").mkdir()
        (directory / "serve.py").write_text(GRAPHITE)
        (directory / "test_settings.py").write_text(
            f"SECRET_KEY = 'test'\nSTORAGE_DIR = CONF_DIR = {str(directory)!r}\nLOG_DIR = STORAGE_DIR + '/log'\n"
            "WHISPER_DIR = STORAGE_DIR + '/whisper'\nCARBONLINK_HOSTS = []\nCLUSTER_SERVERS = []\n"
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': STORAGE_DIR + '/db'}}\n")
        self.file = directory / "whisper" / "load" / "web.wsp"
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(["/usr/bin/python3", str(directory / "serve.py"), str(directory), str(self.port), password],
                                        stderr=open(directory / "stderr", "wb"))
        wait_for("Graphite listens", lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() or True, 20)

    def write(self, value):
        """That value from now on: the points of the seconds to come are there already."""
        import whisper
        if not self.file.exists():
            whisper.create(str(self.file), [(1, 3600)])
        now = int(time.time())
        whisper.update_many(str(self.file), [(now + i, float(value)) for i in range(-5, 60)])

    def close(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def graphite(tmp_path):
    g = Graphite(tmp_path / "graphite", KEY)
    yield g
    g.close()


def graphite_trigger(url, query="load.web", **metadata):
    """As KServe writes it: no queryTime."""
    return {"type": "graphite", "authenticationRef": {"name": "graphite"},
            "metadata": {"serverAddress": url, "query": query, "threshold": "2", "authModes": "basic", **metadata}}


def test_graphite_scales_with_debians_graphite(flyball, graphite):
    f = flyball
    graphite.write(6)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "graphite"}, "stringData": {"username": "me", "password": KEY}}
    auth = {"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": {"name": "graphite"},
            "spec": {"secretTargetRef": [{"parameter": k, "name": "graphite", "key": k} for k in ("username", "password")]}}
    create(f, deployment("web", 1), secret, auth, scaledobject(graphite_trigger(graphite.url)))
    wait_for("three for six", lambda: replicas(f) == 3, 15)
    assert f.get("hpa", "keda-hpa-web")["spec"]["metrics"][0]["external"]["metric"]["name"] == "s0-graphite"
    graphite.write(10)
    wait_for("five for ten", lambda: replicas(f) == 5, 15)
    set_trigger(f, graphite_trigger(graphite.url, "scale(load.web, 0.2)", queryTime="-1minutes"))
    wait_for("one for two", lambda: replicas(f) == 1, 15)
    for query, says in (("load.none", "finds no series there"), ("group(load.web, scale(load.web, 2))", "put sumSeries() around it"),
                        ("removeAboveValue(load.web, 0)", "a longer queryTime")):
        set_trigger(f, graphite_trigger(graphite.url, query))
        message(f, says)
        assert replicas(f) == 1
    set_trigger(f, {**graphite_trigger(graphite.url), "authenticationRef": {"name": "none"}})
    message(f, '"username" in [authParams]')


def test_an_inferenceservice_scales_on_graphite_as_kserve_writes_it(flyball, graphite, tutorial_yaml):
    f = flyball
    graphite.write(6)
    isvc = next(o for o in yaml.safe_load_all(tutorial_yaml) if o["kind"] == "InferenceService")
    external = isvc["spec"]["predictor"]["autoScaling"]["metrics"][0]["external"]
    external["metric"] = {"backend": "graphite", "serverAddress": graphite.url, "query": "load.web", "namespace": "ignored"}
    external["target"]["value"] = "2"
    external["authenticationRef"] = {"authModes": "basic", "authenticationRef": {"name": "graphite"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "graphite"}, "stringData": {"username": "me", "password": KEY}}
    auth = {"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": {"name": "graphite"},
            "spec": {"secretTargetRef": [{"parameter": k, "name": "graphite", "key": k} for k in ("username", "password")]}}
    create(f, secret, auth, isvc)
    name = isvc["metadata"]["name"] + "-predictor"
    trigger = wait_for("its ScaledObject", lambda: f.get("scaledobject", name)["spec"]["triggers"], 10)[0]
    assert trigger == {"type": "graphite", "authenticationRef": {"name": "graphite"},
                       "metadata": {"serverAddress": graphite.url, "query": "load.web", "threshold": "2", "authModes": "basic"}}
    wait_for("three replicas", lambda: f.get("deploy", name)["spec"]["replicas"] == 3, 15)


# --- what is told ---

def test_a_key_that_nobody_knows_is_told_by_an_event(flyball):
    trigger = workload(groupByNodes="true")
    create(flyball, deployment("web", 1), scaledobject(trigger))
    event = wait_for("it is told", lambda: [e for e in flyball.get("events")["items"] if e["reason"] == "KEDAScalerInfo"], 8)[0]
    assert event["type"] == "Warning" and event["message"].endswith("its metadata: groupByNodes")
    assert ready(flyball)["status"] == "True"


def metrics(f):
    with urllib.request.urlopen(f.web + "/metrics", timeout=5) as r:
        return r.read().decode()


def test_what_is_asked_is_counted_by_kedas_names(flyball, pages):
    f = flyball
    pages.pages = {"/json": '{"load": 6}'}
    trigger = metrics_api(pages.url + "/json", "load") | {"name": "queue"}
    create(f, deployment("web", 1), *key_objects(), scaledobject(trigger))
    wait_for("three for six", lambda: replicas(f) == 3, 10)
    labels = 'namespace="default",scaled_resource="web",scaler="metrics-api",trigger_name="queue",metric_name="s0-metric-api-load"'
    text = metrics(f)
    assert f'keda_scaler_http_requests_total{{{labels},status_code="200"}} ' in text
    assert 'keda_scaler_http_request_duration_seconds_bucket{scaler="metrics-api",status_code="200",le="+Inf"} ' in text
    assert 'keda_scaler_metrics_latency_seconds{metric="s0-metric-api-load",namespace="default",scaledObject="web",scaler="queue",' in text
    pages.pages.clear()  # it hangs up
    wait_for("an error is counted", lambda: f'keda_scaler_http_requests_total{{{labels},status_code="error"}} ' in metrics(f), 8)
    r = subprocess.run(["promtool", "check", "metrics"], input=metrics(f), capture_output=True, text=True,
                       env={"PATH": str(PEERS / "usr/bin")})
    assert "parse" not in r.stderr and "error while" not in r.stderr, r.stderr
