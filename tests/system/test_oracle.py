# SPDX-License-Identifier: Apache-2.0
"""promtool and Debian's Prometheus are the oracle: over the same OpenMetrics file every query that people scale LLM
services by gives the same values, at 50 times off the sample grid."""
import json
import math
import os
import random
import re
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

from conftest import DATA, FLYBALL, PEERS, wait_for

GRID = 15  # seconds between samples
POINTS = 160
LES = ["0.1", "0.5", "1", "2.5", "10", "+Inf"]


def queries():
    for line in (DATA / "promql" / "llm-queries.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            number, _, _, expr = (part.strip() for part in line.split("|", 3))
            yield number, expr


SELECTOR = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{([^}]*)\})?(?!\s*\()')
WORDS = {"sum", "by", "rate", "avg", "max", "min", "or", "and", "on", "bool", "offset", "without", "count", "vector",
         "increase", "unless", "ignoring", "group_left", "group_right"}


def selectors(expr):
    """(metric, {label: value}) of every selector, with a value for each matcher."""
    plain = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", expr)
    for name, inner in SELECTOR.findall(plain):
        if name in WORDS or "_" not in name and ":" not in name:
            continue
        labels = {}
        for label, op, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', inner):
            if op == "=":
                labels[label] = value
            elif op == "=~":
                labels[label] = re.sub(r"\[a-z0-9\]\+", "x7", value.strip("^$")).split("|")[0]
        yield name, labels


def is_counter(name):
    return re.search(r"_(total|sum|count|bucket)$", name)


def values(rng, name, shape):
    """POINTS values; None where the series is not there. Counters begin far from zero."""
    value, out = rng.uniform(500, 5000) if is_counter(name) else 0, []
    for i in range(POINTS):
        if is_counter(name):
            value += rng.choice((0, 1, 2, rng.uniform(0, 5)))
            if shape == "resets" and i in (60, 61, 120):
                value = rng.uniform(0, 3)
        else:
            value = rng.choice((0, 1, 2, 7, rng.uniform(0, 1)))
        gone = shape == "ends" and i > 90 or shape == "late" and i < 40 or shape == "gap" and 50 < i < 85
        out.append(None if gone else value)
    return out


def make_file(path, rng, start):
    series = {}
    for _, expr in queries():
        for name, labels in selectors(expr):
            for pod, shape in enumerate(("whole", "resets", "ends", "late", "gap")):
                own = {"pod": f"pod-{pod}", "namespace": "ns", "exported_pod": f"pod-{pod}", **labels}
                if "pod" in labels:
                    own["pod"] = labels["pod"] if pod == 0 else own["pod"] + str(pod)
                if "instance" not in labels:
                    own["instance"] = f"10.0.0.{pod}:8000"
                for le in LES if name.endswith("_bucket") else [None]:
                    full = {**own, **({"le": le} if le else {})}
                    series[name, tuple(sorted(full.items()))] = (shape, le)
    with open(path, "w") as f:
        rows = {}
        for (name, labels), (shape, le) in sorted(series.items()):
            if le:  # cumulative: each bucket is the one below it and something more
                key = (name, tuple(x for x in labels if x[0] != "le"))
                rows.setdefault(key, {})[le] = (labels, shape)
            else:
                write(f, name, labels, values(rng, name, shape), start)
        for (name, _), buckets in sorted(rows.items()):
            below = None
            for le in LES:
                labels, shape = buckets[le]
                now = values(rng, name, shape)
                below = now if below is None else [None if a is None else a + b for a, b in zip(now, below)]
                write(f, name, labels, below, start)
        f.write("# EOF\n")
    return len(series)


def write(f, name, labels, row, start):
    text = ",".join(f'{k}="{v}"' for k, v in labels)
    for i, v in enumerate(row):
        if v is not None:
            f.write(f"{name}{{{text}}} {v!r} {start + i * GRID}\n")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """(file, start, URL of a Prometheus that has loaded it)"""
    d = tmp_path_factory.mktemp("oracle")
    seed = int(os.environ.get("FLYBALL_SEED", time.time_ns() % 1000000))
    print(f"FLYBALL_SEED={seed}")
    start = int(time.time()) // 7200 * 7200 - 7200
    n = make_file(d / "llm.om", random.Random(seed), start)
    print(f"{n} series")
    subprocess.run([str(PEERS / "usr/bin/promtool"), "tsdb", "create-blocks-from", "openmetrics", str(d / "llm.om"),
                    str(d / "tsdb")], check=True, capture_output=True, timeout=120)
    (d / "prometheus.yml").write_text("{}\n")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    p = subprocess.Popen([str(PEERS / "usr/bin/prometheus"), f"--config.file={d}/prometheus.yml",
                          f"--storage.tsdb.path={d}/tsdb", f"--web.listen-address=127.0.0.1:{port}"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for("prometheus is ready", lambda: urllib.request.urlopen(url + "/-/ready", timeout=2).status == 200, 30)
        yield d / "llm.om", start, url
    finally:
        p.send_signal(signal.SIGTERM)
        p.wait(20)


def rows(result):
    return {tuple(sorted(r["metric"].items())): {round(t, 3): float(v) for t, v in r["values"]} for r in result}


def same(a, b):
    return a == b or math.isnan(a) and math.isnan(b) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def test_every_llm_query_gives_prometheus_values_at_50_times(loaded):
    path, start, url = loaded
    first, step = start + 20 * GRID + 3.217, 41.3
    last = first + 49 * step
    wrong, empty = [], []
    for number, expr in queries():
        args = {"query": expr, "start": f"{first:.3f}", "end": f"{last:.3f}", "step": str(step)}
        answer = json.load(urllib.request.urlopen(f"{url}/api/v1/query_range?{urllib.parse.urlencode(args)}", timeout=30))
        expected = rows(answer["data"]["result"])
        r = subprocess.run([str(FLYBALL), "query", "--from", str(path), "--start", args["start"], "--end", args["end"],
                            "--step", args["step"], "--output", "json", expr], capture_output=True, text=True, timeout=60)
        assert r.returncode == 0, (number, expr, r.stderr)
        got = rows(json.loads(r.stdout)["result"])
        if not expected:
            empty.append(number)
        if got.keys() != expected.keys():
            wrong.append((number, expr, "series", sorted(got.keys() ^ expected.keys())[:2]))
            continue
        for key, points in expected.items():
            if points.keys() != got[key].keys():
                wrong.append((number, expr, "times", key, sorted(points.keys() ^ got[key].keys())[:4]))
            else:
                wrong += [(number, expr, t, got[key][t], v) for t, v in points.items() if not same(got[key][t], v)][:3]
    assert wrong == []
    assert len(empty) <= 2, empty  # a comparison that nothing satisfies may be empty; no more


def test_an_instant_query_over_a_file_is_the_same_as_the_range_at_that_time(loaded):
    path, start, url = loaded
    t = start + 100 * GRID + 6.5
    for number, expr in list(queries())[:12]:
        args = urllib.parse.urlencode({"query": expr, "time": f"{t:.3f}"})
        expected = json.load(urllib.request.urlopen(f"{url}/api/v1/query?{args}", timeout=30))["data"]["result"]
        r = subprocess.run([str(FLYBALL), "query", "--from", str(path), "--time", f"{t:.3f}", "--output", "json", expr],
                           capture_output=True, text=True, timeout=60)
        got = json.loads(r.stdout)["result"]
        key = lambda x: sorted(x["metric"].items())
        assert [key(x) for x in sorted(got, key=key)] == [key(x) for x in sorted(expected, key=key)], number
        for a, b in zip(sorted(got, key=key), sorted(expected, key=key)):
            assert same(float(a["value"][1]), float(b["value"][1])), (number, expr)


def test_a_wrong_query_gives_position_and_hint():
    r = subprocess.run([str(FLYBALL), "query", "--from", "/dev/null", "sum(rate(x[5m))"], capture_output=True, text=True)
    assert r.returncode == 1
    assert re.search(r"1:14: parse error: ", r.stderr), r.stderr
