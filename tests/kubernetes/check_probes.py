"""Probes: of an app that listens on loopback only, over gRPC, and under overload."""

import json
import shutil
import subprocess
import threading
import time

from cluster import OUTRIGGER, SOURCE, wait
from support import NAMESPACE, Base, call, deployment, forget_token, is_ready, plain_pod, probe, require, status_of


class Probes(Base):
    def app_localhost(self):
        """an app on loopback"""
        # Two ways, one pod.
        plain = plain_pod()
        plain["metadata"]["annotations"]["outrigger/app-localhost"] = "true"
        plain["spec"]["containers"][1]["livenessProbe"] = {"httpGet": {"path": "/live?a=b", "port": 9000}}
        by_policy, by_program = self.dry_run(plain), self.inject(plain)
        for pod in (by_policy, by_program):
            forget_token(pod["spec"])
        require(by_program["spec"] == by_policy["spec"], f"they differ: {by_program['spec']} {by_policy['spec']}")
        asked = by_policy["spec"]["containers"][1]["livenessProbe"]["httpGet"]
        require((asked["path"], asked["port"]) == ("/.outrigger/app-health/app/liveness", 15020), f"the probe asks {asked}")

        # And one that runs: the kubelet cannot reach it, and still knows how it is.
        ask = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 2}
        self.apply(json.dumps(deployment(
            "loopback", ["--listen", "127.0.0.1:8000", "--admin", "0.0.0.0:8001"], {"outrigger/app-localhost": "true"},
            startupProbe=ask, readinessProbe={**ask, "failureThreshold": 1}, livenessProbe={**ask, "failureThreshold": 60})))
        begin = time.monotonic()
        self.kubectl("rollout", "status", "deployment/loopback", "-n", NAMESPACE, "--timeout=60s")
        ready = time.monotonic() - begin
        pod, = self.cluster.pods(NAMESPACE, "app=loopback")
        name = pod["metadata"]["name"]
        [admin, probes] = self.cluster.forward(NAMESPACE, f"pod/{name}", 8001, 15020)

        def is_app_ready():
            return status_of(self.pod_named(name), "app")["ready"]
        require(is_app_ready() and probe(probes, "/.outrigger/app-health/app/readiness") == 200, "the app is not ready")
        require(probe(probes, "/.outrigger/app-health/app/metrics") == 404, "something else than a probe can be asked for")
        times = []
        for is_well in (False, True):
            begin = time.monotonic()
            call(admin, path="/admin/health", body=json.dumps({"status": 200 if is_well else 503}))
            wait(f"the app is{'' if is_well else ' not'} ready", lambda: is_app_ready() == is_well, 20)  # noqa: B023
            times.append(time.monotonic() - begin)
        require(status_of(self.pod_named(name), "app")["restartCount"] == 0, "the app was restarted")
        self.kubectl("delete", "deployment", "loopback", "-n", NAMESPACE, "--wait=false")
        return (f"all three probes through the sidecar, ready {ready:.1f} s after apply; unready {times[0]:.1f} s after its /health "
                f"says 503, ready {times[1]:.1f} s after 200 (period 1 s)")

    def grpc_probes(self):
        """gRPC probes"""
        # A release of its own, with the image that has the module.
        namespace = "grpc"
        repository, tag = OUTRIGGER.rsplit(":", 1)
        self.cluster.helm("install", "outrigger", SOURCE / "helm/outrigger", "--namespace", namespace, "--create-namespace",
                          "--set", f"image.repository={repository}", "--set-string", f"image.tag={tag}-grpc",
                          "--set", "injection.labelValue=grpc,sidecar.probes=grpc,config.admin.grpc_address=0.0.0.0:15021", "--wait")
        self.kubectl("label", "namespace", namespace, "outrigger/inject=grpc")
        made = deployment("app", ["--listen", "0.0.0.0:8000"], namespace=namespace)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": namespace},
               "spec": made["spec"]["template"]["spec"]}
        wait("the policy takes effect", lambda: "initContainers" in self.dry_run(pod)["spec"], 30)
        self.apply(json.dumps(made))
        begin = time.monotonic()
        self.kubectl("rollout", "status", "deployment/app", "-n", namespace, "--timeout=60s")
        took = time.monotonic() - begin
        pod, = self.cluster.pods(namespace, "app=app")
        sidecar = pod["spec"]["initContainers"][0]
        for kind in ("startup", "readiness", "liveness"):
            asked = sidecar[f"{kind}Probe"].get("grpc")
            require(asked == {"port": 15021, "service": kind}, f"the {kind} probe is {sidecar[f'{kind}Probe']}")
        self.cluster.helm("uninstall", "outrigger", "--namespace", namespace, "--wait")
        self.kubectl("delete", "namespace", namespace, "--wait=false")
        return f"an image with the module answers startup, readiness and liveness; ready {took:.1f} s after apply"

    def overload(self):
        """overload"""
        pod = self.pod()
        name, admin, service = pod["metadata"]["name"], (pod["status"]["podIP"], 15020, ""), (pod["status"]["podIP"], 15001, "")
        since = [c for c in pod["status"]["conditions"] if c["type"] == "Ready"]
        seen, over = [], threading.Event()

        def look():
            while not over.wait(0.1):
                seen.append((probe(admin, "/readyz"), probe(admin, "/livez")))
        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            # The sample's rule is 500/s: most are refused. Meanwhile failures open the breaker of another path.
            flood = subprocess.Popen([shutil.which("h2load"), "--h1", "-D", "12", "-c", "64", f"http://{service[0]}:15001/v1/models"],
                                     stdout=subprocess.PIPE, text=True)
            reasons = set()
            while flood.poll() is None:
                answer, _ = call(service, path="/v1/completions", body=json.dumps({"model": "mock-1", "prompt": "x"}),
                                 headers={"x-mock-fault": "status:500"})
                reasons.add(answer.getheader("x-outrigger-reason"))
                time.sleep(0.02)
            said = flood.stdout.read()
        finally:
            over.set()
            watcher.join()
        require(flood.returncode == 0, f"h2load: {said}")
        codes = dict(zip(("2xx", "3xx", "4xx", "5xx"), (int(word.split()[0]) for word in
                     next(line for line in said.splitlines() if line.startswith("status codes:"))[13:].split(","))))
        require(codes["4xx"] > codes["2xx"] > 0, f"it was not too much: {codes}")
        require("breaker_open" in reasons or "rate_requests" in reasons, f"nothing was refused: {reasons}")
        require(len(seen) > 50 and set(seen) == {(200, 200)}, f"probes answered {set(seen)}")
        after = self.pod_named(name)
        require([c for c in after["status"]["conditions"] if c["type"] == "Ready"] == since, "the pod's readiness has flipped")
        for container in ("outrigger", "llm"):
            before, now = (status_of(each, container)["restartCount"] for each in (pod, after))
            require(before == now, f"{container} was restarted")
        require(is_ready(after), "the pod is not ready")
        return (f"{codes['4xx']} of {codes['4xx'] + codes['2xx']} requests refused in 12 s, {', '.join(sorted(filter(None, reasons)))}: "
                f"{len(seen)} looks at /readyz and /livez all 200, the pod stays ready")
