# SPDX-License-Identifier: Apache-2.0
"""TriggerAuthentications against Debian's Prometheus: basic and bearer authentication, TLS client certificates, and what
is said when one of them is wrong. No secret stands in anything that the program tells."""
import base64
import crypt
import http.server
import json
import pathlib
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import kubernetes.client
import kubernetes.config
import pytest
import yaml

from conftest import FLYBALL, PEERS, wait_for

PASSWORD, TOKEN, OTHER = "correct-horse-7f3a", "bearer-token-91c2e", "wrong-battery-staple"


def deployment(env=()):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
                     "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                         {"name": "app", "image": "local/app", "command": ["sleep", "1000"], "env": list(env)}]}}}}


def scaledobject(url, kind="TriggerAuthentication", value=6, **metadata):
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 1, "maxReplicaCount": 8,
                     "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}},
                     "triggers": [{"type": "prometheus", "authenticationRef": {"name": "prom", "kind": kind}, "metadata": {
                         "serverAddress": url, "query": f"vector({value})", "threshold": "2", **metadata}}]}}


def secret(name="prom", **data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def authentication(*parameters, kind="TriggerAuthentication", **more):
    return {"apiVersion": "keda.sh/v1alpha1", "kind": kind, "metadata": {"name": "prom"}, "spec": {
        "secretTargetRef": [{"parameter": p, "name": "prom", "key": p} for p in parameters], **more}}


def create(f, *objects):
    f.kubectl("apply", "-f", "-", stdin="---\n".join(yaml.safe_dump(o) for o in objects))


def replicas(f):
    return f.get("deploy", "web")["spec"]["replicas"]


def ready(f):
    return {c["type"]: c for c in f.get("scaledobject", "web")["status"]["conditions"]}["Ready"]


def wait_ready(f, says, timeout=8):
    return wait_for(f"the condition says {says}", lambda: (lambda c: c if says in c["message"] else None)(ready(f)), timeout)


def set_value(f, url, value, **metadata):
    """The same trigger with another query: what the count follows next."""
    f.kubectl("patch", "scaledobject", "web", "--type", "merge", "-p",
              json.dumps({"spec": {"triggers": scaledobject(url, value=value, **metadata)["spec"]["triggers"]}}))


def events(f, reason):
    return [e["message"] for e in f.get("events")["items"] if e["reason"] == reason]


class Pki:
    """A CA of openssl, and certificates under it with any dates."""

    def __init__(self, directory):
        self.dir = directory
        directory.mkdir()
        (directory / "index.txt").touch()
        (directory / "serial").write_text("01\n")
        (directory / "ca.cnf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndir=%s\ndatabase=$dir/index.txt\nserial=$dir/serial\nnew_certs_dir=$dir\n"
            "default_md=sha256\npolicy=p\nunique_subject=no\ncopy_extensions=copy\n[p]\ncommonName=supplied\n" % directory)
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                     "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")

    def openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=self.dir)

    def leaf(self, name, days=1):
        """days < 0: it has expired."""
        start, end = time.time() - 86400 * 10, time.time() + 86400 * days
        stamp = lambda t: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(t))
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                     "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.openssl("ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-startdate", stamp(start),
                     "-enddate", stamp(end), "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext")
        return self.dir / f"{name}.pem", self.dir / f"{name}.key"

    def text(self, name):
        return (self.dir / name).read_text()


class Prometheus:
    """Debian's Prometheus with a --web.config.file."""

    def __init__(self, directory, web):
        self.dir = directory
        directory.mkdir()
        (directory / "config.yml").write_text("{}\n")
        (directory / "web.yml").write_text(yaml.safe_dump(web))
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.scheme = "https" if "tls_server_config" in web else "http"
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [str(PEERS / "usr/bin/prometheus"), f"--config.file={self.dir}/config.yml", f"--storage.tsdb.path={self.dir}/data",
             f"--web.config.file={self.dir}/web.yml", f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"],
            stdout=subprocess.DEVNULL, stderr=open(self.dir / "log", "ab"))
        wait_for("Prometheus listens", self.listens, 20)
        return self

    def listens(self):
        if self.process.poll() is not None:
            raise AssertionError((self.dir / "log").read_text())
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


class Gate:
    """A reverse proxy that lets through who has the bearer token, as an OAuth proxy does: Prometheus itself cannot."""

    def __init__(self, upstream, tls=None):
        outer = self
        self.status = None
        self.seen, self.clients = [], set()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.seen.append(dict(self.headers))
                outer.clients.add(self.client_address)
                status, body = outer.status, b"the token " + (self.headers.get("Authorization") or "").encode() + b" is none"
                if not status and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    status = 401
                if not status:
                    with urllib.request.urlopen(upstream + self.path, timeout=5) as r:
                        status, body = r.status, r.read()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.http.server_address[1]}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(autouse=True)
def talkative(monkeypatch):
    """What is not told at level debug is told at none."""
    monkeypatch.setenv("FLYBALL_LOG", "debug")


@pytest.fixture
def make_prometheus(tmp_path):
    running = []

    def make(web, name="prometheus"):
        p = Prometheus(tmp_path / name, web)
        running.append(p)
        return p.start()

    yield make
    for p in running:
        p.stop()


def everything_told(f):
    """All that the program says where no secret may stand: logs, explain, metrics, and every object that is no Secret."""
    texts = {"log": f.log_path.read_text(errors="replace")}
    for path in ("/metrics", "/explain"):
        with urllib.request.urlopen(f.web + path, timeout=5) as r:
            texts[path] = r.read().decode()
    for args in ([], ["scaledobject", "web", "-o", "json"], ["hpa"]):
        texts["explain " + " ".join(args)] = subprocess.run([str(FLYBALL), "explain", *args, "--data-dir", str(f.data_dir)],
                                                            capture_output=True, text=True).stdout
    kinds = f.kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
    for kind in kinds:
        if kind not in ("secrets",):
            texts[kind] = f.kubectl("get", kind, "-A", "-o", "json", check=False).stdout
    for what in ("scaledobject", "hpa", "triggerauthentication", "clustertriggerauthentication", "events"):
        texts["describe " + what] = f.kubectl("describe", what, "-A", check=False).stdout
    return texts


def assert_untold(f, *secrets):
    shapes = {}
    for s in secrets:
        shapes |= {s: s, base64.b64encode(s.encode()).decode(): s, urllib.parse.quote(s): s}
    texts = everything_told(f)
    assert len(texts) > 20
    for where, text in texts.items():
        for shape, s in shapes.items():
            assert shape not in text, f"{s} stands in {where}"


def test_basic_authentication_wrong_then_right_and_a_rotation_is_used_at_once(flyball, make_prometheus):
    f = flyball
    hashed = crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=1 << 4))
    p = make_prometheus({"basic_auth_users": {"keda": hashed}})
    create(f, deployment(), secret(username="keda", password=OTHER), authentication("username", "password"),
           scaledobject(p.url, authModes="basic"))
    message = wait_ready(f, "HTTP 401")["message"]
    assert "check authModes and the credentials" in message
    wait_for("the event", lambda: [m for m in events(f, "KEDAScalerFailed") if "HTTP 401" in m], 5)
    assert replicas(f) == 1
    create(f, secret(username="keda", password=PASSWORD))
    wait_for("three replicas by the new password, without a change of the ScaledObject", lambda: replicas(f) == 3, 4)
    wait_for("it is Ready", lambda: ready(f)["status"] == "True", 4)
    create(f, secret(username="keda", password=OTHER + "2"))
    wait_ready(f, "HTTP 401", 4)
    assert replicas(f) == 3
    f.kubectl("delete", "secret", "prom")
    message = wait_ready(f, "missing required parameter", 4)["message"]
    assert '"username" in [authParams]' in message and "there is no secret 'default/prom'" in message
    assert replicas(f) == 3
    assert_untold(f, PASSWORD, OTHER, OTHER + "2", f"keda:{PASSWORD}", f"keda:{OTHER}", hashed)


def test_a_secret_that_comes_after_the_scaledobject_makes_it_work_at_once(flyball, make_prometheus):
    f = flyball
    p = make_prometheus({"basic_auth_users": {"keda": crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=1 << 4))}})
    create(f, deployment(), scaledobject(p.url, authModes="basic"))
    c = wait_ready(f, "there is no TriggerAuthentication 'default/prom'")
    assert c["reason"] == "ScaledObjectCheckFailed" and f.get("hpa")["items"] == []
    create(f, authentication("username", "password"))
    wait_ready(f, "there is no secret 'default/prom'", 3)
    create(f, secret(username="keda", password=PASSWORD))
    wait_for("three replicas", lambda: replicas(f) == 3, 5)
    assert_untold(f, PASSWORD)


def test_a_bearer_token_and_a_gate_that_says_429_and_503(flyball, make_prometheus):
    f = flyball
    gate = Gate(make_prometheus({}).url)
    create(f, deployment(), secret(token=TOKEN), authentication("token"), scaledobject(gate.url, authModes="bearer"))
    wait_for("three replicas", lambda: replicas(f) == 3, 10)
    for status, todo in ((429, "raise pollingInterval"), (503, "see its log")):
        gate.status = status
        assert todo in wait_ready(f, f"HTTP {status}", 5)["message"]
        assert wait_for("an event", lambda: [m for m in events(f, "KEDAScalerFailed") if f"HTTP {status}" in m and "the count is held" in m], 5)
        assert replicas(f) == 3
    gate.status = None
    wait_for("it is well again", lambda: ready(f)["status"] == "True", 5)
    set_value(f, gate.url, 10, authModes="bearer")
    wait_for("five", lambda: replicas(f) == 5, 5)
    create(f, secret(token=OTHER))
    assert "check authModes and the credentials" in wait_ready(f, "HTTP 401", 5)["message"]
    assert replicas(f) == 5
    gate.close()
    assert_untold(f, TOKEN, OTHER)


def test_tls_client_authentication_and_certificates_that_are_wrong(flyball, make_prometheus, tmp_path):
    f, pki = flyball, Pki(tmp_path / "pki")
    other = Pki(tmp_path / "other")
    for name in ("server", "client"):
        pki.leaf(name)
    pki.leaf("late", days=-1)
    other.leaf("stranger")
    web = {"tls_server_config": {"cert_file": str(pki.dir / "server.pem"), "key_file": str(pki.dir / "server.key"),
                                 "client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": str(pki.dir / "ca.pem")}}
    p = make_prometheus(web)
    client = {"cert": pki.text("client.pem"), "key": pki.text("client.key"), "ca": pki.text("ca.pem")}
    create(f, deployment(), secret(**client), authentication("cert", "key", "ca"), scaledobject(p.url, authModes="tls"))
    wait_for("three replicas", lambda: replicas(f) == 3, 10)
    cases = [({"cert": other.text("stranger.pem"), "key": other.text("stranger.key")}, "certificate", "another client certificate"),
             ({"cert": pki.text("late.pem"), "key": pki.text("late.key")}, "certificate", "another client certificate"),
             ({"ca": other.text("ca.pem")}, "server's certificate is not accepted", "parameter ca"),
             ({"key": other.text("stranger.key")}, "ca, cert or key cannot be used", "key"),
             ({"cert": "no PEM at all"}, "ca, cert or key cannot be used", "PEM expected")]
    for change, says, todo in cases:
        create(f, secret(**(client | change)))
        c = wait_for(f"it says {says} and {todo}", lambda: (lambda c: c if says in c["message"] and todo in c["message"] else None)(ready(f)), 6)
        assert c["status"] == "False" and c["reason"] == "TriggerError", c
        assert replicas(f) == 3
        create(f, secret(**client))
        wait_for("it is well again", lambda: ready(f)["status"] == "True", 6)
    set_value(f, p.url, 2, authModes="tls")
    wait_for("one", lambda: replicas(f) == 1, 6)
    keys = [line for k in (client["key"], other.text("stranger.key")) for line in k.splitlines() if not line.startswith("-")]
    assert_untold(f, *keys)


def test_a_server_whose_certificate_has_expired(flyball, make_prometheus, tmp_path):
    f, pki = flyball, Pki(tmp_path / "pki")
    cert, key = pki.leaf("server", days=-1)
    p = make_prometheus({"tls_server_config": {"cert_file": str(cert), "key_file": str(key)}})
    create(f, deployment(), secret(ca=pki.text("ca.pem")), authentication("ca"), scaledobject(p.url))
    c = wait_ready(f, "certificate has expired")
    assert "renew the server's certificate" in c["message"] and replicas(f) == 1
    wait_for("the event", lambda: [m for m in events(f, "KEDAScalerFailed") if "has expired" in m], 5)
    set_value(f, p.url, 6, unsafeSsl="true")
    wait_for("three replicas, as the user insists", lambda: replicas(f) == 3, 5)


def test_a_custom_header_from_an_environment_variable_and_a_configmap(flyball, make_prometheus):
    f = flyball
    gate = Gate(make_prometheus({}).url)
    env = [{"name": "WORD", "value": TOKEN}, {"name": "HEADER", "value": "Bearer $(WORD)"}]
    create(f, deployment(env), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "names"}, "data": {"header": "Authorization\n"}},
           authentication(env=[{"parameter": "customAuthValue", "name": "HEADER"}],
                          configMapTargetRef=[{"parameter": "customAuthHeader", "name": "names", "key": "header"}]),
           scaledobject(gate.url, authModes="custom", customHeaders="X-Scope-OrgID=me"))
    wait_for("three replicas", lambda: replicas(f) == 3, 10)
    assert gate.seen[-1]["X-Scope-OrgID"] == "me"
    f.kubectl("set", "env", "deploy/web", "WORD=" + OTHER)
    wait_ready(f, "HTTP 401", 5)
    gate.close()


def test_the_kind_of_the_cluster_its_columns_events_and_who_uses_it(flyball, make_prometheus):
    f = flyball
    gate = Gate(make_prometheus({}).url)
    f.kubectl("create", "secret", "generic", "prom", "-n", "keda", "--from-literal=token=" + TOKEN)
    create(f, deployment(), authentication("token", kind="ClusterTriggerAuthentication"),
           scaledobject(gate.url, kind="ClusterTriggerAuthentication", authModes="bearer"))
    wait_for("three replicas", lambda: replicas(f) == 3, 10)
    cta = wait_for("who uses it", lambda: (lambda o: o if o.get("status", {}).get("scaledobjects") == "web" else None)(
        f.get("clustertriggerauthentication", "prom")), 5)
    assert cta["metadata"]["finalizers"] == ["finalizer.keda.sh"]
    lines = f.kubectl("get", "cta", "-o", "wide").stdout.splitlines()
    assert lines[0].split() == ["NAME", "PODIDENTITY", "SECRET", "ENV", "FILEPATH", "VAULTADDRESS", "SCALEDOBJECTS", "SCALEDJOBS"]
    assert lines[1].split() == ["prom", "prom", "web"]
    f.kubectl("patch", "cta", "prom", "--type", "merge", "-p", json.dumps({"spec": {"secretTargetRef": [
        {"parameter": "token", "name": "none", "key": "token"}]}}))
    assert "there is no secret 'keda/none'" in wait_ready(f, "missing required parameter", 4)["message"]
    f.kubectl("delete", "cta", "prom")
    wait_ready(f, "there is no ClusterTriggerAuthentication 'prom'", 4)
    reasons = {e["reason"] for e in f.get("events")["items"]}
    assert {"ClusterTriggerAuthenticationAdded", "ClusterTriggerAuthenticationUpdated", "ClusterTriggerAuthenticationDeleted"} <= reasons
    assert replicas(f) == 3
    f.kubectl("delete", "scaledobject", "web")
    create(f, deployment(), secret(token=TOKEN), authentication("token"), scaledobject(gate.url, authModes="bearer"))
    wait_for("who uses it", lambda: f.get("ta", "prom").get("status", {}).get("scaledobjects") == "web", 5)
    f.kubectl("delete", "scaledobject", "web")
    wait_for("nobody", lambda: "scaledobjects" not in f.get("ta", "prom").get("status", {}), 5)
    assert f.kubectl("get", "ta").stdout.splitlines()[0].split() == ["NAME", "PODIDENTITY", "SECRET", "ENV", "VAULTADDRESS"]
    gate.close()


def test_a_typo_in_a_triggerauthentication_is_told(flyball):
    bad = authentication("token")
    bad["spec"]["secretTargetRefs"] = []
    r = flyball.kubectl("create", "-f", "-", stdin=yaml.safe_dump(bad), check=False)
    assert "secretTargetRefs" in r.stdout + r.stderr, r
    assert "FIELDS" in flyball.kubectl("explain", "triggerauthentication.spec").stdout


def test_a_file_below_the_root_is_a_source_of_the_clusters_kind(flyball_factory, make_prometheus, tmp_path):
    root = tmp_path / "parameters"
    root.mkdir()
    (root / "prom.json").write_text(json.dumps({"token": TOKEN}))
    f = flyball_factory(args=["--filepath-auth-root-path", str(root)])
    gate = Gate(make_prometheus({}).url)
    create(f, deployment(), {"apiVersion": "keda.sh/v1alpha1", "kind": "ClusterTriggerAuthentication", "metadata": {"name": "prom"},
                             "spec": {"filePath": "../parameters/prom.json"}},
           scaledobject(gate.url, kind="ClusterTriggerAuthentication", authModes="bearer"))
    wait_ready(f, "without '..'")
    f.kubectl("patch", "cta", "prom", "--type", "merge", "-p", json.dumps({"spec": {"filePath": "prom.json"}}))
    wait_for("three replicas", lambda: replicas(f) == 3, 10)
    gate.close()
    assert_untold(f, TOKEN)


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_a_token_of_a_serviceaccount_is_issued_sent_and_can_be_checked(flyball, make_prometheus):
    f = flyball
    gate = Gate(make_prometheus({}).url)
    gate.status = 200
    create(f, deployment(), authentication(boundServiceAccountToken=[{"parameter": "token", "serviceAccountName": "reader"}]),
           scaledobject(gate.url, authModes="bearer"))
    assert "no token of service account 'default/reader': it does not exist" in wait_ready(f, "missing required parameter")["message"]
    f.kubectl("create", "serviceaccount", "reader")
    sent = wait_for("a token is sent", lambda: gate.seen[-1]["Authorization"].removeprefix("Bearer "), 5)
    uid = f.get("serviceaccount", "reader")["metadata"]["uid"]
    c = claims(sent)
    assert c["sub"] == "system:serviceaccount:default:reader" and c["exp"] - c["iat"] == 3600
    assert c["kubernetes.io"]["serviceaccount"] == {"name": "reader", "uid": uid}
    review = lambda token: json.loads(f.kubectl("create", "--raw", "/apis/authentication.k8s.io/v1/tokenreviews", "-f", "-", stdin=json.dumps(
        {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}})).stdout)["status"]
    assert review(sent)["authenticated"] is True and review(sent)["user"]["username"] == c["sub"]
    assert review(sent[:-4] + "AAAA")["authenticated"] is False
    f.kubectl("delete", "serviceaccount", "reader")
    assert review(sent)["authenticated"] is False
    gate.close()
    assert_untold(f, sent)


def test_a_token_is_asked_for_as_kubectl_does_and_any_openid_client_can_check_it(flyball, tmp_path):
    f = flyball
    f.kubectl("create", "serviceaccount", "robot")
    ask = lambda spec, check=True: f.kubectl("create", "--raw", "/api/v1/namespaces/default/serviceaccounts/robot/token", "-f", "-",
                                             stdin=json.dumps({"spec": spec}), check=check)
    got = json.loads(ask({"audiences": ["prometheus"], "expirationSeconds": 1200}).stdout)
    assert got["kind"] == "TokenRequest" and got["spec"]["expirationSeconds"] == 1200
    token = got["status"]["token"]
    assert claims(token)["aud"] == ["prometheus"]
    assert "less than 10 minutes" in ask({"expirationSeconds": 10}, check=False).stderr
    assert "robot2" in f.kubectl("create", "--raw", "/api/v1/namespaces/default/serviceaccounts/robot2/token", "-f", "-",
                                 stdin="{}", check=False).stderr
    key = json.loads(f.kubectl("get", "--raw", "/openid/v1/jwks").stdout)["keys"][0]
    assert_signed_by(key, token, tmp_path)
    kubernetes.config.load_kube_config(f.env["KUBECONFIG"])
    asked = kubernetes.client.AuthenticationV1TokenRequest(spec=kubernetes.client.V1TokenRequestSpec(audiences=["official"]))
    answer = kubernetes.client.CoreV1Api().create_namespaced_service_account_token("robot", "default", asked)
    assert claims(answer.status.token)["aud"] == ["official"]
    r = subprocess.run(["curl", "-sk", "-H", "Authorization: Bearer " + token, f"{server_of(f)}/api/v1/pods"], capture_output=True, text=True)
    assert json.loads(r.stdout)["code"] == 403 and "system:serviceaccount:default:robot" in r.stdout


def server_of(f):
    return yaml.safe_load(pathlib.Path(f.env["KUBECONFIG"]).read_text())["clusters"][0]["cluster"]["server"]


def der_integer(number):
    number = number.lstrip(b"\0")
    if number[0] >= 128:
        number = b"\0" + number
    return bytes([2, len(number)]) + number


def assert_signed_by(key, token, directory):
    """With openssl, which knows nothing of ours."""
    def decode(text):
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    signed, signature = token.rsplit(".", 1)
    pair = der_integer(decode(signature)[:32]) + der_integer(decode(signature)[32:])
    # SubjectPublicKeyInfo of P-256, then the point
    spki = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004") + decode(key["x"]) + decode(key["y"])
    (directory / "key.der").write_bytes(spki)
    (directory / "signature").write_bytes(bytes([0x30, len(pair)]) + pair)
    (directory / "signed").write_bytes(signed.encode())
    for args in (["pkey", "-pubin", "-inform", "DER", "-in", "key.der", "-out", "key.pem"],
                 ["dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "signed"]):
        subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)


def test_many_triggers_of_one_user_share_connections_and_handshakes(flyball, make_prometheus, tmp_path):
    f, pki = flyball, Pki(tmp_path / "pki")
    gate = Gate(make_prometheus({}).url, tls=pki.leaf("server"))
    create(f, deployment(), secret(token=TOKEN, ca=pki.text("ca.pem")), authentication("token", "ca"))
    objects = []
    for i in range(8):
        d, so = deployment(), scaledobject(gate.url, value=f"2)+0*vector({i}", authModes="bearer")
        d["metadata"]["name"] = so["metadata"]["name"] = so["spec"]["scaleTargetRef"]["name"] = f"web{i}"
        d["spec"]["replicas"] = 0
        so["spec"]["minReplicaCount"] = 0
        objects += [d, so]
    create(f, *objects)
    wait_for("80 questions", lambda: len(gate.seen) > 80, 25)
    assert len(gate.clients) <= 16, len(gate.clients)
    gate.close()


def test_the_address_of_the_server_comes_from_the_targets_environment(flyball, make_prometheus):
    f, p = flyball, make_prometheus({})
    env = [{"name": "HOST", "value": f"127.0.0.1:{p.port}"}, {"name": "PROM", "value": "http://someone:anything-else-9d2@$(HOST)"}]
    so = scaledobject(p.url, serverAddressFromEnv="PROM")
    del so["spec"]["triggers"][0]["metadata"]["serverAddress"], so["spec"]["triggers"][0]["authenticationRef"]
    create(f, deployment(env), so)
    wait_for("three replicas", lambda: replicas(f) == 3, 10)
    p.stop()
    wait_ready(f, "whether it runs")
    # the pod's own environment shows it, as it would in any cluster
    told = {k: v for k, v in everything_told(f).items() if k not in ("pods", "deployments.apps", "replicasets.apps")}
    assert all("anything-else-9d2" not in text for text in told.values())


def test_an_inferenceservice_names_its_authentication_as_kserve_does(flyball, make_prometheus, tutorial_yaml):
    f = flyball
    gate = Gate(make_prometheus({}).url)
    isvc = next(o for o in yaml.safe_load_all(tutorial_yaml) if o["kind"] == "InferenceService")
    external = isvc["spec"]["predictor"]["autoScaling"]["metrics"][0]["external"]
    external["metric"] |= {"serverAddress": gate.url, "query": "vector(6)"}
    external["target"]["value"] = "2"
    external["authenticationRef"] = {"authModes": "bearer", "authenticationRef": {"name": "prom"}}
    create(f, secret(token=TOKEN), authentication("token"), isvc)
    name = isvc["metadata"]["name"] + "-predictor"
    so = wait_for("its ScaledObject", lambda: f.get("scaledobject", name), 10)
    assert so["spec"]["triggers"][0]["metadata"]["authModes"] == "bearer"
    assert so["spec"]["triggers"][0]["authenticationRef"] == {"name": "prom"}
    wait_for("three pods", lambda: f.get("deploy", name)["spec"]["replicas"] == 3, 15)
    gate.close()
    assert_untold(f, TOKEN)
