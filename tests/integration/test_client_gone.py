"""The client leaves at each point where a request can wait: soon the service is told, and nothing is left
(TO-7: 50 ms)."""

import socket
import threading
import unittest

import harness
from harness import request, response

BODY = b"x" * 40


class ClientGone(harness.TestCase):
    """Each test runs a script on the service's side that ends in waiting, and leaves then.

    What is printed is the proxy's time and the test's own; the limit allows for a busy machine.
    """

    PATIENCE = 5.0

    def setUp(self):
        super().setUp()
        self.slowest = 0.0
        self.addCleanup(lambda: print(f"{self.id()}: at most {self.slowest * 1000:.1f} ms"))

    def assert_nothing_left(self, proxy, upstream):
        for connection in upstream.connections:
            took = harness.read_ended(connection, self.PATIENCE)
            self.slowest = max(self.slowest, took)
        self.assert_idle(proxy)
        proxy.wait_metric("downstream_connections", 0)

    def leave(self, client, how):
        if how == "reset":
            client.reset()
        elif how == "close":
            client.close()
        else:
            client.half_close()

    def run_each(self, script, sent, ready):
        """`ready(upstream, client)`: waits until the point where the client is to leave."""
        for how in ("close", "reset", "half-close"):
            with self.subTest(how):
                upstream = self.upstream(script)
                proxy = self.outrigger(upstream)
                client = self.client(proxy)
                client.send(sent)
                ready(upstream, client)
                self.leave(client, how)
                if how == "half-close":
                    self.addCleanup(client.close)
                for connection in upstream.connections:
                    self.slowest = max(self.slowest, harness.read_ended(connection, self.PATIENCE))
                self.assert_idle(proxy)
                proxy.wait_metric("downstream_connections", 0)

    def wait_request(self, upstream, _client):
        harness.eventually(lambda: upstream.requests, "the request arrives")

    def test_while_waiting_for_the_head(self):
        def script(connection):
            connection.read_request()
            harness.eventually(connection.has_ended, "the proxy leaves")

        self.run_each(script, request("POST", "/", BODY), self.wait_request)

    def test_while_waiting_for_the_head_with_pipelined_bytes_unread(self):
        def script(connection):
            connection.read_request()
            harness.eventually(connection.has_ended, "the proxy leaves")

        self.run_each(script, request("POST", "/", BODY) + request() * 3000, self.wait_request)

    def test_in_the_middle_of_the_answer(self):
        def script(connection):
            connection.read_request()
            connection.send(response(BODY, headers=[])[:-10])
            harness.eventually(connection.has_ended, "the proxy leaves")

        self.run_each(script, request(), lambda _, client: client.read_until(b"xxx"))

    def test_in_the_middle_of_a_stream(self):
        def script(connection):
            connection.read_request()
            connection.send(response(headers=[("Transfer-Encoding", "chunked"),
                                              ("Content-Type", "text/event-stream")], length=False))
            event = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
            connection.send(b"%x\r\n%s\r\n" % (len(event), event))
            harness.eventually(connection.has_ended, "the proxy leaves")

        self.run_each(script, request("POST", "/v1/chat/completions", b"{}"),
                      lambda _, client: client.read_until(b'"a"'))

    def test_while_it_does_not_read_a_big_answer(self):
        """Waiting on the client's socket. What was sent before is read before the end, so no half-close."""
        stalled = threading.Event()

        def script(connection):
            connection.read_request()
            connection.sock.settimeout(0.5)
            try:
                connection.send(response(b"x" * (32 << 20)))
            except TimeoutError:
                stalled.set()
            harness.eventually(connection.has_ended, "the proxy leaves")

        def ready(_upstream, _client):
            self.assertTrue(stalled.wait(harness.DEADLINE))
            stalled.clear()

        self.run_each(script, request(), ready)

    def test_in_the_middle_of_its_body(self):
        def script(connection):
            connection.read_head()
            connection.read_exactly(5)
            harness.eventually(connection.has_ended, "the proxy leaves")

        sent = request("POST", headers=[("Content-Length", "100000")]) + b"12345"
        self.run_each(script, sent, self.wait_request)

    def test_in_the_middle_of_a_body_that_the_service_does_not_read(self):
        stalled = threading.Event()

        def script(connection):
            connection.read_head()
            harness.eventually(lambda: stalled.is_set() and connection.has_ended(), "the proxy leaves")

        upstream = self.upstream(script, receive_buffer=4096)
        proxy = self.outrigger(upstream)
        client = self.client(proxy)
        client.send(request("POST", headers=[("Content-Length", str(1 << 30))]))
        client.sock.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            client.send(b"x" * (64 << 20))
        stalled.set()
        # A FIN would wait behind the bytes that nobody takes; only a reset can be noticed.
        client.reset()
        self.assert_nothing_left(proxy, upstream)

    def test_while_waiting_for_100_continue(self):
        def script(connection):
            connection.read_head()
            harness.eventually(connection.has_ended, "the proxy leaves")

        sent = request("POST", headers=[("Content-Length", "5"), ("Expect", "100-continue")])
        self.run_each(script, sent, self.wait_request)

    def test_after_each_byte_of_the_request(self):
        def script(connection):
            connection.read_head()
            harness.eventually(connection.has_ended, "the proxy leaves")

        upstream = self.upstream(script)
        proxy = self.outrigger(upstream)
        sent = request("POST", "/", BODY)
        for n in range(len(sent) + 1):
            client = harness.RawClient(proxy.address)
            client.send(sent[:n])
            self.leave(client, "reset" if n % 2 else "close")
        self.assert_nothing_left(proxy, upstream)

    def test_while_connecting(self):
        """A service whose queue of connections is full does not answer the handshake."""
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
            self.addCleanup(filler.close)
        proxy = self.outrigger(f"127.0.0.1:{port}", upstream_options={"connect_timeout": "60s"})
        client = self.client(proxy)
        client.send(request())
        proxy.wait_metric("in_flight_requests", 1)
        client.close()
        self.assert_idle(proxy)
        self.assertEqual([event["outcome"] for event in proxy.wait_events("request")], ["client_gone"])


if __name__ == "__main__":
    unittest.main()
