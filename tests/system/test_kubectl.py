# SPDX-License-Identifier: Apache-2.0
"""What people do with kubectl all day, with Debian's 1.20 and any newer one there is."""
import json
import re
import subprocess

import pytest

from conftest import kubectls, wait_for

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {team: a}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: local/x, command: [sh, -c, "echo hello from $(hostname); sleep 1000"]}
"""


@pytest.fixture(params=kubectls(), ids=lambda k: "newest" if k.startswith("/usr/bin") else "debian")
def f(request, flyball_factory):
    f = flyball_factory(kubectl=request.param)
    f.kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    f.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=15s")
    return f


def names(f, *args):
    return sorted(f.kubectl("get", *args, "-o", "name").stdout.split())


def test_get_in_every_form(f):
    assert re.match(r"NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +2/2 +2 +2 +\d+s", f.kubectl("get", "deploy").stdout)
    assert "CONTAINERS" in f.kubectl("get", "deploy", "-o", "wide").stdout
    assert f.kubectl("get", "deploy", "web", "-o", "jsonpath={.status.readyReplicas}").stdout == "2"
    assert f.kubectl("get", "deploy", "web", "-o", "custom-columns=N:.metadata.name", "--no-headers").stdout.split() == ["web"]
    assert "kind: Deployment" in f.kubectl("get", "deploy", "web", "-o", "yaml").stdout
    assert names(f, "deploy", "-l", "team=a") == ["deployment.apps/web"]
    assert names(f, "deploy", "-l", "team in (b,c)") == []
    assert len(names(f, "pods", "--field-selector", "status.phase=Running")) == 2
    assert len(names(f, "pods", "-A")) == 2
    r = f.kubectl("get", "deploy", "nope", check=False)
    assert r.returncode == 1 and r.stderr == 'Error from server (NotFound): deployments.apps "nope" not found\n'


def test_scale_wait_and_rollout(f):
    assert f.kubectl("scale", "deploy", "web", "--replicas=3").stdout == "deployment.apps/web scaled\n"
    f.kubectl("rollout", "status", "deploy/web", "--timeout=20s")
    assert len(f.pods()) == 3
    before = {p["metadata"]["name"] for p in f.pods()}
    f.kubectl("set", "env", "deploy/web", "A=b")
    f.kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    wait_for("all are new", lambda: len(f.pods()) == 3 and not before & {p["metadata"]["name"] for p in f.pods()}, 15)
    assert len(names(f, "rs")) == 2
    assert "REVISION" in f.kubectl("rollout", "history", "deploy/web").stdout
    f.kubectl("delete", "deploy", "web")
    wait_for("all is gone", lambda: not names(f, "rs") and not f.pods(), 15)


def test_logs_follow_and_describe(f):
    pod = f.pods()[0]["metadata"]["name"]
    wait_for("a line", lambda: "hello" in f.kubectl("logs", pod).stdout)
    p = subprocess.Popen([f.kubectl_path, "logs", "-f", pod], stdout=subprocess.PIPE, text=True,
                         env={"KUBECONFIG": f.env["KUBECONFIG"], "HOME": "/nonexistent"})
    assert "hello" in p.stdout.readline()
    f.kubectl("delete", "pod", pod)
    assert p.wait(15) == 0  # the end of the container ends the stream
    text = f.kubectl("describe", "deploy", "web").stdout
    assert "ScalingReplicaSet" in text and "Replicas:" in text
    assert "Started container" in f.kubectl("describe", "pods").stdout


def test_watch_shows_changes_as_they_come(f):
    p = subprocess.Popen([f.kubectl_path, "get", "deploy", "-w", "-o", "name"], stdout=subprocess.PIPE, text=True,
                         env={"KUBECONFIG": f.env["KUBECONFIG"], "HOME": "/nonexistent"})
    assert p.stdout.readline() == "deployment.apps/web\n"
    f.kubectl("label", "deploy", "web", "x=y")
    assert p.stdout.readline() == "deployment.apps/web\n"
    p.terminate()
    p.wait(10)


def test_apply_edits_labels_annotations_and_patches(f):
    assert f.kubectl("apply", "-f", "-", stdin=DEPLOYMENT).stdout == "deployment.apps/web unchanged\n"
    assert f.kubectl("apply", "-f", "-", stdin=DEPLOYMENT.replace("team: a", "team: b")).stdout == "deployment.apps/web configured\n"
    f.kubectl("label", "deploy", "web", "team-")
    f.kubectl("annotate", "deploy", "web", "note=hi")
    f.kubectl("patch", "deploy", "web", "-p", '{"spec":{"replicas":1}}')
    f.kubectl("patch", "deploy", "web", "--type=json", "-p", '[{"op":"add","path":"/metadata/labels","value":{"j":"1"}}]')
    o = f.get("deploy", "web")
    assert o["spec"]["replicas"] == 1 and o["metadata"]["labels"] == {"j": "1"} and o["metadata"]["annotations"]["note"] == "hi"
    r = f.kubectl("patch", "deploy", "web", "-p", '{"spec":{"replicas":-1}}', check=False)
    assert r.returncode == 1 and "spec.replicas" in r.stderr


def test_an_orphaning_delete_leaves_the_pods(f):
    pods = {p["metadata"]["name"] for p in f.pods()}
    f.kubectl("delete", "deploy", "web", "--cascade=orphan", timeout=20)
    assert names(f, "deploy") == []
    assert {p["metadata"]["name"] for p in f.pods()} == pods
    rs = f.get("rs")["items"]
    assert len(rs) == 1 and "ownerReferences" not in rs[0]["metadata"]
    f.kubectl("apply", "-f", "-", stdin=DEPLOYMENT)  # adopts what is there
    wait_for("adopted", lambda: f.get("rs")["items"][0]["metadata"].get("ownerReferences"), 10)
    assert {p["metadata"]["name"] for p in f.pods()} == pods


def test_a_foreground_delete_waits_for_the_pods(f):
    f.kubectl("delete", "--raw", "/apis/apps/v1/namespaces/default/deployments/web", "-f", "-", check=False,
              stdin=json.dumps({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}))
    wait_for("all is gone", lambda: not names(f, "deploy") and not names(f, "rs") and not f.pods(), 15)


def test_config_maps_secrets_and_namespaces(f):
    f.kubectl("create", "configmap", "c", "--from-literal=a=b")
    assert f.get("configmap", "c")["data"] == {"a": "b"}
    f.kubectl("create", "secret", "generic", "s", "--from-literal=k=v")
    assert f.get("secret", "s")["data"] == {"k": "dg=="}
    f.kubectl("create", "namespace", "n1")
    f.kubectl("create", "configmap", "-n", "n1", "c", "--from-literal=a=b")
    f.kubectl("delete", "namespace", "n1")
    assert f.kubectl("get", "configmap", "-n", "n1", "c", check=False).returncode == 1
    r = f.kubectl("create", "configmap", "c", check=False)
    assert r.returncode == 1 and "already exists" in r.stderr


def test_explain_and_api_resources(f):
    assert "replicas" in f.kubectl("explain", "deploy.spec").stdout
    text = f.kubectl("api-resources").stdout
    for word in ("isvc", "so", "deploy", "hpa", "otelcol"):
        assert re.search(rf"\b{word}\b", text), word


def test_twenty_writers_of_one_object_lose_nothing(f):
    """Two of everything at once: every label of every writer is there."""
    writers = [subprocess.Popen([f.kubectl_path, "label", "deploy", "web", f"w{i}=1"], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, env={"KUBECONFIG": f.env["KUBECONFIG"], "HOME": "/nonexistent"})
               for i in range(20)]
    assert [w.wait(30) for w in writers] == [0] * 20
    labels = f.get("deploy", "web")["metadata"]["labels"]
    assert all(labels.get(f"w{i}") == "1" for i in range(20))


def test_a_value_of_the_wrong_type_is_named_with_its_path(f):
    r = f.kubectl("create", "-f", "-", "--validate=false", stdin=DEPLOYMENT.replace("name: web", "name: other").replace("replicas: 2", "replicas: two"), check=False)
    assert r.returncode != 0 and "spec.replicas" in r.stderr, r.stderr
