"""What the tests of the real binary share: processes, scripted peers, raw clients, waiting.

    class KeepAlive(harness.TestCase):
        def test_two_requests_on_one_connection(self):
            upstream = self.upstream(harness.answering(harness.response(b"hi")))
            proxy = self.outrigger(upstream)
            client = self.client(proxy)
            self.assertEqual(client.get("/").body, b"hi")

Everything listens on port 0 of loopback (or a unix socket in the test's own folder) and is stopped when
the test ends; processes are stopped by their id. Nothing sleeps for a fixed time: `eventually` polls
a condition until a deadline. OUTRIGGER_BIN and MOCK_AI_BIN name the binaries.
"""

import http.client
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

OUTRIGGER = os.environ.get("OUTRIGGER_BIN", "outrigger")
MOCK_AI = os.environ.get("MOCK_AI_BIN", "mock-ai")
# Sanitizers keep freed memory for a while: resident memory says nothing then.
SANITIZE = os.environ.get("OUTRIGGER_SANITIZE", "")
IS_INSTRUMENTED = bool(SANITIZE)
# Where a test does not say how many: more than one, to look for races.
WORKERS = int(os.environ.get("OUTRIGGER_WORKERS", "1"))

# Long enough for a sanitizer's build on a busy machine; only failures wait so long.
DEADLINE = 20.0
SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                     "WARNING: ThreadSanitizer")


def eventually(condition, what, timeout=DEADLINE):
    """Polls until `condition()` is true and returns its value; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.002)


def reset(sock):
    """Closes with a TCP RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Peer:
    """One end of a connection, with its own buffer. End of stream raises EOFError."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""
        self.sock.settimeout(DEADLINE)

    def send(self, data):
        self.sock.sendall(data)

    def _fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def getpeername(self):
        return self.sock.getpeername()

    def read_until(self, mark):
        while mark not in self.buffer:
            self._fill()
        end = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    def read_exactly(self, count):
        """When the stream ends before, what has come is left in the buffer."""
        parts = [self.buffer]
        left = count - len(self.buffer)
        try:
            while left > 0:
                data = self.sock.recv(min(left, 1 << 20))
                if not data:
                    raise EOFError
                parts.append(data)
                left -= len(data)
        except (EOFError, ConnectionError):
            self.buffer = b"".join(parts)
            raise
        # A socket of TLS may give more than it was asked for.
        data = b"".join(parts)
        self.buffer = data[count:]
        return data[:count]

    def read_to_end(self):
        """All bytes until FIN or RST, and whether it was a FIN."""
        try:
            while True:
                self._fill()
        except EOFError:
            is_fin = True
        except ConnectionError:
            is_fin = False
        data, self.buffer = self.buffer, b""
        return data, is_fin

    def has_ended(self):
        """True once the other side has closed or reset, or this side has; consumes nothing."""
        if self.sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLRDHUP)
        events = poll.poll(0)
        return bool(events and events[0][1] & (select.POLLRDHUP | select.POLLHUP | select.POLLERR))

    def has_data(self, timeout=0.0):
        """True once there is something to read, or the end."""
        return bool(self.buffer) or bool(select.select([self.sock], [], [], timeout)[0])

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        reset(self.sock)

    def close(self):
        self.sock.close()

    def read_chunked(self, body=None):
        """Body and trailers of a chunked message; strict. `body` collects the chunks as they come."""
        body = body if body is not None else []
        while True:
            size = int(re.fullmatch(rb"([0-9a-fA-F]+)(;.*)?\r\n", self.read_until(b"\r\n"))[1], 16)
            if size == 0:
                break
            body.append(self.read_exactly(size))
            if self.read_exactly(2) != b"\r\n":
                raise AssertionError("a chunk without its line end")
        trailers = []
        while (line := self.read_until(b"\r\n")) != b"\r\n":
            trailers.append(parse_field(line))
        return b"".join(body), trailers


def parse_field(line):
    name, _, value = line.decode("latin-1").partition(":")
    return name.strip(), value.strip()


class Message:
    """A request or an answer. `headers` keeps order and repetition."""

    def __init__(self, head):
        lines = head.split(b"\r\n")
        self.start_line = lines[0].decode("latin-1")
        self.headers = [parse_field(line) for line in lines[1:] if line]
        self.body = b""
        self.trailers = []
        self.informational = []
        self.is_cut = False
        self.raw_head = head

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)

    @property
    def status(self):
        return int(self.start_line.split(" ")[1])

    @property
    def method(self):
        return self.start_line.split(" ")[0]

    @property
    def target(self):
        return self.start_line.split(" ")[1]

    @property
    def reason(self):
        return self.get("x-outrigger-reason")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        cut = ", cut" if self.is_cut else ""
        return f"<{self.start_line} {self.headers} {self.body[:200]!r} ({len(self.body)} bytes{cut})>"


def response(body=b"", status="200 OK", headers=(), length=True):
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(pieces, trailers=(), headers=(), status="200 OK"):
    head = response(status=status, headers=[("Transfer-Encoding", "chunked"), *headers], length=False)
    return head + chunks(pieces, trailers)


def chunks(pieces, trailers=()):
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    fields = "".join(f"{name}: {value}\r\n" for name, value in trailers).encode()
    return body + b"0\r\n" + fields + b"\r\n"


def request(method="GET", target="/", body=None, headers=(), host="a"):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class RawClient(Peer):
    """A client that sends exactly the bytes it is told to and reads answers strictly."""

    def __init__(self, address, receive_buffer=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        sock = socket.socket(family)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(DEADLINE)
        sock.connect(address)
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock)

    def read_to_done(self):
        """The rest of an event stream, up to and with its last chunk."""
        return self.read_until(b"[DONE]") + self.read_until(b"0\r\n\r\n")

    def get(self, target="/", headers=()):
        return self.ask("GET", target, headers=headers)

    def post(self, target, body, headers=()):
        return self.ask("POST", target, body, headers)

    def ask(self, method, target, body=None, headers=()):
        self.send(request(method, target, body, headers))
        return self.read_response(method)

    def read_response(self, method="GET"):
        """The next final answer. `is_cut`: the body ended before its framing said so."""
        informational = []
        while True:
            message = Message(self.read_until(b"\r\n\r\n"))
            if message.status >= 200:
                break
            informational.append(message)
        message.informational = informational
        if method == "HEAD" or message.status in (204, 304):
            return message
        coding, length = message.all("transfer-encoding"), message.all("content-length")
        if coding and length:
            raise AssertionError(f"both framings: {message}")
        pieces = []
        try:
            if coding:
                message.body, message.trailers = self.read_chunked(pieces)
            elif length:
                message.body = self.read_exactly(int(length[0]))
            else:
                message.body, is_fin = self.read_to_end()
                message.is_cut = not is_fin
        except (EOFError, ConnectionError):
            message.is_cut = True
            message.body = b"".join(pieces) + self.buffer
        return message


class UpstreamConnection(Peer):
    """The service's side of a connection from the proxy."""

    def __init__(self, sock, number):
        super().__init__(sock)
        self.number = number
        self.requests = []
        self.opened = time.monotonic()

    def read_head(self):
        message = Message(self.read_until(b"\r\n\r\n"))
        self.requests.append(message)
        return message

    def read_request(self):
        message = self.read_head()
        if message.get("transfer-encoding"):
            message.body, message.trailers = self.read_chunked()
        elif message.get("content-length"):
            message.body = self.read_exactly(int(message.get("content-length")))
        return message


def answering(answer):
    """A script: every request gets `answer`, which may be bytes or a function of the request."""

    def script(connection):
        while True:
            message = connection.read_request()
            connection.send(answer(message) if callable(answer) else answer)

    return script


class ScriptedUpstream:
    """Accepts connections and plays `script(connection)` in a thread for each.

    A connection counts from its first byte: checks of the service only connect. A script ends by
    returning (the connection is closed); EOFError and connection errors end it too, anything else fails
    the test.
    """

    def __init__(self, script, path=None, receive_buffer=None, starts_at_once=False, tls=None):
        self.script = script
        self.is_tls = tls is not None
        self._tls = tls  # the context of a server
        self.connections = []
        self.errors = []
        self._starts_at_once = starts_at_once
        self._threads = []
        self._is_stopping = False
        self._listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(path or ("127.0.0.1", 0))
        self._listener.listen(1024)
        self.address = f"unix:{path}" if path else "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def requests(self):
        return [message for connection in list(self.connections) for message in connection.requests]

    @property
    def accepted(self):
        """How many connections of the proxy brought requests."""
        return len(self.connections)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        connection = UpstreamConnection(sock, len(self.connections))
        try:
            if not self._starts_at_once:
                sock.settimeout(None)
                if not sock.recv(1, socket.MSG_PEEK):
                    sock.close()
                    return
                sock.settimeout(DEADLINE)
            connection.number = len(self.connections)
            self.connections.append(connection)
            if self._tls:
                from tls_support import SharedTlsSocket  # noqa: C0415 - which needs this module

                sock = connection.sock = SharedTlsSocket(sock, self._tls, server_side=True)
            self.script(connection)
        except (EOFError, OSError):
            pass
        except Exception as error:  # noqa: B902 - handed to the test's thread
            self.errors.append(error)
        finally:
            sock.close()

    def stop(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept()
        except OSError:
            pass
        self._listener.close()
        for connection in list(self.connections):
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Program:
    """A child process whose output is kept line by line."""

    def __init__(self, command, name, preexec=None):
        self.name = name
        self.lines = []
        self.error_lines = []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                         preexec_fn=preexec)
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, lines), daemon=True)
            for pipe, lines in ((self._process.stdout, self.lines),
                                (self._process.stderr, self.error_lines))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe, lines):
        for line in pipe:
            lines.append(line.decode("utf-8", "replace").rstrip("\n"))
        pipe.close()

    @property
    def pid(self):
        return self._process.pid

    def is_running(self):
        return self._process.poll() is None

    def signal(self, number):
        self._process.send_signal(number)

    def wait_exit(self, timeout=DEADLINE):
        status = self._process.wait(timeout)
        for reader in self._readers:
            reader.join()
        return status

    def wait_line(self, pattern):
        def find():
            found = next((m for line in list(self.lines) if (m := re.search(pattern, line))), None)
            if found is None and not self.is_running():
                raise AssertionError(f"{self.name} ended with {self.wait_exit()}: {self.error_lines}")
            return found

        return eventually(find, f"{self.name} prints {pattern!r}")

    def kill(self):
        if self.is_running():
            self._process.kill()
        self.wait_exit()

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

    def transcript(self):
        text = [f"--- {self.name} (pid {self.pid}, exit status {self._process.returncode})"]
        return "\n".join(text + self.lines[-60:] + [f"stderr: {line}" for line in self.error_lines])


class Outrigger(Program):
    """The proxy, with a generated configuration file (JSON is YAML), or with the given arguments.

    `around` is a command that runs it.
    """

    def __init__(self, config, folder, preexec=None, arguments=None, around=()):
        self.config_path = os.path.join(folder, f"outrigger-{time.monotonic_ns()}.yaml")
        if arguments is None:
            arguments = ["--config", self.config_path]
            with open(self.config_path, "w", encoding="utf-8") as file:
                json.dump(config, file)
        super().__init__([*around, OUTRIGGER, "serve", *arguments], "outrigger", preexec)

    def wait_started(self):
        self.admin_port = int(self.wait_line(r'"event":"started".*"admin_port":(\d+)')[1])
        texts = [event["address"] for event in self.events("listening")]
        self.addresses = [parse_address(text) for text in texts]
        self.address = self.addresses[0]

    def events(self, name=None):
        """Log lines, parsed; all of them must be JSON."""
        parsed = [json.loads(line) for line in list(self.lines)]
        return [event for event in parsed if name is None or event["event"] == name]

    def wait_events(self, name, count=1):
        return eventually(lambda: (e := self.events(name)) and len(e) >= count and e,
                          f"{count} log events {name}")

    def admin(self, method, path, body=None):
        """Status and text of an admin call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=DEADLINE)
        try:
            connection.request(method, path, body)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def metric(self, name, **labels):
        """Sum of the samples of outrigger_<name> whose labels include these."""
        total = 0.0
        for line in self.admin("GET", "/metrics")[1].splitlines():
            match = re.fullmatch(r"outrigger_(\w+)(?:\{(.*)\})? (\S+)(?: \d+)?", line)
            if not match or match[1] != name:
                continue
            present = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
            if all(present.get(key) == value for key, value in labels.items()):
                total += float(match[3])
        return total

    def wait_metric(self, name, value, **labels):
        try:
            eventually(lambda: self.metric(name, **labels) == value, "")
        except AssertionError:
            raise AssertionError(
                f"{name}{labels} is {self.metric(name, **labels)}, not {value}") from None

    def stop(self):
        """SIGTERM; returns the exit status. The caller has ended what was in flight."""
        if self.is_running():
            self.signal(signal.SIGTERM)
        try:
            return self.wait_exit()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("outrigger did not end at SIGTERM") from None

    def open_connections(self):
        return int(self.metric("downstream_connections"))


def parse_address(text):
    if text.startswith("unix:"):
        return text[len("unix:"):]
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class MockAi(Program):
    """tools/mock-ai."""

    def __init__(self, *flags, folder):
        super().__init__(
            [MOCK_AI, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags], "mock-ai")

    def wait_started(self):
        self.address = self.wait_line(r"listening on (\S+)")[1]
        self.admin_port = int(self.wait_line(r"admin on \S*:(\d+)")[1])

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=DEADLINE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            reply = connection.getresponse()
            text = reply.read()
            if reply.status >= 300:
                raise AssertionError(f"mock-ai {method} {path}: {reply.status} {text}")
            return json.loads(text) if text else None
        finally:
            connection.close()

    def executed(self, request_id):
        return self.call("GET", f"/ledger?id={request_id}")["executed"]

    def entry(self, request_id):
        return self.call("GET", f"/ledger?id={request_id}")

    def fault(self, spec, count=1, path="/"):
        self.call("POST", "/admin/faults", {"spec": spec, "count": count, "path": path})


class TestCase(unittest.TestCase):
    """Starts peers and ends them; prints the logs of the processes when a test fails."""

    maxDiff = None
    protocol = "http1"  # what the clients speak; see also_over_http2()
    upstream_protocol = "http1"  # what the services speak; see also_to_http2()
    is_tls = False  # on both sides; see also_over_tls()

    def run(self, result=None):
        self._programs = []
        result = result if result is not None else self.defaultTestResult()
        bad_before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > bad_before:
            for program in self._programs:
                print(program.transcript(), file=sys.stderr)
        return result

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="outrigger-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def upstream(self, script, **options):
        kind = ScriptedUpstream
        if self.upstream_protocol == "http2":
            from http2_upstream import Http2Upstream as kind  # noqa: C0415 - which needs this module
        if self.is_tls:
            protocols = ["h2"] if self.upstream_protocol == "http2" else ["http/1.1"]
            options["tls"] = self._authority().server_context(protocols=protocols)
        upstream = kind(script, **options)
        self.addCleanup(self._stop_upstream, upstream)
        return upstream

    @staticmethod
    def _authority():
        from tls_support import shared_authority  # noqa: C0415 - which needs this module

        return shared_authority()

    def service(self, program):
        """What the proxy is to talk to: `program`, or one that speaks HTTP/2 in front of it."""
        if self.upstream_protocol != "http2":
            return program
        from http2_upstream import relay  # noqa: C0415 - which needs this module

        return self.upstream(relay(program.address))

    def _stop_upstream(self, upstream):
        upstream.stop()
        self.assertEqual(upstream.errors, [], "a script failed")

    def config(self, upstream, listener=None, upstream_options=None, **top):
        """A configuration with one listener and one upstream; `top` are further keys."""
        address = upstream if isinstance(upstream, str) else upstream.address
        protocol = {"protocol": "http2"} if getattr(upstream, "is_http2", False) else {}
        if getattr(upstream, "is_tls", False):
            protocol["tls"] = {"ca": self._authority().cert, "server_name": "localhost"}
        if self.is_tls:
            pair = self._authority().pair
            listener = {"tls": {"cert": pair.cert, "key": pair.key}, **(listener or {})}
        return {
            "admin": {"address": "127.0.0.1:0", "drain": {"lame_duck": "0s", "timeout": "5s"}},
            "listeners": [{"name": "in", "address": "127.0.0.1:0", **(listener or {})}],
            "upstreams": [{"name": "app", "endpoints": [address], **protocol, **(upstream_options or {})}],
            "workers": WORKERS,
            **top,
        }

    def outrigger(self, upstream, preexec=None, **options):
        return self.outrigger_with(self.config(upstream, **options), preexec)

    def outrigger_with(self, config, preexec=None, arguments=None, around=()):
        proxy = Outrigger(config, self.folder, preexec, arguments, around)
        self._programs.append(proxy)
        self.addCleanup(self._stop_outrigger, proxy)
        proxy.wait_started()
        return proxy

    def _stop_outrigger(self, proxy):
        status = proxy.stop()
        reports = [line for line in proxy.error_lines if any(r in line for r in SANITIZER_REPORTS)]
        self.assertEqual(reports, [], "\n".join(proxy.error_lines))
        self.assertEqual(status, 0, "outrigger's exit status")

    def mock_ai(self, *flags):
        mock = MockAi(*flags, folder=self.folder)
        self._programs.append(mock)
        self.addCleanup(mock.kill)
        mock.wait_started()
        return mock

    @property
    def is_http2(self):
        return self.protocol == "http2"

    def connect(self, proxy, listener=0, **options):
        """A client that the test closes itself."""
        if self.is_http2:
            from http2_client import Http2Client  # noqa: C0415 - which needs this module

            if self.is_tls:
                options["tls"] = self._authority().client_context(protocols=["h2"])
            return Http2Client(proxy.addresses[listener], **options)
        if self.is_tls:
            from tls_support import SharedTlsClient  # noqa: C0415 - which needs this module

            return SharedTlsClient(proxy.addresses[listener], self._authority().client_context(), **options)
        return RawClient(proxy.addresses[listener], **options)

    def client(self, proxy, listener=0, **options):
        client = self.connect(proxy, listener, **options)
        self.addCleanup(client.close)
        return client

    def program(self, *arguments):
        """Runs `outrigger arguments...` to its end."""
        return subprocess.run([OUTRIGGER, *arguments], capture_output=True, text=True, timeout=DEADLINE,
                              check=False)

    def assert_local_reply(self, reply, status, reason):
        """B0.3: every answer of our own says why, in one form, and whether to come again."""
        self.assertEqual((reply.status, reply.reason), (status, reason), reply)
        self.assertEqual(reply.get("content-type"), "application/problem+json")
        self.assertIn(reply.get("x-should-retry"), ("true", "false"))
        problem = reply.json()
        self.assertEqual(problem["status"], status)
        self.assertEqual(problem["instance"], reply.get("x-request-id"))
        for key in ("type", "title", "detail"):
            self.assertTrue(problem[key], key)
        if status in (429, 503):
            self.assertGreaterEqual(int(reply.get("retry-after")), 1)
            self.assertGreater(int(reply.get("retry-after-ms")), 0)

    def assert_idle(self, proxy):
        """Nothing is left of any request."""
        proxy.wait_metric("in_flight_requests", 0)


def also_over_http2(namespace, *classes, without=()):
    """Adds a copy of each class of tests whose clients speak HTTP/2.

    `without`: names of tests that are about HTTP/1 itself. To be called at the end of a module.
    """
    _add_copies(namespace, classes, without, "OverHttp2", protocol="http2")


def also_to_http2(namespace, *classes, without=()):
    """The same with services that speak HTTP/2, for clients of either protocol."""
    _add_copies(namespace, classes, without, "ToHttp2", upstream_protocol="http2")
    _add_copies(namespace, classes, without, "OverAndToHttp2", protocol="http2", upstream_protocol="http2")


def also_over_tls(namespace, *classes, without=()):
    """The same with HTTP/2 over TLS on both sides of the proxy."""
    _add_copies(namespace, classes, without, "OverTls", protocol="http2", upstream_protocol="http2", is_tls=True)


def also_http1_over_tls(namespace, *classes, without=()):
    """The same with HTTP/1.1 over TLS on both sides."""
    _add_copies(namespace, classes, without, "Http1OverTls", is_tls=True)


def _add_copies(namespace, classes, without, suffix, **protocols):
    left_out = dict.fromkeys(without)
    for cls in classes:
        name = cls.__name__ + suffix
        unknown = [test for test in without if not any(hasattr(other, test) for other in classes)]
        if unknown:
            raise AssertionError(f"no such tests: {unknown}")
        members = {key: value for key, value in left_out.items() if hasattr(cls, key)}
        namespace[name] = type(name, (cls,), {**protocols, "__module__": cls.__module__, **members})


def listening_port(pid):
    """The TCP port on which a process listens; None: not yet."""
    sockets = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        try:
            sockets.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
        except OSError:
            pass  # closed meanwhile
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{name}", encoding="ascii") as table:
            for line in table.readlines()[1:]:
                words = line.split()
                if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                    return int(words[1].partition(":")[2], 16)
    return None


def limit_files(soft_and_hard):
    """A preexec function: the child may open so many files."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft_and_hard, soft_and_hard))


def read_ended(connection, timeout=DEADLINE):
    """Seconds until the other side of `connection` has closed."""
    began = time.monotonic()
    eventually(connection.has_ended, "the connection ends", timeout)
    return time.monotonic() - began
