# SPDX-License-Identifier: Apache-2.0
"""A Service's address and port really listen."""
import json
import socket
import subprocess

from conftest import wait_for

ECHO = """
import os, socket, sys, threading
def serve(c):
    c.sendall(os.environ['POD_NAME'].encode() + b'\\n')
    n = 0
    while part := c.recv(65536):
        n += len(part)
    c.sendall(str(n).encode())   # only after the client's end: a half-closed connection
    c.close()
s = socket.create_server((os.environ['POD_IP'], 7000))
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


def objects(replicas):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "echo"}, "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "echo"}},
            "template": {"metadata": {"labels": {"app": "echo"}}, "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "main", "image": "local/echo", "command": ["/usr/bin/python3", "-c", ECHO],
                                "ports": [{"name": "echo", "containerPort": 7000}],
                                "readinessProbe": {"tcpSocket": {"port": "echo"}}}]}}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo"}, "spec": {
            "selector": {"app": "echo"}, "ports": [{"port": 7700, "targetPort": "echo"}]}}]})


def address(f, name="echo", namespace="default"):
    spec = f.get("service", name, "-n", namespace)["spec"]
    return spec["clusterIP"], spec["ports"][0]["port"]


def call(where, data):
    with socket.create_connection(where, timeout=10) as s:
        name = s.makefile("rb").readline().strip().decode()
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return name, int(s.makefile("rb").read())


def refused(where):
    try:
        socket.create_connection(where, timeout=5).close()
        return False
    except ConnectionRefusedError:
        return True


def test_a_service_listens_on_its_address_while_it_has_ready_endpoints(flyball):
    flyball.kubectl("apply", "-f", "-", stdin=objects(0))
    where = address(flyball)
    assert where[0].startswith("127.") and refused(where)
    flyball.kubectl("scale", "deployment", "echo", "--replicas=2")
    flyball.kubectl("wait", "--for=condition=Available", "deployment/echo", "--timeout=20s")
    wait_for("it listens", lambda: not refused(where))
    wait_for("both pods are in use", lambda: len({call(where, b"x")[0] for _ in range(6)}) == 2)
    # 20 MB: more than all buffers on the way
    assert call(where, b"x" * (20 << 20))[1] == 20 << 20
    flyball.kubectl("scale", "deployment", "echo", "--replicas=0")
    wait_for("nobody listens", lambda: refused(where))


def test_open_connections_are_spread_over_the_pods(flyball):
    flyball.kubectl("apply", "-f", "-", stdin=objects(3))
    flyball.kubectl("rollout", "status", "deployment/echo", "--timeout=20s")
    where = address(flyball)
    wait_for("three endpoints", lambda: len(flyball.get("endpoints", "echo")["subsets"][0]["addresses"]) == 3)
    wait_for("it listens", lambda: not refused(where))
    wait_for("all three are known", lambda: len({call(where, b"x")[0] for _ in range(9)}) == 3)
    held = [socket.create_connection(where, timeout=10) for _ in range(9)]
    names = [s.makefile("rb").readline() for s in held]
    assert sorted(names.count(n) for n in set(names)) == [3, 3, 3]
    for s in held:
        s.close()


def test_the_prometheus_service_answers_on_its_own_address(flyball):
    ip, port = address(flyball, "prometheus", "istio-system")

    def answer():
        r = subprocess.run(["curl", "-s", f"http://{ip}:{port}/api/v1/status/buildinfo"], capture_output=True, text=True)
        return json.loads(r.stdout)["status"] == "success"

    wait_for("buildinfo", answer)


def test_a_deleted_service_is_refused_and_a_taken_port_is_told(flyball):
    flyball.kubectl("apply", "-f", "-", stdin=objects(1))
    where = address(flyball)
    wait_for("it listens", lambda: not refused(where))
    flyball.kubectl("delete", "service", "echo")
    wait_for("nobody listens", lambda: refused(where))
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        flyball.kubectl("expose", "deployment", "echo", f"--port={port}", "--target-port=7000")
        wait_for("it is told", lambda: "Service default/echo does not listen" in flyball.log_path.read_text())
