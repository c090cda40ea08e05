"""The life of pods: start, end, restarts of either container, Jobs, a rolling restart."""

import json
import time

from cluster import Failed, wait
from load import Load
from support import NAMESPACE, SAMPLES, Base, call, is_ready, probe, require, seconds, status_of


class Life(Base):
    def order(self, starts=50):
        """app after /startupz"""
        # The Job's containers succeed only if the sidecar's /startupz is 200 as soon as they start.
        self.apply(json.dumps(job("starts", ["--fail", "--silent", "http://127.0.0.1:15020/startupz"],
                                  completions=starts, parallelism=5, backoffLimit=0)))
        begin = time.monotonic()
        self.wait_for_job("starts", 300)
        return f"{starts} of {starts} pod starts in {time.monotonic() - begin:.0f} s"

    def jobs(self, count=20):
        """Jobs complete"""
        text = (SAMPLES / "job.yaml").read_text()
        configuration, sample = text.split("\n---\n")
        self.apply(configuration)
        begin, gaps = time.monotonic(), []
        together = 4
        for first in range(0, count, together):
            names = [f"ask-{i}" for i in range(first, min(first + together, count))]
            for name in names:
                self.apply(sample.replace("{name: ask,", f"{{name: {name},").replace("Idempotency-Key: ask-1", f"Idempotency-Key: {name}"))
            for name in names:
                self.wait_for_job(name, 120)
                gaps.append(self.gap(name))
        require(max(gaps) <= 2, f"sidecars ended these seconds after their app: {gaps}")
        return (f"{count} of {count} in {time.monotonic() - begin:.0f} s; the sidecar ended {sum(gaps) / count:.1f} s after the main "
                f"container on average, {max(gaps):.0f} s at most (limit 2 s; stamps are whole seconds)")

    def wait_for_job(self, name, limit):
        def over():
            status = self.get("job", name, "-n", NAMESPACE)["status"]
            if status.get("failed"):
                raise Failed(f"Job {name}: " + self.kubectl("logs", "-n", NAMESPACE, "-l", f"job-name={name}", "-c", "app", check=False))
            # Complete only when all pods, with their sidecars, have ended.
            return any(c["type"] == "Complete" and c["status"] == "True" for c in status.get("conditions", []))
        wait(f"Job {name} is complete", over, limit, every=0.5)

    def gap(self, name):
        """Seconds from the end of the Job's container to that of its sidecar."""
        pod, = self.get("pods", "-n", NAMESPACE, "-l", f"job-name={name}")["items"]
        app, sidecar = (status_of(pod, container)["state"]["terminated"] for container in ("app", "outrigger"))
        return seconds(sidecar["finishedAt"]) - seconds(app["finishedAt"])

    def sidecar_killed(self):
        """kill -9 of the sidecar"""
        pod = self.pod()
        name, address = pod["metadata"]["name"], (pod["status"]["podIP"], 15020, "")
        restarts = status_of(pod, "outrigger")["restartCount"]
        service = (pod["status"]["podIP"], 15001, "")
        key = {"Idempotency-Key": f"lost-{time.time_ns()}"}
        call(service, headers=key)
        begin = time.monotonic()
        self.cluster.kill(pod, "outrigger")
        accepts = wait("the admin port is back", lambda: probe(address, "/livez") and time.monotonic(), 30, every=0.01)
        ready = wait("/readyz is 200", lambda: probe(address, "/readyz") == 200 and time.monotonic(), 10, every=0.01)
        wait("the restart is counted", lambda: status_of(self.pod_named(name), "outrigger")["restartCount"] > restarts, 30)
        wait("the pod is ready again", lambda: is_ready(self.pod_named(name)), 30)
        after = self.pod_named(name)
        require(after["metadata"]["uid"] == pod["metadata"]["uid"], "it is another pod")
        require(status_of(after, "llm")["restartCount"] == status_of(pod, "llm")["restartCount"], "the app was restarted too")
        again, _ = call(service, headers=key)
        require(again.getheader("x-outrigger-idempotency") == "stored", "a key outlived the memory it was in")
        require(ready - accepts <= 2, f"ready {ready - accepts:.1f} s after it listened")
        return (f"process back after {accepts - begin:.2f} s, /readyz 200 {ready - accepts:.2f} s later (limit 2 s); "
                "the pod and its app stay; keys of the default store are gone, as documented")

    def app_killed(self):
        """killing the app"""
        pod = self.pod()
        name, address = pod["metadata"]["name"], (pod["status"]["podIP"], 15020, "")
        self.cluster.kill(pod, "mock-ai")
        # The kubelet starts it at once the first time, and after ten seconds the second.
        wait("the app is back", lambda: status_of(self.pod_named(name), "llm").get("restartCount", 0) >= 1
             and self.cluster.process(pod, "mock-ai"), 30, every=0.05)
        wait("/readyz is 200", lambda: probe(address, "/readyz") == 200, 20, every=0.02)
        wait("the sidecar is ready", lambda: status_of(self.pod_named(name), "outrigger")["ready"], 20)
        begin = time.monotonic()
        self.cluster.kill(pod, "mock-ai")
        down = wait("/readyz is 503", lambda: probe(address, "/readyz") == 503 and time.monotonic(), 20, every=0.02)
        noticed = wait("the sidecar is not ready", lambda: not status_of(self.pod_named(name), "outrigger")["ready"] and time.monotonic(),
                       20, every=0.05)
        require(probe(address, "/livez") == 200, "/livez follows the app")
        back = wait("the app is back", lambda: self.cluster.process(pod, "mock-ai") and time.monotonic(), 60, every=0.02)
        up = wait("/readyz is 200 again", lambda: probe(address, "/readyz") == 200 and time.monotonic(), 20, every=0.02)
        ready = wait("the sidecar is ready again", lambda: status_of(self.pod_named(name), "outrigger")["ready"] and time.monotonic(),
                     20, every=0.05)
        wait("the pod is ready again", lambda: is_ready(self.pod_named(name)), 30)
        require(status_of(self.pod_named(name), "outrigger")["restartCount"] == status_of(pod, "outrigger")["restartCount"],
                "the sidecar was restarted")
        # The sample checks each second and fails the third time; the kubelet asks every two seconds.
        require(down - begin <= 3.5, f"/readyz 503 after {down - begin:.1f} s")
        require(noticed - down <= 3.5, f"noticed {noticed - down:.1f} s after it")
        require(up - back <= 1.5, f"/readyz 200 {up - back:.1f} s after the app")
        require(ready - up <= 3.5, f"ready {ready - up:.1f} s after /readyz")
        return (f"/readyz 503 after {down - begin:.2f} s (3 checks of 1 s), the kubelet {noticed - down:.2f} s later (period 2 s); "
                f"back {up - back:.2f} s and {ready - up:.2f} s after the app; liveness stays")

    def rolling_restart(self):
        """rolling restart"""
        with Load(self.address, rate=100, streams=20, seconds=15) as load:
            time.sleep(5)
            before = {pod["metadata"]["name"] for pod in self.cluster.pods(NAMESPACE, "app=llm")}
            begin = time.monotonic()
            self.kubectl("rollout", "restart", "deployment/llm", "-n", NAMESPACE)
            self.kubectl("rollout", "status", "deployment/llm", "-n", NAMESPACE, "--timeout=180s")
            rolled = time.monotonic() - begin

            def gone():
                names = {pod["metadata"]["name"] for pod in self.get("pods", "-n", NAMESPACE, "-l", "app=llm")["items"]}
                return not names & before
            wait("the old pods are gone", gone, 90, every=0.5)
            took = time.monotonic() - begin
        outcome = load.outcome
        for failure in outcome.failures[:10]:
            print(f"      {failure}")
        require(not outcome.failures, f"{len(outcome.failures)} of {outcome.requests} requests and {outcome.streams} streams failed")
        return (f"0 of {outcome.requests} requests at 100/s and 0 of {outcome.streams} streams of 15 s failed; rolled out in {rolled:.0f} s, "
                f"old pods gone after {took:.0f} s, slowest request {outcome.slowest * 1000:.0f} ms")


def job(name, arguments, **spec):
    """A Job in the sample's namespace whose container `app` runs curl, with a sidecar towards the sample's service."""
    annotations = {"outrigger/upstream": "llm.llm.svc.cluster.local:80", "outrigger/config": "outbound"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {**spec, "template": {
                "metadata": {"annotations": annotations},
                "spec": {"restartPolicy": "Never",
                         "containers": [{"name": "app", "image": "localhost/curl:1", "args": arguments}]}}}}
