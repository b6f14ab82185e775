# SPDX-License-Identifier: Apache-2.0
"""What the runner does with one pod: hooks, probes, limits, taken ports."""
import json
import os
import pathlib
import tempfile
import time

import pytest

from conftest import wait_for


@pytest.fixture
def shared():
    """A directory that a pod, which runs as another user, can write."""
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o777)
        yield pathlib.Path(d)


def pod(name, container, **spec):
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
                       "spec": {"containers": [{"name": "main", "image": "local/x", **container}], **spec}})


def status(f, name):
    return f.get("pod", name)["status"]["containerStatuses"][0]


def is_ready(f, name):
    return status(f, name)["ready"]


def test_prestop_runs_before_sigterm_as_the_pods_user_and_in_its_environment(flyball, shared):
    log = shared / "log"
    flyball.kubectl("apply", "-f", "-", stdin=pod("hooked", {
        "command": ["sh", "-c", f"trap 'echo term >> {log}; exit 0' TERM; echo up >> {log}; while :; do sleep 0.02; done"],
        "env": [{"name": "WHO", "value": "me"}],
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", f"echo stop-$WHO-$(id -un) >> {log}; sleep 0.3"]}}}}))
    wait_for("it runs", lambda: log.exists() and "up" in log.read_text())
    began = time.monotonic()
    flyball.kubectl("delete", "pod", "hooked")
    assert log.read_text().split() == ["up", "stop-me-nobody" if os.getuid() == 0 else log.read_text().split()[1], "term"]
    assert 0.3 < time.monotonic() - began < 10


def test_a_prestop_that_never_ends_is_cut_by_the_grace_period(flyball):
    flyball.kubectl("apply", "-f", "-", stdin=pod("stuck", {
        "command": ["sleep", "1000"], "lifecycle": {"preStop": {"exec": {"command": ["sleep", "1000"]}}}},
        terminationGracePeriodSeconds=2))
    wait_for("it runs", lambda: flyball.get("pod", "stuck")["status"]["phase"] == "Running")
    began = time.monotonic()
    flyball.kubectl("delete", "pod", "stuck")
    assert time.monotonic() - began < 8


def test_a_prestop_that_fails_is_told_and_holds_nothing_up(flyball):
    flyball.kubectl("apply", "-f", "-", stdin=pod("failing", {
        "command": ["sleep", "1000"], "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "exit 3"]}}}}))
    wait_for("it runs", lambda: flyball.get("pod", "failing")["status"]["phase"] == "Running")
    flyball.kubectl("delete", "pod", "failing")
    events = [e for e in flyball.get("events")["items"] if e["reason"] == "FailedPreStopHook"]
    assert events and "ended with 3" in events[0]["message"]


def test_exec_probes_decide_on_readiness(flyball, shared):
    flag = shared / "ready"
    flyball.kubectl("apply", "-f", "-", stdin=pod("probed", {
        "command": ["sleep", "1000"],
        "readinessProbe": {"periodSeconds": 1, "failureThreshold": 1, "exec": {"command": ["test", "-e", str(flag)]}}}))
    wait_for("it runs", lambda: "running" in status(flyball, "probed")["state"])
    assert not is_ready(flyball, "probed")
    flag.touch()
    wait_for("ready", lambda: is_ready(flyball, "probed"), 5)
    flag.unlink()
    wait_for("no more", lambda: not is_ready(flyball, "probed"), 5)


def test_readiness_waits_for_the_startup_probe(flyball, shared):
    flag = shared / "started"
    flyball.kubectl("apply", "-f", "-", stdin=pod("slow", {
        "command": ["sleep", "1000"],
        "startupProbe": {"periodSeconds": 1, "failureThreshold": 60, "exec": {"command": ["test", "-e", str(flag)]}},
        "readinessProbe": {"exec": {"command": ["true"]}}}))
    wait_for("it runs", lambda: "running" in status(flyball, "slow")["state"])
    assert not is_ready(flyball, "slow") and not status(flyball, "slow")["started"]
    flag.touch()
    wait_for("ready", lambda: is_ready(flyball, "slow") and status(flyball, "slow")["started"], 5)


def test_a_failing_liveness_probe_restarts_the_container(flyball, shared):
    flag = shared / "alive"
    flag.touch()
    flyball.kubectl("apply", "-f", "-", stdin=pod("mortal", {
        "command": ["sleep", "1000"],
        "livenessProbe": {"periodSeconds": 1, "failureThreshold": 1, "exec": {"command": ["test", "-e", str(flag)]}}},
        terminationGracePeriodSeconds=1))
    wait_for("it runs", lambda: "running" in status(flyball, "mortal")["state"])
    wait_for("probed once", lambda: status(flyball, "mortal")["ready"])
    flag.unlink()
    wait_for("restarted", lambda: status(flyball, "mortal")["restartCount"] >= 1, 10)
    assert any("failed liveness probe" in e["message"] for e in flyball.get("events")["items"])


def test_more_memory_than_the_limit_is_oomkilled(flyball):
    flyball.kubectl("apply", "-f", "-", stdin=pod("greedy", {
        "command": ["python3", "-c", "x = bytearray(200 << 20)\nimport time; time.sleep(1000)"],
        "resources": {"limits": {"memory": "64Mi"}}}, restartPolicy="Never"))
    ended = wait_for("killed", lambda: status(flyball, "greedy")["state"].get("terminated"), 10)
    assert ended["reason"] == "OOMKilled" and ended["exitCode"] == 137
    assert flyball.get("pod", "greedy")["status"]["phase"] == "Failed"


BIND = """
import socket, os, time
s = socket.socket()
s.bind(("0.0.0.0", %d))
s.listen()
time.sleep(1000)
"""


def test_a_program_that_binds_the_wildcard_is_told_to_bind_its_own_address(flyball):
    port = int(flyball.env["INGRESS_PORT"])  # taken on 127.0.0.1 by the gateway, so the wildcard cannot be bound
    flyball.kubectl("apply", "-f", "-", stdin=pod("wild", {"command": ["python3", "-c", BIND % port]}))

    def waiting():
        w = status(flyball, "wild")["state"].get("waiting", {})
        return w if w.get("reason") == "PortInUse" else None

    w = wait_for("the reason", waiting, 15)
    assert w["message"].startswith("bind to $POD_IP (127.")
    assert "PortInUse" in flyball.kubectl("get", "pod", "wild").stdout


def test_a_container_that_dies_after_ready_makes_the_service_not_ready(flyball, shared):
    flag = shared / "die"
    server = (f"import http.server, os, threading, time\n"
              f"s = http.server.ThreadingHTTPServer((os.environ['POD_IP'], 8080), http.server.SimpleHTTPRequestHandler)\n"
              f"threading.Thread(target=s.serve_forever, daemon=True).start()\n"
              f"while not os.path.exists('{flag}'): time.sleep(0.02)\n"
              f"os._exit(9)\n")
    flyball.kubectl("apply", "-f", "-", stdin=json.dumps({
        "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
        "metadata": {"name": "fragile", "annotations": {"serving.kserve.io/autoscalerClass": "none"}},
        "spec": {"predictor": {"containers": [{"name": "kserve-container", "image": "local/x",
                                               "command": ["python3", "-c", server],
                                               "ports": [{"containerPort": 8080}]}]}}}))

    def ready():
        conditions = flyball.get("isvc", "fragile").get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == "Ready"), {})

    wait_for("Ready", lambda: ready().get("status") == "True", 15)
    flag.touch()
    wait_for("not Ready any more", lambda: ready().get("status") == "False", 10)
    assert ready()["message"] or ready()["reason"]


def test_an_exec_probe_that_hangs_is_ended_at_its_timeout(flyball, shared):
    pids = shared / "pids"
    flyball.kubectl("apply", "-f", "-", stdin=pod("hangs", {
        "command": ["sleep", "1000"],
        "readinessProbe": {"timeoutSeconds": 1, "exec": {"command": ["sh", "-c", f"echo $$ >> {pids}; sleep 1000"]}}}))
    wait_for("it fails", lambda: "timeout" in json.dumps(flyball.get("pod", "hangs")["status"]["conditions"]))
    first = pids.read_text().split()[0]
    wait_for("its process is gone", lambda: not os.path.exists(f"/proc/{first}"))


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe"])
def test_a_probe_that_never_succeeds_restarts_the_container(flyball, probe):
    flyball.kubectl("apply", "-f", "-", stdin=pod("never", {
        "command": ["sleep", "1000"], probe: {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}}))
    wait_for("restarted", lambda: status(flyball, "never")["restartCount"] >= 1)
    assert any(f"failed {probe[:-5]} probe, will be restarted" in e["message"] for e in flyball.get("events")["items"])


def test_a_startup_probe_goes_on_after_a_kill_of_flyball(flyball_factory, shared):
    """An adopted container that had not started is not taken for one that has."""
    f, flag = flyball_factory(), shared / "go"
    f.kubectl("apply", "-f", "-", stdin=pod("slow", {
        "command": ["sleep", "1000"], "startupProbe": {"failureThreshold": 60, "exec": {"command": ["test", "-e", str(flag)]}}}))
    wait_for("it runs", lambda: "running" in status(f, "slow")["state"])
    f.kill()
    f.start()
    wait_for("adopted", lambda: "adopted default/slow" in f.log_path.read_text())
    assert status(f, "slow")["started"] is False
    flag.touch()
    wait_for("started", lambda: status(f, "slow")["started"])
    assert status(f, "slow")["restartCount"] == 0


def test_a_later_deletion_shortens_the_grace_period(flyball, shared):
    up = shared / "up"
    flyball.kubectl("apply", "-f", "-", stdin=pod("stubborn", {
        "command": ["sh", "-c", f"trap '' TERM; touch {up}; while :; do sleep 0.05; done"],
        "lifecycle": {"preStop": {"sleep": {"seconds": 200}}}}, terminationGracePeriodSeconds=300))
    wait_for("it runs", lambda: up.exists())
    flyball.kubectl("delete", "pod", "stubborn", "--wait=false")
    flyball.kubectl("delete", "pod", "stubborn", "--grace-period=1", "--timeout=10s")


def test_memory_of_a_child_of_the_program_counts(flyball):
    flyball.kubectl("apply", "-f", "-", stdin=pod("parent", {
        "command": ["sh", "-c", "python3 -c 'import time; x = bytearray(96 << 20); time.sleep(1000)' & wait"],
        "resources": {"limits": {"memory": "64Mi"}}}))
    last = wait_for("restarted", lambda: status(flyball, "parent")["lastState"].get("terminated"))
    assert last["reason"] == "OOMKilled" and last["exitCode"] == 137
    assert any("over its limit of 64Mi" in e["message"] for e in flyball.get("events")["items"])


def test_a_cpu_limit_binds_to_as_many_processors(flyball):
    assert len(os.sched_getaffinity(0)) >= 2, "this test needs two processors"
    limits, children = {"whole": "1", "half": "500m", "free": None}, {}
    for name, limit in limits.items():
        flyball.kubectl("apply", "-f", "-", stdin=pod(name, {
            "command": ["sleep", "1000"], **({"resources": {"limits": {"cpu": limit}}} if limit else {})}))
        wait_for("it runs", lambda: "running" in status(flyball, name)["state"])
        uid = flyball.get("pod", name)["metadata"]["uid"]
        children[name] = int((flyball.data_dir / "pods" / uid / "main/1/state").read_text().split()[0])
    cpus = {n: os.sched_getaffinity(p) for n, p in children.items()}
    assert len(cpus["whole"]) == len(cpus["half"]) == 1 and cpus["whole"] != cpus["half"]
    assert cpus["free"] == os.sched_getaffinity(0)
    assert {n: os.getpriority(os.PRIO_PROCESS, p) for n, p in children.items()} == {"whole": 0, "half": 3, "free": 0}


def test_the_first_readiness_probe_does_not_wait_for_its_period(flyball):
    server = "import http.server, os; http.server.HTTPServer((os.environ['POD_IP'], 8080), http.server.SimpleHTTPRequestHandler).serve_forever()"
    flyball.kubectl("apply", "-f", "-", stdin=pod("eager", {
        "command": ["python3", "-c", server],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "initialDelaySeconds": 0, "periodSeconds": 300}}))
    wait_for("Ready long before the first period ends", lambda: is_ready(flyball, "eager"), 20)
