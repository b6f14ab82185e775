# SPDX-License-Identifier: Apache-2.0
"""The PromQL test scripts of the Prometheus project, class core, through remote write and the HTTP API. They are other
people's data and lie outside the project: where ../shared/promqltest is not there, this says so and runs nothing."""
import re
import subprocess
import sys

from conftest import FLYBALL, SHARED

SCRIPTS = SHARED / "promqltest"
RUNNER = SHARED / "tools" / "promqltest_http.py"

if SCRIPTS.is_dir() and RUNNER.exists():

    def test_all_core_statements_pass():
        server = (f"cmd={FLYBALL} up --data-dir {{data}} --web-listen 127.0.0.1:{{port}} --api-listen 127.0.0.1:0 "
                  "--gateway-listen 127.0.0.1:0 --otlp-listen 127.0.0.1:0 --scaler-listen 127.0.0.1:0 --retention=0 --enable-remote-write")
        r = subprocess.run([sys.executable, str(RUNNER), "--server", server, "--classes", str(SCRIPTS / "classes.tsv"),
                            "--only", "core", *sorted(map(str, SCRIPTS.glob("*.test")))],
                           capture_output=True, text=True, timeout=300)
        passed, failed = map(int, re.search(r"^total +pass +(\d+) +fail +(\d+)", r.stdout, re.M).groups())
        print(f"promqltest core passed={passed} of {passed + failed}")
        assert (passed, failed) == (916, 0), r.stdout[-3000:]
