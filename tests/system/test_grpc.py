# SPDX-License-Identifier: Apache-2.0
"""Our gRPC server and client against Python's grpcio, curl and h2load. The server is the test program
grpc_peer (tests/unit/net), so that every kind of call has a method."""
import os
import pathlib
import struct
import subprocess
import sys
import threading
import time

import grpc
import pytest

from conftest import FLYBALL, ROOT, wait_for

CALLER = FLYBALL.parent / "tests/unit/net/grpc_caller"
PEER = FLYBALL.parent / "tests/unit/net/grpc_peer"


class Peer:
    def __init__(self, *tls):
        self.process = subprocess.Popen([str(PEER), "serve", *tls], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.target = f"127.0.0.1:{self.port}"

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0

    def resident(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024


@pytest.fixture
def peer():
    p = Peer()
    yield p
    p.stop()


def channel(peer, **options):
    return grpc.insecure_channel(peer.target, options=list({"grpc.enable_http_proxy": 0, **options}.items()))


def unary(ch, method="Unary"):
    return ch.unary_unary(f"/test.Echo/{method}")


def open_calls(ch):
    return int(unary(ch, "OpenCalls")(b""))


def status_of(call, *args, **kwargs):
    with pytest.raises(grpc.RpcError) as e:
        call(*args, **kwargs)
    return e.value.code(), e.value.details()


def test_unary_calls_of_every_size_come_back(peer):
    with channel(peer) as ch:
        for n in (0, 1, 16383, 16384, 16385, 65535, 300000, 1 << 20):
            message = os.urandom(n)
            assert unary(ch)(message) == message
        code, text = status_of(unary(ch), b"x" * ((1 << 20) + 1))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "limit of 1048576" in text
        assert unary(ch)(b"and on") == b"and on"


def test_gzip_is_read_and_a_bomb_is_not(peer):
    with channel(peer) as ch:
        message = b"abc" * 10000
        assert unary(ch)(message, compression=grpc.Compression.Gzip) == message
        start = peer.resident()
        code, text = status_of(unary(ch), bytes(200 << 20), compression=grpc.Compression.Gzip)
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "decompressed" in text
        assert peer.resident() - start < 20 << 20
        # deflate is grpcio's other encoding, which nobody here reads
        code, text = status_of(unary(ch), message, compression=grpc.Compression.Deflate)
        assert code == grpc.StatusCode.UNIMPLEMENTED and "deflate" in text


def test_a_status_comes_with_its_text(peer):
    with channel(peer) as ch:
        text = "100% «naïve»\n\tpath=%2F"
        assert status_of(unary(ch, "Fail"), text.encode()) == (grpc.StatusCode.FAILED_PRECONDITION, text)
        code, text = status_of(unary(ch, "Nothing"), b"")
        assert (code, text) == (grpc.StatusCode.UNIMPLEMENTED, "unknown method Nothing for service test.Echo")
        code, text = status_of(ch.unary_unary("/no.Such/Thing"), b"")
        assert (code, text) == (grpc.StatusCode.UNIMPLEMENTED, "unknown service no.Such")


def test_deadline_and_cancellation_end_a_call_at_the_server(peer):
    with channel(peer) as ch:
        start = time.monotonic()
        code, _ = status_of(unary(ch, "Hang"), b"", timeout=0.3)
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - start < 5
        wait_for("the call is gone", lambda: open_calls(ch) == 0)
        call = unary(ch, "Hang").future(b"")
        wait_for("the call is open", lambda: open_calls(ch) == 1)
        call.cancel()
        wait_for("the call is gone", lambda: open_calls(ch) == 0)


def test_a_stream_waits_for_its_reader(peer):
    with channel(peer) as ch:
        message = b"2000 " + b"x" * 60000  # 120 MB in all
        start = peer.resident()
        call = ch.unary_stream("/test.Echo/Repeat")(message)
        assert next(call) == message
        time.sleep(0.5)  # not a wait for anything: the server has time to write too much
        assert peer.resident() - start < 8 << 20
        assert sum(1 for m in call if m == message) == 1999
        assert call.code() == grpc.StatusCode.OK
        gone = ch.unary_stream("/test.Echo/Repeat")(message)
        next(gone)
        gone.cancel()
        wait_for("the call is gone", lambda: open_calls(ch) == 0)


def test_both_ways_at_once(peer):
    with channel(peer) as ch:
        sent = [os.urandom(i * 37 % 5000) for i in range(500)]
        assert list(ch.stream_stream("/test.Echo/Chat")(iter(sent))) == sent


def test_hundreds_of_streams_on_one_connection(peer):
    with channel(peer) as ch:
        calls = [ch.unary_stream("/test.Echo/Hang")(b"") for _ in range(800)]
        wait_for("all are open", lambda: open_calls(ch) == 800, 30)
        assert unary(ch)(b"beside them") == b"beside them"
        for c in calls:
            c.cancel()
        wait_for("all are gone", lambda: open_calls(ch) == 0, 30)


def test_ten_thousand_streams_wait_and_memory_stays(peer):
    with channel(peer) as ch:
        start = peer.resident()
        calls = [ch.unary_stream("/test.Echo/Hang")(b"x" * 1000) for _ in range(10000)]
        with channel(peer, **{"grpc.use_local_subchannel_pool": 1}) as other:
            wait_for("the server's bound is reached", lambda: open_calls(other) == 1000, 60)
            assert peer.resident() - start < 30 << 20
            for c in calls:
                c.cancel()
            wait_for("all are gone", lambda: open_calls(other) == 0, 60)


def test_health_is_checked_and_watched(peer):
    def ask(service):
        return bytes([10, len(service)]) + service

    with channel(peer) as ch:
        check = ch.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"") == b"\x08\x01" and check(ask(b"test.Echo")) == b"\x08\x01"
        assert status_of(check, ask(b"other"))[0] == grpc.StatusCode.NOT_FOUND
        watch = ch.unary_stream("/grpc.health.v1.Health/Watch")(ask(b"test.Echo"))
        assert next(watch) == b"\x08\x01"
        unary(ch, "SetHealth")(b"2")
        assert next(watch) == b"\x08\x02"
        watch.cancel()
        assert next(ch.unary_stream("/grpc.health.v1.Health/Watch")(ask(b"other"))) == b"\x08\x03"


def messages(tmp_path, *protos):
    """Python modules of .proto files, made by protoc."""
    root = ROOT / "src/net/proto"
    subprocess.run(["protoc", "-I", root, f"--python_out={tmp_path}", *protos], check=True)
    sys.path.insert(0, str(tmp_path))


def test_reflection_tells_services_files_and_symbols(peer, tmp_path):
    from google.protobuf import descriptor_pb2
    messages(tmp_path, "grpc/reflection/v1/reflection.proto")
    # grpcio's own package is called grpc too: load the module by its path
    import importlib.util
    spec = importlib.util.spec_from_file_location("reflection_pb2", tmp_path / "grpc/reflection/v1/reflection_pb2.py")
    pb = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pb)
    for version in ("v1", "v1alpha"):
        with channel(peer) as ch:
            info = ch.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                                    pb.ServerReflectionRequest.SerializeToString,
                                    pb.ServerReflectionResponse.FromString)
            asked = [pb.ServerReflectionRequest(list_services=""),
                     pb.ServerReflectionRequest(file_by_filename="grpc/health/v1/health.proto"),
                     pb.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health.Check"),
                     pb.ServerReflectionRequest(
                         file_containing_symbol="grpc.health.v1.HealthCheckResponse.ServingStatus"),
                     pb.ServerReflectionRequest(file_containing_symbol="grpc.health.v1"),
                     pb.ServerReflectionRequest(all_extension_numbers_of_type="grpc.health.v1.Nothing")]
            got = list(info(iter(asked)))
            assert [r.original_request for r in got] == asked
            assert {s.name for s in got[0].list_services_response.service} == {
                "test.Echo", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection"}
            for r in got[1:4]:
                file, = r.file_descriptor_response.file_descriptor_proto
                d = descriptor_pb2.FileDescriptorProto.FromString(file)
                assert d.name == "grpc/health/v1/health.proto" and d.service[0].name == "Health"
            assert [r.error_response.error_code for r in got[4:]] == [5, 5]


def test_descriptors_are_those_of_the_proto_files():
    made = subprocess.run(
        [ROOT / "tools/gen-descriptors", "net/grpc_files.h",
         "health=src/net/proto//grpc/health/v1/health.proto",
         "reflection_v1=src/net/proto//grpc/reflection/v1/reflection.proto",
         "reflection_v1alpha=src/net/proto//grpc/reflection/v1alpha/reflection.proto"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert made == (ROOT / "src/net/grpc_files.c").read_text()


def curl(peer, *args):
    return subprocess.run(["curl", "-s", "-m", "10", *args], stdout=subprocess.PIPE, check=True).stdout


def test_plain_http_of_both_versions_on_the_same_port(peer):
    url = f"http://{peer.target}/x"
    for version in ("--http1.1", "--http2-prior-knowledge"):
        assert curl(peer, version, url) == b"plain http\n"
    grpc_headers = ["-H", "content-type: application/grpc", "-o", os.devnull, "-w", "%{http_code}"]
    assert curl(peer, "--http1.1", "-X", "POST", *grpc_headers, url) == b"505"
    assert curl(peer, "--http2-prior-knowledge", *grpc_headers, url) == b"405"
    assert curl(peer, "--http2-prior-knowledge", "-H", "content-type: application/grpc+json", *grpc_headers[2:],
                "-X", "POST", url) == b"415"
    assert curl(peer, "--http2-prior-knowledge", "-H", "content-type: application/grpc-web", *grpc_headers[2:],
                url) == b"200"


def test_an_answer_in_the_middle_of_an_upload_arrives(peer, tmp_path):
    (tmp_path / "20m").write_bytes(bytes(20 << 20))
    url = f"http://{peer.target}/x"
    assert curl(peer, "--http1.1", "--data-binary", f"@{tmp_path}/20m", url) == b"plain http\n"
    # nghttp for HTTP/2: curl 7.88 has the answer, but never ends its upload
    out = subprocess.run(["nghttp", "-d", tmp_path / "20m", url], stdout=subprocess.PIPE, check=True, timeout=20).stdout
    assert out == b"plain http\n"


def test_load_of_many_connections_loses_nothing(peer, tmp_path):
    (tmp_path / "body").write_bytes(struct.pack(">BI", 0, 3) + b"abc")
    out = subprocess.run(
        ["h2load", "-n", "20000", "-c", "20", "-m", "50", "-d", str(tmp_path / "body"),
         "-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{peer.target}/test.Echo/Unary"],
        stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    assert "20000 succeeded, 0 failed" in out
    with channel(peer) as ch:
        assert open_calls(ch) == 0


# --- our client against grpcio's server ---


class Handlers(grpc.GenericRpcHandler):
    def service(self, details):
        def stream(request, context):
            for i in range(200):
                yield request * 100

        def fail(request, context):
            context.abort(grpc.StatusCode.DATA_LOSS, "100% «lost»")

        def hang(request, context):
            self.was_cancelled = threading.Event()
            context.add_callback(self.was_cancelled.set)
            self.was_cancelled.wait(20)
            return b""

        unary_unary = {"/p.S/Echo": lambda r, c: r, "/p.S/Fail": fail, "/p.S/Hang": hang,
                       "/p.S/Timeout": lambda r, c: str(round(c.time_remaining())).encode(),
                       "/p.S/Metadata": lambda r, c: repr(sorted(dict(c.invocation_metadata()))).encode()}
        if details.method in unary_unary:
            return grpc.unary_unary_rpc_method_handler(unary_unary[details.method])
        if details.method == "/p.S/Stream":
            return grpc.unary_stream_rpc_method_handler(stream)
        return None


class Server:
    def __init__(self, credentials=None, compression=None):
        from concurrent import futures
        self.handlers = Handlers()
        self.server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[self.handlers], compression=compression)
        add = self.server.add_secure_port if credentials else self.server.add_insecure_port
        self.port = add("localhost:0", *([credentials] if credentials else []))
        self.server.start()

    def call(self, method, message="hello", encoding="identity", timeout_ms=10000, ca=None):
        out = subprocess.run([CALLER, f"localhost:{self.port}", f"/p.S/{method}", encoding, str(timeout_ms),
                              *([ca] if ca else [])], input=message + "\n", stdout=subprocess.PIPE, text=True,
                             check=True, timeout=30).stdout
        *messages, status = out.splitlines()
        return messages, status


@pytest.fixture
def server():
    s = Server()
    yield s
    s.server.stop(0)


def test_our_client_at_grpcio(server):
    assert server.call("Echo") == (["message 5 hello"], "status OK ")
    assert server.call("Echo", encoding="gzip") == (["message 5 hello"], "status OK ")
    assert server.call("Echo", "") == (["message 0 "], "status OK ")
    messages, status = server.call("Stream")
    assert len(messages) == 200 and messages[0].startswith("message 500 hello") and status == "status OK "
    assert server.call("Fail") == ([], "status DATA_LOSS 100% «lost»")
    assert server.call("Nothing")[1].startswith("status UNIMPLEMENTED")
    assert server.call("Timeout", timeout_ms=7000)[0] in (["message 1 7"], ["message 1 6"])
    assert "user-agent" in server.call("Metadata")[0][0]
    _, status = server.call("Hang", timeout_ms=300)
    assert status.startswith("status DEADLINE_EXCEEDED")
    assert server.handlers.was_cancelled.wait(5)


def test_our_client_reads_gzip_of_grpcio():
    s = Server(compression=grpc.Compression.Gzip)
    assert s.call("Echo", "again and " * 50)[0] == ["message 500 " + ("again and " * 8)]
    s.server.stop(0)


def test_our_client_follows_goaway_of_grpcio(server):
    """A call over a channel whose server has said GOAWAY and left."""
    p = subprocess.Popen([CALLER, f"localhost:{server.port}", "/p.S/Echo", "identity", "10000"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(text):
        p.stdin.write(text + "\n")
        p.stdin.flush()
        lines = []
        while not lines or not lines[-1].startswith("status"):
            lines.append(p.stdout.readline().rstrip("\n"))
        return lines

    assert say("one") == ["message 3 one", "status OK "]
    server.server.stop(5).wait()
    assert say("two")[-1].startswith("status UNAVAILABLE")
    p.stdin.close()
    assert p.wait(10) == 0


def test_tls_both_ways(tmp_path):
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", "key.pem", "-out", "cert.pem")
    key, cert = (tmp_path / "key.pem").read_bytes(), (tmp_path / "cert.pem").read_bytes()
    s = Server(grpc.ssl_server_credentials([(key, cert)]))
    assert s.call("Echo", ca=tmp_path / "cert.pem") == (["message 5 hello"], "status OK ")
    s.server.stop(0)
    ours = Peer(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), str(tmp_path / "cert.pem"))
    target = f"localhost:{ours.port}"
    # the server wants a client certificate of its CA
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(cert, key, cert)) as ch:
        assert unary(ch)(b"x" * 100000) == b"x" * 100000
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(cert)) as ch:
        assert status_of(unary(ch), b"x", timeout=5)[0] == grpc.StatusCode.UNAVAILABLE
    ours.stop()
