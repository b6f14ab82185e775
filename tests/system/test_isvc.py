# SPDX-License-Identifier: Apache-2.0
"""InferenceServices beyond the tutorial: autoscaler classes and what switching between them leaves, errors that show."""
import copy
import json

import yaml

from conftest import DATA, wait_for

NAME = "x-predictor"
ISVC = yaml.safe_load("""
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: x, annotations: {serving.kserve.io/autoscalerClass: hpa}}
spec:
  predictor:
    minReplicas: 2
    maxReplicas: 4
    containers: [{name: kserve-container, image: local/x, command: [python3, -m, http.server, '8080', --bind, '$(POD_IP)'], resources: {requests: {cpu: 10m}}}]
""")
KEDA = {"autoScaling": {"metrics": [{"type": "External", "external": {
    "metric": {"backend": "prometheus", "serverAddress": "http://prometheus.istio-system.svc.cluster.local:9090", "query": "up"},
    "target": {"type": "Value", "value": "1"}}}]}}


def condition(f, kind, name="x"):
    return next(c for c in f.get("isvc", name)["status"]["conditions"] if c["type"] == kind)


def switch(f, to, predictor=None):
    f.kubectl("patch", "isvc", "x", "--type", "merge", "-p", json.dumps(
        {"metadata": {"annotations": {"serving.kserve.io/autoscalerClass": to}}, "spec": {"predictor": predictor or {"autoScaling": None}}}))


def scalers(f):
    return sorted(f.kubectl("get", "hpa,so", "-o", "name").stdout.split())


def test_switching_the_autoscaler_class_leaves_nothing_behind(flyball):
    f = flyball
    f.kubectl("create", "-f", "-", stdin=json.dumps(ISVC))
    own = f"horizontalpodautoscaler.autoscaling/{NAME}"
    keda = [f"horizontalpodautoscaler.autoscaling/keda-hpa-{NAME}", f"scaledobject.keda.sh/{NAME}"]
    wait_for("an HPA of its own", lambda: scalers(f) == [own], 10)
    assert f.get("hpa", NAME)["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    switch(f, "keda", KEDA)
    wait_for("KEDA's, and only that", lambda: scalers(f) == keda, 10)
    switch(f, "hpa")
    wait_for("its own again", lambda: scalers(f) == [own], 10)
    switch(f, "none")
    wait_for("none at all", lambda: scalers(f) == [], 10)
    wait_for("the count is minReplicas", lambda: f.get("deploy", NAME)["spec"]["replicas"] == 2, 10)
    f.kubectl("scale", "deploy", NAME, "--replicas=4")
    wait_for("and is put back", lambda: f.get("deploy", NAME)["spec"]["replicas"] == 2, 10)
    switch(f, "external")
    f.kubectl("wait", "--for=condition=PredictorReady", "isvc/x", "--timeout=30s")
    f.kubectl("scale", "deploy", NAME, "--replicas=3")
    wait_for("with class external it is anybody's", lambda: f.get("deploy", NAME)["status"].get("readyReplicas") == 3, 15)
    assert f.get("deploy", NAME)["spec"]["replicas"] == 3
    switch(f, "keda", KEDA)
    wait_for("KEDA's again", lambda: scalers(f) == keda, 10)


def test_an_object_that_is_refused_shows_in_status_and_event(flyball):
    f = flyball
    o = copy.deepcopy(ISVC)
    o["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] = "keda"
    r = f.kubectl("create", "-f", "-", stdin=json.dumps(o))
    assert "Warning: " in r.stderr and "has no metrics" in r.stderr
    wait_for("the reason is told", lambda: "spec.triggers" in condition(f, "PredictorReady")["message"], 10)
    assert condition(f, "PredictorReady")["reason"] == "ReconcileFailed" and condition(f, "Ready")["status"] == "False"
    wait_for("an event too", lambda: [e for e in f.get("events")["items"] if e["reason"] == "InternalError" and "spec.triggers" in e["message"]], 5)
    switch(f, "keda", KEDA)
    wait_for("it goes away when mended", lambda: condition(f, "PredictorReady")["status"] == "True", 30)


def test_knative_mode_is_rejected_with_what_to_do(flyball):
    o = copy.deepcopy(ISVC)
    o["metadata"]["annotations"] = {"serving.kserve.io/deploymentMode": "Serverless"}
    flyball.kubectl("create", "-f", "-", stdin=json.dumps(o))
    wait_for("the status says it", lambda: "to Standard" in condition(flyball, "Ready")["message"], 10)
    assert flyball.kubectl("get", "deploy,svc", "-l", "serving.kserve.io/inferenceservice=x", "-o", "name").stdout == ""
    wait_for("an event", lambda: [e for e in flyball.get("events")["items"] if e["reason"] == "ServerlessModeRejected"], 5)
    flyball.kubectl("annotate", "isvc", "x", "--overwrite", "serving.kserve.io/deploymentMode=Standard")
    wait_for("then it runs", lambda: flyball.get("deploy", NAME), 10)


def test_an_update_waits_where_the_annotation_says_so(flyball):
    o = copy.deepcopy(ISVC)
    o["metadata"]["annotations"].update({"serving.kserve.io/disable-auto-update": "true", "serving.kserve.io/autoscalerClass": "none"})
    flyball.kubectl("create", "-f", "-", stdin=json.dumps(o))
    wait_for("Ready", lambda: condition(flyball, "Ready")["status"] == "True", 20)
    flyball.kubectl("patch", "isvc", "x", "--type", "merge", "-p", '{"spec":{"predictor":{"minReplicas":3}}}')
    flyball.kubectl("create", "configmap", "later")  # what comes after has been seen
    assert flyball.get("deploy", NAME)["spec"]["replicas"] == 2
    flyball.kubectl("annotate", "isvc", "x", "serving.kserve.io/disable-auto-update-")
    wait_for("then it follows", lambda: flyball.get("deploy", NAME)["spec"]["replicas"] == 3, 10)


def test_stopping_takes_everything_away_and_back(flyball):
    isvc = yaml.safe_load((DATA / "golden" / "02-tutorial-otel" / "input.yaml").read_text())
    flyball.kubectl("create", "-f", "-", stdin=json.dumps(isvc))
    all_of_it = lambda: len(flyball.kubectl("get", "deploy,so,otelcol,hpa", "-o", "name").stdout.split())  # noqa: E731
    wait_for("all is there", lambda: all_of_it() >= 3, 10)
    flyball.kubectl("annotate", "isvc", "huggingface-fbopt", "serving.kserve.io/stop=true")
    wait_for("all is gone", lambda: all_of_it() == 0, 15)
    assert condition(flyball, "Stopped", "huggingface-fbopt")["status"] == "True"
    flyball.kubectl("annotate", "isvc", "huggingface-fbopt", "serving.kserve.io/stop-")
    wait_for("all is there again", lambda: all_of_it() >= 3, 15)


def test_explain_and_unknown_fields_of_the_other_kinds(flyball):
    for path, says in (("clusterservingruntimes.spec.supportedModelFormats", "autoSelect"), ("servingruntimes.spec", "containers"),
                       ("triggerauthentications.spec.secretTargetRef", "parameter"), ("clustertriggerauthentications.spec", "podIdentity"),
                       ("ingresses.spec.rules", "host"), ("opentelemetrycollectors.spec", "managementState")):
        assert says in flyball.kubectl("explain", path).stdout, path
    runtime = {"apiVersion": "serving.kserve.io/v1alpha1", "kind": "ServingRuntime", "metadata": {"name": "r"},
               "spec": {"container": [{"name": "kserve-container", "image": "i"}]}}
    r = flyball.kubectl("create", "-f", "-", stdin=json.dumps(runtime), check=False)
    assert r.returncode != 0 and "container" in r.stderr, r.stderr
    runtime["spec"] = {"containers": [{"name": "kserve-container", "image": "i"}], "supportedModelFormats": [{"name": "f", "priority": 0}]}
    r = flyball.kubectl("create", "-f", "-", stdin=json.dumps(runtime), check=False)
    assert "spec.supportedModelFormats[0].priority" in r.stderr, r.stderr
    flyball.kubectl("create", "ingress", "web", "--rule=example.com/*=svc:80")
    rule = flyball.get("ingress", "web")["spec"]["rules"][0]
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "svc", "port": {"number": 80}}


def test_a_broken_configuration_is_named_and_waited_for(flyball):
    f = flyball
    wait_for("the configuration", lambda: f.get("configmap", "inferenceservice-config", "-n", "kserve"), 5)

    def patch(key, text):
        f.kubectl("patch", "configmap", "inferenceservice-config", "-n", "kserve", "--type", "merge", "-p", json.dumps({"data": {key: text}}))

    patch("autoscaler", '{"scaleUp')
    f.kubectl("create", "-f", "-", stdin=json.dumps(ISVC))
    message = wait_for("the status names the key", lambda: condition(f, "PredictorReady")["message"], 5)
    assert "inferenceservice-config, key autoscaler: " in message
    assert f.kubectl("get", "deploy", "-o", "name").stdout == ""
    patch("autoscaler", "{}")
    patch("deploy", '{"defaultDeploymentMode": "Sometimes"}')
    wait_for("the next one", lambda: "'Sometimes' is not a deployment mode" in condition(f, "PredictorReady")["message"], 5)
    patch("deploy", '{"defaultDeploymentMode": "Standard"}')
    wait_for("then it runs", lambda: condition(f, "PredictorReady")["status"] == "True", 20)
    # a quantity that is none: the collector is refused with the field's path
    isvc = yaml.safe_load((DATA / "golden" / "02-tutorial-otel" / "input.yaml").read_text())
    conf = json.loads(f.get("configmap", "inferenceservice-config", "-n", "kserve")["data"]["opentelemetryCollector"])
    conf["resource"]["memoryLimit"] = "much"
    patch("opentelemetryCollector", json.dumps(conf))
    f.kubectl("create", "-f", "-", stdin=json.dumps(isvc))
    wait_for("it is named", lambda: "spec.resources.limits.memory" in condition(f, "PredictorReady", "huggingface-fbopt")["message"], 10)


def test_without_a_mode_an_object_is_served_without_knative(flyball):
    flyball.kubectl("apply", "-f", "-", stdin=json.dumps(ISVC))
    wait_for("a Deployment", lambda: flyball.get("deployment", NAME))
    assert wait_for("the mode in the status", lambda: flyball.get("isvc", "x")["status"]["deploymentMode"]) in ("Standard", "RawDeployment")
