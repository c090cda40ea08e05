"""What has to hold in a cluster, each with its figure. In this order: later checks use what earlier ones made."""

import http.client
import json
import pathlib
import tempfile
import time

from cluster import SOURCE, Failed, run, wait
from load import Load

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


class Checks:
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

    # --- installing and injecting

    def install(self):
        """helm install"""
        begin = time.monotonic()
        image = self.cluster.images["localhost/outrigger:0.1.0"]
        repository, tag = image.rsplit(":", 1)
        self.cluster.helm("install", "outrigger", SOURCE / "helm/outrigger", "--namespace", "outrigger", "--create-namespace",
                          "--set", f"image.repository={repository}", "--set-string", f"image.tag={tag}", "--wait")
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
        image = self.cluster.images["localhost/outrigger:0.1.0"]
        sidecars = [spec["initContainers"][0] for spec in (by_hand, by_policy)]
        for sidecar in sidecars:
            # The token's volume has a name of its own in each pod.
            sidecar["volumeMounts"] = [m for m in sidecar["volumeMounts"] if not m["name"].startswith("kube-api-access")]
            sidecar["image"] = image
        require(sidecars[0] == sidecars[1], f"they differ: {sidecars}")
        volumes = [[v for v in spec["volumes"] if v["name"] == "outrigger-config"] for spec in (by_hand, by_policy)]
        require(volumes[0] == volumes[1], f"they differ: {volumes}")
        # And by the program, from the same manifest that the policy saw.
        program = SOURCE / "build/image/bin/outrigger"
        text = run(program, "inject", "--image", image, input=json.dumps(plain_pod(namespace="default"))).stdout
        by_program = json.loads(run("kubectl", "create", "--dry-run=server", "-o", "json", "-f", "-", input=text).stdout)
        by_policy = self.dry_run(plain_pod())
        for pod in (by_program, by_policy):
            forget_token(pod["spec"])
        require(by_program["spec"] == by_policy["spec"], f"they differ: {by_program['spec']} {by_policy['spec']}")
        for key in ("labels", "annotations"):
            require(by_program["metadata"][key] == by_policy["metadata"][key], f"{key} differ: {by_program['metadata'][key]}")
        return "policy, library and `outrigger inject` give the same to the last field"

    # --- the sample service

    def first_use(self):
        """sample service ready"""
        begin = time.monotonic()
        self.apply((SAMPLES / "llm.yaml").read_text())
        self.kubectl("rollout", "status", "deployment/llm", "-n", NAMESPACE, "--timeout=60s")
        self.apply((SAMPLES / "hpa.yaml").read_text(), "--dry-run=server")
        ready = time.monotonic() - begin
        require(ready < 60, f"ready after {ready:.0f} s")
        self.address = self.cluster.service_address(NAMESPACE, "llm")
        return f"{ready:.1f} s after apply (limit 60 s)"

    def replay(self):
        """a replayed request"""
        # Keys are kept by each pod: one connection, so that one pod gets both.
        connection = http.client.HTTPConnection(*self.address[:2], timeout=30)
        key = {"Idempotency-Key": f"first-{time.time_ns()}"}
        first, text = call(self.address, headers=key, connection=connection)
        again, same = call(self.address, headers=key, connection=connection)
        require(first.status == again.status == 200 and text == same, f"{first.status} {again.status}")
        require(again.getheader("idempotent-replayed") == "true", "the second was not a replay")
        _, ledger = call(self.address, "GET", f"/ledger?id={key['Idempotency-Key']}", None, connection=connection)
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
            require(sum(float(series["value"][1]) for series in result) >= 1, f"{result}")
            return f"{expression} = {result[0]['value'][1]} in Prometheus {time.monotonic() - begin:.1f} s after its start"

    # --- life cycle

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

    # --- releases

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

    def clean_up(self):
        """Takes away whatever the checks made."""
        for release in ("outrigger", "other"):
            self.cluster.helm("uninstall", "outrigger", "--namespace", release, "--ignore-not-found", check=False)
        self.kubectl("delete", "namespace", NAMESPACE, "injected", "injected-other", "other", "outrigger", "--ignore-not-found",
                     "--timeout=120s", check=False)


def plain_pod(namespace="injected"):
    """A pod with something of all that injection changes or has to leave alone."""
    image = "localhost/mock-ai:0.1.0"
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


def forget_token(spec):
    """The volume with the token of the service account has a name of its own in each pod."""
    spec["volumes"] = [v for v in spec["volumes"] if not v["name"].startswith("kube-api-access")]
    for container in spec["initContainers"] + spec["containers"]:
        container["volumeMounts"] = [m for m in container["volumeMounts"] if not m["name"].startswith("kube-api-access")]


def job(name, arguments, **spec):
    """A Job in the sample's namespace whose container `app` runs curl, with a sidecar towards the sample's service."""
    annotations = {"outrigger/upstream": "llm.llm.svc.cluster.local:80", "outrigger/config": "outbound"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {**spec, "template": {
                "metadata": {"annotations": annotations},
                "spec": {"restartPolicy": "Never",
                         "containers": [{"name": "app", "image": "localhost/curl:1", "args": arguments}]}}}}


def probe(address, path):
    """The status, or nothing when nobody answers."""
    try:
        return call(address, "GET", path, None)[0].status
    except (OSError, http.client.HTTPException):
        return None


def split_json(text):
    """kubectl prints several objects one after the other."""
    decoder, position = json.JSONDecoder(), 0
    while position < len(text.rstrip()):
        _, end = decoder.raw_decode(text, position)
        yield text[position:end]
        position = end
        while position < len(text) and text[position].isspace():
            position += 1
