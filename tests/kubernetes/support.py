"""What the checks share: the cluster under test, and looks at pods and at what they answer."""

import http.client
import json
import shlex
import time

from cluster import MOCK_AI, OUTRIGGER, SOURCE, Failed, run

NAMESPACE = "llm"
SAMPLES = SOURCE / "k8s/samples"
CHAT = json.dumps({"model": "mock-1", "messages": [{"role": "user", "content": "hello"}]})


def require(condition, what):
    if not condition:
        raise Failed(what)


def status_of(pod, container):
    statuses = pod["status"].get("initContainerStatuses", []) + pod["status"].get("containerStatuses", [])
    return next((status for status in statuses if status["name"] == container), {})


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def seconds(stamp):
    return time.mktime(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ"))


def call(address, method="POST", path="/v1/chat/completions", body=CHAT, headers=(), connection=None):
    host, port, prefix = address
    used = connection or http.client.HTTPConnection(host, port, timeout=30)
    used.request(method, prefix + path, body, {"Content-Type": "application/json", **dict(headers)})
    answer = used.getresponse()
    text = answer.read()
    if connection is None:
        used.close()
    return answer, text


def probe(address, path):
    """The status, or nothing when nobody answers."""
    try:
        return call(address, "GET", path, None)[0].status
    except (OSError, http.client.HTTPException):
        return None


class Base:
    def __init__(self, cluster):
        self.cluster = cluster
        self.kubectl, self.get, self.apply = cluster.kubectl, cluster.get, cluster.apply

    def pod(self):
        pods = [pod for pod in self.cluster.pods(NAMESPACE, "app=llm") if is_ready(pod)]
        require(pods, "no pod is ready")
        return pods[0]

    def pod_named(self, name):
        return self.get("pod", name, "-n", NAMESPACE)

    def dry_run(self, pod):
        """The pod as the API server would keep it."""
        done = run("kubectl", "create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(pod))
        return json.loads(done.stdout)

    def injected(self, manifest, *arguments):
        """The text that `outrigger inject` makes of it."""
        image = self.cluster.images[OUTRIGGER]
        return run(SOURCE / "build/image/bin/outrigger", "inject", "--image", image, *arguments, input=json.dumps(manifest)).stdout

    def inject(self, pod):
        """dry_run, with the sidecar from `outrigger inject` instead of from the policy."""
        text = self.injected(pod).replace("namespace: injected", "namespace: default")
        pod = json.loads(run("kubectl", "create", "--dry-run=server", "-o", "json", "-f", "-", input=text).stdout)
        return pod


def plain_pod(namespace="injected"):
    """A pod with something of all that injection changes or has to leave alone."""
    image = MOCK_AI
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "plain", "namespace": namespace, "annotations": {"outrigger/cpu-limit": "1"}},
        "spec": {"terminationGracePeriodSeconds": 20, "containers": [
            {"name": "helper", "image": image, "lifecycle": {"preStop": {"httpGet": {"path": "/x", "port": 80}}}},
            {"name": "app", "image": image,
             "ports": [{"name": "other", "containerPort": 9000}, {"name": "http", "containerPort": 8000}],
             "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}},
             "startupProbe": {"tcpSocket": {"port": "http"}},
             "lifecycle": {"postStart": {"httpGet": {"path": "/health", "port": "http"}}}}]}}


def deployment(name, arguments, annotations=None, replicas=1, namespace=NAMESPACE, **probes):
    """mock-ai in a container `app`, in pods with the label app=NAME."""
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels, "annotations": annotations or {}},
                "spec": {"containers": [{"name": "app", "image": MOCK_AI, "args": arguments,
                                         "ports": [{"name": "http", "containerPort": 8000}], **probes}]}}}}


def forget_token(spec):
    """The volume with the token of the service account has a name of its own in each pod."""
    spec["volumes"] = [v for v in spec["volumes"] if not v["name"].startswith("kube-api-access")]
    for container in spec.get("initContainers", []) + spec["containers"]:
        container["volumeMounts"] = [m for m in container["volumeMounts"] if not m["name"].startswith("kube-api-access")]


def readme_commands(marker="To try it"):
    """The commands of the README's block that begins with a comment of this text, in its section "In Kubernetes"."""
    section = (SOURCE / "README.md").read_text().split("## In Kubernetes", 1)[1].split("\n## ", 1)[0]
    blocks = [block.strip("\n") for block in section.split("```")[1::2]]
    lines, = [block.splitlines() for block in blocks if block.startswith("#") and marker in block.splitlines()[0]]
    return [shlex.split(line, comments=True) for line in lines if line and not line.startswith("#")]
