"""What the proxy adds to, takes from and says about messages: PR-8, routes (RU-5), access log (OB-5)."""

import re
import unittest

import harness
from harness import answering, request, response

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class RequestHeaders(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.service = self.upstream(answering(response(b"x")))
        self.proxy = self.outrigger(self.service)

    @property
    def received_by(self):
        return "2" if self.is_http2 else r"1\.1"

    def arrived(self, headers=(), method="GET", body=None):
        """The request as the service sees it."""
        self.assertEqual(self.client(self.proxy).ask(method, "/", body, headers).status, 200)
        return self.service.requests[-1]

    def test_the_proxy_says_who_it_is_and_for_whom_it_speaks(self):
        message = self.arrived()
        self.assertRegex(message.get("via"), rf"^{self.received_by} outrigger-\w+$")
        self.assertEqual(message.get("x-forwarded-for"), "127.0.0.1")
        self.assertEqual(message.get("x-forwarded-proto"), "http")
        self.assertEqual(message.get("host"), "a")
        self.assertRegex(message.get("x-request-id"), r"^[0-9a-f]{32}$")
        self.assertRegex(message.get("traceparent"), r"^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$")
        self.assertEqual(message.get("x-outrigger-attempt"), "1")

    def test_what_earlier_proxies_said_is_continued(self):
        message = self.arrived([("Via", "1.0 first"), ("X-Forwarded-For", "10.0.0.1"),
                                ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "public.example"),
                                ("X-Request-Id", "req-7"), ("Traceparent", TRACE),
                                ("Tracestate", "a=b")])
        self.assertRegex(message.get("via"), rf"^1\.0 first, {self.received_by} outrigger-\w+$")
        self.assertEqual(message.get("x-forwarded-for"), "10.0.0.1, 127.0.0.1")
        self.assertEqual(message.get("x-forwarded-proto"), "https")
        self.assertEqual(message.get("x-forwarded-host"), "public.example")
        self.assertEqual(message.get("x-request-id"), "req-7")
        self.assertEqual(message.get("tracestate"), "a=b")
        trace = message.get("traceparent")
        self.assertEqual(trace[:36], TRACE[:36])
        self.assertNotEqual(trace[36:52], TRACE[36:52], "a span of its own")
        self.assertEqual(trace[52:], TRACE[52:])

    def test_the_client_is_whom_trusted_proxies_name(self):
        sent = [("X-Forwarded-For", "6.6.6.6, 203.0.113.9"), ("X-Forwarded-For", "198.51.100.7")]
        for hops, client in ((0, None), (1, "198.51.100.7"), (2, "203.0.113.9"), (3, "6.6.6.6")):
            upstream = self.upstream(answering(response(b"x")))
            proxy = self.outrigger(upstream, listener={"trusted_hops": hops})
            self.client(proxy).get("/", sent)
            event = proxy.wait_events("request")[0]
            self.assertEqual((event["peer"], event.get("client")), ("127.0.0.1", client))
            # Upstream the whole chain is told, whoever is believed here.
            self.assertEqual(upstream.requests[0].all("x-forwarded-for"),
                             ["6.6.6.6, 203.0.113.9, 198.51.100.7, 127.0.0.1"])

    def test_a_bad_traceparent_is_replaced(self):
        for bad in ("x", TRACE.replace("0af", "0AF"), TRACE + "-x", "00-" + "0" * 32 + TRACE[35:]):
            self.assertRegex(self.arrived([("Traceparent", bad)]).get("traceparent"),
                             r"^00-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-0[01]$")

    def test_fields_of_ours_from_outside_are_not_believed(self):
        message = self.arrived([("X-Outrigger-Reason", "evil"), ("x-outrigger-anything", "evil")])
        self.assertNotIn("evil", [value for _, value in message.headers])

    def test_fields_of_one_hop_stay_there(self):
        message = self.arrived([("Connection", "keep-alive, X-Private"), ("X-Private", "1"),
                                ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"),
                                ("TE", "trailers"), ("Upgrade", "h2c"), ("X-Public", "2")])
        for name in ("x-private", "keep-alive", "proxy-connection", "upgrade"):
            self.assertEqual(message.all(name), [], name)
        self.assertEqual(message.get("x-public"), "2")

    def test_other_fields_keep_order_repetition_and_spelling(self):
        sent = [("X-B", "1"), ("x-a", "2"), ("X-B", "3"), ("Authorization", "Bearer t"), ("Cookie", "a=b"),
                ("Idempotency-Key", '"k"'), ("Content-Type", "application/json")]
        message = self.arrived(sent, "POST", b"{}")
        if self.is_http2:  # where names have one spelling
            sent = [(name.lower(), value) for name, value in sent]
        self.assertEqual([field for field in message.headers if field in sent], sent)

    def test_the_target_is_forwarded_as_it_was_written(self):
        targets = ["//v1//x", "/%63hat?q=%20&r", "/a/../b", "/a;b=c", "/?", "/x?a?b"]
        client = self.client(self.proxy)
        for target in targets:
            self.assertEqual(client.get(target).status, 200, target)
        self.assertEqual([message.target for message in self.service.requests], targets)
        client.send(b"GET http://a/abs?q HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(client.read_response().status, 200)
        self.assertEqual(self.service.requests[-1].target, "/abs?q")
        self.assertEqual(client.ask("OPTIONS", "*").status, 200)
        self.assertEqual(self.service.requests[-1].start_line, "OPTIONS * HTTP/1.1")

    def test_a_request_that_came_through_here_is_refused(self):
        via = self.arrived().get("via")
        reply = self.client(self.proxy).get(headers=[("Via", via)])
        self.assert_local_reply(reply, 508, "loop_detected")
        self.assertEqual(len(self.service.requests), 1)

    def test_a_loop_of_the_proxy_with_itself_ends(self):
        path = f"{self.folder}/loop.sock"
        proxy = self.outrigger(f"unix:{path}", listener={"address": f"unix:{path}"})
        # The reason is stripped on the way back: the first hop did not refuse it.
        self.assertEqual(self.client(proxy).get().status, 508)
        # In either order: each may be another worker's.
        self.assertCountEqual([event.get("reason") for event in proxy.wait_events("request", 2)],
                         ["loop_detected", None])


class AnswerHeaders(harness.TestCase):
    def answer(self, headers):
        proxy = self.outrigger(self.upstream(answering(response(b"x", headers=headers))))
        return self.client(proxy).get(headers=[("X-Request-Id", "req-7")])

    def test_fields_pass_but_for_those_of_one_hop(self):
        reply = self.answer([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("ETag", '"e"'),
                             ("Date", "Fri, 20 Nov 2020 10:00:00 GMT"), ("Keep-Alive", "timeout=9"),
                             ("Connection", "X-Private"), ("X-Private", "1"), ("Server", "s"),
                             ("x-outrigger-reason", "evil")])
        self.assertEqual(reply.all("set-cookie"), ["a=1", "b=2"])
        self.assertEqual(reply.all("date"), ["Fri, 20 Nov 2020 10:00:00 GMT"])
        self.assertEqual((reply.get("etag"), reply.get("server")), ('"e"', "s"))
        for name in ("keep-alive", "x-private", "x-outrigger-reason", "connection"):
            self.assertEqual(reply.all(name), [], name)

    def test_the_request_id_and_a_date_are_added(self):
        reply = self.answer([("X-Request-Id", "the-service's-own")])
        self.assertEqual(reply.all("x-request-id"), ["req-7"])
        self.assertRegex(reply.get("date"), r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")


class Routes(harness.TestCase):
    def test_first_match_on_the_normalised_path_wins(self):
        services = {name: self.upstream(answering(response(name.encode()))) for name in ("a", "b", "c")}
        config = self.config(services["a"])
        config["upstreams"] = [{"name": name, "endpoints": [service.address]}
                               for name, service in services.items()]
        config["listeners"][0]["upstream"] = "c"
        config["routes"] = [
            {"name": "exact", "match": {"path": "/v1/chat", "methods": ["POST"]}, "upstream": "a"},
            {"name": "header", "match": {"prefix": "/v1/", "headers": {"x-kind": "special"}},
             "upstream": "a"},
            {"name": "prefix", "match": {"prefix": "/v1/"}, "upstream": "b"},
        ]
        client = self.client(self.outrigger_with(config))

        def ask(method, target, headers=()):
            return client.ask(method, target, b"" if method == "POST" else None, headers).body

        self.assertEqual(ask("POST", "/v1/chat"), b"a")
        self.assertEqual(ask("GET", "/v1/chat"), b"b")
        for target in ("//v1/chat", "/v1/%63hat", "/x/../v1/chat", "/v1/./chat", "/v1//chat", "/v1/chat?x=y"):
            self.assertEqual(ask("POST", target), b"a", target)
        self.assertEqual(ask("GET", "/v1/other"), b"b")
        self.assertEqual(ask("GET", "/v1/other", [("X-Kind", "special")]), b"a")
        self.assertEqual(ask("GET", "/v1"), b"c")
        self.assertEqual(ask("GET", "/v10/chat"), b"c")

    def test_what_no_route_claims_can_be_refused(self):
        upstream = self.upstream(answering(response(b"x")))
        proxy = self.outrigger(upstream, listener={"unmatched": "404"},
                               routes=[{"name": "r", "match": {"path": "/r"}}])
        self.assertEqual(self.client(proxy).get("/r").status, 200)
        self.assert_local_reply(self.client(proxy).get("/s"), 404, "no_route")


class AccessLog(harness.TestCase):
    def test_one_line_tells_all_about_a_request_and_no_secret(self):
        proxy = self.outrigger(self.upstream(answering(response(b"12345", "201 Created"))))
        self.client(proxy).post("/pay?token=SECRET1", b"SECRET2", [
            ("Authorization", "Bearer SECRET3"), ("Idempotency-Key", "SECRET4"), ("Cookie", "SECRET5"),
            ("Traceparent", TRACE), ("X-Request-Id", "req-7")])
        event = proxy.wait_events("request")[0]
        wanted = {"request_id": "req-7", "trace_id": TRACE[3:35], "peer": "127.0.0.1",
                  "protocol": "HTTP/2" if self.is_http2 else "HTTP/1.1", "method": "POST",
                  "path": "/pay", "status": 201, "attempts": 1, "request_bytes": 7, "response_bytes": 5,
                  "upstream_status": 201}
        self.assertEqual({key: event.get(key) for key in wanted}, wanted)
        self.assertRegex(event["tenant"], r"^[0-9a-f]{16}$")
        self.assertGreater(event["total_ms"], 0)
        self.assertGreater(event["upstream_head_ms"], 0)
        self.assertGreater(event["connect_ms"], 0)
        self.assertNotIn("failed_attempts", event)
        self.assertNotIn("SECRET", "\n".join(proxy.lines + proxy.error_lines))
        self.assertNotIn("SECRET", proxy.admin("GET", "/config")[1] + proxy.admin("GET", "/metrics")[1])

    def test_a_line_names_each_attempt_that_failed(self):
        answers = iter([response(b"", "503 Busy"), response(b"", "500 Oops"), response(b"x")])
        backoff = {"kind": "fixed", "base": "2ms", "cap": "2ms"}
        proxy = self.outrigger(self.upstream(answering(lambda _: next(answers))),
                               filters=[{"retry": {"backoff": backoff}}, {"timeout": {}}])
        self.assertEqual(self.client(proxy).get().status, 200)
        event = proxy.wait_events("request")[0]
        self.assertEqual((event["attempts"], event["backoff_ms"]), (3, 4))
        self.assertEqual([(attempt["status"], attempt["backoff_ms"]) for attempt in event["failed_attempts"]],
                         [(503, 2), (500, 2)])
        for attempt in event["failed_attempts"]:
            self.assertGreater(attempt["took_ms"], 0)
            self.assertTrue(attempt["cause"])
        self.assertNotIn("retries_exhausted", event)

    def test_a_path_cannot_forge_a_line(self):
        proxy = self.outrigger(self.upstream(answering(response(b"x"))))
        self.client(proxy).get('/%22%7d%0a{"event":"forged"}')
        proxy.wait_events("request")
        self.assertEqual(proxy.events("forged"), [])

    def test_access_errors_logs_only_errors(self):
        def answer(message):
            return response(b"x", "500 Oops" if message.target == "/bad" else "200 OK")

        proxy = self.outrigger(self.upstream(answering(answer)), log={"access": "errors"})
        for target in ("/good", "/bad", "/good"):
            self.client(proxy).get(target)
        self.assertEqual([event["path"] for event in proxy.wait_events("request")], ["/bad"])

    def test_refusals_of_ours_name_their_reason(self):
        proxy = self.outrigger(self.upstream(answering(response(b"x"))))
        self.client(proxy).get("/a%2fb")
        event = proxy.wait_events("request")[0]
        self.assertEqual((event["status"], event["reason"]), (400, "bad_request"))


class Metrics(harness.TestCase):
    def test_requests_are_counted_by_route_class_and_reason(self):
        def answer(message):
            return response(b"x", message.target[1:] + " Status")

        proxy = self.outrigger(self.upstream(answering(answer)))
        client = self.client(proxy)
        for target in ("/200", "/204", "/404", "/500", "/a%2fb"):
            client.send(request(target=target))
            if target == "/204":
                client.read_until(b"\r\n\r\n")
            else:
                client.read_response()
        proxy.wait_metric("in_flight_requests", 0)
        self.assertEqual(proxy.metric("requests_total", code_class="2xx"), 2)
        self.assertEqual(proxy.metric("requests_total", code_class="4xx", reason=""), 1)
        self.assertEqual(proxy.metric("requests_total", code_class="5xx"), 1)
        # The service was asked once for each but the last, and three times for what is retried.
        for phase in ("head", "total"):
            self.assertEqual(proxy.metric("upstream_duration_seconds_count", phase=phase), 6, phase)
        text = proxy.admin("GET", "/metrics")[1]
        for line in text.splitlines():
            self.assertTrue(line.startswith("#") or re.match(r"outrigger_\w+(\{.*\})? \S+$", line), line)


harness.also_over_http2(globals(), RequestHeaders, AnswerHeaders, Routes, AccessLog, Metrics)

# HTTP/2 has names in small letters, and no Connection that names others.
harness.also_to_http2(globals(), RequestHeaders, AnswerHeaders, without=[
    "test_other_fields_keep_order_repetition_and_spelling", "test_fields_pass_but_for_those_of_one_hop",
])
harness.also_to_http2(globals(), Routes, AccessLog, without=[
    "test_first_match_on_the_normalised_path_wins",  # by a service that it starts itself
])

if __name__ == "__main__":
    unittest.main()
