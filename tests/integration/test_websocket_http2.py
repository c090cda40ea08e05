"""WebSockets over HTTP/2 (RFC 8441): extended CONNECT of clients, to services, and between both protocols."""

import struct
import threading
import unittest

import harness
import websocket_support as ws
from harness import answering, eventually, response
from test_backpressure import BIG, KERNEL, Counter
from test_http2 import FrameClient
from websocket_support import TunnelClient, TunnelService, frame, handshake, read_frame, switching

CONNECT = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a"),
           (":path", "/ws")]
CANCEL, PROTOCOL_ERROR = 8, 1


class Http2Tunnels(harness.TestCase):
    def start(self, script=None, **options):
        self.service = script if isinstance(script, TunnelService) else self.upstream(script or switching())
        if script is self.service:
            self.addCleanup(self.service.stop)
        self.proxy = self.outrigger(self.service, **options)
        return self.proxy

    def tunnel(self, **options):
        client = TunnelClient(self.proxy.address, **options)
        self.addCleanup(client.close)
        return client

    def open(self, **options):
        client = self.tunnel(**options)
        self.assertEqual(client.open(), 200)
        return client

    def assert_ended(self, end, count=1):
        self.proxy.wait_metric("tunnels_total", count, end=end)
        self.proxy.wait_metric("open_tunnels", 0)
        self.assert_idle(self.proxy)


class ToHttp1(Http2Tunnels):
    def test_the_setting_is_announced(self):
        self.start()
        self.assertTrue(self.tunnel().wait_settings())
        self.start(listener={"upgrades": []})
        client = self.tunnel()
        self.assertFalse(client.wait_settings())

    def test_becomes_the_handshake_of_http1(self):
        self.start(switching(headers=[("Sec-WebSocket-Protocol", "chat")]))
        client = self.tunnel()
        status = client.open("/ws?x=1", headers=[("sec-websocket-version", "13"), ("origin", "http://a"),
                                                 ("sec-websocket-protocol", "chat"), ("sec-websocket-key", "mine")])
        self.assertEqual(status, 200)
        self.assertEqual(client.fields["sec-websocket-protocol"], "chat")
        for name in ("upgrade", "connection", "sec-websocket-accept", "content-length"):
            self.assertNotIn(name, client.fields)
        asked = self.service.requests[0]
        self.assertEqual(asked.start_line, "GET /ws?x=1 HTTP/1.1")
        self.assertEqual([asked.all(name) for name in ("upgrade", "connection", "sec-websocket-version", "host")],
                         [["websocket"], ["Upgrade"], ["13"], ["a"]])
        self.assertEqual(len(asked.get("sec-websocket-key")), 24)
        self.assertEqual(len(asked.all("sec-websocket-key")), 1)
        client.send(b"hello")
        self.assertEqual(client.read_exactly(5), b"hello")
        client.send(b"", end=True)
        self.assertEqual(client.read_to_end(), (b"", True))
        self.assert_ended("complete")
        line = self.proxy.wait_events("request")[0]
        self.assertEqual((line["protocol"], line["method"], line["upgrade"], line["tunnel"]),
                         ("HTTP/2", "GET", "websocket", "complete"))

    def test_a_version_is_added_where_there_is_none(self):
        self.start()
        client = self.tunnel()
        self.assertEqual(client.open(headers=[]), 200)
        self.assertEqual(self.service.requests[0].all("sec-websocket-version"), ["13"])

    def test_refused_is_an_ordinary_answer(self):
        self.start(answering(lambda m: response(b"no", "403 Forbidden")))
        client = self.tunnel()
        self.assertEqual(client.open(), 403)
        self.assertEqual(client.read_to_end(), (b"no", True))
        # The connection goes on, on both sides.
        self.assertEqual(client.open(), 403)
        self.assertEqual(self.service.accepted, 1)

    def test_a_service_that_did_not_understand(self):
        def script(connection):
            connection.read_request()
            connection.send(response(status="101 Switching Protocols", length=False,
                                     headers=[("Connection", "Upgrade"), ("Upgrade", "websocket"),
                                              ("Sec-WebSocket-Accept", ws.ACCEPT)]))
            connection.read_to_end()

        self.start(script, filters=[{"retry": {"attempts": 1}}, {"timeout": {}}])
        client = self.tunnel()
        self.assertEqual(client.open(), 502)
        self.assertEqual(client.fields["x-outrigger-reason"], "upstream_protocol")

    def test_hostile_connects(self):
        cases = {
            "no protocol": ([*CONNECT[:1], *CONNECT[2:]], None),
            "other protocol": ([CONNECT[0], (":protocol", "connect-udp"), *CONNECT[2:]], 501),
            "h2c": ([CONNECT[0], (":protocol", "h2c"), *CONNECT[2:]], 501),
            "GET": ([(":method", "GET"), *CONNECT[1:]], "reset"),
            "no path": (CONNECT[:4], "reset"),
            "no scheme": ([*CONNECT[:2], *CONNECT[3:]], "reset"),
            "no authority": ([*CONNECT[:3], CONNECT[4], ("host", "a")], "reset"),
            "two protocols": ([*CONNECT[:2], *CONNECT[1:]], "reset"),
            "protocol is no token": ([CONNECT[0], (":protocol", "web socket"), *CONNECT[2:]], "reset"),
            "length": ([*CONNECT, ("content-length", "5")], "reset"),
            "upgrade": ([*CONNECT, ("upgrade", "websocket")], "reset"),
            "expect": ([*CONNECT, ("expect", "100-continue")], "reset"),
        }
        self.start()
        for name, (fields, expected) in cases.items():
            with self.subTest(name):
                client = FrameClient(self.proxy.address)
                self.addCleanup(client.close)
                client.headers(1, fields, end=False)
                answer = client.answer(1)[0]
                # Without :protocol it is the plain CONNECT, of another form.
                self.assertIn(answer, ("reset", 501) if expected is None else (expected,))
        self.assertEqual(self.service.requests, [])

    def test_bytes_before_the_answer_wait(self):
        seen = []

        def script(connection):
            message = connection.read_request()
            seen.append(connection.has_data(0.2))
            ws.switch(connection, message=message)
            ws.echo(connection)

        self.start(script)
        client = FrameClient(self.proxy.address)
        self.addCleanup(client.close)
        client.headers(1, CONNECT, end=False)
        client.data(1, b"early")
        client.data(1, b"", end=True)
        self.assertEqual(client.answer(1), (200, b"early"))
        self.assertEqual(seen, [False])

    def test_large_ones_in_both_directions(self):
        self.start()
        client = self.open()
        data = bytes(range(256)) * 4096
        for _ in range(4):
            sent = 0
            got = b""
            while len(got) < len(data):
                piece = data[sent:sent + 30000]
                client.send(piece)
                sent += len(piece)
                got += client.read_exactly(len(piece))
            self.assertEqual(got == data, True)

    def test_a_client_that_does_not_read_stops_the_service(self):
        counter = Counter()
        self.start(switching(lambda connection: counter.send_all(connection, BIG)))
        self.assertEqual(self.proxy.admin("GET", "/metrics")[0], 200)
        before = self.proxy.rss_kib()
        client = self.open()
        eventually(counter.has_stalled, "the service is stopped")
        grown = self.proxy.rss_kib() - before
        print(f"unread tunnel of HTTP/2: {grown} KiB more, {counter.sent >> 10} KiB taken")
        self.assertLess(counter.sent, KERNEL)
        if not harness.IS_INSTRUMENTED:
            self.assertLess(grown, 2048)
        self.assertEqual(len(client.read_exactly(1 << 20)), 1 << 20)

    def test_the_service_ends_first(self):
        received = []

        def play(connection):
            connection.send(b"bye")
            connection.half_close()
            received.append(connection.read_to_end())

        self.start(switching(play))
        client = self.open()
        self.assertEqual(client.read_to_end(), (b"bye", True))
        client.send(b"still here", end=True)
        eventually(lambda: received == [(b"still here", True)], "the service reads the rest")
        self.assert_ended("complete")

    def test_a_client_that_resets_its_stream_is_gone(self):
        for ends_first in (False, True):
            with self.subTest(ends_first=ends_first):
                ends = []

                def play(connection, ends=ends, ends_first=ends_first):
                    if ends_first:
                        connection.half_close()
                    ends.append(connection.read_to_end())

                self.start(switching(play))
                client = self.open()
                if ends_first:
                    self.assertEqual(client.read_to_end(), (b"", True))
                client.reset()
                eventually(lambda ends=ends: ends, "the service sees it")
                self.assert_ended("client_gone")

    def test_a_service_that_resets(self):
        self.start(switching(lambda connection: (connection.read_exactly(1), connection.reset())))
        client = self.open()
        client.send(b"x")
        self.assertEqual(client.read_to_end(), (b"", False))
        self.assert_ended("service_gone")

    def test_idle_and_drained_ones_are_told(self):
        def options(idle, drain):
            return {"filters": [{"timeout": {"tunnel_idle": idle}}],
                    "admin": {"address": "127.0.0.1:0", "drain": {"lame_duck": "0s", "timeout": drain}}}

        self.start(switching(lambda connection: connection.read_to_end()), **options("300ms", "5s"))
        client = self.open()
        self.assertEqual(read_frame(client), (ws.CLOSE, struct.pack(">H", 1001), False))
        self.assertEqual(client.read_to_end(), (b"", True))
        self.assert_ended("idle")

        self.start(switching(lambda connection: connection.read_to_end()), **options("60s", "500ms"))
        client = self.open()
        self.proxy.signal(harness.signal.SIGTERM)
        self.assertEqual(read_frame(client), (ws.CLOSE, struct.pack(">H", 1001), False))
        self.assertEqual(self.proxy.wait_exit(), 0)
        self.assertEqual(self.proxy.events("request")[0]["tunnel"], "drained")

    def test_ordinary_requests_go_on_beside_it(self):
        def script(connection):
            while True:
                message = connection.read_request()
                if message.get("upgrade"):
                    ws.switch(connection, message=message)
                    ws.echo(connection)
                connection.send(response(b"plain"))

        self.start(script)
        client = FrameClient(self.proxy.address)
        self.addCleanup(client.close)
        client.headers(1, CONNECT, end=False)
        client.headers(3, [(":method", "GET"), *CONNECT[2:]])
        self.assertEqual(client.answer(3), (200, b"plain"))
        client.data(1, b"x", end=True)
        self.proxy.wait_metric("tunnels_total", 1, end="complete")


class ToHttp2(Http2Tunnels):
    """Services that speak HTTP/2."""

    def http1_client(self):
        client = self.client(self.proxy)
        client.send(handshake(headers=[("Sec-WebSocket-Protocol", "chat")]))
        return client

    def test_from_http1(self):
        self.start(TunnelService())
        client = self.http1_client()
        answer = harness.Message(client.read_until(b"\r\n\r\n"))
        self.assertEqual((answer.status, answer.all("sec-websocket-accept"), answer.all("upgrade")),
                         (101, [ws.ACCEPT], ["websocket"]))
        asked = self.service.requests[0]
        self.assertEqual([asked.get(name) for name in (":method", ":protocol", ":scheme", ":authority", ":path",
                                                       "sec-websocket-version", "sec-websocket-protocol")],
                         ["CONNECT", "websocket", "http", "a", "/ws", "13", "chat"])
        for name in ("sec-websocket-key", "upgrade", "connection"):
            self.assertNotIn(name, asked)
        data = bytes(range(256)) * 1024
        sender = threading.Thread(target=client.send, args=(data,))
        sender.start()
        self.assertEqual(client.read_exactly(len(data)) == data, True)
        sender.join()
        client.half_close()
        self.assertEqual(client.read_to_end(), (b"", True))
        self.assertTrue(self.service.ended.is_set())
        self.assert_ended("complete")
        self.assertEqual((self.service.resets, self.service.errors), ([], []))

    def test_from_http2(self):
        self.start(TunnelService())
        client = self.open()
        client.send(b"hello")
        self.assertEqual(client.read_exactly(5), b"hello")
        client.send(b"", end=True)
        self.assertEqual(client.read_to_end(), (b"", True))
        self.assert_ended("complete")
        self.assertEqual((self.service.resets, self.service.errors), ([], []))

    def test_one_that_does_not_take_tunnels(self):
        self.start(TunnelService(allows=False))
        client = self.http1_client()
        answer = client.read_response()
        self.assert_local_reply(answer, 501, "not_implemented")
        self.assertIn("RFC 8441", answer.json()["detail"])
        self.assertEqual(self.tunnel().open(), 501)
        self.assertEqual(self.service.requests, [])
        # It says nothing about the service's health.
        self.assertEqual(self.proxy.metric("breaker_state"), 0)

    def test_one_that_refuses(self):
        self.start(TunnelService(status=403))
        self.assertEqual(self.http1_client().read_response().status, 403)
        self.assertEqual(self.tunnel().open(), 403)
        eventually(self.service.ended.is_set, "the request is ended, not reset")
        self.assertEqual(self.service.resets, [])

    def test_a_client_that_leaves(self):
        self.start(TunnelService())
        client = self.http1_client()
        client.read_until(b"\r\n\r\n")
        client.reset()
        eventually(lambda: self.service.resets == [CANCEL], "the stream is reset")
        self.assert_ended("client_gone")

    def test_a_service_that_leaves(self):
        self.start(TunnelService())
        client = self.http1_client()
        client.read_until(b"\r\n\r\n")
        self.service.stop()
        self.assertEqual(client.read_to_end(), (b"", False))
        self.assert_ended("service_gone")

    def test_an_idle_one_is_told(self):
        self.start(TunnelService(), filters=[{"timeout": {"tunnel_idle": "300ms"}}])
        client = self.http1_client()
        client.read_until(b"\r\n\r\n")
        client.send(frame(b"x", mask=True))
        client.read_exactly(7)
        self.assertEqual(read_frame(client)[:2], (ws.CLOSE, b"\x03\xe9"))
        eventually(lambda: len(self.service.received) == 15, "the service is told, masked")
        self.assert_ended("idle")


if __name__ == "__main__":
    unittest.main()
