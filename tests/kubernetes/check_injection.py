"""Installing the chart, and the pods that come of it."""

import json
import pathlib
import tempfile
import time

from cluster import OUTRIGGER, SOURCE, run, wait
from support import Base, forget_token, plain_pod, readme_commands, require


class Injection(Base):
    def install(self):
        """helm install"""
        begin = time.monotonic()
        image = self.cluster.images[OUTRIGGER]
        repository, tag = image.rsplit(":", 1)
        command, = [command for command in readme_commands() if command[0] == "helm"]
        self.cluster.helm(*command[1:], "--set", f"image.repository={repository}", "--set-string", f"image.tag={tag}", "--wait",
                          cwd=SOURCE)
        self.kubectl("create", "namespace", "injected")
        self.kubectl("label", "namespace", "injected", "outrigger/inject=enabled")
        installed = time.monotonic() - begin

        def takes_effect():
            return "outrigger/sidecar" in self.dry_run(plain_pod())["metadata"].get("labels", {})
        # A policy takes a moment to reach the admission plugin.
        wait("the policy takes effect", takes_effect, 30)
        return f"{installed:.1f} s, in effect {time.monotonic() - begin - installed:.1f} s later"

    def injection(self):
        """injected pods"""
        pod = self.dry_run(plain_pod())
        sidecar = pod["spec"]["initContainers"][0]
        require(sidecar["name"] == "outrigger" and sidecar["restartPolicy"] == "Always", "the sidecar is not the first")
        require(sidecar["args"][-2:] == ["--upstream", "127.0.0.1:8000"], f"arguments {sidecar['args']}")
        require(sidecar["lifecycle"]["preStop"]["exec"]["command"][-1] == "15s", "the drain is not of the grace period")
        require(sidecar["resources"]["limits"] == {"cpu": "1", "memory": "64Mi"}, f"resources {sidecar['resources']}")
        app = pod["spec"]["containers"][1]
        require("name" not in app["ports"][1] and app["ports"][0]["name"] == "other", f"ports {app['ports']}")
        for place in (app["readinessProbe"]["httpGet"], app["startupProbe"]["tcpSocket"],
                      app["lifecycle"]["postStart"]["httpGet"]):
            require(place["port"] == 8000, f"a probe goes to {place}")
        require(app["lifecycle"]["preStop"] == {"sleep": {"seconds": 6}}, f"lifecycle {app['lifecycle']}")
        other = pod["spec"]["containers"][0]
        require("httpGet" in other["lifecycle"]["preStop"], "a hook of the pod's own was replaced")
        # Twice is once.
        for key in ("uid", "creationTimestamp", "generation"):
            pod["metadata"].pop(key, None)
        pod.pop("status")
        again = self.dry_run(pod)
        require(again["spec"] == pod["spec"], "a second injection changes the pod")
        # Who does not want it, and who cannot have it.
        left_out = plain_pod()
        left_out["metadata"]["labels"] = {"outrigger/inject": "disabled"}
        require("initContainers" not in self.dry_run(left_out)["spec"], "a pod with the label disabled was injected")
        unnamed = plain_pod()
        del unnamed["spec"]["containers"][1]
        unnamed = self.dry_run(unnamed)
        require("initContainers" not in unnamed["spec"], "a pod without an upstream was injected")
        require("outrigger/upstream" in unnamed["metadata"]["annotations"]["outrigger/status"], "it does not say why")
        labelled = plain_pod(namespace="default")
        require("initContainers" not in self.dry_run(labelled)["spec"], "a pod of another namespace was injected")
        labelled["metadata"]["labels"] = {"outrigger/inject": "enabled"}
        require(self.dry_run(labelled)["spec"]["initContainers"][0]["name"] == "outrigger", "a labelled pod was not injected")
        return "first, once, with the app's probes by number"

    def library(self):
        """three ways, one pod"""
        with tempfile.TemporaryDirectory() as folder:
            parent = pathlib.Path(folder) / "parent"
            run("cp", "-r", SOURCE / "tests/helm/parent", parent)
            run("mkdir", "-p", parent / "charts")
            run("cp", "-r", SOURCE / "helm/outrigger", parent / "charts/outrigger")
            text = self.cluster.helm("template", "a", parent, "--set", "outrigger.configMapName=outrigger")
        done = run("kubectl", "create", "--dry-run=client", "-o", "json", "-f", "-", input=text)
        documents = [json.loads(document) for document in split_json(done.stdout)]
        template = next(document for document in documents if document["kind"] == "Deployment")["spec"]["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "default"}, "spec": template["spec"]}
        by_hand = self.dry_run(pod)["spec"]
        plain = plain_pod()
        del plain["metadata"]["annotations"], plain["spec"]["terminationGracePeriodSeconds"]
        by_policy = self.dry_run(plain)["spec"]
        image = self.cluster.images[OUTRIGGER]
        sidecars = [spec["initContainers"][0] for spec in (by_hand, by_policy)]
        for sidecar in sidecars:
            # The token's volume has a name of its own in each pod.
            sidecar["volumeMounts"] = [m for m in sidecar["volumeMounts"] if not m["name"].startswith("kube-api-access")]
            sidecar["image"] = image
        require(sidecars[0] == sidecars[1], f"they differ: {sidecars}")
        volumes = [[v for v in spec["volumes"] if v["name"] == "outrigger-config"] for spec in (by_hand, by_policy)]
        require(volumes[0] == volumes[1], f"they differ: {volumes}")
        # And by the program, from the same manifest that the policy saw.
        by_program = self.inject(plain_pod())
        by_policy = self.dry_run(plain_pod())
        for pod in (by_program, by_policy):
            forget_token(pod["spec"])
        require(by_program["spec"] == by_policy["spec"], f"they differ: {by_program['spec']} {by_policy['spec']}")
        for key in ("labels", "annotations"):
            require(by_program["metadata"][key] == by_policy["metadata"][key], f"{key} differ: {by_program['metadata'][key]}")
        return "policy, library and `outrigger inject` give the same to the last field"


def split_json(text):
    """kubectl prints several objects one after the other."""
    decoder, position = json.JSONDecoder(), 0
    while position < len(text.rstrip()):
        _, end = decoder.raw_decode(text, position)
        yield text[position:end]
        position = end
        while position < len(text) and text[position].isspace():
            position += 1
