"""A service for the tests that speaks HTTP/2 on the wire and HTTP/1.1 to its script.

    upstream = Http2Upstream(harness.answering(harness.response(b"hi")))

The counterpart of http2_client.py: each stream is a "connection" that carries one request, played by the script in a
thread of its own. What the script sends as HTTP/1.1 is translated, however it is split; what it reads is the request
rendered as HTTP/1.1. Closing before the answer is complete, or resetting, becomes RST_STREAM. The stream's window is
opened only for what the script has read. An extended CONNECT (RFC 8441) is read as the handshake that it stands for, and
a 101 makes a tunnel of the stream.
"""

import socket
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

import harness
from http1_cutter import HOP_BY_HOP, Cutter
from websocket_support import KEY


class ResponseTranslator(Cutter):
    """Cuts one answer; heads are ("head", status, fields, is_last)."""

    AFTER = "over"

    def __init__(self, method):
        super().__init__()
        self.method = method

    def _head(self):
        head = self._take(b"\r\n\r\n")
        if head is None:
            return None
        lines = head.split(b"\r\n")
        status = int(lines[0].split(b" ")[1])
        fields = [harness.parse_field(line) for line in lines[1:]]
        names = {name.lower(): value for name, value in fields}
        if status == 101:
            self.state = "tunnel"
            return "head", 200, [field for field in fields if field[0].lower() != "sec-websocket-accept"], False
        if status < 200:
            return "head", status, fields, False
        if self.method == "HEAD" or status in (204, 304):
            self.state = "over"
        elif names.get("transfer-encoding") == "chunked":
            self.state = "chunk_size"
        elif "content-length" in names:
            self.left = int(names["content-length"])
            self.state = "body" if self.left else "over"
        else:
            self.state = "until_close"
        return "head", status, fields, self.state == "over"

    def _body(self):
        data = self._take_left()
        if self.left == 0:
            self.state = "over"
        return ("data", data, self.left == 0) if data else None

    def _until_close(self):
        data, self.buffer = self.buffer, b""
        return ("data", data, False) if data else None

    def _over(self):
        return None


class StreamPeer(harness.UpstreamConnection):
    """One stream, as scripts see a connection."""

    class _Socket:
        """What harness.Peer and ScriptedUpstream need of a socket."""

        def __init__(self):
            self.timeout = harness.DEADLINE

        def settimeout(self, seconds):
            self.timeout = seconds

        def gettimeout(self):
            return self.timeout

        def shutdown(self, how):
            pass

        def close(self):
            pass

    def __init__(self, wire, stream_id, event):
        super().__init__(self._Socket(), 0)
        self.wire = wire
        self.stream_id = stream_id
        self.fields = list(event.headers)
        pseudo = dict(field for field in self.fields if field[0].startswith(":"))
        self.method = pseudo[":method"]
        self.upgrade = pseudo.get(":protocol")
        self._translator = ResponseTranslator(self.method)
        self._incoming = self._render(pseudo, event)
        self._unread = 0  # bytes of DATA whose window was not given back
        self.is_ended = False  # by the proxy
        self.is_gone = False  # reset by the proxy, or with the connection
        self.reset_code = None
        self.is_over = False  # by the script

    def _render(self, pseudo, event):
        regular = [field for field in self.fields if not field[0].startswith(":")]
        names = {name for name, _ in regular}
        self.is_chunked = event.stream_ended is None and "content-length" not in names and not self.upgrade
        lines = [f"{'GET' if self.upgrade else self.method} {pseudo[':path']} HTTP/1.1"]
        if ":authority" in pseudo:
            lines.append(f"host: {pseudo[':authority']}")
        lines += [f"{name}: {value}" for name, value in regular]
        if self.is_chunked:
            lines.append("transfer-encoding: chunked")
        if self.upgrade:
            lines += ["connection: Upgrade", f"upgrade: {self.upgrade}"]
        if self.upgrade == "websocket":
            lines.append(f"sec-websocket-key: {KEY}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def getpeername(self):
        return self.wire.sock.getpeername()

    # By the wire's thread, under its lock.

    def on_data(self, event):
        if self.is_chunked and event.data:
            self._incoming += b"%x\r\n%s\r\n" % (len(event.data), event.data)
        else:
            self._incoming += event.data
        self._unread += event.flow_controlled_length

    def on_end(self, trailers):
        if self.is_chunked:
            fields = "".join(f"{name}: {value}\r\n" for name, value in trailers)
            self._incoming += b"0\r\n" + fields.encode("latin-1") + b"\r\n"
        self.is_ended = True

    # By the script.

    def _fill(self):
        wire = self.wire
        with wire.changed:
            wire.wait_for(lambda: self._incoming or self.is_ended or self.is_gone, self.sock.timeout)
            if not self._incoming:
                # The other direction of a tunnel may be cancelled behind the end of this one.
                if self.is_gone and not (self.is_tunnel and self.is_ended):
                    raise ConnectionResetError
                raise EOFError
            self.buffer += self._incoming
            self._incoming = b""
            if self._unread and not self.is_gone and (not self.is_over or self.is_tunnel):
                try:
                    wire.h2.acknowledge_received_data(self._unread, self.stream_id)
                except (h2.exceptions.ProtocolError, KeyError):
                    pass
                wire.flush()
            self._unread = 0

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

    @property
    def is_tunnel(self):
        return self._translator.state == "tunnel"

    def read_to_end(self):
        """Until the stream is gone: that a request has ended says nothing about its client."""
        if self.is_tunnel:
            return super().read_to_end()
        with self.wire.changed:
            self.wire.wait_for(lambda: self.is_gone, self.sock.timeout)
            data, self.buffer, self._incoming = self.buffer + self._incoming, b"", b""
        return data, False

    def has_ended(self):
        return self.is_gone or self.wire.is_closed

    def has_data(self, timeout=0.0):
        with self.wire.changed:
            if self.buffer:
                return True
            return self.wire.changed.wait_for(lambda: self._incoming or self.is_gone or self.is_ended, timeout)

    def send(self, data):
        for event in self._translator.feed(data):
            if event[0] == "head":
                self._send_head(*event[1:])
            elif event[0] == "data":
                self._send_data(*event[1:])
            else:
                self._send_end(event[1])

    def _check(self):
        if self.is_gone or self.wire.is_closed:
            raise BrokenPipeError

    def _send_head(self, status, fields, is_last):
        headers = [(":status", str(status))]
        headers += [(name.lower(), value) for name, value in fields if name.lower() not in HOP_BY_HOP]
        with self.wire.changed:
            self._check()
            self.is_over = is_last
            self.wire.h2.send_headers(self.stream_id, headers, end_stream=is_last)
            self.wire.flush()

    def _send_data(self, data, is_last):
        wire = self.wire
        data = memoryview(data)
        while data:
            with wire.changed:
                wire.wait_for(lambda: self.is_gone or wire.window(self.stream_id) > 0, self.sock.timeout)
                self._check()
                piece = data[:wire.window(self.stream_id)]
                data = data[len(piece):]
                self.is_over = is_last and not data
                wire.h2.send_data(self.stream_id, bytes(piece), end_stream=self.is_over)
                wire.flush()

    def _send_end(self, trailers):
        with self.wire.changed:
            self._check()
            self.is_over = True
            if trailers:
                fields = [(name.lower(), value) for name, value in trailers]
                self.wire.h2.send_headers(self.stream_id, fields, end_stream=True)
            else:
                self.wire.h2.end_stream(self.stream_id)
            self.wire.flush()

    def reset(self, code=h2.errors.ErrorCodes.INTERNAL_ERROR):
        with self.wire.changed:
            if self.is_gone or self.wire.is_closed:
                return
            self.is_over = True
            try:
                self.wire.h2.reset_stream(self.stream_id, code)
            except h2.exceptions.ProtocolError:
                return
            self.wire.flush()

    def half_close(self):
        self._send_end([])

    def close(self):
        if self.is_over:
            return
        if self._translator.state in ("until_close", "tunnel"):
            try:
                self._send_end([])
            except OSError:
                pass
        else:
            self.reset()


class Wire:
    """One connection from the proxy."""

    def __init__(self, sock, upstream):
        self.sock = sock
        self.upstream = upstream
        self.changed = threading.Condition(threading.RLock())
        self.streams = {}
        self.peak = 0  # streams at a time
        self.is_closed = False
        self.goaway = None  # from the proxy: (code, last stream)
        self.pings = 0
        config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1",
                                           validate_outbound_headers=False,
                                           normalize_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        settings = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535,
                    h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: upstream.max_streams,
                    h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=settings)

    def wait_for(self, condition, timeout):
        """Under `changed`."""
        if not self.changed.wait_for(lambda: self.is_closed or condition(), timeout):
            raise TimeoutError

    def window(self, stream_id):
        try:
            return min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
        except (KeyError, h2.exceptions.ProtocolError):
            return 1  # closed: the send will say it

    def flush(self):
        data = self.h2.data_to_send()
        if not data:
            return
        try:
            self.sock.sendall(data)
        except OSError:
            self.is_closed = True

    def settings(self, values):
        with self.changed:
            self.h2.update_settings(values)
            self.flush()

    def goaway_after(self, last_stream_id, code=0):
        """Streams above `last_stream_id` were not processed; the others go on."""
        frame = (b"\0\0\x08\x07\0\0\0\0\0" + last_stream_id.to_bytes(4, "big") + int(code).to_bytes(4, "big"))
        with self.changed:
            self.sock.sendall(frame)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def run(self):
        with self.changed:
            self.h2.initiate_connection()
            self.flush()
        try:
            while True:
                data = self.sock.recv(65536)
                if not data:
                    break
                with self.changed:
                    for event in self.h2.receive_data(data):
                        self._handle(event)
                    self.flush()
                    self.changed.notify_all()
        except OSError:
            pass
        except h2.exceptions.ProtocolError as error:
            self.upstream.errors.append(error)
        finally:
            with self.changed:
                self.is_closed = True
                for stream in self.streams.values():
                    if not stream.is_over:
                        stream.is_gone = True
                self.changed.notify_all()
            self.sock.close()

    def _handle(self, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = (event.error_code, event.last_stream_id)
            return
        if isinstance(event, h2.events.PingReceived):
            self.pings += 1
            return
        stream_id = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            stream = StreamPeer(self, stream_id, event)
            self.streams[stream_id] = stream
            running = sum(not (s.is_over or s.is_gone) for s in self.streams.values())
            self.peak = max(self.peak, running)
            self.upstream.on_stream(stream)
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        if isinstance(event, h2.events.DataReceived):
            if stream.is_over and not stream.is_tunnel and event.flow_controlled_length:
                try:
                    self.h2.increment_flow_control_window(event.flow_controlled_length)
                except h2.exceptions.ProtocolError:
                    pass  # the proxy has said goodbye meanwhile
            stream.on_data(event)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            stream.on_end(getattr(stream, "trailers", []))
        elif isinstance(event, h2.events.StreamReset):
            stream.reset_code = event.error_code
            stream.is_gone = True


def relay(address):
    """A script: the stream is passed to a service of HTTP/1 at `address`, each on a connection of its own."""

    def script(connection):
        message = connection.read_request()
        with socket.create_connection(harness.parse_address(address), harness.DEADLINE) as service:
            service.sendall(message.raw_head)
            if message.get("transfer-encoding"):
                service.sendall(harness.chunks([message.body] if message.body else [], message.trailers))
            else:
                service.sendall(message.body)
            while not connection.has_ended():
                if not harness.select.select([service], [], [], 0.005)[0]:
                    continue
                data = service.recv(65536)
                if not data:
                    return
                connection.send(data)
            harness.reset(service)

    return script


class Http2Upstream(harness.ScriptedUpstream):
    """`connections` are the streams, `wires` the connections. `on_wire` is called with each before it greets. `tls`: the
    context of a server."""

    is_http2 = True

    def __init__(self, script, max_streams=100, on_wire=None, tls=None, **options):
        self.max_streams = max_streams
        self.wires = []
        self._on_wire = on_wire
        super().__init__(script, tls=tls, **options)

    def _serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) if sock.family == socket.AF_INET else None
        sock.settimeout(None)
        try:
            if not sock.recv(1, socket.MSG_PEEK):
                sock.close()
                return
            if self._tls:
                from tls_support import SharedTlsSocket  # noqa: C0415 - which needs the harness

                sock.settimeout(harness.DEADLINE)
                sock = SharedTlsSocket(sock, self._tls, needs_close_notify=False, server_side=True)
                if sock.protocol() != "h2":
                    sock.close()
                    return
                sock.settimeout(None)
        except OSError:
            sock.close()
            return
        wire = Wire(sock, self)
        self.wires.append(wire)
        if self._on_wire:
            self._on_wire(wire)
        wire.run()

    def on_stream(self, stream):
        stream.number = len(self.connections)
        self.connections.append(stream)
        threading.Thread(target=self._play, args=(stream,), daemon=True).start()

    def _play(self, stream):
        try:
            self.script(stream)
        except (EOFError, OSError, h2.exceptions.StreamClosedError):
            pass
        except Exception as error:  # noqa: B902 - handed to the test's thread
            self.errors.append(error)
        finally:
            stream.close()

    @property
    def accepted(self):
        return len(self.wires)

    def open_wires(self):
        return [wire for wire in self.wires if not wire.is_closed]

    def stop(self):
        super().stop()
        for wire in list(self.wires):
            wire.close()
