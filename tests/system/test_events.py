# SPDX-License-Identifier: Apache-2.0
"""Events in kubectl describe: equal ones are counted, similar ones combined from the tenth message on, also across a
restart."""
import re
import urllib.request

import pytest

from conftest import wait_for
from test_hpa import create, deployment, ready_pods, replicas
from test_why import scaledobject


def decisions(f):
    """What describe shows of ScalingDecision: [(times or None, message)]."""
    text = f.kubectl("describe", "scaledobject", "idle").stdout
    return re.findall(r"^  Normal +ScalingDecision +\S+(?: \(x(\d+) over \S+\))? +\S+ +(.*)$", text, re.M)


def idle():
    d = deployment("idle")
    d["spec"]["template"]["spec"]["containers"][0] = {"name": "app", "image": "local/app", "command": ["/bin/sleep", "1000"]}
    del d["spec"]["template"]["metadata"]["annotations"]
    return d


@pytest.fixture
def noisy(flyball):
    """Deployment idle follows the load that the pod of web tells."""
    create(flyball, deployment(), idle())
    ready_pods(flyball, 1)
    so = scaledobject("idle", scaleTargetRef={"name": "idle"}, advanced={"horizontalPodAutoscalerConfig": {"behavior": {
        "scaleDown": {"stabilizationWindowSeconds": 0}}}})
    so["spec"]["triggers"][0]["metadata"]["query"] = "max(app_load)"
    create(flyball, so)
    return flyball


def say(f, value):
    """After a restart the pod before is still shown, as Failed, and the new one may not answer yet."""
    def said():
        (ip,) = [p["status"]["podIP"] for p in f.pods(selector="app=web") if p["status"]["phase"] == "Running"]
        request = urllib.request.Request(f"http://{ip}:8080/", value.encode())
        return urllib.request.urlopen(request, timeout=5).status == 200

    wait_for("the pod takes " + value, said, 15)


def scale(f, first, last):
    """One decision a turn, each with another value."""
    for i in range(first, last + 1):
        n = 1 + i % 2
        say(f, f"{2 * n - 1}.{i}")
        wait_for(f"{n} replicas in turn {i}", lambda: replicas(f, "idle") == n, 10)


def test_many_decisions_become_one_event_that_shows_the_newest(noisy):
    scale(noisy, 1, 9)
    wait_for("nine events", lambda: len(decisions(noisy)) == 9, 5)
    assert not [m for _, m in decisions(noisy) if "combined" in m]
    scale(noisy, 10, 12)

    def combined(f):
        (one,) = [(n, m) for n, m in decisions(f) if m.startswith("(combined from similar events): ")]
        return one

    wait_for("the newest of three", lambda: combined(noisy)[0] == "3" and "app_load)) is 1.12," in combined(noisy)[1], 5)
    assert len(decisions(noisy)) == 10
    noisy.stop()
    noisy.start()
    scale(noisy, 13, 23)
    # nine messages are new to the new run, then it counts on where the one before ended
    wait_for("counted on", lambda: int(combined(noisy)[0]) >= 5 and "app_load)) is 3.23," in combined(noisy)[1], 5)
    assert len(decisions(noisy)) <= 19


def test_pods_that_a_replicaset_makes_are_told_as_a_cluster_does(flyball):
    create(flyball, {**idle(), "spec": {**idle()["spec"], "replicas": 12}})
    ready_pods(flyball, 12, "idle")
    text = wait_for("all told", lambda: (lambda t: t if "(x3 over" in t else None)(
        flyball.kubectl("describe", "rs", "-l", "app=idle").stdout), 5)
    assert len(re.findall(r"replicaset-controller +Created pod: ", text)) == 9, text
    assert re.search(r"SuccessfulCreate +\S+ \(x3 over \S+\) +replicaset-controller +\(combined from similar events\): "
                     r"Created pod: idle-", text), text
