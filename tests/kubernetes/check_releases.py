"""Two releases side by side, and taking one away."""

from cluster import SOURCE, wait
from support import Base, plain_pod, require


class Releases(Base):
    def second_release(self):
        """a second release"""
        self.cluster.helm("install", "outrigger", SOURCE / "helm/outrigger", "--namespace", "other", "--create-namespace",
                          "--set", "injection.labelValue=other,sidecar.resources.limits.memory=99Mi", "--wait")
        self.kubectl("create", "namespace", "injected-other")
        self.kubectl("label", "namespace", "injected-other", "outrigger/inject=other")

        def memory(namespace):
            containers = self.dry_run(plain_pod(namespace=namespace))["spec"].get("initContainers", [])
            return [container["resources"]["limits"]["memory"] for container in containers]
        wait("the second policy takes effect", lambda: memory("injected-other") == ["99Mi"], 30)
        require(memory("injected") == ["64Mi"], "the first release's pods changed")
        self.cluster.helm("upgrade", "outrigger", SOURCE / "helm/outrigger", "--namespace", "other", "--reuse-values",
                          "--set", "sidecar.resources.limits.memory=98Mi", "--wait")
        wait("the upgrade takes effect", lambda: memory("injected-other") == ["98Mi"], 30)
        self.cluster.helm("uninstall", "outrigger", "--namespace", "other", "--wait")
        wait("the second policy is gone", lambda: memory("injected-other") == [], 30)
        require(memory("injected") == ["64Mi"], "the first release's pods changed")
        return "installed, upgraded and removed; the first one's pods stayed as they were"

    def uninstall(self):
        """uninstall"""
        self.cluster.helm("uninstall", "outrigger", "--namespace", "outrigger", "--wait")
        kinds = [kind for kind in self.kubectl("api-resources", "--verbs=list", "-o", "name").split() if not kind.startswith("events")]
        left = self.kubectl("get", ",".join(kinds), "--all-namespaces", "--ignore-not-found", "-o", "name",
                            "-l", "app.kubernetes.io/name=outrigger").split()
        left += self.kubectl("get", "secrets", "--all-namespaces", "-o", "name", "-l", "owner=helm").split()
        require(not left, f"left behind: {left}")
        wait("nothing is injected", lambda: "initContainers" not in self.dry_run(plain_pod())["spec"], 30)
        return f"nothing left of {len(kinds)} kinds of objects"
