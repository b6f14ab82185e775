# SPDX-License-Identifier: Apache-2.0
"""Man pages are true: every option that a command's help names is in its page, and the other way round."""
import re
import subprocess

import pytest

from conftest import FLYBALL, ROOT

PAGES = sorted((ROOT / "man").glob("*.1"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_page_is_well_formed(page):
    r = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", str(page)], capture_output=True, text=True)
    assert r.returncode == 0 and r.stderr == ""


@pytest.mark.parametrize("page", [p for p in PAGES if p.stem != "flyball"], ids=lambda p: p.stem)
def test_options_are_those_of_the_help_text(page):
    command = page.stem.removeprefix("flyball-")
    help_text = subprocess.run([str(FLYBALL), command, "--help"], capture_output=True, text=True).stdout
    in_help = set(re.findall(r"--([a-z_-]+[a-z])", help_text))
    in_page = set(re.findall(r"--([a-z_-]+[a-z])", page.read_text().replace("\\-", "-").split(".SH OPTIONS")[1].split(".SH")[0]))
    assert in_help and in_help - {"help"} == in_page - {"help"}


def test_every_command_has_a_page():
    commands = re.findall(r"^  ([a-z-]+) ", subprocess.run([str(FLYBALL), "help"], capture_output=True, text=True).stdout, re.M)
    assert len(commands) > 5
    assert {f"flyball-{c}" for c in commands if c not in ("help", "version")} | {"flyball"} == {p.stem for p in PAGES}
