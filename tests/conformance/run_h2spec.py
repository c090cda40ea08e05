"""Runs h2spec (HTTP/2 and HPACK conformance) against the proxy; all cases must pass.

    OUTRIGGER_BIN=build/dev/bin/outrigger tests/conformance/run_h2spec.py

The suite is a Go module, installed when it is not there yet.
"""

import re
import subprocess
import unittest

import suites  # first: it says where the others are

import harness
import tls_support

PROGRAM = ("github.com/summerwind/h2spec/cmd/h2spec", "v2.2.1+incompatible")
# Cases of each section; fewer would mean that some were not run.
SECTIONS = {"generic": 44, "hpack": 7, "http2": 94}


class H2Spec(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        suites.forget_scores("h2spec")

    def run_cases(self, what, listener, flags=()):
        program = suites.install("h2spec", *PROGRAM)
        upstream = self.upstream(harness.answering(harness.response(b"hello")))
        proxy = self.outrigger(upstream, listener=listener)
        host, port = proxy.address
        for section, cases in SECTIONS.items():
            done = subprocess.run([program, "-h", host, "-p", str(port), "-o", "10", *flags, section],
                                  capture_output=True, text=True, timeout=300, check=False)
            score = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
            self.assertTrue(score, done.stdout + done.stderr)
            suites.score("h2spec", f"{what}, {section}: {score[0]}")
            failed = [line for line in done.stdout.splitlines() if "\u00d7" in line]
            self.assertEqual(score.groups(), (str(cases), str(cases), "0", "0"), "\n".join(failed))
        self.assert_idle(proxy)

    def test_all_cases_pass(self):
        self.run_cases("by prior knowledge", {"protocol": "http2"})

    def test_all_cases_pass_over_tls(self):
        pair = tls_support.shared_authority().pair
        self.run_cases("over TLS", {"protocol": "http2", "tls": {"cert": pair.cert, "key": pair.key}}, ["-t", "-k"])


if __name__ == "__main__":
    unittest.main()
