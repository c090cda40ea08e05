"""Limits hold for the pod, not for each worker: two workers, many connections at once (LM-1, LM-7)."""

import threading
import time
import unittest

import harness
from harness import answering, request, response


class Crowd:
    """Threads with some connections each, all of which ask again and again."""

    THREADS = 4
    CONNECTIONS = 8

    def __init__(self, address, rounds):
        self._address = address
        self._rounds = rounds
        self._ready = threading.Barrier(self.THREADS + 1)
        self._replies = [[] for _ in range(self.THREADS)]
        self._errors = []

    def _ask(self, replies):
        try:
            clients = [harness.RawClient(self._address) for _ in range(self.CONNECTIONS)]
            self._ready.wait(harness.DEADLINE)
            for _ in range(self._rounds):
                for client in clients:
                    client.send(request())
                replies.extend(client.read_response() for client in clients)
            for client in clients:
                client.close()
        except Exception as error:  # noqa: B902 - handed to the test's thread
            self._errors.append(error)
            self._ready.abort()

    def run(self):
        """All replies, and the seconds in which all of them were decided."""
        threads = [threading.Thread(target=self._ask, args=(replies,)) for replies in self._replies]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        try:
            self._ready.wait(harness.DEADLINE)
        except threading.BrokenBarrierError:
            pass
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        if self._errors:
            raise self._errors[0]
        return [reply for replies in self._replies for reply in replies], took


class Rates(harness.TestCase):
    RATE = 100

    def check(self, algorithm, **burst):
        upstream = self.upstream(answering(response(b"x")))
        rule = {"name": "r", "algorithm": algorithm, "rate": f"{self.RATE}/s", **burst}
        proxy = self.outrigger(upstream, workers=2, filters=[{"rate_limit": {"rules": [rule]}}, {"timeout": {}}])
        replies, took = Crowd(proxy.address, rounds=40).run()
        admitted = [reply for reply in replies if reply.status == 200]
        refused = [reply for reply in replies if reply.status == 429]
        self.assertEqual(len(admitted) + len(refused), len(replies))
        self.assertGreater(len(admitted), 0)
        self.assertGreater(len(refused), 0, "the crowd was too slow to reach the limit")
        self.assert_local_reply(refused[0], 429, "rate_requests")
        most = burst.get("burst", self.RATE) + self.RATE * took
        self.assertLessEqual(len(admitted), most, f"in {took:.3f} s")
        self.assertEqual(len(upstream.requests), len(admitted))
        self.assertEqual(proxy.metric("limiter_decisions_total", decision="allowed"), len(admitted))
        self.assertEqual(proxy.metric("limiter_decisions_total", decision="rejected"), len(refused))
        return len(admitted)

    def test_token_bucket(self):
        self.assertGreaterEqual(self.check("token_bucket", burst=20), 20)

    def test_leaky_bucket(self):
        self.check("leaky_bucket", burst=20)

    def test_sliding_window(self):
        """Its burst is what a window admits, here that of a second."""
        self.check("sliding_window")

    def test_each_key_has_its_own(self):
        """Several tenants at once: as many times the limit, not more."""
        upstream = self.upstream(answering(response(b"x")))
        rule = {"name": "r", "key": ["tenant"], "rate": "1/h", "burst": 7}
        proxy = self.outrigger(upstream, workers=2, filters=[{"rate_limit": {"rules": [rule]}}, {"timeout": {}}])
        clients = [self.client(proxy) for _ in range(60)]
        for number, client in enumerate(clients):
            client.send(request(headers=[("Authorization", f"Bearer {number % 3}")]))
        statuses = [client.read_response().status for client in clients]
        for tenant in range(3):
            self.assertEqual(statuses[tenant::3].count(200), 7, tenant)


class Concurrency(harness.TestCase):
    LIMIT = 5

    def test_the_service_never_sees_more_at_once(self):
        changed = threading.Condition()
        running = 0
        most = 0

        def script(connection):
            nonlocal running, most
            while True:
                connection.read_request()
                with changed:
                    running += 1
                    most = max(most, running)
                    changed.notify_all()
                    # Answers when the limit is reached, or soon: the last ones come alone.
                    changed.wait_for(lambda: running >= self.LIMIT, timeout=0.02)
                    running -= 1
                connection.send(response(b"x"))

        proxy = self.outrigger(self.upstream(script), workers=2, filters=[{"timeout": {}}],
                               upstream_options={"max_requests": self.LIMIT})
        replies, _ = Crowd(proxy.address, rounds=20).run()
        self.assertEqual(most, self.LIMIT)
        self.assertEqual({reply.status for reply in replies}, {200, 503})
        self.assert_local_reply(next(reply for reply in replies if reply.status == 503), 503, "concurrency")
        self.assert_idle(proxy)
        # Every slot was given back.
        self.assertEqual(self.client(proxy).get("/").status, 200)


if __name__ == "__main__":
    unittest.main()
