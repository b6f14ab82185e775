# SPDX-License-Identifier: Apache-2.0
"""An OTLP receiver made of the official messages and grpcio, and a scrape target: what the agent stands between."""
import http.server
import os
import pathlib
import sys
import threading
import time
from concurrent import futures

import grpc

from conftest import ROOT

sys.path.insert(0, str(pathlib.Path(os.environ.get("FLYBALL_CLIENTS", ROOT / "build")) / "otel-py"))
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc  # noqa: E402


class Sink(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps every request with the time it came. `answer` may be set to a function (request, context) -> response."""

    def __init__(self, address="127.0.0.1:0", credentials=None):
        self.requests, self.metadata, self.times = [], [], []
        self.answer = None
        self.credentials = credentials
        self.address = address
        self.start()

    def start(self):
        self.server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(self, self.server)
        port = (self.server.add_secure_port(self.address, self.credentials) if self.credentials
                else self.server.add_insecure_port(self.address))
        assert port
        self.address = f"{self.address.rpartition(':')[0]}:{port}"
        self.server.start()

    def stop(self):
        self.server.stop(0).wait()

    def Export(self, request, context):
        self.times.append(time.time())
        self.metadata.append(dict(context.invocation_metadata()))
        self.requests.append(request)
        return self.answer(request, context) if self.answer else metrics_service_pb2.ExportMetricsServiceResponse()

    def points(self, name=None):
        """(name, value or None where there is none, time in ms, attributes) of all number points so far, in order."""
        out = []
        for r in list(self.requests):
            for rm in r.resource_metrics:
                for sm in rm.scope_metrics:
                    for m in sm.metrics:
                        for p in list(m.gauge.data_points) + list(m.sum.data_points):
                            if name in (None, m.name):
                                value = p.as_double if p.WhichOneof("value") else None
                                assert (p.flags & 1) == (value is None)
                                out.append((m.name, value, p.time_unix_nano // 10**6,
                                            {a.key: a.value.string_value for a in p.attributes}))
        return out


class Target:
    """Serves one page at /metrics: text, or OpenMetrics for who prefers it, as Python's client does."""

    def __init__(self, host="127.0.0.1", port=0, page="a 1\n", openmetrics=None, tls=None):
        outer = self
        self.page, self.openmetrics, self.headers, self.status = page, openmetrics, {}, 200
        self.scrapes, self.seen = 0, {}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.scrapes += 1
                outer.seen = dict(self.headers)
                om = outer.openmetrics is not None and "application/openmetrics-text" in self.headers.get("Accept", "")
                body = outer.openmetrics if om else outer.page
                body = body if isinstance(body, bytes) else body.encode()
                kind = "application/openmetrics-text; version=1.0.0; charset=utf-8" if om else "text/plain; version=0.0.4; charset=utf-8"
                self.send_response(outer.status)
                for k, v in {"Content-Type": kind, "Content-Length": str(len(body)), **outer.headers}.items():
                    self.send_header(k, v)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            connections = []

            def process_request(self, request, address):
                self.connections.append(request)
                super().process_request(request, address)

        self.server = Server((host, port), Handler)
        self.port = self.server.server_address[1]
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for c in self.server.connections:
            try:
                c.shutdown(2)
            except OSError:
                pass
