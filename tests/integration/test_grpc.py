"""gRPC through the proxy, between a caller and a service of another implementation (PR-3)."""

import unittest

import grpc
import grpc_support
import harness
import http2_client
import test_http2
import tls_support
from grpc import StatusCode
from grpc_support import KSERVE, PREFIX, fields_of
from harness import eventually

FREE = {"name": "free", "match": {"prefix": PREFIX.rstrip("/")}, "effects": "none"}
QUICK_RETRY = [{"retry": {"attempts": 3, "backoff": {"kind": "fixed", "base": "1ms"}, "budget": {"floor": 100}}}]
BIG = bytes(range(256)) * 12 * 1024  # 3 MiB


class Kinds(grpc_support.TestCase):
    def test_unary_with_metadata_both_ways(self):
        proxy = self.start()
        sent = [("x-echo-text", "a b"), ("x-echo-raw-bin", bytes(range(256))), ("x-echo-text", "twice")]
        reply, call = self.unary(self.channel(proxy), "Echo", b"hello", metadata=sent)
        self.assertEqual(reply, b"hello")
        initial = [(key, value) for key, value in call.initial_metadata() if key.startswith("x-echo-")]
        self.assertEqual(sorted(initial), sorted(sent))
        self.assertEqual(fields_of(call)["x-trailing-bin"], b"\0\1\xff")
        self.assertEqual(dict(call.trailing_metadata())["x-trailing"], "t")
        self.assertIn("x-request-id", dict(call.initial_metadata()))
        self.assertEqual(self.service_.calls[0].metadata["x-outrigger-attempt"], "1")
        self.assert_idle(proxy)

    def test_big_and_empty_messages(self):
        proxy = self.start()
        channel = self.channel(proxy)
        for message in (b"", b"x", BIG):
            self.assertEqual(self.unary(channel, "Echo", message)[0], message)
        self.assert_idle(proxy)

    def test_a_stream_of_answers_arrives_one_by_one(self):
        proxy = self.start()
        call = self.channel(proxy).unary_stream(PREFIX + "Count")(b"500", timeout=harness.DEADLINE)
        self.assertEqual(next(call), b"0")  # while the service waits
        self.service_.may_go_on.set()
        self.assertEqual([int(message) for message in call], list(range(1, 500)))
        self.assertEqual(call.code(), StatusCode.OK)
        self.assert_idle(proxy)

    def test_a_stream_of_requests(self):
        proxy = self.start()
        channel = self.channel(proxy)
        join = channel.stream_unary(PREFIX + "Join")
        self.assertEqual(join(iter([b"a", b"", b"b", BIG]), timeout=harness.DEADLINE), b"ab" + BIG)
        self.assertEqual(join(iter([]), timeout=harness.DEADLINE), b"")
        self.assert_idle(proxy)

    def test_requests_and_answers_take_turns(self):
        proxy = self.start()
        answered = harness.threading.Semaphore(0)

        def requests():
            for number in range(100):
                yield str(number).encode()
                answered.acquire(timeout=harness.DEADLINE)

        call = self.channel(proxy).stream_stream(PREFIX + "Chat")(requests(), timeout=harness.DEADLINE)
        for number in range(100):
            self.assertEqual(next(call), str(number).encode())
            answered.release()
        self.assertEqual(list(call), [])
        self.assertEqual(call.code(), StatusCode.OK)
        self.assert_idle(proxy)

    def test_big_messages_flow_both_ways_at_once(self):
        proxy = self.start()
        call = self.channel(proxy).stream_stream(PREFIX + "Chat")(iter([BIG] * 5), timeout=harness.DEADLINE)
        self.assertEqual(sum(message == BIG for message in call), 5)
        self.assert_idle(proxy)

    def test_an_answer_that_comes_before_the_requests_end(self):
        proxy = self.start()
        over = harness.threading.Event()

        def requests():
            yield b"one"
            over.wait(harness.DEADLINE)

        error = self.failure(lambda: self.channel(proxy).stream_unary(PREFIX + "Hasty")(
            requests(), timeout=harness.DEADLINE))
        over.set()
        self.assertEqual((error.code(), error.details()), (StatusCode.FAILED_PRECONDITION, "not now"))
        self.assert_idle(proxy)

    def test_many_calls_share_connections(self):
        proxy = self.start()
        channel = self.channel(proxy)
        calls = [channel.unary_unary(PREFIX + "Echo").future(str(number).encode(), timeout=harness.DEADLINE)
                 for number in range(200)]
        self.assertEqual([call.result() for call in calls], [str(number).encode() for number in range(200)])
        self.assertEqual(proxy.metric("grpc_calls_total", code="OK"), 200)
        self.assert_idle(proxy)

    def test_over_tls(self):
        authority = tls_support.Authority(self.folder)
        pair = authority.issue("server")
        proxy = self.start(listener={"tls": {"cert": pair.cert, "key": pair.key}})
        with open(authority.cert, "rb") as file:
            channel = self.channel(proxy, grpc.ssl_channel_credentials(file.read()))
        self.assertEqual(self.unary(channel, "Echo", BIG)[0], BIG)
        self.assert_idle(proxy)


class Statuses(grpc_support.TestCase):
    def test_every_code_arrives_with_its_message_and_metadata(self):
        proxy = self.start(filters=[{"timeout": {}}])
        channel = self.channel(proxy)
        details = "100 % \u263a\r\n\tfailed: "
        for code in StatusCode:
            if code == StatusCode.OK:
                continue
            self.service_.failures.append((code, details, [("x-why", "w"), ("retry-after", "1")]))
            error = self.failure(lambda: self.unary(channel, "Fail"))
            self.assertEqual((error.code(), error.details().strip()), (code, details.strip()))
            self.assertEqual(fields_of(error)["x-why"], "w")
            eventually(lambda c=code: proxy.metric("grpc_calls_total", code=c.name) == 1, f"{code} is counted")
        eventually(lambda: len(proxy.events("request")) == 16, "every call has its line")
        self.assertEqual([event["grpc_status"] for event in proxy.events("request")], list(range(1, 17)))
        self.assertEqual(len(self.service_.calls), 16)

    def test_a_method_that_is_not_there(self):
        error = self.failure(lambda: self.unary(self.channel(self.start()), "Nothing"))
        self.assertEqual(error.code(), StatusCode.UNIMPLEMENTED)
        self.assertNotIn("x-outrigger-reason", fields_of(error))

    def test_what_failed_is_tried_again_where_the_route_allows(self):
        failures = [(StatusCode.UNAVAILABLE, "a", ()), (StatusCode.INTERNAL, "b", ())]
        proxy = self.start(routes=[FREE], filters=QUICK_RETRY)
        self.service_.failures = list(failures)
        reply, call = self.unary(self.channel(proxy), "Fail", b"x")
        self.assertEqual((reply, fields_of(call)["x-outrigger-attempts"]), (b"x", "3"))
        self.assertEqual(proxy.metric("retries_total", result="retried"), 2)

        careful = self.start(filters=QUICK_RETRY)
        self.service_.failures = list(failures)
        self.assertEqual(self.failure(lambda: self.unary(self.channel(careful), "Fail")).details(), "a")
        self.assertEqual(len(self.service_.calls), 4)

    def test_inference_of_kserve_may_run_twice_without_any_route(self):
        channel = self.channel(self.start(filters=QUICK_RETRY))
        self.service_.failures = [(StatusCode.UNAVAILABLE, "a", ())]
        reply, call = channel.unary_unary(KSERVE + "ModelInfer").with_call(b"x", timeout=harness.DEADLINE)
        self.assertEqual((reply, fields_of(call)["x-outrigger-attempts"]), (b"x", "2"))
        # What else the service offers changes it.
        self.service_.failures = [(StatusCode.UNAVAILABLE, "b", ())]
        load = channel.unary_unary(KSERVE + "RepositoryModelLoad")
        self.assertEqual(self.failure(lambda: load(b"x", timeout=harness.DEADLINE)).details(), "b")

    def test_messages_are_sent_again_while_others_still_come(self):
        proxy = self.start(routes=[FREE], filters=QUICK_RETRY)
        self.service_.failures = [(StatusCode.UNAVAILABLE, "a", ())]

        def requests():
            yield b"one"
            yield b"two"
            eventually(lambda: len(self.service_.calls) == 2, "the second try has begun")
            yield b"three"

        join = self.channel(proxy).stream_unary(PREFIX + "Join")
        self.assertEqual(join(requests(), timeout=harness.DEADLINE), b"onetwothree")
        self.assertEqual(proxy.metric("retries_total", cause="503", result="retried"), 1)

    def test_the_services_pushback_is_obeyed(self):
        proxy = self.start(routes=[FREE], filters=QUICK_RETRY)
        self.service_.failures = [(StatusCode.UNAVAILABLE, "no", [("grpc-retry-pushback-ms", "-1")])]
        error = self.failure(lambda: self.unary(self.channel(proxy), "Fail"))
        self.assertEqual(error.details(), "no")
        self.assertEqual(len(self.service_.calls), 1)

    def test_failures_open_the_breaker(self):
        proxy = self.start(filters=[{"breaker": {"consecutive": 2}}])
        channel = self.channel(proxy)
        self.service_.failures = [(StatusCode.NOT_FOUND, "", ()), (StatusCode.UNAVAILABLE, "", ()),
                                  (StatusCode.UNAVAILABLE, "", ())]
        for _ in range(3):
            self.failure(lambda: self.unary(channel, "Fail"))
        error = self.failure(lambda: self.unary(channel, "Fail"))
        self.assert_refusal(error, StatusCode.UNAVAILABLE, "breaker_open")
        self.assertEqual(len(self.service_.calls), 3)


class Deadlines(grpc_support.TestCase):
    def test_the_caller_is_told_in_time_and_the_service_knows(self):
        proxy = self.start()
        error = self.failure(lambda: self.unary(self.channel(proxy), "Hang", timeout=0.3))
        self.assertEqual(error.code(), StatusCode.DEADLINE_EXCEEDED)
        call = self.service_.calls[0]
        self.assertLess(call.time_left, 0.35)  # it rounds up
        self.assertGreater(call.time_left, 0.0)
        self.assertTrue(call.ended.wait(harness.DEADLINE))
        self.assert_idle(proxy)

    def test_the_routes_limit_holds_when_the_caller_has_set_none(self):
        proxy = self.start(filters=[{"timeout": {"overall": "100ms"}}])
        error = self.failure(lambda: self.unary(self.channel(proxy), "Hang", timeout=None))
        self.assert_refusal(error, StatusCode.DEADLINE_EXCEEDED, "deadline")
        self.assertTrue(self.service_.calls[0].ended.wait(harness.DEADLINE))

    def test_the_shorter_of_both_reaches_the_service(self):
        proxy = self.start(filters=[{"timeout": {"overall": "5s"}}])
        self.unary(self.channel(proxy), "Echo", timeout=600)
        self.unary(self.channel(proxy), "Echo", timeout=None)
        first, second = self.service_.calls
        self.assertLess(first.time_left, 5.1)
        self.assertGreater(second.time_left or 1e9, 1e6)  # a stream could take longer than `overall`

    def test_a_stream_ends_at_the_callers_deadline(self):
        proxy = self.start()
        call = self.channel(proxy).unary_stream(PREFIX + "Count")(b"2", timeout=0.3)
        self.assertEqual(next(call), b"0")
        self.assertEqual(self.failure(lambda: next(call)).code(), StatusCode.DEADLINE_EXCEEDED)
        self.assertTrue(self.service_.calls[0].ended.wait(harness.DEADLINE))
        self.assert_idle(proxy)

    def test_a_caller_that_cancels_is_gone_for_the_service_too(self):
        proxy = self.start()
        call = self.channel(proxy).unary_unary(PREFIX + "Hang").future(b"")
        eventually(lambda: self.service_.calls, "the service has the call")
        call.cancel()
        self.assertTrue(self.service_.calls[0].ended.wait(harness.DEADLINE))
        self.assert_idle(proxy)
        self.assertEqual(proxy.metric("grpc_calls_total", code="none"), 1)

    def test_a_caller_may_be_silent_for_longer_than_other_bodies(self):
        plain = self.upstream(lambda connection: connection.read_to_end())
        config = self.config(self.service_.address, listener={"limits": {"body_idle_timeout": "50ms"}},
                             upstream_options={"protocol": "http2"},
                             routes=[{"name": "plain", "match": {"path": "/plain"}, "upstream": "plain"}])
        config["upstreams"].append({"name": "plain", "endpoints": [plain.address]})
        proxy = self.outrigger_with(config)
        may_end = harness.threading.Event()

        def requests():
            yield b"one"
            may_end.wait(harness.DEADLINE)
            yield b"two"

        call = self.channel(proxy).stream_stream(PREFIX + "Chat")(requests(), timeout=harness.DEADLINE)
        self.assertEqual(next(call), b"one")
        # Another request with as long a pause is given up meanwhile.
        client = http2_client.Http2Client(proxy.address)
        self.addCleanup(client.close)
        client.send(b"POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        self.assertEqual(client.read_response("POST").status, 408)
        may_end.set()
        self.assertEqual(list(call), [b"two"])
        self.assert_idle(proxy)


class Refusals(grpc_support.TestCase):
    def refusal(self, proxy, method="Echo", request=b"", **options):
        return self.failure(lambda: self.unary(self.channel(proxy), method, request, **options))

    def test_nobody_listens(self):
        self.service_.stop()
        self.assert_refusal(self.refusal(self.start()), StatusCode.UNAVAILABLE, "connect_fail")

    def test_a_service_of_http1(self):
        upstream = self.upstream(harness.answering(harness.response(b"hi")))
        proxy = self.outrigger(upstream)
        error = self.refusal(proxy)
        self.assert_refusal(error, StatusCode.UNIMPLEMENTED, "no_route")
        self.assertIn("protocol http1", error.details())
        self.assertEqual(upstream.requests, [])

    def test_a_service_that_does_not_speak_http2_after_all(self):
        upstream = self.upstream(harness.answering(harness.response(b"hi")))
        proxy = self.outrigger(upstream, upstream_options={"protocol": "http2"})
        error = self.refusal(proxy)
        self.assertEqual(error.code(), StatusCode.UNAVAILABLE)
        self.assertIn(fields_of(error)["x-outrigger-reason"], ("connect_fail", "upstream_protocol", "upstream_reset"))
        upstream.errors.clear()  # it could not read the request

    def test_limits(self):
        proxy = self.start(filters=[{"rate_limit": {"rules": [{"name": "r", "rate": "1/m", "burst": 1}]}}])
        self.unary(self.channel(proxy), "Echo")
        error = self.refusal(proxy)
        self.assert_refusal(error, StatusCode.RESOURCE_EXHAUSTED, "rate_requests")
        self.assertGreater(int(fields_of(error)["grpc-retry-pushback-ms"]), 1000)
        self.assertEqual(len(self.service_.calls), 1)

    def test_no_route(self):
        proxy = self.start(listener={"unmatched": "404"})
        self.assert_refusal(self.refusal(proxy), StatusCode.UNIMPLEMENTED, "no_route")

    def test_too_much(self):
        proxy = self.start(listener={"limits": {"body": "1KiB", "header_count": 20}})
        self.assert_refusal(self.refusal(proxy, request=BIG), StatusCode.RESOURCE_EXHAUSTED, "body_too_large")
        error = self.refusal(proxy, metadata=[(f"x-{number}", "a") for number in range(30)])
        self.assert_refusal(error, StatusCode.RESOURCE_EXHAUSTED, "headers_too_large")
        self.assertEqual(self.unary(self.channel(proxy), "Echo", b"x")[0], b"x")

    def test_a_service_that_dies_in_the_middle(self):
        proxy = self.start()
        call = self.channel(proxy).unary_stream(PREFIX + "Count")(b"2", timeout=harness.DEADLINE)
        self.assertEqual(next(call), b"0")
        self.service_._server.stop(0)  # cancels what runs
        self.assertIn(self.failure(lambda: next(call)).code(), (StatusCode.UNAVAILABLE, StatusCode.CANCELLED))
        self.assert_idle(proxy)

    def test_a_proxy_that_ends_tells_running_calls(self):
        config = self.config(self.service_.address, upstream_options={"protocol": "http2"})
        config["admin"]["drain"]["timeout"] = "200ms"
        proxy = self.outrigger_with(config)
        call = self.channel(proxy).unary_stream(PREFIX + "Count")(b"2", timeout=harness.DEADLINE)
        self.assertEqual(next(call), b"0")
        proxy.signal(harness.signal.SIGTERM)
        error = self.failure(lambda: next(call))
        self.assertEqual((error.code(), fields_of(error)["x-outrigger-reason"]), (StatusCode.UNAVAILABLE, "draining"))
        self.assertEqual(proxy.wait_exit(), 0)


class Frames(harness.TestCase):
    """What stands on the wire, and what is taken for a call at all."""

    upstream_protocol = "http2"
    CALL = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/x.Y/Z"), ("te", "trailers")]

    def gone(self):
        """A service that has ended."""
        upstream = self.upstream(harness.answering(harness.response(b"")))
        upstream.stop()
        return upstream

    def ask(self, proxy, media_type="application/grpc", more=()):
        """The frames of the answer."""
        client = test_http2.FrameClient(proxy.address)
        self.addCleanup(client.close)
        client.headers(1, [*self.CALL, ("content-type", media_type), *more], end=False)
        client.data(1, b"\0\0\0\0\1x", end=True)
        seen = []
        while not seen or "END_STREAM" not in seen[-1].flags:
            frame = client.next()
            if frame.stream_id == 1:
                seen.append(frame)
        return seen

    def test_a_refusal_is_one_frame_without_a_length(self):
        proxy = self.outrigger(self.gone())
        for media_type in ("application/grpc", "application/grpc+proto", "APPLICATION/GRPC+json;a=b"):
            head, = self.ask(proxy, media_type)
            self.assertIsInstance(head, test_http2.frames.HeadersFrame)
            self.assertEqual((head.fields[":status"], head.fields["grpc-status"]), ("200", "14"))
            self.assertEqual(head.fields["content-type"], "application/grpc")
            self.assertNotIn("content-length", head.fields)

    def test_what_only_looks_like_a_call_is_told_as_in_http(self):
        proxy = self.outrigger(self.gone())
        head, body = self.ask(proxy, "application/grpc-web+proto")
        self.assertEqual((head.fields[":status"], head.fields["content-type"]), ("503", "application/problem+json"))
        self.assertIn(b'"status":503', body.data)
        reply = self.client(proxy).post("/x.Y/Z", b"x", [("Content-Type", "application/grpc")])
        self.assert_local_reply(reply, 503, "connect_fail")

    def test_a_timeout_that_cannot_be_read_is_refused(self):
        upstream = self.upstream(harness.answering(harness.response(b"")))
        proxy = self.outrigger(upstream)
        for timeout in ("1", "1s", "-1S", "999999999S"):
            head, = self.ask(proxy, more=[("grpc-timeout", timeout)])
            self.assertEqual((head.fields["grpc-status"], head.fields["x-outrigger-reason"]), ("3", "bad_request"))
        self.assertEqual(upstream.requests, [])

    def test_a_call_that_is_cut_ends_in_trailers(self):
        def script(connection):
            connection.read_request()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n"
                            b"6\r\n\0\0\0\0\1x\r\n")
            connection.close()

        proxy = self.outrigger(self.upstream(script))
        *head, data, trailers = self.ask(proxy)
        self.assertEqual((len(head), data.data), (1, b"\0\0\0\0\1x"))
        self.assertEqual((trailers.fields["grpc-status"], trailers.fields["x-outrigger-reason"]), ("14", "upstream_reset"))
        self.assert_idle(proxy)

    def test_trailers_that_come_too_late_are_left_out(self):
        answer = harness.chunked([b"\0\0\0\0\1x"], headers=[("Content-Type", "application/grpc")],
                                 trailers=[("x-outrigger-reason", "draining"), ("retry-after", "1"), ("via", "x"),
                                           ("x-why", "w"), ("grpc-status", "9"), ("grpc-message", "no")])
        *_, trailers = self.ask(self.outrigger(self.upstream(harness.answering(answer))))
        self.assertEqual(dict(trailers.fields), {"x-why": "w", "grpc-status": "9", "grpc-message": "no"})

    def test_no_message_is_no_end_of_the_head(self):
        """gRPC over HTTP/2 asks for an empty DATA frame."""
        seen = []

        def script(connection):
            message = connection.read_request()
            # Chunked stands for a head that did not end the stream.
            seen.append((message.get("te"), message.get("transfer-encoding"), message.body))
            connection.send(harness.chunked([b""], trailers=[("grpc-status", "0")],
                                            headers=[("Content-Type", "application/grpc")]))

        proxy = self.outrigger(self.upstream(script))
        client = test_http2.FrameClient(proxy.address)
        self.addCleanup(client.close)
        client.headers(1, [*self.CALL, ("content-type", "application/grpc")], end=False)
        client.data(1, b"", end=True)
        self.assertEqual(client.answer(1), (200, b""))
        self.assertEqual(seen, [("trailers", "chunked", b"")])


class Keys(grpc_support.TestCase):
    KEYED = [{"idempotency": {}}, {"timeout": {}}]

    def test_a_repeated_key_gets_the_same_answer_and_trailers(self):
        proxy = self.start(filters=self.KEYED)
        channel = self.channel(proxy)
        key = [("idempotency-key", "k-1")]
        message = BIG[:1 << 20]
        first, call = self.unary(channel, "Echo", message, metadata=key)
        second, again = self.unary(channel, "Echo", message, metadata=key)
        self.assertEqual((first, second), (message, message))
        self.assertEqual(dict(call.trailing_metadata()), dict(again.trailing_metadata()))
        self.assertEqual(dict(again.initial_metadata())["x-initial"], "i")
        self.assertEqual(dict(again.initial_metadata())["idempotent-replayed"], "true")
        self.assertEqual(len(self.service_.calls), 1)
        self.assertEqual(self.service_.calls[0].metadata["idempotency-key"], "k-1")
        self.unary(channel, "Echo", b"x", metadata=[("idempotency-key", "k-2")])
        self.assertEqual(len(self.service_.calls), 2)
        self.assert_idle(proxy)

    def test_a_refusal_of_the_service_is_repeated_too(self):
        proxy = self.start(filters=self.KEYED)
        channel = self.channel(proxy)
        self.service_.failures = [(StatusCode.NOT_FOUND, "no such \u263a", [("x-why", "w")])]
        seen = []
        for _ in range(2):
            error = self.failure(lambda: self.unary(channel, "Fail", metadata=[("idempotency-key", "k")]))
            seen.append((error.code(), error.details(), fields_of(error)["x-why"]))
        self.assertEqual(seen, [(StatusCode.NOT_FOUND, "no such \u263a", "w")] * 2)
        self.assertEqual(len(self.service_.calls), 1)

    def test_calls_at_the_same_time_share_one_execution(self):
        proxy = self.start(filters=self.KEYED)
        channel = self.channel(proxy)
        stream = channel.unary_stream(PREFIX + "Count")
        calls = [stream(b"3", timeout=harness.DEADLINE, metadata=[("idempotency-key", "k")]) for _ in range(5)]
        self.assertEqual([next(call) for call in calls], [b"0"] * 5)
        self.service_.may_go_on.set()
        self.assertEqual([list(call) for call in calls], [[b"1", b"2"]] * 5)
        self.assertEqual(len(self.service_.calls), 1)
        self.assert_idle(proxy)

    def test_another_message_with_the_same_key_is_refused(self):
        proxy = self.start(filters=self.KEYED)
        channel = self.channel(proxy)
        key = [("idempotency-key", "k")]
        self.unary(channel, "Echo", b"one", metadata=key)
        error = self.failure(lambda: self.unary(channel, "Echo", b"two", metadata=key))
        self.assert_refusal(error, StatusCode.INVALID_ARGUMENT, "idem_mismatch")


if __name__ == "__main__":
    unittest.main()
