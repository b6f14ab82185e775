# SPDX-License-Identifier: Apache-2.0
"""The official Python client: what controllers written against Kubernetes rely on."""
import json
import threading
import urllib3

import pytest
from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

from conftest import wait_for

pytestmark = pytest.mark.filterwarnings("ignore")
urllib3.disable_warnings()


@pytest.fixture
def api(flyball):
    return client.CoreV1Api(config.new_client_from_config(flyball.env["KUBECONFIG"]))


def config_map(name, **labels):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels or None), data={"a": "1"})


def refused(fn, status):
    with pytest.raises(ApiException) as e:
        fn()
    assert e.value.status == status, e.value.body
    return json.loads(e.value.body)


def test_errors_have_reason_and_details(api):
    s = refused(lambda: api.read_namespaced_config_map("nope", "default"), 404)
    assert (s["kind"], s["status"], s["reason"]) == ("Status", "Failure", "NotFound")
    assert s["details"] == {"name": "nope", "kind": "configmaps"}
    api.create_namespaced_config_map("default", config_map("one"))
    assert refused(lambda: api.create_namespaced_config_map("default", config_map("one")), 409)["reason"] == "AlreadyExists"
    assert refused(lambda: api.create_namespaced_config_map("nowhere", config_map("one")), 404)["details"]["kind"] == "namespaces"
    s = refused(lambda: api.create_namespaced_config_map("default", config_map("Not_a_name")), 422)
    assert s["reason"] == "Invalid" and s["details"]["causes"][0]["field"] == "metadata.name"


def test_optimistic_locking(api):
    o = api.create_namespaced_config_map("default", config_map("locked"))
    o.data["a"] = "2"
    newer = api.replace_namespaced_config_map("locked", "default", o)
    assert newer.metadata.resource_version != o.metadata.resource_version
    o.data["a"] = "3"
    assert refused(lambda: api.replace_namespaced_config_map("locked", "default", o), 409)["reason"] == "Conflict"
    assert api.read_namespaced_config_map("locked", "default").data["a"] == "2"
    wrong = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="someone-else"))
    assert refused(lambda: api.delete_namespaced_config_map("locked", "default", body=wrong), 409)["reason"] == "Conflict"


def test_each_kind_of_patch(api):
    api.create_namespaced_config_map("default", config_map("patched"))
    custom = client.ApiClient(api.api_client.configuration)
    for content_type, body in (("application/merge-patch+json", {"data": {"b": "2", "a": None}}),
                               ("application/strategic-merge-patch+json", {"metadata": {"labels": {"x": "y"}}}),
                               ("application/json-patch+json", [{"op": "test", "path": "/data/b", "value": "2"},
                                                                {"op": "add", "path": "/data/c", "value": "3"}])):
        custom.call_api("/api/v1/namespaces/default/configmaps/patched", "PATCH", body=body,
                        header_params={"Content-Type": content_type}, auth_settings=["BearerToken"], response_type="object")
    o = api.read_namespaced_config_map("patched", "default")
    assert o.data == {"b": "2", "c": "3"} and o.metadata.labels == {"x": "y"}
    bad = refused(lambda: custom.call_api("/api/v1/namespaces/default/configmaps/patched", "PATCH", body={},
                                          header_params={"Content-Type": "application/json"}, auth_settings=["BearerToken"]), 415)
    assert "merge-patch" in bad["message"]


def test_lists_are_selected_and_paged(api):
    for i in range(25):
        api.create_namespaced_config_map("default", config_map(f"page-{i:02d}", page="yes", parity=str(i % 2)))
    assert len(api.list_namespaced_config_map("default", label_selector="page=yes,parity!=0").items) == 12
    assert [o.metadata.name for o in api.list_namespaced_config_map("default", field_selector="metadata.name=page-07").items] == ["page-07"]
    seen, token, pages = [], None, 0
    while True:
        part = api.list_namespaced_config_map("default", label_selector="page=yes", limit=10, _continue=token)
        seen += [o.metadata.name for o in part.items]
        pages += 1
        token = part.metadata._continue
        if not token:
            break
    assert seen == [f"page-{i:02d}" for i in range(25)]
    assert pages in (1, 3)  # a server may give more than asked for, never less than all


def test_a_watch_resumes_where_it_was_cut(api):
    """Every change is seen once, in order, over three connections. (This client writes watch=True.)"""
    version = api.list_namespaced_config_map("default").metadata.resource_version
    for i in range(10):
        api.create_namespaced_config_map("default", config_map(f"w-{i}"))
        api.delete_namespaced_config_map(f"w-{i}", "default")
    seen = []
    for _ in range(3):
        w = watch.Watch()
        for event in w.stream(api.list_namespaced_config_map, "default", resource_version=version, timeout_seconds=10):
            seen.append((event["type"], event["object"].metadata.name))
            version = event["object"].metadata.resource_version
            if len(seen) % 7 == 0 or len(seen) == 20:
                w.stop()
    assert seen == [(t, f"w-{i}") for i in range(10) for t in ("ADDED", "DELETED")]


def test_a_watch_with_bookmarks_and_one_from_a_version_that_is_gone(api):
    api.create_namespaced_config_map("default", config_map("there"))
    raw = api.list_namespaced_config_map("default", watch=True, allow_watch_bookmarks=True, resource_version="0",
                                         timeout_seconds=3, _preload_content=False)
    kinds = [json.loads(line)["type"] for line in b"".join(raw.stream()).splitlines()]
    assert set(kinds) <= {"ADDED", "BOOKMARK"} and "ADDED" in kinds
    raw = api.list_namespaced_config_map("default", watch=True, resource_version="1", timeout_seconds=3, _preload_content=False)
    first = json.loads(b"".join(raw.stream()).splitlines()[0])
    # either replayed from the beginning, or 410 in an ERROR event: never silently from now on
    assert first["type"] == "ADDED" or (first["type"], first["object"]["code"], first["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_two_candidates_elect_one_leader_and_the_other_follows(api):
    lease = client.CoordinationV1Api(api.api_client)
    body = lambda holder: client.V1Lease(metadata=client.V1ObjectMeta(name="leader"),
                                         spec=client.V1LeaseSpec(holder_identity=holder, lease_duration_seconds=15))
    won, start = [], threading.Barrier(8)

    def candidate(i):
        start.wait()
        try:
            lease.create_namespaced_lease("default", body(f"c{i}"))
            won.append(i)
        except ApiException as e:
            assert e.status == 409

    threads = [threading.Thread(target=candidate, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(won) == 1
    o = lease.read_namespaced_lease("leader", "default")
    assert o.spec.holder_identity == f"c{won[0]}"


def test_objects_of_custom_kinds(flyball, api):
    custom = client.CustomObjectsApi(api.api_client)
    where = ("keda.sh", "v1alpha1", "default", "scaledobjects")
    body = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "so"}, "spec": {
        "scaleTargetRef": {"name": "web"}, "triggers": [{"type": "cron", "metadata": {
            "timezone": "UTC", "start": "0 0 * * *", "end": "1 0 * * *", "desiredReplicas": "1"}}]}}
    custom.create_namespaced_custom_object(*where, body)
    assert custom.list_namespaced_custom_object(*where)["items"][0]["kind"] == "ScaledObject"
    wait_for("its controller has looked at it", lambda: custom.get_namespaced_custom_object(*where, "so")["status"]["conditions"])
    custom.delete_namespaced_custom_object(*where, "so")
    wait_for("it is gone", lambda: custom.list_namespaced_custom_object(*where)["items"] == [])


def test_a_deployment_its_scale_and_its_logs(flyball, api):
    apps = client.AppsV1Api(api.api_client)
    apps.create_namespaced_deployment("default", {"metadata": {"name": "d"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": "d"}}, "template": {
            "metadata": {"labels": {"app": "d"}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [
                {"name": "main", "image": "local/d", "command": ["/bin/sh", "-c", "echo hello; exec sleep 1000"]}]}}}})
    wait_for("it is available", lambda: apps.read_namespaced_deployment("d", "default").status.available_replicas == 1)
    pod = api.list_namespaced_pod("default", label_selector="app=d").items[0]
    wait_for("the log", lambda: api.read_namespaced_pod_log(pod.metadata.name, "default") == "hello\n")
    scale = apps.read_namespaced_deployment_scale("d", "default")
    scale.spec.replicas = 3
    assert apps.replace_namespaced_deployment_scale("d", "default", scale).spec.replicas == 3
    wait_for("three pods", lambda: apps.read_namespaced_deployment_scale("d", "default").status.replicas == 3)
    apps.delete_namespaced_deployment("d", "default", propagation_policy="Foreground")
    wait_for("all gone", lambda: api.list_namespaced_pod("default", label_selector="app=d").items == [])


def test_without_the_token_nothing_is_told(flyball, api):
    anonymous = client.Configuration()
    anonymous.host, anonymous.ssl_ca_cert = api.api_client.configuration.host, api.api_client.configuration.ssl_ca_cert
    s = refused(lambda: client.CoreV1Api(client.ApiClient(anonymous)).list_namespaced_secret("default"), 401)
    assert s["reason"] == "Unauthorized"
