# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetryCollector through kubectl: columns, versions, the sidecar, and what a user sees when something is wrong."""
import json
import re

import pytest
import yaml

from conftest import DATA, kubectls, wait_for

COLLECTOR = """
apiVersion: opentelemetry.io/v1beta1
kind: OpenTelemetryCollector
metadata: {name: %s}
spec:
  mode: sidecar
  config:
    receivers: {prometheus: {config: {scrape_configs: [{job_name: a, scrape_interval: 1s, static_configs: [{targets: ['localhost:8080']}]}]}}}
    exporters: {otlp: {endpoint: '127.0.0.1:4317', tls: {insecure: true}}}
    service: {pipelines: {metrics: {receivers: [prometheus], exporters: [otlp]}}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s, annotations: {sidecar.opentelemetry.io/inject: '%s'}}
spec: {containers: [{name: main, image: local/main, command: [sleep, '1000']}]}
"""


def condition(f, name="c"):
    return next(c for c in f.get("otelcol", name)["status"]["conditions"] if c["type"] == "Ready")


def events(f, reason):
    return [e for e in f.get("events")["items"] if e["reason"] == reason]


@pytest.mark.parametrize("kubectl", kubectls())
def test_columns_and_status_are_the_operators(flyball_factory, kubectl):
    f = flyball_factory(kubectl=kubectl)
    assert f.kubectl("apply", "-f", "-", stdin=COLLECTOR % "c").stdout == "opentelemetrycollector.opentelemetry.io/c created\n"
    wait_for("the version is there", lambda: f.get("otelcol", "c")["status"]["version"], 5)
    head, row = f.kubectl("get", "opentelemetrycollector", "c").stdout.splitlines()
    assert head.split() == ["NAME", "MODE", "VERSION", "READY", "AGE", "IMAGE", "MANAGEMENT"]
    assert re.fullmatch(r"c +sidecar +0\.120\.0 +\d+s +managed", row)
    at = head.index("READY")
    assert row[at:at + 5].strip() == "" and row[head.index("IMAGE"):head.index("MANAGEMENT")].strip() == ""
    assert condition(f)["status"] == "True" and condition(f)["reason"] == "Reconciled"
    assert f.kubectl("get", "sa", "c-collector", "-o", "name").stdout == "serviceaccount/c-collector\n"
    maps = [m["metadata"]["name"] for m in f.get("configmaps")["items"]]
    assert len(maps) == 1 and re.fullmatch(r"c-collector-[0-9a-f]{8}", maps[0])
    for name in ("otelcol", "otelcols", "opentelemetrycollectors"):
        assert "sidecar" in f.kubectl("get", name).stdout
    assert "pipelines" in f.kubectl("explain", "opentelemetrycollectors.spec.config").stdout


def test_v1alpha1_is_served_with_the_configuration_as_text(flyball):
    o = yaml.safe_load(COLLECTOR % "old")
    o["apiVersion"] = "opentelemetry.io/v1alpha1"
    o["spec"]["config"] = yaml.dump(o["spec"]["config"])
    flyball.kubectl("create", "-f", "-", stdin=json.dumps(o))
    new = flyball.get("opentelemetrycollectors.v1beta1.opentelemetry.io", "old")
    assert new["spec"]["config"]["exporters"]["otlp"]["endpoint"] == "127.0.0.1:4317"
    old = flyball.get("opentelemetrycollectors.v1alpha1.opentelemetry.io", "old")
    assert yaml.safe_load(old["spec"]["config"]) == new["spec"]["config"]
    config = dict(new["spec"]["config"], exporters={"otlp": {"endpoint": "127.0.0.1:9"}})
    o["spec"]["config"] = yaml.dump(config)
    flyball.kubectl("apply", "-f", "-", stdin=json.dumps(o))  # a patch in the old version
    new = flyball.get("opentelemetrycollectors.v1beta1.opentelemetry.io", "old")
    assert new["spec"]["config"]["exporters"]["otlp"] == {"endpoint": "127.0.0.1:9"}
    assert new["apiVersion"] == "opentelemetry.io/v1beta1"
    o["metadata"]["name"], o["spec"]["config"] = "bad", "a: [1"
    r = flyball.kubectl("create", "-f", "-", stdin=json.dumps(o), check=False)
    assert r.returncode != 0 and "not YAML: yaml: line " in r.stderr, r.stderr


@pytest.mark.parametrize("change, says", [
    ({"mode": "deployment"}, "cannot be changed"),
    ({"tolerations": [{"key": "k"}]}, "does not support the attribute 'tolerations'"),
    ({"mode": "side"}, "Unsupported value"),
    ({"configg": {}}, "unknown field"),
])
def test_bad_changes_are_refused(flyball, change, says):
    flyball.kubectl("create", "-f", "-", stdin=COLLECTOR % "c")
    o = flyball.get("otelcol", "c")
    o["spec"].update(change)
    r = flyball.kubectl("replace", "--validate=true", "-f", "-", stdin=json.dumps(o), check=False)
    assert r.returncode != 0 and says in r.stderr, r.stderr


def test_a_wrong_configuration_says_where(flyball):
    o = yaml.safe_load(COLLECTOR % "c")
    o["spec"]["config"]["service"]["pipelines"]["metrics"]["processors"] = ["batch"]
    r = flyball.kubectl("create", "-f", "-", stdin=json.dumps(o))
    where = "service.pipelines.metrics.processors[0]: 'batch' is not defined under processors"
    wait_for("the condition says it", lambda: where in condition(flyball)["message"], 5)
    assert condition(flyball)["reason"] == "InvalidConfig" and condition(flyball)["status"] == "False"
    wait_for("the event says it", lambda: where in events(flyball, "InvalidConfig")[0]["message"], 5)
    o = flyball.get("otelcol", "c")
    o["spec"]["config"]["processors"] = {"batch": {}}
    flyball.kubectl("replace", "-f", "-", stdin=json.dumps(o))
    wait_for("all is well again", lambda: condition(flyball)["status"] == "True", 5)


def test_other_modes_and_unmanaged_ones(flyball):
    flyball.kubectl("create", "-f", "-", stdin=(COLLECTOR % "gw").replace("mode: sidecar", "mode: deployment"))
    wait_for("it says that it does not run", lambda: condition(flyball, "gw")["reason"] == "ModeNotSupported", 5)
    flyball.kubectl("create", "-f", "-", stdin=(COLLECTOR % "mine").replace("mode: sidecar", "mode: sidecar\n  managementState: unmanaged"))
    flyball.kubectl("create", "-f", "-", stdin=COLLECTOR % "after")
    wait_for("the one after it has a status", lambda: condition(flyball, "after")["status"] == "True", 5)
    assert "status" not in flyball.get("otelcol", "mine")


def test_a_sidecar_beside_each_pod_that_asks(flyball_factory):
    f = flyball_factory(args=["--image-map", "*/opentelemetry-collector*=tail -f /dev/null --"])
    f.kubectl("create", "-f", "-", stdin=COLLECTOR % "c")
    f.kubectl("create", "-f", "-", stdin=POD % ("by-name", "c") + "---" + POD % ("by-true", "true") + "---" + POD % ("none", "false"))
    pods = {p["metadata"]["name"]: p for p in f.pods()}
    assert [c["name"] for c in pods["by-name"]["spec"]["containers"]] == ["main", "otc-container"]
    assert [c["name"] for c in pods["none"]["spec"]["containers"]] == ["main"]
    assert pods["by-true"]["metadata"]["labels"]["sidecar.opentelemetry.io/injected"] == "default.c"
    wait_for("both containers run", lambda: " 2/2 " in f.kubectl("get", "pod", "by-name").stdout, 10)
    sidecar = pods["by-name"]["spec"]["containers"][1]
    config = yaml.safe_load(next(e["value"] for e in sidecar["env"] if e["name"] == "OTEL_CONFIG"))
    assert config == f.get("otelcol", "c")["spec"]["config"]


def test_a_collector_that_is_not_there_is_told_on_the_pod(flyball):
    flyball.kubectl("create", "-f", "-", stdin=POD % ("alone", "nobody"))
    wait_for("an event says why", lambda: "OpenTelemetryCollector 'nobody'" in events(flyball, "SidecarNotInjected")[0]["message"], 5)
    assert [c["name"] for c in flyball.pods()[0]["spec"]["containers"]] == ["main"]
    assert "SidecarNotInjected" in flyball.kubectl("describe", "pod", "alone").stdout


def test_a_sidecar_that_fails_says_why_on_pod_and_collector(flyball_factory):
    script = "import sys; sys.exit('collector: processors.nope: not supported')"
    f = flyball_factory(start=False)
    tool = f.data_dir.parent / "refuses"
    tool.write_text(f"#!/usr/bin/python3\n{script}\n")
    tool.chmod(0o755)
    for directory in (f.data_dir.parent, *f.data_dir.parent.parents):
        if directory.stat().st_uid == tool.stat().st_uid and str(directory).count("/") > 1:
            directory.chmod(0o755)  # pods run as nobody when flyball is root
    f.args += ["--image-map", f"example.org/opentelemetry-collector={tool}"]
    f.start()
    o = yaml.safe_load(COLLECTOR % "c")
    o["spec"]["image"] = "example.org/opentelemetry-collector:1"
    f.kubectl("create", "-f", "-", stdin=json.dumps(o))
    f.kubectl("create", "-f", "-", stdin=POD % ("p", "c"))
    wait_for("the pod says why", lambda: "processors.nope: not supported" in json.dumps(f.pods()[0]["status"]), 15)
    wait_for("the collector says where", lambda: "processors.nope: not supported" in condition(f)["message"], 5)
    assert condition(f)["status"] == "False" and condition(f)["reason"] == "SidecarFailed"
    assert condition(f)["message"].startswith("pod p: otc-container: ")
    assert "processors.nope" in wait_for("an event", lambda: events(f, "SidecarFailed"), 5)[0]["message"]


def test_a_metric_that_is_no_longer_collected_takes_its_collector_along(flyball):
    isvc = yaml.safe_load((DATA / "golden" / "02-tutorial-otel" / "input.yaml").read_text())
    flyball.kubectl("create", "-f", "-", stdin=json.dumps(isvc))
    name = "huggingface-fbopt-predictor"
    wait_for("the collector is there", lambda: flyball.get("otelcol", name), 10)
    scrape = flyball.get("otelcol", name)["spec"]["config"]["receivers"]["prometheus"]["config"]["scrape_configs"][0]
    assert scrape["scrape_interval"] == "100ms"
    wait_for("its pod has two containers", lambda: [len(p["spec"]["containers"]) for p in flyball.pods()] == [2], 10)
    flyball.kubectl("patch", "isvc", "huggingface-fbopt", "--type", "merge", "-p", json.dumps(
        {"metadata": {"annotations": {"serving.kserve.io/autoscalerClass": "none", "sidecar.opentelemetry.io/inject": None}},
         "spec": {"predictor": {"autoScaling": None}}}))
    wait_for("collector and ScaledObject are gone", lambda: flyball.kubectl("get", "otelcol,so", "-o", "name").stdout == "", 10)
    wait_for("and the new pod has one", lambda: [len(p["spec"]["containers"]) for p in flyball.pods()] == [1], 20)


def endpoints(f):
    conf = json.loads(f.get("configmap", "inferenceservice-config", "-n", "kserve")["data"]["opentelemetryCollector"])
    return conf["metricReceiverEndpoint"], conf["metricScalerEndpoint"]


def test_pods_are_told_the_ports_of_this_start(flyball_factory):
    f = flyball_factory()
    told = f.env["FLYBALL_OTLP"], f.env["FLYBALL_SCALER"]
    assert wait_for("the ConfigMap", lambda: endpoints(f), 5) == told
    service = wait_for("the Service", lambda: f.get("service", "keda-otel-scaler", "-n", "keda"), 5)
    assert [p["port"] for p in service["spec"]["ports"]] == [4317, 4318]
    behind = f.get("endpoints", "keda-otel-scaler", "-n", "keda")["subsets"]
    assert tuple(f"{s['addresses'][0]['ip']}:{s['ports'][0]['port']}" for s in behind) == told
    f.stop()
    f.start()
    assert (f.env["FLYBALL_OTLP"], f.env["FLYBALL_SCALER"]) != told  # ports are free ones in tests
    wait_for("the map follows", lambda: endpoints(f) == (f.env["FLYBALL_OTLP"], f.env["FLYBALL_SCALER"]), 5)
    conf = json.loads(f.get("configmap", "inferenceservice-config", "-n", "kserve")["data"]["opentelemetryCollector"])
    conf["metricReceiverEndpoint"] = "collector.example.org:4317"
    f.kubectl("patch", "configmap", "inferenceservice-config", "-n", "kserve", "--type", "merge", "-p",
              json.dumps({"data": {"opentelemetryCollector": json.dumps(conf)}}))
    f.stop()
    f.start()
    wait_for("everything has started", lambda: f.get("endpoints", "keda-otel-scaler", "-n", "keda")["subsets"][0]["ports"][0]["port"]
             == int(f.env["FLYBALL_OTLP"].split(":")[1]), 5)
    assert endpoints(f)[0] == "collector.example.org:4317"  # the user's stays
