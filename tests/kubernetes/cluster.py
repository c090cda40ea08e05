"""The cluster under test: the test cluster beside the repository, or the one of $KUBECONFIG."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("outrigger", "outrigger-grpc", "mock-ai")  # what tools/image/build makes images of
OUTRIGGER, MOCK_AI = "localhost/outrigger:0.1.0", "localhost/mock-ai:0.1.0"
HOW_TO = """There is no cluster to test on. Either

  - put the test cluster beside the repository (../shared/cluster) or name its folder in OUTRIGGER_CLUSTER, or
  - take a cluster of your own, of Kubernetes 1.36 or later, for example
        kind create cluster                 or    k3d cluster create
        tools/image/build && tools/image/build --program mock-ai
        kind load image-archive build/image/outrigger/image.tar    (and mock-ai; k3d image import ...)
        export KUBECONFIG=... OUTRIGGER_IMAGE=localhost/outrigger:0.1.0 MOCK_AI_IMAGE=localhost/mock-ai:0.1.0
"""


class Failed(Exception):
    """A check did not find what it should."""


def wait(what, condition, seconds, every=0.1):
    """Polls until `condition()` is true, and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(every)


def run(*command, check=True, timeout=300, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                          timeout=timeout, **options)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done


class Cluster:
    """What the checks need of any cluster. Everything that they make is in the namespaces they name."""

    is_own = False  # processes and addresses of pods can be reached

    def __init__(self, outrigger, mock_ai):
        self.images = {OUTRIGGER: outrigger, MOCK_AI: mock_ai}
        self.processes = []

    def kubectl(self, *arguments, **options):
        return run("kubectl", *arguments, **options).stdout

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, text, *arguments):
        for name, image in self.images.items():
            text = text.replace(name, image)
        return self.kubectl("apply", *arguments, "-f", "-", input=text)

    def helm(self, *arguments, **options):
        return run(SOURCE / "tools/chart/helm", *arguments, **options).stdout

    def pods(self, namespace, selector):
        items = self.get("pods", "-n", namespace, "-l", selector)["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def start(self, *command, **options):
        process = subprocess.Popen([str(word) for word in command], start_new_session=True, **options)
        self.processes.append(process)
        return process

    def service_address(self, namespace, name):
        """host, port and path below which the service is reached from here."""
        proxy = self.start("kubectl", "proxy", "--port=0", stdout=subprocess.PIPE, text=True)
        port = int(re.search(r":(\d+)", proxy.stdout.readline())[1])
        return "127.0.0.1", port, f"/api/v1/namespaces/{namespace}/services/{name}:http/proxy"

    def volume(self, pod, name):
        """The path of a volume of the pod, where it can be seen from here."""
        return None

    def forward(self, namespace, target, *ports):
        """(host, port, "") of each of the ports of a pod or of a pod of a controller, as seen from its own loopback."""
        process = self.start("kubectl", "port-forward", "--address=127.0.0.1", "-n", namespace, target,
                             *(f":{port}" for port in ports), stdout=subprocess.PIPE, text=True)
        addresses = []
        for port in ports:
            line = process.stdout.readline()
            found = re.fullmatch(rf"Forwarding from 127\.0\.0\.1:(\d+) -> {port}\n", line)
            if not found:
                raise Failed(f"kubectl port-forward {target} {port}: {line.strip()}")
            addresses.append(("127.0.0.1", int(found[1]), ""))
        # It says something for each connection, which nobody reads.
        self.start("cat", stdin=process.stdout, stdout=subprocess.DEVNULL)
        return addresses

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
        self.processes.clear()


class GivenCluster(Cluster):
    def __init__(self):
        super().__init__(os.environ.get("OUTRIGGER_IMAGE", ""), os.environ.get("MOCK_AI_IMAGE", ""))
        if not all(self.images.values()):
            sys.exit("With KUBECONFIG, OUTRIGGER_IMAGE and MOCK_AI_IMAGE name images that the cluster can get.\n\n" + HOW_TO)


class OwnCluster(Cluster):
    """The single node of ../shared/cluster: installed, started, loaded and stopped from here."""

    is_own = True

    def __init__(self, folder):
        super().__init__(OUTRIGGER, MOCK_AI)
        self.folder = folder
        settings = run("bash", "-c", '. "$1/env"; echo "$BIN" "$KUBECONFIG_OUT" "$CTRD_SOCK" "$STATE"', "_", folder).stdout
        self.bin, self.kubeconfig, self.socket, self.state = settings.split()

    def install(self):
        run(self.folder / "install", timeout=3600)

    def up(self):
        # Otherwise a changed ConfigMap takes a minute to come.
        run(self.folder / "up", timeout=300, env={**os.environ, "KUBELET_CONFIG_EXTRA": "syncFrequency: 2s"})
        os.environ["KUBECONFIG"] = self.kubeconfig
        os.environ["PATH"] = f"{self.bin}:{os.environ['PATH']}"

    def down(self):
        run(self.folder / "down", timeout=120)

    def load(self):
        """The images that tools/image/build made, as they are, and curl for the Job."""
        for program in PROGRAMS:
            run("ctr", "-a", self.socket, "-n", "k8s.io", "images", "import", "--snapshotter", "overlayfs",
                SOURCE / "build/image" / program / "image.tar")
        run(self.folder / "load-image", "localhost/curl:1", shutil.which("curl"))

    def service_address(self, namespace, name):
        return self.get("service", name, "-n", namespace)["spec"]["clusterIP"], 80, ""

    def process(self, pod, program):
        """The id, on this machine, of `program` in the pod. `pod` is what the API server says of it."""
        uid = pod["metadata"]["uid"]
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                is_it = (folder / "cmdline").read_bytes().split(b"\0")[0].endswith(b"/" + program.encode())
                # With the node's slashes or, from systemd, underscores.
                if is_it and uid in (folder / "cgroup").read_text().replace("_", "-"):
                    return int(folder.name)
            except (FileNotFoundError, ProcessLookupError):
                continue
        return None

    def kill(self, pod, program):
        pid = self.process(pod, program)
        if pid is None:
            raise Failed(f"no process {program} in pod {pod['metadata']['name']}")
        os.kill(pid, signal.SIGKILL)

    def volume(self, pod, name):
        return pathlib.Path(self.state) / "kubelet/pods" / pod["metadata"]["uid"] / "volumes" / name

    def prometheus(self, folder):
        """Starts Prometheus with discovery of pods by their annotations; returns a function that asks it."""
        meta = "__meta_kubernetes_pod_annotation_prometheus_io"
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [{
            "job_name": "pods", "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": self.kubeconfig}],
            "relabel_configs": [
                {"source_labels": [f"{meta}_scrape"], "action": "keep", "regex": "true"},
                {"source_labels": [f"{meta}_path"], "target_label": "__metrics_path__", "regex": "(.+)"},
                {"source_labels": ["__meta_kubernetes_pod_ip", f"{meta}_port"], "separator": ":", "target_label": "__address__"},
                {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
                {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"}]}]}
        path = pathlib.Path(folder) / "prometheus.yml"
        path.write_text(json.dumps(config))
        process = self.start(f"{self.bin}/prometheus", f"--config.file={path}", f"--storage.tsdb.path={folder}/tsdb",
                             "--web.listen-address=127.0.0.1:0", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        port = None
        for line in process.stderr:
            if match := re.search(r"Listening on.*127\.0\.0\.1:(\d+)", line):
                port = int(match[1])
                break
        if port is None:
            raise Failed("Prometheus did not start")
        # Nobody reads the rest; it must not fill the pipe.
        self.start("cat", stdin=process.stderr, stdout=subprocess.DEVNULL)

        def ask(expression):
            """The result; nothing while Prometheus is not ready."""
            url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(expression)}"
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    return json.load(answer)["data"]["result"]
            except urllib.error.HTTPError:
                return []
        return ask


def find():
    """The cluster to test on; ends the program with advice when there is none."""
    if os.environ.get("KUBECONFIG"):
        return GivenCluster()
    folder = pathlib.Path(os.environ.get("OUTRIGGER_CLUSTER") or SOURCE.parent / "shared/cluster").resolve()
    if not (folder / "up").exists():
        sys.exit(HOW_TO)
    if os.geteuid() != 0:
        sys.exit("The test cluster needs root.")
    return OwnCluster(folder)
