"""Well-formed requests through the real binary: framing, persistence, interim and early answers. Written down as
HTTP/1.1, and all that is not about HTTP/1 itself is asked over HTTP/2, too."""

import hashlib
import json
import random
import threading
import unittest

import harness
from harness import answering, chunked, chunks, request, response


def echo(message):
    """Tells what arrived."""
    told = {"line": message.start_line, "headers": message.headers, "trailers": message.trailers,
            "length": len(message.body), "sha256": hashlib.sha256(message.body).hexdigest()}
    return response(json.dumps(told).encode())


class Persistence(harness.TestCase):
    def test_requests_share_the_connections_of_both_sides(self):
        upstream = self.upstream(answering(lambda m: response(m.target.encode())))
        proxy = self.outrigger(upstream)
        client = self.client(proxy)
        for i in range(20):
            reply = client.get(f"/{i}")
            self.assertEqual((reply.status, reply.body), (200, b"/%d" % i))
        self.assertEqual(upstream.accepted, 1)

    def test_pipelined_requests_are_answered_in_order(self):
        upstream = self.upstream(answering(lambda m: response(m.target.encode() + b"=" + m.body)))
        proxy = self.outrigger(upstream)
        client = self.client(proxy)
        sent, wanted = b"", []
        for i in range(10):
            if i % 3 == 0:
                sent += request("GET", f"/{i}")
                wanted.append(b"/%d=" % i)
            elif i % 3 == 1:
                body = b"x" * (i * 700)
                sent += request("POST", f"/{i}", body)
                wanted.append(b"/%d=" % i + body)
            else:
                sent += request("POST", f"/{i}", headers=[("Transfer-Encoding", "chunked")])
                sent += chunks([b"ab", b"c" * i])
                wanted.append(b"/%d=ab" % i + b"c" * i)
        client.send(sent)
        self.assertEqual([client.read_response().body for _ in wanted], wanted)

    def test_pipelined_requests_do_not_overtake_a_slow_answer(self):
        release = threading.Event()

        def script(connection):
            while True:
                message = connection.read_request()
                if message.target == "/slow":
                    release.wait(harness.DEADLINE)
                connection.send(response(message.target.encode()))

        upstream = self.upstream(script)
        client = self.client(self.outrigger(upstream))
        client.send(request(target="/slow") + request(target="/fast"))
        harness.eventually(lambda: upstream.requests, "the first request arrives")
        release.set()
        self.assertEqual([client.read_response().body for _ in range(2)], [b"/slow", b"/fast"])

    def test_more_pipelined_requests_than_a_buffer_holds_lose_nothing(self):
        """They come while the first is at work; the first with a body whose end lies among them, too."""
        for first in (request(target="/slow"), request("POST", "/slow", b"x" * 20000),
                      request("POST", "/slow", headers=[("Transfer-Encoding", "chunked")]) + chunks([b"y" * 9000] * 3)):
            release = threading.Event()

            def script(connection, release=release):
                while True:
                    message = connection.read_request()
                    if message.target == "/slow":
                        release.wait(harness.DEADLINE)
                    connection.send(response(message.target.encode()))

            upstream = self.upstream(script)
            proxy = self.outrigger(upstream)
            client = self.client(proxy)
            rest = [b"/%d" % i for i in range(600)]
            client.send(first + b"".join(request(target=target.decode(), headers=[("Pad", "z" * 100)])
                                         for target in rest))
            harness.eventually(lambda upstream=upstream: upstream.requests, "the first request arrives")
            proxy.wait_metric("in_flight_requests", 1)
            release.set()
            self.assertEqual([client.read_response().body for _ in range(601)], [b"/slow", *rest])

    def test_a_head_split_at_every_byte_is_read(self):
        upstream = self.upstream(answering(echo))
        client = self.client(self.outrigger(upstream))
        sent = request("POST", "/x?y", b"hello", [("A", "b")])
        for cut in range(1, len(sent)):
            client.send(sent[:cut])
            client.send(sent[cut:])
            self.assertEqual(client.read_response().json()["length"], 5, f"cut at {cut}")

    def test_connection_close_is_obeyed(self):
        upstream = self.upstream(answering(response(b"x")))
        client = self.client(self.outrigger(upstream))
        reply = client.get(headers=[("Connection", "close")])
        self.assertEqual((reply.body, reply.get("connection")), (b"x", "close"))
        self.assertEqual(client.read_to_end(), (b"", True))

    def test_the_services_close_ends_only_its_own_connection(self):
        def script(connection):
            connection.read_request()
            connection.send(response(b"x", headers=[("Connection", "close")]))

        upstream = self.upstream(script)
        client = self.client(self.outrigger(upstream))
        for _ in range(3):
            reply = client.get()
            self.assertEqual((reply.status, reply.body, reply.get("connection")), (200, b"x", None))
        self.assertEqual(len(upstream.connections), 3)


class Http10(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.service = self.upstream(answering(echo))
        self.proxy = self.outrigger(self.service)

    def test_without_host_and_keep_alive_the_connection_ends(self):
        client = self.client(self.proxy)
        client.send(b"GET /a HTTP/1.0\r\n\r\n")
        reply = client.read_response()
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.json()["line"], "GET /a HTTP/1.1")
        self.assertEqual(client.read_to_end(), (b"", True))
        # What goes on as HTTP/1.1 must have one (RFC 9112, 3.2).
        self.assertIn(["Host", "localhost"], reply.json()["headers"])

    def test_the_host_of_an_absolute_target_is_kept(self):
        client = self.client(self.proxy)
        client.send(b"GET http://b.example/a HTTP/1.0\r\n\r\n")
        told = client.read_response().json()
        self.assertEqual(told["line"], "GET /a HTTP/1.1")
        self.assertIn(["Host", "b.example"], told["headers"])

    def test_keep_alive_must_be_asked_for(self):
        client = self.client(self.proxy)
        for _ in range(3):
            client.send(b"GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            reply = client.read_response()
            self.assertEqual(reply.get("connection"), "keep-alive")

    def test_an_answer_of_unknown_length_ends_with_the_connection(self):
        upstream = self.upstream(answering(chunked([b"abc", b"def"], [("T", "1")])))
        client = self.client(self.outrigger(upstream))
        client.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        reply = client.read_response()
        self.assertEqual((reply.body, reply.is_cut), (b"abcdef", False))
        self.assertIsNone(reply.get("transfer-encoding"))

    def test_no_interim_answer_is_sent(self):
        def script(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + response(b"x"))

        client = self.client(self.outrigger(self.upstream(script)))
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(client.read_response().informational, [])


class Framing(harness.TestCase):
    def test_chunked_both_ways_with_trailers(self):
        def script(connection):
            message = connection.read_request()
            told = json.dumps({"body": message.body.decode(), "trailers": message.trailers})
            connection.send(chunked([told.encode()], [("X-Digest", "abc"), ("X-Two", "2")],
                                    [("Trailer", "X-Digest, X-Two")]))

        upstream = self.upstream(script)
        client = self.client(self.outrigger(upstream))
        client.send(request("POST", "/", headers=[("Transfer-Encoding", "chunked"), ("TE", "trailers")]))
        client.send(chunks([b"one", b"two", b"three"], [("X-Sum", "11")]))
        reply = client.read_response()
        told = reply.json()
        self.assertEqual(told["body"], "onetwothree")
        self.assertEqual([[name.title(), value] for name, value in told["trailers"]], [["X-Sum", "11"]])
        self.assertEqual([(name.title(), value) for name, value in reply.trailers],
                         [("X-Digest", "abc"), ("X-Two", "2")])

    def test_head_has_the_length_and_no_body(self):
        def script(connection):
            while True:
                message = connection.read_request()
                whole = response(b"hello", headers=[("X-Method", message.method)])
                connection.send(whole[:-5] if message.method == "HEAD" else whole)

        upstream = self.upstream(script)
        client = self.client(self.outrigger(upstream))
        reply = client.ask("HEAD", "/")
        self.assertEqual((reply.get("content-length"), reply.get("x-method")), ("5", "HEAD"))
        self.assertEqual(client.get("/").body, b"hello")
        self.assertEqual(upstream.accepted, 1)

    def test_head_of_a_chunked_resource(self):
        head_only = response(headers=[("Transfer-Encoding", "chunked")], length=False)
        upstream = self.upstream(
            answering(lambda m: head_only if m.method == "HEAD" else chunked([b"hello"])))
        client = self.client(self.outrigger(upstream))
        client.ask("HEAD", "/")
        self.assertEqual(client.get("/").body, b"hello")

    def test_204_and_304_have_no_body(self):
        answers = {"/204": b"HTTP/1.1 204 No Content\r\n\r\n",
                   "/304": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 5\r\n\r\n',
                   "/200": response(b"hello")}
        upstream = self.upstream(answering(lambda m: answers[m.target]))
        client = self.client(self.outrigger(upstream))
        self.assertEqual(client.get("/204").status, 204)
        reply = client.get("/304")
        self.assertEqual((reply.status, reply.get("etag")), (304, '"x"'))
        self.assertEqual(client.get("/200").body, b"hello")
        self.assertEqual(upstream.accepted, 1)

    def test_an_answer_that_ends_with_its_connection_is_passed_as_chunks(self):
        def script(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nhello ")
            connection.send(b"world")

        client = self.client(self.outrigger(self.upstream(script)))
        for _ in range(2):
            reply = client.get()
            self.assertEqual((reply.body, reply.is_cut), (b"hello world", False))
            self.assertEqual(reply.get("transfer-encoding"), "chunked")

    def test_stated_zero_length_is_passed_on(self):
        client = self.client(self.outrigger(self.upstream(answering(echo))))
        told = client.post("/", b"").json()
        self.assertIn(["Content-Length", "0"], [[n.title(), v] for n, v in told["headers"]])

    def test_bodies_arrive_byte_for_byte(self):
        seed = random.SystemRandom().randrange(1 << 32)
        print(f"seed {seed}")
        rng = random.Random(seed)
        body = rng.randbytes(3 << 20)
        digest = hashlib.sha256(body).hexdigest()

        def pieces(least=1):
            at = 0
            while at < len(body):
                size = rng.choice([1, 2, 100, 4095, 4096, 4097, 16384, 70000, 300000])
                size = max(least, rng.randint(1, size))
                yield body[at:at + size]
                at += size

        def script(connection):
            while True:
                message = connection.read_request()
                if message.method == "POST":
                    connection.send(echo(message))
                elif message.target == "/length":
                    connection.send(response(headers=[("Content-Length", str(len(body)))], length=False))
                    for piece in pieces(1000):
                        connection.send(piece)
                else:
                    connection.send(chunked(pieces(20)))

        client = self.client(self.outrigger(self.upstream(script)))
        for _ in range(2):
            client.send(request("POST", "/", headers=[("Content-Length", str(len(body)))]))
            for piece in pieces(1000):
                client.send(piece)
            self.assertEqual(client.read_response().json()["sha256"], digest, f"seed {seed}")
            client.send(request("POST", "/", headers=[("Transfer-Encoding", "chunked")]))
            client.send(chunks(pieces(20)))
            self.assertEqual(client.read_response().json()["sha256"], digest, f"seed {seed}")
            self.assertEqual(hashlib.sha256(client.get("/length").body).hexdigest(), digest, f"seed {seed}")
            self.assertEqual(hashlib.sha256(client.get("/chunked").body).hexdigest(), digest,
                             f"seed {seed}")


class InterimAnswers(harness.TestCase):
    def test_100_continue_comes_from_the_service(self):
        may_continue = threading.Event()

        def script(connection):
            message = connection.read_head()
            self.assertEqual(message.get("expect"), "100-continue")
            may_continue.wait(harness.DEADLINE)
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.send(response(connection.read_exactly(5)))

        upstream = self.upstream(script)
        client = self.client(self.outrigger(upstream))
        client.send(request("POST", headers=[("Content-Length", "5"), ("Expect", "100-continue")]))
        harness.eventually(lambda: upstream.requests, "the head arrives before the body")
        may_continue.set()
        self.assertEqual(client.read_until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"hello")
        self.assertEqual(client.read_response().body, b"hello")

    def test_a_service_that_never_says_100_gets_the_body_all_the_same(self):
        def script(connection):
            connection.read_head()
            connection.send(response(connection.read_exactly(5)))

        client = self.client(self.outrigger(self.upstream(script)))
        client.send(request("POST", headers=[("Content-Length", "5"), ("Expect", "100-continue")]))
        self.assertEqual(client.read_until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"hello")
        self.assertEqual(client.read_response().body, b"hello")

    def test_a_refusal_in_place_of_100_is_passed_on(self):
        def script(connection):
            connection.read_head()
            connection.send(response(b"no", "417 Expectation Failed"))

        client = self.client(self.outrigger(self.upstream(script)))
        client.send(request("POST", headers=[("Content-Length", "5"), ("Expect", "100-continue")]))
        reply = client.read_response()
        self.assertEqual((reply.status, reply.body, reply.informational), (417, b"no", []))

    def test_early_hints_are_forwarded(self):
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
        upstream = self.upstream(answering(hints + hints + response(b"x")))
        client = self.client(self.outrigger(upstream))
        for _ in range(2):
            reply = client.get()
            self.assertEqual([(m.status, m.get("link")) for m in reply.informational],
                             [(103, "</style.css>; rel=preload")] * 2)
            self.assertEqual(reply.body, b"x")


class EarlyAnswers(harness.TestCase):
    def test_the_client_gets_the_whole_answer_before_the_connection_ends(self):
        body = b"n" * 100000

        def script(connection):
            connection.read_head()
            connection.send(response(body, "413 Content Too Large", [("Connection", "close")]))

        client = self.client(self.outrigger(self.upstream(script)))
        client.send(request("POST", headers=[("Content-Length", "1000000")]) + b"x" * 1000)
        reply = client.read_response()
        self.assertEqual((reply.status, reply.body, reply.get("connection")), (413, body, "close"))
        # An orderly end: our own bytes may still be on their way and must not cause a reset that
        # overtakes the answer.
        self.assertEqual(client.read_to_end(), (b"", True))

    def test_the_client_may_go_on_sending_meanwhile(self):
        def script(connection):
            connection.read_head()
            connection.send(response(b"no", "413 Content Too Large"))
            connection.read_to_end()

        client = self.client(self.outrigger(self.upstream(script)))
        client.send(request("POST", headers=[("Content-Length", str(1 << 24))]))
        sender = threading.Thread(target=self._send_all, args=(client, b"x" * (1 << 22)))
        sender.start()
        reply = client.read_response()
        self.assertEqual((reply.status, reply.body), (413, b"no"))
        client.close()
        sender.join()

    @staticmethod
    def _send_all(client, data):
        try:
            client.send(data)
        except OSError:
            pass  # the proxy need not take all of it

    def test_the_services_connection_is_not_used_again(self):
        def script(connection):
            while True:
                connection.read_head()
                connection.send(response(b"early"))

        upstream = self.upstream(script)
        proxy = self.outrigger(upstream)
        first = self.client(proxy)
        first.send(request("POST", headers=[("Content-Length", "1000000")]) + b"x" * 10)
        self.assertEqual(first.read_response().body, b"early")
        self.assertEqual(self.client(proxy).get().body, b"early")
        self.assertEqual(len(upstream.connections), 2)


class HalfClose(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.release = threading.Event()
        self.addCleanup(self.release.set)

        def script(connection):
            while True:
                connection.read_request()
                self.release.wait(harness.DEADLINE)
                connection.send(response(b"late"))

        self.service = self.upstream(script)

    def test_a_client_that_closes_its_side_is_gone(self):
        proxy = self.outrigger(self.service)
        client = self.client(proxy)
        client.send(request())
        harness.eventually(lambda: self.service.requests, "the request arrives")
        client.half_close()
        harness.read_ended(self.service.connections[0])
        self.assert_idle(proxy)

    def test_an_honest_half_closer_can_be_allowed(self):
        proxy = self.outrigger(self.service, listener={"half_close": "allow"})
        client = self.client(proxy)
        client.send(request())
        harness.eventually(lambda: self.service.requests, "the request arrives")
        client.half_close()
        self.release.set()
        self.assertEqual(client.read_response().body, b"late")
        self.assertEqual(client.read_to_end(), (b"", True))

    def test_the_whole_request_and_the_fin_in_one_go(self):
        proxy = self.outrigger(self.service, listener={"half_close": "allow"})
        self.release.set()
        for body in (b"", b"x" * 20000):
            client = self.client(proxy)
            client.send(request("POST", "/", body))
            client.half_close()
            self.assertEqual(client.read_response().body, b"late", len(body))


class IdleConnections(harness.TestCase):
    def test_a_service_that_closes_idle_connections_causes_no_error(self):
        """Closes at its own pleasure after each answer, without having said so."""
        rng = random.Random(7)

        def script(connection):
            while True:
                connection.read_request()
                connection.send(response(b"x"))
                if rng.random() < 0.3:
                    return

        upstream = self.upstream(script)
        proxy = self.outrigger(upstream, filters=[])  # without retries
        client = self.client(proxy)
        for i in range(2000):
            reply = client.get(f"/{i}")
            self.assertEqual((reply.status, reply.body), (200, b"x"), i)
        self.assertGreater(len(upstream.connections), 100)

    def test_a_service_that_closes_when_the_next_request_comes(self):
        """The race itself: the request is on its way when the close happens."""

        def script(connection):
            connection.read_request()
            connection.send(response(b"x"))
            connection.read_until(b"\r\n\r\n")
            if connection.number % 2 == 0:
                connection.reset()

        upstream = self.upstream(script)
        client = self.client(self.outrigger(upstream, filters=[]))
        for i in range(50):
            self.assertEqual(client.get(f"/{i}").status, 200, i)

    def test_an_unsafe_request_is_not_sent_twice(self):
        def script(connection):
            connection.read_request()
            connection.send(response(b"x"))
            connection.read_request()
            connection.reset()

        upstream = self.upstream(script)
        client = self.client(self.outrigger(upstream))
        self.assertEqual(client.post("/pay", b"1").status, 200)
        self.assert_local_reply(client.post("/pay", b"2"), 502, "upstream_reset")
        self.assertEqual([m.body for m in upstream.requests], [b"1", b"2"])


class UnixSockets(harness.TestCase):
    def test_on_both_sides(self):
        upstream = self.upstream(answering(echo), path=f"{self.folder}/app.sock")
        proxy = self.outrigger(upstream, listener={"address": f"unix:{self.folder}/in.sock"})
        client = self.client(proxy)
        for body in (b"x", b"y" * 200000):
            told = client.post("/", body).json()
            self.assertEqual(told["length"], len(body))
        self.assertEqual(upstream.accepted, 1)


harness.also_over_http2(globals(), Persistence, Framing, InterimAnswers, EarlyAnswers, HalfClose, IdleConnections, UnixSockets, without=[
    "test_connection_close_is_obeyed",
    "test_more_pipelined_requests_than_a_buffer_holds_lose_nothing",
    "test_the_client_gets_the_whole_answer_before_the_connection_ends",
])

harness.also_to_http2(globals(), Persistence, Framing, InterimAnswers, EarlyAnswers, HalfClose, IdleConnections, UnixSockets, without=[
    "test_connection_close_is_obeyed",
    "test_more_pipelined_requests_than_a_buffer_holds_lose_nothing",
    # Of streams; test_http2_upstream.Ends has its counterpart.
    "test_an_unsafe_request_is_not_sent_twice",
    "test_an_answer_that_ends_with_its_connection_is_passed_as_chunks",
    "test_the_client_gets_the_whole_answer_before_the_connection_ends",
    "test_the_services_connection_is_not_used_again",
])

harness.also_over_tls(globals(), Framing, InterimAnswers, EarlyAnswers, without=[
    "test_an_answer_that_ends_with_its_connection_is_passed_as_chunks",
    "test_the_client_gets_the_whole_answer_before_the_connection_ends",
    "test_the_services_connection_is_not_used_again",
])
harness.also_http1_over_tls(globals(), Persistence, Http10, Framing, InterimAnswers, EarlyAnswers, HalfClose, IdleConnections, without=[
    # Python's TLS does not read what came before it ended its own side.
    "test_the_whole_request_and_the_fin_in_one_go",
])

if __name__ == "__main__":
    unittest.main()
