"""Changes of the configuration while pods run (CF-4)."""

import json
import os
import re
import time

from cluster import wait
from load import Load
from support import NAMESPACE, SAMPLES, Base, call, is_ready, require


class Configuration(Base):
    def config_edits(self, edits=20):
        """ConfigMap edits"""
        text = self.config_of_sample()
        pods = [pod for pod in self.cluster.pods(NAMESPACE, "app=llm") if is_ready(pod)]
        before = [self.config_metrics(pod) for pod in pods]
        # A kubelet looks every minute, the test cluster's every two seconds.
        limit = 30 if self.cluster.is_own else 150
        times = []
        with Load(self.address, rate=100, streams=20, seconds=15) as load:
            for i in range(1, edits + 1):
                begin = time.monotonic()
                self.set_config(text.replace("rate: 500/s", f"rate: {500 + i}/s"))
                for pod, (generation, _) in zip(pods, before):
                    wait(f"edit {i} is in use", lambda: self.config_metrics(pod) == (generation + i, 1), limit)  # noqa: B023
                times.append(time.monotonic() - begin)
            refused = self.refused_edit(pods[0], text.replace("- retry:", "- retries:"), before[0][0] + edits, limit)
            self.set_config(text)
            for pod, (generation, _) in zip(pods, before):
                wait("a good one is in use again", lambda: self.config_metrics(pod) == (generation + edits + 1, 1), limit)  # noqa: B023
        outcome = load.outcome
        require(not outcome.failures, f"{len(outcome.failures)} failed: {outcome.failures[:5]}")
        return (f"{edits} under load, each in use in {len(pods)} pods after {sum(times) / edits:.1f} s on average, {max(times):.1f} s at most; "
                f"0 of {outcome.requests} requests at 100/s and 0 of {outcome.streams} streams of 15 s failed; {refused}")

    def refused_edit(self, pod, text, generation, limit):
        arrived, name = self.arrival(pod), pod["metadata"]["name"]
        was = arrived()
        self.set_config(text)
        at = wait("the bad edit is in the pod", lambda: arrived() != was and time.monotonic(), limit, every=0.02) if was else None
        said = wait("the bad edit is reported", lambda: self.config_metrics(pod) == (generation, 0) and time.monotonic(), limit, every=0.02)
        lines = [json.loads(line) for line in self.kubectl("logs", "-n", NAMESPACE, name, "-c", "outrigger", "--since=60s").splitlines()
                 if "config_refused" in line]
        require(lines and "retries" in json.dumps(lines[-1]) and lines[-1].get("line"), f"the log does not say what is wrong: {lines}")
        require(call(self.address)[0].status == 200, "it does not serve any more")
        if at is None:
            return "a bad one changed nothing and was reported"
        require(said - at <= 2, f"reported {said - at:.1f} s after it came")
        return f"a bad one changed nothing and was reported {said - at:.2f} s after it came into the pod (limit 2 s)"

    def config_of_sample(self):
        objects = (SAMPLES / "llm.yaml").read_text().split("\n---\n")
        text, = [each for each in objects if "kind: ConfigMap" in each]
        return re.sub(r"^    ", "", text.split("config.yaml: |\n")[1], flags=re.MULTILINE)

    def set_config(self, text):
        self.kubectl("patch", "configmap", "outrigger", "-n", NAMESPACE, "--type=merge", "-p", json.dumps({"data": {"config.yaml": text}}))

    def config_metrics(self, pod):
        """The generation in use, and whether the latest change was accepted."""
        text = self.metrics(pod)
        return tuple(int(float(re.search(rf"^outrigger_{name} (\S+)$", text, re.MULTILINE)[1]))
                     for name in ("config_generation", "config_last_reload_successful"))

    def metrics(self, pod):
        if not self.cluster.is_own:
            return self.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}:15020/proxy/metrics")
        return call((pod["status"]["podIP"], 15020, ""), "GET", "/metrics", None)[1].decode()

    def arrival(self, pod):
        """What tells one state of the ConfigMap in the pod from the next: where the kubelet's link points. Nothing on
        another machine."""
        link = self.cluster.volume(pod, "kubernetes.io~configmap/outrigger-config/..data")
        return lambda: os.readlink(link) if link else None
