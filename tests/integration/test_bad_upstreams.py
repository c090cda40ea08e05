"""Services that lie, stall, break off or are not there. The client must never see a wrong answer that looks
whole: either a 502/503/504 of ours or a body that visibly ends too early."""

import unittest

import harness
from harness import answering, chunked, request, response


def once(data, end="close"):
    """Reads a request, sends `data`, then closes or resets."""

    def script(connection):
        connection.read_request()
        connection.send(data)
        if end == "reset":
            connection.reset()

    return script


class Lies(harness.TestCase):
    def ask(self, script, method="GET", **options):
        upstream = self.upstream(script)
        proxy = self.outrigger(upstream, **options)
        client = self.client(proxy)
        client.send(request(method, "/x", b"" if method == "POST" else None))
        return proxy, client, client.read_response(method)

    def test_a_body_shorter_than_announced_is_seen_as_cut(self):
        announced = response(headers=[("Content-Length", "10")], length=False)
        for end in ("close", "reset"):
            proxy, client, reply = self.ask(once(announced + b"1234567", end))
            self.assertTrue(reply.is_cut, reply)
            self.assertEqual(reply.status, 200)
            self.assert_idle(proxy)

    def test_a_body_longer_than_announced_is_cut_to_its_length_and_the_rest_is_nobodys(self):
        upstream = self.upstream(answering(response(b"12345") + b"HTTP/1.1 200 OK\r\nX: evil\r\n\r\n"))
        client = self.client(self.outrigger(upstream))
        for _ in range(5):
            reply = client.get()
            self.assertEqual((reply.status, reply.body, reply.get("x")), (200, b"12345", None))
        self.assertEqual(len(upstream.connections), 5)

    def test_bad_chunks_are_seen_as_cut(self):
        head = chunked([])[:-5]
        for body in (b"5\r\nhello\r\nxyz\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n",
                     b"5\r\nhello\r\n5\r\nhel", b"5\r\nhello\r\n0\r\n", b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
                     b"5\r\nhello\r\nFFFFFFFFFFFFFFFFF\r\n"):
            with self.subTest(body):
                proxy, client, reply = self.ask(once(head + body))
                self.assertTrue(reply.is_cut, reply)
                self.assert_idle(proxy)

    def test_what_is_not_an_answer_becomes_502(self):
        garbage = {
            "text": b"hello, I am not HTTP\r\n\r\n",
            "binary": bytes(range(256)) + b"\r\n\r\n",
            "TLS alert": bytes.fromhex("15030300020246"),
            "CL and TE": chunked([b"x"], headers=[("Content-Length", "1")]),
            "two lengths": response(b"x", headers=[("Content-Length", "2")]),
            "negative length": response(headers=[("Content-Length", "-1")], length=False),
            "unknown coding": response(b"x", headers=[("Transfer-Encoding", "gzip")], length=False),
            "status 99": response(status="99 Odd"),
            "status 600": response(status="600 Odd"),
            "version 2": b"HTTP/2 200 OK\r\n\r\n",
            "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            "folded": b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n",
            "NUL in a field": response(headers=[("X", "a\0b")]),
            "unasked 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            "huge head": response(headers=[("X", "y" * 200000)]),
            "endless head": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50000,
        }
        for name, data in garbage.items():
            with self.subTest(name):
                proxy, client, reply = self.ask(once(data), "POST")
                self.assert_local_reply(reply, 502, "upstream_protocol")
                self.assertEqual(reply.get("x-should-retry"), "false")
                self.assert_idle(proxy)

    def test_an_early_end_of_the_answers_head_becomes_502(self):
        for data in (b"", b"H", b"HTTP/1.1 200 OK\r\nContent-Le"):
            for end in ("close", "reset"):
                with self.subTest(data=data, end=end):
                    _, _, reply = self.ask(once(data, end), "POST")
                    self.assert_local_reply(reply, 502, "upstream_reset")

    def test_a_reset_at_each_byte_is_never_a_wrong_whole_answer(self):
        """RST after byte N, for each N. Closing, too: what was sent must not look whole."""
        whole = {
            "length": (response(b"hello world", headers=[("X-A", "b")]), b"hello world"),
            "chunked": (chunked([b"hello ", b"world"], [("X-T", "1")]), b"hello world"),
        }
        plans = []

        def script(connection):
            while True:
                message = connection.read_request()
                data, end = plans[int(message.target[1:])]
                connection.send(data)
                if end == "reset":
                    connection.reset()
                    return
                if end == "close":
                    return

        for kind, (data, _) in whole.items():
            for end in ("reset", "close"):
                plans += [(data[:n], end) for n in range(len(data))]
        upstream = self.upstream(script)
        proxy = self.outrigger(upstream, filters=[])  # the breaker would answer in place of the service
        for number, (data, end) in enumerate(plans):
            client = self.connect(proxy)
            reply = client.post(f"/{number}", b"")
            client.close()
            if reply.status == 502:
                self.assertIn(reply.reason, ("upstream_reset", "upstream_protocol"))
            else:
                self.assertEqual(reply.status, 200)
                self.assertTrue(reply.is_cut, f"after {data!r} and {end}: {reply}")
        self.assert_idle(proxy)

    def test_an_interim_answer_alone_is_no_answer(self):
        _, _, reply = self.ask(once(b"HTTP/1.1 103 Early Hints\r\n\r\n"), "POST")
        self.assert_local_reply(reply, 502, "upstream_reset")
        self.assertEqual([m.status for m in reply.informational], [103])

    def test_bytes_on_an_idle_connection_belong_to_nobody(self):
        def script(connection):
            connection.read_request()
            connection.send(response(b"1"))
            connection.send(response(b"evil"))
            connection.read_to_end()

        upstream = self.upstream(script)
        client = self.client(self.outrigger(upstream))
        for i in range(5):
            self.assertEqual(client.get().body, b"1")
            # Sent while a request is on its way it could not be told from an answer.
            harness.read_ended(upstream.connections[i])


class Absent(harness.TestCase):
    def test_nobody_listens(self):
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.outrigger(upstream, filters=[])
        upstream.stop()
        reply = self.client(proxy).post("/", b"x")
        self.assert_local_reply(reply, 503, "connect_fail")
        self.assertEqual(reply.get("x-should-retry"), "true")

    def test_no_unix_socket_is_there(self):
        proxy = self.outrigger(f"unix:{self.folder}/none.sock")
        self.assert_local_reply(self.client(proxy).get(), 503, "connect_fail")

    def test_a_service_that_comes_later_is_found(self):
        path = f"{self.folder}/late.sock"
        proxy = self.outrigger(f"unix:{path}")
        self.assertEqual(self.client(proxy).get().status, 503)
        self.upstream(answering(response(b"x")), path=path)
        self.assertEqual(self.client(proxy).get().body, b"x")

    def test_of_two_endpoints_the_one_that_refuses_is_passed_over(self):
        good = self.upstream(answering(response(b"x")))
        bad = self.upstream(answering(response(b"y")))
        proxy = self.outrigger(good, upstream_options={"endpoints": [bad.address, good.address],
                                                       "balance": "round_robin"})
        bad.stop()
        client = self.client(proxy)
        statuses = [client.get().status for _ in range(20)]
        self.assertLessEqual(statuses.count(503), 1, statuses)
        self.assertEqual(set(statuses) - {200, 503}, set())

        def ejected(endpoint):
            return proxy.metric("upstream_endpoint_ejected", upstream="app", endpoint=endpoint.address)

        # An ejection lasts a second at first and the gauge is set once a second: failures prolong it.
        harness.eventually(lambda: (client.get(), ejected(bad))[1] == 1, "the ejection is seen")
        self.assertEqual(ejected(good), 0)

    def test_a_name_is_resolved(self):
        upstream = self.upstream(answering(response(b"x")))
        port = upstream.address.rpartition(":")[2]
        proxy = self.outrigger(f"localhost:{port}")
        client = self.client(proxy)
        harness.eventually(lambda: client.get().status == 200, "the name is resolved")

    def test_two_endpoints_share_the_load(self):
        services = [self.upstream(answering(response(b"%d" % i))) for i in range(2)]
        for balance in ("round_robin", "least_request"):
            proxy = self.outrigger(services[0], upstream_options={
                "endpoints": [service.address for service in services], "balance": balance})
            client = self.client(proxy)
            bodies = [client.get().body for _ in range(60)]
            self.assertGreater(min(bodies.count(b"0"), bodies.count(b"1")), 10, balance)


class Stalls(harness.TestCase):
    def stalling(self, data):
        def script(connection):
            connection.read_request()
            connection.send(data)
            connection.read_to_end()

        return self.upstream(script)

    def test_a_service_that_never_answers_is_given_up_at_the_callers_deadline(self):
        upstream = self.stalling(b"")
        proxy = self.outrigger(upstream)
        reply = self.client(proxy).post("/", b"x", [("x-request-timeout-ms", "200")])
        self.assert_local_reply(reply, 504, "deadline")
        harness.read_ended(upstream.connections[0])
        self.assert_idle(proxy)
        self.assertEqual(proxy.metric("timeouts_total", tier="overall"), 1)

    def test_a_body_that_stalls_is_cut(self):
        upstream = self.stalling(response(headers=[("Content-Length", "10")], length=False) + b"12345")
        proxy = self.outrigger(upstream)
        reply = self.client(proxy).get(headers=[("x-request-timeout-ms", "1500")])
        self.assertEqual((reply.status, reply.is_cut), (200, True))
        harness.read_ended(upstream.connections[0])
        self.assert_idle(proxy)

    def test_an_expired_deadline_reaches_nobody(self):
        upstream = self.stalling(b"")
        proxy = self.outrigger(upstream)
        self.assert_local_reply(self.client(proxy).get(headers=[("x-request-timeout-ms", "0")]), 504,
                                "deadline")
        self.assertEqual(upstream.requests, [])

    def test_a_service_that_does_not_take_the_request_is_given_up(self):
        release = []

        def script(connection):
            harness.eventually(lambda: release, "the test ends")

        upstream = self.upstream(script, receive_buffer=4096)
        self.addCleanup(release.append, True)
        proxy = self.outrigger(upstream)
        client = self.client(proxy)
        client.send(request("POST", headers=[("Content-Length", str(1 << 30)), ("x-request-timeout-ms", "400")]))
        client.sock.setblocking(False)
        sent = 0
        try:
            while True:
                sent += client.sock.send(b"x" * 65536)
        except BlockingIOError:
            pass
        client.sock.settimeout(harness.DEADLINE)
        self.assert_local_reply(client.read_response(), 504, "deadline")


harness.also_over_http2(globals(), Lies, Absent, Stalls, without=[
    "test_a_service_that_does_not_take_the_request_is_given_up",
])

harness.also_to_http2(globals(), Absent, Stalls, without=[
    # They state an address of their own.
    "test_a_service_that_comes_later_is_found", "test_a_name_is_resolved", "test_no_unix_socket_is_there",
    "test_a_service_that_does_not_take_the_request_is_given_up",
])
harness.also_http1_over_tls(globals(), Lies, Stalls, without=[
    "test_a_body_shorter_than_announced_is_seen_as_cut",  # a reset may overtake the record with the head
    "test_a_service_that_does_not_take_the_request_is_given_up",
])

if __name__ == "__main__":
    unittest.main()
