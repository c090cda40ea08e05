"""A client for the tests that speaks HTTP/2 on the wire and HTTP/1.1 to its caller.

    client = Http2Client(proxy.address)
    client.send(request("POST", "/", b"hello"))       # becomes HEADERS and DATA of a stream
    reply = client.read_response()

So one test serves for both protocols: what it sends as HTTP/1.1 is translated, however it is split, and what comes
back is rendered as HTTP/1.1 in the order of the requests (a body without Content-Length in chunks, a reset stream as
the end of the connection). Bytes are taken from the socket only while the caller waits for some, and only then are
windows opened; so a caller that does not read is a client that does not read.

A handshake of WebSockets becomes an extended CONNECT (RFC 8441), and the rest of the connection is its tunnel.
"""

import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

import harness
from http1_cutter import HOP_BY_HOP, Cutter
from websocket_support import accept_of

GOAWAY = 7


def is_upgrade(names):
    return "upgrade" in names and "upgrade" in names.get("connection", "").lower()


def answer_to_upgrade(protocol, key):
    accept = [("sec-websocket-accept", accept_of(key))] if key else []
    return [("connection", "Upgrade"), ("upgrade", protocol), *accept]


class Stream:
    """One request on its way and what has come of its answer."""

    def __init__(self, stream_id):
        self.id = stream_id
        self.rendered = b""
        self.is_chunked = False
        self.has_ended = False  # the answer, in good order
        self.is_reset = False
        self.reset_code = None
        self.is_sent = False
        self.upgrade = None  # what an opened tunnel answers in HTTP/1.1
        self.is_tunnel = False


class RequestTranslator(Cutter):
    """Cuts a stream of requests; heads are ("head", target line, fields)."""

    def _head(self):
        head = self._take(b"\r\n\r\n")
        if head is None:
            return None
        lines = head.split(b"\r\n")
        fields = [harness.parse_field(line) for line in lines[1:]]
        names = {name.lower(): value for name, value in fields}
        if is_upgrade(names):
            self.state = "tunnel"
        elif names.get("transfer-encoding") == "chunked":
            self.state = "chunk_size"
        else:
            self.left = int(names.get("content-length", 0))
            self.state = "body"
        return "head", lines[0].decode("latin-1").split(" "), fields

    def _body(self):
        if self.left == 0:
            self.state = "head"
            return "end", []
        data = self._take_left()
        return ("data", data, False) if data else None


class Http2Client(harness.RawClient):
    def __init__(self, address, receive_buffer=None, tls=None):
        super().__init__(address, receive_buffer)
        if tls:
            from tls_support import SharedTlsSocket  # noqa: C0415 - which needs the harness

            self.sock = SharedTlsSocket(self.sock, tls, waits=False, needs_close_notify=False,
                                        server_hostname="localhost")
        self.scheme = "https" if tls else "http"
        self.lock = threading.RLock()
        self.streams = {}
        self.order = []  # ids of streams whose answers were not read to their end
        self.goaway = None  # code and last stream
        self._frames = b""  # received in part
        self._translator = RequestTranslator()
        self._open = None
        self._end = None  # how the connection ended
        config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1",
                                           validate_outbound_headers=False,
                                           normalize_outbound_headers=False,
                                           validate_inbound_headers=True)
        self.h2 = h2.connection.H2Connection(config)
        # As a real client's: more than the bodies of the tests that do not mean to wait.
        self.h2.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.ENABLE_PUSH: 0,
                                         h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        self.h2.initiate_connection()
        self._flush()

    # Out.

    def _flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def send(self, data):
        for event in self._translator.feed(data):
            if event[0] == "head":
                self._send_head(event[1], event[2])
            elif event[0] == "data":
                self._send_data(event[1])
            else:
                self._send_end(event[1])

    def _send_head(self, line, fields):
        method, target = line[0], line[1]
        authority = next((value for name, value in fields if name.lower() == "host"), "")
        nominated = {token.strip().lower() for name, value in fields if name.lower() == "connection"
                     for token in value.split(",")}
        if target.startswith("http://"):
            authority, slash, path = target[len("http://"):].partition("/")
            target = slash + path or "/"
        headers = [(":method", method), (":path", target), (":scheme", self.scheme), (":authority", authority)]
        names = {name.lower(): value for name, value in fields}
        if is_upgrade(names):
            headers[0:1] = [(":method", "CONNECT"), (":protocol", names["upgrade"])]
            nominated.add("sec-websocket-key")
        headers += [(name.lower(), value) for name, value in fields
                    if name.lower() not in HOP_BY_HOP | nominated | {"host"} or name.lower() == "te"]
        with self.lock:
            self._open = Stream(self.h2.get_next_available_stream_id())
            self.streams[self._open.id] = self._open
            self.order.append(self._open.id)
            has_body = self._translator.state != "body" or self._translator.left > 0
            self._open.is_sent = not has_body
            if is_upgrade(names):
                self._open.upgrade = answer_to_upgrade(names["upgrade"], names.get("sec-websocket-key"))
                self._wait_for_tunnels()
            self.h2.send_headers(self._open.id, headers, end_stream=not has_body)
            self._flush()

    def _send_data(self, data):
        stream = self._open
        data = memoryview(data)
        deadline = time.monotonic() + (self.sock.gettimeout() or harness.DEADLINE)
        while data:
            with self.lock:
                if stream.is_tunnel and (stream.is_reset or self._end):
                    raise BrokenPipeError
                if stream.is_reset or self._end or (stream.has_ended and not stream.is_tunnel):
                    return  # nobody wants the rest
                room = min(self.h2.local_flow_control_window(stream.id), self.h2.max_outbound_frame_size)
                if room > 0:
                    self.h2.send_data(stream.id, bytes(data[:room]))
                    data = data[room:]
                    self._flush()
                    deadline = time.monotonic() + (self.sock.gettimeout() or harness.DEADLINE)
                    continue
            self._receive(0.02)
            if time.monotonic() > deadline:
                raise TimeoutError

    def _send_end(self, trailers):
        stream = self._open
        with self.lock:
            if stream.is_sent or stream.is_reset or self._end:
                return
            stream.is_sent = True
            if trailers:
                self.h2.send_headers(stream.id, [(name.lower(), value) for name, value in trailers],
                                     end_stream=True)
            else:
                self.h2.end_stream(stream.id)
            self._flush()

    def _wait_for_tunnels(self):
        """They may be asked for when the proxy's settings have said so."""
        deadline = time.monotonic() + harness.DEADLINE
        while not self.h2.remote_settings.enable_connect_protocol:
            self._receive(0.05)
            if time.monotonic() > deadline:
                raise TimeoutError

    def half_close(self):
        """Of a tunnel; otherwise of the connection."""
        if self._open is None or not self._open.is_tunnel:
            super().half_close()
        else:
            self._send_end([])

    def reset_streams(self, code=h2.errors.ErrorCodes.CANCEL):
        """RST_STREAM on all streams whose answers were not read."""
        with self.lock:
            for stream_id in self.order:
                try:
                    self.h2.reset_stream(stream_id, code)
                except h2.exceptions.StreamClosedError:
                    pass
            self.order = []
            self._flush()

    # In.

    def _receive(self, timeout):
        """Takes what comes within `timeout` seconds; False: nothing came."""
        if not harness.select.select([self.sock], [], [], timeout)[0]:
            return False
        with self.lock:
            if self._end:
                return True
            # Another thread may have taken it; a socket with a timeout would wait.
            if not harness.select.select([self.sock], [], [], 0)[0]:
                return False
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                return False
            except ConnectionError as error:
                self._end = error
                return True
            if not data:
                self._end = EOFError()
                return True
            for event in self.h2.receive_data(self._without_goaway(data)):
                self._handle(event)
            try:
                self._flush()
            except OSError:
                pass  # the end is met when it is read
        return True

    def _without_goaway(self, data):
        """Whole frames but GOAWAY, after which the library would hear of no stream any more."""
        self._frames += data
        passed = b""
        while len(self._frames) >= 9:
            size = 9 + int.from_bytes(self._frames[:3], "big")
            if len(self._frames) < size:
                break
            frame, self._frames = self._frames[:size], self._frames[size:]
            if frame[3] == GOAWAY:
                self.goaway = (int.from_bytes(frame[13:17], "big"), int.from_bytes(frame[9:13], "big"))
            else:
                passed += frame
        return passed

    def _handle(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if isinstance(event, h2.events.InformationalResponseReceived):
            stream.rendered += self._render_head(event.headers)
        elif isinstance(event, h2.events.ResponseReceived):
            names = {name for name, _ in event.headers}
            status = dict(event.headers)[":status"]
            if stream.upgrade and status == "200":
                stream.is_tunnel = True
                stream.rendered += self._render_head([(":status", "101"), *event.headers[1:], *stream.upgrade])
                return
            is_bodiless = event.stream_ended is not None or status in ("204", "304")
            stream.is_chunked = "content-length" not in names and not is_bodiless
            more = [("transfer-encoding", "chunked")] if stream.is_chunked else []
            if is_bodiless and "content-length" not in names and status not in ("204", "304"):
                more = [("content-length", "0")]
            stream.rendered += self._render_head(event.headers + more)
        elif isinstance(event, h2.events.DataReceived):
            if stream.is_chunked and event.data:
                stream.rendered += b"%x\r\n%s\r\n" % (len(event.data), event.data)
            else:
                stream.rendered += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, stream.id)
        elif isinstance(event, h2.events.TrailersReceived):
            fields = "".join(f"{name}: {value}\r\n" for name, value in event.headers)
            stream.rendered += b"0\r\n" + fields.encode("latin-1") + b"\r\n"
            stream.is_chunked = False
        elif isinstance(event, h2.events.StreamEnded):
            if stream.is_chunked:
                stream.rendered += b"0\r\n\r\n"
            stream.has_ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.is_reset = True
            stream.reset_code = event.error_code

    @staticmethod
    def _render_head(headers):
        status = int(dict(headers)[":status"])
        phrase = {100: "Continue", 101: "Switching Protocols", 103: "Early Hints", 200: "OK"}.get(status, "Status")
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers if name[0] != ":")
        return f"HTTP/1.1 {status} {phrase}\r\n{fields}\r\n".encode("latin-1")

    def _drain(self):
        """What can be had without waiting, into the buffer; true: something, or the end of a stream."""
        with self.lock:
            while self.order:
                stream = self.streams[self.order[0]]
                self.buffer += stream.rendered
                got, stream.rendered = bool(stream.rendered), b""
                if not stream.has_ended and not stream.is_reset:
                    return got
                self.order.pop(0)
                if stream.is_tunnel:
                    self._tunnel_end = EOFError() if stream.has_ended else ConnectionResetError()
                    return got
                del self.streams[stream.id]
                if not stream.has_ended:
                    self._cut = True
                    return True
                if got:
                    return True
            return False

    _cut = False
    _tunnel_end = None  # how its direction to this side ended

    def _fill(self):
        deadline = time.monotonic() + (self.sock.gettimeout() or harness.DEADLINE)
        while True:
            if self._cut:
                self._cut = False
                raise EOFError
            if self._drain():
                if self._cut and not self.buffer:
                    continue
                return
            if self._tunnel_end or self._end:
                raise self._tunnel_end or self._end
            if not self._receive(0.05) and time.monotonic() > deadline:
                raise TimeoutError

    def read_exactly(self, count):
        parts, left = [], count
        while True:
            parts.append(self.buffer[:left])
            self.buffer = self.buffer[left:]
            left -= len(parts[-1])
            if left == 0:
                return b"".join(parts)
            try:
                self._fill()
            except (EOFError, ConnectionError):
                self.buffer = b"".join(parts)
                raise

    def has_data(self, timeout=0.0):
        deadline = time.monotonic() + timeout
        while not self.buffer:
            if self._drain() or self._tunnel_end or self._end:
                return True
            if not self._receive(max(0.0, deadline - time.monotonic())):
                return False
        return True
