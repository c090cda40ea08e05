"""TLS on listeners and to upstreams (SE-1, SE-2, SE-3), with certificates made for each run."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import unittest

import harness
import tls_support
from harness import answering, chunked, eventually, response
from http2_upstream import Http2Upstream
from tls_support import Authority, TlsClient, over_tls

HELLO = answering(response(b"hello"))
TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BIG = bytes(range(256)) * 256  # 64 KiB


class TlsTestCase(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.authority = Authority(self.folder)
        self.pair = self.authority.issue("server")

    def listener(self, **tls):
        return {"tls": {"cert": self.pair.cert, "key": self.pair.key, **tls}}

    def tls_proxy(self, upstream, tls=None, **options):
        listener = {**self.listener(**(tls or {})), **options.pop("listener", {})}
        return self.outrigger(upstream, listener=listener, **options)

    def tls_client(self, proxy, context=None, **options):
        client = TlsClient(proxy.address, context or self.authority.client_context(), **options)
        self.addCleanup(client.close)
        return client

    def assert_refused(self, proxy, context, reason=None, **options):
        """The handshake fails; with TLS 1.3 a client learns of a refusal when it reads."""
        with self.assertRaises(ssl.SSLError) as caught:
            client = self.tls_client(proxy, context, **options)
            client.get()
        if reason:
            self.assertEqual(caught.exception.reason, reason)

    def wait_handshakes(self, proxy, count, outcome, side="downstream"):
        proxy.wait_metric("tls_handshakes_total", count, outcome=outcome, side=side)


class Listener(TlsTestCase):
    def test_both_versions_serve_requests_on_one_connection(self):
        upstream = self.upstream(HELLO)
        proxy = self.tls_proxy(upstream)
        for version in (TLS_1_2, TLS_1_3):
            client = self.tls_client(proxy, self.authority.client_context(version=version))
            for _ in range(3):
                self.assertEqual(client.get("/x").body, b"hello")
            self.assertEqual(client.sock.version(), {TLS_1_2: "TLSv1.2", TLS_1_3: "TLSv1.3"}[version])
        self.wait_handshakes(proxy, 2, "done")
        self.assertEqual({m.get("x-forwarded-proto") for m in upstream.requests}, {"https"})

    def test_older_versions_are_refused(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        context = self.authority.client_context(version=ssl.TLSVersion.TLSv1_1)
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        self.assert_refused(proxy, context)
        self.wait_handshakes(proxy, 1, "protocol")

    def test_weak_ciphers_are_refused(self):
        # The key is one of RSA, so that suites of all kinds would be possible.
        pair = self.authority.issue("rsa", new_key=tls_support.NEW_RSA_KEY)
        proxy = self.tls_proxy(self.upstream(HELLO), tls={"cert": pair.cert, "key": pair.key})
        weak = ["AES128-GCM-SHA256",  # no forward secrecy
                "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA",  # CBC
                "DHE-RSA-AES128-GCM-SHA256", "AES256-SHA"]
        good = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"]
        for cipher in good + weak:
            context = self.authority.client_context(version=TLS_1_2)
            context.set_ciphers(cipher)
            with self.subTest(cipher):
                if cipher in weak:
                    self.assert_refused(proxy, context)
                    continue
                client = self.tls_client(proxy, context)
                self.assertEqual((client.get().body, client.sock.cipher()[0]), (b"hello", cipher))
        self.wait_handshakes(proxy, len(weak), "protocol")

    def test_early_data_is_not_taken(self):
        """What is sent with the first message of TLS 1.3 could be sent again by anybody."""
        upstream = self.upstream(HELLO)
        proxy = self.tls_proxy(upstream)
        session, data = (os.path.join(self.folder, name) for name in ("session", "data"))
        with open(data, "wb") as file:
            file.write(harness.request(target="/early"))

        def s_client(*arguments):
            return subprocess.run(
                ["openssl", "s_client", "-tls1_3", "-CAfile", self.authority.cert, "-connect",
                 f"127.0.0.1:{proxy.address[1]}", "-servername", "localhost", *arguments],
                input=b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", capture_output=True,
                timeout=harness.DEADLINE, check=False).stdout

        self.assertIn(b"hello", s_client("-ign_eof", "-sess_out", session))
        again = s_client("-ign_eof", "-sess_in", session, "-early_data", data)
        self.assertIn(b"Reused, TLSv1.3", again)
        self.assertIn(b"Early data was not sent", again)
        self.assertEqual([message.target for message in upstream.requests], ["/", "/"])

    def test_curl_and_s_client_get_their_answer(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        port = proxy.address[1]
        curl = subprocess.run(
            ["curl", "-sS", "--http1.1", "--cacert", self.authority.cert, f"https://localhost:{port}/",
             "--resolve", f"localhost:{port}:127.0.0.1"],
            capture_output=True, timeout=harness.DEADLINE, check=True)
        self.assertEqual(curl.stdout, b"hello")
        s_client = subprocess.run(
            ["openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", self.authority.cert,
             "-connect", f"127.0.0.1:{port}", "-servername", "localhost"],
            input=b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            capture_output=True, timeout=harness.DEADLINE, check=True)
        self.assertTrue(s_client.stdout.endswith(b"hello"), s_client.stdout)

    def test_alpn_chooses_http1_and_refuses_what_is_not_spoken(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        client = self.tls_client(proxy, self.authority.client_context(protocols=["foo", "http/1.1"]))
        self.assertEqual(client.sock.selected_alpn_protocol(), "http/1.1")
        self.assertEqual(client.get().body, b"hello")
        self.assert_refused(proxy, self.authority.client_context(protocols=["foo"]))
        self.wait_handshakes(proxy, 1, "protocol")

    def test_large_bodies_pass_in_both_directions(self):
        upstream = self.upstream(answering(lambda message: response(message.body)))
        proxy = self.tls_proxy(upstream)
        client = self.tls_client(proxy)
        for size in (1, 16384, 16385, len(BIG), 20 * len(BIG)):
            body = (BIG * 20)[:size]
            reply = client.post("/echo", body)
            self.assertEqual((reply.status, reply.body == body), (200, True), size)

    def test_a_slow_reader_gets_every_byte(self):
        body = BIG * 64
        proxy = self.tls_proxy(self.upstream(answering(response(body))))
        client = self.tls_client(proxy, receive_buffer=4096)
        client.send(harness.request("GET"))
        proxy.wait_metric("in_flight_requests", 1)
        self.assertEqual(client.read_response().body == body, True)
        self.assert_idle(proxy)

    def test_pipelined_requests_in_one_record_are_all_answered(self):
        upstream = self.upstream(answering(lambda message: response(message.target.encode())))
        client = self.tls_client(self.tls_proxy(upstream))
        client.send(b"".join(harness.request(target=f"/{i}") for i in range(50)))
        for i in range(50):
            self.assertEqual(client.read_response().body, b"/%d" % i)

    def test_a_request_right_behind_the_handshake_is_not_lost(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.authority.client_context(version=TLS_1_3).wrap_bio(incoming, outgoing,
                                                                      server_hostname="localhost")
        client = self.client(proxy)
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        client.send(outgoing.read())
        while True:
            incoming.write(client.sock.recv(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        tls.write(harness.request())
        client.send(outgoing.read())  # the end of the handshake and the request in one piece
        answer = b""
        while not answer.endswith(b"hello"):
            incoming.write(client.sock.recv(65536))
            try:
                answer += tls.read(65536)
            except ssl.SSLWantReadError:
                pass

    def test_events_arrive_one_by_one(self):
        go_on = threading.Semaphore(0)

        def script(connection):
            connection.read_request()
            connection.send(response(headers=[("Content-Type", "text/event-stream"),
                                              ("Transfer-Encoding", "chunked")], length=False))
            for i in range(5):
                event = b"data: %d\n\n" % i
                connection.send(b"%x\r\n%s\r\n" % (len(event), event))
                go_on.acquire(timeout=harness.DEADLINE)
            connection.send(b"0\r\n\r\n")

        client = self.tls_client(self.tls_proxy(self.upstream(script)))
        client.send(harness.request())
        client.read_until(b"\r\n\r\n")
        for i in range(5):
            client.read_until(b"data: %d\n\n\r\n" % i)
            go_on.release()
        client.read_until(b"0\r\n\r\n")

    def test_a_stream_that_breaks_off_has_no_orderly_end(self):
        def script(connection):
            connection.read_request()
            connection.send(response(b"part", headers=[("Connection", "close")], length=False))
            connection.reset()

        client = self.tls_client(self.tls_proxy(self.upstream(script)))
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        with self.assertRaises(OSError):
            while client.sock.recv(65536):
                pass

    def test_a_whole_answer_that_closes_ends_with_close_notify(self):
        client = self.tls_client(self.tls_proxy(self.upstream(HELLO)))
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        data, is_fin = client.read_to_end()  # an end without close_notify would be an SSLEOFError
        self.assertTrue(data.endswith(b"hello") and is_fin)

    def test_tickets_resume_sessions(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        for version in (TLS_1_2, TLS_1_3):
            context = self.authority.client_context(version=version)
            first = self.tls_client(proxy, context)
            self.assertEqual(first.get().body, b"hello")
            second = self.tls_client(proxy, context, session=first.sock.session)
            self.assertEqual(second.get().body, b"hello")
            self.assertTrue(second.sock.session_reused, version)


class Http2(TlsTestCase):
    def curl(self, proxy, *arguments):
        port = proxy.address[1]
        done = subprocess.run(
            ["curl", "-sS", "-w", " %{http_version}", "--cacert", self.authority.cert,
             "--resolve", f"localhost:{port}:127.0.0.1", *arguments, f"https://localhost:{port}/"],
            capture_output=True, timeout=harness.DEADLINE, check=True)
        return done.stdout.decode()

    def test_alpn_chooses_between_the_protocols_of_the_listener(self):
        upstream = self.upstream(HELLO)
        auto = self.tls_proxy(upstream)
        self.assertEqual(self.curl(auto, "--http2"), "hello 2")
        self.assertEqual(self.curl(auto, "--http1.1"), "hello 1.1")
        self.assertEqual(self.curl(self.tls_proxy(upstream, listener={"protocol": "http1"}), "--http2"),
                         "hello 1.1")
        only = self.tls_proxy(upstream, listener={"protocol": "http2"})
        self.assertEqual(self.curl(only, "--http2"), "hello 2")
        self.assert_refused(only, self.authority.client_context(protocols=["http/1.1"]))
        self.assertEqual({m.get("x-forwarded-proto") for m in upstream.requests}, {"https"})

    def test_an_http2_listener_with_tls_never_answers_in_plain(self):
        proxy = self.tls_proxy(self.upstream(HELLO), listener={"protocol": "http2"})
        client = self.client(proxy)
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
        data, _ = client.read_to_end()
        self.assertFalse(data.startswith(b"\0\0"), data)  # a frame
        proxy.wait_metric("downstream_connections", 0)

    def test_a_stalled_handshake_of_an_http2_listener_ends(self):
        proxy = self.tls_proxy(self.upstream(HELLO), listener={
            "protocol": "http2", "limits": {"header_timeout": "300ms", "idle_timeout": "1h"}})
        client = self.client(proxy)
        client.send(b"\x16\x03\x01")
        client.read_to_end()
        self.wait_handshakes(proxy, 1, "given_up")

    def test_the_certificate_counts_for_every_stream(self):
        upstream = self.upstream(HELLO)
        pair = self.authority.issue("web", ClientCertificates.WEB)
        proxy = self.tls_proxy(upstream, tls={"client_ca": self.authority.cert, "client_auth": "require"},
                               listener={"forwarded_client_cert": "set"})
        self.assertEqual(self.curl(proxy, "--http2", "--cert", pair.cert, "--key", pair.key), "hello 2")
        self.assertIn("URI=spiffe://example.org/ns/prod/sa/web",
                      upstream.requests[0].get("x-forwarded-client-cert"))
        self.assertEqual(proxy.wait_events("request")[0]["tenant"], "spiffe://example.org/ns/prod/sa/web")

    def test_large_bodies_pass_over_http2(self):
        echo = answering(lambda message: response(message.body))
        proxy = self.tls_proxy(self.upstream(echo))
        path = os.path.join(self.folder, "body")
        with open(path, "wb") as file:
            file.write(b"x" * (3 << 20))
        answer = self.curl(proxy, "--http2", "--data-binary", "@" + path)
        self.assertEqual((len(answer), answer[-2:]), ((3 << 20) + 2, " 2"))


    def test_a_client_that_leaves_in_its_handshake_or_behind_it_leaves_nothing(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        for protocol in ("h2", "http/1.1"):
            for send in (b"", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\n\r\n"):
                client = self.tls_client(proxy, self.authority.client_context(protocols=[protocol]))
                client.send(send) if send else None
                client.reset()
        proxy.wait_metric("downstream_connections", 0)

    def test_what_was_agreed_on_is_what_is_spoken(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
        client = self.tls_client(proxy, self.authority.client_context(protocols=["http/1.1"]))
        client.send(preface)
        self.assertTrue(client.read_to_end()[0].startswith(b"HTTP/1.1 "))
        client = self.tls_client(proxy, self.authority.client_context(protocols=["h2"]))
        client.send(harness.request())
        data, _ = client.read_to_end()
        self.assertEqual(data[3:4], b"\x04")  # SETTINGS, and then GOAWAY
        self.assertNotIn(b"HTTP/1.1", data)

    def test_an_alert_reaches_a_client_of_an_http2_listener(self):
        proxy = self.tls_proxy(self.upstream(HELLO), listener={"protocol": "http2"})
        for _ in range(20):
            with self.assertRaises(ssl.SSLError) as caught:
                self.tls_client(proxy, self.authority.client_context(protocols=["http/1.1"])).get()
            self.assertIn("alert no application protocol", str(caught.exception))


class StrangeClients(TlsTestCase):
    def test_a_plain_request_on_a_tls_port_is_told_so(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        client = self.client(proxy)
        reply = client.get()
        self.assert_local_reply(reply, 400, "bad_request")
        self.assertIn("TLS", reply.json()["detail"])
        self.assertEqual(client.read_to_end()[0], b"")
        self.wait_handshakes(proxy, 1, "plain_http")
        proxy.wait_metric("downstream_connections", 0)

    def test_a_tls_client_on_a_plain_port_is_refused(self):
        proxy = self.outrigger(self.upstream(HELLO))
        with self.assertRaises(ssl.SSLError):
            self.tls_client(proxy)
        proxy.wait_metric("downstream_connections", 0)

    def test_a_client_that_does_not_trust_us_says_so(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        stranger = Authority(self.folder, "stranger")
        self.assert_refused(proxy, stranger.client_context(), "CERTIFICATE_VERIFY_FAILED")
        self.assert_refused(proxy, self.authority.client_context(), "CERTIFICATE_VERIFY_FAILED",
                            name="elsewhere.example")
        self.wait_handshakes(proxy, 2, "refused")

    def test_garbage_and_half_handshakes_end(self):
        proxy = self.tls_proxy(self.upstream(HELLO),
                               listener={"limits": {"header_timeout": "300ms", "idle_timeout": "1h"}})
        for data in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"):
            client = self.client(proxy)
            client.send(data)
            began = time.monotonic()
            client.read_to_end()
            self.assertGreater(time.monotonic() - began, 0.2)
        self.wait_handshakes(proxy, 3, "given_up")
        for data in (bytes(range(256)) * 10, b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\x00" * 300):
            client = self.client(proxy)
            try:
                client.send(data)
                client.read_to_end()
            except OSError:
                pass
        self.wait_handshakes(proxy, 3, "protocol")
        client = self.client(proxy)
        client.half_close()
        client.read_to_end()
        self.wait_handshakes(proxy, 1, "peer_closed")
        proxy.wait_metric("downstream_connections", 0)

    def test_a_handshake_a_byte_at_a_time_is_still_one(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        relay = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(relay.close)

        def drip():
            near, _ = relay.accept()
            far = socket.create_connection(proxy.address)
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def back():
                try:
                    while data := far.recv(65536):
                        near.sendall(data)
                except OSError:
                    pass  # the client has gone

            thread = threading.Thread(target=back, daemon=True)
            thread.start()
            while data := near.recv(65536):
                for i in range(len(data)):
                    far.send(data[i:i + 1])
            far.close()
            near.close()

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        client = TlsClient(relay.getsockname(), self.authority.client_context())
        self.assertEqual(client.get().body, b"hello")
        client.close()
        thread.join(harness.DEADLINE)

    def test_an_idle_timeout_holds_after_the_handshake(self):
        proxy = self.tls_proxy(self.upstream(HELLO),
                               listener={"limits": {"header_timeout": "20s", "idle_timeout": "200ms"}})
        client = self.tls_client(proxy)
        self.assertEqual(client.read_to_end(), (b"", True))

    def test_many_failed_handshakes_leave_nothing(self):
        proxy = self.tls_proxy(self.upstream(HELLO), tls={
            "client_ca": self.authority.cert, "client_auth": "require"})
        context = self.authority.client_context()
        rounds = 200 if harness.IS_INSTRUMENTED else 1000

        def fail(count):
            for i in range(count):
                client = self.client(proxy)
                try:
                    if i % 4 == 0:
                        client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
                        client.sock.recv(1)
                    elif i % 4 == 1:
                        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                        client.read_to_end()
                    elif i % 4 == 2:
                        client.send(b"\x16\x03\x01\x00\x05garbage")
                    else:
                        client.send(b"\x16\x03")
                        client.reset()
                except OSError:
                    pass
                client.close()
            proxy.wait_metric("downstream_connections", 0)

        fail(rounds // 4)  # warm: pools, arenas
        files = lambda: len(os.listdir(f"/proc/{proxy.pid}/fd"))  # noqa: E731
        open_before, rss_before = files(), proxy.rss_kib()
        fail(rounds)
        eventually(lambda: files() <= open_before, "no descriptor is left")
        if not harness.IS_INSTRUMENTED:
            self.assertLess(proxy.rss_kib() - rss_before, 1024)


class ClientCertificates(TlsTestCase):
    WEB = "URI:spiffe://example.org/ns/prod/sa/web"

    def mutual(self, upstream, auth="require", san=(), **options):
        tls = {"client_ca": self.authority.cert, "client_auth": auth}
        if san:
            tls["client_san"] = list(san)
        return self.tls_proxy(upstream, tls=tls, **options)

    def context_of(self, name, san, **options):
        return self.authority.client_context(self.authority.issue(name, san), **options)

    def test_a_required_certificate_is_required(self):
        proxy = self.mutual(self.upstream(HELLO))
        for version in (TLS_1_2, TLS_1_3):
            self.assert_refused(proxy, self.authority.client_context(version=version))
            client = self.tls_client(proxy, self.context_of("web", self.WEB, version=version))
            self.assertEqual(client.get().body, b"hello")
        self.wait_handshakes(proxy, 2, "certificate")
        self.wait_handshakes(proxy, 2, "done")

    def test_certificates_of_others_and_expired_ones_are_refused(self):
        proxy = self.mutual(self.upstream(HELLO), auth="optional")
        stranger = Authority(self.folder, "stranger").issue("web", self.WEB)
        expired = self.authority.issue("expired", self.WEB, days=-1)
        for pair in (stranger, expired):
            self.assert_refused(proxy, self.authority.client_context(pair))
        self.wait_handshakes(proxy, 2, "certificate")
        details = [event["detail"] for event in proxy.wait_events("tls_handshake_failed", 2)]
        self.assertIn("certificate has expired", details)
        self.assertEqual(self.tls_client(proxy).get().body, b"hello")  # none is fine

    def test_rules_on_names_let_in_and_keep_out(self):
        proxy = self.mutual(self.upstream(HELLO), san=[
            "spiffe://example.org/ns/prod/*", "spiffe://other.org/sa/one", "dns:*.clients.example"])
        allowed = [self.WEB, "URI:spiffe://other.org/sa/one", "DNS:a.clients.example"]
        denied = ["URI:spiffe://example.org/ns/production/sa/web", "URI:spiffe://other.org/sa/one/more",
                  "URI:spiffe://evil.org/ns/prod/sa/web", "DNS:clients.example", "DNS:a.b.clients.example", None]
        for i, san in enumerate(allowed):
            client = self.tls_client(proxy, self.context_of(f"good{i}", san))
            self.assertEqual(client.get().body, b"hello", san)
        for i, san in enumerate(denied):
            with self.subTest(san):
                self.assert_refused(proxy, self.context_of(f"bad{i}", san))
        self.wait_handshakes(proxy, len(denied), "certificate")
        self.wait_handshakes(proxy, len(allowed), "done")
        details = [event["detail"] for event in proxy.events("tls_handshake_failed")]
        self.assertIn("spiffe://evil.org/ns/prod/sa/web is not allowed", details)

    def test_the_spiffe_id_is_the_tenant(self):
        proxy = self.mutual(
            self.upstream(HELLO), auth="optional",
            filters=[{"idempotency": {}},
                     {"rate_limit": {"rules": [{"name": "each", "key": ["tenant"], "rate": "1/h",
                                                "burst": 1}]}}])
        web = self.context_of("web", self.WEB)
        batch = self.context_of("batch", "URI:spiffe://example.org/ns/prod/sa/batch")
        bearer = [("Authorization", "Bearer same")]
        self.assertEqual(self.tls_client(proxy, web).get(headers=bearer).status, 200)
        self.assertEqual(self.tls_client(proxy, web).get(headers=bearer).status, 429)
        self.assertEqual(self.tls_client(proxy, batch).get(headers=bearer).status, 200)
        self.assertEqual(self.tls_client(proxy).get(headers=bearer).status, 200)
        proxy.wait_metric("limiter_tenant_rejections_total", 1,
                          tenant="spiffe://example.org/ns/prod/sa/web")

    def test_keys_of_two_tenants_do_not_meet(self):
        count = iter(range(100))
        proxy = self.mutual(self.upstream(answering(lambda _: response(b"%d" % next(count)))))
        key = [("Idempotency-Key", "k1")]
        bodies = []
        for name, san in (("web", self.WEB), ("batch", "URI:spiffe://example.org/ns/prod/sa/batch")):
            context = self.context_of(name, san)
            bodies += [self.tls_client(proxy, context).post("/x", b"{}", key).body for _ in range(2)]
        self.assertEqual(bodies, [b"0", b"0", b"1", b"1"])

    def test_resumed_sessions_keep_their_identity(self):
        proxy = self.mutual(self.upstream(HELLO), listener={"forwarded_client_cert": "set"})
        context = self.context_of("web", self.WEB)
        first = self.tls_client(proxy, context)
        first.get()
        upstream_before = first.sock.session
        second = self.tls_client(proxy, context, session=upstream_before)
        self.assertEqual(second.get().status, 200)
        self.assertTrue(second.sock.session_reused)

    def test_forwarded_client_cert_follows_its_mode(self):
        forged = [("X-Forwarded-Client-Cert", "URI=spiffe://evil.org/admin")]
        context = self.context_of("web", self.WEB)
        expected = {
            "sanitize": r"^$",
            "forward": r"^URI=spiffe://evil.org/admin$",
            "append": r"^URI=spiffe://evil.org/admin,Hash=[0-9a-f]{64};URI=spiffe://example.org/ns/prod/sa/web$",
            "set": r"^Hash=[0-9a-f]{64};URI=spiffe://example.org/ns/prod/sa/web$",
        }
        for mode, pattern in expected.items():
            with self.subTest(mode):
                upstream = self.upstream(HELLO)
                proxy = self.mutual(upstream, auth="optional", listener={"forwarded_client_cert": mode})
                self.tls_client(proxy, context).get(headers=forged)
                values = upstream.requests[0].all("x-forwarded-client-cert")
                self.assertRegex("".join(values), pattern)
        upstream = self.upstream(HELLO)  # a plain listener removes it as well
        self.client(self.outrigger(upstream)).get(headers=forged)
        self.assertEqual(upstream.requests[0].all("x-forwarded-client-cert"), [])


class Reload(TlsTestCase):
    """The files stand as Kubernetes mounts them: links through `..data`, which is swapped."""

    def setUp(self):
        super().setUp()
        self.mount = os.path.join(self.folder, "certs")
        os.mkdir(self.mount)
        self.generation = 0
        self.publish(self.pair)
        for name in ("tls.crt", "tls.key"):
            os.symlink(os.path.join("..data", name), os.path.join(self.mount, name))

    def publish(self, pair):
        self.generation += 1
        folder = f"..generation{self.generation}"
        os.mkdir(os.path.join(self.mount, folder))
        shutil.copy(pair.cert, os.path.join(self.mount, folder, "tls.crt"))
        shutil.copy(pair.key, os.path.join(self.mount, folder, "tls.key"))
        os.symlink(folder, os.path.join(self.mount, "..new"))
        os.rename(os.path.join(self.mount, "..new"), os.path.join(self.mount, "..data"))

    def mounted(self, upstream, **options):
        return self.tls_proxy(upstream, tls={"cert": os.path.join(self.mount, "tls.crt"),
                                             "key": os.path.join(self.mount, "tls.key")}, **options)

    def serial(self, proxy):
        client = self.tls_client(proxy)
        self.assertEqual(client.get().status, 200)
        return client.sock.getpeercert()["serialNumber"]

    def test_new_connections_get_the_new_certificate_and_old_ones_stay(self):
        proxy = self.mounted(self.upstream(HELLO))
        old = self.tls_client(proxy)
        before = old.sock.getpeercert()["serialNumber"]
        expiry = proxy.metric("tls_certificate_expiry_timestamp_seconds", side="downstream")
        self.assertAlmostEqual(expiry, time.time() + 86400, delta=600)
        took = []
        for count, pair in enumerate([self.authority.issue(f"next{i}", days=3) for i in range(3)], 1):
            began = time.monotonic()
            self.publish(pair)
            proxy.wait_metric("tls_reloads_total", count, result="loaded")
            took.append(time.monotonic() - began)
        if not harness.IS_INSTRUMENTED:
            self.assertLess(min(took), 2)  # SE-2; the best, on a busy machine
        self.assertNotEqual(self.serial(proxy), before)
        self.assertEqual(old.get().body, b"hello")
        after = proxy.metric("tls_certificate_expiry_timestamp_seconds", side="downstream")
        self.assertAlmostEqual(after - expiry, 2 * 86400, delta=600)

    def test_what_cannot_be_used_never_replaces_what_can(self):
        proxy = self.mounted(self.upstream(HELLO))
        before = self.serial(proxy)
        other = self.authority.issue("other")
        garbage = os.path.join(self.folder, "garbage")
        with open(garbage, "w", encoding="ascii") as file:
            file.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        bad = [tls_support.Pair(other.cert, self.pair.key), tls_support.Pair(garbage, self.pair.key),
               tls_support.Pair(other.cert, garbage), self.authority.issue("expired", days=-1)]
        for count, pair in enumerate(bad, 1):
            self.publish(pair)
            proxy.wait_metric("tls_reloads_total", count, result="failed")
            self.assertEqual(proxy.metric("tls_last_reload_successful"), 0)
            self.assertEqual(self.serial(proxy), before)
        self.assertIn("is not the key of", proxy.events("tls_reload_failed")[0]["error"])
        self.publish(other)
        proxy.wait_metric("tls_last_reload_successful", 1)
        self.assertNotEqual(self.serial(proxy), before)

    def test_no_request_fails_while_certificates_change(self):
        proxy = self.mounted(self.upstream(HELLO))
        pairs = [self.authority.issue(f"p{i}") for i in range(2)]
        stop, failures, served = threading.Event(), [], [0]

        def load(keeps):
            context = self.authority.client_context()
            client = None
            while not stop.is_set():
                try:
                    client = client or TlsClient(proxy.address, context)
                    if client.get().body != b"hello":
                        failures.append("another answer")
                    served[0] += 1
                    if not keeps:
                        client.close()
                        client = None
                except Exception as error:  # noqa: B902 - reported below
                    failures.append(repr(error))
                    return
            if client:
                client.close()

        threads = [threading.Thread(target=load, args=(i % 2 == 0,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for count in range(1, 4):
            self.publish(pairs[count % 2])
            proxy.wait_metric("tls_reloads_total", count, result="loaded")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertGreater(served[0], 10)

    def test_a_certificate_that_cannot_be_loaded_ends_the_start(self):
        config = self.config("127.0.0.1:1", listener=self.listener(key=self.authority.cert))
        path = os.path.join(self.folder, "bad.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(str(config).replace("'", '"'))
        result = self.program("serve", "--config", path)
        self.assertEqual(result.returncode, 1)
        self.assertIn("TLS of listener in: " + self.authority.cert + " has no private key", result.stderr)


class Upstream(TlsTestCase):
    def secure(self, tls=None, script=HELLO, pair=None, closes_orderly=True, **server):
        """A service behind TLS and a proxy in front that reaches it as `localhost`."""
        context = self.authority.server_context(pair or self.pair, **server)
        upstream = self.upstream(over_tls(context, script, closes_orderly))
        proxy = self.outrigger(upstream, upstream_options={
            "tls": {"ca": self.authority.cert, **(tls or {})}}, filters=[])
        return upstream, proxy

    def test_requests_reach_a_service_behind_tls(self):
        for version in (TLS_1_2, TLS_1_3):
            upstream, proxy = self.secure(version=version)
            client = self.client(proxy)
            for _ in range(3):
                self.assertEqual(client.get().body, b"hello")
            # A ticket that comes while the connection is idle does not end it.
            self.assertEqual(len(upstream.connections), 1)
            self.wait_handshakes(proxy, 1, "done", "upstream")

    def test_tls_on_both_sides_carries_bodies_and_streams(self):
        context = self.authority.server_context(self.pair)
        echo = answering(lambda m: chunked([m.body[i:i + 7000] for i in range(0, len(m.body), 7000)]))
        upstream = self.upstream(over_tls(context, echo))
        proxy = self.tls_proxy(upstream, upstream_options={"tls": {"ca": self.authority.cert}})
        client = self.tls_client(proxy)
        for size in (1, 16384, len(BIG), 20 * len(BIG)):
            body = (BIG * 20)[:size]
            self.assertEqual(client.post("/", body).body == body, True, size)
        self.assertEqual(len(upstream.connections), 1)

    def test_the_name_is_asked_for_and_compared(self):
        names = []
        context = self.authority.server_context(self.authority.issue("model", "DNS:model.example"))
        context.sni_callback = lambda sock, name, context: names.append(name)
        upstream = self.upstream(over_tls(context, HELLO))
        for tls, status in (({"server_name": "model.example"}, 200), ({}, 503),
                            ({"server_name": "other.example"}, 503),
                            ({"server_san": ["dns:model.example"]}, 200),
                            ({"server_san": ["dns:other.example"]}, 503)):
            with self.subTest(tls):
                proxy = self.outrigger(upstream, filters=[], upstream_options={
                    "tls": {"ca": self.authority.cert, **tls}})
                self.assertEqual(self.client(proxy).get().status, status)
        self.assertEqual(names[0], "model.example")
        self.assertEqual(names[1], None)  # an address is no name

    def test_a_service_that_speaks_weak_ciphers_alone_is_a_failed_connect(self):
        pair = self.authority.issue("rsa", new_key=tls_support.NEW_RSA_KEY)
        for cipher, status in (("ECDHE-RSA-AES128-GCM-SHA256", 200), ("AES128-GCM-SHA256", 503),
                               ("ECDHE-RSA-AES128-SHA256", 503)):
            with self.subTest(cipher):
                context = self.authority.server_context(pair, version=TLS_1_2)
                context.set_ciphers(cipher)
                proxy = self.outrigger(self.upstream(over_tls(context, HELLO)), filters=[], upstream_options={
                    "tls": {"ca": self.authority.cert}})
                self.assertEqual(self.client(proxy).get().status, status)

    def test_bad_certificates_fail_as_a_connect_does(self):
        stranger = Authority(self.folder, "stranger")
        pairs = {"unknown CA": stranger.issue("server"),
                 "expired": self.authority.issue("old", days=-1),
                 "wrong host": self.authority.issue("elsewhere", "DNS:elsewhere.example")}
        for name, pair in pairs.items():
            with self.subTest(name):
                upstream, proxy = self.secure(pair=pair)
                reply = self.client(proxy).post("/", b"x")
                self.assert_local_reply(reply, 503, "connect_fail")
                self.assertEqual(reply.get("x-should-retry"), "true")
                self.wait_handshakes(proxy, 1, "certificate", "upstream")
                self.assertEqual(upstream.requests, [])

    def test_a_failed_handshake_is_retried_for_any_method(self):
        # Not executed: also what may not run twice may be tried again (B0.2).
        good = self.authority.server_context(self.pair)
        bad = self.authority.server_context(self.authority.issue("old", days=-1))
        attempts = []

        def script(connection):
            attempts.append(connection)
            over_tls(bad if len(attempts) == 1 else good, HELLO)(connection)

        proxy = self.outrigger(self.upstream(script), filters=[{"retry": {}}], upstream_options={
            "tls": {"ca": self.authority.cert}})
        self.assertEqual(self.client(proxy).post("/unsafe", b"x").body, b"hello")
        self.assertEqual(len(attempts), 2)

    def test_a_service_that_does_not_speak_tls_or_says_nothing(self):
        upstream = self.upstream(answering(response(b"plain")), starts_at_once=True)
        proxy = self.outrigger(upstream, upstream_options={"tls": {"ca": self.authority.cert}}, filters=[])
        began = time.monotonic()
        self.assert_local_reply(self.client(proxy).get(), 503, "connect_fail")
        if not harness.IS_INSTRUMENTED:
            self.assertLess(time.monotonic() - began, 5)
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        proxy = self.outrigger("127.0.0.1:%d" % silent.getsockname()[1], filters=[],
                               upstream_options={"tls": {"ca": self.authority.cert}})
        self.assert_local_reply(self.client(proxy).get(), 503, "connect_fail")
        self.wait_handshakes(proxy, 1, "given_up", "upstream")

    def test_a_certificate_is_shown_when_asked_for(self):
        mine = self.authority.issue("me", "URI:spiffe://example.org/sa/me")
        _, proxy = self.secure({"cert": mine.cert, "key": mine.key}, clients=self.authority)
        self.assertEqual(self.client(proxy).get().body, b"hello")

    def test_a_service_that_misses_a_certificate_has_executed_nothing(self):
        # With TLS 1.3 the refusal comes after our own part of the handshake and the request.
        for version in (TLS_1_2, TLS_1_3):
            _, proxy = self.secure(clients=self.authority, version=version)
            self.assert_local_reply(self.client(proxy).post("/", b"x"), 503, "connect_fail")

    def test_only_close_notify_ends_a_body_that_ends_by_closing(self):
        def script(connection):
            connection.read_request()
            connection.send(response(b"all of it", length=False))

        _, proxy = self.secure(script=script)
        reply = self.client(proxy).get()
        self.assertEqual((reply.body, reply.is_cut), (b"all of it", False))
        _, proxy = self.secure(script=script, closes_orderly=False)
        self.assertTrue(self.client(proxy).get().is_cut)

    def test_a_renewed_ca_is_used(self):
        ca = os.path.join(self.folder, "bundle.crt")
        stranger = Authority(self.folder, "stranger")
        shutil.copy(stranger.cert, ca)
        _, proxy = self.secure({"ca": ca})
        self.assertEqual(self.client(proxy).get().status, 503)
        shutil.copy(self.authority.cert, ca + ".new")
        os.rename(ca + ".new", ca)
        proxy.wait_metric("tls_reloads_total", 1, result="loaded", side="upstream")
        self.assertEqual(self.client(proxy).get().body, b"hello")


class UpstreamHttp2(TlsTestCase):
    """`protocol: http2` with `tls`. What is of HTTP/2 itself is asked in the other modules (OverTls)."""

    OPTIONS = {"protocol": "http2"}

    def secure(self, tls=None, script=HELLO, pair=None, protocols=("h2",), **server):
        context = self.authority.server_context(pair or self.pair, protocols=list(protocols), **server)
        upstream = Http2Upstream(script, tls=context)
        self.addCleanup(self._stop_upstream, upstream)
        return upstream, self.proxy_to(upstream, tls)

    def proxy_to(self, upstream, tls=None, filters=(), **options):
        return self.outrigger(upstream, filters=list(filters), upstream_options={
            "protocol": "http2", "tls": {"ca": self.authority.cert, **(tls or {})}, **options})

    def test_h2_is_asked_for_by_alpn_and_shared_by_requests(self):
        for version in (TLS_1_2, TLS_1_3):
            upstream, proxy = self.secure(version=version)
            for _ in range(3):
                self.assertEqual(self.client(proxy).get("/x").body, b"hello")
            self.assertEqual(len(upstream.wires), 1)
            self.assertIn((":scheme", "https"), upstream.connections[0].fields)
            self.assertEqual(upstream.requests[0].get("x-forwarded-proto"), "http")
            self.wait_handshakes(proxy, 1, "done", "upstream")

    def test_a_service_that_does_not_choose_h2_is_a_failed_connect(self):
        for protocols, outcome in (((), "protocol"), (("http/1.1",), None)):
            with self.subTest(protocols):
                context = self.authority.server_context(self.pair, protocols=list(protocols))
                upstream = self.upstream(over_tls(context, HELLO))
                proxy = self.proxy_to(upstream)
                self.assert_local_reply(self.client(proxy).post("/", b"x"), 503, "connect_fail")
                self.assertEqual(upstream.requests, [])
                # OpenSSL's server goes on without an answer where nothing is common, others send an alert.
                self.assertIn("h2 was not chosen by ALPN", proxy.wait_events("tls_handshake_failed")[0]["detail"])
                self.wait_handshakes(proxy, 1, outcome or "protocol", "upstream")

    def test_names_and_certificates_are_checked_as_with_http1(self):
        stranger = Authority(self.folder, "stranger")
        model = self.authority.issue("model", "DNS:model.example")
        cases = [(model, {"server_name": "model.example"}, 200), (model, {}, 503),
                 (model, {"server_san": ["dns:model.example"]}, 200),
                 (model, {"server_san": ["dns:other.example"]}, 503),
                 (stranger.issue("server"), {}, 503), (self.authority.issue("old", days=-1), {}, 503)]
        for pair, tls, status in cases:
            with self.subTest((os.path.basename(pair.cert), tls)):
                upstream, proxy = self.secure(tls, pair=pair)
                self.assertEqual(self.client(proxy).post("/", b"x").status, status)
                self.wait_handshakes(proxy, 1, "done" if status == 200 else "certificate", "upstream")
                self.assertEqual(len(upstream.requests), 1 if status == 200 else 0)

    def test_a_certificate_is_shown_and_missed(self):
        mine = self.authority.issue("me", "URI:spiffe://example.org/sa/me")
        for version in (TLS_1_2, TLS_1_3):
            shown = {"cert": mine.cert, "key": mine.key}
            _, proxy = self.secure(shown, clients=self.authority, version=version)
            self.assertEqual(self.client(proxy).get().body, b"hello")
            _, proxy = self.secure(clients=self.authority, version=version)
            self.assert_local_reply(self.client(proxy).post("/", b"x"), 503, "connect_fail")

    def test_a_service_that_says_nothing_is_given_up_after_the_handshakes_time(self):
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        proxy = self.proxy_to("127.0.0.1:%d" % silent.getsockname()[1])
        began = time.monotonic()
        self.assert_local_reply(self.client(proxy).get(), 503, "connect_fail")
        if not harness.IS_INSTRUMENTED:
            self.assertLess(time.monotonic() - began, 5)
        self.wait_handshakes(proxy, 1, "given_up", "upstream")

    def test_a_service_that_leaves_in_the_middle_of_the_handshake(self):
        def script(connection):
            connection.sock.recv(100)
            connection.reset()

        upstream = self.upstream(script)
        proxy = self.proxy_to(upstream, filters=[{"retry": {"attempts": 2}}])
        self.assert_local_reply(self.client(proxy).post("/", b"x"), 503, "connect_fail")
        self.assertGreaterEqual(len(upstream.connections), 2)  # any method: nothing was executed


class HealthOverOtherProtocols(TlsTestCase):
    """The check of the service by a path, over HTTP/2 and over TLS (HL-5)."""

    HEALTH = {"health": {"path": "/health", "interval": "500ms", "timeout": "500ms", "unhealthy_after": 1}}

    def asked(self):
        state = {"status": "200 OK"}
        return state, answering(lambda _: response(b"x" * 1000, state["status"]))

    def services(self):
        for protocol in ("http1", "http2"):
            for is_tls in (False, True):
                alpn = ["h2"] if protocol == "http2" else []
                context = self.authority.server_context(self.pair, protocols=alpn) if is_tls else None
                state, script = self.asked()
                if protocol == "http2":
                    upstream = Http2Upstream(script, tls=context)
                    self.addCleanup(self._stop_upstream, upstream)
                else:
                    upstream = self.upstream(over_tls(context, script) if context else script)
                tls = {"tls": {"ca": self.authority.cert}} if is_tls else {}
                yield (protocol, is_tls), upstream, state, {"protocol": protocol, **tls}

    def wait_ready(self, proxy, status):
        eventually(lambda: proxy.admin("GET", "/readyz")[0] == status, f"/readyz is {status}")

    def test_readiness_follows_the_status_of_the_answer(self):
        for name, upstream, state, options in self.services():
            with self.subTest(name):
                proxy = self.outrigger(upstream, upstream_options={**options, **self.HEALTH})
                self.wait_ready(proxy, 200)
                check = upstream.requests[0]
                self.assertEqual((check.method, check.target), ("GET", "/health"))
                self.assertEqual(check.get("user-agent"), "outrigger-health")
                self.assertEqual(check.get("host"), upstream.address)
                state["status"] = "503 Service Unavailable"
                self.wait_ready(proxy, 503)
                self.assertIn("status 503", proxy.admin("GET", "/readyz?verbose")[1])
                state["status"] = "302 Found"
                self.wait_ready(proxy, 200)

    def test_what_is_wrong_is_told(self):
        stranger = Authority(self.folder, "stranger")
        bad = Http2Upstream(HELLO, tls=stranger.server_context(stranger.issue("server"), protocols=["h2"]))
        self.addCleanup(self._stop_upstream, bad)
        not_h2 = self.upstream(answering(response(b"x")), starts_at_once=True)
        cases = [(bad, {"protocol": "http2", "tls": {"ca": self.authority.cert}}, "TLS: unable to get local issuer"),
                 (not_h2, {"protocol": "http2"}, "HTTP/2")]
        for upstream, options, text in cases:
            with self.subTest(text):
                proxy = self.outrigger(upstream, upstream_options={**options, **self.HEALTH})
                eventually(lambda: text in proxy.admin("GET", "/readyz?verbose")[1], f"told: {text}")
                self.assertEqual(proxy.admin("GET", "/readyz")[0], 503)


class Memory(TlsTestCase):
    IDLE_KIB = 20  # what docs/tls.md promises for each idle connection

    def test_idle_connections_are_small(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        context = self.authority.client_context()

        def hold(count):
            for _ in range(count):
                self.assertEqual(self.tls_client(proxy, context).get().status, 200)
            return proxy.rss_kib()

        before = hold(100)
        each = (hold(500) - before) / 500
        self.assertEqual(proxy.open_connections(), 600)
        print(f"{each:.1f} KiB for each idle TLS connection", end=" ", flush=True)
        if not harness.IS_INSTRUMENTED:
            self.assertLess(each, self.IDLE_KIB)


class Drain(TlsTestCase):
    def test_idle_connections_end_orderly(self):
        proxy = self.tls_proxy(self.upstream(HELLO))
        client = self.tls_client(proxy)
        client.get()
        self.assertEqual(proxy.stop(), 0)
        self.assertEqual(client.read_to_end(), (b"", True))


if __name__ == "__main__":
    unittest.main()
