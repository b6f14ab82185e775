# SPDX-License-Identifier: Apache-2.0
"""KServe's examples, input to generated objects: tests/data/golden (its README has the comparison rules). Everything goes
in and comes back through kubectl; a directory that is added is a case that is run."""
import copy
import json

import pytest
import yaml

from conftest import DATA, Flyball, wait_for

GOLDEN = DATA / "golden"
CASES = sorted(p.name for p in GOLDEN.iterdir() if (p / "input.yaml").exists())
KINDS = {"deployment": "deployment", "scaledobject": "scaledobject", "service": "service", "ingress": "ingress", "hpa": "hpa",
         "opentelemetrycollector": "opentelemetrycollector", "inferenceservice-stored": "inferenceservice"}


# --- what is deliberately different, each with a line in docs/differences.md ---

def the_users_port_stays(want):
    if "prometheus.io/port" in want["metadata"]["annotations"]:
        want["metadata"]["annotations"]["prometheus.io/port"] = "8080"


def no_weights_are_fetched(want):
    """storageUri has no effect on pods yet: no storage-initializer, nothing mounted."""
    spec = want["spec"]
    spec.pop("initContainers", None)
    spec["volumes"] = [v for v in spec["volumes"] if v["name"] != "kserve-provision-location"]
    for c in spec["containers"]:
        c["volumeMounts"] = [m for m in c["volumeMounts"] if m["name"] != "kserve-provision-location"]


NOT_COMPARED = {("01-tutorial-prometheus", "httproutes"): "the ingress is an Ingress, there is no Gateway API"}
POD_DIFFERENCES = [the_users_port_stays, no_weights_are_fetched]

# The case shows what the controller makes of an input that admission refuses: it is refused, with these words, and what is
# admitted instead leads to the same objects. (The refused input itself: tests/unit/controllers/test_isvc.c.)
REFUSED = {"15-config-overrides": ("MinReplicas cannot be greater than MaxReplicas",
                                   lambda o: o["spec"]["predictor"].pop("maxReplicas"))}


def strip(o):
    """Comparison rule 4, and the owner's uid (rule 2)."""
    o = copy.deepcopy(o)
    for k in ("creationTimestamp", "resourceVersion", "generation", "managedFields", "uid", "finalizers"):
        o.get("metadata", {}).pop(k, None)
    for r in o.get("metadata", {}).get("ownerReferences", []):
        r.pop("uid")
    o.pop("status", None)
    return o


def assert_has(want, have, path=""):
    """want is in have; what the API server fills in on top is allowed. Lists agree in order and length."""
    if isinstance(want, dict):
        assert isinstance(have, dict), (path, want, have)
        for k, v in want.items():
            if v == {} and k not in have:
                continue
            assert k in have, f"{path}.{k} is missing"
            assert_has(v, have[k], f"{path}.{k}")
    elif isinstance(want, list):
        assert isinstance(have, list) and len(want) == len(have), (path, want, have)
        for i, v in enumerate(want):
            assert_has(v, have[i], f"{path}[{i}]")
    else:
        assert want == have, (path, want, have)


def load(path):
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def golden_flyball(tmp_path_factory):
    f = Flyball(tmp_path_factory.mktemp("golden") / "data").start()
    try:
        # what the first start creates comes just after the ports
        wait_for("the configuration", lambda: f.get("configmap", "inferenceservice-config", "-n", "kserve"), 5)
        wait_for("the runtimes", lambda: len(f.get("clusterservingruntimes")["items"]) >= 2, 5)
        f.kubectl("apply", "-f", str(GOLDEN / "_fixtures" / "clusterservingruntime-huggingface.yaml"))
        yield f
    finally:
        f.stop()


def apply_config(f, case):
    """The fixture with the case's overrides (null removes a key): one ConfigMap key for each top-level one."""
    config = load(GOLDEN / "_fixtures" / "config.yaml")
    overrides = GOLDEN / case / "config.yaml"
    for k, v in (load(overrides) if overrides.exists() else {}).items():
        config[k] = v
        if v is None:
            config.pop(k)
    want = {k: json.dumps(v) for k, v in config.items()}
    f.kubectl("replace", "-f", "-", stdin=json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "inferenceservice-config", "namespace": "kserve"}, "data": want}))


def create(f, case, isvc):
    if case not in REFUSED:
        f.kubectl("create", "-f", "-", stdin=json.dumps(isvc))
        return
    says, mend = REFUSED[case]
    r = f.kubectl("create", "-f", "-", stdin=json.dumps(isvc), check=False)
    assert r.returncode != 0 and says in r.stderr, r.stderr
    mend(isvc)
    f.kubectl("create", "-f", "-", stdin=json.dumps(isvc))


def compare_pod(f, namespace, want):
    pod = wait_for("a pod", lambda: f.pods(namespace), 10)[0]
    pod["spec"]["containers"] = [c for c in pod["spec"]["containers"] if c["name"] != "otc-container"]  # the operator's hook
    for difference in POD_DIFFERENCES:
        difference(want)
    assert_has(want, strip(pod))


def compare_status(f, namespace, name, want):
    wait_for("modelStatus is Loaded", lambda: f.get("isvc", name, "-n", namespace)["status"]["modelStatus"]["states"]
             ["activeModelState"] == "Loaded", 15)
    for c in want["status"]["conditions"]:
        c.pop("message", None)
    assert_has(want, f.get("isvc", name, "-n", namespace))


def compare_absent(f, namespace, owner, kinds):
    for kind in kinds:
        found = [o["metadata"]["name"] for o in f.get(kind["kind"], "-n", namespace)["items"]
                 if any(r["uid"] == owner for r in o["metadata"].get("ownerReferences", []))]
        assert found == [], (kind, found)


def compare(f, path, namespace, name, owner):
    what = path.stem[len("expect-"):]
    want = load(path)
    if what == "pod":
        compare_pod(f, namespace, strip(want))
    elif what == "status":
        compare_status(f, namespace, name, want)
    elif what == "absent":
        compare_absent(f, namespace, owner, want)
    else:
        want = strip(want)
        target = want["metadata"]["name"]
        wait_for(f"{what} {target}", lambda: f.kubectl("get", KINDS[what], target, "-n", namespace).returncode == 0, 15)
        assert_has(want, strip(f.get(KINDS[what], target, "-n", namespace)))


@pytest.mark.parametrize("case", CASES)
def test_golden(golden_flyball, case):
    f = golden_flyball
    isvc = load(GOLDEN / case / "input.yaml")
    namespace, name = isvc["metadata"]["namespace"], isvc["metadata"]["name"]
    if namespace != "default":
        f.kubectl("create", "namespace", namespace)
    apply_config(f, case)
    create(f, case, isvc)
    try:
        owner = f.get("isvc", name, "-n", namespace)["metadata"]["uid"]
        files = sorted(GOLDEN.joinpath(case).glob("expect-*.yaml"), key=lambda p: p.stem == "expect-absent")  # that one last
        files = [p for p in files if (case, p.stem[len("expect-"):]) not in NOT_COMPARED]
        assert files
        for path in files:
            compare(f, path, namespace, name, owner)
    finally:
        f.kubectl("delete", "isvc", name, "-n", namespace)
    wait_for("its children are gone", lambda: f.kubectl("get", "deploy,otelcol,hpa,so", "-n", namespace, "-o", "name").stdout == "", 20)


def test_every_case_of_issue_two_and_four_is_there():
    assert {c[:2] for c in CASES} >= {"01", "02", "04", "08", "09", "13", "14", "15"}
