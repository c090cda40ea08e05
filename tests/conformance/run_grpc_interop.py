"""Runs the interoperability cases of gRPC, grpc-go's client and server, through the proxy; all must pass.

    OUTRIGGER_BIN=build/dev/bin/outrigger tests/conformance/run_grpc_interop.py

All cases but those that need credentials of Google's, and pick_first_unary: it asks for an id that this server does not
give, with or without a proxy. Both programs are Go modules, installed when they are not there
yet.
"""

import subprocess
import unittest

import suites  # first: it says where the others are

import harness
import tls_support

VERSION = "v1.65.0"
# As in the suite's own script: the policy by which the client sees load reports.
SERVICE_CONFIG = '{"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}'
CASES = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "orca_per_rpc",
    "orca_oob",
    "rpc_soak",
    "channel_soak",
]


class GrpcInterop(harness.TestCase):
    @classmethod
    def setUpClass(cls):
        suites.forget_scores("grpc_interop")

    def setUp(self):
        super().setUp()
        self.caller = suites.install("grpc-go", "google.golang.org/grpc/interop/client", VERSION)
        self.server = suites.install("grpc-go", "google.golang.org/grpc/interop/server", VERSION)

    def start(self, listener=None, server_flags=(), upstream_tls=None):
        service = harness.Program([self.server, "-port", "0", *server_flags], "interop server")
        self._programs.append(service)
        self.addCleanup(service.kill)
        port = harness.eventually(lambda: harness.listening_port(service.pid), "the interop server listens")
        tls = {"tls": upstream_tls} if upstream_tls else {}
        # Errors are what some cases are about.
        breaker = {"consecutive": 100, "failure_ratio": "100%", "min_requests": 100}
        return self.outrigger(f"127.0.0.1:{port}", listener=listener, upstream_options={"protocol": "http2", **tls},
                              filters=[{"idempotency": {}}, {"rate_limit": {}}, {"retry": {}}, {"breaker": breaker},
                                       {"timeout": {}}])

    def run_case(self, proxy, case, *flags):
        """What it printed; None: it passed."""
        host, port = proxy.address
        done = subprocess.run([self.caller, "-server_host", host, "-server_port", str(port), "-test_case", case,
                               "-service_config_json", SERVICE_CONFIG, *flags],
                              capture_output=True, text=True, timeout=60, check=False)
        return None if done.returncode == 0 else done.stdout + done.stderr

    def run_cases(self, what, listener=None, flags=(), **service):
        proxy = self.start(listener, **service)
        failed = {case: text for case in CASES if (text := self.run_case(proxy, case, *flags)) is not None}
        suites.score("grpc_interop", f"{what}: {len(CASES)} tests, {len(CASES) - len(failed)} passed")
        self.assertEqual(failed, {}, "\n".join(failed.values()))
        self.assertGreater(proxy.metric("grpc_calls_total", code="OK"), len(CASES))
        self.assert_idle(proxy)

    def test_all_cases_over_plaintext(self):
        self.run_cases("plaintext")

    def test_all_cases_over_tls(self):
        authority = tls_support.shared_authority()
        cert, key = authority.pair
        self.run_cases("TLS on both sides", {"tls": {"cert": cert, "key": key}},
                       ["-use_tls", "-use_test_ca", "-ca_file", authority.cert, "-server_host_override", "localhost"],
                       server_flags=["-use_tls", "-tls_cert_file", cert, "-tls_key_file", key],
                       upstream_tls={"ca": authority.cert, "server_name": "localhost"})

    def test_a_busy_client_is_no_flood(self):
        """For each answer it sends a PING and opens windows, thousands of times a second."""
        proxy = self.start()
        flags = ["-soak_iterations", "5000", "-soak_request_size", "10", "-soak_response_size", "10",
                 "-soak_overall_timeout_seconds", "50"]
        self.assertIsNone(self.run_case(proxy, "rpc_soak", *flags))
        self.assertEqual(proxy.events("http2_flood"), [])
        self.assertEqual(proxy.metric("grpc_calls_total", code="OK"), 5000)


if __name__ == "__main__":
    unittest.main()
