"""WebSockets between other people's clients and services, through the proxy: the library `websockets` at both ends."""

import asyncio
import contextlib
import ssl
import unittest

import websockets

import harness
import tls_support

BIG = 8 << 20


class Service:
    """A service of the library, on an event loop of the test's own."""

    def __init__(self, server):
        self.address = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]


async def echo(connection):
    async for message in connection:
        await connection.send(message)


class Peers(harness.TestCase):
    scheme = "ws"

    def context(self):
        return None

    def listener(self):
        return {}

    def play(self, client, handler=echo, **options):
        """Runs `client(connection, proxy)` against `handler`."""

        async def run():
            async with websockets.serve(handler, "127.0.0.1", 0, max_size=None, subprotocols=["chat"]) as server:
                proxy = await asyncio.to_thread(self.outrigger, Service(server), listener=self.listener(), **options)
                async with websockets.connect(f"{self.scheme}://localhost:{proxy.address[1]}/ws", max_size=None,
                                              host="127.0.0.1", subprotocols=["chat"],
                                              **({"ssl": self.context()} if self.context() else {})) as connection:
                    await asyncio.wait_for(client(connection, proxy), harness.DEADLINE)
                await asyncio.to_thread(proxy.wait_metric, "open_tunnels", 0)
                return proxy

        with contextlib.closing(asyncio.new_event_loop()) as loop:
            return loop.run_until_complete(run())

    def test_messages_of_all_sizes_and_kinds(self):
        async def client(connection, _):
            self.assertEqual(connection.subprotocol, "chat")
            for message in ("", "text", b"", b"bytes", "ü" * 1000, b"x" * 125, b"y" * 126, b"z" * 65536, b"a" * BIG):
                await connection.send(message)
                self.assertEqual(await connection.recv() == message, True)

        proxy = self.play(client)
        proxy.wait_metric("tunnels_total", 1, end="complete")

    def test_pings_are_answered_by_the_other_end(self):
        async def client(connection, _):
            for _ in range(3):
                await (await connection.ping())

        self.play(client)

    def test_fragments_and_many_at_once(self):
        async def client(connection, _):
            await connection.send(["frag", "mented", " message"])
            self.assertEqual(await connection.recv(), "fragmented message")
            await asyncio.gather(*(connection.send(f"{i}") for i in range(500)))
            self.assertEqual([int(await connection.recv()) for _ in range(500)], list(range(500)))

        self.play(client)

    def test_the_service_s_close_code_arrives(self):
        async def handler(connection):
            await connection.close(4001, "enough")

        async def client(connection, _):
            with self.assertRaises(websockets.ConnectionClosed) as caught:
                await connection.recv()
            self.assertEqual((caught.exception.code, caught.exception.reason), (4001, "enough"))

        self.play(client, handler).wait_metric("tunnels_total", 1, end="complete")

    def test_the_client_s_close_code_arrives(self):
        codes = []

        async def handler(connection):
            await connection.wait_closed()
            codes.append(connection.close_code)

        async def client(connection, _):
            await connection.close(4002)

        self.play(client, handler)
        harness.eventually(lambda: codes == [4002], "the service has the code")

    def test_a_drain_tells_both_that_it_goes_away(self):
        codes = []

        async def handler(connection):
            await connection.wait_closed()
            codes.append(connection.close_code)

        async def client(connection, proxy):
            proxy.signal(harness.signal.SIGTERM)
            with self.assertRaises(websockets.ConnectionClosed) as caught:
                await connection.recv()
            self.assertEqual(caught.exception.code, 1001)
            self.assertEqual(await asyncio.to_thread(proxy.wait_exit), 0)
            self.assertEqual(codes, [1001])
            raise _OverError

        with self.assertRaises(_OverError):
            self.play(client, handler, admin={"address": "127.0.0.1:0",
                                              "drain": {"lame_duck": "0s", "timeout": "300ms"}})


class _OverError(Exception):
    pass


class PeersOverTls(Peers):
    scheme = "wss"

    def setUp(self):
        super().setUp()
        self.authority = tls_support.Authority(self.folder)
        self.pair = self.authority.issue("server")

    def listener(self):
        return {"tls": {"cert": self.pair.cert, "key": self.pair.key}}

    def context(self):
        context = ssl.create_default_context(cafile=self.authority.cert)
        context.set_alpn_protocols(["http/1.1"])
        return context


if __name__ == "__main__":
    unittest.main()
