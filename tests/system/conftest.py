# SPDX-License-Identifier: Apache-2.0
"""Starts the real program on free loopback ports and talks to it with the ecosystem's own tools.

FLYBALL_BIN    program under test (default build/flyball)
FLYBALL_PEERS  where ./check unpacked kubectl, prometheus and friends
KUBECTL        one kubectl to use instead of all that are found
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
PEERS = pathlib.Path(os.environ.get("FLYBALL_PEERS", ROOT / "build" / "peers"))
FLYBALL = pathlib.Path(os.environ.get("FLYBALL_BIN", ROOT / "build" / "flyball"))
DATA = ROOT / "tests" / "data"


def wait_for(what, fn, timeout=10.0, every=0.05):
    """Polls fn until it returns something true, and returns that; fails with `what` at the deadline."""
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end:
        try:
            last = fn()
            if last:
                return last
        except (subprocess.CalledProcessError, KeyError, IndexError, ValueError, OSError, AttributeError, TypeError) as e:
            last = e
        time.sleep(every)
    raise AssertionError(f"not within {timeout} s: {what} (last: {last!r})")


def kubectls():
    """Every kubectl there is: Debian's 1.20 unpacked aside, and whatever the machine has."""
    if os.environ.get("KUBECTL"):
        return [os.environ["KUBECTL"]]
    found = [str(PEERS / "usr/bin/kubectl")]
    on_path = shutil.which("kubectl")
    if on_path and os.path.realpath(on_path) != os.path.realpath(found[0]):
        found.append(on_path)
    return found


class Flyball:
    """One `flyball up` in the foreground."""

    def __init__(self, data_dir, args=(), kubectl=None):
        self.data_dir = pathlib.Path(data_dir)
        self.args = list(args)
        self.kubectl_path = kubectl or kubectls()[0]
        self.process = None
        self.env = {}
        self.log_path = self.data_dir.parent / (self.data_dir.name + ".log")

    def launch(self, timeout=20):
        """Until it says `ready`."""
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [str(FLYBALL), "up", "--data-dir", str(self.data_dir), "--api-listen", "127.0.0.1:0",
             "--gateway-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0",
             "--scaler-listen", "127.0.0.1:0", *self.args],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        seen = []
        end = time.monotonic() + timeout
        for line in self.process.stdout:
            seen.append(line)
            if line.strip() == "ready":
                break
            if time.monotonic() > end:
                break
        else:
            raise AssertionError("flyball up ended: " + "".join(seen) + self.tail())

    def start(self, timeout=20):
        self.launch(timeout)
        self.read_env()
        return self

    def read_env(self):
        text = subprocess.run([str(FLYBALL), "env", "--data-dir", str(self.data_dir)], check=True,
                              capture_output=True, text=True).stdout
        self.env = dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", text, re.M))
        self.web = self.env["FLYBALL_URL"]

    def tail(self, lines=40):
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def kubectl(self, *args, stdin=None, check=True, kubectl=None, timeout=60):
        home = self.data_dir.parent / "home"
        r = subprocess.run([kubectl or self.kubectl_path, *args], input=stdin, text=True, timeout=timeout,
                           capture_output=True,
                           env={"KUBECONFIG": self.env["KUBECONFIG"], "HOME": str(home),
                                "PATH": os.environ["PATH"]})
        if check and r.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(args)}: {r.returncode}\n{r.stdout}{r.stderr}\n{self.tail(15)}")
        return r

    def get(self, *args):
        """kubectl get ... -o json, parsed."""
        return json.loads(self.kubectl("get", *args, "-o", "json").stdout)

    def pods(self, namespace="default", selector=None):
        args = ["pods", "-n", namespace] + (["-l", selector] if selector else [])
        return [p for p in self.get(*args)["items"] if not p["metadata"].get("deletionTimestamp")]

    def stop(self, timeout=40):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("flyball did not stop within %d s\n%s" % (timeout, self.tail()))
        return self.process.returncode if self.process else None

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def flyball_factory(tmp_path):
    running = []

    def make(name="data", args=(), kubectl=None, start=True):
        f = Flyball(tmp_path / name, args, kubectl)
        running.append(f)
        return f.start() if start else f

    yield make
    bad = [f for f in running if f.stop() not in (0, None, -signal.SIGKILL)]
    # also what a sanitizer finds at the end, like leaks
    assert not bad, "\n".join(f"flyball ended with {f.process.returncode}\n{f.tail(150)}" for f in bad)


@pytest.fixture
def flyball(flyball_factory):
    return flyball_factory()


@pytest.fixture(scope="session")
def tutorial_yaml():
    """The tutorial's first YAML block, byte for byte."""
    return (DATA / "tutorial" / "prometheus.yaml").read_text()


def pytest_report_header():
    lines = []
    for k in kubectls():
        try:
            v = subprocess.run([k, "version", "--client", "-o", "json"], capture_output=True, text=True).stdout
            lines.append(f"kubectl {json.loads(v)['clientVersion']['gitVersion']} ({k})")
        except (OSError, ValueError):
            lines.append(f"kubectl: {k} cannot be run")
    for name, args in (("prometheus", ["--version"]), ("promtool", ["--version"]), ("victoria-metrics", ["--version"])):
        path = PEERS / "usr/bin" / name
        if path.exists():
            r = subprocess.run([str(path), *args], capture_output=True, text=True)
            out = (r.stdout + r.stderr).splitlines() or ["?"]
            lines.append(out[0][:100])
    if not (SHARED / "promqltest").is_dir():
        lines.append("promqltest: not run, ../shared/promqltest is not there")
    hey = subprocess.run(["dpkg-query", "-W", "hey", "python3-kubernetes"], capture_output=True, text=True).stdout
    lines.append(" ".join(hey.split()))
    return lines
