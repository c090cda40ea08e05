"""What the chart accepts and makes, as Helm says without a cluster."""

import base64
import json
import pathlib
import subprocess
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
POLICIES = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
# What the webhook is made of.
WEBHOOK = ["ClusterRole", "ClusterRoleBinding", "ConfigMap", "Deployment", "MutatingWebhookConfiguration",
           "PodDisruptionBudget", "Service", "ServiceAccount"]


def helm(*arguments):
    return subprocess.run([SOURCE / "tools/chart/helm", *arguments], capture_output=True, text=True, check=False)


def template(*arguments, apis=(POLICIES,), version="1.37.0"):
    command = ["template", "a", SOURCE / "helm/outrigger", "--namespace", "n", "--kube-version", version, *arguments]
    for api in apis:
        command += ["--api-versions", api]
    return helm(*command)


class Values(unittest.TestCase):
    def refused(self, assignment, *words):
        done = template("--set-json", assignment)
        self.assertNotEqual(done.returncode, 0, assignment)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_unknown_keys_are_refused_by_name(self):
        self.refused("sidecars={}", "sidecars")
        self.refused("metrics.podMonitors={}", "podMonitors")
        self.refused('image.tags="1"', "tags")

    def test_the_configuration_is_held_to_the_program_s_schema(self):
        self.refused('config.frobnicate=1', "/config", "frobnicate")
        self.refused('config.filters=["retry", "magic"]', "/config/filters/1")
        self.refused('config.upstreams=[{"endpoints": [], "healthy": 1}]', "/config/upstreams/0", "healthy")
        self.refused('config.workers="many"', "/config/workers")

    def test_wrong_values_are_refused(self):
        self.refused('image.digest="sha256:12"', "/image/digest")
        self.refused('injection.portName="a-very-long-port-name"', "/injection/portName")
        self.refused('injection.failurePolicy="Maybe"', "/injection/failurePolicy")
        self.refused("appPreStopSeconds=-1", "/appPreStopSeconds")
        self.refused('injection.mode="none"', "/injection/mode")
        self.refused("injection.webhook.timeoutSeconds=31", "/injection/webhook/timeoutSeconds")
        self.refused("injection.webhook.replicas=0", "/injection/webhook/replicas")
        self.refused('injection.webhook.certificate.lifetime="soon"', "/injection/webhook/certificate/lifetime")
        self.refused('injection.webhook.certificate.issuer="x"', "issuer")

    def test_what_the_readme_of_the_configuration_says_is_accepted(self):
        # JSON and YAML write the example differently; both are the same to the schema.
        done = template("--set-json", 'config={"filters": ["idempotency", {"rate_limit": {"rules": [{"rate": "5/s"}]}}]}')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("rate: 5/s", done.stdout)

    def test_grpc_probes_need_a_port_that_answers_them(self):
        self.refused('sidecar.probes="grpcs"', "/sidecar/probes")
        self.refused('sidecar.probes="grpc"', "config.admin.grpc_address")
        done = template("--set", "sidecar.probes=grpc", "--set", "config.admin.grpc_address=0.0.0.0:15021")
        self.assertEqual(done.returncode, 0, done.stderr)
        for service in ("startup", "readiness", "liveness"):
            self.assertIn(f'"grpc": dyn({{"port": dyn(15021), "service": dyn("{service}")}})', done.stdout)
        self.assertNotIn("/readyz", done.stdout)

    def test_old_clusters_are_refused(self):
        done = template(version="1.23.17")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("1.24.0", done.stderr)


class Kind(unittest.TestCase):
    """The sidecar as an init container that goes on running, or as an ordinary container."""

    def definition(self, *arguments, **options):
        done = template(*arguments, apis=(), **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        text = done.stdout.split("  definition.json: |\n")[1].split("\n---\n")[0]
        return json.loads(text)

    def test_it_is_what_the_cluster_can_unless_a_value_says_otherwise(self):
        for version, kind in (("1.24.0", "container"), ("1.28.15", "container"), ("v1.31.9-eks-5678", "container"),
                              ("1.32.0", "native"), ("v1.32.1-gke.100", "native"), ("1.37.0", "native")):
            self.assertEqual(self.definition(version=version)["kind"], kind, version)
        self.assertEqual(self.definition("--set", "sidecar.kind=native", version="1.30.1")["kind"], "native")
        self.assertEqual(self.definition("--set", "sidecar.kind=container")["kind"], "container")

    def test_native_where_there_are_none_is_refused(self):
        done = template("--set", "sidecar.kind=native", apis=(), version="1.29.14")
        self.assertNotEqual(done.returncode, 0)
        for word in ("sidecar.kind: native", "1.30", "v1.29.14", "container"):
            self.assertIn(word, done.stderr)
        done = template("--set", "sidecar.kind=both", apis=())
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("/sidecar/kind", done.stderr)

    def test_both_are_one_definition(self):
        sidecars = self.definition()["sidecars"]
        self.assertEqual(sidecars["native"].pop("restartPolicy"), "Always")
        post_start = sidecars["container"]["lifecycle"].pop("postStart")
        self.assertEqual(post_start, {"exec": {"command": ["/usr/bin/outrigger", "wait", "--timeout", "120s"]}})
        self.assertEqual(sidecars["native"], sidecars["container"])

    def test_the_policy_puts_it_where_its_kind_belongs(self):
        place = 'JSONPatch{op: "add", path: "/spec/%s/0"'
        native, container = template().stdout, template("--set", "sidecar.kind=container").stdout
        self.assertIn(place % "initContainers", native)
        self.assertNotIn(place % "containers", native)
        self.assertIn(place % "containers", container)
        self.assertNotIn("initContainers/0", container)
        self.assertNotIn("restartPolicy", container)
        self.assertNotIn('"sleep"', container)


class Objects(unittest.TestCase):
    def kinds(self, *arguments, **options):
        done = template(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return sorted(line.split()[1] for line in done.stdout.splitlines() if line.startswith("kind:"))

    def test_by_default_there_is_the_policy_and_where_it_holds(self):
        bindings = ["MutatingAdmissionPolicyBinding"] * 2
        self.assertEqual(self.kinds(), ["MutatingAdmissionPolicy", *bindings])

    def test_a_cluster_without_policies_gets_the_webhook(self):
        self.assertEqual(self.kinds(apis=(), version="1.35.2"), WEBHOOK)
        self.assertEqual(self.kinds("--set", "injection.mode=webhook"), WEBHOOK)
        self.assertEqual(self.kinds("--set", "injection.webhook.replicas=1", apis=()),
                         [kind for kind in WEBHOOK if kind != "PodDisruptionBudget"])

    def test_a_policy_where_there_are_none_is_refused(self):
        done = template("--set", "injection.mode=policy", apis=(), version="1.35.2")
        self.assertNotEqual(done.returncode, 0)
        for word in ("injection.mode: policy", "1.36", "v1.35.2", "webhook"):
            self.assertIn(word, done.stderr)
        self.assertEqual(self.kinds("--set", "injection.mode=policy,injection.enabled=false", apis=()), [])

    def test_a_certificate_of_somebody_else_needs_no_rights(self):
        without = [kind for kind in WEBHOOK if kind not in ("ClusterRole", "ClusterRoleBinding")]
        certificate = "injection.webhook.certificate"
        pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        given = ["--set", f"{certificate}.secretName=mine", "--set-string", f"{certificate}.caBundle={pem}"]
        self.assertEqual(self.kinds(*given, apis=()), without)
        self.assertIn(base64.b64encode(pem.encode()).decode(), template(*given, apis=()).stdout)
        self.assertEqual(self.kinds("--set", f"{certificate}.issuerRef.name=i", apis=()), sorted([*without, "Certificate"]))
        for wrong, word in (("secretName=mine", "needs caBundle"), ("caBundle=" + pem, "give secretName"),
                            ("issuerRef.name=i," + f"{certificate}.caBundle={pem}", "leave it empty")):
            done = template("--set", f"{certificate}.{wrong}", apis=())
            self.assertNotEqual(done.returncode, 0, wrong)
            self.assertIn(word, done.stderr)

    def test_the_webhook_s_rights_are_for_its_own_configuration(self):
        text = template(apis=()).stdout
        role = next(part for part in text.split("---\n") if "kind: ClusterRole\n" in part)
        self.assertIn("resources: [mutatingwebhookconfigurations]\n    resourceNames: [n-a]\n    verbs: [get, patch]\n", role)
        self.assertEqual(role.count("apiGroups:"), 1)

    def test_what_the_cluster_does_not_know_is_left_out(self):
        monitoring = [kind for kind in self.kinds(apis=("monitoring.coreos.com/v1",)) if kind not in WEBHOOK]
        self.assertEqual(monitoring, ["PodMonitor", "PrometheusRule"])

    def test_as_a_library_it_makes_nothing_but_the_configuration(self):
        for apis in ((POLICIES,), ()):
            self.assertEqual(self.kinds("--set", "injection.enabled=false", apis=apis), [])
        self.assertEqual(self.kinds("--set", "injection.enabled=false,config.workers=2"), ["ConfigMap"])

    def test_releases_do_not_share_names_of_the_cluster(self):
        one, other = template(), template("--namespace", "m")
        name = "name: n-a\n", "name: m-a\n"
        self.assertIn(name[0], one.stdout)
        self.assertNotIn(name[0], other.stdout)
        self.assertIn(name[1], other.stdout)

    def test_a_digest_wins_over_the_tag(self):
        digest = "sha256:" + "0" * 64
        done = template("--set-string", f"image.tag=7,image.digest={digest}")
        self.assertIn(f"localhost/outrigger@{digest}", done.stdout)
        self.assertNotIn(":7", done.stdout)


if __name__ == "__main__":
    unittest.main()
