#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random cases of the autoscaling arithmetic, decided twice: by src/autoscale (through the program `rules`) and by the
functions here, which were written from hpa.md and keda.md alone and know nothing of the C code. Prints the first cases that
differ, the seed, and how many there were.

    rules.py PROGRAM [--cases N] [--seed S]
"""
import argparse
import math
import os
import random
import subprocess
import sys
import time
from multiprocessing import Pool

INT32, INT64 = 2**31 - 1, 2**63 - 1
BATCH = 20000


def ceil32(x):
    """Up, then into 32 bit; not a number is 0."""
    if x != x:
        return 0
    if x >= INT32:
        return INT32
    if x <= -INT32 - 1:
        return -INT32 - 1
    return math.ceil(x)


def trunc(a, b):
    """Integer division towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def divide(a, b):
    """As IEEE 754 does it."""
    if b:
        return a / b
    return math.nan if a == 0 or a != a else math.copysign(1.0, a) * math.copysign(math.inf, b)


def within(ratio, tolerance):
    down, up = tolerance
    return 1.0 - down <= ratio <= 1.0 + up


# --- one metric -> one proposal (hpa.md 8) ---

def average_value(tolerance, status, total, target):
    ratio = divide(float(total), float(target) * float(status))
    n = status
    if not within(ratio, tolerance):
        n = ceil32(float(total) / float(target))
    shown = INT64 if float(total) >= 2.0**63 else math.ceil(float(total) / float(status)) if status else 0
    return f"{n} {shown}"


def value(tolerance, current, ready, total, target):
    ratio = float(total) / float(target)
    if current == 0:
        return ceil32(ratio)
    return current if within(ratio, tolerance) else ceil32(ratio * ready)


PENDING, RUNNING, SUCCEEDED, FAILED = range(4)
ABSENT, TRUE, FALSE, UNKNOWN = range(4)


def group(pod, is_cpu, now):
    phase, deleting, ready, since, start, _, _, sample = pod
    if deleting or phase in (FAILED, SUCCEEDED):
        return "ignored"
    if phase == PENDING:
        return "unready"
    if sample is None:
        return "missing"
    if is_cpu:
        at, window, _ = sample
        if ready == ABSENT or start < 0:
            return "unready"
        if start + 120000 > now:
            return "unready" if ready == FALSE or at < since + window else "ready"
        if ready == FALSE and start + 10000 > since:
            return "unready"
    return "ready"


def per_pod(tolerance, kind, target, current, now, pods):
    is_percent = kind == 2
    if not pods:
        return "E"
    if not any(p[7] for p in pods):
        return "E"
    groups = [group(p, kind > 0, now) for p in pods]
    request = {}
    if is_percent:
        for i, p in enumerate(pods):
            if not p[5]:
                return "E"
            request[i] = p[6]
    metric = {i: p[7][2] for i, p in enumerate(pods) if p[7] and groups[i] not in ("ignored", "unready")}
    if not metric:
        return "E"

    def ratio_of(samples):
        if is_percent:
            m, r = sum(samples.values()), sum(request[i] for i in samples)
            if r == 0:
                return None
            util = (trunc(m * 100, r) + 2**31) % 2**32 - 2**31  # Go cuts an integer to its low bits
            return util / float(target), util, trunc(m, len(samples))
        average = trunc(sum(samples.values()), len(samples))
        return average / float(target), 0, average

    first = ratio_of(metric)
    if first is None:
        return "E"
    ratio, util, average = first
    shown = f"{util} {average}"
    unready = [i for i, g in enumerate(groups) if g == "unready"]
    missing = [i for i, g in enumerate(groups) if g == "missing"]
    pad = bool(unready) and ratio > 1.0
    ready = sum(g == "ready" for g in groups)
    if not pad and not missing:
        return f"{current if within(ratio, tolerance) else ceil32(ratio * ready)} {shown}"
    if missing:
        if ratio < 1.0:
            for i in missing:
                metric[i] = trunc(request[i] * max(100, target), 100) if is_percent else target
        elif ratio > 1.0:
            for i in missing:
                metric[i] = 0
    if pad:
        for i in unready:
            metric[i] = 0
    again = ratio_of(metric)
    if again is None:
        return "E"
    new = again[0]
    if within(new, tolerance) or (ratio < 1.0 and new > 1.0) or (ratio > 1.0 and new < 1.0):
        return f"{current} {shown}"
    n = ceil32(new * len(metric))
    if (new < 1.0 and n > current) or (new > 1.0 and n < current):
        return f"{current} {shown}"
    return f"{n} {shown}"


# --- from the proposal to a size (hpa.md 11 to 13) ---

def show(history):
    return "".join(f" {n}@{t}" for n, t in history)


def classic(now, window, current, desired, low, high, history):
    cutoff, rec, old = now - window, desired, None
    for i, (n, t) in enumerate(history):
        if t < cutoff:
            old = i
        elif n > rec:
            rec = n
    held = "ScaleDownStabilized" if rec != desired else "ReadyForNewScale"
    if old is None:
        history.append((desired, now))
    else:
        history[old] = (desired, now)
    up = int(max(2.0 * current, 4.0))
    top, why = (up, "ScaleUpLimit") if high > up else (high, "TooManyReplicas")
    n, limit = (low, "TooFewReplicas") if rec < low else (top, why) if rec > top else (rec, "DesiredWithinRange")
    return f"{rec} {n} {held} {limit}{show(history)}"


def changed_since(now, events, period):
    return sum(n for n, t in events if t > now - period * 1000)


def behavior(now, current, desired, low, high, up, down, history, ups, downs):
    up_cut, down_cut, bottom, top, old = now - up[0] * 1000, now - down[0] * 1000, desired, desired, None
    for i, (n, t) in enumerate(history):
        if t > up_cut:
            bottom = min(bottom, n)
        if t > down_cut:
            top = max(top, n)
        if t < up_cut and t < down_cut:
            old = i
    rec = min(max(current, bottom), top) if bottom <= top else top
    held = "ReadyForNewScale" if rec == desired else "ScaleUpStabilized" if desired >= current else "ScaleDownStabilized"
    if old is None:
        history.append((desired, now))
    else:
        history[old] = (desired, now)
    n, limit = rec, "DesiredWithinRange"
    is_up = rec > current
    _, select, policies = up if is_up else down
    limits = []
    for kind, amount, period in policies:
        start = current - changed_since(now, ups, period) + changed_since(now, downs, period)
        if is_up:
            limits.append(start + amount if kind == 0 else ceil32(start * (1 + amount / 100.0)))
        else:
            limits.append(start - amount if kind == 0 else int(start * (1 - amount / 100.0)))
    if rec > current:
        lim = max(current, current if select == 2 else max(limits) if select == 0 else min(limits))
        hi, why = (lim, "ScaleUpLimit") if high > lim else (high, "TooManyReplicas")
        if rec > hi:
            n, limit = hi, why
    elif rec < current:
        lim = min(current, current if select == 2 else min(limits) if select == 0 else max(limits))
        lo, why = (lim, "ScaleDownLimit") if low < lim else (low, "TooFewReplicas")
        if rec < lo:
            n, limit = lo, why
    if n != current:
        events = ups if n > current else downs
        longest = max(p[2] for p in (up if n > current else down)[2])
        slot = None
        for i, (_, t) in enumerate(events):
            if t < now - longest * 1000:
                slot = i
        if slot is None:
            events.append((abs(n - current), now))
        else:
            events[slot] = (abs(n - current), now)
    return f"{rec} {n} {held} {limit}{show(history)} |{show(ups)} |{show(downs)}"


# --- KEDA (keda.md 3.3, 3.4, 3.6) ---

def decide(low, has_idle, idle, cooldown, initial, has_fallback, fallback, full, no_in, no_out, forced, now, created, last, unreadable,
           current, active, error):
    def outcome(act, to, touches, ready, is_active="-", paused="-"):
        return f"{act} {to} {int(touches)} {ready} {is_active} {paused}"

    good = "ScaledObjectReady"
    if unreadable:
        return outcome("stay", current, False, "ErrorGettingCurrentReplicas")
    if full:
        return outcome("stay", current, False, good, "-", "ScaledObjectPaused")
    if active or forced:
        if current == 0 or (has_idle and current < low):
            if no_out:
                return outcome("stay", current, False, good, "ScalerActive")
            return outcome("activate", low if low > 0 else 1, True, good, "ScalerActive")
        if error:
            return outcome("stay", current, False, "PartialTriggerError", "ScalerActive")
        return outcome("stay", current, True, good, "ScalerActive")
    if error and has_fallback and fallback != 0:
        return outcome("stay", current, False, good, "ScalerNotActive")
    if error and not has_fallback:
        return outcome("stay", current, False, "TriggerError", "ScalerNotActive")
    if (has_idle and current > idle) or (current > 0 and low == 0):
        if no_in:
            return outcome("stay", current, False, good, "ScalerNotActive")
        over = created + initial * 1000 < now if last < 0 else last + cooldown * 1000 < now
        if over:
            return outcome("deactivate", idle if has_idle else low, False, good, "ScalerNotActive")
        return outcome("stay", current, False, good, "ScalerCooldown")
    if not has_idle and current < low:
        return outcome("raise", low, False, good, "ScalerNotActive")
    return outcome("stay", current, False, good, "ScalerNotActive")


def fall_back(is_set, threshold, replicas, kind, modifiers, own_target, own_value, target, is_value, failed, counted, current, ready, had):
    valid = is_set and threshold >= 0 and replicas >= 0 and (not modifiers or own_target > 0)
    if not valid:
        return f"0 0 0 0 {failed} 0 {had}"
    failures = (max(had, 0) + counted) if failed else 0
    over = bool(failed and failures > threshold)
    condition = 1 if over else 2
    if not over:
        return f"0 0 0 0 {failed} {condition} {failures}"
    if kind == 4:
        return f"1 -1000 0 1 0 {condition} {failures}"
    n = {0: replicas, 1: current, 2: max(current, replicas), 3: min(current, replicas)}[kind]
    if kind and current < 0:
        n = -1
    t, v = (own_target, own_value) if modifiers else (target, is_value)
    if n < 0 or (v and ready <= 0):
        return f"0 0 0 0 1 {condition} {failures}"
    share = float(n)
    if v:
        share /= float(ready)
    return f"1 {int(t / 1000.0 * share * 1000.0)} 1 0 0 {condition} {failures}"


# --- formulas (keda.md 4.4): a tree, its text, its value ---

class Wrong(Exception):
    pass


def tree(r, depth):
    if depth == 0 or r.random() < 0.25:
        k = r.random()
        if k < 0.6:
            name = r.choice("abc")
            return name, lambda v, name=name: v[name]
        if k < 0.8:
            n = r.randrange(10)
            return str(n), lambda v, n=n: n
        n = r.randrange(1, 40) / 4
        return repr(n), lambda v, n=n: n
    k = r.randrange(9)
    a, fa = tree(r, depth - 1)
    if k == 0:
        return f"(-{a})", lambda v: -fa(v)
    if k == 1:
        name, fn = r.choice([("abs", abs), ("ceil", lambda x: float(math.ceil(x))), ("floor", lambda x: float(math.floor(x)))])

        def one(v):
            x = fa(v)
            return float(x) if name != "abs" and isinstance(x, float) and not math.isfinite(x) else fn(x)
        return f"{name}({a})", one
    b, fb = tree(r, depth - 1)
    if k == 2:
        return f"max({a}, {b})", lambda v: fb(v) if fb(v) > fa(v) else fa(v)
    if k == 3:
        return f"min({a}, {b})", lambda v: fb(v) if fb(v) < fa(v) else fa(v)
    if k == 4:
        op = r.choice(["<", ">", "<=", ">="])
        c, fc = tree(r, depth - 1)
        compare = {"<": lambda x, y: x < y, ">": lambda x, y: x > y, "<=": lambda x, y: x <= y, ">=": lambda x, y: x >= y}[op]
        return f"({a} {op} {b} ? {c} : {a})", lambda v: fc(v) if compare(fa(v), fb(v)) else fa(v)
    op = "+-*/"[k - 5]

    def two(v):
        x, y = fa(v), fb(v)
        if op == "/":
            return divide(float(x), float(y))
        return x + y if op == "+" else x - y if op == "-" else x * y
    return f"({a} {op} {b})", two


def formula(text, fn, a, b, c):
    x = fn({"a": a / 1000.0, "b": b / 1000.0, "c": c / 1000.0})
    if not math.isfinite(x):
        return "E"
    return str(max(-INT64 - 1, min(INT64, int(float(x) * 1000.0))))


# --- cases ---

def tolerance_of(r):
    return (r.choice([100, 100, 0, 50, 1100, r.randrange(300)]), r.choice([100, 100, 0, 50, r.randrange(300)]))


def amount(r):
    return r.choice([r.randrange(1, 20000), r.randrange(1, 100) * 1000, r.randrange(10**9), r.randrange(1, INT64)])


def history_of(r, now, most, span):
    return [(r.randrange(12), now - r.randrange(span + 1) * 500) for _ in range(r.randrange(most + 1))]


def flat(pairs):
    return " ".join([str(len(pairs))] + [f"{a} {b}" for a, b in pairs])


def rules_of(r):
    policies = [(r.randrange(2), r.randrange(1, 120), r.choice([1, 5, 15, 60])) for _ in range(r.randrange(1, 4))]
    return r.choice([0, 0, 5, 30]), r.choice([0, 0, 1, 2]), policies


def rules_text(x):
    return " ".join(map(str, [x[0], x[1], len(x[2])] + [v for p in x[2] for v in p]))


def pod_of(r, now):
    start = r.choice([-1, now - r.randrange(300) * 1000, now - r.randrange(20) * 1000])
    since = now - r.randrange(300) * 1000 if start < 0 else start + r.randrange(40) * 1000
    sample = (now - r.randrange(60) * 1000, 30000, r.choice([r.randrange(2000), r.randrange(10**9)])) if r.random() < 0.85 else None
    return (r.choice([RUNNING] * 6 + [PENDING, SUCCEEDED, FAILED]), int(r.random() < 0.05), r.choice([TRUE] * 5 + [FALSE, FALSE, UNKNOWN, ABSENT]),
            since, start, int(r.random() < 0.97), r.randrange(1, 1000), sample)


def pod_text(p):
    sample = "0" if p[7] is None else "1 %d %d %d" % p[7]
    return "%d %d %d %d %d %d %d " % p[:7] + sample


def case(r):
    k = r.random()
    if k < 0.30:
        t, x = tolerance_of(r), (r.randrange(0, 60), amount(r), amount(r))
        return f"A{t[0]} {t[1]} {x[0]} {x[1]} {x[2]}", average_value((t[0] / 1000, t[1] / 1000), *x)
    if k < 0.48:
        t, x = tolerance_of(r), (r.randrange(0, 60), r.randrange(0, 60), amount(r), amount(r))
        return f"V{t[0]} {t[1]} {x[0]} {x[1]} {x[2]} {x[3]}", str(value((t[0] / 1000, t[1] / 1000), *x))
    if k < 0.66:
        now = 10**9
        x = (r.choice([0, 0, 1, 2, 5]), r.randrange(2), r.choice([0, 0, 1, 3]), r.choice([0, 1, 300]), r.choice([0, 0, 60]),
             r.randrange(2), r.choice([0, 1, 5]), int(r.random() < 0.1), int(r.random() < 0.2), int(r.random() < 0.2),
             int(r.random() < 0.1), now, now - r.choice([0, 59000, 60000, 61000, 10**6]),
             r.choice([-1, now, now - 1000, now - 299999, now - 300000, now - 300001]), int(r.random() < 0.05),
             r.choice([0, 0, 1, 2, 3, 7]), r.randrange(2), int(r.random() < 0.3))
        return "K" + " ".join(map(str, x)), decide(*x)
    if k < 0.76:
        x = (int(r.random() < 0.9), r.choice([0, 1, 3, -1]), r.choice([0, 1, 5, 10, -1]), r.randrange(5), int(r.random() < 0.3),
             r.choice([0, 500, 2000, 3333]), r.randrange(2), r.choice([1000, 2000, 333, 1]), r.randrange(2), int(r.random() < 0.8),
             r.randrange(2), r.choice([-1, 0, 1, 4, 8]), r.choice([-1, 0, 1, 3]), r.choice([-1, 0, 1, 3, 4]))
        return "F" + " ".join(map(str, x)), fall_back(*x)
    if k < 0.85:
        now = 10**9
        history = history_of(r, now, 5, 700)
        x = (now, r.choice([0, 60000, 300000]), r.randrange(12), r.randrange(14), r.randrange(1, 4), r.randrange(4, 12))
        return "C" + " ".join(map(str, x)) + " " + flat(history), classic(*x, history)
    if k < 0.93:
        now = 10**9
        x = (now, r.randrange(12), r.randrange(14), r.randrange(1, 4), r.randrange(4, 12))
        up, down, history = rules_of(r), rules_of(r), history_of(r, now, 4, 80)
        ups, downs = history_of(r, now, 3, 150), history_of(r, now, 3, 150)
        line = "B" + " ".join([*map(str, x), rules_text(up), rules_text(down), flat(history), flat(ups), flat(downs)])
        return line, behavior(*x, up, down, history, ups, downs)
    if k < 0.96:
        now = 10**9
        t, kind, pods = tolerance_of(r), r.randrange(3), [pod_of(r, now) for _ in range(r.randrange(6))]
        x = (kind, r.randrange(1, 150) if kind == 2 else r.choice([r.randrange(1, 2000), r.randrange(1, 10**9)]), r.randrange(1, 8), now)
        line = f"P{t[0]} {t[1]} " + " ".join(map(str, x)) + " " + " ".join([str(len(pods)), *map(pod_text, pods)])
        return line, per_pod((t[0] / 1000, t[1] / 1000), *x, pods)
    text, fn = tree(r, r.randrange(1, 4))
    x = tuple(r.choice([0, 1000, r.randrange(-5000, 50000)]) for _ in range(3))
    return f"X{x[0]} {x[1]} {x[2]} {text}", formula(text, fn, *x)


def run(job):
    program, seed, n = job
    r = random.Random(seed)
    cases = [case(r) for _ in range(n)]
    out = subprocess.run([program], input="\n".join(c[0] for c in cases) + "\n", capture_output=True, text=True)
    got = out.stdout.split("\n")
    if out.returncode or len(got) != n + 1:
        return n, [f"the program ended with {out.returncode} after {len(got) - 1} of {n} cases: {out.stderr[-500:]}"]
    return n, [f"{c[0]}\n  C:      {g}\n  Python: {c[1]}" for c, g in zip(cases, got) if c[1] != g][:5]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("--cases", type=int, default=1000000)
    p.add_argument("--seed", type=int, default=int(time.time()))
    a = p.parse_args()
    print(f"seed {a.seed}", flush=True)
    began, total, bad = time.monotonic(), 0, []
    jobs = [(a.program, a.seed * 1000003 + i, min(BATCH, a.cases - i * BATCH)) for i in range((a.cases + BATCH - 1) // BATCH)]
    with Pool(min(os.cpu_count() or 1, 4)) as pool:
        for n, wrong in pool.imap_unordered(run, jobs):
            total += n
            bad += wrong
    for b in bad[:10]:
        print(b)
    print(f"differential cases={total} differences={len(bad)} in {time.monotonic() - began:.1f} s")
    sys.exit(1 if bad or total != a.cases else 0)


if __name__ == "__main__":
    main()
