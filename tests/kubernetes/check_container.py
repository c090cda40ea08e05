"""The sidecar as an ordinary container (sidecar.kind: container), as it is before Kubernetes 1.32 (K8-2)."""

import http.client
import json
import time

from check_webhook import comparable, variants
from cluster import OUTRIGGER, SOURCE, wait
from load import Load
from support import NAMESPACE, SAMPLES, Base, call, deployment, is_ready, plain_pod, probe, require, status_of

ORDINARY = "ordinary"  # the namespace of the release and of its pods
GRACE = 30
STREAM = 10


class OrdinaryContainer(Base):
    def container_kind(self):
        """an ordinary container"""
        self.ordinary_release("policy")
        pods = [(what, in_ordinary(pod)) for what, pod in variants()]
        by_policy = [self.looked_at(what, pod) for what, pod in pods]
        # `outrigger inject` makes the same.
        text = self.injected(plain_pod("default"), "--sidecar", "container")
        by_program = comparable(json.loads(self.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=text)))
        require(by_program == by_policy[0], f"they differ: {json.dumps(by_program)} {json.dumps(by_policy[0])}")
        # So does the webhook, which takes the policy's place.
        self.ordinary_release("webhook")
        for (what, pod), expected in zip(pods, by_policy):
            got = self.looked_at(what, pod)
            require(got == expected, f"{what}: they differ: {json.dumps(got)} {json.dumps(expected)}")
        return f"{len(pods)} kinds of pods by the policy and the webhook, one by `outrigger inject`: the same to the last field; twice is once"

    def container_order(self, starts=10):
        """app after outrigger wait"""
        self.ordinary_release("webhook")
        # A sidecar so slow that an app that does not wait for it finds nobody there; and the Job's last act ends it.
        url = "http://127.0.0.1:15020"
        arguments = ["--fail", "--fail-early", "--silent", "--show-error", f"{url}/startupz",
                     "--next", "--fail", "--silent", "--request", "POST", f"{url}/drain"]
        annotations = {"outrigger/upstream": f"llm.{NAMESPACE}.svc.cluster.local:80", "outrigger/config": "outbound",
                       "outrigger/cpu-limit": "30m"}
        configuration = (SAMPLES / "job.yaml").read_text().split("\n---\n")[0].replace(f"namespace: {NAMESPACE}", f"namespace: {ORDINARY}")
        self.apply(configuration)
        begin = time.monotonic()
        self.apply(json.dumps({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "starts", "namespace": ORDINARY},
            "spec": {"completions": starts, "parallelism": 5, "backoffLimit": 0, "template": {
                "metadata": {"annotations": annotations},
                "spec": {"restartPolicy": "Never",
                         "containers": [{"name": "app", "image": "localhost/curl:1", "args": arguments}]}}}}))

        def over():
            status = self.get("job", "starts", "-n", ORDINARY)["status"]
            require(not status.get("failed"), "a pod failed: " + self.kubectl(
                "logs", "-n", ORDINARY, "-l", "job-name=starts", "-c", "app", check=False))
            return any(c["type"] == "Complete" and c["status"] == "True" for c in status.get("conditions", []))
        wait("the Job is complete", over, 180, every=0.5)
        took = time.monotonic() - begin
        for pod in self.get("pods", "-n", ORDINARY, "-l", "job-name=starts")["items"]:
            require(pod["spec"]["containers"][0]["name"] == "outrigger", "the sidecar is not the first")
            require(status_of(pod, "outrigger")["state"]["terminated"]["exitCode"] == 0, "a sidecar failed")
        self.kubectl("delete", "job", "starts", "-n", ORDINARY)
        return f"{starts} of {starts} pod starts with a sidecar held to 3 % of a processor, each Job ended by POST /drain, in {took:.0f} s"

    def container_deleted(self):
        """pods deleted under load"""
        self.ordinary_release("webhook")
        app = deployment("app", ["--listen", "0.0.0.0:8000", "--graceful", "--ttft", "50ms"], replicas=2, namespace=ORDINARY,
                         readinessProbe={"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 2})
        app["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = GRACE
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app", "namespace": ORDINARY},
                   "spec": {"selector": {"app": "app"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}
        self.apply("\n---\n".join(map(json.dumps, (app, service))))
        self.kubectl("rollout", "status", "deployment/app", "-n", ORDINARY, "--timeout=60s")
        pods = self.cluster.pods(ORDINARY, "app=app")
        for pod in pods:
            require([c["name"] for c in pod["spec"]["containers"]] == ["outrigger", "app"], "the sidecar is not the first")
        address, took = self.cluster.service_address(ORDINARY, "app"), []
        # The node learns of a Service's pods a moment after they are ready.
        wait("the service answers", lambda: probe(address, "/v1/models") == 200, 60)
        with Load(address, rate=100, streams=10, seconds=STREAM) as load:
            time.sleep(3)
            for pod in pods:
                begin, name = time.monotonic(), pod["metadata"]["name"]
                self.kubectl("delete", "pod", name, "-n", ORDINARY, "--wait=false")
                wait(f"{name} is gone", lambda: not self.kubectl("get", "pod", name, "-n", ORDINARY, "--ignore-not-found"),  # noqa: B023
                     60, every=0.2)
                took.append(time.monotonic() - begin)
                wait("another is ready", lambda: sum(map(is_ready, self.cluster.pods(ORDINARY, "app=app"))) == 2, 60, every=0.2)
        outcome = load.outcome
        require(not outcome.failures, f"{len(outcome.failures)} of {outcome.requests} requests and {outcome.streams} streams failed: "
                f"{outcome.failures[:5]}")
        require(max(took) < GRACE, f"they were killed at the end of the grace period: {took}")
        served = self.serves_while_it_goes(self.cluster.pods(ORDINARY, "app=app")[0])
        # The hooks that hold the app back at its start and at its end were answered.
        events = self.get("events", "-n", ORDINARY)["items"]
        failed = [event["message"] for event in events if event["reason"] in ("FailedPostStartHook", "FailedPreStopHook")]
        require(not failed, f"hooks failed: {failed}")
        self.cluster.helm("uninstall", "outrigger", "--namespace", ORDINARY, "--wait")
        # Its injectors serve for some seconds after they were told to end.
        wait("the injectors have ended", lambda: not self.get("pods", "-n", ORDINARY, "-l", "app.kubernetes.io/name=outrigger")["items"], 60)
        self.kubectl("delete", "namespace", ORDINARY, "--wait=false")
        return (f"0 of {outcome.requests} requests at 100/s and 0 of {outcome.streams} streams of {STREAM} s failed while both pods were "
                f"deleted; gone after {min(took):.0f} to {max(took):.0f} s (grace period {GRACE} s); a third, idle one served for {served:.1f} s "
                "more; no hook failed")

    def serves_while_it_goes(self, pod):
        """How long a pod that is being deleted serves: for the lame duck, though its app would end at once were it not held back."""
        address, last = (pod["status"]["podIP"], 15001, ""), 0
        begin = time.monotonic()
        self.kubectl("delete", "pod", pod["metadata"]["name"], "-n", ORDINARY, "--wait=false")
        while time.monotonic() < begin + GRACE:
            try:
                answer, _ = call(address)
            except (OSError, http.client.HTTPException):
                break
            if answer.status != 200:
                require(answer.getheader("x-outrigger-reason") == "draining", f"{answer.status} {answer.getheader('x-outrigger-reason')}")
                break
            last = time.monotonic() - begin
            time.sleep(0.05)
        require(4 <= last < 8, f"it served for {last:.1f} s")
        return last

    def ordinary_release(self, mode):
        """Installs the release or changes its mode, and waits until that has taken effect."""
        repository, tag = self.cluster.images[OUTRIGGER].rsplit(":", 1)
        self.cluster.helm("upgrade", "--install", "outrigger", SOURCE / "helm/outrigger", "--namespace", ORDINARY, "--set",
                          f"sidecar.kind=container,injection.labelValue=by-{mode},injection.mode={mode},image.repository={repository},"
                          "injection.webhook.failurePolicy=Fail", "--set-string", f"image.tag={tag}", "--create-namespace", "--wait")
        self.kubectl("label", "namespace", ORDINARY, f"outrigger/inject=by-{mode}", "--overwrite")
        if mode == "webhook":
            policies = [policy["metadata"]["name"] for policy in self.get("mutatingadmissionpolicies")["items"]]
            require(f"{ORDINARY}-outrigger" not in policies, "the policy is still there")
        wait(f"the {mode} takes effect", lambda: "outrigger/sidecar" in self.dry_run(in_ordinary(plain_pod()))["metadata"].get("labels", {}), 30)

    def looked_at(self, what, pod):
        """What becomes of a pod, which must be the same when it is asked about again."""
        made = self.dry_run(pod)
        for key in ("uid", "creationTimestamp", "generation"):
            made["metadata"].pop(key, None)
        made.pop("status")
        again = self.dry_run(made)
        require(again["spec"] == made["spec"], f"{what}: asked again, it changes the pod")
        return comparable(made)


def in_ordinary(pod):
    pod["metadata"]["namespace"] = ORDINARY
    return pod
