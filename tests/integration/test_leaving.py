"""How soon a client's leaving is acted upon (TO-7: 50 ms), over several hundred of them, at the four places where a
request waits: behind another with its key, before another attempt, before the first content and within a stream.

Everything is seen by one thread of this process, which sleeps in poll() until the end arrives. A machine that is busy
wakes nobody in time, whoever is asked: between the measurements the same is measured of a program that does nothing but
close one socket when another has ended, and the longest time that this took is allowed on top of the limit. On an idle
machine that is far below a millisecond.
"""

import select
import socket
import subprocess
import sys
import time
import unittest

import harness
from harness import request, response

LIMIT = 0.05
ROUNDS = 100  # at each place

CHAT = "/v1/chat/completions"
STREAM_HEAD = response(headers=[("Transfer-Encoding", "chunked"), ("Content-Type", "text/event-stream")], length=False)
PING = b": ping\n\n"
TOKEN = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'

# Closes the second of two connections when the first has ended.
CLOSER = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    first, _ = listener.accept()
    second, _ = listener.accept()
    first.recv(1)
    second.close()
    first.close()
"""


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Service:
    """Sockets, without a thread that would have to be woken first."""

    def __init__(self, test):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(harness.DEADLINE)
        test.addCleanup(self.listener.close)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def take_request(self):
        """A connection and its request; the checks only connect."""
        while True:
            sock, _ = self.listener.accept()
            connection = harness.UpstreamConnection(sock, 0)
            try:
                connection.read_request()
                return connection
            except EOFError:
                sock.close()


def seconds_until_end(leave, sock):
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLRDHUP)
    began = time.monotonic()
    leave()
    if not poll.poll(harness.DEADLINE * 1000):
        raise AssertionError("the end does not come")
    took = time.monotonic() - began
    try:
        if sock.recv(1):
            raise AssertionError("not the end, but data")
    except ConnectionResetError:
        pass
    return took


class Leaving(harness.TestCase):
    RETRY = {"backoff": {"kind": "fixed", "base": "60s", "cap": "60s"}, "budget": {"floor": ROUNDS}}
    FILTERS = [{"idempotency": {}}, {"retry": RETRY}, {"timeout": {}}]

    def setUp(self):
        super().setUp()
        self.service = Service(self)
        self.proxy = self.outrigger(self.service.address, filters=self.FILTERS)
        self.keys = 0
        closer = subprocess.Popen([sys.executable, "-c", CLOSER], stdout=subprocess.PIPE, text=True)
        self.addCleanup(closer.stdout.close)
        self.addCleanup(closer.wait)
        self.addCleanup(closer.kill)
        self.closer = ("127.0.0.1", int(closer.stdout.readline()))

    def send(self, headers=(), body=b"{}"):
        client = self.connect(self.proxy)
        client.send(request("POST", CHAT, body, headers))
        return client

    def before_the_first_content(self):
        client = self.send()
        connection = self.service.take_request()
        connection.send(STREAM_HEAD + chunk(PING))
        took = seconds_until_end(client.close, connection.sock)
        connection.close()
        return took

    def within_a_stream(self):
        client = self.send()
        connection = self.service.take_request()
        connection.send(STREAM_HEAD + chunk(TOKEN))
        client.read_until(b'"a"')
        took = seconds_until_end(client.close, connection.sock)
        connection.close()
        return took

    def before_another_attempt(self):
        """No connection to the service is open meanwhile; the client's own is closed when the request is given up."""
        client = self.send()
        connection = self.service.take_request()
        connection.send(response(b"", "503 Busy", [("Connection", "close")]))
        # The proxy has taken the answer when it closes.
        connection.half_close()
        connection.read_to_end()
        connection.close()
        took = seconds_until_end(client.half_close, client.sock)
        client.close()
        return took

    def behind_another_with_its_key(self):
        self.keys += 1
        key = [("Idempotency-Key", f"k{self.keys}")]
        owner = self.send(key)
        connection = self.service.take_request()
        waiting = self.send(key)
        self.proxy.wait_metric("in_flight_requests", 2)
        took = seconds_until_end(waiting.half_close, waiting.sock)
        waiting.close()
        connection.send(response(b"x"))
        owner.read_response()
        owner.close()
        connection.close()
        return took

    def of_the_closer(self):
        first, second = (socket.create_connection(self.closer) for _ in range(2))
        took = seconds_until_end(first.close, second)
        second.close()
        return took

    def test_ninety_nine_in_a_hundred_are_acted_upon_within_the_limit(self):
        places = [self.before_the_first_content, self.within_a_stream, self.before_another_attempt,
                  self.behind_another_with_its_key]
        times = {place.__name__: [] for place in places}
        control = []
        for _ in range(ROUNDS):
            for place in places:
                control.append(self.of_the_closer())
                times[place.__name__].append(place())
        allowance = max(control)
        said = [f"a program that only closes: at most {allowance * 1000:.2f} ms"]
        for name, took in times.items():
            took.sort()
            said.append(f"{name}: median {took[ROUNDS // 2] * 1000:.2f} ms, at most {took[-1] * 1000:.2f} ms")
        everything = sorted(took for some in times.values() for took in some)
        p99 = everything[len(everything) * 99 // 100 - 1]
        said.append(f"all: p99 {p99 * 1000:.2f} ms of {len(everything)}")
        print("\n" + "\n".join(said))
        self.assertLessEqual(p99, LIMIT + allowance, "\n".join(said))
        self.assert_idle(self.proxy)


if __name__ == "__main__":
    unittest.main()
