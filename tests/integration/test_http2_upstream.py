"""Services that speak HTTP/2: what is about connections that requests share, their ends, and services that break the
protocol. What a request and its answer are is asked in the other modules, with services of either protocol."""

import json
import math
import os
import threading
import time
import unittest

import h2.errors
import h2.settings
import hpack

import harness
from harness import answering, chunked, chunks, request, response
from http2_upstream import Http2Upstream

MAX_STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def head(*fields, stream=1, flags=END_HEADERS, status="200"):
    fields = [(":status", status), *fields] if status else list(fields)
    block = hpack.Encoder().encode(fields, huffman=False)
    return frame(HEADERS, flags, stream, block)


class Counting:
    """A script that counts what was executed, by target."""

    def __init__(self, before=None):
        self.executed = {}
        self._before = before

    def __call__(self, connection):
        message = connection.read_request()
        if self._before and self._before(connection, message):
            return
        self.executed[message.target] = self.executed.get(message.target, 0) + 1
        connection.send(response(b"done"))


class Http2Test(harness.TestCase):
    upstream_protocol = "http2"

    def together(self, proxy, count, target="/", method="GET"):
        """Answers to `count` requests that are asked at the same time."""
        clients = [self.client(proxy) for _ in range(count)]
        for number, client in enumerate(clients):
            client.send(request(method, target % number if "%" in target else target,
                                b"x" if method == "POST" else None))
        return [client.read_response() for client in clients]


class Sharing(Http2Test):
    def test_requests_share_one_connection(self):
        everybody = threading.Barrier(30)

        def script(connection):
            message = connection.read_request()
            everybody.wait(harness.DEADLINE)
            connection.send(response(message.target.encode()))

        upstream = self.upstream(script)
        proxy = self.outrigger(upstream, workers=1)
        replies = self.together(proxy, 30, "/%d")
        self.assertEqual([reply.body for reply in replies], [b"/%d" % i for i in range(30)])
        self.assertEqual((len(upstream.wires), upstream.wires[0].peak), (1, 30))
        proxy.wait_metric("upstream_connections", 1, state="idle")
        self.assert_idle(proxy)

    def test_the_services_limit_of_streams_is_kept_by_more_connections(self):
        everybody = threading.Barrier(6)

        def script(connection):
            connection.read_request()
            everybody.wait(harness.DEADLINE)
            connection.send(response(b"x"))

        upstream = self.upstream(script, max_streams=2)
        proxy = self.outrigger(upstream, workers=1)
        self.assertEqual([reply.body for reply in self.together(proxy, 6)], [b"x"] * 6)
        self.assertEqual({wire.peak for wire in upstream.wires}, {2})
        self.assertEqual(len(upstream.wires), 3)

    def test_one_stream_at_a_time(self):
        upstream = self.upstream(answering(response(b"x")), max_streams=1)
        proxy = self.outrigger(upstream, workers=1)
        for _ in range(3):
            self.assertEqual([reply.body for reply in self.together(proxy, 8)], [b"x"] * 8)
        # A stream may become free before the connection that was made for it is there.
        self.assertEqual({wire.peak for wire in upstream.wires} - {0}, {1})

    def test_a_service_that_allows_no_stream_is_waited_for_on_one_connection(self):
        upstream = self.upstream(answering(response(b"x")), max_streams=0)
        proxy = self.outrigger(upstream, workers=1)
        clients = [self.client(proxy) for _ in range(5)]
        for client in clients:
            client.send(request())
        harness.eventually(lambda: upstream.wires, "the proxy connects")
        proxy.wait_metric("in_flight_requests", 5)
        # Answered ones show that the others were not forgotten.
        self.assertFalse(any(client.has_data() for client in clients))
        upstream.wires[0].settings({MAX_STREAMS: 2})
        self.assertEqual([client.read_response().body for client in clients], [b"x"] * 5)
        self.assertLessEqual(max(wire.peak for wire in upstream.wires), 2)

    def test_an_idle_connection_is_closed_in_good_order(self):
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.outrigger(upstream, upstream_options={"keepalive": {"idle": "200ms"}})
        self.assertEqual(self.client(proxy).get().body, b"x")
        harness.eventually(lambda: upstream.wires[0].is_closed, "the connection is closed")
        self.assertEqual(upstream.wires[0].goaway[0], 0)
        self.assertEqual(self.client(proxy).get().body, b"x")
        self.assertEqual(len(upstream.wires), 2)

    def test_slow_readers_leave_the_others_at_full_speed(self):
        big = 4 << 20
        rounds = 3  # of which the best counts: other work disturbs them

        def script(connection):
            message = connection.read_request()
            connection.send(response(b"y" * (big if message.target == "/slow" else 8 << 20)))

        def seconds():
            began = time.monotonic()
            self.assertEqual(len(self.client(proxy).get("/quick").body), 8 << 20)
            return time.monotonic() - began

        upstream = self.upstream(script)
        proxy = self.outrigger(upstream, workers=1)
        alone = min(seconds() for _ in range(rounds))
        asked = len(upstream.requests)
        slow = [self.client(proxy, receive_buffer=4096) for _ in range(16)]
        for client in slow:
            client.send(request(target="/slow"))
        harness.eventually(lambda: len(upstream.requests) == asked + 16, "they are asked")
        for client in slow:
            client.read_until(b"yyyy")
        beside = min(seconds() for _ in range(rounds))
        # Its own threads hold this service up; Nghttpd has the figure that counts.
        print(f"8 MiB alone: {alone:.3f} s, beside 16 that nobody reads: {beside:.3f} s")
        self.assertEqual(len(upstream.wires), 1)
        for client in slow:
            client.close()
        self.assert_idle(proxy)
        self.assertEqual(len(upstream.open_wires()), 1)

    def test_a_request_that_is_not_read_leaves_the_others_at_full_speed(self):
        may_read = threading.Event()
        self.addCleanup(may_read.set)

        def script(connection):
            message = connection.read_head()
            if message.target == "/stuck":
                may_read.wait(harness.DEADLINE)
            connection.send(response(b"%d" % len(connection.read_exactly(int(message.get("content-length"))))))

        upstream = self.upstream(script)
        proxy = self.outrigger(upstream, workers=1)
        stuck = self.client(proxy)
        stuck.send(request("POST", "/stuck", headers=[("Content-Length", "120000")]) + b"x" * 100000)
        harness.eventually(lambda: upstream.requests, "it is asked")
        # The service's window of the connection is as small as that of a stream; h2 gives back only what was read.
        self.assertEqual(self.client(proxy).get("/", [("Content-Length", "0")]).body, b"0")
        may_read.set()
        stuck.send(b"x" * 20000)
        self.assertEqual(stuck.read_response().body, b"120000")
        self.assertEqual(len(upstream.wires), 1)


class Ends(Http2Test):
    def test_a_refused_stream_is_tried_again_whatever_it_asks(self):
        for count in (1, 2):
            refusals = []

            def refuse(connection, _message):
                if len(refusals) == count:
                    return False
                refusals.append(1)
                connection.reset(h2.errors.ErrorCodes.REFUSED_STREAM)
                return True

            with self.subTest(count):
                script = Counting(refuse)
                upstream = self.upstream(script)
                proxy = self.outrigger(upstream)
                reply = self.client(proxy).post("/unsafe", b"x")
                self.assertEqual((reply.status, reply.body), (200, b"done"))
                self.assertEqual(script.executed, {"/unsafe": 1})
                self.assertEqual(reply.get("x-outrigger-attempts"), str(count + 1))
                self.assertEqual(proxy.metric("retries_total", cause="refused_stream"), count)
                self.assertEqual(len(upstream.wires), 1)

    def test_a_stream_above_the_goaway_is_tried_again_whatever_it_asks(self):
        def say_goodbye(connection, _message):
            if connection.wire is not upstream.wires[0]:
                return False
            connection.wire.goaway_after(0)
            harness.eventually(connection.has_ended, "the proxy leaves")
            return True

        script = Counting(say_goodbye)
        upstream = self.upstream(script)
        proxy = self.outrigger(upstream)
        reply = self.client(proxy).post("/unsafe", b"x")
        self.assertEqual((reply.status, reply.body), (200, b"done"))
        self.assertEqual(script.executed, {"/unsafe": 1})
        self.assertEqual(len(upstream.wires), 2)

    def test_running_streams_outlive_a_goaway(self):
        may_end = threading.Event()
        self.addCleanup(may_end.set)

        def script(connection):
            message = connection.read_request()
            connection.send(response(headers=[("Content-Length", "10")], length=False) + b"12345")
            if message.target == "/running":
                may_end.wait(harness.DEADLINE)
            connection.send(b"67890")

        upstream = self.upstream(script)
        proxy = self.outrigger(upstream, workers=1)
        running = self.client(proxy)
        running.send(request(target="/running"))
        running.read_until(b"12345")
        wire = upstream.wires[0]
        wire.goaway_after(upstream.connections[0].stream_id)
        harness.eventually(lambda: self.client(proxy).get().body == b"1234567890" and len(upstream.wires) > 1,
                           "others are asked on another connection")
        self.assertFalse(wire.is_closed)
        may_end.set()
        self.assertEqual(running.read_exactly(5), b"67890")
        harness.eventually(lambda: wire.is_closed, "the connection ends with its last stream")

    def test_a_lost_connection_fails_all_of_its_requests(self):
        everybody = threading.Barrier(10)

        def script(connection):
            connection.read_request()
            everybody.wait(harness.DEADLINE)
            connection.wire.close()

        upstream = self.upstream(script)
        proxy = self.outrigger(upstream, workers=1, filters=[])
        for reply in self.together(proxy, 10, method="POST"):
            self.assert_local_reply(reply, 502, "upstream_reset")
        self.assertEqual(len(upstream.wires), 1)
        self.assert_idle(proxy)

    def test_a_service_that_closes_when_the_next_request_comes(self):
        def close_when_used(connection, _message):
            if connection.wire is upstream.wires[0] and connection.stream_id > 1:
                connection.wire.close()
                return True
            return False

        script = Counting(close_when_used)
        upstream = self.upstream(script)
        proxy = self.outrigger(upstream, workers=1)
        client = self.client(proxy)
        self.assertEqual(client.get("/0").body, b"done")
        self.assertEqual(client.get("/1").body, b"done")
        self.assertEqual(script.executed, {"/0": 1, "/1": 1})
        self.assertEqual(len(upstream.wires), 2)

    def test_a_service_that_does_not_greet_is_no_service(self):
        upstream = harness.ScriptedUpstream(lambda connection: connection.close())
        self.addCleanup(upstream.stop)
        for protocol_of, script in {"closes": lambda c: None, "speaks HTTP/1": answering(response(b"x"))}.items():
            with self.subTest(protocol_of):
                upstream = harness.ScriptedUpstream(script)
                self.addCleanup(upstream.stop)
                proxy = self.outrigger(upstream, upstream_options={"protocol": "http2"}, filters=[])
                reply = self.client(proxy).post("/", b"x")
                self.assert_local_reply(reply, 503, "connect_fail")


class Streams(Http2Test):
    def test_a_client_that_leaves_cancels_its_stream_alone(self):
        may_end = threading.Event()
        self.addCleanup(may_end.set)

        def script(connection):
            message = connection.read_request()
            if message.target == "/left":
                harness.eventually(connection.has_ended, "the proxy cancels")
                return
            may_end.wait(harness.DEADLINE)
            connection.send(response(b"x"))

        upstream = self.upstream(script)
        proxy = self.outrigger(upstream, workers=1)
        stays, leaves = self.client(proxy), self.client(proxy)
        stays.send(request(target="/stays"))
        leaves.send(request(target="/left"))
        harness.eventually(lambda: len(upstream.requests) == 2, "both are asked")
        leaves.close()
        left = next(c for c in upstream.connections if c.requests[0].target == "/left")
        harness.eventually(left.has_ended, "the stream is cancelled")
        self.assertEqual(left.reset_code, h2.errors.ErrorCodes.CANCEL)
        may_end.set()
        self.assertEqual(stays.read_response().body, b"x")
        self.assertEqual(len(upstream.open_wires()), 1)
        self.assert_idle(proxy)

    def test_a_complete_answer_ends_an_upload(self):
        def script(connection):
            connection.read_head()
            connection.send(response(b"enough"))
            connection.is_over = False  # what is announced is not read
            connection.reset(h2.errors.ErrorCodes.NO_ERROR)

        upstream = self.upstream(script)
        proxy = self.outrigger(upstream, workers=1)
        client = self.client(proxy)
        client.send(request("POST", headers=[("Content-Length", "1000000")]) + b"x" * 1000)
        reply = client.read_response()
        self.assertEqual((reply.status, reply.body), (200, b"enough"))
        self.assert_idle(proxy)
        self.assertEqual(len(upstream.open_wires()), 1)

    def test_fields_of_requests(self):
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.outrigger(upstream)
        self.client(proxy).post("/p?q=1", b"x", [("TE", "trailers"), ("Connection", "TE, X-Hop"), ("X-Hop", "1"),
                                                  ("Keep-Alive", "x"), ("Cookie", "a=1; b=2"), ("X-Two", "1"),
                                                  ("X-Two", "2")])
        fields = upstream.connections[0].fields
        self.assertEqual(fields[:4], [(":method", "POST"), (":scheme", "https" if self.is_tls else "http"),
                                      (":authority", "a"), (":path", "/p?q=1")])
        names = [name for name, _ in fields]
        self.assertIn(("te", "trailers"), fields)
        self.assertIn(("content-length", "1"), fields)
        self.assertIn(("cookie", "a=1; b=2"), fields)
        self.assertEqual([value for name, value in fields if name == "x-two"], ["1", "2"])
        self.assertEqual(set(names) & {"connection", "keep-alive", "x-hop", "host", "transfer-encoding"}, set())
        self.assertEqual(names, [name.lower() for name in names])

    def test_an_answer_of_trailers_only(self):
        """As of gRPC: a head that ends the stream."""
        script = answering(response(status="200 OK", headers=[("grpc-status", "12"), ("Content-Length", "0")],
                                    length=False))
        reply = self.client(self.outrigger(self.upstream(script))).post("/", b"x")
        self.assertEqual((reply.status, reply.body, reply.get("grpc-status")), (200, b"", "12"))


class Violations(Http2Test):
    """Hand-made frames behind the settings."""

    def ask(self, data, method="POST", end=None):
        def script(connection):
            connection.send(frame(SETTINGS))
            connection.read_until(b"\r\n\r\nSM\r\n\r\n")
            while connection.read_exactly(9)[3] != HEADERS:
                connection.read_exactly(int.from_bytes(connection.taken[:3], "big"))
            connection.send(data)
            if end:
                connection.close()
            else:
                connection.read_to_end()

        class Taking(harness.UpstreamConnection):
            def read_exactly(self, count):
                self.taken = super().read_exactly(count)
                return self.taken

        original = harness.UpstreamConnection
        harness.UpstreamConnection = Taking
        self.addCleanup(setattr, harness, "UpstreamConnection", original)
        upstream = harness.ScriptedUpstream(script)
        self.addCleanup(self._stop_upstream, upstream)
        proxy = self.outrigger(upstream, upstream_options={"protocol": "http2"}, filters=[])
        client = self.client(proxy)
        client.send(request(method, "/", b"x" if method == "POST" else None))
        return proxy, client.read_response(method)

    def test_before_the_answer_they_become_502(self):
        big = "y" * 20000
        cases = {
            "no status": head(("a", "b"), status=None),
            "status of two digits": head(status="20"),
            "status 600": head(status="600"),
            "101": head(status="101"),
            "status twice": head((":status", "200")),
            "status behind": head(("a", "b"), (":status", "200"), status=None),
            "unknown pseudo-field": head((":path", "/")),
            "capital": head(("X-A", "b")),
            "connection": head(("connection", "close")),
            "transfer-encoding": head(("transfer-encoding", "chunked")),
            "bad name": head(("a b", "c")),
            "line break": head(("a", "b\r\nc: d")),
            "NUL": head(("a", "b\0")),
            "two lengths": head(("content-length", "1"), ("content-length", "2")),
            "bad length": head(("content-length", "+1")),
            "length without a body": head(("content-length", "5"), flags=END_HEADERS | END_STREAM),
            "interim that ends": head(status="103", flags=END_HEADERS | END_STREAM),
            "data before the head": frame(DATA, 0, 1, b"x"),
            "data on an idle stream": frame(DATA, 0, 7, b"x"),
            "even stream": head(stream=2),
            "bad frame": frame(PING, 0, 0, b"x"),
            "frame too large": frame(DATA, 0, 1, b"x" * 16385),
            "bad HPACK": frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
            "window overflow": frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
            "zero window": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
            "too many fields": head(*[("a", "b")] * 200),
            "head too large": head(flags=0) + b"".join(
                frame(CONTINUATION, END_HEADERS if i == 4 else 0, 1,
                      hpack.Encoder().encode([(f"x{i}", big[:16000])], huffman=False)) for i in range(5)),
            "endless continuations": head(flags=0) + frame(CONTINUATION, 0, 1, b"") * 1000,
            "not HTTP/2": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        }
        for name, data in cases.items():
            with self.subTest(name):
                proxy, reply = self.ask(data)
                self.assert_local_reply(reply, 502, "upstream_protocol")
                self.assert_idle(proxy)

    def test_a_push_is_refused_and_does_no_harm(self):
        push = frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + hpack.Encoder().encode([(":method", "GET")]))
        _, reply = self.ask(push + head(flags=END_HEADERS | END_STREAM))
        self.assertEqual((reply.status, reply.body), (200, b""))

    def test_resets_become_502_and_are_told_from_violations(self):
        for code in (0, 1, 2, 8, 11, 13, 99):
            with self.subTest(code):
                proxy, reply = self.ask(frame(RST_STREAM, 0, 1, code.to_bytes(4, "big")))
                self.assert_local_reply(reply, 502, "upstream_reset")
                self.assert_idle(proxy)

    def test_a_goaway_that_ends_all_becomes_502(self):
        proxy, reply = self.ask(frame(GOAWAY, 0, 0, b"\0\0\0\1" + b"\0\0\0\2"), end=True)
        self.assert_local_reply(reply, 502, "upstream_reset")
        self.assert_idle(proxy)

    def test_in_the_body_they_are_seen_as_cut(self):
        with_length = head(("content-length", "5"))
        cases = {
            "too short": with_length + frame(DATA, END_STREAM, 1, b"1234"),
            "too long": with_length + frame(DATA, END_STREAM, 1, b"123456"),
            "reset": with_length + frame(DATA, 0, 1, b"123") + frame(RST_STREAM, 0, 1, b"\0\0\0\2"),
            "reset of unknown length": head() + frame(DATA, 0, 1, b"123") + frame(RST_STREAM, 0, 1, b"\0\0\0\0"),
            "second head": head() + frame(DATA, 0, 1, b"123") + head(),
            "trailers with a status": head() + frame(DATA, 0, 1, b"1") + head(flags=END_HEADERS | END_STREAM),
            "trailer of framing": head() + frame(DATA, 0, 1, b"1") + head(
                ("content-length", "1"), status=None, flags=END_HEADERS | END_STREAM),
            "goaway and close": head() + frame(DATA, 0, 1, b"1") + frame(GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\0"),
        }
        for name, data in cases.items():
            with self.subTest(name):
                try:
                    proxy, reply = self.ask(data, end=name == "goaway and close")
                except EOFError:
                    self.assertTrue(self.is_http2)  # where a reset may overtake the head
                    continue
                self.assertTrue(reply.is_cut or reply.status == 502, reply)
                self.assert_idle(proxy)


class Nghttpd(harness.TestCase):
    """A server by other hands."""

    def start(self, *options):
        with open(os.path.join(self.folder, "file.txt"), "w", encoding="ascii") as file:
            file.write("hello\n" * 100000)
        program = harness.Program(["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", self.folder, *options, "0"], "nghttpd")
        self.addCleanup(program.kill)
        port = harness.eventually(lambda: harness.listening_port(program.pid), "nghttpd listens")
        return self.outrigger(f"127.0.0.1:{port}", upstream_options={"protocol": "http2"})

    def test_files_and_what_is_not_there(self):
        proxy = self.start()
        client = self.client(proxy)
        reply = client.get("/file.txt")
        self.assertEqual((reply.status, reply.body), (200, b"hello\n" * 100000))
        self.assertEqual(client.ask("HEAD", "/file.txt").get("content-length"), "600000")
        self.assertEqual(client.get("/nothing").status, 404)

    def test_echo(self):
        proxy = self.start("--echo-upload")
        client = self.client(proxy)
        body = b"z" * 3000000
        client.send(request("POST", "/", body))
        self.assertEqual(client.read_response().body, body)
        client.send(request("POST", "/", headers=[("Transfer-Encoding", "chunked")]) + chunks([b"ab", b"c" * 70000]))
        reply = client.read_response()
        self.assertEqual(reply.body, b"ab" + b"c" * 70000)

    def test_sixteen_slow_readers_leave_the_next_one_at_full_speed(self):
        size = 32 << 20
        with open(os.path.join(self.folder, "big.bin"), "wb") as file:
            file.truncate(size)
        proxy = self.start()
        before = proxy.rss_kib()

        def seconds():
            """The best of some: other work disturbs them."""
            best = math.inf
            for _ in range(5):
                client = self.client(proxy)
                began = time.monotonic()
                client.send(request(target="/big.bin"))
                client.read_until(b"\r\n\r\n")
                self.assertEqual(len(client.read_exactly(size)), size)
                best = min(best, time.monotonic() - began)
                client.close()
            return best

        for _ in range(4):
            alone = seconds()
            slow = [self.connect(proxy, receive_buffer=4096) for _ in range(16)]
            for client in slow:
                client.send(request(target="/big.bin"))
                client.read_until(b"\r\n\r\n")
            beside = seconds()
            proxy.wait_metric("upstream_connections", 1, upstream="app")  # observed once a second
            grown = proxy.rss_kib() - before
            for client in slow:
                client.close()
            if beside < 1.5 * alone:
                break
        print(f"32 MiB alone: {alone:.3f} s, beside 16 that nobody reads: {beside:.3f} s; {grown} KiB more", flush=True)
        if not harness.IS_INSTRUMENTED:
            self.assertLess(beside, 1.5 * alone)
            self.assertLess(grown, 16 * 128 + 2048)
        self.assert_idle(proxy)

    def test_small_windows(self):
        proxy = self.start("--echo-upload", "-w", "4", "-W", "5")
        body = b"z" * 300000
        self.assertEqual(self.client(proxy).post("/", body).body, body)


harness.also_over_http2(globals(), Sharing, Ends, Streams, Violations, Nghttpd, without=[
    "test_fields_of_requests",
    "test_sixteen_slow_readers_leave_the_next_one_at_full_speed",  # the client of the tests is not that fast
])

harness.also_over_tls(globals(), Sharing, Ends, Streams)

if __name__ == "__main__":
    unittest.main()
