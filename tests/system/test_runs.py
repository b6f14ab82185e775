# SPDX-License-Identifier: Apache-2.0
"""The tutorial's load, 20 times with different seeds: three pods, never a fourth."""
import re
import subprocess

import yaml

from conftest import wait_for


def test_twenty_runs_never_have_a_fourth_pod(flyball, tutorial_yaml):
    f, url = flyball, lambda: f"http://{f.env['INGRESS_HOST']}:{f.env['INGRESS_PORT']}/openai/v1/completions"
    for batch in range(4):
        names = [f"run-{batch}-{i}" for i in range(5)]
        for i, ns in enumerate(names):
            isvc = yaml.safe_load(tutorial_yaml)
            isvc["metadata"]["namespace"] = ns
            isvc["spec"]["predictor"]["model"].setdefault("args", []).append(f"--seed={batch * 5 + i + 1}")
            f.kubectl("create", "namespace", ns)
            f.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(isvc))
        for ns in names:
            f.kubectl("wait", "-n", ns, "--for=condition=Ready", "isvc/huggingface-fbopt", "--timeout=20s")
        loads = [subprocess.Popen(
            ["hey", "-z", "5s", "-c", "5", "-m", "POST", "-host", f"huggingface-fbopt-{ns}.example.com", "-H",
             "Content-Type: application/json", "-d",
             '{"model": "fbopt", "prompt": "Write a poem about colors", "stream": false, "max_tokens": 100}', url()],
            stdout=subprocess.PIPE, text=True) for ns in names]
        for ns in names:
            wait_for(f"three pods in {ns}", lambda: len(f.pods(ns)) == 3, 8)
        for p in loads:
            out = p.communicate()[0]
            assert re.findall(r"\[(\d+)\]\t\d+ responses", out) == ["200"] and "Error distribution" not in out, out
        for ns in names:
            created = [e for e in f.get("events", "-n", ns)["items"] if e["reason"] == "SuccessfulCreate"
                       and e["involvedObject"]["kind"] == "ReplicaSet"]
            assert sum(e.get("count", 1) for e in created) == 3, (ns, [e["message"] for e in created])
        for ns in names:
            f.kubectl("delete", "isvc", "-n", ns, "huggingface-fbopt", "--wait=false")
