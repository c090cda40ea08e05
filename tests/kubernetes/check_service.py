"""The sample service, as its clients and Prometheus see it."""

import http.client
import json
import sys
import tempfile
import time

from cluster import SOURCE, run, wait
from support import NAMESPACE, SAMPLES, Base, call, deployment, probe, readme_commands, require

sys.path.append(str(SOURCE / "tools/quickstart.d"))
import services  # noqa: E402


class Service(Base):
    def first_use(self):
        """sample service ready"""
        self.begin = begin = time.monotonic()
        for command in readme_commands():
            if command[:2] == ["kubectl", "apply"]:
                self.apply((SOURCE / command[-1]).read_text())
            elif command[0] == "kubectl":
                self.kubectl(*command[1:])
        ready = time.monotonic() - begin
        self.apply((SAMPLES / "hpa.yaml").read_text(), "--dry-run=server")
        require(ready < 60, f"ready after {ready:.0f} s")
        self.address = self.cluster.service_address(NAMESPACE, "llm")
        return f"{ready:.1f} s after apply (limit 60 s)"

    def replay(self):
        """a replayed request"""
        # Keys are kept by each pod: one connection, so that one pod gets both. The API server's proxy would choose anew.
        address = self.address if self.cluster.is_own else self.cluster.forward(NAMESPACE, "deployment/llm", 15001)[0]
        connection = http.client.HTTPConnection(*address[:2], timeout=30)
        key = {"Idempotency-Key": f"first-{time.time_ns()}"}
        first, text = call(address, headers=key, connection=connection)
        again, same = call(address, headers=key, connection=connection)
        require(first.status == again.status == 200 and text == same, f"{first.status} {again.status}")
        require(again.getheader("idempotent-replayed") == "true", "the second was not a replay")
        _, ledger = call(address, "GET", f"/ledger?id={key['Idempotency-Key']}", None, connection=connection)
        executed = json.loads(ledger)["executed"]
        require(executed == 1, f"executed {executed} times")
        return "1 execution, the same bytes"

    def scraped(self):
        """a scraped series"""
        expression = 'outrigger_idempotency_total{namespace="llm", result="replayed"}'
        if not self.cluster.is_own:
            name = self.pod()["metadata"]["name"]
            text = self.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}:15020/proxy/metrics")
            require("outrigger_build_info" in text, "no metrics")
            return "through the API server"
        with tempfile.TemporaryDirectory() as folder:
            begin = time.monotonic()
            ask = self.cluster.prometheus(folder)
            result = wait("Prometheus has the series", lambda: ask(expression), 30)
            now = time.monotonic()
            require(sum(float(series["value"][1]) for series in result) >= 1, f"{result}")
            require(now - self.begin < 60, f"{now - self.begin:.0f} s after the service was applied")
            return (f"{expression} = {result[0]['value'][1]} in Prometheus {now - begin:.1f} s after its start; "
                    f"service, replay and series within {now - self.begin:.1f} s (limit 60 s)")

    def quickstart(self):
        """quickstart's checks"""
        # One pod, since each keeps its own keys; mock-ai and the configuration are quickstart's.
        arguments = ["--listen", "0.0.0.0:8000", "--admin", "0.0.0.0:8001", *services.APP_TIMES]
        namespace = "quickstart"
        objects = [
            {"apiVersion": "v1", "kind": "Namespace",
             "metadata": {"name": namespace, "labels": {"outrigger/inject": "enabled"}}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "outrigger", "namespace": namespace},
             "data": {"config.yaml": services.behaviour("127.0.0.1:8000")}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app", "namespace": namespace},
             "spec": {"selector": {"app": "app"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}},
            deployment("app", arguments, namespace=namespace)]
        begin = time.monotonic()
        self.apply("\n---\n".join(map(json.dumps, objects)))
        self.kubectl("rollout", "status", "deployment/app", "-n", namespace, "--timeout=60s")
        ready = time.monotonic() - begin
        # Through the Service; breakers are shown to loopback only, which a forwarded port is.
        [admin, app_admin, port] = self.cluster.forward(namespace, "deployment/app", 15020, 8001, 15001)
        proxy = (self.get("service", "app", "-n", namespace)["spec"]["clusterIP"], 80) if self.cluster.is_own else port
        wait("the service answers", lambda: probe((*proxy[:2], ""), "/v1/models") == 200, 20)
        addresses = [f"{host}:{number}" for host, number, *_ in (proxy, admin, app_admin)]
        done = run(sys.executable, "-X", "utf8", SOURCE / "tools/quickstart.d/show.py", "--running", *addresses, check=False)
        failed = "\n".join(line for line in done.stdout.splitlines() if "\N{BALLOT X}" in line)
        require(done.returncode == 0, f"{failed} {done.stderr}".strip())
        took = time.monotonic() - begin
        require(took < 60, f"{took:.0f} s")
        self.kubectl("delete", "namespace", namespace, "--wait=false")
        said = done.stdout.splitlines()[-1].rstrip(".")
        return f"{said}, through the Service; with the start of the pod ({ready:.1f} s) {took:.1f} s (limit 60 s)"

    def restarted(self):
        """README's restart"""
        before = {pod["metadata"]["name"] for pod in self.cluster.pods(NAMESPACE, "app=llm")}
        begin = time.monotonic()
        for command in readme_commands(marker="of your own"):
            self.kubectl(*command[1:])
        self.kubectl("rollout", "status", "deployment/llm", "-n", NAMESPACE, "--timeout=120s")
        pods = self.cluster.pods(NAMESPACE, "app=llm")
        require(not before & {pod["metadata"]["name"] for pod in pods}, "the pods are the old ones")
        require(all(pod["spec"]["initContainers"][0]["name"] == "outrigger" for pod in pods), "a pod has no sidecar")
        return f"label and restart as the README says: {len(pods)} new pods with the sidecar after {time.monotonic() - begin:.1f} s"
