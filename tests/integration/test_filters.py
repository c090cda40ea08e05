"""The five filters on the real binary in front of mock-ai, whose ledger says what was executed."""

import functools
import itertools
import json
import random
import threading
import time
import unittest
from types import MappingProxyType

import harness
from harness import answering, request, response

CHAT = json.dumps({"model": "mock-1", "messages": [{"role": "user", "content": "hello"}]}).encode()
STREAM = json.dumps({"model": "mock-1", "stream": True,
                     "messages": [{"role": "user", "content": "hello"}]}).encode()
JSON = ("Content-Type", "application/json")
COMPLETIONS = "/v1/chat/completions"


def key(text):
    return ("Idempotency-Key", text)


def fault(spec):
    return ("x-mock-fault", spec)


class FilterTest(harness.TestCase):
    def start(self, *filters, mock=MappingProxyType({}), **top):
        """mock-ai and a proxy with these filters (all five with their defaults, if none is given)."""
        flags = {"--ttft": "2ms", "--itl": "1ms", "--jitter": "0", "--tokens": "6", **mock}
        self.mock = self.mock_ai(*[word for flag in flags.items() for word in flag])
        if filters:
            top["filters"] = list(filters)
        self.proxy = self.outrigger(self.service(self.mock), **top)
        return self.proxy

    def chat(self, *headers, body=CHAT, target=COMPLETIONS):
        return self.client(self.proxy).post(target, body, [JSON, *headers])

    def crowd(self, count, sent):
        """`count` clients that send the same at the same time; their answers."""
        clients = [self.connect(self.proxy) for _ in range(count)]
        for client in clients:
            client.send(sent)
        replies = [client.read_response() for client in clients]
        for client in clients:
            client.close()
        return replies


class Idempotency(FilterTest):
    def test_a_repeated_key_is_answered_from_the_cache(self):
        self.start()
        first = self.chat(key("k1"), ("X-Request-Id", "first"))
        self.assertEqual(first.status, 200)
        self.assertEqual(first.get("x-outrigger-idempotency"), "stored")
        again = self.chat(key("k1"), ("X-Request-Id", "second"))
        self.assertEqual((again.status, again.body), (200, first.body))
        self.assertEqual(again.get("idempotent-replayed"), "true")
        self.assertEqual(again.get("x-outrigger-idempotency"), "replayed")
        self.assertEqual(again.get("x-request-id"), "second")
        self.assertEqual(again.get("x-outrigger-original-request-id"), "first")
        self.assertEqual(again.get("content-type"), first.get("content-type"))
        self.assertEqual(self.mock.executed("k1"), 1)
        self.assertEqual(self.proxy.metric("idempotency_total", result="stored"), 1)
        self.assertEqual(self.proxy.metric("idempotency_total", result="replayed"), 1)

    def test_a_quoted_key_is_the_same_key(self):
        self.start()
        self.assertEqual(self.chat(key("k1")).body, self.chat(key('"k1"')).body)

    def test_a_repeated_stream_is_replayed_byte_for_byte(self):
        self.start()
        first = self.chat(key("s1"), body=STREAM)
        self.assertIn(b"[DONE]", first.body)
        again = self.chat(key("s1"), body=STREAM)
        self.assertEqual(again.body, first.body)
        self.assertEqual(again.get("content-type"), first.get("content-type"))
        self.assertEqual(self.mock.executed("s1"), 1)

    def test_the_same_key_for_another_request_is_refused_and_told_why(self):
        self.start()
        self.chat(key("k1"))
        for word, reply in (("body", self.chat(key("k1"), body=STREAM)),
                            ("path", self.chat(key("k1"), target="/v1/completions"))):
            self.assert_local_reply(reply, 422, "idem_mismatch")
            self.assertIn(word, reply.json()["detail"])
        self.assertEqual(self.mock.executed("k1"), 1)

    def test_keys_of_tenants_are_apart(self):
        self.start()
        bodies = {self.chat(key("k1"), ("Authorization", f"Bearer {who}")).body for who in "ab"}
        self.assertEqual(len(bodies), 2)
        self.assertEqual(self.mock.executed("k1"), 2)

    def test_bad_keys_are_refused(self):
        self.start()
        for headers in ([key("x" * 256)], [key('"unfinished')], [key("a"), key("b")]):
            self.assert_local_reply(self.chat(*headers), 400, "idem_key_invalid")

    def test_a_required_key_that_is_missing(self):
        self.start({"idempotency": {"required": True}})
        self.assert_local_reply(self.chat(), 400, "idem_key_missing")
        self.assertEqual(self.client(self.proxy).get("/v1/models").status, 200)

    def test_replays_of_a_tenant_can_be_limited_and_joins_are_free(self):
        self.start({"idempotency": {"replay_rate": "2/m"}}, workers=2)
        who = ("Authorization", "Bearer a")
        self.assertEqual({reply.status for reply in self.crowd(20, request(
            "POST", COMPLETIONS, CHAT, [JSON, key("k1"), who, fault("delay:1s")]))}, {200})
        replies = [self.chat(key("k1"), who, fault("delay:1s")) for _ in range(4)]
        self.assertEqual([reply.status for reply in replies], [200, 200, 429, 429])
        self.assert_local_reply(replies[-1], 429, "rate_replays")
        self.assertLessEqual(int(replies[-1].get("retry-after")), 30)
        self.assertEqual(replies[-1].get("x-should-retry"), "true")
        self.assertEqual(self.mock.executed("k1"), 1)
        self.assertEqual(self.proxy.metric("idempotency_total", result="replay_limited"), 2)
        other = ("Authorization", "Bearer b")
        self.assertEqual([self.chat(key("k1"), other).status for _ in range(4)], [200, 200, 200, 429])
        self.assertEqual(self.proxy.metric("limiter_buckets", rule="replay_rate"), 2)

    def test_a_key_on_get_is_ignored(self):
        self.start()
        client = self.client(self.proxy)
        replies = [client.get("/echo", [key("k")]) for _ in range(2)]
        self.assertEqual([reply.get("idempotent-replayed") for reply in replies], [None, None])

    def test_a_failed_execution_frees_the_key(self):
        self.start({"idempotency": {}})
        self.assertEqual(self.chat(key("k1"), fault("first:1:status:503")).status, 503)
        self.assertEqual(self.chat(key("k1"), fault("first:1:status:503")).status, 200)

    def test_an_unsafe_outcome_that_is_unknown_stays_so(self):
        self.start()
        reply = self.chat(key("u1"), fault("close-before-head"), target="/effect/pay")
        self.assertEqual((reply.status, reply.get("x-should-retry"), reply.get("x-outrigger-outcome")),
                         (502, "false", "unknown"))
        again = self.chat(key("u1"), target="/effect/pay")
        self.assertEqual((again.status, again.get("x-outrigger-outcome")), (502, "unknown"))
        self.assertEqual(self.mock.executed("u1"), 1)

    def test_reject_answers_409_while_the_first_runs(self):
        self.start({"idempotency": {"in_flight": "reject"}})
        first = self.client(self.proxy)
        first.send(request("POST", COMPLETIONS, CHAT, [JSON, key("k1"), fault("delay:60s")]))
        harness.eventually(lambda: self.mock.entry("k1")["in_flight"], "the first is executing")
        self.assert_local_reply_409(self.chat(key("k1")))

    def assert_local_reply_409(self, reply):
        self.assert_local_reply(reply, 409, "idem_in_flight")
        self.assertEqual((reply.get("x-should-retry"), reply.get("retry-after")), ("true", "1"))

    def test_the_first_caller_may_leave_and_the_answer_is_kept(self):
        self.start()
        first = self.client(self.proxy)
        first.send(request("POST", COMPLETIONS, CHAT, [JSON, key("k1"), fault("delay:300ms")]))
        harness.eventually(lambda: self.mock.entry("k1")["received"], "the service has it")
        first.close()
        harness.eventually(lambda: self.mock.entry("k1")["completed"], "it runs to its end")
        reply = self.chat(key("k1"), fault("delay:300ms"))
        self.assertEqual(reply.status, 200)
        self.assertEqual(self.mock.executed("k1"), 1)
        self.assert_idle(self.proxy)

    def test_forgotten_by_hash_a_key_is_executed_again(self):
        self.start(log={"level": "debug"})
        self.chat(key("k1"))
        self.proxy.wait_events("request")
        hashes = {event["key"] for event in self.proxy.wait_events("idempotency_transition")}
        self.assertEqual(len(hashes), 1, hashes)
        status, text = self.proxy.admin("DELETE", f"/idempotency/{hashes.pop()}")
        self.assertEqual(status, 200, text)
        self.chat(key("k1"))
        self.assertEqual(self.mock.executed("k1"), 2)
        self.assertEqual(self.proxy.admin("DELETE", "/idempotency/0123456789abcdef")[0], 404)
        self.assertEqual(self.proxy.admin("DELETE", "/idempotency/nonsense")[0], 400)


class JsonBodies(FilterTest):
    """`fingerprint: json`: one question as two SDKs spell it."""

    QUESTION = MappingProxyType({"model": "mock-1", "messages": [{"role": "user", "content": "Grüße"}],
                                 "temperature": 0.5, "user": "u-1",
                                 "metadata": {"team": "search", "trace_id": "t-1"}})

    def start_ignoring(self):
        self.start({"idempotency": {"fingerprint": {"json": {"ignore": ["/user", "/metadata/trace_id"]}}}})

    def spaced(self, **changes):
        """Members in the order given, spaces, escapes."""
        return json.dumps({**self.QUESTION, **changes}).encode()

    def compact(self, **changes):
        """Members in another order, no spaces, UTF-8."""
        members = dict(reversed({**self.QUESTION, **changes}.items()))
        return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()

    def test_what_says_the_same_gets_one_answer(self):
        self.start_ignoring()
        first = self.chat(key("k1"), body=self.spaced())
        self.assertEqual(first.get("x-outrigger-idempotency"), "stored")
        trace = {"team": "search", "trace_id": "t-2"}
        for body in (self.compact(), self.compact(user="u-2"), self.compact(metadata=trace, temperature=5e-1)):
            again = self.chat(key("k1"), body=body)
            self.assertEqual((again.get("x-outrigger-idempotency"), again.body), ("replayed", first.body))
        self.assertEqual(self.mock.executed("k1"), 1)

    def test_what_says_another_thing_is_refused(self):
        self.start_ignoring()
        self.chat(key("k1"), body=self.spaced())
        for changes in ({"model": "mock-2"}, {"temperature": 0.6}, {"metadata": {"team": "ads", "trace_id": "t-1"}}):
            reply = self.chat(key("k1"), body=self.compact(**changes))
            self.assert_local_reply(reply, 422, "idem_mismatch")
            self.assertIn(b"another body", reply.body)
        self.assertEqual(self.mock.executed("k1"), 1)

    def test_large_bodies_that_come_in_pieces(self):
        self.start_ignoring()
        many = [{"role": "user", "content": f"line {i} " + "x" * 1000} for i in range(300)]
        first = self.chat(key("k1"), body=self.spaced(messages=many))
        again = self.chat(key("k1"), body=self.compact(messages=many, user="u-2"))
        self.assertEqual((again.get("x-outrigger-idempotency"), again.body), ("replayed", first.body))
        self.assert_local_reply(self.chat(key("k1"), body=self.compact(messages=many[1:])), 422, "idem_mismatch")
        # Above `max_body` the bytes count.
        images = [{"role": "user", "content": "x" * (2 << 20)}]
        self.chat(key("k2"), body=self.spaced(messages=images))
        again = self.chat(key("k2"), body=self.spaced(messages=images))
        self.assertEqual(again.get("x-outrigger-idempotency"), "replayed")
        self.assert_local_reply(self.chat(key("k2"), body=self.compact(messages=images)), 422, "idem_mismatch")

    def test_bodies_without_a_canonical_form_count_byte_by_byte(self):
        self.start_ignoring()
        for number, body in enumerate((b'{"a": 1, "a": 2}', b'{"seed": 9007199254740993}', b'{"user": ', b"")):
            name = key(f"k{number}")
            first = self.chat(name, body=body, target="/effect/x")
            again = self.chat(name, body=body, target="/effect/x")
            self.assertEqual((again.get("x-outrigger-idempotency"), again.body), ("replayed", first.body))
            self.assert_local_reply(self.chat(name, body=body + b" ", target="/effect/x"), 422, "idem_mismatch")

    def test_routes_without_the_option_compare_bytes(self):
        self.start({"idempotency": {}})
        self.chat(key("k1"), body=self.spaced())
        self.assert_local_reply(self.chat(key("k1"), body=self.compact()), 422, "idem_mismatch")


class DuplicateStorm(FilterTest):
    COUNT = 1000

    def storm(self, body, workers):
        # So many connections of HTTP/2 are much of the default budget, and when memory is short, answers that may be
        # computed again are not kept (LM-8).
        self.start(workers=workers, mock={"--ttft": "300ms"}, memory_budget="256MiB")
        sent = request("POST", COMPLETIONS, body, [JSON, key("storm")])
        replies = self.crowd(self.COUNT, sent)
        self.assertEqual({reply.status for reply in replies}, {200})
        self.assertEqual(self.mock.executed("storm"), 1)
        cut = [reply.body[-60:] for reply in replies if reply.is_cut]
        self.assertEqual(cut, [])
        bodies = {reply.body for reply in replies}
        self.assertEqual(len(bodies), 1, sorted(bodies))
        self.assert_idle(self.proxy)
        self.assertEqual(self.proxy.metric("requests_total", code_class="2xx"), self.COUNT)

    def test_unary_with_one_worker(self):
        self.storm(CHAT, 1)

    def test_unary_with_two_workers(self):
        self.storm(CHAT, 2)

    def test_stream_with_one_worker(self):
        self.storm(STREAM, 1)

    def test_stream_with_two_workers(self):
        self.storm(STREAM, 2)


class RateLimit(FilterTest):
    RULE = {"name": "few", "rate": "6/m", "burst": 3}

    def test_above_the_limit_429_tells_when_to_come_again(self):
        self.start({"rate_limit": {"rules": [self.RULE], "headers": ["ietf", "openai"]}})
        replies = [self.chat() for _ in range(5)]
        self.assertEqual([reply.status for reply in replies], [200] * 3 + [429] * 2)
        refused = replies[-1]
        self.assert_local_reply(refused, 429, "rate_requests")
        self.assertEqual(refused.get("x-should-retry"), "true")
        self.assertLessEqual(int(refused.get("retry-after")), 10)
        self.assertLessEqual(int(refused.get("retry-after-ms")), 10000)
        self.assertGreater(int(refused.get("retry-after-ms")), int(refused.get("retry-after")) * 1000 - 1000)
        self.assertIn("quota-exceeded", refused.json()["type"])
        self.assertIn('"few"', replies[0].get("ratelimit"))
        self.assertIn('"few"', replies[0].get("ratelimit-policy"))
        self.assertEqual(replies[0].get("x-ratelimit-remaining-requests"), "2")
        self.assertEqual(self.proxy.metric("limiter_decisions_total", rule="few", decision="allowed"), 3)
        self.assertEqual(self.proxy.metric("limiter_decisions_total", rule="few", decision="rejected"), 2)

    def test_tenants_have_their_own_buckets(self):
        self.start({"rate_limit": {"rules": [{**self.RULE, "key": ["tenant"]}]}})
        for who in ("a", "b"):
            statuses = [self.chat(("Authorization", f"Bearer {who}")).status for _ in range(4)]
            self.assertEqual(statuses, [200, 200, 200, 429])
        self.assertEqual(self.proxy.metric("limiter_buckets", rule="few"), 2)

    def test_made_up_credentials_share_one_bucket(self):
        """A service that turns callers away: whoever makes up credentials gets no more than one tenant (LM-2)."""
        self.start({"rate_limit": {"rules": [{"name": "r", "rate": "1/h", "burst": 5}]}})
        known = ("Authorization", "Bearer known")
        self.assertEqual(self.chat(known).status, 200)
        for kind, headers in (("plain", ()), ("keyed", (key("k"),))):
            statuses = [self.chat(("Authorization", f"Bearer {kind}{number}"), fault("status:401"), *headers).status
                        for number in range(12)]
            self.assertEqual(statuses.count(401), 5 if kind == "plain" else 0)
        self.assertEqual(self.chat(known).status, 200)

    def test_who_is_refused_is_counted_for_a_bounded_number_of_tenants(self):
        self.start({"rate_limit": {"rules": [{**self.RULE, "key": ["route"], "burst": 1}]}},
                   tenant={"header": "X-Tenant"}, metrics={"max_label_values": 2})

        def refused(tenant):
            return self.proxy.metric("limiter_tenant_rejections_total", tenant=tenant)

        self.chat(("X-Tenant", "first"))
        for who in ("a", "b", "c", "a", "c"):
            self.assertEqual(self.chat(("X-Tenant", who)).status, 429)
        self.assertEqual([refused(who) for who in ("a", "b", "c", "other")], [2, 1, 0, 2])
        self.assertEqual(self.proxy.metric("labels_folded_total", label="tenant"), 2)

    def test_a_replay_costs_nothing(self):
        self.start({"idempotency": {}}, {"rate_limit": {"rules": [self.RULE]}})
        self.assertEqual({self.chat(key("k")).status for _ in range(10)}, {200})

    def test_a_refusal_leaves_no_record(self):
        self.start({"idempotency": {}}, {"rate_limit": {"rules": [{"name": "r", "rate": "1/s", "burst": 1}]}})
        self.chat()
        self.assertEqual(self.chat(key("k")).status, 429)
        reply = harness.eventually(lambda: (r := self.chat(key("k"))).status == 200 and r, "admitted")
        self.assertEqual(reply.get("x-outrigger-idempotency"), "stored")

    def test_shadow_refuses_nothing_and_counts(self):
        self.start({"rate_limit": {"mode": "shadow", "rules": [self.RULE]}})
        replies = [self.chat() for _ in range(6)]
        self.assertEqual({reply.status for reply in replies}, {200})
        self.assertIsNone(replies[0].get("ratelimit"))
        self.assertEqual(self.proxy.metric("limiter_decisions_total", decision="rejected", mode="shadow"), 3)

    def test_the_limit_is_exact_with_two_workers(self):
        self.start({"rate_limit": {"rules": [{"name": "r", "rate": "1/h", "burst": 50}]}}, workers=2)
        for algorithm in ("token_bucket",):
            replies = self.crowd(200, request("GET", "/v1/models"))
            self.assertEqual([reply.status for reply in replies].count(200), 50, algorithm)


class Retry(FilterTest):
    FILTER = {"retry": {"backoff": {"kind": "fixed", "base": "1ms", "cap": "1ms"}}}

    def test_a_503_is_healed(self):
        self.start(self.FILTER)
        reply = self.chat(("x-mock-id", "r1"), fault("first:2:status:503"))
        self.assertEqual(reply.status, 200)
        self.assertEqual(self.mock.entry("r1")["received"], 3)
        self.assertEqual(self.proxy.metric("retries_total", cause="503", result="retried"), 2)
        self.assertEqual(self.proxy.wait_events("request")[0]["attempts"], 3)

    def test_a_reset_is_healed_for_pure_computation_only(self):
        self.start(self.FILTER)
        self.assertEqual(self.chat(("x-mock-id", "r1"), fault("first:1:close-before-head")).status, 200)
        reply = self.chat(("x-mock-id", "r2"), fault("first:1:close-before-head"), target="/effect")
        self.assert_local_reply(reply, 502, "upstream_reset")
        self.assertEqual((self.mock.executed("r1"), self.mock.executed("r2")), (2, 1))

    def test_attempts_end(self):
        self.start(self.FILTER)
        reply = self.chat(("x-mock-id", "r1"), fault("status:503"))
        self.assertEqual((reply.status, reply.get("x-outrigger-retries-exhausted")), (503, "1"))
        self.assertEqual(self.mock.entry("r1")["received"], 3)

    def test_the_budget_ends_before_the_attempts(self):
        self.start(self.FILTER)
        for i in range(20):
            self.chat(("x-mock-id", f"b{i}"), fault("status:503"))
        received = sum(self.mock.entry(f"b{i}")["received"] for i in range(20))
        # 20 % of first attempts and 3 in each window of 10 s; a slow machine may see a second window.
        self.assertLessEqual(received, 20 + 4 + 3 * 2)
        self.assertGreater(received, 20)

    def test_x_should_retry_false_is_obeyed(self):
        self.start(self.FILTER)
        self.chat(("x-mock-id", "r1"), fault("status:503;header:x-should-retry=false"))
        self.assertEqual(self.mock.entry("r1")["received"], 1)

    def test_a_wait_that_is_too_long_is_passed_on(self):
        self.start(self.FILTER)
        reply = self.chat(("x-mock-id", "r1"), fault("status:429;retry-after:100"))
        self.assertEqual((reply.status, reply.get("retry-after")), (429, "100"))
        self.assertEqual(self.mock.entry("r1")["received"], 1)

    def test_a_short_wait_is_kept(self):
        self.start(self.FILTER)
        began = time.monotonic()
        reply = self.chat(("x-mock-id", "r1"), fault("first:1:status:429;first:1:retry-after-ms:200"))
        self.assertEqual(reply.status, 200)
        self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_an_error_event_before_content_is_retried_like_its_status(self):
        self.start(self.FILTER)
        reply = self.chat(("x-mock-id", "r1"), fault("first:1:error-event"), body=STREAM)
        self.assertEqual(reply.status, 200)
        self.assertIn(b"[DONE]", reply.body)
        self.assertNotIn(b"error", reply.body)
        self.assertEqual(self.mock.entry("r1")["received"], 2)

    def test_after_content_there_is_no_retry(self):
        self.start(self.FILTER)
        reply = self.chat(("x-mock-id", "r1"), fault("cut-after:3"), body=STREAM)
        self.assertEqual((reply.status, reply.is_cut), (200, True))
        self.assertNotIn(b"[DONE]", reply.body)
        self.assertEqual(self.mock.entry("r1")["received"], 1)

    def test_a_body_that_is_too_big_to_keep_is_sent_once(self):
        self.start({"retry": {"max_replay_body": "1KiB"}})
        body = CHAT[:-1] + b', "user": "' + b"x" * 200000 + b'"}'
        reply = self.chat(("x-mock-id", "r1"), fault("first:1:status:503"), body=body)
        self.assertEqual(reply.status, 503)
        self.assertEqual(self.mock.entry("r1")["received"], 1)


class Breaker(FilterTest):
    def breaker(self):
        """The one of the route that `chat` uses; each route has its own."""
        breakers = json.loads(self.proxy.admin("GET", "/breakers")[1])["breakers"]
        return next(breaker for breaker in breakers if "openai-chat" in breaker["id"])

    def test_it_opens_refuses_at_once_and_closes_again(self):
        self.start({"breaker": {"open_for": "1s", "consecutive": 3}})
        for _ in range(3):
            self.assertEqual(self.chat(fault("status:500")).status, 500)
        refused = self.chat()
        self.assert_local_reply(refused, 503, "breaker_open")
        self.assertEqual(self.proxy.metric("breaker_state"), 2)
        self.assertEqual(self.breaker()["state"], "open")
        self.assertEqual(self.proxy.metric("breaker_transitions_total", to="open", cause="consecutive"), 1)
        self.assertEqual(self.proxy.wait_events("breaker_transition")[0]["to"], "open")
        # Readiness is about the service, not about load or errors (HL-4).
        harness.eventually(lambda: self.proxy.admin("GET", "/readyz")[0] == 200, "ready")
        harness.eventually(lambda: self.chat().status == 200, "a probe goes through")
        harness.eventually(lambda: self.chat().status == 200 and self.proxy.metric("breaker_state") == 0,
                           "closed again")

    def test_throttling_never_opens_it(self):
        self.start({"breaker": {"consecutive": 3}})
        statuses = {self.chat(fault("status:429")).status for _ in range(20)}
        self.assertEqual(statuses, {429})
        self.assertEqual(self.proxy.metric("breaker_state"), 0)

    def test_it_can_be_set_by_hand(self):
        self.start({"breaker": {}})
        self.assertEqual(self.chat().status, 200)
        name = self.breaker()["id"]
        self.assertEqual(self.proxy.admin("POST", f"/breakers/{name}:open")[0], 200)
        self.assert_local_reply(self.chat(), 503, "breaker_open")
        self.assertEqual(self.proxy.admin("POST", f"/breakers/{name}:close")[0], 200)
        self.assertEqual({self.chat(fault("status:500")).status for _ in range(12)}, {500})
        self.assertEqual(self.chat().status, 200)
        self.assertEqual(self.proxy.admin("POST", f"/breakers/{name}:auto")[0], 200)
        self.assertEqual(self.proxy.admin("POST", f"/breakers/{name}:dance")[0], 400)
        self.assertEqual(self.proxy.admin("POST", "/breakers/none:open")[0], 404)

    def test_open_it_leaves_no_record_of_a_key(self):
        self.start({"idempotency": {}}, {"breaker": {}})
        self.chat()
        name = self.breaker()["id"]
        self.proxy.admin("POST", f"/breakers/{name}:open")
        self.assertEqual(self.chat(key("k")).status, 503)
        self.proxy.admin("POST", f"/breakers/{name}:auto")
        reply = harness.eventually(lambda: (r := self.chat(key("k"))).status == 200 and r, "closed")
        self.assertEqual(reply.get("x-outrigger-idempotency"), "stored")

    def test_shadow_refuses_nothing(self):
        self.start({"breaker": {"mode": "shadow", "consecutive": 3}})
        self.assertEqual({self.chat(fault("status:500")).status for _ in range(10)}, {500})
        labels = {"breaker": "app/openai-chat", "reason": "breaker_open"}
        self.assertEqual(self.proxy.metric("breaker_refusals_total", mode="shadow", **labels), 7)
        self.assertEqual(self.proxy.metric("breaker_refusals_total", mode="enforce", **labels), 0)


class BreakerProbes(harness.TestCase):
    """`breaker.probe: {path}`: the proxy asks the service itself."""

    BREAKER = MappingProxyType({"consecutive": 3, "open_for": "100ms", "max_open_for": "200ms"})

    def start(self, probe, answer, **top):
        self.service = self.upstream(answer if callable(answer) else answering(answer))
        breaker = {**self.BREAKER, "probe": {"path": "/health", **probe}}
        self.proxy = self.outrigger(self.service, filters=[{"breaker": breaker}], **top)

    def asked(self, target):
        return [message for message in self.service.requests if message.target == target]

    def open(self):
        client = self.client(self.proxy)
        self.assertEqual([client.get("/work").status for _ in range(3)], [500] * 3)
        self.assertEqual(self.proxy.metric("breaker_state", breaker="app/unmatched"), 2)

    def test_the_path_is_asked_until_the_breaker_closes_and_clients_wait(self):
        is_well = threading.Event()

        def answer(_):
            return response(b"x", "200 OK" if is_well.is_set() else "500 Broken")

        self.start({}, answering(answer), workers=2)
        self.open()
        harness.eventually(lambda: len(self.asked("/health")) >= 3, "probes")
        refused = self.client(self.proxy).get("/work")
        self.assert_local_reply(refused, 503, "breaker_open")
        self.assertEqual(len(self.asked("/work")), 3)
        is_well.set()
        self.proxy.wait_metric("breaker_state", 0, breaker="app/unmatched")
        self.assertEqual(self.client(self.proxy).get("/work").status, 200)
        probe = self.asked("/health")[0]
        self.assertEqual((probe.method, probe.get("user-agent")), ("GET", "outrigger-breaker-probe"))
        self.assertEqual(probe.all("x-forwarded-for"), [])
        self.assertEqual(self.proxy.metric("breaker_probes_total", result="succeeded"), 3)
        self.assertGreaterEqual(self.proxy.metric("breaker_probes_total", result="failed"), 2)
        # Five requests of clients, and nothing else is counted or logged as one.
        self.proxy.wait_metric("requests_total", 5)
        self.assertEqual({event["path"] for event in self.proxy.wait_events("request", 5)}, {"/work"})
        closed = len(self.asked("/health"))
        self.client(self.proxy).get("/work")
        self.assertEqual(len(self.asked("/health")), closed)

    def hanging(self, connection):
        """Fails everything but the probe, which it never answers."""
        while True:
            message = connection.read_request()
            if message.target.startswith("/health"):
                self.probes.append(connection)
                harness.read_ended(connection)
                return
            connection.send(response(b"", "500 Broken"))

    def test_a_probe_without_an_answer_is_cut_and_the_next_one_follows(self):
        self.probes = []
        self.start({"timeout": "50ms"}, self.hanging)
        self.open()
        harness.eventually(lambda: len(self.probes) >= 3, "three probes")
        self.assertGreaterEqual(self.proxy.metric("breaker_probes_total", result="failed"), 2)
        self.assertEqual(self.proxy.metric("in_flight_requests"), 0)

    def test_a_probe_that_waits_does_not_hold_up_the_end(self):
        self.probes = []
        self.start({"timeout": "1h"}, self.hanging)
        self.open()
        harness.eventually(lambda: self.probes, "a probe")
        began = time.monotonic()
        self.assertEqual(self.proxy.stop(), 0)
        self.assertLess(time.monotonic() - began, 4)  # the drain may take 5 s
        self.assertEqual(len(self.probes), 1)


class Timeouts(FilterTest):
    def assert_timeout(self, reply, reason, tier):
        self.assert_local_reply(reply, 504, reason)
        self.assertEqual(reply.get("x-should-retry"), "true")  # effects: none
        self.assertEqual(self.proxy.metric("timeouts_total", tier=tier), 1)
        self.assert_idle(self.proxy)

    def test_overall(self):
        self.start({"timeout": {"overall": "200ms"}})
        self.assert_timeout(self.chat(fault("stall-head")), "deadline", "overall")

    def test_per_try(self):
        self.start({"timeout": {"per_try": "200ms"}})
        self.assert_timeout(self.chat(fault("stall-head")), "per_try_timeout", "per_try")

    def test_per_try_is_retried(self):
        self.start({"retry": {}}, {"timeout": {"per_try": "1s"}})
        self.assertEqual(self.chat(("x-mock-id", "t"), fault("first:1:stall-head")).status, 200)

    def test_the_first_token_that_does_not_come_becomes_a_504(self):
        for spec in ("role-only-stall", "ping-only:20ms"):
            with self.subTest(spec):
                self.start({"timeout": {"ttft": "300ms"}})
                self.assert_timeout(self.chat(fault(spec), body=STREAM), "ttft_timeout", "ttft")

    def test_the_first_token_time_is_learned_from_all_workers(self):
        learned = {"factor": 3, "floor": "500ms", "cap": "10s"}
        self.start({"timeout": {"ttft": "50s", "adaptive": learned}}, workers=2)
        limit = functools.partial(self.proxy.metric, "ttft_limit_seconds", route="openai-chat")
        # A connection for each, so that they are not all one worker's.
        for _ in range(99):
            self.assertIn(b"[DONE]", self.chat(body=STREAM).body)
        self.assertEqual(limit(), 50)
        self.chat(body=STREAM)
        quick = limit()
        self.assertGreaterEqual(quick, 0.5)
        self.assertLess(quick, 5, "a hundred quick ones")
        # What is cut makes it grow, so that a slow service is not cut for ever.
        began = time.monotonic()
        reply = self.chat(fault("role-only-stall"), body=STREAM)
        self.assertLess(time.monotonic() - began, 5 + harness.DEADLINE)
        self.assert_timeout(reply, "ttft_timeout", "ttft")
        self.assertGreaterEqual(time.monotonic() - began, quick - 0.02)
        for _ in range(4):
            self.chat(fault("role-only-stall"), body=STREAM)
        self.assertGreaterEqual(limit(), min(10, 3 * quick) - 0.01)

    def test_a_stream_that_stalls_ends_in_an_error_event_and_a_cut_body(self):
        self.start({"timeout": {"inter_token": "300ms"}})
        reply = self.chat(fault("stall-body:3"), body=STREAM)
        self.assertEqual((reply.status, reply.is_cut), (200, True))
        self.assertNotIn(b"[DONE]", reply.body)
        last = reply.body.strip().rpartition(b"\n\n")[2]
        self.assertTrue(last.startswith(b"event: error\ndata: {"), reply.body)
        self.assertIn(b"inter-token-timeout", last)
        self.assertEqual(self.proxy.metric("timeouts_total", tier="inter_token"), 1)
        self.assertEqual(self.proxy.metric("stream_outcome_total", outcome="stall"), 1)
        self.assert_idle(self.proxy)

    def test_a_stream_outlives_overall(self):
        self.start({"timeout": {"overall": "1s"}}, mock={"--itl": "300ms"})
        reply = self.chat(body=STREAM)
        self.assertFalse(reply.is_cut)
        self.assertIn(b"[DONE]", reply.body)

    def test_max_stream(self):
        self.start({"timeout": {"max_stream": "1s", "ttft": "900ms", "inter_token": "900ms"}}, mock={"--itl": "100ms", "--tokens": "50"})
        reply = self.chat(body=STREAM)
        self.assertTrue(reply.is_cut)
        self.assertIn(b"max-stream", reply.body)


class Streams(FilterTest):
    def test_an_error_event_before_content_becomes_a_status(self):
        self.start({"timeout": {}})
        reply = self.chat(fault("error-event"), body=STREAM)
        self.assertGreaterEqual(reply.status, 500)
        self.assertNotEqual(reply.get("content-type"), "text/event-stream")

    def test_an_error_event_after_content_is_passed_and_counted(self):
        self.start({"timeout": {}})
        reply = self.chat(fault("error-event-after:2"), body=STREAM)
        self.assertEqual(reply.status, 200)
        self.assertIn(b"error", reply.body)
        self.proxy.wait_metric("stream_outcome_total", 1, outcome="error_event")
        self.assertEqual(self.proxy.metric("requests_total", code_class="5xx"), 1)

    def test_tokens_arrive_one_by_one(self):
        self.start()
        client = self.client(self.proxy)
        client.send(request("POST", COMPLETIONS, STREAM, [JSON, fault("stall-body:4")]))
        client.read_until(b'"content"')
        client.close()
        self.assert_idle(self.proxy)

    def test_a_stream_without_its_last_word_counts_as_cut(self):
        self.start({"timeout": {}})
        reply = self.chat(fault("no-terminal"), body=STREAM)
        self.assertNotIn(b"[DONE]", reply.body)
        self.proxy.wait_metric("stream_outcome_total", 1, outcome="cut")

    def test_ttft_is_measured(self):
        self.start()
        self.chat(body=STREAM)
        self.assertEqual(self.proxy.metric("ttft_seconds_count"), 1)
        self.assertGreater(self.proxy.metric("inter_token_seconds_count"), 0)


class ClientGone(FilterTest):
    """Where only filters wait: nothing may be left (TO-7, ID-12)."""

    def leave_when(self, ready, *headers, body=CHAT):
        client = self.client(self.proxy)
        client.send(request("POST", COMPLETIONS, body, [JSON, *headers]))
        harness.eventually(ready, "the request is where it should be")
        client.close()

    def assert_service_left(self, name):
        harness.eventually(lambda: self.mock.entry(name)["in_flight"] == 0, "the service was left")
        self.assert_idle(self.proxy)

    def test_during_a_backoff(self):
        self.start({"retry": {"backoff": {"kind": "fixed", "base": "60s", "cap": "60s"}}})
        self.leave_when(lambda: self.mock.entry("b")["received"] == 1, ("x-mock-id", "b"), fault("status:503"))
        self.assert_service_left("b")
        self.assertEqual(self.mock.entry("b")["received"], 1)

    def test_while_a_stream_is_held_before_its_first_content(self):
        self.start()
        self.leave_when(lambda: self.mock.entry("h")["in_flight"] == 1, ("x-mock-id", "h"),
                        fault("role-only-stall"), body=STREAM)
        self.assert_service_left("h")
        self.assertEqual(self.mock.entry("h")["cancelled"], 1)

    def test_as_the_probe_of_a_half_open_breaker(self):
        self.start({"breaker": {"consecutive": 1, "open_for": "200ms"}})
        self.chat(fault("status:500"))
        self.assertEqual(self.chat().status, 503)
        numbers = itertools.count()

        def leave_as_probe():
            """The id of a request that got through to the service, which only a probe does."""
            name = f"p{next(numbers)}"
            client = self.client(self.proxy)
            client.send(request("POST", COMPLETIONS, CHAT, [JSON, ("x-mock-id", name), fault("stall-head")]))
            harness.eventually(lambda: client.has_data() or self.mock.entry(name)["in_flight"],
                               "refused or executing")
            is_refused = client.has_data()
            client.close()
            return None if is_refused else name

        name = harness.eventually(leave_as_probe, "a probe gets through")
        self.assert_service_left(name)
        # The slot of the probe is free again.
        harness.eventually(lambda: self.chat().status == 200, "the next probe gets through")

    def test_a_joiner_leaves_and_the_others_are_served(self):
        self.start()
        sent = request("POST", COMPLETIONS, STREAM, [JSON, key("j"), fault("itl:100ms")])
        clients = [self.client(self.proxy) for _ in range(6)]
        for client in clients:
            client.send(sent)
        for client in clients:
            client.read_until(b'"content"')
        for client in clients[::2]:
            client.reset()
        bodies = {client.read_to_done() for client in clients[1::2]}
        self.assertEqual(len(bodies), 1)
        self.assertEqual(self.mock.executed("j"), 1)
        self.assert_idle(self.proxy)

    def test_an_owner_that_leaves_cancels_when_so_configured(self):
        self.start({"idempotency": {"on_owner_disconnect": "cancel"}})
        self.leave_when(lambda: self.mock.entry("c")["in_flight"] == 1, key("c"), fault("stall-head"))
        self.assert_service_left("c")
        self.assertEqual(self.mock.entry("c")["cancelled"], 1)
        self.assertEqual(self.chat(key("c"), fault("first:1:stall-head")).status, 200)

    def test_a_storm_with_clients_that_leave(self):
        self.start(workers=2, mock={"--ttft": "300ms", "--itl": "5ms"})
        rng = random.Random(5)
        for body in (CHAT, STREAM):
            name = f"leave-{len(body)}"
            sent = request("POST", COMPLETIONS, body, [JSON, key(name)])
            clients = []
            for i in range(300):
                client = self.connect(self.proxy)
                client.send(sent)
                if i == 0 or rng.random() < 0.5:
                    client.reset()
                else:
                    clients.append(client)
            replies = [client.read_response() for client in clients]
            for client in clients:
                client.close()
            self.assertEqual({reply.status for reply in replies}, {200})
            self.assertEqual(len({reply.body for reply in replies}), 1)
            self.assertEqual(self.mock.executed(name), 1)
        self.assert_idle(self.proxy)

    def test_draining_does_not_wait_for_what_nobody_reads(self):
        self.start()
        self.leave_when(lambda: self.mock.entry("d")["in_flight"] == 1, key("d"), fault("stall-head"))
        began = time.monotonic()
        self.assertEqual(self.proxy.stop(), 0)
        self.assertLess(time.monotonic() - began, 4, "the drain timed out instead")
        harness.eventually(lambda: self.mock.entry("d")["in_flight"] == 0, "the service was left")


class Orders(FilterTest):
    def test_every_allowed_order_works_on_unary_and_streamed_answers(self):
        """B0.1: idempotency before retry, timeout after it; the other two where one likes."""
        settings = {"idempotency": {}, "retry": {"backoff": {"kind": "fixed", "base": "1ms", "cap": "1ms"}},
                    "timeout": {"inter_token": "5s"}, "breaker": {},
                    "rate_limit": {"rules": [{"name": "r", "rate": "1/h", "burst": 4}]}}
        orders = [order for order in itertools.permutations(settings)
                  if order.index("idempotency") < order.index("retry") < order.index("timeout")]
        self.assertEqual(len(orders), 20)
        mock = self.mock_ai("--ttft", "1ms", "--itl", "1ms", "--jitter", "0", "--tokens", "4")
        for number, order in enumerate(orders):
            with self.subTest(order):
                self.proxy = self.outrigger(mock, filters=[{name: settings[name]} for name in order])
                for kind, body in (("unary", CHAT), ("stream", STREAM)):
                    name = f"{kind}-{number}"
                    first = self.chat(key(name), fault("first:1:status:503"), body=body)
                    again = self.chat(key(name), fault("first:1:status:503"), body=body)
                    self.assertEqual((first.status, again.status), (200, 200), kind)
                    self.assertEqual(again.body, first.body)
                    self.assertEqual(mock.executed(name), 1)
                # Inside retry, or before idempotency, the limiter sees more requests than outside.
                statuses = [self.chat().status for _ in range(3)]
                self.assertEqual(statuses[-1], 429)
                self.assert_idle(self.proxy)

    def test_other_orders_are_refused(self):
        for order in (("retry", "idempotency"), ("timeout", "retry")):
            path = f"{self.folder}/bad.yaml"
            with open(path, "w", encoding="utf-8") as file:
                json.dump({"filters": [{name: {}} for name in order]}, file)
            self.assertEqual(self.program("check", "--config", path).returncode, 1, order)


class LocalReplies(FilterTest):
    def test_the_lists_of_b03_that_can_be_provoked_here_have_one_form(self):
        """Refusals of different filters, all with reason, hint and problem."""
        self.start({"idempotency": {}}, {"rate_limit": {"rules": [{"name": "r", "rate": "1/h", "burst": 2}]}},
                   {"breaker": {"consecutive": 1}})
        self.chat(fault("status:500"))
        self.assert_local_reply(self.chat(), 503, "breaker_open")
        self.assert_local_reply(self.chat(key("\x7f")), 400, "bad_request")


class Concurrency(harness.TestCase):
    def test_max_requests_is_exact_with_two_workers(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def script(connection):
            while True:
                connection.read_request()
                release.wait(harness.DEADLINE)
                connection.send(response(b"x"))

        proxy = self.outrigger(self.upstream(script), workers=2, filters=[{"timeout": {}}],
                               upstream_options={"max_requests": 10})
        clients = [self.client(proxy) for _ in range(40)]
        for client in clients:
            client.send(request())
        harness.eventually(lambda: sum(client.has_data() for client in clients) == 30, "30 are refused")
        refused = [client for client in clients if client.has_data()]
        for client in refused:
            self.assert_local_reply(client.read_response(), 503, "concurrency")
        release.set()
        admitted = [client for client in clients if client not in refused]
        self.assertEqual({client.read_response().status for client in admitted}, {200})


harness.also_over_http2(globals(), Idempotency, JsonBodies, DuplicateStorm, RateLimit, Retry, Breaker, Timeouts, Streams,
                        ClientGone, Orders, Concurrency, BreakerProbes, without=["test_other_orders_are_refused"])

harness.also_to_http2(globals(), Idempotency, DuplicateStorm, Concurrency, RateLimit, Retry, Breaker, Timeouts, Streams, ClientGone, Orders,
                      without=["test_other_orders_are_refused"])

harness.also_over_tls(globals(), Retry, Streams)

if __name__ == "__main__":
    unittest.main()
