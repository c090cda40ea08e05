"""Injection by the webhook, beside that by the policy: the same pods, and a life of its own."""

import base64
import copy
import json

from cluster import OUTRIGGER, SOURCE, Failed, run, wait
from support import Base, forget_token, plain_pod, require

CONFIGURATION = "hook-outrigger"
ACCOUNT = "system:serviceaccount:hook:outrigger-injector"


def variants():
    """(what, pod): pods that injection treats differently."""
    def made(change):
        pod = plain_pod()
        change(pod["metadata"], pod["spec"])
        return pod

    def annotated(**annotations):
        return made(lambda metadata, spec: metadata["annotations"].update({f"outrigger/{key.replace('_', '-')}": value for key, value in annotations.items()}))
    image = plain_pod()["spec"]["containers"][0]["image"]
    yield "plain", plain_pod()
    yield "without a named port", made(lambda metadata, spec: spec["containers"].pop())
    yield "on the host's network", made(lambda metadata, spec: (spec.update(hostNetwork=True), spec["containers"].pop(0), spec["containers"][0].pop("ports")))
    yield "an upstream elsewhere", annotated(upstream="llm.example:80", port_name="other", config="mine")
    yield "an empty upstream", annotated(upstream="")
    yield "an empty name of a port", annotated(port_name="")
    yield "a port as upstream", annotated(upstream="9000")
    yield "resources", annotated(cpu_request="20m", memory_limit="", ephemeral_storage_limit="1Gi")
    yield "an app on loopback", annotated(app_localhost="true")
    yield "scraped already", made(lambda metadata, spec: metadata["annotations"].update({"prometheus.io/scrape": "false", "a.b/c": "é"}))
    yield "init containers and volumes", made(lambda metadata, spec: spec.update(
        initContainers=[{"name": "first", "image": image}, {"name": "second", "image": image}], volumes=[{"name": "v", "emptyDir": {}}]))
    for grace in (0, 1, 4, 8):
        yield f"{grace} s of grace", made(lambda metadata, spec, seconds=grace: spec.update(terminationGracePeriodSeconds=seconds))
    yield "without annotations", made(lambda metadata, spec: metadata.pop("annotations"))
    yield "disabled", made(lambda metadata, spec: metadata.update(labels={"outrigger/inject": "disabled"}))


def comparable(pod):
    pod = copy.deepcopy(pod)
    pod["spec"].setdefault("initContainers", [])
    forget_token(pod["spec"])
    metadata = {key: pod["metadata"].get(key, {}) for key in ("labels", "annotations")}
    return {"spec": pod["spec"], **metadata}


class Webhook(Base):
    def webhook(self):
        """the webhook, same pods"""
        self.install_webhook()
        for what, pod in variants():
            by_policy = comparable(self.dry_run(pod))
            by_webhook = self.hooked(pod)
            require(comparable(by_webhook) == by_policy, f"{what}: they differ: {json.dumps(comparable(by_webhook))} {json.dumps(by_policy)}")
            # Twice is once.
            for key in ("uid", "creationTimestamp", "generation"):
                by_webhook["metadata"].pop(key, None)
            by_webhook.pop("status")
            again = self.dry_run(by_webhook)
            require(again["spec"] == by_webhook["spec"], f"{what}: asked again, it changes the pod")
        self.look_at_rights()
        return f"{len(list(variants()))} kinds of pods as by the policy, to the last field; asked again nothing changes; rights for one object"

    def webhook_rotation(self):
        """rotation, upgrade, outage"""
        first = self.bundle()
        asked = 0
        # Of a life of 60 s, two thirds, and what the API server needs to hear of it.
        for _ in range(2000):
            require(self.is_hooked(), f"a pod was not injected, the {asked + 1}th")
            asked += 1
            now = self.bundle()
            if first and not first & now and now:
                break
        else:
            raise Failed("the certificates were not replaced")
        # An upgrade takes nothing away, and its definition is in use afterwards.
        self.helm_webhook("upgrade", "sidecar.resources.limits.memory=98Mi,injection.webhook.failurePolicy=Fail")

        def memory():
            return self.hooked(plain_pod())["spec"]["initContainers"][0]["resources"]["limits"]["memory"]
        wait("the upgrade takes effect", lambda: memory() == "98Mi", 60)
        # Nobody there: refused, as configured; and its own pods do not wait for it, even where it is to inject.
        self.kubectl("label", "namespace", "hook", "outrigger/inject=hook")
        self.kubectl("-n", "hook", "scale", "deployment/outrigger-injector", "--replicas=0")
        wait("the injector has ended", lambda: not self.get("pods", "-n", "hook")["items"], 60)
        refused = self.create(plain_pod())
        require(refused.returncode != 0 and "injector.outrigger" in refused.stderr, f"not refused: {refused.stderr}")
        self.kubectl("-n", "hook", "scale", "deployment/outrigger-injector", "--replicas=1")
        self.kubectl("-n", "hook", "rollout", "status", "deployment/outrigger-injector", "--timeout=60s")
        wait("it injects again", lambda: self.create(plain_pod()).returncode == 0, 30)
        pod, = self.get("pods", "-n", "hook")["items"]
        require("initContainers" not in pod["spec"], "it was injected itself")
        self.cluster.helm("uninstall", "outrigger", "--namespace", "hook", "--wait")
        wait("nothing is injected", lambda: not self.is_hooked(), 30)
        wait("nothing is left of it", lambda: not self.left(), 60)
        return f"0 of {asked} pods missed while every certificate was replaced; refused and back again; nothing left"

    def left(self):
        """Objects of the release; its pods serve for some seconds after they were told to end."""
        names = self.kubectl("get", "mutatingwebhookconfigurations,clusterroles,clusterrolebindings", "-o", "name", "-l",
                             "app.kubernetes.io/name=outrigger").split()
        return names + self.kubectl("get", "all,configmaps,secrets,serviceaccounts,poddisruptionbudgets", "-n", "hook", "-o", "name", "-l",
                                    "app.kubernetes.io/name=outrigger").split()

    def helm_webhook(self, verb, values=""):
        repository, tag = self.cluster.images[OUTRIGGER].rsplit(":", 1)
        base = f"injection.mode=webhook,injection.labelValue=hook,injection.webhook.certificate.lifetime=60s,image.repository={repository}"
        self.cluster.helm(verb, "outrigger", SOURCE / "helm/outrigger", "--namespace", "hook",
                          *(["--create-namespace"] if verb == "install" else []),
                          "--set", base + (f",{values}" if values else ""), "--set-string", f"image.tag={tag}", "--wait")

    def install_webhook(self):
        self.helm_webhook("install")
        self.kubectl("create", "namespace", "hooked")
        self.kubectl("label", "namespace", "hooked", "outrigger/inject=hook")
        wait("the webhook takes effect", self.is_hooked, 30)

    def look_at_rights(self):
        def may(*what):
            return run("kubectl", "auth", "can-i", *what, f"--as={ACCOUNT}", check=False).stdout.strip() == "yes"
        of_its_own = f"mutatingwebhookconfigurations/{CONFIGURATION}"
        require(may("get", of_its_own) and may("patch", of_its_own), "it may not say by which certificate it is known")
        for what in (("get", "mutatingwebhookconfigurations/other"), ("list", "mutatingwebhookconfigurations"), ("update", of_its_own),
                     ("delete", of_its_own), ("get", "secrets", "-n", "hook"), ("get", "pods", "-n", "hook"), ("create", "pods", "-n", "hooked")):
            require(not may(*what), f"it may {' '.join(what)}")

    def create(self, pod):
        pod = copy.deepcopy(pod)
        pod["metadata"]["namespace"] = "hooked"
        return run("kubectl", "create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(pod), check=False)

    def hooked(self, pod):
        """The pod as the API server would keep it in the namespace of the webhook."""
        done = self.create(pod)
        require(done.returncode == 0, done.stderr)
        return json.loads(done.stdout)

    def is_hooked(self):
        return "outrigger/sidecar" in self.hooked(plain_pod())["metadata"].get("labels", {})

    def bundle(self):
        """The certificates that the API server trusts."""
        webhooks = self.get("mutatingwebhookconfiguration", CONFIGURATION)["webhooks"]
        texts = {webhook["clientConfig"].get("caBundle", "") for webhook in webhooks}
        require(len(texts) == 1, "the webhooks have different bundles")
        return set(base64.b64decode(texts.pop()).decode().split("-----END CERTIFICATE-----\n")) - {""}
