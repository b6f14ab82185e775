# SPDX-License-Identifier: Apache-2.0
"""The data directory in bad times: full, read-only, newer, in use; and up -d, env, down in every order."""
import contextlib
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import time

import pytest

from conftest import FLYBALL, wait_for

PORTS = ["--api-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0",
         "--otlp-listen", "127.0.0.1:0", "--scaler-listen", "127.0.0.1:0"]
POD = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
    "terminationGracePeriodSeconds": 1,
    "containers": [{"name": "main", "image": "local/x", "command": ["/bin/sleep", "1000"]}]}})


def as_root(*args):
    return subprocess.run([*([] if os.getuid() == 0 else ["sudo"]), *args], check=True, capture_output=True, text=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB of its own."""
    where = tmp_path / "disk"
    where.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", f"size=8m,mode=0700,uid={os.getuid()}", "tmpfs", str(where))
    yield where
    as_root("umount", "-l", str(where))


@contextlib.contextmanager
def filled(where):
    """No byte is free, until the end of the block."""
    ballast = where / "ballast"
    with open(ballast, "wb", buffering=0) as f:
        with contextlib.suppress(OSError):
            while f.write(b"\0" * 65536):
                pass
        with contextlib.suppress(OSError):
            while f.write(b"\0"):
                pass
    yield
    ballast.unlink()


def create(f, name):
    return f.kubectl("create", "configmap", name, "--from-literal=a=" + "x" * 20000, check=False)


def names(f):
    return {o["metadata"]["name"] for o in f.get("configmaps")["items"]}


def test_a_full_disk_refuses_writes_and_loses_none(flyball_factory, small_disk):
    f = flyball_factory()
    f.stop()
    f.data_dir = small_disk / "data"
    f.start()
    kept = set()
    for i in range(3):
        assert create(f, f"before-{i}").returncode == 0
        kept.add(f"before-{i}")
    with filled(small_disk):
        for i in range(100):
            r = create(f, f"full-{i}")
            if r.returncode != 0:
                break
            kept.add(f"full-{i}")  # room in pages that the database has already
        assert "disk is full" in r.stderr and "free some room" in r.stderr, r.stderr
        assert kept <= names(f)  # reading goes on
    wait_for("writes work again", lambda: create(f, "after").returncode == 0)
    kept.add("after")
    f.kill()
    f.start()
    assert kept <= names(f)


def test_a_read_only_disk_refuses_writes_and_a_start(flyball_factory, small_disk):
    f = flyball_factory()
    f.stop()
    f.data_dir = small_disk / "data"
    f.start()
    assert create(f, "before").returncode == 0
    # what is open for writing stays so on a real fault; remounting needs the files closed
    f.stop()
    as_root("mount", "-o", "remount,ro", str(small_disk))
    r = subprocess.run([str(FLYBALL), "up", "--data-dir", str(f.data_dir), *PORTS], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and "ead-only file system" in r.stderr and str(f.data_dir) in r.stderr, r.stderr
    as_root("mount", "-o", "remount,rw", str(small_disk))
    f.start()
    assert "before" in names(f)


def test_ready_means_that_the_first_objects_are_stored(flyball_factory):
    f = flyball_factory(start=False)
    f.launch()
    f.kill()
    with contextlib.closing(sqlite3.connect(f.data_dir / "flyball.db")) as db:
        stored = set(db.execute("SELECT kind, ns, name FROM objects"))
    assert {("namespaces", "", n) for n in ("default", "kube-system", "kserve", "keda", "istio-system")} <= stored, stored
    assert {("services", "istio-system", "prometheus"), ("services", "keda", "keda-otel-scaler"),
            ("endpoints", "istio-system", "prometheus"), ("configmaps", "kserve", "inferenceservice-config")} <= stored, stored
    assert len([1 for kind, _, _ in stored if kind == "nodes"]) == 1, stored
    f.start()
    f.kubectl("create", "configmap", "works")


def node_conditions(f):
    (node,) = f.get("nodes")["items"]
    return {c["type"]: (c["lastHeartbeatTime"], c["lastTransitionTime"]) for c in node["status"]["conditions"]}


def test_a_heartbeat_and_a_restart_are_no_transitions_of_the_node(flyball):
    before = node_conditions(flyball)
    wait_for("another second", lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) > max(before.values())[0], 5)
    flyball.stop()
    flyball.start()
    after = wait_for("a heartbeat", lambda: (now := node_conditions(flyball))["Ready"][0] > before["Ready"][0] and now, 10)
    assert {k: v[1] for k, v in after.items()} == {k: v[1] for k, v in before.items()}


def test_a_newer_data_directory_is_refused_and_left_alone(flyball):
    flyball.kubectl("create", "configmap", "kept")
    flyball.stop()
    (database,) = [p for p in flyball.data_dir.iterdir() if p.is_file() and p.read_bytes()[:15] == b"SQLite format 3"]
    with contextlib.closing(sqlite3.connect(database)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.execute(f"PRAGMA user_version = {version + 1}")
        db.commit()
    before = database.read_bytes()
    r = subprocess.run([str(FLYBALL), "up", "--data-dir", str(flyball.data_dir), *PORTS], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and "written by a newer flyball" in r.stderr and "--data-dir" in r.stderr, r.stderr
    assert database.read_bytes() == before
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
    flyball.start()
    assert "kept" in names(flyball)


def test_what_is_no_database_is_refused_and_left_alone(tmp_path, flyball):
    flyball.stop()
    (database,) = [p for p in flyball.data_dir.iterdir() if p.is_file() and p.read_bytes()[:15] == b"SQLite format 3"]
    for side in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            pathlib.Path(str(database) + side).unlink()
    database.write_bytes(b"my tax return\n" * 1000)
    r = subprocess.run([str(FLYBALL), "up", "--data-dir", str(flyball.data_dir), *PORTS], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and "not a database" in r.stderr and database.name in r.stderr, r.stderr
    assert database.read_bytes() == b"my tax return\n" * 1000
    flyball.process = None


# --- up -d, env, down ---

class Detached:
    def __init__(self, tmp_path):
        self.dir = tmp_path / "detached"

    def run(self, command, *args, timeout=30):
        return subprocess.run([str(FLYBALL), command, *args, "--data-dir", str(self.dir)],
                              capture_output=True, text=True, timeout=timeout)

    def up(self):
        return self.run("up", "-d", *PORTS)

    def env(self):
        r = self.run("env")
        return dict(re.findall(r"^export (\w+)='(.*)'$", r.stdout, re.M)) if r.returncode == 0 else r.stderr

    def pid(self):
        return json.loads((self.dir / "run.json").read_text())["pid"]

    def kubectl(self, *args, stdin=None):
        from conftest import kubectls
        return subprocess.run([kubectls()[0], *args], input=stdin, capture_output=True, text=True, timeout=30,
                              env={"KUBECONFIG": str(self.dir / "kubeconfig"), "HOME": str(self.dir), "PATH": os.environ["PATH"]})


@pytest.fixture
def detached(tmp_path):
    d = Detached(tmp_path)
    yield d
    d.run("down")


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_env_and_down_before_up_say_what_to_do(detached):
    assert "flyball up -d" in detached.env()
    r = detached.run("down")
    assert r.returncode == 0 and "nothing runs" in r.stdout


def test_up_up_env_down_down_env(detached):
    r = detached.up()
    assert r.returncode == 0 and r.stdout.splitlines()[-1] == "ready", r.stdout + r.stderr
    first = detached.env()
    pid = detached.pid()
    assert detached.kubectl("get", "nodes").returncode == 0
    r = detached.up()
    assert r.returncode == 1 and f"in use by process {pid}" in r.stderr
    assert detached.env() == first and is_alive(pid)
    assert detached.run("down").stdout == "stopped\n"
    assert not is_alive(pid)
    assert "nothing runs" in detached.run("down").stdout
    assert "flyball up -d" in detached.env()
    # the objects are there again
    assert detached.up().returncode == 0
    assert detached.kubectl("get", "namespace", "default").returncode == 0


def test_up_after_a_kill_adopts_and_down_after_a_kill_ends_the_pods(detached):
    assert detached.up().returncode == 0
    assert detached.kubectl("create", "-f", "-", stdin=POD).returncode == 0
    running = lambda: detached.kubectl("get", "pod", "p", "-o", "jsonpath={.status.containerStatuses[0].containerID} {.status.phase}").stdout
    first = wait_for("the pod runs", lambda: (lambda t: t if t.endswith("Running") else None)(running()))
    os.kill(detached.pid(), 9)
    wait_for("it is gone", lambda: not is_alive(detached.pid()))
    assert "ended without cleaning up" in detached.env()
    assert detached.up().returncode == 0
    assert running() == first
    os.kill(detached.pid(), 9)
    wait_for("it is gone", lambda: not is_alive(detached.pid()))
    assert "left behind" in detached.run("down").stdout
    ours = [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline")
            if is_alive(p.parent.name) and str(detached.dir).encode() in p.read_bytes()]
    assert ours == []


def test_a_pid_that_another_process_got_is_not_taken_for_ours(detached):
    assert detached.up().returncode == 0
    run = json.loads((detached.dir / "run.json").read_text())
    assert detached.run("down").returncode == 0
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        (detached.dir / "run.json").write_text(json.dumps({**run, "pid": stranger.pid}))
        assert "ended without cleaning up" in detached.env()
        assert detached.run("down").returncode == 0
        assert stranger.poll() is None
        stranger.kill()
