# SPDX-License-Identifier: Apache-2.0
"""What the measuring scripts share: one flyball on free loopback ports, its API watched with our own clock."""
import base64
import http.client
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import tempfile
import threading
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = os.environ.get("FLYBALL_BIN", str(ROOT / "build" / "flyball"))
TUTORIAL = ROOT / "tests" / "data" / "tutorial" / "prometheus.yaml"


class Flyball:
    def __enter__(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.dir = os.path.join(self.tmp.name, "data")
        self.log = open(os.path.join(self.tmp.name, "log"), "ab")
        self.process = subprocess.Popen(
            [BIN, "up", "--data-dir", self.dir, "--api-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0",
             "--web-listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0", "--scaler-listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=self.log, text=True)
        if not any(line.strip() == "ready" for line in self.process.stdout):
            raise SystemExit("flyball up did not become ready")
        text = subprocess.run([BIN, "env", "--data-dir", self.dir], capture_output=True, text=True, check=True).stdout
        self.env = dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", text, re.M))
        config = yaml.safe_load(open(self.env["KUBECONFIG"]))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.api = cluster["server"].split("//")[1]
        self.headers = {"Content-Type": "application/json"}
        self.tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        if "token" in user:
            self.headers["Authorization"] = "Bearer " + user["token"]
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.log.close()
        self.tmp.cleanup()

    def connect(self):
        return http.client.HTTPSConnection(self.api, context=self.tls, timeout=60)

    def call(self, method, path, body=None):
        c = self.connect()
        c.request(method, path, json.dumps(body) if body else None, self.headers)
        r = c.getresponse()
        answer = json.loads(r.read() or b"{}")
        c.close()
        if r.status >= 400:
            raise SystemExit(f"{method} {path}: {answer.get('message')}")
        return answer

    def apply_tutorial(self, namespace):
        if namespace != "default":
            self.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        isvc = yaml.safe_load(TUTORIAL.read_text())
        self.call("POST", f"/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices", isvc)
        path = f"/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices/{isvc['metadata']['name']}"
        end = time.monotonic() + 20
        while time.monotonic() < end:
            status = self.call("GET", path).get("status", {})
            if any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])):
                return status["url"].split("//")[1]
            time.sleep(0.02)
        raise SystemExit("the InferenceService did not become Ready")

    def no_pods(self, namespace):
        end = time.monotonic() + 60
        while self.call("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]:
            if time.monotonic() > end:
                raise SystemExit(f"{namespace}: its pods do not end")
            time.sleep(0.02)

    def gateway(self):
        return http.client.HTTPConnection(self.env["INGRESS_HOST"], int(self.env["INGRESS_PORT"]), timeout=60)


class Watch(threading.Thread):
    """Calls fn(object, time) for every change; time is this process' monotonic clock when the line was whole."""

    def __init__(self, flyball, path, fn):
        super().__init__(daemon=True)
        self.flyball, self.path, self.fn = flyball, path, fn
        self.connection = flyball.connect()
        self.connection.request("GET", path + "?watch=true", None, flyball.headers)
        self.answer = self.connection.getresponse()
        self.start()

    def run(self):
        try:
            for line in self.answer:
                now = time.monotonic()
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    self.fn(event["object"], now)
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            pass

    def close(self):
        try:
            self.connection.sock.shutdown(2)
        except (OSError, AttributeError):
            pass


def percentile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]
