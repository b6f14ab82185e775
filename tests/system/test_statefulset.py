# SPDX-License-Identifier: Apache-2.0
"""StatefulSets and LimitRanges through kubectl: order, updates, deletion, what is told."""
import json
import os
import pathlib
import re
import tempfile
import urllib.parse
import urllib.request

import pytest

from conftest import wait_for
from test_hpa import PODS, create, deployment, hpa, say


@pytest.fixture
def shared():
    """A directory that pods, which run as another user, can look into."""
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o777)
        yield pathlib.Path(d)


def sts(name="web", replicas=3, version="1", ready_if=None, metadata=None, template=None, **spec):
    """ready_if: a directory in which a file of the pod's name makes it ready."""
    container = {"name": "main", "image": "local/x", "command": ["sleep", "1000"],
                 "env": [{"name": "VERSION", "value": version}]}
    if ready_if:
        container["readinessProbe"] = {"periodSeconds": 1, "failureThreshold": 1, "exec": {
            "command": ["sh", "-c", f"test -e {ready_if}/$POD_NAME"]}}
    return json.dumps({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name, **(metadata or {})},
        "spec": {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": {"app": name}},
                 "template": {"metadata": {"labels": {"app": name}},
                              "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **(template or {})}},
                 **spec}})


def apply(f, body, **kw):
    return f.kubectl("apply", "-f", "-", stdin=body, **kw)


def names(f):
    return sorted(p["metadata"]["name"] for p in f.pods())


def uids(f):
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in f.pods()}


def versions(f):
    return {p["metadata"]["name"]: p["spec"]["containers"][0]["env"][0]["value"] for p in f.pods()}


def status(f, name="web"):
    return f.get("sts", name)["status"]


def settled(f, replicas, name="web"):
    """All of them are available, and of the newest template."""
    def check():
        s = f.get("sts", name)
        st = s["status"]
        return (st.get("observedGeneration") == s["metadata"]["generation"] and st["replicas"] == replicas
                and st["availableReplicas"] == replicas and st.get("updatedReplicas", 0) == replicas
                and st["currentRevision"] == st["updateRevision"])
    wait_for(f"{replicas} pods of {name}", check, 20)


def events(f, reason):
    return [e for e in f.get("events")["items"] if e["reason"] == reason]


# --- order ---


def test_each_pod_waits_for_the_one_before_it(flyball, shared):
    f = flyball
    apply(f, sts(ready_if=shared))
    for i in range(3):
        wait_for(f"web-{i}", lambda: [p["status"]["phase"] for p in f.pods()] == ["Running"] * (i + 1))
        assert names(f) == [f"web-{k}" for k in range(i + 1)]
        assert status(f).get("readyReplicas", 0) == i
        (shared / f"web-{i}").touch()
    f.kubectl("rollout", "status", "sts/web", "--timeout=20s")
    pod = f.get("pod", "web-2")
    revision = status(f)["updateRevision"]
    assert pod["metadata"]["labels"] == {"app": "web", "statefulset.kubernetes.io/pod-name": "web-2",
                                         "apps.kubernetes.io/pod-index": "2", "controller-revision-hash": revision}
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-2", "web")
    owner = pod["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("StatefulSet", "web", True)
    settled(f, 3)
    assert status(f) == {"observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "currentReplicas": 3,
                         "updatedReplicas": 3, "availableReplicas": 3, "currentRevision": revision,
                         "updateRevision": revision}
    told = sorted(e["message"] for e in events(f, "SuccessfulCreate") if e["involvedObject"]["kind"] == "StatefulSet")
    assert told == [f"create Pod web-{i} in StatefulSet web successful" for i in range(3)]


def test_the_highest_goes_first_and_not_while_another_is_sick(flyball, shared):
    f = flyball
    for i in range(3):
        (shared / f"web-{i}").touch()
    apply(f, sts(ready_if=shared))
    settled(f, 3)
    (shared / "web-0").unlink()
    wait_for("web-0 is not ready", lambda: status(f).get("readyReplicas") == 2)
    f.kubectl("scale", "sts/web", "--replicas=1")
    wait_for("it has been seen", lambda: status(f)["observedGeneration"] == 2)
    assert names(f) == ["web-0", "web-1", "web-2"]
    (shared / "web-0").touch()
    settled(f, 1)
    assert names(f) == ["web-0"]
    gone = [e["message"] for e in sorted(events(f, "SuccessfulDelete"), key=lambda e: int(e["metadata"]["resourceVersion"]))]
    assert gone == ["delete Pod web-2 in StatefulSet web successful", "delete Pod web-1 in StatefulSet web successful"]


def test_parallel_does_not_wait(flyball, shared):
    f = flyball
    apply(f, sts(ready_if=shared, podManagementPolicy="Parallel"))  # none of which gets ready
    wait_for("all at once", lambda: names(f) == ["web-0", "web-1", "web-2"])
    f.kubectl("scale", "sts/web", "--replicas=0")
    wait_for("none", lambda: names(f) == [] and status(f)["replicas"] == 0)


def test_ordinals_may_start_elsewhere(flyball):
    f = flyball
    apply(f, sts(replicas=2, ordinals={"start": 5}))
    settled(f, 2)
    assert names(f) == ["web-5", "web-6"]
    apply(f, sts(replicas=2, ordinals={"start": 6}))
    wait_for("moved", lambda: names(f) == ["web-6", "web-7"])


def test_a_pod_that_is_deleted_or_has_ended_comes_back_under_its_name(flyball):
    f = flyball
    apply(f, sts(replicas=2))
    settled(f, 2)
    was = uids(f)
    f.kubectl("delete", "pod", "web-0", "--wait=false")  # newer kubectls may wait for the next one to go
    wait_for("it is another one", lambda: uids(f)["web-0"] != was["web-0"])
    settled(f, 2)
    assert uids(f)["web-1"] == was["web-1"]


def test_min_ready_seconds_hold_the_next_one_back(flyball):
    f = flyball
    apply(f, sts(replicas=2, minReadySeconds=2))
    wait_for("the first is ready", lambda: status(f).get("readyReplicas") == 1)
    assert status(f)["availableReplicas"] == 0 and names(f) == ["web-0"]
    settled(f, 2)


# --- updates ---


def test_a_new_template_goes_from_the_top_down_and_can_be_undone(flyball):
    f = flyball
    apply(f, sts())
    settled(f, 3)
    first = status(f)["currentRevision"]
    apply(f, sts(version="2"))
    wait_for("done", lambda: "complete" in f.kubectl("rollout", "status", "sts/web", "--timeout=20s").stdout)
    settled(f, 3)
    assert set(versions(f).values()) == {"2"}
    gone = [re.search(r"web-\d", e["message"])[0]
            for e in sorted(events(f, "SuccessfulDelete"), key=lambda e: int(e["metadata"]["resourceVersion"]))]
    assert gone == ["web-2", "web-1", "web-0"]
    second = status(f)["currentRevision"]
    assert first != second
    assert re.findall(r"^(\d)", f.kubectl("rollout", "history", "sts/web").stdout, re.M) == ["1", "2"]
    assert "VERSION:\t1" in f.kubectl("rollout", "history", "sts/web", "--revision=1").stdout
    f.kubectl("rollout", "undo", "sts/web")
    wait_for("the old one", lambda: set(versions(f).values()) == {"1"}, 20)
    settled(f, 3)
    assert status(f)["currentRevision"] == first  # the same one, as the newest
    assert re.findall(r"^(\d)", f.kubectl("rollout", "history", "sts/web").stdout, re.M) == ["2", "3"]
    out = f.kubectl("get", "controllerrevisions").stdout
    assert re.search(rf"^{first} +statefulset.apps/web +3 ", out, re.M), out


def test_what_is_below_the_partition_stays_and_comes_back_as_it_was(flyball):
    f = flyball
    apply(f, sts())
    settled(f, 3)
    update = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}
    apply(f, sts(version="2", **update))
    wait_for("one is new", lambda: versions(f) == {"web-0": "1", "web-1": "1", "web-2": "2"})
    assert "partitioned roll out complete: 1 new pods" in f.kubectl("rollout", "status", "sts/web", "--timeout=20s").stdout
    wait_for("counts", lambda: (status(f).get("currentReplicas"), status(f).get("updatedReplicas")) == (2, 1))
    was = uids(f)
    f.kubectl("delete", "pod", "web-0", "web-2", "--wait=false")
    wait_for("both are back", lambda: status(f).get("readyReplicas") == 3 and len(set(uids(f).items()) - set(was.items())) == 2)
    assert versions(f) == {"web-0": "1", "web-1": "1", "web-2": "2"}
    update["updateStrategy"]["rollingUpdate"]["partition"] = 0
    apply(f, sts(version="2", **update))
    settled(f, 3)
    assert set(versions(f).values()) == {"2"}


def test_on_delete_leaves_it_to_the_user(flyball):
    f = flyball
    apply(f, sts(replicas=2, updateStrategy={"type": "OnDelete"}))
    wait_for("two", lambda: status(f).get("readyReplicas") == 2)
    apply(f, sts(replicas=2, version="2", updateStrategy={"type": "OnDelete"}))
    wait_for("a new revision", lambda: status(f)["updateRevision"] != status(f)["currentRevision"])
    assert set(versions(f).values()) == {"1"}
    f.kubectl("delete", "pod", "web-0", "--wait=false")
    wait_for("that one is new", lambda: versions(f) == {"web-0": "2", "web-1": "1"})


def test_old_revisions_have_a_limit(flyball):
    f = flyball
    for v in range(4):
        apply(f, sts(replicas=1, version=str(v), revisionHistoryLimit=1))
        settled(f, 1)
    wait_for("two are left", lambda: sorted(r["revision"] for r in f.get("controllerrevisions")["items"]) == [3, 4])


# --- its end ---


def test_deletion_takes_pods_and_revisions_along(flyball):
    f = flyball
    for how in ("background", "foreground"):
        apply(f, sts(replicas=2))
        settled(f, 2)
        f.kubectl("delete", "sts", "web", f"--cascade={how}")
        if how == "foreground":
            assert names(f) == []
        wait_for("all gone", lambda: not f.get("pods")["items"] and not f.get("controllerrevisions")["items"])


def test_orphans_are_taken_over_as_they_are(flyball):
    f = flyball
    apply(f, sts(replicas=2))
    settled(f, 2)
    was = uids(f)
    f.kubectl("delete", "sts", "web", "--cascade=orphan")
    assert all("ownerReferences" not in p["metadata"] for p in f.pods())
    apply(f, sts(replicas=2))
    settled(f, 2)
    assert uids(f) == was


def test_a_kill_changes_nothing(flyball):
    f = flyball
    apply(f, sts(replicas=2))
    settled(f, 2)
    was = uids(f)
    revision = status(f)["currentRevision"]
    f.kill()
    f.start()
    settled(f, 2)
    assert uids(f) == was
    assert status(f)["currentRevision"] == revision


# --- what kubectl shows, what is refused ---


def test_what_kubectl_shows(flyball):
    f = flyball
    apply(f, sts(replicas=1))
    settled(f, 1)
    wide = f.kubectl("get", "sts", "-o", "wide").stdout.splitlines()
    assert wide[0].split() == ["NAME", "READY", "AGE", "CONTAINERS", "IMAGES"]
    assert re.fullmatch(r"web +1/1 +\w+ +main +local/x", wide[1])
    assert "statefulset.apps/web" in f.kubectl("get", "all").stdout
    text = f.kubectl("describe", "sts", "web").stdout
    assert "1 desired | 1 total" in text and "1 Running / 0 Waiting" in text and "SuccessfulCreate" in text
    assert "podManagementPolicy" in f.kubectl("explain", "sts.spec").stdout


def test_a_claim_is_an_emptydir_and_that_is_told(flyball):
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
                                                    "resources": {"requests": {"storage": "1Gi"}}}}
    r = apply(flyball, sts(replicas=1, volumeClaimTemplates=[{"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim}],
                           template={"volumes": [{"name": "data", "hostPath": {"path": "/x"}}, {"name": "tmp", "emptyDir": {}}]}))
    assert 'no PersistentVolumeClaim is made here, an emptyDir "data"' in r.stderr
    settled(flyball, 1)
    assert flyball.get("pod", "web-0")["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {}},
                                                              {"name": "data", "emptyDir": {}}]


def test_what_may_not_be_written(flyball):
    f = flyball
    apply(f, sts(replicas=0))
    for body, why in (
            (sts(replicas=0, serviceName="other"), "spec: Forbidden: updates to statefulset spec for fields other than"),
            (sts("b", podManagementPolicy="Random"), "must be 'OrderedReady' or 'Parallel'"),
            (sts("b", updateStrategy={"type": "Recreate"}), "must be 'RollingUpdate' or 'OnDelete'"),
            (sts("b", ordinals={"start": -1}), "must be greater than or equal to 0"),
            (sts("b", template={"restartPolicy": "Never"}), 'supported values: "Always"'),
            (sts("b", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}),
             "maxUnavailable: Invalid value"),
            (sts("b", selector={"matchLabels": {"app": "c"}}), "does not match template")):
        r = apply(f, body, check=False)
        assert r.returncode != 0 and why in r.stderr, (why, r.stderr)


def service(name, app, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
        "selector": {"app": app}, "ports": [{"port": 8080}], **spec}}


def test_a_headless_service_knows_its_pods_by_name(flyball):
    f = flyball
    create(f, service("web", "web", clusterIP="None"))
    apply(f, sts(replicas=2))
    settled(f, 2)
    wait_for("both are there", lambda: sorted(
        a["hostname"] for a in f.get("endpoints", "web")["subsets"][0]["addresses"]) == ["web-0", "web-1"])


def test_pods_that_are_not_ready_are_published_where_a_service_says_so(flyball, shared):
    f = flyball
    create(f, service("web", "web", clusterIP="None", publishNotReadyAddresses=True), service("usual", "web"))
    apply(f, sts(ready_if=shared))
    wait_for("it is there", lambda: [a["hostname"] for a in f.get("endpoints", "web")["subsets"][0]["addresses"]] == ["web-0"])
    wait_for("and not there", lambda: len(f.get("endpoints", "usual")["subsets"][0]["notReadyAddresses"]) == 1)
    assert "addresses" not in f.get("endpoints", "usual")["subsets"][0]


def test_a_service_leads_to_the_pods(flyball):
    f = flyball
    create(f, saying(replicas=2), service("load", "web"))
    settled(f, 2)
    say(f, 4)
    ip = f.get("service", "load")["spec"]["clusterIP"]
    wait_for("an answer", lambda: b"app_load" in urllib.request.urlopen(f"http://{ip}:8080/metrics", timeout=2).read())


# --- scaled by others ---


def saying(name="web", app=None, **spec):
    """A StatefulSet whose pods say a load; of the Deployment of test_hpa.py."""
    s = deployment(app or name)
    s["kind"], s["metadata"]["name"] = "StatefulSet", name
    s["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    s["spec"].update(spec)
    return s


def scaled(name, query, **spec):
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": name}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name},
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}},
        "triggers": [{"type": "prometheus", "metadata": {
            "serverAddress": "http://prometheus.istio-system.svc:9090", "query": query, "threshold": "2"}}], **spec}}


def count(f, name="web"):
    return f.get("sts", name)["spec"]["replicas"]


def series(f, expr):
    url = f.web + "/api/v1/query?query=" + urllib.parse.quote(expr)
    return json.load(urllib.request.urlopen(url, timeout=10))["data"]["result"]


def test_a_scaledobject_takes_a_set_up_down_to_zero_and_back(flyball):
    f = flyball
    create(f, deployment("source"), saying())
    settled(f, 1)
    wait_for("the source", lambda: f.get("deploy", "source")["status"].get("readyReplicas") == 1)
    say(f, 6, "source")
    create(f, scaled("web", 'sum(app_load{deployment="source"})', minReplicaCount=0, maxReplicaCount=5, cooldownPeriod=1))
    wait_for("three", lambda: count(f) == 3)
    settled(f, 3)
    assert names(f)[1:] == ["web-0", "web-1", "web-2"]
    so = f.get("scaledobject", "web")
    assert (so["status"]["scaleTargetKind"], so["status"]["hpaName"]) == ("apps/v1.StatefulSet", "keda-hpa-web")
    assert re.search(r"keda-hpa-web +StatefulSet/web ", f.kubectl("get", "hpa").stdout)
    say(f, 3, "source")
    wait_for("two", lambda: count(f) == 2)
    say(f, 0, "source")
    wait_for("none", lambda: count(f) == 0 and status(f)["replicas"] == 0, 20)
    say(f, 4, "source")
    wait_for("two again", lambda: count(f) == 2, 20)
    settled(f, 2)


def test_a_bare_query_counts_the_sets_own_pods_only(flyball):
    f = flyball
    create(f, saying(app="set"), deployment("web"))  # a Deployment of the same name says something too
    settled(f, 1)
    wait_for("both", lambda: f.get("deploy", "web")["status"].get("readyReplicas") == 1)
    say(f, 6, "set")
    say(f, 100, "web")
    wait_for("both are scraped", lambda: {s["value"][1] for s in series(f, "app_load")} == {"6", "100"})
    mine, = series(f, 'app_load{statefulset="web"}')
    assert mine["value"][1] == "6" and "deployment" not in mine["metric"] and mine["metric"]["pod"] == "web-0"
    create(f, scaled("web", "app_load", maxReplicaCount=9))
    wait_for("three", lambda: count(f) == 3)
    wait_for("what it has seen", lambda: f.get("hpa", "keda-hpa-web")["status"]["currentMetrics"][0]
             ["external"]["current"]["averageValue"] in ("6", "2"))
    assert count(f) == 3


def test_a_query_that_counts_others_says_how_to_narrow_it(flyball):
    f = flyball
    create(f, saying(), deployment("other"))
    settled(f, 1)
    create(f, scaled("web", "sum(app_load)"))
    wait_for("it is told", lambda: any('counts pods of default/other too: add {namespace="default", statefulset="web"}'
                                       in e["message"] for e in events(f, "QuerySpansWorkloads")))


def test_an_hpa_of_a_users_own_scales_a_set(flyball):
    f = flyball
    own = hpa([PODS])
    own["spec"]["scaleTargetRef"]["kind"] = "StatefulSet"
    create(f, saying(), own)
    settled(f, 1)
    say(f, 6)
    wait_for("three", lambda: count(f) == 3)
    wait_for("all are ready", lambda: status(f).get("readyReplicas") == 3)
    say(f, 1.3)
    wait_for("two", lambda: count(f) == 2)
    settled(f, 2)
    assert names(f) == ["web-0", "web-1"]


def test_a_cpu_trigger_needs_requests_or_a_limitrange(flyball):
    f = flyball
    apply(f, sts(replicas=1))
    cpu = scaled("web", "x", minReplicaCount=1, triggers=[
        {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "50"}}])
    r = apply(f, json.dumps(cpu), check=False)
    assert r.returncode != 0 and "the container main doesn't have the cpu request defined" in r.stderr
    apply(f, limit_range(default={"cpu": "1"}))
    apply(f, json.dumps(cpu))


# --- LimitRanges ---


def limit_range(**item):
    return json.dumps({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"},
                       "spec": {"limits": [{"type": "Container", **item}]}})


def test_a_limitrange_gives_what_pods_lack_and_refuses_what_is_too_much(flyball):
    f = flyball
    apply(f, limit_range(max={"memory": "1Gi"}, default={"memory": "512Mi"}, defaultRequest={"memory": "64Mi"}))
    assert re.match(r"NAME +CREATED AT\nlimits +20", f.kubectl("get", "limits").stdout)
    assert re.search(r"Container +memory +- +1Gi +64Mi +512Mi", f.kubectl("describe", "limits", "limits").stdout)
    apply(f, sts(replicas=1))
    settled(f, 1)
    pod = f.get("pod", "web-0")
    assert pod["spec"]["containers"][0]["resources"] == {"limits": {"memory": "512Mi"}, "requests": {"memory": "64Mi"}}
    assert pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == \
        "LimitRanger plugin set: memory request for container main; memory limit for container main"
    settled(f, 1)  # and the template is still what was written: there is nothing to roll out
    r = apply(f, json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "big"}, "spec": {"containers": [
        {"name": "main", "image": "local/x", "resources": {"limits": {"memory": "2Gi"}}}]}}), check=False)
    assert r.returncode != 0
    assert 'pods "big" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi' in r.stderr


def test_a_workload_whose_pods_are_refused_says_so(flyball):
    f = flyball
    apply(f, limit_range(min={"cpu": "1"}, max={"cpu": "2"}))
    big = {"containers": [{"name": "main", "image": "local/x", "command": ["sleep", "1000"],
                           "resources": {"limits": {"cpu": "4"}}}]}
    apply(f, sts(replicas=1, template=big))
    apply(f, json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "dep"}, "spec": {
        "selector": {"matchLabels": {"app": "dep"}}, "template": {"metadata": {"labels": {"app": "dep"}}, "spec": big}}}))
    wait_for("both are told", lambda: {e["involvedObject"]["kind"] for e in events(f, "FailedCreate")
                                       if "maximum cpu usage per Container is 2, but limit is 4" in e["message"]}
             == {"StatefulSet", "ReplicaSet"})
    f.kubectl("delete", "limits", "limits")
    wait_for("and then they come", lambda: status(f).get("readyReplicas") == 1
             and f.get("deployment", "dep")["status"].get("readyReplicas") == 1, 30)
