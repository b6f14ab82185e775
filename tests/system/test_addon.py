# SPDX-License-Identifier: Apache-2.0
"""The otel-add-on's face: its REST interface to the store (and its gRPC service, in test_scaler.py)."""
import json
import re
import time
import urllib.error
import urllib.request

import pytest

from conftest import wait_for
from pushing import push


@pytest.fixture
def store(flyball_factory):
    f = flyball_factory(args=["--enable-remote-write"])
    now = time.time()
    for age, a, b in ((11, 10, 0), (1, 30, 5)):
        push(f.web, [("m", {"pod": "a", "namespace": "x"}, a), ("m", {"pod": "b", "namespace": "x"}, b)], now - age)
    push(f.web, [("vllm:num_requests_running", {}, 3)])
    return f


def call(f, path, body=None, token=None, method=None):
    headers = {"Authorization": "Bearer " + token} if token else {}
    data = json.dumps(body).encode() if body is not None else None
    try:
        with urllib.request.urlopen(urllib.request.Request(f.web + path, data, headers, method=method), timeout=5) as r:
            return r.status, json.loads(r.read())
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())


def test_names_and_data_are_listed(store):
    assert {"m", "vllm:num_requests_running"} <= set(call(store, "/memstore/names")[1])  # and what is scraped
    status, data = call(store, "/memstore/data")
    assert status == 200 and {"m", "vllm:num_requests_running"} <= set(data)
    a = next(s for s in data["m"] if s["labels"] == {"namespace": "x", "pod": "a"})
    assert [d["value"] for d in a["data"]] == [10, 30] and abs(a["lastUpdate"] - time.time()) < 30
    assert a["aggregatesOverTime"] == {"last_one": 30, "rate": 2, "count": 2, "avg": 20, "min": 10, "max": 30}


@pytest.mark.parametrize("query, operation, value", [
    ("sum(m)", "rate", 2.5), ("max(m)", "avg", 20), ("avg(m)", "max", 17.5), ("m{pod=\"a\"}", "last_one", 30),
    ("vllm:num_requests_running", "last_one", 3), ("sum(m{pod!=\"a\"})", "", 5), ("sum(m{namespace=\"z\"})", "", 0)])
def test_queries_are_answered(store, query, operation, value):
    status, answer = call(store, "/memstore/query", {"query": query, "operationOverTime": operation})
    assert status == 200 and answer == {"ok": True, "operation": operation or "last_one", "error": "", "value": value}


def test_what_is_not_there_and_what_is_wrong(store):
    assert call(store, "/memstore/query", {"query": "no_such"})[1] == {"ok": True, "operation": "last_one", "error": "not found", "value": -1}
    for body, says in (({"query": "rate(m)"}, "1:5"), ({"query": "}"}, "1:1"), ({}, "the query is empty"), ([], "an object is expected"),
                       ({"query": "m", "operationOverTime": "median"}, "one of last_one, rate")):
        status, answer = call(store, "/memstore/query", body)
        assert status == 400 and says in answer["error"], answer
    assert call(store, "/memstore/query")[0] == 405


def test_a_reset_needs_the_token(store):
    token = re.search(r"token: (\S+)", open(store.env["KUBECONFIG"]).read()).group(1)
    for wrong in (None, "x", token + "x"):
        status, answer = call(store, "/memstore/reset", {}, wrong)
        assert status == 401 and "token of the kubeconfig" in answer["error"]
    assert "m" in call(store, "/memstore/names")[1]
    assert call(store, "/memstore/reset", token=token)[0] == 405
    assert call(store, "/memstore/reset", {}, token) == (200, {"ok": True})
    assert "m" not in call(store, "/memstore/names")[1]
    push(store.web, [("m", {"pod": "a"}, 1)])
    assert "m" in call(store, "/memstore/names")[1]


def test_info_names_the_ports(store):
    info = call(store, "/info")[1]
    assert info["kedaExternalScalerPort"] == store.env["FLYBALL_SCALER"].rsplit(":", 1)[1]
    assert info["restApiPort"] == store.web.rsplit(":", 1)[1] and info["metricStoreRetentionSeconds"] == "120"


def test_its_own_series_tell_what_was_read_for_whom(store):
    store.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i", "command": ["sleep", "99"]}]}}}}))
    store.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"name": "web"}, "triggers": [{"type": "external", "metadata": {
            "scalerAddress": store.env["FLYBALL_SCALER"], "metricQuery": 'sum(m{namespace="x"})', "targetValue": "50", "clampMax": "20"}}]}}))

    def page():
        return urllib.request.urlopen(store.web + "/metrics", timeout=5).read().decode()
    labels = r'\{name="m",labels="namespace=x",timeOp="last_one",aggregation="sum",scaledObject="web",namespace="default"\} '
    text = wait_for("it is read", lambda: (lambda t: t if re.search("keda_otel_scaler_metric_value" + labels, t) else None)(page()))
    assert re.search("keda_otel_scaler_metric_value" + labels + "35\n", text)
    assert re.search("keda_otel_scaler_metric_value_clamped" + labels + "20\n", text)
    assert re.search(r'keda_otel_scaler_metric_points_read\{name="m"\} [1-9]', text)
    assert "keda_otel_scaler_runtime_info{" in text
