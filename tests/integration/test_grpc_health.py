"""gRPC probes: grpc.health.v1.Health on a port of its own, by the module (HL-1 to HL-3)."""

import os
import signal
import subprocess
import unittest

import grpc
import harness
from harness import answering, eventually, response

UNKNOWN, SERVING, NOT_SERVING = 0, 1, 2


def request(service):
    """HealthCheckRequest: field 1 is the service's name."""
    name = service.encode()
    return b"\x0a" + bytes([len(name)]) + name if name else b""


def status_of(message):
    """HealthCheckResponse: field 1 is the status."""
    return message[1] if message else UNKNOWN


def is_loaded(proxy):
    with open(f"/proc/{proxy.pid}/maps", encoding="ascii") as maps:
        return "grpc" in maps.read()


@unittest.skipIf("thread" in harness.SANITIZE, "gRPC's own library is not instrumented")
class GrpcProbes(harness.TestCase):
    def start(self, upstream, **admin):
        config = self.config(upstream)
        config["admin"].update({"grpc_address": "127.0.0.1:0", **admin})
        proxy = self.outrigger_with(config)
        port = proxy.wait_events("grpc_health")[0]["port"]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.addCleanup(self.channel.close)
        return proxy

    def check(self, service):
        call = self.channel.unary_unary("/grpc.health.v1.Health/Check")
        return status_of(call(request(service), timeout=harness.DEADLINE))

    def wait_for(self, service, status):
        eventually(lambda: self.check(service) == status, f"{service} has status {status}")

    def test_services_mean_what_the_endpoints_mean(self):
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.start(upstream)
        for service in ("liveness", "startup", "readiness", ""):
            self.wait_for(service, SERVING)
        self.assertEqual(proxy.admin("GET", "/readyz")[0], 200)
        with self.assertRaises(grpc.RpcError) as unknown:
            self.check("reddiness")
        self.assertEqual(unknown.exception.code(), grpc.StatusCode.NOT_FOUND)
        with self.assertRaises(grpc.RpcError) as other:
            self.channel.unary_unary("/grpc.health.v1.Health/List")(b"", timeout=harness.DEADLINE)
        self.assertEqual(other.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_readiness_follows_the_service_and_liveness_does_not(self):
        gone = self.upstream(answering(response(b"x")))
        gone.stop()
        config = self.config(gone.address, upstream_options={
            "health": {"interval": "50ms", "timeout": "50ms", "unhealthy_after": 1}})
        config["admin"]["grpc_address"] = "127.0.0.1:0"
        proxy = self.outrigger_with(config)
        port = proxy.wait_events("grpc_health")[0]["port"]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as self.channel:
            self.wait_for("startup", SERVING)
            self.assertEqual(self.check("readiness"), NOT_SERVING)
            self.assertEqual(self.check("liveness"), SERVING)

    def test_who_watches_is_told_of_a_drain(self):
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.start(upstream, drain={"lame_duck": "3s", "timeout": "4s"})
        self.wait_for("readiness", SERVING)
        watch = self.channel.unary_stream("/grpc.health.v1.Health/Watch")
        told = watch(request("readiness"), timeout=harness.DEADLINE)
        self.assertEqual(status_of(next(told)), SERVING)
        proxy.signal(signal.SIGTERM)
        self.assertEqual(status_of(next(told)), NOT_SERVING)
        self.assertEqual(self.check("liveness"), SERVING)
        told.cancel()

    def test_services_are_checked_by_the_same_protocol(self):
        """One proxy's probes are the service that another one checks."""
        upstream = self.upstream(answering(response(b"x")))
        checked = self.start(upstream, drain={"lame_duck": "3s", "timeout": "4s"})
        port = checked.wait_events("grpc_health")[0]["port"]
        healthy, unknown = (self.outrigger(f"127.0.0.1:{port}", upstream_options={
            "protocol": "http2",
            "health": {"grpc": service, "interval": "100ms", "timeout": "100ms", "unhealthy_after": 1}})
            for service in ("readiness", "reddiness"))
        eventually(lambda: healthy.admin("GET", "/readyz")[0] == 200, "the service counts as up")
        eventually(lambda: "grpc-status 5" in unknown.admin("GET", "/readyz?verbose")[1],
                   "the status of an unknown service is told")
        checked.signal(signal.SIGTERM)
        eventually(lambda: "health status 2" in healthy.admin("GET", "/readyz?verbose")[1],
                   "the drain of the service is noticed")

    def test_the_module_is_absent_unless_it_is_configured(self):
        upstream = self.upstream(answering(response(b"x")))
        self.assertFalse(is_loaded(self.outrigger(upstream)))
        self.assertTrue(is_loaded(self.start(upstream)))

    def run_with(self, address, **environment):
        config = self.config(self.upstream(answering(response(b"x"))))
        config["admin"]["grpc_address"] = address
        path = os.path.join(self.folder, "config.yaml")
        with open(path, "w", encoding="utf-8") as file:
            harness.json.dump(config, file)
        return subprocess.run([harness.OUTRIGGER, "serve", "--config", path], capture_output=True,
                              text=True, timeout=harness.DEADLINE, check=False,
                              env={**os.environ, **environment})

    def test_what_prevents_it_is_told_at_the_start(self):
        done = self.run_with("127.0.0.1:0", OUTRIGGER_GRPC_MODULE="/nowhere/module.so")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "gRPC module.*/nowhere/module.so")
        done = self.run_with("127.0.0.1:0", OUTRIGGER_GRPC_MODULE="libz.so.1")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "libz.so.1 is not the gRPC module")
        upstream = self.upstream(answering(response(b"x")))
        done = self.run_with(upstream.address)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"cannot serve gRPC at {upstream.address}", done.stderr)


if __name__ == "__main__":
    unittest.main()
