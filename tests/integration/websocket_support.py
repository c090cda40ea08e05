"""WebSockets for the tests: frames and handshakes as bytes, scripted services, and both ends over HTTP/2 (RFC 8441)."""

import base64
import hashlib
import os
import socket
import struct
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

import harness
from harness import request, response

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GOAWAY = 7  # a frame of HTTP/2
HANDSHAKE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", KEY),
             ("Sec-WebSocket-Version", "13")]


def handshake(target="/ws", headers=()):
    return request(target=target, headers=[*HANDSHAKE, *headers])


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def frame(payload, opcode=BINARY, mask=False, fin=True):
    """One frame; a client masks."""
    mask_bit = 0x80 if mask else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        head += bytes([mask_bit | len(payload)])
    elif len(payload) < 1 << 16:
        head += bytes([mask_bit | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", len(payload))
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + masked(payload, key)


def masked(payload, key):
    repeated = key * (len(payload) // 4 + 1)
    size = len(payload)
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated[:size], "big")).to_bytes(size, "big")


def read_frame(peer):
    """Opcode, payload and whether it was masked."""
    head = peer.read_exactly(2)
    size = head[1] & 0x7F
    if size == 126:
        size = struct.unpack(">H", peer.read_exactly(2))[0]
    elif size == 127:
        size = struct.unpack(">Q", peer.read_exactly(8))[0]
    key = peer.read_exactly(4) if head[1] & 0x80 else b""
    payload = peer.read_exactly(size)
    return head[0] & 0x0F, masked(payload, key) if key else payload, bool(key)


def switch(connection, headers=(), message=None):
    """Reads a handshake, answers 101, and returns the request."""
    message = message or connection.read_request()
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"),
              ("Sec-WebSocket-Accept", accept_of(message.get("sec-websocket-key", ""))), *headers]
    connection.send(response(status="101 Switching Protocols", headers=fields, length=False))
    return message


def switching(play=None, headers=()):
    """A script: a WebSocket, of which `play(connection)` is told; echoes bytes without it."""

    def script(connection):
        switch(connection, headers)
        (play or echo)(connection)

    return script


def echo(connection):
    while True:
        if not connection.buffer:
            connection._fill()
        data, connection.buffer = connection.buffer, b""
        connection.send(data)


class TunnelClient:
    """A client of HTTP/2 with one WebSocket, read like a harness.Peer. Windows are opened only for what was read."""

    def __init__(self, address, receive_buffer=None, context=None):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(harness.DEADLINE)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="latin-1", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.h2.initiate_connection()
        self._flush()
        self.buffer = b""
        self._frames = b""  # received in part
        self.stream = None
        self.status, self.fields = None, {}
        self.has_ended = False
        self.reset_code = None

    def _flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def _receive(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        for event in self.h2.receive_data(self._without_goaway(data)):
            if getattr(event, "stream_id", None) != self.stream or self.stream is None:
                continue
            if isinstance(event, h2.events.ResponseReceived):
                self.fields = dict(event.headers)
                self.status = int(self.fields[":status"])
            elif isinstance(event, h2.events.DataReceived):
                self.buffer += event.data
                if event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, self.stream)
            elif isinstance(event, h2.events.StreamEnded):
                self.has_ended = True
            elif isinstance(event, h2.events.StreamReset):
                self.reset_code = event.error_code
        self._flush()

    def _without_goaway(self, data):
        """Whole frames but GOAWAY, after which the library would hear of no stream any more."""
        self._frames += data
        passed = b""
        while len(self._frames) >= 9 and len(self._frames) >= 9 + int.from_bytes(self._frames[:3], "big"):
            size = 9 + int.from_bytes(self._frames[:3], "big")
            if self._frames[3] != GOAWAY:
                passed += self._frames[:size]
            self._frames = self._frames[size:]
        return passed

    def wait_settings(self):
        """Whether the proxy's settings allow tunnels."""
        code = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
        while self.h2.remote_settings.get(code) is None:
            self._receive()
        return bool(self.h2.remote_settings.enable_connect_protocol)

    def open(self, target="/ws", protocol="websocket", headers=(("sec-websocket-version", "13"),)):
        """Extended CONNECT; the answer's status."""
        self.stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(self.stream, [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"),
                                           (":authority", "a"), (":path", target), *headers])
        self._flush()
        while self.status is None and self.reset_code is None:
            self._receive()
        return self.status

    def send(self, data, end=False):
        data = memoryview(data)
        while data:
            room = min(self.h2.local_flow_control_window(self.stream), self.h2.max_outbound_frame_size)
            if room == 0:
                self._receive()
                continue
            self.h2.send_data(self.stream, bytes(data[:room]))
            self._flush()
            data = data[room:]
        if end:
            self.h2.end_stream(self.stream)
            self._flush()

    def read_exactly(self, count):
        while len(self.buffer) < count:
            if self.has_ended or self.reset_code is not None:
                raise EOFError
            self._receive()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_to_end(self):
        """All bytes until the stream's end, and whether that was in order."""
        while not self.has_ended and self.reset_code is None:
            self._receive()
        data, self.buffer = self.buffer, b""
        return data, self.has_ended

    def reset(self, code=8):
        self.h2.reset_stream(self.stream, code)
        self._flush()

    def close(self):
        self.sock.close()


class TunnelService:
    """A service of HTTP/2 that takes extended CONNECT and echoes; `answers` may refuse."""

    def __init__(self, allows=True, status=200, ends_first=False):
        self.requests = []
        self.resets = []
        self.ended = threading.Event()  # the other side has ended a stream
        self.received = b""
        self._allows = allows
        self._status = status
        self._ends_first = ends_first
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self.is_http2 = True
        self.errors = []
        self._sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            self._talk(sock)
        except OSError:
            pass
        except Exception as error:  # noqa: B902 - handed to the test's thread
            self.errors.append(error)
        finally:
            sock.close()

    def _talk(self, sock):
        connection = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="latin-1"))
        if self._allows:
            connection.local_settings = h2.settings.Settings(
                client=False, initial_values={h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
                                              h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100})
        connection.initiate_connection()
        sock.sendall(connection.data_to_send())
        waiting = {}
        while data := sock.recv(65536):
            for event in connection.receive_data(data):
                self._handle(connection, event, waiting)
            for stream in list(waiting):
                self._echo(connection, stream, waiting)
            sock.sendall(connection.data_to_send())

    def _handle(self, connection, event, waiting):
        if isinstance(event, h2.events.RequestReceived):
            fields = dict(event.headers)
            self.requests.append(fields)
            is_tunnel = fields[":method"] == "CONNECT" and self._status < 300
            connection.send_headers(event.stream_id, [(":status", str(self._status))], end_stream=not is_tunnel)
            if is_tunnel:
                waiting[event.stream_id] = [b"", False]
        elif isinstance(event, h2.events.DataReceived):
            self.received += event.data
            if event.stream_id in waiting:
                waiting[event.stream_id][0] += event.data
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.set()
            if event.stream_id in waiting:
                waiting[event.stream_id][1] = True
        elif isinstance(event, h2.events.StreamReset):
            self.resets.append(event.error_code)
            waiting.pop(event.stream_id, None)

    def _echo(self, connection, stream, waiting):
        data, has_ended = waiting[stream]
        try:
            while data:
                room = min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size)
                if room == 0:
                    break
                connection.send_data(stream, data[:room])
                data = data[room:]
            waiting[stream][0] = data
            if not data and (has_ended or self._ends_first):
                connection.end_stream(stream)
                del waiting[stream]
        except h2.exceptions.StreamClosedError:
            waiting.pop(stream, None)

    def stop(self):
        self._listener.close()
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
