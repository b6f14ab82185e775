# SPDX-License-Identifier: Apache-2.0
"""The official OpenTelemetry clients push, PromQL answers what they sent: npm's metric exporters (gRPC, HTTP in protobuf
and JSON, gzip) and Python's grpcio with the messages of opentelemetry-proto, both put into build/ by tools/setup.sh.
"""
import json
import math
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

import grpc
import pytest

from conftest import DATA, ROOT, Flyball
from test_otlp import make_certificates, query, value

BUILD = pathlib.Path(os.environ.get("FLYBALL_CLIENTS", ROOT / "build"))
sys.path.insert(0, str(BUILD / "otel-py"))
# pylint: disable=wrong-import-position
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service  # noqa: E402
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as stubs  # noqa: E402
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb  # noqa: E402

JS = pathlib.Path(__file__).parent / "otel-js" / "push.mjs"


@pytest.fixture(scope="module")
def f(tmp_path_factory):
    f = Flyball(tmp_path_factory.mktemp("clients") / "data").start()
    f.otlp = f.env["FLYBALL_OTLP"]
    yield f
    f.stop()


# --- npm's exporters ---

@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
@pytest.mark.parametrize("kind,compression", [("grpc", "none"), ("grpc", "gzip"), ("proto", "none"), ("proto", "gzip"),
                                              ("json", "none"), ("json", "gzip")])
def test_npms_exporters_push_what_is_queried_back(f, kind, compression, temporality):
    prefix = f"{kind}_{compression}_{temporality}"
    r = subprocess.run(["node", str(JS), kind, f.otlp, compression, temporality, prefix], capture_output=True,
                       text=True, timeout=60, env={**os.environ, "OTEL_JS": str(BUILD / "otel-js")})
    assert r.returncode == 0, r.stdout + r.stderr
    assert json.loads(r.stdout) == {"errors": []}

    def is_(expr, want):
        assert value(f, expr.replace("P", prefix, 1)) == want, expr

    is_('P_requests_total{path="/a"}', 6)
    is_('P_requests_total{path="/b",job="js",instance="%s"}' % f"{kind}-{compression}-{temporality}", 5)
    is_("P_inflight", 4)
    is_('P:queue{model_name="ünïcode \\"q\\""}', -0.5)
    for le, n in (("0.1", 2), ("0.5", 6), ("1.0", 6), ("+Inf", 8)):
        is_('P_seconds_bucket{le="%s"}' % le, n)
    is_("P_seconds_count", 8)
    assert math.isclose(value(f, f"{prefix}_seconds_sum"), 5.3)
    is_("P_exponential_count", 6)
    is_('P_exponential_bucket{le="+Inf"}', 6)
    is_('P_exponential_bucket{le="2.0"}', 2)
    is_("P_exponential_sum", 15)
    assert 2 < value(f, f"histogram_quantile(0.9, {prefix}_exponential_bucket)") < 3.4


# --- Python's grpcio ---

def export(channel, request, **kw):
    return stubs.MetricsServiceStub(channel).Export(request, timeout=10, **kw)


def message(*metrics, **resource):
    r = service.ExportMetricsServiceRequest()
    rm = r.resource_metrics.add()
    for k, v in resource.items():
        a = rm.resource.attributes.add()
        a.key, a.value.string_value = k.replace("_", "."), v
    rm.scope_metrics.add().metrics.extend(metrics)
    return r


def gauge(name, v, **attributes):
    m = pb.Metric(name=name)
    p = m.gauge.data_points.add(time_unix_nano=time.time_ns())
    if isinstance(v, int):
        p.as_int = v
    else:
        p.as_double = v
    for k, s in attributes.items():
        a = p.attributes.add()
        a.key, a.value.string_value = k, s
    return m


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_grpcio_pushes_every_kind(f, compression):
    start, now = time.time_ns() - 10**9, time.time_ns()
    name = f"py_{int(compression)}"
    c = pb.Metric(name=f"{name}_total")
    c.sum.aggregation_temporality, c.sum.is_monotonic = 2, True
    c.sum.data_points.add(start_time_unix_nano=start, time_unix_nano=now, as_int=2**53)
    h = pb.Metric(name=f"{name}_h")
    h.histogram.aggregation_temporality = 2
    h.histogram.data_points.add(start_time_unix_nano=start, time_unix_nano=now, count=6, sum=12.25,
                                bucket_counts=[1, 2, 3], explicit_bounds=[0.25, 4])
    s = pb.Metric(name=f"{name}_s")
    p = s.summary.data_points.add(time_unix_nano=now, count=2, sum=3)
    p.quantile_values.add(quantile=0.5, value=1.5)
    with grpc.insecure_channel(f.otlp, compression=compression) as channel:
        answer = export(channel, message(gauge(f"{name}_g", -7, a="b"), gauge(f"{name}_d", 0.1), c, h, s))
    assert answer == service.ExportMetricsServiceResponse()
    assert not answer.HasField("partial_success")
    assert value(f, f'{name}_g{{a="b"}}') == -7 and value(f, f"{name}_d") == 0.1
    assert value(f, f"{name}_total") == 2**53
    assert [value(f, f'{name}_h_bucket{{le="{le}"}}') for le in ("0.25", "4.0", "+Inf")] == [1, 3, 6]
    assert value(f, f"{name}_h_sum") == 12.25 and value(f, f"{name}_h_count") == 6
    assert value(f, f'{name}_s{{quantile="0.5"}}') == 1.5 and value(f, f"{name}_s_count") == 2


def test_the_scalers_port_takes_grpc_too(f):
    with grpc.insecure_channel(f.env["FLYBALL_SCALER"]) as channel:
        export(channel, message(gauge("scalers_port", 1)))
    assert value(f, "scalers_port") == 1


def test_partial_success_and_status_codes(f):
    bad = gauge("py_bad", 1)
    bad.gauge.data_points[0].time_unix_nano = 0
    with grpc.insecure_channel(f.otlp) as channel:
        answer = export(channel, message(bad, gauge("py_good", 2)))
        assert answer.partial_success.rejected_data_points == 1
        assert "no time_unix_nano" in answer.partial_success.error_message
        assert value(f, "py_good") == 2
        raw = channel.unary_unary("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")
        for name, code in (("bad_31_truncated.pb", grpc.StatusCode.INVALID_ARGUMENT),
                           ("bad_38_deep_nesting.pb", grpc.StatusCode.INVALID_ARGUMENT),
                           ("bad_37_invalid_utf8.pb", grpc.StatusCode.INVALID_ARGUMENT), ("good_min.pb", None)):
            try:
                raw((DATA / "otlp" / name).read_bytes(), timeout=10)
                assert code is None, name
            except grpc.RpcError as e:
                assert e.code() == code, name
        with pytest.raises(grpc.RpcError) as e:
            channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")(b"", timeout=10)
        assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED


def nested(levels, padding):
    """An attribute whose value is arrays in arrays in ..., built from the inside out."""
    def varint(n):
        out = b""
        while n > 0x7f:
            out, n = out + bytes([n & 0x7f | 0x80]), n >> 7
        return out + bytes([n])
    parts, size = [b"\x0a" + varint(padding) + b"x" * padding], 1 + len(varint(padding)) + padding
    for i in range(2 * levels):  # AnyValue {5: ArrayValue {1: AnyValue}}
        head = (b"\x2a" if i % 2 else b"\x0a") + varint(size)
        parts.append(head)
        size += len(head)
    for tag in (b"\x12", b"\x0a", b"\x0a", b"\x0a"):  # KeyValue.value, Resource.attributes, resource, resource_metrics
        head = tag + varint(size)
        parts.append(head)
        size += len(head)
    return b"".join(reversed(parts))


def test_a_megabyte_nested_twenty_thousand_deep_and_a_cut_frame(f):
    path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    fine, deep = nested(10, 1000), nested(20000, 900000)
    assert len(deep) > 1000000
    service.ExportMetricsServiceRequest.FromString(fine)  # it is what it says
    with grpc.insecure_channel(f.otlp) as channel:
        assert channel.unary_unary(path)(fine, timeout=10) == b""
        with pytest.raises(grpc.RpcError) as e:
            channel.unary_unary(path)(deep, timeout=10)
        assert e.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "nested deeper" in e.value.details()
    r = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "-i", "-H", "content-type: application/grpc", "-H",
                        "te: trailers", "--data-binary", "@-", f"http://{f.otlp}{path}"],
                       input=b"\0\0\0\0\x64" + b"only a part of the hundred bytes", capture_output=True, timeout=20)
    assert b"grpc-status: 13" in r.stdout, r.stdout  # INTERNAL, as gRPC's own servers


def test_messages_over_the_limit_are_refused_for_good(f):
    unlimited = [("grpc.max_send_message_length", -1)]
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        with grpc.insecure_channel(f.otlp, options=unlimited, compression=compression) as channel:
            raw = channel.unary_unary("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")
            with pytest.raises(grpc.RpcError) as e:
                raw(b"\0" * (65 << 20), timeout=30)
            assert e.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "grpc-status-details-bin" not in dict(e.value.trailing_metadata() or ())  # no RetryInfo
            export(channel, message(gauge("py_after", 1)))


def test_a_full_store_asks_to_send_again_later(flyball_factory):
    f = flyball_factory(args=["--max-samples", "1"])
    with grpc.insecure_channel(f.env["FLYBALL_OTLP"]) as channel:
        with pytest.raises(grpc.RpcError) as e:
            for i in range(20):
                export(channel, message(*(gauge(f"py_many_{i}_{k}", 1) for k in range(500))))
    assert e.value.code() == grpc.StatusCode.UNAVAILABLE and "the store is full" in e.value.details()
    details = dict(e.value.trailing_metadata())["grpc-status-details-bin"]
    assert details.endswith(b"google.rpc.RetryInfo" + bytes([0x12, 4, 0x0a, 2, 0x08, 5]))  # in 5 s


def test_parallel_calls_on_one_connection(f):
    with grpc.insecure_channel(f.otlp) as channel:
        stub = stubs.MetricsServiceStub(channel)
        calls = [stub.Export.future(message(gauge("py_parallel", i, n=str(i))), timeout=20) for i in range(500)]
        for c in calls:
            assert not c.result().HasField("partial_success")
    assert value(f, "sum(py_parallel)") == sum(range(500)) and value(f, "count(py_parallel)") == 500


def test_grpc_over_tls_wants_a_client_certificate(flyball_factory, tmp_path):
    f = flyball_factory(args=make_certificates(tmp_path))
    ca, key, cert = ((tmp_path / n).read_bytes() for n in ("ca.pem", "client.key", "client.pem"))
    with grpc.secure_channel(f.env["FLYBALL_OTLP"], grpc.ssl_channel_credentials(ca)) as channel:
        with pytest.raises(grpc.RpcError) as e:
            export(channel, message(gauge("secret", 1)))
        assert e.value.code() == grpc.StatusCode.UNAUTHENTICATED
    with grpc.secure_channel(f.env["FLYBALL_OTLP"], grpc.ssl_channel_credentials(ca, key, cert)) as channel:
        export(channel, message(gauge("secret", 2)))
    assert value(f, "secret") == 2


def test_ten_thousand_streams_that_never_end_are_bounded(f):
    """Raw HTTP/2: each stream begins an Export and sends no message."""
    def memory():
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{f.process.pid}/status").read())[1])

    def frame(kind, flags, stream, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def literal(name, text):
        return b"\x00" + bytes([len(name)]) + name + bytes([len(text)]) + text
    path = b"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    block = (b"\x83\x86" + literal(b":path", path) + literal(b":authority", b"localhost") +
             literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers"))
    host, _, port = f.otlp.rpartition(":")
    before = memory()
    s = socket.create_connection((host, int(port)))
    s.settimeout(0.2)
    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
    got = b""
    try:
        for i in range(10000):
            s.sendall(frame(1, 4, 2 * i + 1, block))
            if i % 100 == 0:
                try:
                    got += s.recv(1 << 20)
                except TimeoutError:
                    pass
    except OSError:
        pass  # closed on us: refused too
    assert memory() - before < 64 * 1024
    with grpc.insecure_channel(f.otlp) as channel:  # and others are served meanwhile
        export(channel, message(gauge("py_meanwhile", 1)))
    assert value(f, "py_meanwhile") == 1
    s.close()
    kinds = set()
    while len(got) >= 9:
        kinds.add(got[3])
        got = got[9 + int.from_bytes(got[:3], "big"):]
    assert kinds & {3, 7}, kinds  # RST_STREAM or GOAWAY: not all were taken


def test_it_is_there_again_after_a_restart(flyball_factory):
    f = flyball_factory()
    address = f.env["FLYBALL_OTLP"]
    with grpc.insecure_channel(address, options=[("grpc.initial_reconnect_backoff_ms", 100),
                                                 ("grpc.max_reconnect_backoff_ms", 200)]) as channel:
        export(channel, message(gauge("again", 1)))
        f.stop()
        with pytest.raises(grpc.RpcError) as e:
            export(channel, message(gauge("again", 2)))
        assert e.value.code() == grpc.StatusCode.UNAVAILABLE
        f.args += ["--otlp-listen", address]
        f.start()
        export(channel, message(gauge("again", 3)), wait_for_ready=True)
        assert value(f, "again") == 3
    assert len(query(f, "again")) == 1
