"""Nothing is buffered for a peer that does not read: memory stays flat and the other side is stopped."""

import threading
import time
import unittest

import harness
from harness import answering, request, response

BIG = 64 << 20
KERNEL = 16 << 20  # more than the kernel holds in the sockets between the peers


class Counter:
    """How much one side could send, and whether it has stopped."""

    def __init__(self):
        self.sent = 0
        self.last = time.monotonic()

    def send_all(self, peer, total):
        piece = b"x" * 65536
        while self.sent < total:
            peer.send(piece[:min(len(piece), total - self.sent)])
            self.sent += len(piece)
            self.last = time.monotonic()

    def has_stalled(self):
        return self.sent > 0 and time.monotonic() - self.last > 0.3


class Backpressure(harness.TestCase):
    def assert_small(self, grown_kib):
        if not harness.IS_INSTRUMENTED:
            self.assertLess(grown_kib, 4096)

    def test_a_client_that_does_not_read_stops_the_service(self):
        counter = Counter()

        def script(connection):
            connection.read_request()
            connection.send(response(headers=[("Content-Length", str(BIG))], length=False))
            counter.send_all(connection, BIG)
            connection.read_to_end()

        proxy = self.outrigger(self.upstream(script))
        self.assertEqual(proxy.admin("GET", "/metrics")[0], 200)
        before = proxy.rss_kib()
        client = self.client(proxy, receive_buffer=65536)
        client.send(request())
        harness.eventually(counter.has_stalled, "the service is stopped")
        grown = proxy.rss_kib() - before
        print(f"unread answer: {grown} KiB more, {counter.sent >> 10} KiB taken from the service")
        self.assert_small(grown)
        self.assertLess(counter.sent, KERNEL)
        reply = client.read_response()
        self.assertEqual((len(reply.body), reply.is_cut), (BIG, False))
        self.assert_small(proxy.rss_kib() - before)
        self.assert_idle(proxy)

    def test_a_service_that_does_not_read_stops_the_client(self):
        may_read = threading.Event()
        self.addCleanup(may_read.set)

        def script(connection):
            message = connection.read_head()
            may_read.wait(harness.DEADLINE)
            body = connection.read_exactly(int(message.get("content-length")))
            connection.send(response(b"%d" % len(body)))

        proxy = self.outrigger(self.upstream(script, receive_buffer=65536))
        self.assertEqual(proxy.admin("GET", "/metrics")[0], 200)
        before = proxy.rss_kib()
        client = self.client(proxy)
        counter = Counter()
        client.send(request("POST", headers=[("Content-Length", str(BIG))]))
        sender = threading.Thread(target=counter.send_all, args=(client, BIG))
        sender.start()
        self.addCleanup(sender.join)
        self.addCleanup(client.close)
        harness.eventually(counter.has_stalled, "the client is stopped")
        grown = proxy.rss_kib() - before
        print(f"unread request: {grown} KiB more, {counter.sent >> 10} KiB taken from the client")
        self.assert_small(grown)
        self.assertLess(counter.sent, KERNEL)
        may_read.set()
        self.assertEqual(client.read_response().body, b"%d" % BIG)
        self.assert_small(proxy.rss_kib() - before)

    def test_many_slow_readers_share_the_worker_with_a_quick_one(self):
        proxy = self.outrigger(self.upstream(answering(
            lambda m: response(b"x" * (4 << 20 if m.target == "/big" else 10)))))
        slow = [self.client(proxy, receive_buffer=4096) for _ in range(20)]
        for client in slow:
            client.send(request(target="/big"))
        quick = self.client(proxy)
        for _ in range(50):
            self.assertEqual(len(quick.get("/small").body), 10)
        for client in slow:
            self.assertEqual(len(client.read_response().body), 4 << 20)


class MemoryBudget(harness.TestCase):
    def test_without_buffer_memory_requests_are_refused_not_the_process_killed(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def script(connection):
            while True:
                connection.read_request()
                release.wait(harness.DEADLINE)
                connection.send(response(b"x"))

        proxy = self.outrigger(self.upstream(script), memory_budget="1MiB")
        waiting, refused = [], []
        for _ in range(600):
            client = self.connect(proxy)
            self.addCleanup(client.close)
            client.send(request("POST", "/", b"y" * 3000))
            waiting.append(client)
            if client.has_data(0.02):
                refused.append(client)
                break
        self.assertTrue(refused, "no request was refused")
        self.assert_local_reply(refused[0].read_response(), 503, "overload_memory")
        release.set()
        statuses = {client.read_response().status for client in waiting[:-1]}
        self.assertLessEqual(statuses, {200, 503})
        self.assertIn(200, statuses)
        self.assert_idle(proxy)
        self.assertEqual(self.client(proxy).get().status, 200)


harness.also_over_http2(globals(), Backpressure, MemoryBudget)

harness.also_to_http2(globals(), Backpressure, MemoryBudget)

harness.also_over_tls(globals(), Backpressure)

harness.also_http1_over_tls(globals(), Backpressure)

if __name__ == "__main__":
    unittest.main()
