"""When tests/kubernetes/run runs in CI, what is said when it does not, and what it says without a cluster."""

import os
import pathlib
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
RUN = SOURCE / "tests/kubernetes/run"


class Stage(unittest.TestCase):
    """tools/test.d/cluster.sh with another cluster and, in place of the tests, a word."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "build").mkdir()
        (self.folder / "tests/kubernetes").mkdir(parents=True)
        self.script("tests/kubernetes/run", "echo ran")

    def script(self, name, text):
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def bash(self, text, cluster="."):
        script = f"""
            set -euo pipefail
            step() {{ shift; "$@"; }}
            failed=0
            source {SOURCE}/tools/test.d/cluster.sh
            {text}
            cluster_result
            echo "failed=$failed"
        """
        done = subprocess.run(["bash", "-c", script], cwd=self.folder, capture_output=True, text=True, timeout=60,
                              env={**os.environ, "OUTRIGGER_CLUSTER": cluster}, check=False)
        self.assertEqual(done.stderr, "")
        return done.stdout.splitlines()

    def need_root(self):
        if os.geteuid() != 0:
            self.skipTest("the cluster needs root, and so does this")

    def test_without_the_cluster_s_folder_it_says_so(self):
        self.assertEqual(self.bash("begin_cluster_install; run_cluster_tests at_the_end", cluster="nowhere"),
                         ["=== cluster tests: NOT RUN: there is no nowhere", "failed=0"])

    def test_it_runs_once_as_soon_as_it_can(self):
        self.need_root()
        self.script("install", "exit 0")
        self.assertEqual(self.bash("begin_cluster_install; run_cluster_tests at_the_end; run_cluster_tests at_the_end"),
                         ["ran", "=== cluster tests: passed", "failed=0"])

    def test_failing_it_fails_the_whole(self):
        self.need_root()
        self.script("install", "exit 0")
        self.script("tests/kubernetes/run", "exit 1")
        self.assertEqual(self.bash("begin_cluster_install; run_cluster_tests at_the_end"),
                         ["=== cluster tests: FAILED", "failed=1"])

    def test_what_does_not_end_is_ended_and_fails(self):
        self.need_root()
        self.script("install", "exit 0")
        self.script("tests/kubernetes/run", "exec sleep 50")
        self.assertEqual(self.bash("cluster_limit=1; begin_cluster_install; run_cluster_tests at_the_end"),
                         ["=== cluster tests: FAILED: not over after 1 s", "failed=1"])

    def test_programs_that_cannot_be_built_are_named(self):
        self.need_root()
        self.script("install", "echo no Go; exit 3")
        self.assertEqual(self.bash("begin_cluster_install; run_cluster_tests at_the_end"),
                         ["=== cluster tests: NOT RUN: its programs could not be built: no Go", "failed=0"])

    def test_programs_that_take_too_long_are_given_up(self):
        self.need_root()
        self.script("install", "echo $$ > pid; exec sleep 50")
        said = self.bash("begin_cluster_install; run_cluster_tests when_ready; echo waiting; SECONDS=3598; "
                         "run_cluster_tests at_the_end")
        self.assertEqual(said[0], "waiting")
        self.assertRegex(said[1], "NOT RUN: its programs were not built after (59|60) minutes")
        self.assertEqual(said[2], "failed=0")
        pid = int((self.folder / "pid").read_text())
        status = pathlib.Path(f"/proc/{pid}/stat")
        self.assertTrue(not status.exists() or ") Z " in status.read_text(), "it is still running")

    def test_too_late_it_does_not_begin(self):
        self.need_root()
        self.script("install", "exit 0")
        said = self.bash("begin_cluster_install; SECONDS=3700; run_cluster_tests at_the_end")
        self.assertEqual(said, ["=== cluster tests: NOT RUN: 61 minutes have passed, and the whole must end within 80", "failed=0"])


class WithoutACluster(unittest.TestCase):
    def run_it(self, **environment):
        clean = {name: value for name, value in os.environ.items()
                 if name not in ("KUBECONFIG", "OUTRIGGER_IMAGE", "MOCK_AI_IMAGE")}
        return subprocess.run([RUN], capture_output=True, text=True, env={**clean, **environment}, check=False)

    def test_it_says_what_to_do_and_fails(self):
        done = self.run_it(OUTRIGGER_CLUSTER="/nowhere")
        self.assertNotEqual(done.returncode, 0)
        for word in ("kind create cluster", "k3d cluster create", "KUBECONFIG"):
            self.assertIn(word, done.stderr)

    def test_with_a_cluster_of_one_s_own_images_must_be_named(self):
        done = self.run_it(KUBECONFIG="/nowhere/kubeconfig")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("OUTRIGGER_IMAGE", done.stderr)


if __name__ == "__main__":
    unittest.main()
