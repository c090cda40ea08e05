"""Runs h2spec (HTTP/2 and HPACK conformance) against the proxy; all cases must pass.

    OUTRIGGER_BIN=build/dev/bin/outrigger tests/conformance/run_h2spec.py

The suite is a Go module, pinned here, and installed through Go's module proxy when it is not there yet.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import harness  # noqa: E402 - needs the path

MODULE = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"
SUITES = pathlib.Path(os.environ.get("SUITES_DIR") or tempfile.gettempdir()) / "h2spec"
# Cases of each section; fewer would mean that some were not run.
SECTIONS = {"generic": 44, "hpack": 7, "http2": 94}


def install():
    program = SUITES / "h2spec"
    if not program.exists():
        SUITES.mkdir(parents=True, exist_ok=True)
        subprocess.run([os.environ.get("GO_PROGRAM", "go"), "install", MODULE], check=True, timeout=300,
                       env={**os.environ, "GOBIN": str(SUITES)})
    return program


class H2Spec(harness.TestCase):
    def test_all_cases_pass(self):
        program = install()
        upstream = self.upstream(harness.answering(harness.response(b"hello")))
        proxy = self.outrigger(upstream, listener={"protocol": "http2"})
        host, port = proxy.address
        for section, cases in SECTIONS.items():
            done = subprocess.run([program, "-h", host, "-p", str(port), "-o", "10", section], capture_output=True,
                                  text=True, timeout=300, check=False)
            score = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
            self.assertTrue(score, done.stdout + done.stderr)
            print(f"h2spec {section}: {score[0]}")
            failed = [line for line in done.stdout.splitlines() if "\u00d7" in line]
            self.assertEqual(score.groups(), (str(cases), str(cases), "0", "0"), "\n".join(failed))
        self.assert_idle(proxy)


if __name__ == "__main__":
    unittest.main()
