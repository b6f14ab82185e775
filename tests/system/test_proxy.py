# SPDX-License-Identifier: Apache-2.0
"""Triggers that ask through Debian's tinyproxy, as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say. The server is named by the
machine's own name, since a loopback address never goes through a proxy."""
import http.server
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
import yaml

from conftest import wait_for

HOST = socket.gethostname()
PASSWORD = "proxy-word-6d1b"
TINYPROXY = shutil.which("tinyproxy") or "/usr/sbin/tinyproxy"


class Page:
    """One page, {"load": N}, and how the requests for it looked."""

    def __init__(self, load, tls=None):
        outer = self
        self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                body = json.dumps({"load": load}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *a: None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.port = self.http.server_address[1]
        self.url = f"{'https' if tls else 'http'}://{HOST}:{self.port}/page"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class Proxy:
    def __init__(self, directory):
        self.log = directory / "proxy.log"
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        (directory / "proxy.conf").write_text(
            f'Port {self.port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 20\nLogFile "{self.log}"\n'
            f"LogLevel Connect\nBasicAuth me {PASSWORD}\n")
        self.process = subprocess.Popen([TINYPROXY, "-d", "-c", str(directory / "proxy.conf")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("tinyproxy listens", lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() or True)

    def requests(self):
        """Request lines, as it logged them."""
        return re.findall(r"Request \(file descriptor \d+\): (.*)", self.log.read_text())

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def proxy(tmp_path):
    p = Proxy(tmp_path)
    yield p
    p.close()


@pytest.fixture
def page():
    p = Page(6)
    yield p
    p.close()


@pytest.fixture
def start(flyball_factory, monkeypatch):
    """flyball up with these variables, which nobody else here is to see."""

    def up(**variables):
        with monkeypatch.context() as m:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
                m.delenv(name, raising=False)
            for name, value in variables.items():
                m.setenv(name, value)
            return flyball_factory()

    return up


def objects(url, **more):
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                  "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
                           "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                               {"name": "app", "image": "local/app", "command": ["sleep", "1000"]}]}}}}
    so = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"},
          "spec": {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 1, "maxReplicaCount": 8, "triggers": [
              {"type": "metrics-api", "metadata": {"url": url, "valueLocation": "load", "targetValue": "2"}, **more}]}}
    return [deployment, so]


def create(f, objects):
    f.kubectl("apply", "-f", "-", stdin="---\n".join(yaml.safe_dump(o) for o in objects))


def replicas(f):
    return f.get("deploy", "web")["spec"]["replicas"]


def wait_told(f, says):
    def told():
        message = {c["type"]: c for c in f.get("scaledobject", "web")["status"]["conditions"]}["Ready"]["message"]
        return message if says in message else None
    return wait_for(f"it says {says}", told, 10)


def test_http_goes_through_the_proxy_with_its_password_and_only_to_whom_it_should(start, proxy, page):
    f = start(HTTP_PROXY=f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}", NO_PROXY="10.0.0.0/8,example.com")
    create(f, objects(page.url))
    wait_for("three for six", lambda: replicas(f) == 3, 10)
    assert f"GET {page.url} HTTP/1.1" in proxy.requests()
    path, headers = page.seen[-1]
    assert path == "/page" and headers["host"] == f"{HOST}:{page.port}" and "proxy-authorization" not in headers
    through = len(proxy.requests())
    create(f, objects(page.url.replace(HOST, "127.0.0.1")))
    before = len(page.seen)
    wait_for("two more questions", lambda: len(page.seen) >= before + 2, 10)
    wait_for("none of them through the proxy", lambda: page.seen[-1][1]["host"] == f"127.0.0.1:{page.port}", 5)
    assert all("127.0.0.1" not in line for line in proxy.requests()[through:])


def test_who_is_in_no_proxy_is_asked_directly(start, proxy, page):
    f = start(http_proxy=f"127.0.0.1:{proxy.port}", no_proxy=f"other, {HOST}:{page.port}")
    create(f, objects(page.url))
    wait_for("three for six", lambda: replicas(f) == 3, 10)
    assert proxy.requests() == []


def test_https_goes_through_a_tunnel_and_the_servers_certificate_is_checked(start, proxy, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(tmp_path / "key.pem"),
                    "-out", str(tmp_path / "cert.pem")], check=True, capture_output=True)
    page = Page(8, (tmp_path / "cert.pem", tmp_path / "key.pem"))
    f = start(HTTPS_PROXY=f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}")
    create(f, objects(page.url))
    wait_told(f, "give its CA as parameter ca")
    create(f, [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"},
                "stringData": {"ca": (tmp_path / "cert.pem").read_text()}},
               {"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": {"name": "tls"},
                "spec": {"secretTargetRef": [{"parameter": "ca", "name": "tls", "key": "ca"}]}},
               *objects(page.url, authenticationRef={"name": "tls"})])
    wait_for("four for eight", lambda: replicas(f) == 4, 10)
    assert set(proxy.requests()) == {f"CONNECT {HOST}:{page.port} HTTP/1.1"}
    assert "proxy-authorization" not in page.seen[-1][1]
    asked = len(page.seen)
    tunnels = len(proxy.requests())
    wait_for("three more questions", lambda: len(page.seen) >= asked + 3, 10)
    assert len(proxy.requests()) - tunnels < 3 # an open tunnel is used again
    page.close()


@pytest.mark.parametrize("scheme,user,says", [("http", "", "the proxy wants USER:PASSWORD@ in HTTP_PROXY"),
                                              ("https", "", "HTTP 407 to CONNECT; put USER:PASSWORD@ into HTTPS_PROXY"),
                                              ("https", f"me:wrong-{PASSWORD}@", "it answered HTTP 401 to CONNECT")])
def test_a_proxy_that_refuses_or_is_gone_is_told(start, proxy, page, scheme, user, says):
    f = start(**{f"{scheme.upper()}_PROXY": f"http://{user}127.0.0.1:{proxy.port}"})
    create(f, objects(page.url.replace("http:", scheme + ":")))
    wait_told(f, says)
    assert page.seen == [] and replicas(f) == 1
    proxy.close()
    message = wait_told(f, f"the proxy: connect to 127.0.0.1:{proxy.port}: connection refused; check HTTP_PROXY")
    assert PASSWORD not in message
    assert PASSWORD not in f.kubectl("get", "events", "-o", "yaml").stdout + f.log_path.read_text()


def test_a_proxy_that_cannot_be_used_is_told_in_the_log_and_left_out(start, page):
    f = start(HTTP_PROXY="socks5://127.0.0.1:1")
    assert "triggers ask without any proxy: HTTP_PROXY is not http://" in f.log_path.read_text()
    create(f, objects(page.url))
    wait_for("three for six", lambda: replicas(f) == 3, 10)
