"""Runs h2spec (HTTP/2 and HPACK conformance) against the proxy; all cases must pass.

    OUTRIGGER_BIN=build/dev/bin/outrigger tests/conformance/run_h2spec.py

The suite is a Go module, installed when it is not there yet.
"""

import re
import subprocess
import unittest

import suites  # first: it says where the others are

import harness

PROGRAM = ("github.com/summerwind/h2spec/cmd/h2spec", "v2.2.1+incompatible")
# Cases of each section; fewer would mean that some were not run.
SECTIONS = {"generic": 44, "hpack": 7, "http2": 94}


class H2Spec(harness.TestCase):
    def test_all_cases_pass(self):
        program = suites.install("h2spec", *PROGRAM)
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
