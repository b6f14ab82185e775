# SPDX-License-Identifier: Apache-2.0
"""A prometheus trigger on a server that does not behave: the count stays, and condition and event say what is wrong
and what to do. There is no real Prometheus that misbehaves on demand, so a small server on loopback plays it."""
import datetime
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest
import yaml

from conftest import wait_for


def vector(*values):
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": [
        {"metric": {"pod": f"p{i}"}, "value": [1, v]} for i, v in enumerate(values)]}}).encode()


class Server:
    """Answers every GET as `reply(handler)` says, and remembers what was asked."""

    def __init__(self, port=0, tls=None):
        outer = self
        self.asked, self.reply = [], lambda h: h.send(200, vector("6"))
        self.released = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.append((self.path, dict(self.headers)))
                try:
                    outer.reply(self)
                except OSError:
                    self.close_connection = True

            def send(self, status, body, **headers):
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *a: None
        self.scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
            self.scheme = "https"
        self.url = f"{self.scheme}://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.released.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server():
    s = Server()
    yield s
    s.close()


@pytest.fixture
def decoy():
    """Somebody else's server, where only a program that mixes up addresses would look."""
    s = Server(8080)
    s.reply = lambda h: h.send(200, vector("100"))
    yield s
    s.close()
    assert s.asked == []


def scaledobject(url, metric_type="AverageValue", **metadata):
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 1, "maxReplicaCount": 8,
                     "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}},
                     "triggers": [{"type": "prometheus", "metricType": metric_type, "metadata": {
                         "serverAddress": url, "query": "sum(load)", "threshold": "2", **metadata}}]}}


def deployment():
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
                     "template": {"metadata": {"labels": {"app": "web"}},
                                  "spec": {"containers": [{"name": "app", "image": "local/app", "command": ["sleep", "1000"]}]}}}}


def create(f, *objects):
    f.kubectl("create", "-f", "-", stdin="---\n".join(yaml.safe_dump(o) for o in objects))


def replicas(f):
    return f.get("deploy", "web")["spec"]["replicas"]


def condition(f, kind, name, which):
    return {c["type"]: c for c in f.get(kind, name)["status"]["conditions"]}[which]


def events(f, reason):
    return [e["message"] for e in f.get("events")["items"] if e["reason"] == reason]


def scale_to_three(f, server):
    create(f, deployment(), scaledobject(server.url))
    wait_for("three replicas from a server that is well", lambda: replicas(f) == 3, 10)
    wait_for("it is Ready", lambda: condition(f, "scaledobject", "web", "Ready")["status"] == "True", 5)



BAD = {
    # name: (reply, what is said, what to do)
    "429": (lambda h: h.send(429, b"slow down"), "HTTP 429", "raise pollingInterval"),
    "503": (lambda h: h.send(503, b"upstream"), "HTTP 503", "see its log"),
    "404": (lambda h: h.send(404, b"404 page not found"), "HTTP 404", "check serverAddress"),
    "401": (lambda h: h.send(401, b""), "HTTP 401", "credentials"),
    "status-error": (lambda h: h.send(200, json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error"}).encode()),
                     "bad_data: parse error", "try the query there"),
    "nan": (lambda h: h.send(200, vector("NaN")), "the value is NaN", "look at the query"),
    "inf": (lambda h: h.send(200, vector("+Inf")), "the value is infinite", "look at the query"),
    "html": (lambda h: h.send(200, b"<html><body>login</body></html>", **{"Content-Type": "text/html"}), "not JSON", "is that a Prometheus?"),
    "10MB": (lambda h: h.send(200, b" " * (10 << 20)), "over the limit", "put sum() around it"),
    "empty": (lambda h: h.send(200, vector()), "finds no series", "are they scraped"),
    "scalar": (lambda h: h.send(200, b'{"status":"success","data":{"resultType":"scalar","result":[1,"0"]}}'), "scalar", "vector()"),
    "cut": (lambda h: (h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), h.connection.shutdown(socket.SHUT_RDWR)),
            "closed before the answer was whole", "whether it runs"),
    "not-http": (lambda h: (h.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), h.connection.shutdown(socket.SHUT_RDWR)), "not HTTP", "is that a Prometheus?"),
    "redirect-loop": (lambda h: h.send(302, b"", Location="/again"), "stopped after 10 redirects", "check serverAddress"),
}


def test_each_bad_answer_holds_the_count_and_says_what_to_do(flyball, server, decoy):
    f = flyball
    scale_to_three(f, server)
    for name, (reply, says, todo) in BAD.items():
        server.reply = reply
        ready = wait_for(f"{name}: the condition says {says}", lambda: (lambda c: c if says in c["message"] else None)(
            condition(f, "scaledobject", "web", "Ready")), 6)
        assert (ready["status"], ready["reason"]) == ("False", "TriggerError"), (name, ready)
        assert todo in ready["message"], (name, ready)
        event = wait_for(f"{name}: an event", lambda: [m for m in events(f, "KEDAScalerFailed") if says in m], 5)[0]
        assert todo in event and "the count is held" in event
        assert replicas(f) == 3, name
    wait_for("the HPA says it too", lambda: condition(f, "hpa", "keda-hpa-web", "ScalingActive")["reason"] == "FailedGetExternalMetric", 5)
    assert "10 redirects" in f.kubectl("describe", "hpa", "keda-hpa-web").stdout
    server.reply = lambda h: h.send(200, vector("2"))
    wait_for("it goes on when the server is well again", lambda: replicas(f) == 1, 5)
    wait_for("and is Ready", lambda: condition(f, "scaledobject", "web", "Ready")["status"] == "True", 5)


def test_a_server_that_is_slow_or_gone_holds_the_count(flyball):
    f, server = flyball, Server()
    create(f, deployment(), scaledobject(server.url, timeout="500ms"))
    wait_for("three", lambda: replicas(f) == 3, 10)
    server.reply = lambda h: server.released.wait(30)
    ready = wait_for("slow", lambda: (lambda c: c if "no whole answer within 500 ms" in c["message"] else None)(
        condition(f, "scaledobject", "web", "Ready")), 6)
    assert "set timeout" in ready["message"]
    server.close()
    ready = wait_for("gone", lambda: (lambda c: c if "refused" in c["message"] else None)(
        condition(f, "scaledobject", "web", "Ready")), 6)
    assert "check serverAddress, and whether it runs" in ready["message"]
    assert replicas(f) == 3
    again = Server(server.http.server_address[1])
    again.reply = lambda h: h.send(200, vector("9"))
    wait_for("back, and five replicas", lambda: replicas(f) == 5, 8)
    again.close()


def test_several_series_are_summed_for_an_average_and_refused_for_a_value(flyball, server):
    f = flyball
    server.reply = lambda h: h.send(200, vector("2", "4"))
    scale_to_three(f, server)
    f.kubectl("patch", "scaledobject", "web", "--type", "merge", "-p",
              json.dumps({"spec": {"triggers": scaledobject(server.url, "Value")["spec"]["triggers"]}}))
    ready = wait_for("refused", lambda: (lambda c: c if "2 series" in c["message"] else None)(
        condition(f, "scaledobject", "web", "Ready")), 6)
    assert "put sum() around it" in ready["message"]
    assert replicas(f) == 3


def test_an_empty_answer_is_zero_only_where_the_query_can_mean_that(flyball, server):
    f = flyball
    create(f, deployment(), scaledobject(server.url))
    wait_for("three", lambda: replicas(f) == 3, 10)
    # no pod of the target is Ready, nothing can have the series: 0. `sleep` has no probe, so it is Ready at once.
    wait_for("ready pods", lambda: f.get("deploy", "web")["status"].get("readyReplicas") == 3, 10)
    server.reply = lambda h: h.send(200, vector())
    wait_for("unknown", lambda: "finds no series" in condition(f, "scaledobject", "web", "Ready")["message"], 6)
    assert replicas(f) == 3
    f.kubectl("patch", "scaledobject", "web", "--type", "merge", "-p",
              json.dumps({"spec": {"triggers": scaledobject(server.url, query="sum(load) > 3")["spec"]["triggers"]}}))
    wait_for("a comparison may find nothing: 0", lambda: replicas(f) == 1, 8)


def test_pollinginterval_is_a_second_unless_given(flyball, server):
    f = flyball
    times = []
    server.reply = lambda h: (times.append(time.monotonic()), h.send(200, vector("6")))
    create(f, deployment(), scaledobject(server.url))
    wait_for("six questions, which would take KEDA two and a half minutes", lambda: len(times) >= 6, 15)
    # the second one comes at the trigger's place in the second; from it on the distances are whole, and whatever delays
    # one of them shortens the next by as much
    assert (times[5] - times[1]) / 4 > 0.7, times
    f.kubectl("patch", "scaledobject", "web", "--type", "merge", "-p", '{"spec":{"pollingInterval":3}}')
    times.clear()
    wait_for("two distances in a row of three seconds",
             lambda: len(times) >= 3 and times[-1] - times[-2] > 2 and times[-2] - times[-3] > 2, 20)


def test_the_request_is_kedas_and_redirects_are_followed_without_secrets(flyball, server):
    f, other = flyball, Server()
    server.reply = lambda h: h.send(307, b"", Location=f"{other.url.replace('127.0.0.1', 'localhost')}/moved?x=1")
    create(f, deployment(), scaledobject(server.url + "/prefix", namespace="team", queryParameters="a=b c,d=e",
                                         customHeaders="X-Scope-OrgID=me,Authorization=Bearer t"))
    wait_for("three, by the other server", lambda: replicas(f) == 3, 10)
    path, headers = server.asked[0]
    url = urllib.parse.urlsplit(path)
    query = urllib.parse.parse_qs(url.query)
    assert url.path == "/prefix/api/v1/query"
    assert (query["query"], query["namespace"], query["a"], query["d"]) == (["sum(load)"], ["team"], ["b c"], ["e"])
    asked = datetime.datetime.strptime(query["time"][0], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    assert abs(asked.timestamp() - time.time()) < 30
    assert headers["X-Scope-OrgID"] == "me" and headers["Authorization"] == "Bearer t"
    path, headers = other.asked[0]
    assert path == "/moved?x=1" and headers["X-Scope-OrgID"] == "me" and "Authorization" not in headers
    other.close()


@pytest.fixture
def certificate(tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=prometheus", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
                   check=True, capture_output=True)
    return cert, key


def test_a_certificate_nobody_vouches_for_is_refused_until_told_otherwise(flyball, certificate):
    f, server = flyball, Server(tls=certificate)
    create(f, deployment(), scaledobject(server.url))
    ready = wait_for("refused", lambda: (lambda c: c if "certificate" in c["message"] else None)(
        condition(f, "scaledobject", "web", "Ready")), 8)
    assert "unsafeSsl" in ready["message"]
    assert replicas(f) == 1 and server.asked == []
    f.kubectl("patch", "scaledobject", "web", "--type", "merge", "-p",
              json.dumps({"spec": {"triggers": scaledobject(server.url, unsafeSsl="true")["spec"]["triggers"]}}))
    wait_for("three", lambda: replicas(f) == 3, 8)
    server.close()


def test_bad_metadata_is_named(flyball):
    bad = [({"threshold": "x"}, "threshold"), ({"threshold": "0"}, "threshold"), ({"ignoreNullValues": "maybe"}, "ignoreNullValues"),
           ({"timeout": "-1s"}, "timeout"), ({"customHeaders": "a"}, "key=value"), ({"query": " "}, 'missing required parameter "query"'),
           ({"authModes": "bearer"}, '"bearerToken" in [authParams]'), ({"authModes": "digest"}, "authModes: only apiKey, basic")]
    create(flyball, deployment())
    for metadata, says in bad:
        create(flyball, scaledobject("http://127.0.0.1:1", **metadata))
        ready = wait_for("the condition", lambda: condition(flyball, "scaledobject", "web", "Ready"), 8)
        assert ready["reason"] == "ScaledObjectCheckFailed" and says in ready["message"], ready
        flyball.kubectl("delete", "scaledobject", "web")
