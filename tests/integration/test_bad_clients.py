"""Clients that send what is malformed, ambiguous, too big or too slow."""

import threading
import unittest

import harness
from harness import answering, chunks, request, response

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

# Heads by which one party of a chain was made to see another message than the next.
SMUGGLING = {
    "CL.TE": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"0\r\n\r\nG",
    "TE.CL": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
             b"12\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n",
    "TE.TE": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n",
    "TE list": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "TE with space": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "TE with tab": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "TE vertical tab": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "TE NUL": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n",
    "TE folded": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "TE in a fold": b"POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n",
    "TE behind LF": b"POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE behind CR": b"POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE first line": b"POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n\r\n0\r\n\r\n",
    "TE in 1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE identity": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n"
                   b"hello",
    "CL sign": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
    "CL negative": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "CL hex": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
    "CL list": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
    "CL twice": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "CL differs": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
    "CL overflow": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
    "CL empty": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
    "CL by Connection": b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\n"
                        b"Content-Length: 5\r\n\r\nhello",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "Host twice": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "Host differs": b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
    "Host with path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "only LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding chunked\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\nHost: a\r\nX\0Y: z\r\n\r\n",
    "strips Authorization": b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Authorization\r\n"
                            b"Authorization: x\r\n\r\n",
    "encoded slash": b"GET /a%2fb HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "encoded NUL": b"GET /a%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + bytes(160),
}

# Bodies whose end two readers would see at different places. The head is fine, so it may have been sent on;
# what must not happen is that the service takes the body as whole.
BAD_CHUNKS = {
    "size 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "size overflow": b"100000000000000005\r\nhello\r\n0\r\n\r\n",
    "size space": b"5 \r\nhello\r\n0\r\n\r\n",
    "line LF": b"5\nhello\r\n0\r\n\r\n",
    "extension LF": b"5;\nxx\r\nhello\r\n0\r\n\r\n",
    "extension CR": b"5;a\rxx\r\nhello\r\n0\r\n\r\n",
    "spill": b"5\r\nhelloXX0\r\n\r\n",
    "data LF": b"5\r\nhello\n0\r\n\r\n",
    "CL in trailers": b"0\r\nContent-Length: 50\r\n\r\n",
    "request in trailers": b"0\r\nGET /admin HTTP/1.1\r\n\r\n",
}


class Malformed(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.whole = []

        def script(connection):
            while True:
                message = connection.read_request()
                self.whole.append(message)
                connection.send(response(b"x"))

        self.service = self.upstream(script)
        self.proxy = self.outrigger(self.service)

    def assert_refused_and_closed(self, client, name, status=400, reason="bad_request"):
        reply = client.read_response()
        self.assert_local_reply(reply, status, reason)
        self.assertEqual(reply.get("connection"), "close", name)
        self.assertEqual(client.read_to_end(), (b"", True), name)

    def test_smuggling_is_refused_and_reaches_nobody(self):
        for name, sent in SMUGGLING.items():
            with self.subTest(name):
                client = self.client(self.proxy)
                client.send(sent + request(target="/smuggled"))
                self.assert_refused_and_closed(client, name)
        self.assertEqual(self.service.requests, [])
        self.assert_idle(self.proxy)
        self.assertEqual(self.client(self.proxy).get().status, 200)

    def test_a_body_with_bad_chunks_is_never_whole(self):
        for name, sent in BAD_CHUNKS.items():
            with self.subTest(name):
                client = self.client(self.proxy)
                client.send(CHUNKED + sent + request(target="/smuggled"))
                self.assert_refused_and_closed(client, name)
        self.assertEqual(self.whole, [])
        self.assertNotIn("/smuggled", [message.target for message in self.service.requests])
        self.assert_idle(self.proxy)

    def test_each_kind_of_refusal_has_its_status(self):
        cases = {
            "CONNECT": (b"CONNECT a:22 HTTP/1.1\r\nHost: a:22\r\n\r\n", 501, "not_implemented"),
            "coding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501,
                       "not_implemented"),
            "version 2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "http_version"),
            "version 1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "http_version"),
            "101 fields": (request(headers=[("X", "y")] * 101), 431, "headers_too_large"),
            "one huge field": (request(headers=[("X", "y" * 70000)]), 431, "headers_too_large"),
            "endless field": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70000, 431, "headers_too_large"),
            "endless target": (b"GET /" + b"a" * 70000, 414, "uri_too_long"),
        }
        for name, (sent, status, reason) in cases.items():
            with self.subTest(name):
                client = self.client(self.proxy)
                client.send(sent)
                self.assert_refused_and_closed(client, name, status, reason)
        self.assertEqual(self.service.requests, [])

    def test_big_heads_within_the_limits_pass(self):
        client = self.client(self.proxy)
        self.assertEqual(client.get(headers=[("X", "y")] * 95).status, 200)
        self.assertEqual(client.get(headers=[("X", "y" * 50000)]).status, 200)
        self.assertEqual(len(self.service.requests[-1].get("x")), 50000)
        self.assertEqual(client.get("/" + "a" * 4000).status, 200)

    def test_what_was_pipelined_before_garbage_is_answered(self):
        client = self.client(self.proxy)
        client.send(request(target="/1") + b"\x00garbage\r\n\r\n")
        self.assertEqual(client.read_response().status, 200)
        self.assert_refused_and_closed(client, "garbage")

    def test_refusals_are_counted_and_logged_without_what_was_sent(self):
        client = self.client(self.proxy)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nsecret word\r\n\r\n")
        self.assert_refused_and_closed(client, "no colon")
        event = self.proxy.wait_events("request_refused")[0]
        self.assertEqual((event["status"], event["reason"]), (400, "bad_request"))
        self.assertNotIn("secret", "\n".join(self.proxy.lines))


class ConfiguredLimits(harness.TestCase):
    def test_header_limits(self):
        proxy = self.outrigger(self.upstream(answering(response(b"x"))),
                               listener={"limits": {"headers": "2KiB", "header_count": 5}})
        self.assertEqual(self.client(proxy).get(headers=[("X", "y" * 1000)] + [("A", "b")] * 3).status, 200)
        self.assert_local_reply(self.client(proxy).get(headers=[("A", "b")] * 5), 431, "headers_too_large")
        self.assert_local_reply(self.client(proxy).get(headers=[("X", "y" * 2100)]), 431,
                                "headers_too_large")

    def test_body_limit(self):
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.outrigger(upstream, listener={"limits": {"body": "1KiB"}})
        self.assertEqual(self.client(proxy).post("/", b"x" * 1024).status, 200)
        self.assert_local_reply(self.client(proxy).post("/", b"x" * 1025), 413, "body_too_large")
        self.assertEqual(len(upstream.requests), 1)
        client = self.client(proxy)
        client.send(CHUNKED + chunks([b"x" * 600, b"x" * 600]))
        self.assert_local_reply(client.read_response(), 413, "body_too_large")

    def test_body_limit_by_content_type(self):
        upstream = self.upstream(answering(response(b"ok")))
        proxy = self.outrigger(upstream, listener={"limits": {
            "body": "1KiB", "body_by_type": {"image/png": "unlimited"}}})
        png = [("Content-Type", "Image/PNG; q=1")]
        self.assertEqual(self.client(proxy).post("/", b"x" * 4096, png).status, 200)
        text = [("Content-Type", "text/plain")]
        self.assert_local_reply(self.client(proxy).post("/", b"x" * 4096, text), 413,
                                "body_too_large")


class Slow(harness.TestCase):
    def test_a_head_that_trickles_ends_in_408(self):
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.outrigger(upstream, listener={"limits": {"header_timeout": "300ms"}})
        client = self.client(proxy)
        stop = threading.Event()

        def trickle():
            try:
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
                while not stop.wait(0.02):
                    client.send(b"y")
            except OSError:
                pass

        thread = threading.Thread(target=trickle)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)
        reply = client.read_response()
        self.assert_local_reply(reply, 408, "request_timeout")
        self.assertEqual((reply.get("connection"), reply.get("x-should-retry")), ("close", "true"))
        self.assertEqual(upstream.requests, [])

    def test_a_body_that_stalls_ends_in_408(self):
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.outrigger(upstream, listener={"limits": {"body_idle_timeout": "200ms"}})
        client = self.client(proxy)
        client.send(request("POST", headers=[("Content-Length", "10")]) + b"12345")
        self.assert_local_reply(client.read_response(), 408, "request_timeout")
        # The service must not take half a body for a whole one.
        harness.eventually(lambda: upstream.connections, "the head arrives")
        harness.read_ended(upstream.connections[0])
        self.assert_idle(proxy)

    def test_a_body_that_trickles_faster_than_the_timeout_is_served(self):
        upstream = self.upstream(answering(lambda m: response(m.body)))
        proxy = self.outrigger(upstream, listener={"limits": {"body_idle_timeout": "2s"}})
        client = self.client(proxy)
        client.send(request("POST", headers=[("Content-Length", "30")]))
        waits = threading.Event()
        for _ in range(30):
            client.send(b"z")
            waits.wait(0.005)
        self.assertEqual(client.read_response().body, b"z" * 30)

    def test_an_idle_connection_is_closed(self):
        proxy = self.outrigger(self.upstream(answering(response(b"x"))),
                               listener={"limits": {"idle_timeout": "200ms"}})
        client = self.client(proxy)
        self.assertEqual(client.get().status, 200)
        self.assertEqual(client.read_to_end(), (b"", True))

    def test_a_client_that_does_not_read_is_cut(self):
        upstream = self.upstream(answering(response(b"x" * (32 << 20))))
        proxy = self.outrigger(upstream, listener={"limits": {"write_idle_timeout": "300ms"}})
        client = self.client(proxy, receive_buffer=4096)
        client.send(request())
        harness.eventually(lambda: upstream.connections, "the request arrives")
        proxy.wait_metric("in_flight_requests", 1)
        proxy.wait_metric("in_flight_requests", 0)
        harness.read_ended(upstream.connections[0])
        self.assertTrue(client.read_response().is_cut)


harness.also_over_http2(globals(), ConfiguredLimits, Slow, without=[
    "test_a_head_that_trickles_ends_in_408",
])
harness.also_to_http2(globals(), ConfiguredLimits, Slow, without=[
    "test_a_head_that_trickles_ends_in_408",
])

harness.also_http1_over_tls(globals(), Malformed, Slow, without=[
    "test_a_client_that_does_not_read_is_cut",  # a record does not fit into its socket
])

if __name__ == "__main__":
    unittest.main()
