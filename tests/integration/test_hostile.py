"""Messages made to be read in two ways: families of request smuggling and desynchronisation, and what is forwarded
byte for byte. docs/hostile-input.md says which family is tested where; test_bad_clients.py, test_bad_upstreams.py and
test_http2.py have the tables of the single grammar errors."""

import re
import threading
import unittest

import harness
from harness import answering, request, response

# Fields that the proxy adds, one for each hop and request.
ADDED = (b"via", b"x-forwarded-for", b"x-forwarded-proto", b"x-request-id", b"traceparent", b"x-outrigger-attempt",
         b"x-request-timeout-ms")


def post(*fields, line=b"POST / HTTP/1.1", body=b""):
    return b"\r\n".join([line, b"Host: a", *fields]) + b"\r\n\r\n" + body


def get(*fields, line=b"GET / HTTP/1.1"):
    return post(*fields, line=line)


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
TE = b"Transfer-Encoding: chunked"
CL = b"Content-Length: 5"

# family: {case: bytes}. Each must be refused without a byte of it reaching the service.
HEADS = {
    "CL.TE": {
        "both": post(CL, TE, body=b"0\r\n\r\nG"),
        "TE first": post(TE, CL, body=b"0\r\n\r\nG"),
        "TE in capitals": post(CL, b"TRANSFER-ENCODING: CHUNKED", body=CHUNKS),
        "length zero": post(b"Content-Length: 0", TE, body=CHUNKS),
        "in GET": get(CL, TE) + b"0\r\n\r\nG",
        "in 1.0": post(CL, TE, line=b"POST / HTTP/1.0", body=CHUNKS),
    },
    "TE.TE": {
        name: post(field, CL if name.endswith("CL") else b"X: y", body=CHUNKS) for name, field in {
            "prefix": b"Transfer-Encoding: xchunked", "suffix": b"Transfer-Encoding: chunkedx",
            "quotes": b'Transfer-Encoding: "chunked"', "parameter": b"Transfer-Encoding: chunked;a=b",
            "empty parameter": b"Transfer-Encoding: chunked;", "twice in one": b"Transfer-Encoding: chunked, chunked",
            "empty member": b"Transfer-Encoding: ,chunked", "empty member behind": b"Transfer-Encoding: chunked,",
            "twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "identity twice": b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            "identity behind": b"Transfer-Encoding: chunked, identity", "empty": b"Transfer-Encoding:",
            "empty with CL": b"Transfer-Encoding:", "no-break space": b"Transfer-Encoding: \xa0chunked",
            "next line": b"Transfer-Encoding: chunked\x85", "form feed": b"Transfer-Encoding: chunked\x0c",
            "vertical tab": b"Transfer-Encoding:\x0bchunked", "backspace": b"Transfer-Encoding: \x08chunked",
            "DEL": b"Transfer-Encoding: chunked\x7f", "NUL": b"Transfer-Encoding: chu\0nked",
            "space before colon": b"Transfer-Encoding : chunked", "tab before colon": b"Transfer-Encoding\t: chunked",
            "space in the name": b"Transfer Encoding: chunked", "control in the name": b"Transfer-Encoding\x01: chunked",
            "NUL in the name": b"Transfer\0-Encoding: chunked", "Kelvin sign": b"Transfer-Encoding: chun\xe2\x84\xaaed",
            "folded": b"Transfer-Encoding:\r\n chunked", "folded by tab": b"Transfer-Encoding:\r\n\tchunked",
            "in a fold": b"X: y\r\n Transfer-Encoding: chunked", "behind CR": b"X: y\rTransfer-Encoding: chunked",
            "behind LF": b"X: y\nTransfer-Encoding: chunked", "behind LF CR": b"X: y\n\rTransfer-Encoding: chunked",
            "before CR": b"Transfer-Encoding: chunked\r", "no colon": b"Transfer-Encoding chunked",
            "equals": b"Transfer-Encoding= chunked", "colon first": b": Transfer-Encoding: chunked",
            "underscore": b"Transfer_Encoding: chunked", "underscore with CL": b"Transfer_Encoding: chunked",
            "gzip last": b"Transfer-Encoding: chunked, gzip",
        }.items()
    },
    "CL.CL": {
        name: post(field, body=b"hello") for name, field in {
            "twice": b"Content-Length: 5\r\nContent-Length: 5", "differ": b"Content-Length: 5\r\nContent-Length: 0",
            "list": b"Content-Length: 5, 5", "list differs": b"Content-Length: 5,6", "sign": b"Content-Length: +5",
            "minus": b"Content-Length: -5", "hex": b"Content-Length: 0x5", "exponent": b"Content-Length: 5e0",
            "fraction": b"Content-Length: 5.0", "space inside": b"Content-Length: 5 5", "tab inside": b"Content-Length: 5\t5",
            "underscore digits": b"Content-Length: 0_5", "semicolon": b"Content-Length: 5;", "quotes": b'Content-Length: "5"',
            "NUL": b"Content-Length: 5\0", "full-width digit": b"Content-Length: \xef\xbc\x95",
            "2^64 and 5": b"Content-Length: 18446744073709551621", "2^63": b"Content-Length: 9223372036854775808",
            "empty": b"Content-Length:", "space before colon": b"Content-Length : 5", "NUL before colon": b"Content-Length\0: 5",
            "folded": b"Content-Length:\r\n 5", "in a fold": b"X: y\r\n\tContent-Length: 5",
            "underscore": b"Content_Length: 5", "both spellings": b"Content-Length: 0\r\ncontent_length: 5",
            "by Connection": b"Connection: Content-Length\r\nContent-Length: 5",
        }.items()
    },
    "0.CL": {  # one reader sees no body where the other waits for one
        "GET with a space": get(b"Content-Length : 5"),
        "GET with a list": get(b"Content-Length: 0, 5"),
        "GET with LF": get(b"X: y\nContent-Length: 5"),
        "first line folded": b"GET / HTTP/1.1\r\n Content-Length: 5\r\nHost: a\r\n\r\n",
        "TRACE with a body": post(CL, line=b"TRACE / HTTP/1.1", body=b"hello"),
        "Expect hides the length": get(b"Expect: 100-continue\r\n Content-Length: 5"),
    },
    "Expect": {
        name: post(field, CL, body=b"hello") for name, field in {
            "a word before": b"Expect: y 100-continue", "a word behind": b"Expect: 100-continue x",
            "list": b"Expect: 100-continue, x", "list of one": b"Expect: 100-continue,", "empty": b"Expect:",
            "unknown": b"Expect: 200-ok", "parameter": b"Expect: 100-continue;a=b", "quotes": b'Expect: "100-continue"',
            "twice, one unknown": b"Expect: 100-continue\r\nExpect: x", "folded": b"Expect:\r\n 100-continue",
            "space before colon": b"Expect : 100-continue", "number": b"Expect: 100", "by Connection": b"Connection: Expect\r\nExpect: 100-continue",
        }.items()
    },
    "request line": {
        name: line + b"\r\nHost: a\r\n\r\n" for name, line in {
            "two blanks": b"GET  / HTTP/1.1", "blank before the version": b"GET /  HTTP/1.1", "tab": b"GET\t/\tHTTP/1.1",
            "blank behind": b"GET / HTTP/1.1 ", "blank before": b" GET / HTTP/1.1", "blank in the target": b"GET /a b HTTP/1.1",
            "a second version": b"GET / HTTP/1.1 HTTP/1.1", "small version": b"GET / http/1.1", "version 1": b"GET / HTTP/1",
            "version 1.10": b"GET / HTTP/1.10", "version 01.1": b"GET / HTTP/01.1", "version 1,1": b"GET / HTTP/1,1",
            "no version": b"GET /", "CR in the target": b"GET /\rX: HTTP/1.1", "NUL in the target": b"GET /\0 HTTP/1.1",
            "obs-text in the target": b"GET /\xff HTTP/1.1", "fragment": b"GET /#x HTTP/1.1", "no slash": b"GET x HTTP/1.1",
            "asterisk": b"GET * HTTP/1.1", "backslash first": b"GET \\x HTTP/1.1", "method with a colon": b"GE:T / HTTP/1.1",
            "method of the preface": b"PRI / HTTP/1.1", "method with NUL": b"G\0ET / HTTP/1.1", "quotes": b'"GET" / HTTP/1.1', "behind two empty lines": b"\r\n\r\nGET / HTTP/1.1",
            "behind LF": b"\nGET / HTTP/1.1", "behind CR": b"\rGET / HTTP/1.1",
        }.items()
    },
    "Host": {
        name: head + b"\r\n\r\n" for name, head in {
            "none": b"GET / HTTP/1.1", "twice": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a", "differ": b"GET / HTTP/1.1\r\nHost: a\r\nhost: b",
            "empty": b"GET / HTTP/1.1\r\nHost:", "list": b"GET / HTTP/1.1\r\nHost: a, b", "blank": b"GET / HTTP/1.1\r\nHost: a b",
            "path": b"GET / HTTP/1.1\r\nHost: a/b", "query": b"GET / HTTP/1.1\r\nHost: a?b", "fragment": b"GET / HTTP/1.1\r\nHost: a#b",
            "user": b"GET / HTTP/1.1\r\nHost: u@a", "two ports": b"GET / HTTP/1.1\r\nHost: a:80:80", "port 65536": b"GET / HTTP/1.1\r\nHost: a:65536",
            "port of letters": b"GET / HTTP/1.1\r\nHost: a:http", "half a literal": b"GET / HTTP/1.1\r\nHost: [::1", "backslash": b"GET / HTTP/1.1\r\nHost: a\\b",
            "space before colon": b"GET / HTTP/1.1\r\nHost : a", "folded": b"GET / HTTP/1.1\r\nHost:\r\n a", "underscore": b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_Host: b",
        }.items()
    },
    "absolute form": {
        name: line + b"\r\nHost: a\r\n\r\n" for name, line in {
            "another host": b"GET http://b/ HTTP/1.1", "another port": b"GET http://a:81/ HTTP/1.1", "the other scheme's port": b"GET https://a:80/ HTTP/1.1",
            "user": b"GET http://a@b/ HTTP/1.1", "user that looks like the host": b"GET http://a:80@b/ HTTP/1.1", "no host": b"GET http:///x HTTP/1.1",
            "other scheme": b"GET ftp://a/ HTTP/1.1", "backslash": b"GET http://a\\@b/ HTTP/1.1", "one slash": b"GET http:/a/ HTTP/1.1",
            "authority form": b"GET a:80 HTTP/1.1", "fragment": b"GET http://a/#b HTTP/1.1",
        }.items()
    },
    "fields": {
        name: get(field) for name, field in {
            "fold": b"X: y\r\n z", "fold of nothing": b"X: y\r\n \r\nZ: z", "bare CR": b"X: y\rz", "bare LF": b"X: y\nz", "NUL": b"X: y\0z",
            "ESC": b"X: y\x1bz", "DEL": b"X: y\x7f", "no name": b": y", "only a colon": b":", "space before colon": b"X : y",
            "space in the name": b"X Y: z", "UTF-8 in the name": b"X\xc3\xa4: z", "parenthesis": b"X(y): z", "no colon": b"Xyz",
            "CR CR LF": b"X: y\r", "only CR": b"\r", "certificate by underscore": b"X_Forwarded_Client_Cert: URI=spiffe://x",
            "half underscored": b"X-Forwarded_For: 1.2.3.4", "ours by underscore": b"x_outrigger_attempt: 9",
            "strips what the service trusts": b"Connection: X-Forwarded-Client-Cert", "strips Authorization": b"Connection: close, Authorization",
            "strips Host": b"Connection: Host", "strips Cookie": b"Connection: Cookie",
        }.items()
    },
}

# The head is fine and may have been sent on; the service must not see a whole request, nor a second one.
CHUNKED_BODIES = {
    "chunk size": {
        "0x": b"0x5\r\nhello\r\n0\r\n\r\n", "plus": b"+5\r\nhello\r\n0\r\n\r\n", "minus": b"-5\r\nhello\r\n0\r\n\r\n", "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
        "h": b"5h\r\nhello\r\n0\r\n\r\n", "empty": b"\r\nhello\r\n0\r\n\r\n", "only an extension": b";a\r\nhello\r\n0\r\n\r\n", "dot": b"5.0\r\nhello\r\n0\r\n\r\n",
        "space before": b" 5\r\nhello\r\n0\r\n\r\n", "space behind": b"5 \r\nhello\r\n0\r\n\r\n", "tab behind": b"5\t\r\nhello\r\n0\r\n\r\n", "NUL": b"5\0\r\nhello\r\n0\r\n\r\n",
        "2^64 and 5": b"10000000000000005\r\nhello\r\n0\r\n\r\n", "2^63": b"8000000000000000\r\nhello\r\n0\r\n\r\n", "2^32 and 5 by zeros": b"0" * 20 + b"5\r\nhello\r\n0\r\n\r\n",
        "all ones": b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "full-width": b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n",
    },
    # By line ends that one reader takes for the end of the size line or of the chunk and another does not.
    "chunk extension": {
        "TERM.EXT": b"5;\nxx\r\nhello\r\n0\r\n\r\n", "EXT.TERM": b"5;a\rxx\r\nhello\r\n0\r\n\r\n", "LF behind a name": b"5;a\nhello\r\n0\r\n\r\n",
        "LF in quotes": b'5;a="\n"\r\nhello\r\n0\r\n\r\n', "CR in quotes": b'5;a="\r"\r\nhello\r\n0\r\n\r\n', "CR LF in quotes": b'5;a="\r\nhello\r\n0\r\n\r\n"\r\n',
        "escaped LF": b'5;a="\\\n"\r\nhello\r\n0\r\n\r\n', "NUL": b"5;a\0\r\nhello\r\n0\r\n\r\n", "nothing": b"5;\r\nhello\r\n0\r\n\r\n", "no value": b"5;a=\r\nhello\r\n0\r\n\r\n",
        "space": b"5 ;a=b\r\nhello\r\n0\r\n\r\n", "space behind": b"5; a=b\r\nhello\r\n0\r\n\r\n", "open quotes": b'5;a="b\r\nhello\r\n0\r\n\r\n', "of the last chunk": b"5\r\nhello\r\n0;\n\r\n\r\n",
        "too long": b"5;" + b"a" * 2000 + b"\r\nhello\r\n0\r\n\r\n", "obs-text": b"5;\xff\r\nhello\r\n0\r\n\r\n",
    },
    "chunk line ends": {
        "LF": b"5\nhello\r\n0\r\n\r\n", "CR": b"5\rhello\r\n0\r\n\r\n", "CR CR LF": b"5\r\r\nhello\r\n0\r\n\r\n", "LF CR": b"5\n\rhello\r\n0\r\n\r\n",
        "TERM.SPILL": b"5\r\nhello\n0\r\n\r\n", "SPILL.TERM": b"5\r\nhelloXX0\r\n\r\n", "ONE.TWO": b"5\r\nhello\rX0\r\n\r\n", "nothing": b"5\r\nhello0\r\n\r\n",
        "one more byte": b"5\r\nhelloX\r\n0\r\n\r\n", "last by LF": b"5\r\nhello\r\n0\n\r\n", "end by LF": b"5\r\nhello\r\n0\r\n\n", "end by LF LF": b"5\r\nhello\r\n0\n\n", "end by CR": b"5\r\nhello\r\n0\r\n\rX",
    },
    "trailers": {
        name: b"5\r\nhello\r\n0\r\n" + field + b"\r\n\r\n" for name, field in {
            "Content-Length": b"Content-Length: 5", "Transfer-Encoding": b"Transfer-Encoding: chunked", "Host": b"Host: b", "Authorization": b"Authorization: x",
            "X-Forwarded-For": b"X-Forwarded-For: 1.2.3.4", "client certificate": b"X-Forwarded-Client-Cert: x", "ours": b"x-outrigger-attempt: 1", "Cookie": b"Cookie: a=b",
            "Connection": b"Connection: close", "Expect": b"Expect: 100-continue", "Idempotency-Key": b"Idempotency-Key: k", "Content-Type": b"Content-Type: text/html",
            "a request": b"GET /admin HTTP/1.1", "fold": b"X: y\r\n z", "LF": b"X: y\nZ: z", "CR": b"X: y\rZ: z", "NUL": b"X: \0", "space before colon": b"X : y",
            "underscore": b"Content_Length: 5", "too large": b"X: " + b"y" * 9000, "too many": b"\r\n".join([b"X: y"] * 101),
        }.items()
    },
}

# What was sent, and the bytes that arrive but for the fields that the proxy adds.
FORWARDED = {
    "as it is": (request(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "an empty line first": (b"\r\n" + request(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "absolute form": (b"GET http://a/x?y HTTP/1.1\r\nHost: A:80\r\n\r\n", b"GET /x?y HTTP/1.1\r\nHost: A:80\r\n\r\n"),
    "absolute form without a path": (b"GET HTTP://a?y HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /?y HTTP/1.1\r\nHost: a\r\n\r\n"),
    "two slashes are a path": (b"GET //b/x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET //b/x HTTP/1.1\r\nHost: a\r\n\r\n"),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "white space around values": (get(b"X: \t y \t ", b"Z:z"), b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nZ: z\r\n\r\n"),
    "an empty value": (get(b"X:"), b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"),
    "length with zeros": (post(b"Content-Length: 0005", body=b"hello"), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
    "GET with a body": (get(CL) + b"hello", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
    "HEAD with a body": (get(CL, line=b"HEAD / HTTP/1.1") + b"hello", b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
    "TE.0": (post(TE, line=b"OPTIONS / HTTP/1.1", body=CHUNKS), b"OPTIONS / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS),
    "coding in capitals": (post(b"tRANSFER-eNCODING:\tCHUNKED", body=CHUNKS), b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS),
    "chunks in other spellings": (
        post(TE, body=b'0005;a="b;c\\"";d=e;f\r\nhello\r\n000;x\r\n\r\n'),
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS),
    "sizes in capitals": (post(TE, body=b"A\r\nhellohello\r\n0\r\n\r\n"), b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhellohello\r\n0\r\n\r\n"),
    "trailers": (post(TE, body=b"5\r\nhello\r\n0\r\nX-Sum: \t1 \r\n\r\n"), b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    "fields of this hop": (
        get(b"Connection: keep-alive, X-Mine", b"X-Mine: 1", b"Keep-Alive: timeout=5", b"Proxy-Connection: close", b"TE: gzip", b"Upgrade: h2c", b"Y: 2"),
        b"GET / HTTP/1.1\r\nHost: a\r\nY: 2\r\n\r\n"),
    "fields that claim to be ours": (get(b"X-Outrigger-Tenant: root", b"X-Forwarded-Client-Cert: x", b"Y: 2"), b"GET / HTTP/1.1\r\nHost: a\r\nY: 2\r\n\r\n"),
    "names that only look alike": (get(b"X_Y: 1", b"Content_Type: x", b"Transfer-Encodings: chunked", b"Content-Lengt: 5"),
                                   b"GET / HTTP/1.1\r\nHost: a\r\nX_Y: 1\r\nContent_Type: x\r\nTransfer-Encodings: chunked\r\nContent-Lengt: 5\r\n\r\n"),
}


def without_added(raw):
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if line.partition(b":")[0].lower() not in ADDED]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Recording:
    """A script that keeps the requests as they came, byte for byte."""

    def __init__(self, answer=response(b"x")):
        self.raw = []
        self.whole = []
        self._answer = answer

    def __call__(self, connection):
        while True:
            head = connection.read_until(b"\r\n\r\n")
            self.raw.append(head)
            message = harness.Message(head)
            if message.get("transfer-encoding"):
                while True:
                    line = connection.read_until(b"\r\n")
                    self.raw[-1] += line
                    size = int(line, 16)
                    if size == 0:
                        break
                    self.raw[-1] += connection.read_exactly(size + 2)
                while not self.raw[-1].endswith(b"\r\n\r\n"):
                    self.raw[-1] += connection.read_until(b"\r\n")
            else:
                self.raw[-1] += connection.read_exactly(int(message.get("content-length", 0)))
            self.whole.append(self.raw[-1])
            connection.send(response(length=True) if message.method == "HEAD" else self._answer)


class HostileTest(harness.TestCase):
    def start(self, script, **options):
        self.service = self.upstream(script)
        self.proxy = self.outrigger(self.service, filters=[], **options)
        return self.proxy


class Requests(HostileTest):
    def assert_refused(self, client, name):
        reply = client.read_response()
        self.assertIn((reply.status, reply.reason), [(400, "bad_request"), (501, "not_implemented"), (505, "http_version")], name)
        self.assertEqual(reply.get("connection"), "close", name)
        self.assertEqual(client.read_to_end(), (b"", True), name)

    def test_ambiguous_heads_are_refused_and_reach_nobody(self):
        recording = Recording()
        self.start(recording)
        for family, cases in HEADS.items():
            for name, sent in cases.items():
                with self.subTest(family=family, case=name):
                    client = self.connect(self.proxy)
                    client.send(sent + request(target="/smuggled"))
                    self.assert_refused(client, name)
                    client.close()
        self.assertEqual(recording.raw, [])
        self.assertEqual(self.client(self.proxy).get().status, 200)

    def test_ambiguous_bodies_are_never_whole(self):
        recording = Recording()
        self.start(recording)
        for family, cases in CHUNKED_BODIES.items():
            for name, sent in cases.items():
                with self.subTest(family=family, case=name):
                    client = self.connect(self.proxy)
                    client.send(post(TE) + sent + request(target="/smuggled"))
                    self.assert_refused(client, name)
                    client.close()
        self.assertEqual(recording.whole, [])
        self.assertFalse([raw for raw in recording.raw if b"/smuggled" in raw])
        self.assert_idle(self.proxy)

    def test_what_is_forwarded_has_one_form(self):
        recording = Recording()
        self.start(recording)
        for name, (sent, arrives) in FORWARDED.items():
            with self.subTest(name):
                client = self.client(self.proxy)
                client.send(sent)
                method = sent.lstrip().partition(b" ")[0].decode()
                self.assertEqual(client.read_response(method).status, 200)
                self.assertEqual(without_added(recording.whole[-1]), arrives)
        self.assertEqual(len(recording.whole), len(FORWARDED))

    def test_what_stands_behind_a_body_is_the_next_request_and_nothing_else(self):
        """The honest neighbours of the table: each reader of the chain sees these two requests."""
        recording = Recording()
        self.start(recording)
        client = self.client(self.proxy)
        for first in (post(CL, body=b"GET /"), post(TE, body=b"5\r\nGET /\r\n0\r\n\r\n"), get(CL) + b"GET /",
                      post(b"Content-Length: 0"), post(b"Expect: 100-continue", CL, body=b"GET /")):
            del recording.whole[:]
            client.send(first + request(target="/second"))
            self.assertEqual([client.read_response().status for _ in range(2)], [200, 200])
            self.assertEqual([raw.split(b" ")[1] for raw in recording.whole], [b"/", b"/second"])

    def test_an_expectation_without_a_body_waits_for_nothing(self):
        recording = Recording()
        self.start(recording)
        client = self.client(self.proxy)
        for line in (b"GET / HTTP/1.1", b"HEAD / HTTP/1.1", b"POST / HTTP/1.1"):
            client.send(get(b"Expect: 100-continue", line=line))
            reply = client.read_response(line.split(b" ")[0].decode())
            self.assertEqual((reply.status, reply.informational), (200, []))

    def test_a_final_answer_to_an_expectation_ends_the_services_connection(self):
        """Expect-based desynchronisation: the body may still come, or never."""
        def script(connection):
            connection.read_head()
            connection.send(response(b"no", "417 Expectation Failed"))
            connection.read_to_end()

        self.start(script)
        for _ in range(3):
            client = self.client(self.proxy)
            client.send(post(b"Expect: 100-continue", b"Content-Length: 40"))
            self.assertEqual(client.read_response().status, 417)
            client.send(request(target="/smuggled").ljust(40, b"x"))
        self.assertEqual(len(self.service.connections), 3)
        self.assertFalse([m for m in self.service.requests if m.target == "/smuggled"])

    def test_an_early_answer_leaves_no_half_request_on_the_services_connection(self):
        """CL.0 and TE.0: a service that answers without reading the body."""
        def script(connection):
            while connection.read_head().method == "GET":
                connection.send(response(b"x"))
            connection.send(response(b"early"))
            connection.read_to_end()

        self.start(script)
        for head in (post(b"Content-Length: 1000000"), post(TE)):
            client = self.client(self.proxy)
            client.send(head + b"5\r\nGET /")
            self.assertEqual(client.read_response().body, b"early")
            self.assertEqual(self.client(self.proxy).get().status, 200)
        for connection in self.service.connections:
            self.assertNotIn("POST", [message.method for message in connection.requests[:-1]])


    def test_a_refusal_of_the_proxys_own_leaves_no_body_to_be_read_as_a_request(self):
        """Client-side and pause-based desynchronisation: the answer comes before the body does."""
        recording = Recording()
        limited = [{"rate_limit": {"rules": [{"name": "r", "rate": "1/h", "burst": 1}]}}]
        known = {"listener": {"unmatched": "404"}, "routes": [{"name": "a", "match": {"prefix": "/a"}}]}
        cases = {
            "no route": (known, "/b", [], 404), "limit": ({"filters": limited}, "/", [], 429), "path": ({}, "/%2F", [], 400),
            "length": ({"listener": {"limits": {"body": "10B"}}}, "/", [], 413), "deadline": ({}, "/", [b"X-Request-Timeout-Ms: 0"], 504),
        }
        body = request(target="/smuggled").ljust(40, b"x")
        for name, (options, target, fields, status) in cases.items():
            for framing, sent in ((b"Content-Length: 40", body), (TE, b"28\r\n" + body + b"\r\n0\r\n\r\n")):
                if name == "length" and framing == TE:
                    continue  # is refused for what has come
                with self.subTest(case=name, framing=framing):
                    proxy = self.outrigger(self.upstream(recording), **{"filters": [], **options})
                    if name == "limit":
                        self.assertEqual(self.client(proxy).get().status, 200)
                    client = self.client(proxy)
                    client.send(post(framing, *fields, line=b"POST %s HTTP/1.1" % target.encode()))
                    reply = client.read_response()
                    self.assertEqual((reply.status, reply.get("connection")), (status, "close"))
                    try:
                        client.send(sent + request(target="/smuggled"))
                    except OSError:
                        pass
                    self.assertEqual(client.read_to_end()[0], b"")
                    self.assert_idle(proxy)
        self.assertFalse([raw for raw in recording.raw if b"/smuggled" in raw])


# What the service says; the client gets a 502, or a body that visibly ends too early.
ANSWERS = {
    "framing": {
        "CL and TE": b"Content-Length: 5\r\nTransfer-Encoding: chunked", "TE and CL": b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        "CL twice": b"Content-Length: 5\r\nContent-Length: 5", "CL differ": b"Content-Length: 5\r\nContent-Length: 6", "CL list": b"Content-Length: 5, 5",
        "CL sign": b"Content-Length: +5", "CL hex": b"Content-Length: 0x5", "CL overflow": b"Content-Length: 18446744073709551621", "CL empty": b"Content-Length:",
        "TE twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "TE identity": b"Transfer-Encoding: identity\r\nContent-Length: 5",
        "TE list": b"Transfer-Encoding: chunked, gzip", "TE gzip": b"Transfer-Encoding: gzip, chunked", "TE prefix": b"Transfer-Encoding: xchunked",
        "TE vertical tab": b"Transfer-Encoding: \x0bchunked", "TE space": b"Transfer-Encoding : chunked", "CL space": b"Content-Length : 5", "CL folded": b"Content-Length:\r\n 5",
    },
    "splitting": {
        "LF": b"X: y\nSet-Cookie: a=b", "CR": b"X: y\rSet-Cookie: a=b", "LF LF": b"X: y\n\n<html>", "NUL": b"X: y\0", "fold": b"X: y\r\n z", "ESC": b"X: \x1b[31m",
        "no colon": b"X", "space before colon": b"X : y", "empty name": b": y", "space in the name": b"X Y: z", "DEL": b"X: \x7f",
    },
}
STATUS_LINES = {
    "HTTP/0.9": b"<html>hello</html>", "no version": b"200 OK", "small": b"http/1.1 200 OK", "version 2.0": b"HTTP/2.0 200 OK", "version 1.2": b"HTTP/1.2 200 OK", "tab": b"HTTP/1.1\t200 OK",
    "two blanks": b"HTTP/1.1  200 OK", "four digits": b"HTTP/1.1 2000 OK", "two digits": b"HTTP/1.1 20 OK", "sign": b"HTTP/1.1 +20 OK", "letters": b"HTTP/1.1 2xx OK", "status 0": b"HTTP/1.1 000 OK",
    "status 99": b"HTTP/1.1 099 OK", "status 600": b"HTTP/1.1 600 OK", "no blank": b"HTTP/1.1 200OK", "CR in the reason": b"HTTP/1.1 200 O\rK", "NUL in the reason": b"HTTP/1.1 200 O\0K",
    "blank first": b" HTTP/1.1 200 OK", "an empty line first": b"\r\nHTTP/1.1 200 OK", "ICY": b"ICY 200 OK", "LF": b"HTTP/1.1 200 OK\n",
}


class Answers(HostileTest):
    def ask(self, data, method="GET", **options):
        def script(connection):
            connection.read_request()
            connection.send(data)

        self.start(script, **options)
        client = self.client(self.proxy)
        client.send(request(method))
        return client.read_response(method)

    def assert_not_whole(self, client, target):
        try:
            reply = client.get(target)
        except EOFError:
            self.assertTrue(self.is_http2)  # where a reset may overtake the head
        else:
            self.assertTrue(reply.is_cut or reply.status == 502, reply)

    def test_ambiguous_answers_become_502(self):
        cases = {(family, name): b"HTTP/1.1 200 OK\r\n" + field + b"\r\n\r\nhello" for family, table in ANSWERS.items() for name, field in table.items()}
        cases.update({("status line", name): line + b"\r\nContent-Length: 5\r\n\r\nhello" for name, line in STATUS_LINES.items()})
        cases["framing", "chunked in 1.0"] = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
        answers = list(cases.values())

        def script(connection):
            message = connection.read_request()
            connection.send(answers[int(message.target[1:])])

        self.start(script)
        client = self.client(self.proxy)
        for number, name in enumerate(cases):
            with self.subTest(name):
                self.assert_local_reply(client.get(f"/{number}"), 502, "upstream_protocol")

    def test_ambiguous_chunks_of_an_answer_are_seen_as_cut(self):
        bodies = [body for table in CHUNKED_BODIES.values() for body in table.values()]

        def script(connection):
            message = connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + bodies[int(message.target[1:])])

        self.start(script)
        for number, body in enumerate(bodies):
            with self.subTest(body[:40]):
                self.assert_not_whole(self.client(self.proxy), f"/{number}")

    def test_what_is_passed_on_has_one_form(self):
        expected = {
            b"HTTP/1.1 200 \r\nContent-Length: 0005\r\nX:\t y \t\r\n\r\nhello": ([("X", "y"), ("Content-Length", "5")], b"hello"),
            b"HTTP/1.0 200 Fine\r\n\r\nhello": ([("Transfer-Encoding", "chunked")], b"hello"),
            b"HTTP/1.1 200 OK\r\ntransfer-ENCODING: CHUNKED\r\nConnection: X-Mine, close\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n\r\n"
            b"0005;a=b\r\nhello\r\n00\r\n\r\n": ([("Transfer-Encoding", "chunked")], b"hello"),
            b"HTTP/1.1 200 OK\r\nX-Outrigger-Reason: forged\r\nContent-Length: 5\r\n\r\nhello": ([("Content-Length", "5")], b"hello"),
            b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello": ([], b""),
            b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS: ([], b""),
        }
        for sent, (fields, body) in expected.items():
            with self.subTest(sent):
                reply = self.ask(sent)
                ours = {name.decode() for name in ADDED} | {"date", "server"}
                self.assertEqual([(n, v) for n, v in reply.headers if n.lower() not in ours], fields)
                self.assertEqual((reply.body, reply.is_cut), (body, False))
                self.assertEqual(reply.start_line.partition(" ")[0], "HTTP/1.1")

    def test_a_body_where_none_may_be_is_nobodys(self):
        """Its bytes would be the answer to the next request."""
        evil = response(b"evil")
        cases = {
            "HEAD": ("HEAD", response(evil)), "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n" + evil),
            "204 with a length": ("GET", response(evil, "204 No Content")), "304": ("GET", response(evil, "304 Not Modified")),
            "304 without a length": ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n" + evil), "length 0": ("GET", response() + evil),
            "more than the length": ("GET", response(b"12345") + evil), "behind the last chunk": ("GET", harness.chunked([b"12345"]) + evil),
        }
        for name, (method, data) in cases.items():
            with self.subTest(name):
                answers = [data, response(b"good")]

                def script(connection):
                    connection.read_request()
                    connection.send(answers.pop(0))
                    connection.read_to_end()

                self.start(script)
                client = self.client(self.proxy)
                client.ask(method, "/")
                self.assertEqual(client.get("/next").body, b"good")
                self.assertEqual(len(self.service.connections), 2)

    def test_interim_answers_hide_nothing(self):
        cases = {
            "a body": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + response(b"x"),
            "chunks": b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS + response(b"x"),
            "both framings": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + response(b"x"),
            "LF in a field": b"HTTP/1.1 103 Early Hints\r\nLink: a\nX: y\r\n\r\n" + response(b"x"),
            "101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + response(b"x"),
        }
        for name, data in cases.items():
            with self.subTest(name):
                self.assert_local_reply(self.ask(data), 502, "upstream_protocol")

    def test_a_flood_of_interim_answers_ends(self):
        for data in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"x" * 8000 + b">\r\n\r\n"):
            with self.subTest(data[:30]):
                def script(connection):
                    connection.read_request()
                    while True:
                        connection.send(data * 20)

                self.start(script)
                client = self.client(self.proxy, receive_buffer=4096)
                before = self.proxy.rss_kib()
                client.send(request())
                harness.eventually(lambda: self.service.connections, "the request arrives")
                harness.read_ended(self.service.connections[0])
                if not harness.IS_INSTRUMENTED:
                    self.assertLess(self.proxy.rss_kib() - before, 4096)
                # What the client has not read yet may wait here, the answer behind it.
                self.assert_local_reply(client.read_response(), 502, "upstream_protocol")
                self.assert_idle(self.proxy)

    def test_absurd_sizes_end_within_a_bound_of_memory(self):
        endless = {
            "a field": b"HTTP/1.1 200 OK\r\nX: ", "fields": b"HTTP/1.1 200 OK\r\n", "a reason": b"HTTP/1.1 200 ",
            "chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;",
            "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        }
        more = {"fields": b"X: y\r\n" * 1000, "trailers": b"X: y\r\n" * 1000, "chunk size": b"0" * 6000}
        for name, start in endless.items():
            with self.subTest(name):
                def script(connection):
                    connection.read_request()
                    connection.send(start)
                    while True:
                        connection.send(more.get(name, b"y" * 6000))

                self.start(script)
                before = self.proxy.rss_kib()
                self.assert_not_whole(self.client(self.proxy), "/")
                self.assert_idle(self.proxy)
                if not harness.IS_INSTRUMENTED:
                    self.assertLess(self.proxy.rss_kib() - before, 1024)


harness.also_over_http2(globals(), Answers, without=[
    # They are about the bytes of HTTP/1.1.
    "test_what_is_passed_on_has_one_form", "test_a_flood_of_interim_answers_ends",
])

if __name__ == "__main__":
    unittest.main()
