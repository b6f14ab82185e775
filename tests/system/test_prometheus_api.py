# SPDX-License-Identifier: Apache-2.0
"""The HTTP API beside Debian's Prometheus: what a client sends wrong gets the same status, errorType and shape, and what
it sends right the same answer, over the same samples."""
import json
import re
import struct
import urllib.error
import urllib.parse
import urllib.request

import pytest

from conftest import Flyball
from test_oracle import loaded  # noqa: F401  (a Prometheus over an OpenMetrics file)

# path and form of each request; T and U are a time inside the samples and one ten minutes later
BAD = [
    ("query", {}), ("query", {"query": ""}), ("query", {"query": "sum("}), ("query", {"query": "a{b=}"}),
    ("query", {"query": "rate(a)"}), ("query", {"query": "1", "time": "yesterday"}),
    ("query", {"query": "1", "timeout": "soon"}), ("query", {"query": "nope(1)"}), ("query", {"query": 'a{b=~"("}'}),
    ("query_range", {"query": "1"}), ("query_range", {"query": "1", "start": "T", "end": "U"}),
    ("query_range", {"query": "1", "start": "U", "end": "T", "step": "15"}),
    ("query_range", {"query": "1", "start": "T", "end": "U", "step": "0"}),
    ("query_range", {"query": "1", "start": "T", "end": "U", "step": "-5"}),
    ("query_range", {"query": "1", "start": "T", "end": "U", "step": "0.01"}),  # more than 11,000 points
    ("query_range", {"query": "a[5m]", "start": "T", "end": "U", "step": "15"}),
    ("series", {}), ("series", {"match[]": "{}"}), ("series", {"match[]": "a{"}), ("series", {"match[]": "sum(a)"}),
    ("labels", {"match[]": "a{"}), ("labels", {"start": "x"}), ("label/0bad/values", {}), ("label/a-b/values", {}),
    ("label/pod/values", {"match[]": "a{"}),
]
GOOD = [
    ("query", {"query": "1", "time": "T"}), ("query", {"query": '"text"', "time": "T"}),
    ("query", {"query": "vector(1) > 2", "time": "T"}), ("query", {"query": "sum(vllm:num_requests_running)", "time": "T"}),
    ("query", {"query": "vllm:num_requests_running[1m]", "time": "T"}),
    ("query", {"query": "nothing_of_that_name[5m]", "time": "T"}), ("query", {"query": "1/0", "time": "T"}), ("query", {"query": "0/0", "time": "T"}),
    ("query_range", {"query": "sum(vllm:num_requests_running)", "start": "T", "end": "U", "step": "30s"}),
    ("query_range", {"query": "sum(vllm:num_requests_running)", "start": "T", "end": "T", "step": "1"}),
    ("query_range", {"query": "1", "start": "T", "end": "U", "step": "1m"}),
    ("series", {"match[]": "vllm:num_requests_running", "start": "T", "end": "U"}),
    ("series", {"match[]": "nothing_of_that_name", "start": "T", "end": "U"}),
    ("query_range", {"query": "1", "start": "T", "end": "U", "step": "0.055"}),  # 10,910 points are not too many
    ("labels", {"match[]": "vllm:num_requests_running", "start": "T", "end": "U"}),
    ("label/pod/values", {"match[]": "vllm:num_requests_running", "start": "T", "end": "U"}),
    ("label/nothing/values", {"start": "T", "end": "U"}),
]


def ask(base, path, form, start, post=False):
    times = {"T": str(start + 1200.5), "U": str(start + 1800.5)}
    data = urllib.parse.urlencode({k: times.get(v, v) for k, v in form.items()})
    url = f"{base}/api/v1/{path}"
    request = urllib.request.Request(url, data.encode()) if post else f"{url}?{data}"
    try:
        with urllib.request.urlopen(request, timeout=10) as r:
            return r.status, json.load(r)
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())


@pytest.fixture(scope="module")
def both(loaded, tmp_path_factory):  # noqa: F811
    """Prometheus, and a flyball that has the same samples by remote write from it: URL, URL, start."""
    file, start, prometheus = loaded
    f = Flyball(tmp_path_factory.mktemp("api") / "data", ["--enable-remote-write", "--retention", "24h"]).start()
    try:
        push(file, f.web + "/api/v1/write")
        yield prometheus, f.web, start
    finally:
        f.stop()


def push(file, url):
    """The samples of the file, by remote write: protobuf and snappy's literals are simple enough to write here."""
    def varint(n):
        out = b""
        while n > 127:
            out += bytes([n & 127 | 128])
            n >>= 7
        return out + bytes([n])

    def field(number, payload):
        return varint(number << 3 | 2) + varint(len(payload)) + payload

    series = {}
    for line in file.read_text().splitlines():
        m = re.match(r'([^{#\s]+)\{(.*)\} (\S+) (\d+)$', line)
        if m and m[1].startswith("vllm:num_requests_running"):
            labels = tuple(re.findall(r'(\w+)="([^"]*)"', m[2])) + (("__name__", m[1]),)
            series.setdefault(tuple(sorted(labels)), []).append((float(m[3]), int(m[4]) * 1000))
    assert series
    message = b""
    for labels, samples in series.items():
        body = b"".join(field(1, field(1, n.encode()) + field(2, v.encode())) for n, v in labels)
        for value, t in samples:
            body += field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(t))
        message += field(1, body)
    block = varint(len(message))
    for i in range(0, len(message), 60):
        part = message[i:i + 60]
        block += bytes([len(part) - 1 << 2]) + part
    r = urllib.request.Request(url, block, {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
                                            "X-Prometheus-Remote-Write-Version": "0.1.0"})
    assert urllib.request.urlopen(r, timeout=20).status in (200, 204)


@pytest.mark.parametrize("path, form", BAD, ids=lambda v: v if isinstance(v, str) else urllib.parse.urlencode(v) or "none")
def test_bad_requests_get_prometheus_status_and_type(both, path, form):
    prometheus, ours, start = both
    want, have = ask(prometheus, path, form, start), ask(ours, path, form, start)
    assert have[0] == want[0], (want, have)
    assert set(have[1]) >= {"status", "errorType", "error"} and have[1]["status"] == "error"
    assert have[1]["errorType"] == want[1]["errorType"], (want, have)
    assert have[1]["error"]


@pytest.mark.parametrize("post", [False, True], ids=["get", "post"])
@pytest.mark.parametrize("path, form", GOOD, ids=lambda v: v if isinstance(v, str) else urllib.parse.urlencode(v))
def test_good_requests_get_the_same_answer(both, path, form, post):
    if post and path.startswith("label/"):
        post = False  # Prometheus takes GET only there
    prometheus, ours, start = both
    want, have = ask(prometheus, path, form, start, post), ask(ours, path, form, start, post)

    def number(v):  # they add in another order: the last digit may differ
        try:
            return float(f"{float(v):.12g}") if isinstance(v, str) else v
        except ValueError:
            return v

    def rounded(v):
        if isinstance(v, list) and len(v) == 2 and isinstance(v[1], str):
            return [v[0], number(v[1])]
        if isinstance(v, list):
            return [rounded(i) for i in v]
        return {k: rounded(i) for k, i in v.items()} if isinstance(v, dict) else v

    def plain(answer):
        data = answer[1].get("data")
        if isinstance(data, dict) and isinstance(data.get("result"), list) and data["resultType"] in ("matrix", "vector"):
            data = {**data, "result": sorted(data["result"], key=json.dumps)}
        elif isinstance(data, list):
            data = sorted(data, key=json.dumps)
        return json.dumps((answer[0], answer[1]["status"], rounded(data)))

    assert plain(have) == plain(want)


def test_buildinfo_and_targets_have_what_grafana_reads(both):
    _, ours, start = both
    status, info = ask(ours, "status/buildinfo", {}, start)
    assert status == 200 and info["data"]["version"]
    status, targets = ask(ours, "targets", {}, start)
    assert status == 200 and targets["data"]["activeTargets"] == [] and "droppedTargets" in targets["data"]
