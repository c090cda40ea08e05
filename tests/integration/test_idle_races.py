"""Requests with random pauses to services that close idle connections: none is lost (TO-9).

Each route has an upstream of its own with one client, so that the connection that its next request finds is as old as
the client's pause. Short unless OUTRIGGER_LONG is set: then 100,000 requests, in about twelve minutes.
"""

import asyncio
import os
import random
import unittest

import harness

IS_LONG = bool(os.environ.get("OUTRIGGER_LONG"))
SEED = 11


class IdleCloser(asyncio.Protocol):
    """A connection of a service that closes when nothing came for `idle` seconds, as uvicorn does."""

    def __init__(self, service, idle):
        self.service, self.idle = service, idle
        self.received = b""
        self.timer = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.timer:
            self.timer.cancel()
        elif not self.received:
            self.service.connections += 1  # the checks only connect
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            if head.startswith(b"POST"):
                self.received = self.received[1:]  # the proxy sends so small a body with its head
            self.transport.write(harness.response(b"x"))
        self.timer = asyncio.get_running_loop().call_later(self.idle, self.close)

    def close(self):
        self.service.idle_closes += 1
        self.transport.close()


class Service:
    connections = 0
    idle_closes = 0

    async def start(self, idle):
        self.server = await asyncio.get_running_loop().create_server(lambda: IdleCloser(self, idle), "127.0.0.1", 0,
                                                                     backlog=1024)
        self.address = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]
        return self


class IdleRaces(harness.TestCase):
    def test_no_request_is_lost_to_a_close(self):
        # Seconds until the service closes, upstreams, requests in all.
        cases = [(2, 250, 60_000), (5, 250, 40_000)] if IS_LONG else [(2, 100, 1_000)]
        asyncio.run(self.run_cases(cases))

    async def run_cases(self, cases):
        await asyncio.gather(*[self.run_case(*case) for case in cases])

    async def run_case(self, idle, upstreams, requests):
        service = await Service().start(idle)
        names = [f"u{number}" for number in range(upstreams)]
        config = self.config(service.address, filters=[], log={"access": "errors"})
        # A machine that stops everybody for a while is no loss: connects have the time that they need.
        config["upstreams"] += [{"name": name, "endpoints": [service.address], "connect_timeout": "20s",
                                 "health": {"interval": "1h"}} for name in names]
        config["routes"] = [{"name": name, "match": {"prefix": f"/{name}"}, "upstream": name} for name in names]
        proxy = await asyncio.to_thread(self.outrigger_with, config)
        left = [requests]
        failures = []
        await asyncio.gather(*[self.ask(proxy, name, idle, left, failures) for name in names])
        self.assertEqual(failures[:5], [], f"{len(failures)} requests failed")
        service.server.close()
        reused = 1 - service.connections / requests
        print(f"\n{requests} requests to a service that closes after {idle} s: none failed, {reused:.0%} on a connection "
              f"that was idle, {service.idle_closes} closed by the service")
        # Both happen all the time: neither side always comes first.
        self.assertGreater(reused, 0.1)
        self.assertGreater(service.idle_closes, requests / 10)

    async def ask(self, proxy, name, idle, left, failures):
        """Every second request must not run twice, so that nobody could repeat it."""
        rng = random.Random(f"{SEED} {name}")
        reader, writer = await asyncio.open_connection(*proxy.address)
        await asyncio.sleep(rng.uniform(0, idle))
        while left[0] > 0:
            left[0] -= 1
            is_unsafe = rng.random() < 0.5
            sent = harness.request("POST", f"/{name}/a", b"b") if is_unsafe else harness.request(target=f"/{name}/a")
            try:
                writer.write(sent)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), harness.DEADLINE)
                if not head.startswith(b"HTTP/1.1 200 ") or await reader.readexactly(1) != b"x":
                    failures.append(head)
                    return
            except (OSError, EOFError, asyncio.TimeoutError) as error:
                failures.append(repr(error))
                return
            # Half of them where the two sides may meet.
            await asyncio.sleep(rng.gauss(idle, 0.1) if rng.random() < 0.5 else rng.uniform(0, 1.5 * idle))
        writer.close()


if __name__ == "__main__":
    unittest.main()
