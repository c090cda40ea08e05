"""What is particular to HTTP/2 from clients: heads that HTTP/1 could not say, limits, floods, windows, GOAWAY, and
other people's clients (PR-2)."""

import shutil
import socket
import struct
import subprocess
import threading
import unittest

import hpack
import hyperframe.frame as frames

import harness
from harness import answering, chunked, request, response

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 7, 8, 11
GET = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
POST = [(":method", "POST"), *GET[1:]]


class FrameClient(harness.Peer):
    """Sends exactly the frames that it is told to, and keeps those that come."""

    def __init__(self, address, window=65535, settings=None, receive_buffer=None):
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.send(PREFACE + frames.SettingsFrame(0, settings={4: window, **(settings or {})}).serialize())

    def frame(self, frame, **fields):
        for name, value in fields.items():
            setattr(frame, name, value)
        self.send(frame.serialize())

    def headers(self, stream, fields, end=True, encoded=None):
        block = encoded if encoded is not None else self.encoder.encode(fields)
        flags = ["END_HEADERS"] + (["END_STREAM"] if end else [])
        self.send(frames.HeadersFrame(stream, block, flags=flags).serialize())

    def data(self, stream, data, end=False):
        self.send(frames.DataFrame(stream, data, flags=["END_STREAM"] if end else []).serialize())

    def next(self):
        """The next frame; of HEADERS the fields, too."""
        frame, length = frames.Frame.parse_frame_header(memoryview(self.read_exactly(9)))
        frame.parse_body(memoryview(self.read_exactly(length)))
        if isinstance(frame, frames.HeadersFrame):
            frame.fields = dict(self.decoder.decode(frame.data))
        return frame

    def wait(self, kind, stream=None, where=lambda frame: True):
        """The next frame of that kind and stream; others are passed over."""
        while True:
            frame = self.next()
            if isinstance(frame, kind) and stream in (None, frame.stream_id) and where(frame):
                return frame

    def answer(self, stream):
        """Status and body, or ("reset", code)."""
        status, body = None, b""
        while True:
            frame = self.next()
            if frame.stream_id != stream:
                continue
            if isinstance(frame, frames.RstStreamFrame):
                return "reset", frame.error_code
            if isinstance(frame, frames.HeadersFrame):
                status = int(frame.fields.get(":status", status))
            if isinstance(frame, frames.DataFrame):
                body += frame.data
            if "END_STREAM" in frame.flags:
                return status, body


class Http2Test(harness.TestCase):
    def start(self, script=None, **options):
        self.service = self.upstream(script or answering(lambda m: response(m.target.encode())))
        self.proxy = self.outrigger(self.service, **options)
        return self.proxy

    def frames(self, **options):
        client = FrameClient(self.proxy.address, **options)
        self.addCleanup(client.close)
        return client


class Preface(Http2Test):
    def test_split_at_every_byte(self):
        self.start()
        for cut in range(1, len(PREFACE)):
            client = harness.RawClient(self.proxy.address)
            client.send(PREFACE[:cut])
            client.send(PREFACE[cut:] + frames.SettingsFrame(0).serialize())
            self.assertEqual(client.read_exactly(9)[3], frames.SettingsFrame.type, cut)
            client.close()
        self.proxy.wait_metric("downstream_connections", 0)

    def test_what_only_begins_like_it_is_http1(self):
        self.start()
        client = self.client(self.proxy)
        sent = request("POST", "/x", b"1")
        for byte in range(len(sent)):
            client.send(sent[byte:byte + 1])
        self.assertEqual(client.read_response().body, b"/x")

    def test_only_the_first_bytes_of_a_connection_count(self):
        self.start()
        client = self.client(self.proxy)
        self.assertEqual(client.get("/").status, 200)
        client.send(PREFACE)
        self.assert_local_reply(client.read_response(), 505, "http_version")

    def test_a_listener_for_http1_only(self):
        self.start(listener={"protocol": "http1"})
        client = self.client(self.proxy)
        client.send(PREFACE)
        self.assert_local_reply(client.read_response(), 505, "http_version")

    def test_a_listener_for_http2_only(self):
        self.start(listener={"protocol": "http2"})
        client = self.frames()
        client.headers(1, GET)
        self.assertEqual(client.answer(1), (200, b"/"))
        other = self.client(self.proxy)
        other.send(request())
        other.read_to_end()  # frames that HTTP/1 does not understand, then the end

    def test_half_a_preface_is_given_up(self):
        self.start(listener={"limits": {"header_timeout": "200ms"}})
        client = self.client(self.proxy)
        client.send(PREFACE[:10])
        self.assert_local_reply(client.read_response(), 408, "request_timeout")
        client = harness.RawClient(self.proxy.address)
        client.send(PREFACE)
        client.read_to_end()
        client.close()
        self.proxy.wait_metric("downstream_connections", 0)


class Heads(Http2Test):
    # RFC 9113, 8.2 and 8.3, and what would mean another request in HTTP/1.
    MALFORMED = {
        "LF in a value": [*GET, ("x", "a\nb")],
        "CR LF in a value": [*GET, ("x", "a\r\nevil: 1")],
        "NUL in a value": [*GET, ("x", "a\0b")],
        "DEL in a value": [*GET, ("x", "a\x7fb")],
        "space around a value": [*GET, ("x", " a")],
        "tab behind a value": [*GET, ("x", "a\t")],
        "LF in a name": [*GET, ("x\ny", "1")],
        "colon in a name": [*GET, ("x:y", "1")],
        "space in a name": [*GET, ("x y", "1")],
        "empty name": [*GET, ("", "1")],
        "capitals in a name": [*GET, ("X-Y", "1")],
        "space in the path": [*GET[:3], (":path", "/a HTTP/1.1\r\nx: y")],
        "blank in the path": [*GET[:3], (":path", "/a b")],
        "control in the path": [*GET[:3], (":path", "/a\x01")],
        "fragment in the path": [*GET[:3], (":path", "/a#b")],
        "obs-text in the path": [*GET[:3], (":path", "/\xff")],
        "empty path": [*GET[:3], (":path", "")],
        "path without slash": [*GET[:3], (":path", "a")],
        "absolute path": [*GET[:3], (":path", "http://b/")],
        "asterisk for GET": [*GET[:3], (":path", "*")],
        "no path": GET[:3],
        "two paths": [*GET, (":path", "/b")],
        "no method": GET[1:],
        "method with a space": [(":method", "GET /x HTTP/1.1"), *GET[1:]],
        "two methods": [(":method", "POST"), *GET],
        "no scheme": [GET[0], *GET[2:]],
        "no authority": [GET[0], GET[1], GET[3]],
        "two authorities": [*GET, (":authority", "a")],
        "authority with user": [GET[0], GET[1], (":authority", "u@a"), GET[3]],
        "authority with CR LF": [GET[0], GET[1], (":authority", "a\r\nx: y"), GET[3]],
        "empty authority": [GET[0], GET[1], (":authority", ""), GET[3]],
        "Host disagrees": [*GET, ("host", "b")],
        "Host disagrees in the port": [*GET, ("host", "a:81")],
        "two Hosts": [*GET, ("host", "a"), ("host", "a")],
        "late pseudo-field": [*GET[:3], ("x", "y"), GET[3]],
        "unknown pseudo-field": [*GET, (":x", "y")],
        "connect with a path": [(":method", "CONNECT"), *GET[2:]],
        "connect without authority": [(":method", "CONNECT")],
        "scheme with a blank": [GET[0], (":scheme", " http"), *GET[2:]],
        "empty Host": [*GET, ("host", "")],
        "response pseudo-field": [*GET, (":status", "200")],
        "protocol without extended CONNECT": [*GET, (":protocol", "websocket")],
        "connection": [*GET, ("connection", "close")],
        "keep-alive": [*GET, ("keep-alive", "timeout=5")],
        "proxy-connection": [*GET, ("proxy-connection", "close")],
        "transfer-encoding": [*GET, ("transfer-encoding", "chunked")],
        "upgrade": [*GET, ("upgrade", "h2c")],
        "length by an underscore": [*GET, ("content_length", "5")],
        "a field of ours by an underscore": [*GET, ("x_forwarded-client_cert", "a")],
        "te other than trailers": [*GET, ("te", "gzip")],
        "two lengths": [*GET, ("content-length", "0"), ("content-length", "0")],
        "length with a sign": [*GET, ("content-length", "+0")],
        "length as a list": [*GET, ("content-length", "0, 0")],
        "a length and no body": [*POST, ("content-length", "5")],
    }

    def test_a_malformed_head_resets_its_stream_alone(self):
        self.start(answering(response(b"x")))
        client = self.frames()
        for number, (name, fields) in enumerate(self.MALFORMED.items()):
            with self.subTest(name):
                stream = 2 * number + 1
                client.headers(stream, fields)
                self.assertEqual(client.answer(stream), ("reset", PROTOCOL_ERROR))
        self.assertEqual(self.service.requests, [])
        client.headers(1001, GET)
        self.assertEqual(client.answer(1001), (200, b"x"))
        self.assert_idle(self.proxy)

    def test_a_request_is_complete_with_its_last_byte(self):
        """Its end may come later: the service has answered, its connection serves the next one."""
        self.start(answering(response(b"x")))
        client = self.frames()
        for stream in (1, 3, 5):
            client.headers(stream, [*POST, ("content-length", "2")], end=False)
            client.data(stream, b"ok", end=False)
            self.assertEqual(client.answer(stream), (200, b"x"))
        self.assertEqual(len(self.service.connections), 1)

    def test_a_body_that_is_not_of_its_length_is_never_whole(self):
        whole = []

        def script(connection):
            whole.append(connection.read_request().body)

        self.start(script)
        client = self.frames()
        for number, (length, data) in enumerate([("5", b"hell"), ("5", b"hello!"), ("0", b"x")]):
            stream = 2 * number + 1
            client.headers(stream, [*POST, ("content-length", length)], end=False)
            client.data(stream, data, end=True)
            answer = client.answer(stream)
            # Of the last one the head may have gone before the data came: it was whole then, and the service, which
            # says nothing, may have been answered for.
            if length != "0" or answer[0] != 502:
                self.assertEqual(answer, ("reset", PROTOCOL_ERROR), (length, data))
        self.assertEqual([body for body in whole if body != b""], [])
        self.assert_idle(self.proxy)

    def test_bad_trailers_reset_their_stream(self):
        whole = []

        def script(connection):
            whole.append(connection.read_request().body)

        self.start(script)
        client = self.frames()
        bad = [[("content-length", "1")], [("content_length", "1")], [("transfer-encoding", "chunked")], [("authorization", "x")],
                [("host", "b")], [("x", "a\r\nb")], [(":path", "/")],
               [("x", "y" * 9000)], [("Y", "1")]]
        for number, trailers in enumerate(bad):
            stream = 2 * number + 1
            client.headers(stream, POST, end=False)
            client.data(stream, b"hello")
            client.headers(stream, trailers)
            self.assertEqual(client.answer(stream), ("reset", PROTOCOL_ERROR), trailers)
        stream += 2
        client.headers(stream, POST, end=False)
        client.data(stream, b"hello")
        client.headers(stream, [("x", "trailers that do not end the stream")], end=False)
        self.assertEqual(client.answer(stream), ("reset", PROTOCOL_ERROR))
        stream += 2
        client.headers(stream, [*POST, ("content-length", "6")], end=False)
        client.data(stream, b"hello")
        client.headers(stream, [("x", "trailers of a body that is too short")])
        self.assertEqual(client.answer(stream), ("reset", PROTOCOL_ERROR))
        self.assertEqual(whole, [])
        self.assert_idle(self.proxy)

    def test_what_is_well_formed_and_not_served_is_answered(self):
        self.start(answering(response(b"x")))
        cases = {
            "CONNECT": ([(":method", "CONNECT"), (":authority", "a:22")], 501),
            "scheme": ([GET[0], (":scheme", "ftp"), *GET[2:]], 400),
            "long target": ([*GET[:3], (":path", "/" + "a" * 9000)], 414),
            "many fields": ([*GET, *[("x", "y")] * 101], 431),
            "huge field": ([*GET, ("x", "y" * 62000)], 431),
            "expectation": ([*POST, ("expect", "cake")], 400),
        }
        client = self.frames()
        for number, (name, (fields, status)) in enumerate(cases.items()):
            stream = 2 * number + 1
            block = client.encoder.encode(fields)
            parts = [block[at:at + 16000] for at in range(0, len(block), 16000)]
            client.send(frames.HeadersFrame(stream, parts[0], flags=["END_STREAM"] + (
                [] if parts[1:] else ["END_HEADERS"])).serialize())
            for part in parts[1:]:
                flags = ["END_HEADERS"] if part is parts[-1] else []
                client.send(frames.ContinuationFrame(stream, part, flags=flags).serialize())
            self.assertEqual(client.answer(stream)[0], status, name)
        self.assertEqual(self.service.requests, [])

    def test_the_service_sees_one_normal_form(self):
        self.start()
        client = self.frames()
        client.headers(1, [*GET, ("cookie", "a=1"), ("x-a", "b"), ("cookie", "c=2"), ("te", "trailers"),
                           ("cookie", "d=3")])
        self.assertEqual(client.answer(1)[0], 200)
        message = self.service.requests[0]
        self.assertEqual(message.all("cookie"), ["a=1; c=2; d=3"])
        self.assertEqual((message.get("host"), message.get("x-a"), message.get("te")), ("a", "b", "trailers"))
        client.headers(3, [*GET, ("host", "A:80")])
        self.assertEqual(client.answer(3)[0], 200)
        self.assertEqual(len(self.service.requests[1].all("host")), 1)

    def test_a_body_that_is_here_already_gets_a_length(self):
        self.start(answering(lambda m: response(m.body)))
        client = self.frames()
        client.send(frames.HeadersFrame(1, client.encoder.encode(POST), flags=["END_HEADERS"]).serialize() +
                    frames.DataFrame(1, b"hello", flags=["END_STREAM"]).serialize())
        self.assertEqual(client.answer(1), (200, b"hello"))
        self.assertEqual(self.service.requests[0].get("content-length"), "5")


class Floods(Http2Test):
    def assert_calmed(self, client, what):
        """GOAWAY(ENHANCE_YOUR_CALM), the end, and a word in the log; others are served."""
        goaway = client.wait(frames.GoAwayFrame)
        self.assertEqual(goaway.error_code, ENHANCE_YOUR_CALM)
        client.read_to_end()
        self.assertEqual(self.proxy.wait_events("http2_flood")[-1]["what"], what)
        self.assertEqual(self.proxy.metric("http2_floods_total", what=what), 1)
        self.assertEqual(self.client(self.proxy).get().status, 200)
        self.assert_idle(self.proxy)

    def flood(self, data):
        """Sends as much of it as the proxy takes."""
        client = self.frames()
        try:
            client.send(data(client) if callable(data) else data)
        except OSError:
            pass
        return client

    def test_rapid_reset(self):
        self.start()
        data = b"".join(frames.HeadersFrame(2 * n + 1, hpack.Encoder().encode(GET),
                                            flags=["END_HEADERS", "END_STREAM"]).serialize() +
                        frames.RstStreamFrame(2 * n + 1, error_code=CANCEL).serialize() for n in range(400))
        self.assert_calmed(self.flood(data), "resets")

    def test_errors_that_make_us_reset(self):
        """MadeYouReset: what is wrong with a stream may come behind a request that is already at work."""
        length = [*POST, ("content-length", "9")]
        ways = {
            "head": lambda n: [(frames.HeadersFrame, [*GET, ("connection", "x")], True)],
            "window": lambda n: [(frames.HeadersFrame, POST, False),
                                 frames.WindowUpdateFrame(n, window_increment=(1 << 31) - 1)],
            "length": lambda n: [(frames.HeadersFrame, length, False), frames.DataFrame(n, b"x", flags=["END_STREAM"])],
        }
        for name, way in ways.items():
            with self.subTest(name):
                self.start()
                data = b""
                for n in range(1, 240, 2):
                    for frame in way(n):
                        if isinstance(frame, tuple):
                            flags = ["END_HEADERS", "END_STREAM"] if frame[2] else ["END_HEADERS"]
                            frame = frames.HeadersFrame(n, hpack.Encoder().encode(frame[1]), flags=flags)
                        data += frame.serialize()
                client = self.flood(data)
                # The resets are counted as they are sent; what comes next meets the verdict.
                client.wait(frames.RstStreamFrame, 239)
                client.frame(frames.PingFrame(0))
                self.assert_calmed(client, "errors")

    def test_pings(self):
        self.start()
        self.assert_calmed(self.flood(frames.PingFrame(0).serialize() * 3000), "pings")

    def test_settings(self):
        self.start()
        self.assert_calmed(self.flood(frames.SettingsFrame(0, settings={4: 1}).serialize() * 3000), "settings")

    def test_priorities(self):
        self.start()
        data = b"".join(frames.PriorityFrame(2 * n + 1).serialize() for n in range(3000))
        self.assert_calmed(self.flood(data), "priorities")

    def test_empty_data(self):
        self.start()

        def data(client):
            return frames.HeadersFrame(1, client.encoder.encode(POST), flags=["END_HEADERS"]).serialize() + \
                frames.DataFrame(1, b"").serialize() * 3000

        self.assert_calmed(self.flood(data), "empty_data")

    def test_tiny_windows(self):
        self.start()
        data = frames.WindowUpdateFrame(0, window_increment=1).serialize() * 3000
        self.assert_calmed(self.flood(data), "tiny_windows")

    def test_continuations(self):
        self.start()

        def data(client):
            return frames.HeadersFrame(1, client.encoder.encode(GET)).serialize() + \
                frames.ContinuationFrame(1, b"").serialize() * 3000

        self.assert_calmed(self.flood(data), "continuations")

    def test_a_bomb_of_fields_costs_no_memory(self):
        """One big field, named again and again by an index of one byte."""
        self.start()
        before = self.proxy.rss_kib()
        client = self.frames()
        block = client.encoder.encode([*GET, ("x", "y" * 3900)]) + b"\xbe" * 12000
        client.headers(1, None, encoded=block)
        client.answer(1)
        if not harness.IS_INSTRUMENTED:
            self.assertLess(self.proxy.rss_kib() - before, 2048)

    def test_more_streams_than_allowed_are_refused_and_the_others_served(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def script(connection):
            connection.read_request()
            release.wait(harness.DEADLINE)
            connection.send(response(b"x"))

        self.start(script)
        client = self.frames()
        client.frame(frames.SettingsFrame(0), flags={"ACK"})
        # Our limit counts from when the client has acknowledged it.
        client.frame(frames.PingFrame(0))
        client.wait(frames.PingFrame)
        for n in range(128):
            client.headers(2 * n + 1, GET)
        self.proxy.wait_metric("in_flight_requests", 128)
        client.headers(257, GET)
        goaway_or_reset = client.wait((frames.RstStreamFrame, frames.GoAwayFrame))
        self.assertIn(goaway_or_reset.error_code, (PROTOCOL_ERROR, REFUSED_STREAM))


class Windows(Http2Test):
    BIG = 8 << 20

    def test_a_reader_without_window_costs_its_window_and_leaves_the_others_alone(self):
        sent = []

        def script(connection):
            while True:
                message = connection.read_request()
                if message.target == "/small":
                    connection.send(response(b"s"))
                    continue
                connection.send(response(headers=[("Content-Length", str(self.BIG))], length=False))
                for _ in range(self.BIG // 65536):
                    connection.send(b"x" * 65536)
                    sent.append(65536)

        self.start(script)
        self.assertEqual(self.proxy.admin("GET", "/metrics")[0], 200)
        before = self.proxy.rss_kib()
        client = self.frames(window=1000)
        client.frame(frames.WindowUpdateFrame(0), window_increment=1 << 30)
        slow = list(range(1, 33, 2))
        for stream in slow:
            client.headers(stream, [*GET[:3], (":path", "/big")])
        for stream in slow:
            got = 0
            while got < 1000:
                got += len(client.wait(frames.DataFrame).data)
        harness.eventually(lambda: len(self.service.connections) == len(slow), "all are asked for")
        for n in range(50):
            stream = 101 + 2 * n
            client.headers(stream, [*GET[:3], (":path", "/small")])
            self.assertEqual(client.answer(stream), (200, b"s"))
        grown = self.proxy.rss_kib() - before
        print(f"16 readers without window: {grown} KiB more")
        if not harness.IS_INSTRUMENTED:
            self.assertLess(grown, 16 * (64 + 64 + 64) + 1024)
        for stream in slow:
            client.frame(frames.RstStreamFrame(stream), error_code=CANCEL)
        self.assert_idle(self.proxy)

    def test_a_stream_that_gets_no_window_is_given_up_alone(self):
        self.start(answering(lambda m: response(b"x" * 100000 if m.target == "/big" else b"s")),
                   listener={"limits": {"write_idle_timeout": "300ms"}})
        client = self.frames(window=10)
        client.headers(1, [*GET[:3], (":path", "/big")])
        self.assertEqual(client.wait(frames.RstStreamFrame, 1).error_code, CANCEL)
        client.headers(3, GET)
        self.assertEqual(client.answer(3), (200, b"s"))
        self.assertEqual(self.proxy.wait_events("request")[0]["outcome"], "client_gone")

    def test_one_byte_at_a_time(self):
        self.start(answering(response(b"hello")))
        client = self.frames(window=0)
        client.headers(1, GET)
        body = b""
        client.wait(frames.HeadersFrame, 1)
        while len(body) < 5:
            client.frame(frames.WindowUpdateFrame(1), window_increment=1)
            body += client.wait(frames.DataFrame, 1).data
        self.assertEqual(body, b"hello")

    def test_a_window_that_shrinks_below_zero(self):
        self.start(answering(response(b"x" * 200)))
        client = self.frames(window=100)
        client.headers(1, GET)
        self.assertEqual(len(client.wait(frames.DataFrame, 1).data), 100)
        client.frame(frames.SettingsFrame(0), settings={4: 0})
        client.frame(frames.WindowUpdateFrame(1), window_increment=150)
        self.assertEqual(len(client.wait(frames.DataFrame, 1).data), 50)
        client.frame(frames.WindowUpdateFrame(1), window_increment=50)
        self.assertEqual(len(client.wait(frames.DataFrame, 1).data), 50)

    def test_upload_windows_open_as_the_service_reads(self):
        may_read = threading.Event()
        self.addCleanup(may_read.set)

        def script(connection):
            connection.read_head()
            may_read.wait(harness.DEADLINE)
            connection.send(response(b"%d" % len(connection.read_chunked()[0])))

        self.service = self.upstream(script, receive_buffer=4096)
        self.proxy = self.outrigger(self.service)
        client = self.frames()
        client.headers(1, POST, end=False)
        room, connection_room, sent = 65535, 65535, 0
        client.frame(frames.PingFrame(0))

        def take_frame():
            nonlocal room, connection_room
            frame = client.next()
            if isinstance(frame, frames.WindowUpdateFrame):
                if frame.stream_id == 0:
                    connection_room += frame.window_increment
                else:
                    room += frame.window_increment

        while connection_room < 1 << 20:
            take_frame()
        total = 12 << 20
        is_stalled = False
        while sent < total:
            while room == 0:
                if not is_stalled and not client.has_data(0.5):
                    is_stalled = True
                    self.assertLess(sent, 10 << 20)
                    may_read.set()
                take_frame()
            piece = min(room, 16384, total - sent)
            client.data(1, b"x" * piece, end=sent + piece == total)
            sent += piece
            room -= piece
        self.assertTrue(is_stalled)
        self.assertEqual(client.answer(1), (200, b"%d" % total))


class Endings(Http2Test):
    def test_an_early_answer_asks_for_no_more_of_the_request(self):
        def script(connection):
            connection.read_head()
            connection.send(response(b"no", "413 Content Too Large", [("Connection", "close")]))

        self.start(script)
        client = self.frames()
        client.headers(1, POST, end=False)
        client.data(1, b"x" * 100)
        self.assertEqual(client.answer(1), (413, b"no"))
        self.assertEqual(client.wait(frames.RstStreamFrame, 1).error_code, NO_ERROR)
        client.data(1, b"y" * 100, end=True)  # was on its way
        client.headers(3, GET)
        client.answer(3)

    def test_a_half_closed_connection_answers_what_is_complete_and_cancels_the_rest(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def script(connection):
            if connection.read_head().method == "POST":
                connection.read_to_end()
            else:
                release.wait(harness.DEADLINE)
                connection.send(response(b"x"))

        self.start(script, listener={"half_close": "allow"})
        client = self.frames()
        client.headers(1, POST, end=False)
        client.headers(3, GET)
        harness.eventually(lambda: len(self.service.requests) == 2, "both arrive")
        client.half_close()
        self.assertEqual(client.answer(1), ("reset", CANCEL))
        harness.read_ended(next(c for c in self.service.connections if c.requests[0].method == "POST"))
        release.set()
        self.assertEqual(client.answer(3), (200, b"x"))
        self.assertTrue(client.read_to_end()[1])
        self.assert_idle(self.proxy)

    def test_a_cut_answer_is_a_reset(self):
        def script(connection):
            connection.read_request()
            connection.send(response(b"12345", headers=[("X", "y")])[:-2])

        self.start(script)
        client = self.frames()
        client.headers(1, GET)
        self.assertEqual(client.answer(1), ("reset", 2))

    def test_drain_lets_in_what_was_on_its_way(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def script(connection):
            while True:
                message = connection.read_request()
                if message.target == "/slow":
                    release.wait(harness.DEADLINE)
                connection.send(response(message.target.encode()))

        self.service = self.upstream(script)
        config = self.config(self.service)
        config["admin"]["drain"] = {"lame_duck": "5s", "timeout": "20s"}
        self.proxy = self.outrigger_with(config)
        client = self.frames()
        client.headers(1, [*GET[:3], (":path", "/slow")])
        self.proxy.wait_metric("in_flight_requests", 1)
        self.proxy.signal(harness.signal.SIGTERM)
        first = client.wait(frames.GoAwayFrame)
        self.assertEqual((first.last_stream_id, first.error_code), ((1 << 31) - 1, NO_ERROR))
        ping = client.wait(frames.PingFrame)
        client.headers(3, GET)
        client.frame(frames.PingFrame(0), opaque_data=ping.opaque_data, flags={"ACK"})
        last = None
        statuses = {}
        while last is None or 3 not in statuses:
            frame = client.next()
            if isinstance(frame, frames.GoAwayFrame):
                last = frame
            elif isinstance(frame, frames.HeadersFrame):
                statuses[frame.stream_id] = frame.fields[":status"]
        self.assertEqual((last.last_stream_id, statuses[3]), (3, "200"))
        client.headers(5, GET)  # too late: nobody looks at it
        release.set()
        self.assertEqual(client.answer(1), (200, b"/slow"))
        client.read_to_end()
        self.proxy.signal(harness.signal.SIGTERM)
        self.assertEqual(self.proxy.wait_exit(), 0)
        self.assertNotIn("/5", [message.target for message in self.service.requests])

    def test_an_idle_connection_says_goodbye(self):
        self.start(listener={"limits": {"idle_timeout": "200ms"}})
        client = self.frames()
        client.headers(1, GET)
        self.assertEqual(client.answer(1)[0], 200)
        self.assertEqual(client.wait(frames.GoAwayFrame).error_code, NO_ERROR)
        self.assertEqual(client.read_to_end(), (b"", True))

    def test_a_head_that_does_not_end(self):
        self.start(listener={"limits": {"header_timeout": "200ms"}})
        client = self.frames()
        client.send(frames.HeadersFrame(1, client.encoder.encode(GET)).serialize())
        client.wait(frames.GoAwayFrame)
        client.read_to_end()
        self.assertEqual(self.service.requests, [])

    def test_idle_connections_are_small(self):
        self.start()
        warm = [self.frames() for _ in range(20)]
        for client in warm:
            client.headers(1, GET)
            client.answer(1)
        before = self.proxy.rss_kib()
        crowd = [self.frames() for _ in range(200)]
        for client in crowd:
            client.headers(1, GET)
            self.assertEqual(client.answer(1)[0], 200)
        each = (self.proxy.rss_kib() - before) / len(crowd)
        print(f"an idle connection that has served a request: {each:.1f} KiB")
        if not harness.IS_INSTRUMENTED:
            self.assertLess(each, 24)


class Sending(Http2Test):
    def test_answers_of_a_turn_leave_together(self):
        self.service = self.upstream(answering(response(b"x")))
        self.proxy = self.outrigger(self.service, listener={"unmatched": "404"},
                                    routes=[{"name": "a", "match": {"prefix": "/a"}}])
        client = self.frames()
        client.headers(1, GET)
        self.assertEqual(client.answer(1)[0], 404)

        def segments():
            """With data, that have come; on loopback one holds all that a send is given."""
            info = client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
            return struct.unpack_from("I", info, 152)[0]

        least = 99
        for first in range(3, 100, 32):  # on a busy machine what was sent at once may come in two turns
            before = segments()
            client.send(b"".join(
                frames.HeadersFrame(n, client.encoder.encode(GET), flags=["END_HEADERS", "END_STREAM"]).serialize()
                for n in range(first, first + 32, 2)))
            for _ in range(16):
                client.wait((frames.HeadersFrame, frames.DataFrame), where=lambda frame: "END_STREAM" in frame.flags)
            least = min(least, segments() - before)
        self.assertEqual(least, 1)


class Programs(Http2Test):
    """Other people's clients."""

    def run_program(self, *command, data=None):
        if shutil.which(command[0]) is None:
            self.skipTest(f"no {command[0]}")
        done = subprocess.run(command, input=data, capture_output=True, timeout=harness.DEADLINE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def url(self, path):
        return "http://%s:%d%s" % (*self.proxy.address, path)

    def test_curl(self):
        self.start(answering(lambda m: response(b"%d" % len(m.body) + m.target.encode())))
        curl = ("curl", "-sS", "--noproxy", "*", "--http2-prior-knowledge")
        self.assertEqual(self.run_program(*curl, self.url("/a")), b"0/a")
        body = b"x" * 300000
        self.assertEqual(self.run_program(*curl, "--data-binary", "@-", self.url("/b"), data=body), b"300000/b")
        # Without prior knowledge it offers an upgrade, which is not taken.
        self.assertEqual(self.run_program(*curl[:-1], "--http2", self.url("/c")), b"0/c")

    def test_nghttp_sees_interim_answers_and_trailers(self):
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n"
        self.start(answering(hints + chunked([b"abc"], [("X-Sum", "1")])))
        output = self.run_program("nghttp", "-nv", self.url("/"))
        self.assertIn(b":status: 103", output)
        self.assertIn(b"x-sum: 1", output)

    def test_curl_sees_interim_answers_and_trailers(self):
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n"
        self.start(answering(hints + chunked([b"abc"], [("X-Sum", "1")])))
        for version, flag in ((b"2", "--http2-prior-knowledge"), (b"1.1", "--http1.1")):
            output = self.run_program("curl", "-sS", "--noproxy", "*", flag, "-D", "-", self.url("/"))
            heads = [line for line in output.lower().split(b"\r\n") if line.startswith(b"http/")]
            self.assertEqual([line.split(b" ")[:2] for line in heads],
                             [[b"http/" + version, b"103"], [b"http/" + version, b"200"]])
            self.assertIn(b"link: </s.css>", output.lower())
            self.assertIn(b"x-sum: 1", output.lower())

    def test_nghttp_and_curl_offer_an_upgrade_to_http2_that_is_not_taken(self):
        """RFC 9113, 3.1: `Upgrade: h2c` is no more. What offers it gets its answer in HTTP/1.1."""
        self.start(answering(lambda m: response(m.target.encode())))
        output = self.run_program("nghttp", "-nvu", self.url("/a"))
        self.assertIn(b"HTTP/1.1 200 OK", output)
        output = self.run_program("curl", "-sS", "--noproxy", "*", "--http2", "-D", "-", self.url("/b"))
        self.assertTrue(output.startswith(b"HTTP/1.1 200 OK"), output)
        self.assertTrue(output.endswith(b"\r\n\r\n/b"), output)
        for message in self.service.requests:
            for name in ("upgrade", "http2-settings", "connection"):
                self.assertIsNone(message.get(name), name)

    def test_h2load(self):
        self.start()
        output = self.run_program("h2load", "-n", "2000", "-c", "4", "-m", "32", self.url("/x"))
        self.assertIn(b"2000 succeeded, 0 failed", output)
        self.assert_idle(self.proxy)


if __name__ == "__main__":
    unittest.main()
