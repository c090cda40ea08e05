"""The process: command line, start, limits of the system, two workers, drain and end."""

import http.server
import json
import os
import signal
import socket
import subprocess
import threading
import time
import unittest

import harness
from harness import answering, request, response


def free_address():
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


class CommandLine(harness.TestCase):
    def write(self, text):
        path = os.path.join(self.folder, "config.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_help_and_version(self):
        for arguments in (["--help"], ["serve", "--help"], ["check", "--help"], ["drain", "--help"],
                          ["wait", "--help"]):
            done = self.program(*arguments)
            self.assertEqual(done.returncode, 0, arguments)
            self.assertIn("outrigger", done.stdout + done.stderr)
        for arguments in (["version"], ["--version"]):
            done = self.program(*arguments)
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stdout, r"\d+\.\d+\.\d+")

    def test_wrong_usage_ends_with_2(self):
        for arguments in ([], ["dance"], ["serve"], ["serve", "--config"], ["check"], ["serve", "--frob"],
                          ["serve", "--config", "a", "--optional"], ["schema", "--format", "xml"],
                          ["drain", "--timeout", "soon"], ["wait", "--timeout", "soon"], ["inject", "--sidecar", "other"]):
            done = self.program(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertTrue(done.stderr, arguments)

    def test_schema_is_json_and_the_reference_is_markdown(self):
        done = self.program("schema")
        self.assertEqual(done.returncode, 0)
        self.assertIn("listeners", json.loads(done.stdout)["$defs"]["config"]["properties"])
        done = self.program("schema", "--format", "markdown")
        self.assertEqual(done.returncode, 0)
        self.assertIn("header_timeout", done.stdout)

    def test_wait_gives_up_after_its_time_and_says_why(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            for address, problem in ((f"127.0.0.1:{silent.getsockname()[1]}", "did not answer"), (free_address(), "refused")):
                done = self.program("wait", "--admin", address, "--timeout", "300ms")
                self.assertEqual(done.returncode, 1)
                for word in ("not started within 300ms", address, problem):
                    self.assertIn(word, done.stderr)
        done = self.program("wait", "--admin", "localhost:1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("numeric", done.stderr)

    def test_wait_takes_the_proxy_s_word_for_it(self):
        class Starting(http.server.BaseHTTPRequestHandler):
            asked = 0
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                Starting.asked += 1
                self.send_response(503 if Starting.asked < 3 else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        with http.server.HTTPServer(("127.0.0.1", 0), Starting) as server:
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            try:
                address = f"127.0.0.1:{server.server_port}"
                done = self.program("wait", "--admin", address)
                self.assertEqual((done.returncode, done.stderr, Starting.asked), (0, "", 3))
                Starting.asked = -1000
                done = self.program("wait", "--admin", address, "--timeout", "200ms")
                self.assertEqual(done.returncode, 1)
                self.assertIn("HTTP/1.1 503", done.stderr)
            finally:
                server.shutdown()
                serving.join()

    def test_check_accepts_a_good_file(self):
        path = self.write("upstreams: [{name: app, endpoints: [127.0.0.1:8000]}]\n")
        done = self.program("check", "--config", path)
        self.assertEqual((done.returncode, done.stdout), (0, f"{path}: ok\n"))

    def test_all_errors_are_told_at_once_with_their_place(self):
        path = self.write("workers: 0\n"
                          "listeners:\n"
                          "  - address: nonsense\n"
                          "    limits: {header_timeout: 5}\n"
                          "frob: 1\n"
                          "filters:\n"
                          "  - retry: {attempts: many}\n"
                          "tls_everywhere: yes\n")
        for command in (["check", "--config", path], ["serve", "--config", path]):
            done = self.program(*command)
            self.assertEqual(done.returncode, 1)
            for place, word in ((":1:", "workers"), (":3:", "address"), (":4:", "header_timeout"),
                                (":5:", "frob"), (":7:", "attempts"), (":8:", "tls_everywhere")):
                self.assertTrue([line for line in done.stderr.splitlines()
                                 if path + place in line and word in line], (place, word, done.stderr))

    def test_a_file_that_is_not_there_or_not_yaml(self):
        done = self.program("check", "--config", f"{self.folder}/none.yaml")
        self.assertEqual(done.returncode, 1)
        self.assertIn("none.yaml", done.stderr)
        done = self.program("check", "--config", self.write("a: [1, 2\nb: }\n"))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"config\.yaml:\d+:\d+: ")

    def test_an_order_of_filters_that_cannot_work_is_refused(self):
        path = self.write("filters: [retry: {}, idempotency: {}]\n")
        done = self.program("check", "--config", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("idempotency", done.stderr)

    def test_a_port_in_use_is_named(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        config = self.config("127.0.0.1:9", listener={"address": address})
        done = self.program("serve", "--config", self.write(json.dumps(config)))
        self.assertEqual(done.returncode, 1)
        self.assertIn(address, done.stderr)
        config = self.config("127.0.0.1:9")
        config["admin"]["address"] = address
        done = self.program("serve", "--config", self.write(json.dumps(config)))
        self.assertEqual(done.returncode, 1)
        self.assertIn(address, done.stderr)

    def test_the_port_of_another_outrigger_is_in_use(self):
        first = self.outrigger("127.0.0.1:9")
        address = "%s:%d" % first.address
        config = self.config("127.0.0.1:9", listener={"address": address})
        done = self.program("serve", "--config", self.write(json.dumps(config)))
        self.assertEqual(done.returncode, 1)
        self.assertIn(address, done.stderr)

    def test_a_unix_socket_that_cannot_be_made(self):
        config = self.config("127.0.0.1:9", listener={"address": f"unix:{self.folder}/no/such/dir.sock"})
        done = self.program("serve", "--config", self.write(json.dumps(config)))
        self.assertEqual(done.returncode, 1)
        self.assertIn("dir.sock", done.stderr)

    def test_the_unix_socket_of_a_dead_process_is_taken_over(self):
        path = f"{self.folder}/in.sock"
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(path)
        dead.close()
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.outrigger(upstream, listener={"address": f"unix:{path}"})
        self.assertEqual(self.client(proxy).get().body, b"x")


class Workers(harness.TestCase):
    def test_two_workers_share_the_connections(self):
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.outrigger(upstream, workers=2)
        clients = [self.client(proxy) for _ in range(64)]
        for client in clients:
            client.send(request())
        self.assertEqual({client.read_response().status for client in clients}, {200})
        proxy.wait_metric("in_flight_requests", 0)
        self.assertEqual(proxy.metric("requests_total"), 64)
        self.assertEqual(proxy.metric("downstream_connections"), 64)
        self.assertEqual(proxy.admin("GET", "/livez")[0], 200)

    def test_two_workers_on_a_unix_socket(self):
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.outrigger(upstream, workers=2, listener={"address": f"unix:{self.folder}/in.sock"})
        for _ in range(40):
            self.assertEqual(self.client(proxy).get().body, b"x")


# UBSan opens a pipe to look at a virtual table, and takes its failure for a bad object.
@unittest.skipIf("undefined" in harness.SANITIZE, "UBSan itself needs a free descriptor")
class FileLimit(harness.TestCase):
    def test_at_the_limit_of_files_it_keeps_serving_and_says_so(self):
        upstream = self.upstream(answering(response(b"x")))
        # One, so that those who are served are with the worker that has run out.
        proxy = self.outrigger(upstream, preexec=harness.limit_files(64), workers=1)
        first = self.client(proxy)
        self.assertEqual(first.get().status, 200)
        crowd = [self.connect(proxy) for _ in range(100)]
        self.addCleanup(lambda: [client.close() for client in crowd])
        event = proxy.wait_events("accept_failed")[0]
        self.assertIn("open files", event["error"])
        self.assertEqual(first.get().status, 200)
        self.assertEqual(crowd[0].get().status, 200)
        for client in crowd:
            client.close()
        self.assertEqual(self.client(proxy).get().status, 200)
        harness.eventually(lambda: proxy.open_connections() <= 2, "the crowd is gone")
        self.assertGreater(proxy.metric("accept_errors_total"), 0)
        self.assertLess(len(proxy.events("accept_failed")), 1000, "the log is not flooded")


class ConnectionGauges(harness.TestCase):
    def test_connections_to_the_service_are_counted(self):
        proxy = self.outrigger(self.upstream(answering(response(b"x"))))
        self.assertEqual(self.client(proxy).get().status, 200)
        proxy.wait_metric("upstream_connections", 1, upstream="app", state="idle")
        proxy.wait_metric("upstream_connections", 0, upstream="app", state="active")


class ReadinessByBreaker(harness.TestCase):
    def start(self, **readiness):
        self.proxy = self.outrigger(
            self.upstream(answering(response(b"", "500 Broken"))), readiness=readiness,
            filters=[{"breaker": {"consecutive": 1, "open_for": "1h", "max_open_for": "1h"}}])
        harness.eventually(lambda: self.ready() == 200, "ready")
        self.assertEqual(self.client(self.proxy).get().status, 500)
        self.assertEqual(self.proxy.metric("breaker_state"), 2)

    def ready(self):
        return self.proxy.admin("GET", "/readyz?verbose")[0]

    def test_by_default_an_open_breaker_leaves_the_pod_ready(self):
        self.start()
        self.assertEqual(self.ready(), 200)

    def test_if_asked_to_the_pod_is_unready_while_it_refuses_everything(self):
        self.start(flip_on=["breaker"])
        status, text = self.proxy.admin("GET", "/readyz?verbose")
        self.assertEqual(status, 503)
        self.assertIn("[-]breakers failed: open: app/unmatched", text)
        self.assertEqual(self.proxy.admin("GET", "/livez")[0], 200)
        self.proxy.admin("POST", "/breakers/app/unmatched:close")
        self.assertEqual(self.ready(), 200)

    def test_but_not_for_longer_than_it_may(self):
        self.start(flip_on=["breaker"], max_unready_for="200ms")
        self.assertEqual(self.ready(), 503)
        harness.eventually(lambda: self.ready() == 200, "ready again although the breaker is open")
        self.assertEqual(self.proxy.metric("breaker_state"), 2)


class Probes(harness.TestCase):
    def test_readiness_follows_the_service_and_liveness_does_not(self):
        upstream = self.upstream(answering(response(b"ok")))
        proxy = self.outrigger(upstream, upstream_options={
            "health": {"interval": "100ms", "timeout": "100ms", "unhealthy_after": 2}})
        harness.eventually(lambda: proxy.admin("GET", "/readyz")[0] == 200, "ready")
        upstream.stop()
        harness.eventually(lambda: proxy.admin("GET", "/readyz")[0] == 503, "not ready")
        self.assertEqual(proxy.admin("GET", "/livez")[0], 200)
        self.assertEqual(proxy.admin("GET", "/startupz")[0], 200)

    def test_before_the_service_is_there_it_is_started_and_not_ready(self):
        proxy = self.outrigger(f"unix:{self.folder}/none.sock")
        self.assertEqual([proxy.admin("GET", path)[0] for path in ("/startupz", "/livez", "/readyz")],
                         [200, 200, 503])


class Drain(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.finish = threading.Event()
        self.addCleanup(self.finish.set)

        def script(connection):
            while True:
                message = connection.read_request()
                if message.target == "/stream":
                    connection.send(response(headers=[("Transfer-Encoding", "chunked")], length=False))
                    connection.send(b"5\r\nfirst\r\n")
                    self.finish.wait(harness.DEADLINE)
                    connection.send(b"4\r\nlast\r\n0\r\n\r\n")
                else:
                    connection.send(response(b"x"))

        self.service = self.upstream(script)

    def draining(self, **drain):
        config = self.config(self.service)
        config["admin"]["drain"] = {"lame_duck": "0s", "timeout": "20s", **drain}
        return self.outrigger_with(config)

    def stream(self, proxy):
        client = self.client(proxy)
        client.send(request(target="/stream"))
        client.read_until(b"first\r\n")
        return client

    def test_a_running_stream_is_finished_and_nothing_new_begun(self):
        proxy = self.draining()
        stream, idle = self.stream(proxy), self.client(proxy)
        self.assertEqual(idle.get().status, 200)
        proxy.signal(signal.SIGTERM)
        proxy.wait_events("drain_refuses_new")
        self.assertEqual(idle.read_to_end(), (b"", True))
        harness.eventually(lambda: self.is_refused(proxy), "new connections are refused")
        self.assertEqual(proxy.admin("GET", "/readyz")[0], 503)
        self.assertEqual(proxy.admin("GET", "/livez")[0], 200)
        self.assertTrue(proxy.is_running())
        self.finish.set()
        self.assertEqual(stream.read_until(b"0\r\n\r\n"), b"4\r\nlast\r\n0\r\n\r\n")
        self.assertEqual(stream.read_to_end(), (b"", True))
        self.assertEqual(proxy.wait_exit(), 0)

    @staticmethod
    def is_refused(proxy):
        try:
            socket.create_connection(proxy.address).close()
        except ConnectionRefusedError:
            return True
        return False

    def test_what_was_sent_before_the_ports_close_is_answered(self):
        """On a connection that was kept, and on one that nobody has accepted yet: whoever is first, the signal or
        the bytes, neither client is reset."""
        for attempt in range(8):
            with self.subTest(attempt):
                proxy = self.draining()
                clients = [self.client(proxy) for _ in range(3)]
                for client in clients:
                    self.assertEqual(client.get().status, 200)
                proxy.signal(signal.SIGSTOP)
                try:
                    clients += [self.client(proxy) for _ in range(3)]
                    for client in clients:
                        client.send(request())
                    proxy.signal(signal.SIGTERM)
                finally:
                    proxy.signal(signal.SIGCONT)
                for client in clients:
                    reply = client.read_response()
                    self.assertIn((reply.status, reply.get("x-outrigger-reason")),
                                  [(200, None), (503, "draining")])
                for client in clients:
                    client.close()
                self.assertEqual(proxy.wait_exit(), 0)

    def test_a_lame_duck_still_serves_and_says_close(self):
        proxy = self.draining(lame_duck="10s")
        kept = self.client(proxy)
        self.assertIsNone(kept.get().get("connection"))
        stream = self.stream(proxy)
        proxy.signal(signal.SIGTERM)
        proxy.wait_events("drain_begins")
        harness.eventually(lambda: proxy.admin("GET", "/readyz")[0] == 503, "not ready")
        # A connection that was idle is not closed before it has been told, or a request under way to it is lost.
        for client in (kept, self.client(proxy)):
            reply = client.get()
            self.assertEqual((reply.status, reply.get("connection")), (200, "close"))
        self.finish.set()
        stream.read_until(b"0\r\n\r\n")
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.wait_exit(), 0)

    def test_a_second_sigterm_ends_at_once_and_cuts(self):
        proxy = self.draining()
        stream = self.stream(proxy)
        proxy.signal(signal.SIGTERM)
        proxy.wait_events("drain_refuses_new")
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.wait_exit(), 0)
        rest, _ = stream.read_to_end()
        self.assertNotIn(b"0\r\n\r\n", rest)

    def test_the_timeout_cuts_what_still_runs(self):
        proxy = self.draining(timeout="300ms")
        stream = self.stream(proxy)
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.wait_exit(), 0)
        rest, _ = stream.read_to_end()
        self.assertNotIn(b"0\r\n\r\n", rest)

    def drain_command(self, proxy, *flags):
        return subprocess.Popen([harness.OUTRIGGER, "drain", "--admin", f"127.0.0.1:{proxy.admin_port}",
                                 *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_drain_wait_returns_when_all_is_over(self):
        proxy = self.draining()
        stream = self.stream(proxy)
        command = self.drain_command(proxy, "--wait")
        proxy.wait_events("drain_begins")
        self.assertIsNone(command.poll())
        self.finish.set()
        stream.read_until(b"0\r\n\r\n")
        output = command.communicate(timeout=harness.DEADLINE)
        self.assertEqual(command.returncode, 0, output)
        self.assertEqual(proxy.wait_exit(), 0)

    def test_drain_without_wait_returns_at_once(self):
        proxy = self.draining()
        stream = self.stream(proxy)
        command = self.drain_command(proxy, "--timeout", "300ms")
        command.communicate(timeout=harness.DEADLINE)
        self.assertEqual(command.returncode, 0)
        self.assertEqual(proxy.wait_exit(), 0)
        stream.read_to_end()

    def test_wait_is_over_when_it_has_started(self):
        address = free_address()
        command = subprocess.Popen([harness.OUTRIGGER, "wait", "--admin", address, "--timeout", "60s"], stderr=subprocess.PIPE)
        config = self.config(self.service)
        config["admin"]["address"] = address
        proxy = self.outrigger_with(config)
        self.assertEqual(command.communicate(timeout=harness.DEADLINE)[1], b"")
        self.assertEqual(command.returncode, 0)
        self.assertEqual(proxy.admin("GET", "/startupz")[0], 200)

    def test_hooks_of_the_app_are_answered_when_all_is_over(self):
        proxy = self.draining(lame_duck="100ms")
        hook = socket.create_connection(("127.0.0.1", proxy.admin_port), timeout=harness.DEADLINE)
        with hook:
            hook.sendall(b"GET /.outrigger/app-stop/600 HTTP/1.1\r\n\r\n")
            proxy.signal(signal.SIGTERM)
            answer = b""
            while more := hook.recv(1000):
                answer += more
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
        self.assertEqual(proxy.wait_exit(), 0)

    def test_drain_of_nobody_fails_with_a_message(self):
        address = free_address()
        done = self.program("drain", "--admin", address)
        self.assertEqual(done.returncode, 1)
        self.assertIn(address, done.stderr)

    def test_idle_it_ends_at_once_when_the_service_is_gone(self):
        """K8-3: no lame duck for a Job whose main container has ended."""
        proxy = self.draining(lame_duck="15s")
        harness.eventually(lambda: proxy.admin("GET", "/readyz")[0] == 200, "ready")
        self.service.stop()
        began = time.monotonic()
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.wait_exit(), 0)
        self.assertLess(time.monotonic() - began, 10)


class DrainBetweenProtocols(harness.TestCase):
    def test_a_preface_that_was_on_its_way_is_told_to_go(self):
        started = threading.Event()
        release = threading.Event()
        self.addCleanup(release.set)

        def script(connection):
            connection.read_request()
            started.set()
            release.wait(harness.DEADLINE)
            connection.send(harness.response(b"done"))

        proxy = self.outrigger(self.upstream(script))
        busy = self.client(proxy)  # keeps the process from ending
        busy.send(harness.request())
        self.assertTrue(started.wait(harness.DEADLINE))
        client = self.client(proxy)
        client.send(b"PRI * HTTP/2.0\r\n")
        harness.eventually(lambda: proxy.open_connections() == 2, "both are accepted")
        proxy.signal(signal.SIGTERM)
        proxy.wait_events("drain_refuses_new")
        client.send(b"\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        data = client.read_exactly(9)
        kinds = [data[3]]
        while kinds[-1] != 7:  # GOAWAY
            client.read_exactly(int.from_bytes(data[:3], "big"))
            data = client.read_exactly(9)
            kinds.append(data[3])
        release.set()
        self.assertEqual(busy.read_response().body, b"done")


harness.also_over_http2(globals(), Drain, without=[
    "test_a_lame_duck_still_serves_and_says_close",
])
harness.also_to_http2(globals(), Drain, without=[
    "test_a_lame_duck_still_serves_and_says_close",
])

if __name__ == "__main__":
    unittest.main()
