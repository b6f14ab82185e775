# SPDX-License-Identifier: Apache-2.0
"""kill -9 of flyball costs nothing: objects, processes, requests and exit codes outlive it. Only the control
process is killed; shims and pods are what has to survive."""
import http.client
import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import threading
import time

import pytest

from conftest import FLYBALL, wait_for

HOST = "huggingface-fbopt-default.example.com"
KINDS = ("isvc", "deployment", "replicaset", "pod", "service", "scaledobject", "hpa", "ingress")


def shims(data_dir):
    """{pod uid/container/attempt: (child, shim)} of every shim that lives."""
    found = {}
    for state in pathlib.Path(data_dir).glob("pods/*/*/*/state"):
        child, shim = map(int, state.read_text().split()[:2])
        if not (state.parent / "exit").exists() and os.path.exists(f"/proc/{shim}"):
            found["/".join(state.parts[-4:-1])] = (child, shim)
    return found


def processes_of(data_dir):
    """Pids of every shim of this directory, whatever its state file says."""
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = p.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"flyball-shim") and words[1].startswith(os.fsencode(str(data_dir))):
            found.append(int(p.parts[2]))
    return found


def uids(f):
    items = f.get(",".join(KINDS))["items"]
    return {(o["kind"], o["metadata"]["name"]): o["metadata"]["uid"] for o in items}


def post(addr, host, body, timeout=20):
    ip, port = addr.rsplit(":", 1)
    c = http.client.HTTPConnection(ip, int(port), timeout=timeout)
    try:
        c.request("POST", "/openai/v1/completions", json.dumps(body),
                  {"Host": host, "Content-Type": "application/json"})
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


def prompt(tokens, stream=False):
    return {"model": "fbopt", "prompt": "Write a poem about colors", "stream": stream, "max_tokens": tokens}


class Client(threading.Thread):
    """Talks to one pod itself: what happens to flyball must not be seen here."""

    def __init__(self, addr):
        super().__init__(daemon=True)
        self.addr, self.ended, self.answers, self.lost = addr, threading.Event(), 0, []

    def run(self):
        while not self.ended.is_set():
            try:
                status, body = post(self.addr, "pod", prompt(20, stream=True))
                if status == 200 and body.rstrip().endswith(b"data: [DONE]"):
                    self.answers += 1
                else:
                    self.lost.append((status, body[-80:]))
            except OSError as e:
                self.lost.append(repr(e))


def gateway(f):
    return f"{f.env['INGRESS_HOST']}:{f.env['INGRESS_PORT']}"


def gateway_answers(f):
    try:
        return post(gateway(f), HOST, prompt(1), timeout=2)[0] == 200
    except OSError:
        return False


def test_fifty_kills_change_nothing(flyball_factory, tutorial_yaml):
    seed = int(os.environ.get("FLYBALL_SEED", time.time_ns() % 1000000))
    rng = random.Random(seed)
    print(f"FLYBALL_SEED={seed}")
    f = flyball_factory()
    f.kubectl("apply", "-f", "-", stdin=tutorial_yaml)
    f.kubectl("wait", "--for=condition=Ready", "isvc/huggingface-fbopt", "--timeout=20s")
    pod = f.pods()[0]
    clients = [Client(f"{pod['status']['podIP']}:8080") for _ in range(5)]
    for c in clients:
        c.start()
    # five in flight, target 2 per replica
    wait_for("three ready pods", lambda: f.get("deployment")["items"][0]["status"].get("readyReplicas") == 3, 10)
    objects, running = uids(f), shims(f.data_dir)
    assert len(running) == 3
    slowest = 0
    try:
        for i in range(50):
            time.sleep(rng.uniform(0, 0.4))  # the random moment itself; nothing is waited for
            f.kill()
            f.start()
            began = time.monotonic()
            wait_for(f"kill {i}: the gateway answers", lambda: gateway_answers(f), 5, every=0.01)
            slowest = max(slowest, time.monotonic() - began)
            assert shims(f.data_dir) == running, f"kill {i}"
        assert uids(f) == objects
    finally:
        for c in clients:
            c.ended.set()
        for c in clients:
            c.join(30)
    assert [c.lost for c in clients if c.lost] == []
    assert all(c.answers > 10 for c in clients)
    assert [p["status"]["containerStatuses"][0]["restartCount"] for p in f.pods()] == [0, 0, 0]
    assert sorted(processes_of(f.data_dir)) == sorted(shim for _, shim in running.values())
    print(f"slowest first answer after a restart: {slowest:.3f} s")
    assert slowest < 1.0
    f.stop()
    assert processes_of(f.data_dir) == []
    assert not any(os.path.exists(f"/proc/{child}") for child, _ in running.values())


EXITS = """
apiVersion: v1
kind: Pod
metadata: {name: exits}
spec:
  containers:
  - name: main
    image: local/shell
    command: [sh, -c, "echo first run; while [ ! -e %s ]; do sleep 0.05; done; rm %s; exit 7"]
"""


@pytest.fixture
def flag():
    """A file that a pod, which runs as another user, can see and remove."""
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o777)
        yield pathlib.Path(d) / "go"


def test_an_adopted_container_that_exits_7_shows_it_and_is_restarted(flyball_factory, flag):
    f = flyball_factory()
    f.kubectl("apply", "-f", "-", stdin=EXITS % (flag, flag))
    wait_for("it runs", lambda: f.get("pod", "exits")["status"]["phase"] == "Running")
    wait_for("its first line", lambda: "first run" in f.kubectl("logs", "exits").stdout)
    f.kill()
    f.start()
    assert "first run" in f.kubectl("logs", "exits").stdout
    flag.touch()

    def restarted():
        c = f.get("pod", "exits")["status"]["containerStatuses"][0]
        return c if c["restartCount"] == 1 and "running" in c["state"] else None

    c = wait_for("restarted once", restarted)
    assert c["lastState"]["terminated"]["exitCode"] == 7
    assert c["lastState"]["terminated"]["reason"] == "Error"
    assert "first run" in f.kubectl("logs", "exits", "--previous").stdout


def test_a_container_that_exits_while_flyball_is_away_shows_it(flyball_factory, flag):
    f = flyball_factory()
    f.kubectl("apply", "-f", "-", stdin=EXITS % (flag, flag))
    wait_for("it runs", lambda: f.get("pod", "exits")["status"]["phase"] == "Running")
    f.kill()
    flag.touch()
    wait_for("it ends", lambda: not shims(f.data_dir))
    f.start()

    def restarted():
        c = f.get("pod", "exits")["status"]["containerStatuses"][0]
        return c if c["restartCount"] == 1 and "running" in c["state"] else None

    assert wait_for("restarted once", restarted)["lastState"]["terminated"]["exitCode"] == 7


def test_down_after_a_kill_leaves_no_orphan(flyball_factory, tutorial_yaml):
    f = flyball_factory()
    f.kubectl("apply", "-f", "-", stdin=tutorial_yaml)
    f.kubectl("wait", "--for=condition=Ready", "isvc/huggingface-fbopt", "--timeout=20s")
    f.kill()
    assert len(processes_of(f.data_dir)) == 1
    r = subprocess.run([str(FLYBALL), "down", "--data-dir", str(f.data_dir)], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    wait_for("no process is left", lambda: not processes_of(f.data_dir))


def test_what_was_acknowledged_is_there_after_a_kill(flyball_factory):
    """Every write that kubectl saw answered survives, whatever moment the kill comes at."""
    seed = int(os.environ.get("FLYBALL_SEED", time.time_ns() % 1000000))
    rng = random.Random(seed)
    print(f"FLYBALL_SEED={seed}")
    f = flyball_factory()
    acknowledged = {}
    for round_no in range(3):
        stop = threading.Event()

        def write(n=round_no):
            i = 0
            while not stop.is_set():
                r = f.kubectl("create", "configmap", f"c{n}-{i}", f"--from-literal=v={i}", check=False)
                if r.returncode != 0:
                    return
                acknowledged[f"c{n}-{i}"] = str(i)
                i += 1

        t = threading.Thread(target=write)
        t.start()
        time.sleep(rng.uniform(0.4, 1.0))  # the random moment itself
        f.process.send_signal(signal.SIGKILL)
        stop.set()
        t.join(20)
        f.process.wait()
        f.start()
    found = {o["metadata"]["name"]: o["data"]["v"] for o in f.get("configmaps")["items"]
             if o["metadata"]["name"].startswith("c") and "data" in o and "v" in o["data"]}
    assert acknowledged and acknowledged.items() <= found.items()


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: many}
spec:
  replicas: 5
  selector: {matchLabels: {app: many}}
  template:
    metadata: {labels: {app: many}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: local/shell, command: [sleep, "1000"]}
"""


def test_a_kill_while_pods_start_starts_none_twice(flyball_factory):
    seed = int(os.environ.get("FLYBALL_SEED", time.time_ns() % 1000000))
    rng = random.Random(seed)
    print(f"FLYBALL_SEED={seed}")
    f = flyball_factory()
    for i in range(8):
        applied = threading.Thread(target=lambda: f.kubectl("apply", "-f", "-", stdin=DEPLOYMENT, check=False))
        applied.start()
        time.sleep(rng.uniform(0.05, 0.2))  # the random moment itself
        f.kill()
        applied.join(20)
        f.start()
        f.kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
        f.kubectl("wait", "--for=condition=Available", "deployment/many", "--timeout=20s")
        assert len(f.pods(selector="app=many")) == 5
        assert len(processes_of(f.data_dir)) == 5 == len(shims(f.data_dir)), f"round {i}"
        f.kubectl("delete", "deployment", "many")
        wait_for("all are gone", lambda: not processes_of(f.data_dir) and not f.pods(selector="app=many"))
