# SPDX-License-Identifier: Apache-2.0
"""Trigger types beside prometheus, each on a running program. When cron is active is shown by its vectors; here the
schedules are such that the time of day does not matter."""
import json

import yaml

from conftest import wait_for

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
