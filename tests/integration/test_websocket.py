"""WebSockets and other upgrades of HTTP/1.1: the handshake, the tunnel, its ends, and what must not become one (PR-4)."""

import socket
import subprocess
import threading
import time
import unittest

import harness
import websocket_support as ws
from harness import answering, eventually, request, response
from test_backpressure import BIG, KERNEL, Counter
from websocket_support import ACCEPT, HANDSHAKE, frame, handshake, read_frame, switching

ONLY_ONCE = [{"retry": {"attempts": 1}}, {"timeout": {}}]


class Tunnels(harness.TestCase):
    def start(self, script=None, **options):
        self.service = self.upstream(script or switching())
        self.proxy = self.outrigger(self.service, **options)
        return self.proxy

    def open(self, headers=(), **options):
        """A client whose tunnel is open, and the answer to its handshake."""
        client = self.client(self.proxy, **options)
        client.send(handshake(headers=headers))
        return client, harness.Message(client.read_until(b"\r\n\r\n"))

    def assert_ended(self, end, count=1):
        self.proxy.wait_metric("tunnels_total", count, end=end)
        self.proxy.wait_metric("open_tunnels", 0)
        self.assert_idle(self.proxy)


class Handshake(Tunnels):
    def test_is_answered_on_both_sides_and_bytes_pass(self):
        self.start(switching(headers=[("Sec-WebSocket-Protocol", "chat"), ("X-Mine", "1")]))
        client, answer = self.open([("Sec-WebSocket-Protocol", "chat, other"), ("Origin", "http://a"),
                                    ("Sec-WebSocket-Extensions", "permessage-deflate")])
        self.assertEqual(answer.start_line, "HTTP/1.1 101 Switching Protocols")
        self.assertEqual((answer.all("upgrade"), answer.all("connection")), (["websocket"], ["Upgrade"]))
        self.assertEqual(answer.all("sec-websocket-accept"), [ACCEPT])
        self.assertEqual(answer.all("sec-websocket-protocol"), ["chat"])
        self.assertEqual(answer.get("x-mine"), "1")
        self.assertTrue(answer.get("x-request-id"))
        self.assertEqual([answer.get(name) for name in ("content-length", "transfer-encoding")], [None, None])
        client.send(b"hello")
        self.assertEqual(client.read_exactly(5), b"hello")

        asked = self.service.requests[0]
        self.assertEqual(asked.start_line, "GET /ws HTTP/1.1")
        self.assertEqual((asked.all("upgrade"), asked.all("connection")), (["websocket"], ["Upgrade"]))
        self.assertEqual(len(asked.all("sec-websocket-key")), 1)
        self.assertNotEqual(asked.get("sec-websocket-key"), ws.KEY, "the service gets a key of the proxy's own")
        self.assertEqual(asked.all("sec-websocket-version"), ["13"])
        self.assertEqual(asked.get("sec-websocket-extensions"), "permessage-deflate")
        self.assertEqual(asked.get("sec-websocket-protocol"), "chat, other")
        # It would be taken for the time that the tunnel may last.
        self.assertIsNone(asked.get("x-request-timeout-ms"))
        client.half_close()
        self.assertEqual(client.read_to_end(), (b"", True))
        self.assert_ended("complete")

    def test_case_and_company_of_the_fields_do_not_matter(self):
        self.start()
        client = self.client(self.proxy)
        client.send(request(target="/ws", headers=[
            ("connection", "keep-alive, UPGRADE"), ("upgrade", "WebSocket"), ("SEC-WEBSOCKET-KEY", ws.KEY),
            ("sec-websocket-version", "13"), ("Content-Length", "0")]))
        self.assertEqual(harness.Message(client.read_until(b"\r\n\r\n")).status, 101)
        self.assertEqual(self.service.requests[0].all("upgrade"), ["websocket"])

    def test_refused_is_an_ordinary_answer_and_the_connection_s_last(self):
        for status in ("200 OK", "401 Unauthorized", "426 Upgrade Required", "404 Not Found"):
            with self.subTest(status):
                service = self.upstream(answering(response(b"no", status, [("Sec-WebSocket-Version", "13")])))
                proxy = self.outrigger(service)
                client = self.client(proxy)
                client.send(handshake())
                answer = client.read_response()
                self.assertEqual((answer.status, answer.body, answer.get("connection")),
                                 (int(status[:3]), b"no", "close"))
                self.assertEqual(answer.get("sec-websocket-version"), "13")
                self.assertIsNone(answer.get("upgrade"))
                self.assertEqual(client.read_to_end(), (b"", True))
                # The service's connection goes on.
                self.assertEqual(self.client(proxy).get().status, int(status[:3]))
                self.assertEqual(service.accepted, 1)
                self.assertEqual(proxy.metric("tunnels_total"), 0)

    def test_bytes_behind_a_refused_handshake_are_not_a_request(self):
        """RFC 9110, 7.8: they may have been meant for the other protocol."""
        self.start(answering(response(b"no", "403 Forbidden")))
        client = self.client(self.proxy)
        client.send(handshake() + request(target="/secret") * 3)
        self.assertEqual(client.read_response().status, 403)
        self.assertEqual(client.read_to_end()[0], b"")
        self.assertEqual([message.target for message in self.service.requests], ["/ws"])

    def test_bytes_behind_a_handshake_wait_for_the_answer(self):
        seen = []
        may_switch = threading.Event()
        self.addCleanup(may_switch.set)

        def script(connection):
            message = connection.read_request()
            may_switch.wait(harness.DEADLINE)
            seen.append(connection.buffer + (connection.sock.recv(99, socket.MSG_PEEK)
                                             if connection.has_data() else b""))
            ws.switch(connection, message=message)
            ws.echo(connection)

        self.start(script)
        early = bytes(range(256)) * 200  # more than a connection's buffer
        client = self.client(self.proxy)
        client.send(handshake() + early)
        eventually(lambda: self.service.requests, "the handshake arrives")
        client.send(b"later")
        may_switch.set()
        self.assertEqual(harness.Message(client.read_until(b"\r\n\r\n")).status, 101)
        self.assertEqual(client.read_exactly(len(early) + 5) == early + b"later", True)
        self.assertEqual(seen, [b""])

    def test_bytes_behind_the_service_s_answer_arrive(self):
        self.start(switching(lambda connection: connection.send(frame(b"first")) or ws.echo(connection)))
        for _ in range(20):
            client, _ = self.open()
            self.assertEqual(read_frame(client), (ws.BINARY, b"first", False))
            client.close()

    def test_503_is_tried_again_and_nothing_after_101(self):
        answers = [lambda c: c.send(response(b"busy", "503 Service Unavailable")), None]

        def script(connection):
            while True:
                message = connection.read_request()
                play = answers.pop(0)
                if play:
                    play(connection)
                    continue
                ws.switch(connection, message=message)
                connection.read_exactly(1)
                connection.reset()
                return

        self.start(script, filters=[{"retry": {"attempts": 3}}, {"timeout": {}}])
        client, answer = self.open()
        self.assertEqual((answer.status, answer.get("x-outrigger-attempts")), (101, "2"))
        client.send(b"x")
        self.assertEqual(client.read_to_end(), (b"", False))
        self.assert_ended("service_gone")
        self.assertEqual(len(self.service.requests), 2)


class Hostile(Tunnels):
    WEBSOCKET = dict(HANDSHAKE)

    def with_fields(self, method="GET", version="1.1", body=b"", **changes):
        fields = {**self.WEBSOCKET, **{name.replace("_", "-"): value for name, value in changes.items()}}
        lines = [f"{method} /ws HTTP/{version}", "Host: a"]
        for name, value in fields.items():
            for each in ([] if value is None else value if isinstance(value, list) else [value]):
                lines.append(f"{name}: {each}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def test_malformed_handshakes_are_refused(self):
        cases = {
            "no key": self.with_fields(Sec_WebSocket_Key=None),
            "empty key": self.with_fields(Sec_WebSocket_Key=""),
            "short key": self.with_fields(Sec_WebSocket_Key="dGhlIHNhbXBsZQ=="),
            "long key": self.with_fields(Sec_WebSocket_Key=ws.KEY + "="),
            "not base64": self.with_fields(Sec_WebSocket_Key="dGhlIHNhbXBs!SBub25jZQ=="),
            "17 bytes": self.with_fields(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQA="),
            "padding bits": self.with_fields(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZR=="),
            "two keys": self.with_fields(Sec_WebSocket_Key=[ws.KEY, ws.KEY]),
            "no version": self.with_fields(Sec_WebSocket_Version=None),
            "two versions": self.with_fields(Sec_WebSocket_Version=["13", "8"]),
            "POST": self.with_fields("POST"),
            "HEAD": self.with_fields("HEAD"),
            "body": self.with_fields(body=b"12345", Content_Length="5"),
            "chunks": self.with_fields(body=b"0\r\n\r\n", Transfer_Encoding="chunked"),
        }
        self.start()
        for name, sent in cases.items():
            with self.subTest(name):
                client = self.client(self.proxy)
                client.send(sent + request(target="/secret"))
                answer = client.read_response("HEAD" if name == "HEAD" else "GET")
                self.assertEqual((answer.status, answer.reason, answer.get("connection")),
                                 (400, "bad_request", "close"))
        self.assertEqual(self.service.requests, [])

    def test_what_is_no_allowed_upgrade_is_an_ordinary_request(self):
        cases = {
            "h2c": self.with_fields(Upgrade="h2c", Connection="Upgrade, HTTP2-Settings", HTTP2_Settings="AAMAAABk"),
            "h2c in a list": self.with_fields(Upgrade="websocket, h2c"),
            "h2c in another field": self.with_fields(Upgrade=["websocket", "h2c"]),
            "h2c behind a tab": self.with_fields(Upgrade="h2c\t"),
            "http": self.with_fields(Upgrade="HTTP/2.0"),
            "tls": self.with_fields(Upgrade="TLS/1.0"),
            "unknown": self.with_fields(Upgrade="foo"),
            "almost": self.with_fields(Upgrade="websocket2"),
            "with version": self.with_fields(Upgrade="websocket/13"),
            "not nominated": self.with_fields(Connection="keep-alive"),
            "no Connection": self.with_fields(Connection=None),
            "nominates another": self.with_fields(Connection="xupgrade"),
            "HTTP/1.0": self.with_fields(version="1.0"),
            "empty": self.with_fields(Upgrade=""),
        }
        self.start(answering(lambda m: response(m.target.encode())), listener={"upgrades": ["websocket"]})
        for name, sent in cases.items():
            with self.subTest(name):
                client = self.client(self.proxy)
                client.send(sent)
                answer = client.read_response()
                self.assertEqual((answer.status, answer.body), (200, b"/ws"))
                asked = self.service.requests[-1]
                self.assertEqual((asked.get("upgrade"), asked.get("http2-settings")), (None, None))
                self.assertNotIn("upgrade", (asked.get("connection") or "").lower())
                if name != "HTTP/1.0":
                    self.assertEqual(client.get("/next").body, b"/next")

    def test_services_that_did_not_understand_open_no_tunnel(self):
        good = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
        cases = {
            "no accept": lambda key: good,
            "wrong accept": lambda key: [*good, ("Sec-WebSocket-Accept", ACCEPT)],
            "two accepts": lambda key: [*good, *[("Sec-WebSocket-Accept", ws.accept_of(key))] * 2],
            "no upgrade": lambda key: [("Connection", "Upgrade"), ("Sec-WebSocket-Accept", ws.accept_of(key))],
            "no connection": lambda key: [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", ws.accept_of(key))],
            "other protocol": lambda key: [("Connection", "Upgrade"), ("Upgrade", "h2c"),
                                           ("Sec-WebSocket-Accept", ws.accept_of(key))],
            "length": lambda key: [*good, ("Sec-WebSocket-Accept", ws.accept_of(key)), ("Content-Length", "5")],
            "chunks": lambda key: [*good, ("Sec-WebSocket-Accept", ws.accept_of(key)),
                                   ("Transfer-Encoding", "chunked")],
        }
        for name, fields in cases.items():
            with self.subTest(name):
                def script(connection, fields=fields):
                    message = connection.read_request()
                    connection.send(response(status="101 Switching Protocols", length=False,
                                             headers=fields(message.get("sec-websocket-key"))))
                    connection.read_to_end()

                proxy = self.outrigger(self.upstream(script), filters=ONLY_ONCE)
                client = self.client(proxy)
                client.send(handshake())
                self.assert_local_reply(client.read_response(), 502, "upstream_protocol")
                self.assertEqual(proxy.metric("tunnels_total"), 0)

    def test_101_that_nobody_asked_for(self):
        def script(connection):
            ws.switch(connection)
            connection.read_to_end()

        self.start(script, filters=ONLY_ONCE)
        self.assert_local_reply(self.client(self.proxy).get(), 502, "upstream_protocol")
        # Nor one whose question was not passed on.
        client = self.client(self.proxy)
        client.send(self.with_fields(Upgrade="h2c"))
        self.assert_local_reply(client.read_response(), 502, "upstream_protocol")

    def test_upgrades_may_be_switched_off(self):
        self.start(answering(response(b"plain")), listener={"upgrades": []})
        client = self.client(self.proxy)
        client.send(handshake())
        self.assertEqual(client.read_response().body, b"plain")
        self.assertIsNone(self.service.requests[0].get("upgrade"))


class OtherProtocols(Tunnels):
    @staticmethod
    def switch(connection):
        message = connection.read_request()
        connection.send(response(status="101 Switching Protocols", length=False,
                                 headers=[("Connection", "upgrade"), ("Upgrade", message.get("upgrade"))]))
        ws.echo(connection)

    def test_an_allowed_one_is_a_tunnel_without_keys(self):
        self.start(self.switch, listener={"upgrades": ["Echo/2"]})
        client = self.client(self.proxy)
        client.send(request(headers=[("Connection", "upgrade"), ("Upgrade", "ECHO/2")]))
        answer = harness.Message(client.read_until(b"\r\n\r\n"))
        self.assertEqual((answer.status, answer.all("upgrade")), (101, ["echo/2"]))
        self.assertEqual([answer.get("sec-websocket-accept"), self.service.requests[0].get("sec-websocket-key")],
                         [None, None])
        client.send(b"hello")
        self.assertEqual(client.read_exactly(5), b"hello")
        # A WebSocket was not allowed here, and a body makes an ordinary request.
        other = self.client(self.proxy)
        other.send(request("POST", "/", b"x", [("Connection", "upgrade"), ("Upgrade", "echo/2")]))
        eventually(lambda: len(self.service.requests) == 2, "the request arrives")
        self.assertIsNone(self.service.requests[1].get("upgrade"))

    def test_curl_opens_one(self):
        self.start(lambda connection: (connection.read_request(), connection.send(
            response(status="101 Switching Protocols", length=False,
                     headers=[("Connection", "upgrade"), ("Upgrade", "echo")]) + b"from the tunnel")),
                   listener={"upgrades": ["echo"]})
        host, port = self.proxy.address
        curl = subprocess.run(["curl", "-sS", "-i", "--http1.1", "--max-time", "10", "-H", "Connection: Upgrade",
                               "-H", "Upgrade: echo", f"http://{host}:{port}/"],
                              capture_output=True, timeout=harness.DEADLINE, check=False)
        self.assertIn(b"HTTP/1.1 101 Switching Protocols", curl.stdout)
        self.assertIn(b"from the tunnel", curl.stdout)

    def test_forbidden_ones_are_refused_by_check(self):
        for protocol in ("h2c", "H2C", "http/2.0", "TLS/1.2", "a b", ""):
            config = self.config("127.0.0.1:9", listener={"upgrades": [protocol]})
            path = f"{self.folder}/bad.yaml"
            with open(path, "w", encoding="utf-8") as file:
                harness.json.dump(config, file)
            result = self.program("check", "--config", path)
            self.assertEqual(result.returncode, 1, protocol)
            self.assertIn("upgrades", result.stdout + result.stderr)


class Bytes(Tunnels):
    def test_one_by_one_in_both_directions(self):
        self.start()
        client, _ = self.open()
        data = bytes(range(256))
        for byte in range(256):
            client.send(data[byte:byte + 1])
        self.assertEqual(client.read_exactly(256), data)

        def drip(connection):
            for byte in range(256):
                connection.send(data[byte:byte + 1])

        self.service.script = switching(drip)
        client, _ = self.open()
        self.assertEqual(client.read_to_end()[0], data)

    def test_large_ones_in_both_directions_at_once(self):
        self.start()
        client, _ = self.open()
        data = bytes(range(256)) * 4096 * 16  # 16 MiB
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        self.addCleanup(sender.join)
        self.assertEqual(client.read_exactly(len(data)) == data, True)
        self.assertEqual(self.proxy.metric("tunnel_bytes_total", direction="to_service"), len(data))
        self.assertEqual(self.proxy.metric("tunnel_bytes_total", direction="to_client"), len(data))

    def test_a_client_that_does_not_read_stops_the_service(self):
        counter = Counter()

        def play(connection):
            counter.send_all(connection, BIG)
            connection.read_exactly(1000)

        self.start(switching(play))
        self.assertEqual(self.proxy.admin("GET", "/metrics")[0], 200)
        before = self.proxy.rss_kib()
        client, _ = self.open(receive_buffer=65536)
        eventually(counter.has_stalled, "the service is stopped")
        grown = self.proxy.rss_kib() - before
        print(f"unread tunnel, to the client: {grown} KiB more, {counter.sent >> 10} KiB taken")
        self.assertLess(counter.sent, KERNEL)
        if not harness.IS_INSTRUMENTED:
            self.assertLess(grown, 2048)
        # The other direction is not held up.
        client.send(b"x" * 1000)
        self.proxy.wait_metric("tunnel_bytes_total", 1000, direction="to_service")
        self.assertEqual(len(client.read_exactly(BIG)), BIG)

    def test_a_service_that_does_not_read_stops_the_client(self):
        may_read = threading.Event()
        self.addCleanup(may_read.set)

        def play(connection):
            connection.send(b"y" * 1000)
            may_read.wait(harness.DEADLINE)
            self.assertEqual(len(connection.read_exactly(BIG)), BIG)
            connection.send(b"done")

        self.service = self.upstream(switching(play), receive_buffer=65536)
        self.proxy = self.outrigger(self.service)
        self.assertEqual(self.proxy.admin("GET", "/metrics")[0], 200)
        before = self.proxy.rss_kib()
        client, _ = self.open()
        counter = Counter()
        sender = threading.Thread(target=counter.send_all, args=(client, BIG))
        sender.start()
        self.addCleanup(sender.join)
        eventually(counter.has_stalled, "the client is stopped")
        grown = self.proxy.rss_kib() - before
        print(f"unread tunnel, to the service: {grown} KiB more, {counter.sent >> 10} KiB taken")
        self.assertLess(counter.sent, KERNEL)
        if not harness.IS_INSTRUMENTED:
            self.assertLess(grown, 2048)
        self.assertEqual(client.read_exactly(1000), b"y" * 1000)
        may_read.set()
        self.assertEqual(client.read_exactly(4), b"done")

    def test_idle_tunnels_hold_no_buffers(self):
        self.start()
        self.open()
        held = self.proxy.metric("buffer_bytes")
        clients = [self.open()[0] for _ in range(200)]
        self.proxy.wait_metric("open_tunnels", 201)
        for client in clients:
            client.send(b"x")
            self.assertEqual(client.read_exactly(1), b"x")
        # Blocks that wait in the pool are held as well, but they are few.
        self.assertLess(self.proxy.metric("buffer_bytes") - held, 2 << 20)


class Ends(Tunnels):
    def test_the_client_ends_first(self):
        self.start(switching(lambda connection: connection.send(b"got " + connection.read_to_end()[0])))
        client, _ = self.open()
        client.send(b"all")
        client.half_close()
        self.assertEqual(client.read_to_end(), (b"got all", True))
        self.assert_ended("complete")

    def test_the_service_ends_first(self):
        received = []

        def play(connection):
            connection.send(b"bye")
            connection.half_close()
            received.append(connection.read_to_end())

        self.start(switching(play))
        client, _ = self.open()
        self.assertEqual(client.read_to_end(), (b"bye", True))
        client.send(b"still here")
        client.half_close()
        eventually(lambda: received == [(b"still here", True)], "the service reads the rest")
        self.assert_ended("complete")

    def test_much_before_the_end_is_not_lost(self):
        data = bytes(range(256)) * 4096 * 8
        self.start(switching(lambda connection: connection.send(data)))
        client, _ = self.open(receive_buffer=4096)
        self.proxy.wait_metric("open_tunnels", 1)
        got, is_fin = client.read_to_end()
        self.assertEqual((got == data, is_fin), (True, True))

    def test_the_client_is_gone(self):
        ends = []
        self.start(switching(lambda connection: ends.append(connection.read_to_end())))
        client, _ = self.open()
        client.reset()
        eventually(lambda: ends == [(b"", False)], "the service sees the reset")
        self.assert_ended("client_gone")

    def test_the_client_closes_while_the_service_sends(self):
        stopped = threading.Event()

        def play(connection):
            try:
                Counter().send_all(connection, 1 << 40)
            except OSError:
                stopped.set()

        self.start(switching(play))
        client, _ = self.open()
        client.read_exactly(1 << 20)
        client.close()
        self.assertTrue(stopped.wait(harness.DEADLINE))
        self.assert_ended("client_gone")

    def test_the_service_is_gone(self):
        self.start(switching(lambda connection: (connection.read_exactly(1), connection.reset())))
        client, _ = self.open()
        client.send(b"x")
        self.assertEqual(client.read_to_end(), (b"", False))
        self.assert_ended("service_gone")
        line = self.proxy.wait_events("request")[0]
        self.assertEqual((line["status"], line["tunnel"], line["outcome"], line["reason"], line["request_bytes"]),
                         (101, "service_gone", "cut", "upstream_reset", 1))

    def test_the_service_closes_and_the_client_goes_on_sending(self):
        self.start(switching(lambda connection: connection.send(b"bye")))
        client, _ = self.open()
        self.assertEqual(client.read_until(b"bye"), b"bye")
        try:
            while True:
                client.send(b"x" * 1000)
        except OSError:
            pass
        self.assert_ended("complete")

    def test_the_log_and_the_metrics_say_what_was(self):
        self.start()
        client, answer = self.open()
        client.send(b"hello")
        client.read_exactly(5)
        self.proxy.wait_metric("open_tunnels", 1)
        self.assertEqual(self.proxy.events("request"), [], "one line, at the end")
        client.half_close()
        client.read_to_end()
        self.assert_ended("complete")
        line = self.proxy.wait_events("request")[0]
        self.assertEqual([line[key] for key in ("request_id", "method", "status", "upgrade", "tunnel", "request_bytes",
                                                "response_bytes", "upstream_status")],
                         [answer.get("x-request-id"), "GET", 101, "websocket", "complete", 5, 5, 101])
        self.assertEqual(self.proxy.metric("requests_total", code_class="1xx"), 1)
        self.assertEqual(self.proxy.metric("tunnel_duration_seconds_count"), 1)
        self.assertEqual(self.proxy.metric("request_duration_seconds_count"), 1)


class Times(Tunnels):
    def test_the_deadline_is_for_the_answer_alone(self):
        self.start(filters=[{"timeout": {"overall": "300ms"}}])
        client, _ = self.open()
        began = time.monotonic()
        while time.monotonic() - began < 0.6:
            client.send(b"x")
            self.assertEqual(client.read_exactly(1), b"x")

    def test_a_service_that_does_not_answer(self):
        self.start(lambda connection: connection.read_to_end(), filters=[{"timeout": {"overall": "200ms"}}])
        client = self.client(self.proxy)
        client.send(handshake())
        self.assert_local_reply(client.read_response(), 504, "deadline")

    def idle(self, play, **options):
        self.start(switching(play), filters=[{"timeout": {"tunnel_idle": "300ms"}}], **options)
        return self.open()[0]

    def test_an_idle_websocket_is_closed_in_its_own_words(self):
        closed = []
        began = time.monotonic()
        client = self.idle(lambda connection: closed.append((read_frame(connection), connection.read_to_end())))
        self.assertEqual(read_frame(client), (ws.CLOSE, b"\x03\xe9", False))
        self.assertGreater(time.monotonic() - began, 0.29)
        self.assertEqual(client.read_to_end(), (b"", True))
        eventually(lambda: closed == [((ws.CLOSE, b"\x03\xe9", True), (b"", True))], "the service is told, masked")
        self.assert_ended("idle")
        self.assertEqual(self.proxy.metric("timeouts_total", tier="tunnel_idle"), 1)
        self.assertEqual(self.proxy.wait_events("request")[0]["tunnel"], "idle")

    def test_in_the_middle_of_a_frame_only_a_reset_is_honest(self):
        client = self.idle(lambda connection: (connection.send(frame(b"x" * 100)[:50]), connection.read_to_end()))
        self.assertEqual(client.read_exactly(50), frame(b"x" * 100)[:50])
        self.assertEqual(client.read_to_end(), (b"", False))
        self.assert_ended("idle")

    def test_frames_in_either_direction_keep_it_open(self):
        def play(connection):
            for _ in range(12):
                connection.send(frame(b"", ws.PING))
                threading.Event().wait(0.08)
            connection.read_to_end()

        client = self.idle(play)
        for _ in range(12):
            self.assertEqual(read_frame(client)[0], ws.PING)
        for _ in range(4):
            threading.Event().wait(0.1)
            client.send(frame(b"", ws.PONG, mask=True))
        self.assertEqual(read_frame(client)[0], ws.CLOSE)
        self.assert_ended("idle")

    def test_no_second_close(self):
        """Each has sent its Close, and neither ends the connection."""
        def play(connection):
            connection.send(frame(b"\x03\xe8", ws.CLOSE))
            connection.read_to_end()

        client = self.idle(play)
        self.assertEqual(read_frame(client)[:2], (ws.CLOSE, b"\x03\xe8"))
        self.assertEqual(client.read_to_end()[0], b"")
        self.assert_ended("idle")

    def test_a_half_closed_one_is_idle_as_well(self):
        is_over = threading.Event()
        self.addCleanup(is_over.set)
        client = self.idle(lambda connection: (connection.read_to_end(), is_over.wait(harness.DEADLINE)))
        client.half_close()
        self.assertEqual(read_frame(client)[0], ws.CLOSE)
        self.assert_ended("idle")


class Drain(Tunnels):
    def drain(self, timeout, play=None):
        self.start(switching(play), admin={"address": "127.0.0.1:0",
                                           "drain": {"lame_duck": "0s", "timeout": timeout}})
        client, _ = self.open()
        self.proxy.wait_metric("open_tunnels", 1)
        self.proxy.signal(harness.signal.SIGTERM)
        self.proxy.wait_line('"event":"drain')
        return client

    def test_waits_for_tunnels(self):
        client = self.drain("20s")
        client.send(b"still")
        self.assertEqual(client.read_exactly(5), b"still")
        client.half_close()
        self.assertEqual(client.read_to_end(), (b"", True))
        self.assertEqual(self.proxy.wait_exit(), 0)

    def test_ends_them_with_a_word_when_its_time_is_over(self):
        closed = []
        client = self.drain("500ms", lambda connection: closed.append(read_frame(connection)))
        self.assertEqual(read_frame(client), (ws.CLOSE, b"\x03\xe9", False))
        self.assertEqual(client.read_to_end(), (b"", True))
        self.assertEqual(self.proxy.wait_exit(), 0)
        self.assertEqual(closed, [(ws.CLOSE, b"\x03\xe9", True)])
        line = self.proxy.events("request")[0]
        self.assertEqual((line["tunnel"], line["reason"]), ("drained", "draining"))

    def test_cuts_those_that_cannot_be_told(self):
        client = self.drain("500ms", lambda connection: (connection.send(frame(b"x" * 100)[:50]),
                                                         connection.read_to_end()))
        self.assertEqual(client.read_to_end(), (frame(b"x" * 100)[:50], False))
        self.assertEqual(self.proxy.wait_exit(), 0)

    def test_new_ones_are_refused(self):
        client = self.drain("20s")
        # Within the lame duck a connection would be accepted; here the port is closed.
        with self.assertRaises(OSError):
            self.client(self.proxy)
        client.close()
        self.assertEqual(self.proxy.wait_exit(), 0)


class Filters(Tunnels):
    def test_the_limiter_counts_connections(self):
        self.start(filters=[{"rate_limit": {"rules": [{"name": "r", "rate": "1/h", "burst": 2}]}}, {"timeout": {}}])
        for _ in range(2):
            client, answer = self.open()
            self.assertEqual(answer.status, 101)
            self.assertTrue(answer.get("ratelimit"))
            for _ in range(10):
                client.send(b"frames cost nothing")
                client.read_exactly(19)
        client = self.client(self.proxy)
        client.send(handshake())
        self.assert_local_reply(client.read_response(), 429, "rate_requests")

    def test_a_tunnel_holds_its_slot(self):
        self.start(upstream_options={"max_requests": 1}, filters=ONLY_ONCE)
        client, _ = self.open()
        other = self.client(self.proxy)
        other.send(handshake())
        self.assert_local_reply(other.read_response(), 503, "concurrency")
        client.half_close()
        client.read_to_end()
        self.assert_ended("complete")
        self.assertEqual(self.open()[1].status, 101)

    def test_the_breaker_sees_answers_and_broken_tunnels(self):
        self.start(switching(lambda connection: (connection.read_exactly(1), connection.reset())),
                   filters=[{"retry": {"attempts": 1}}, {"breaker": {"consecutive": 3, "open_for": "60s"}},
                            {"timeout": {}}])
        client, _ = self.open()
        client.close()  # a client that leaves says nothing about the service
        self.proxy.wait_metric("open_tunnels", 0)
        for _ in range(3):
            client, answer = self.open()
            self.assertEqual(answer.status, 101)
            client.send(b"x")
            client.read_to_end()
        self.assertEqual(self.proxy.metric("breaker_state"), 0, "an answer comes between two failures")
        self.service.script = lambda connection: (connection.read_request(), connection.reset())
        answers = []
        while answers.count("upstream_reset") < 3 and "breaker_open" not in answers:
            client = self.client(self.proxy)
            client.send(handshake())
            answers.append(client.read_response().reason)
        # The tunnel that broke last is one of three in a row.
        self.assertEqual(answers, ["upstream_reset", "upstream_reset", "breaker_open"])

    def test_a_key_is_not_stored(self):
        self.start()
        for _ in range(2):
            client, answer = self.open([("Idempotency-Key", "k")])
            self.assertEqual(answer.status, 101)
            client.send(b"x")
            self.assertEqual(client.read_exactly(1), b"x")
        self.assertEqual(len(self.service.requests), 2)
        self.assertEqual(self.proxy.metric("idempotency_total"), 0)


# What is left out is about the bytes of HTTP/1.1, or would be waited for in vain on a connection of many streams.
OF_HTTP1 = [
    "test_case_and_company_of_the_fields_do_not_matter",
    "test_refused_is_an_ordinary_answer_and_the_connection_s_last",
    "test_bytes_behind_a_refused_handshake_are_not_a_request",
    "test_idle_tunnels_hold_no_buffers",
]
TO_HTTP1 = [
    *OF_HTTP1,
    "test_is_answered_on_both_sides_and_bytes_pass",
    "test_bytes_behind_a_handshake_wait_for_the_answer",
    "test_the_service_closes_and_the_client_goes_on_sending",
]
harness.also_over_http2(globals(), Handshake, Bytes, Ends, Times, Drain, Filters, without=OF_HTTP1)
harness.also_to_http2(globals(), Handshake, Bytes, Ends, Times, Drain, Filters, without=TO_HTTP1)
harness.also_over_tls(globals(), Handshake, Bytes, Ends, Drain, without=TO_HTTP1)
harness.also_http1_over_tls(globals(), Handshake, Bytes, Ends, Times, Drain)

if __name__ == "__main__":
    unittest.main()
