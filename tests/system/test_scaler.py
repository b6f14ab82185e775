# SPDX-License-Identifier: Apache-2.0
"""The external scaler service as a real KEDA speaks to it: grpcio with official messages, one connection for all."""
import queue
import re
import threading
import time
import urllib.request

import grpc
import pytest
from google.protobuf import descriptor_pb2

from conftest import wait_for
from externalscaler import SERVICE, Stub, file_descriptor, message, ref
from pushing import push

METRIC = "vllm:num_requests_running"
QUERY = f'sum({METRIC}{{namespace="default", deployment="web"}})'


@pytest.fixture
def scaler(flyball_factory):
    f = flyball_factory(args=["--enable-remote-write"])
    with grpc.insecure_channel(f.env["FLYBALL_SCALER"]) as channel:
        f.channel, f.stub = channel, Stub(channel)
        yield f


def load(f, value, pod="a", name="web", at=None):
    push(f.web, [(METRIC, {"namespace": "default", "deployment": name, "pod": pod}, value)], at)


def get_metrics(f, name="default-web", **metadata):
    r = f.stub.GetMetrics(message("GetMetricsRequest")(scaledObjectRef=ref(**metadata), metricName=name), timeout=3)
    assert [v.metricName for v in r.metricValues] == [name]
    return r.metricValues[0]


def refused(fn, *args, **kw):
    with pytest.raises(grpc.RpcError) as e:
        fn(*args, **kw)
    return e.value.code(), e.value.details()


class Held:
    """A StreamIsActive that is read by a thread of its own."""

    def __init__(self, stub, r, **kw):
        self.call, self.got, self.end = stub.StreamIsActive(r, **kw), queue.Queue(), None
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            for m in self.call:
                self.got.put(m.result)
            self.end = grpc.StatusCode.OK
        except grpc.RpcError as e:
            self.end = e.code()

    def next(self, timeout=5):
        return self.got.get(timeout=timeout)


def test_what_keda_asks_on_every_poll(scaler):
    load(scaler, 5)
    load(scaler, 2.5, "b")
    meta = {"metricQuery": QUERY, "targetValue": "4.000000", "scalerAddress": "keda-otel-scaler.keda.svc:4318"}
    for _ in range(20):
        specs = scaler.stub.GetMetricSpec(ref(**meta), timeout=3).metricSpecs
        assert [(s.metricName, s.targetSize, s.targetSizeFloat) for s in specs] == [("default-web", 4, 4.0)]
        v = get_metrics(scaler, **meta)
        assert (v.metricValue, v.metricValueFloat) == (8, 7.5)
        assert scaler.stub.IsActive(ref(**meta), timeout=3).result
    spec = scaler.stub.GetMetricSpec(ref("a-b", "ns", metricQuery="m", targetValue="2.5")).metricSpecs[0]
    assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == ("ns-a-b", 3, 2.5)
    v = get_metrics(scaler, metricQuery=QUERY, clampMax="6")
    assert (v.metricValue, v.metricValueFloat) == (6, 6)
    load(scaler, 0)
    load(scaler, 0, "b")
    v = get_metrics(scaler, **meta)
    assert (v.metricValue, v.metricValueFloat) == (0, 0) and not scaler.stub.IsActive(ref(**meta)).result


def test_operations_over_time_and_promql(scaler):
    now = time.time()
    for age, value in ((20, 10), (10, 30), (0, 5)):
        load(scaler, value, at=now - age)
    for operation, value in (("last_one", 5), ("rate", 1.25), ("count", 3), ("avg", 15), ("min", 5), ("max", 30)):
        assert get_metrics(scaler, metricQuery=QUERY, operationOverTime=operation).metricValueFloat == value
    assert get_metrics(scaler, metricQuery=f'max_over_time({METRIC}{{pod!="b"}}[1m]) / 2').metricValueFloat == 15


def test_bad_metadata_is_refused_with_what_to_do(scaler):
    for metadata, says in (({}, "metricQuery is missing"), ({"metricQuery": "rate(m)"}, "1:5"), ({"metricQuery": "}"}, "1:1"),
                           ({"metricQuery": "m", "operationOverTime": "median"}, "one of last_one, rate"),
                           ({"metricQuery": "m", "clampMin": "x"}, "clampMin 'x' is not a number")):
        for fn in (scaler.stub.IsActive, lambda r: next(scaler.stub.StreamIsActive(r))):
            code, details = refused(fn, ref(**metadata))
            assert code == grpc.StatusCode.INVALID_ARGUMENT and says in details, details
    code, details = refused(scaler.stub.GetMetricSpec, ref(metricQuery="m", targetValue="0"))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "targetValue '0' must be greater than 0" in details
    assert refused(scaler.stub.StreamMetricSpec(ref(metricQuery="m")).next)[0] == grpc.StatusCode.UNIMPLEMENTED
    raw = scaler.channel.unary_unary(f"/{SERVICE}/IsActive")
    assert refused(raw, b"\x0a\x05we")[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_what_nobody_has_sent_is_an_error_and_what_has_gone_is_zero(scaler):
    code, details = refused(get_metrics, scaler, metricQuery=QUERY)
    assert code == grpc.StatusCode.NOT_FOUND and "no metric" in details and METRIC in details
    assert get_metrics(scaler, metricQuery=QUERY, valueIfNotFound="1.5").metricValueFloat == 1.5
    load(scaler, 3)
    assert get_metrics(scaler, metricQuery=QUERY).metricValueFloat == 3
    assert get_metrics(scaler, metricQuery=f'sum({METRIC}{{namespace="other"}})').metricValueFloat == 0
    load(scaler, None)
    assert get_metrics(scaler, metricQuery=QUERY).metricValueFloat == 0
    assert not scaler.stub.IsActive(ref(metricQuery=QUERY)).result
    load(scaler, float("nan"), "b")
    code, details = refused(get_metrics, scaler, metricQuery=QUERY)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "NaN" in details


def test_hundreds_of_streams_on_one_connection(scaler):
    load(scaler, 0)
    streams = [Held(scaler.stub, ref(f"so-{i}", metricQuery=QUERY)) for i in range(300)]
    others = [Held(scaler.stub, ref(f"other-{i}", metricQuery=f'sum({METRIC}{{namespace="default", deployment="other"}})')) for i in range(50)]
    assert [s.next() for s in streams + others] == [False] * 350  # the state at once, known or not
    for s in streams[::3]:
        s.call.cancel()
    late = []
    for value, expected in ((1, True), (0, False), (7, True)):
        since = time.monotonic()
        load(scaler, value)
        assert all(s.next() is expected for i, s in enumerate(streams) if i % 3)
        late.append(time.monotonic() - since)
        assert get_metrics(scaler, metricQuery=QUERY).metricValueFloat == value  # polls go on beside
    print("200 streams told within", [f"{t * 1000:.0f} ms" for t in late])
    assert all(s.got.empty() for s in others) and all(s.got.empty() for s in streams[::3])
    assert all(s.end == grpc.StatusCode.CANCELLED for s in streams[::3])
    load(scaler, 2, name="other")
    assert all(s.next() is True for s in others)


def test_a_stream_is_told_only_of_changes_and_ends_at_its_deadline(scaler):
    load(scaler, 1)
    s = Held(scaler.stub, ref(metricQuery=QUERY), timeout=2)
    assert s.next() is True
    for value in (2, 3, 4):
        load(scaler, value)  # still active: no news
    load(scaler, None)
    assert s.next() is False
    s.thread.join(5)
    assert s.end == grpc.StatusCode.DEADLINE_EXCEEDED and s.got.empty()


def test_streams_end_with_ok_when_the_program_ends(scaler):
    load(scaler, 1)
    streams = [Held(scaler.stub, ref(f"so-{i}", metricQuery=QUERY)) for i in range(20)]
    assert all(s.next() for s in streams)
    scaler.stop()
    for s in streams:
        s.thread.join(5)
        assert s.end == grpc.StatusCode.OK


def test_a_store_that_was_emptied_is_not_a_load_of_zero(scaler):
    load(scaler, 4)
    assert get_metrics(scaler, metricQuery=QUERY).metricValueFloat == 4
    token = re.search(r"token: (\S+)", open(scaler.env["KUBECONFIG"]).read()).group(1)
    urllib.request.urlopen(urllib.request.Request(scaler.web + "/memstore/reset", b"", {"Authorization": "Bearer " + token}))
    assert refused(get_metrics, scaler, metricQuery=QUERY)[0] == grpc.StatusCode.NOT_FOUND
    load(scaler, 5)
    assert get_metrics(scaler, metricQuery=QUERY).metricValueFloat == 5


def test_a_restart_is_not_a_load_of_zero(scaler):
    load(scaler, 4)
    assert get_metrics(scaler, metricQuery=QUERY).metricValueFloat == 4
    address = scaler.env["FLYBALL_SCALER"]
    scaler.kill()
    scaler.args += ["--scaler-listen", address]
    scaler.start()
    code, _ = wait_for("it answers", lambda: (lambda r: r if r[0] != grpc.StatusCode.UNAVAILABLE else None)(
        refused(get_metrics, scaler, metricQuery=QUERY)), 20, 0.2)
    assert code == grpc.StatusCode.NOT_FOUND
    load(scaler, 6)
    assert get_metrics(scaler, metricQuery=QUERY).metricValueFloat == 6


def test_reflection_and_health(scaler):
    # ServerReflectionRequest: 4 file_containing_symbol, 7 list_services; the answers by their texts and official descriptors
    for version in ("v1", "v1alpha"):
        info = scaler.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
        names = next(info(iter([b"\x3a\x01*"])))
        assert SERVICE.encode() in names and b"grpc.health.v1.Health" in names
        symbol = SERVICE.encode()
        answer = next(info(iter([b"\x22" + bytes([len(symbol)]) + symbol])))
        ours = file_descriptor().SerializeToString()
        assert ours in answer, "the descriptor is not the official one"
        assert descriptor_pb2.FileDescriptorProto.FromString(ours).service[0].name == "ExternalScaler"
    check = scaler.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"") == b"\x08\x01" and check(b"\x0a" + bytes([len(SERVICE)]) + SERVICE.encode()) == b"\x08\x01"
