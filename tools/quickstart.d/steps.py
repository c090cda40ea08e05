"""The steps: each sends real requests, says what happens, and checks what it saw."""

import json
import time

from client import call, events, get, post

CHAT = "/v1/chat/completions"


def question(text, **more):
    return {"model": "mock-1", "messages": [{"role": "user", "content": text}], **more}


def wait_until(is_so, seconds=10.0):
    """Seconds until `is_so()`, or None when it did not become so."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if is_so():
            return time.monotonic() - began
        time.sleep(0.02)
    return None


class Steps:
    def __init__(self, report, services):
        self.report = report
        self.services = services

    def all(self):
        return [self.normal_answer, self.streamed_answer, self.repeated_key, self.rate_limit,
                self.healed_failure, self.breaker, self.timeout, self.readiness, self.metrics]

    def ledger(self, name):
        """How often the service itself received and executed the request of that name."""
        return get(self.services.app_admin, f"/ledger?id={name}").json()

    def normal_answer(self):
        report = self.report
        report.section("1. A normal answer")
        report.say(f"A client asks the proxy at {self.services.proxy} instead of the AI service;")
        report.say("the proxy passes the question on and the answer back.")
        answer = post(self.services.proxy, CHAT, question("What is an outrigger?"))
        report.check(answer.status == 200, "status 200", answer.status)
        if answer.status == 200:
            report.check(bool(answer.text()), "an answer in words", f'"{answer.text()}"')
        request_id = answer.header("x-request-id")
        report.check(bool(request_id), "an id to find the request in the logs by (x-request-id)",
                     request_id or "none")

    def streamed_answer(self):
        report = self.report
        report.section("2. A streamed answer, token by token")
        report.say('The same with "stream": true. Nothing is held back until the end; the number in')
        report.say("front is the time since the request in milliseconds.")
        times = []
        last = ""
        report.write("   ")
        for seconds, data in events(self.services.proxy, CHAT, question("Stream", stream=True)):
            last = data
            if data == "[DONE]":
                continue
            choices = json.loads(data).get("choices") or [{}]
            token = choices[0].get("delta", {}).get("content")
            if token:
                times.append(seconds)
                report.write(f" {seconds * 1000:.0f}:{token.strip()}")
        report.write("\n")
        report.check(last == "[DONE]", "the end of the stream, [DONE]", last)
        # The service takes 70 ms for a token; all at once would be a gap of nearly nothing.
        gaps = sorted(b - a for a, b in zip(times, times[1:]))
        middle = gaps[len(gaps) // 2] if gaps else 0
        report.check(len(times) >= 5 and middle > 0.035, "tokens that arrive one after the other",
                     f"{len(times)} tokens, {middle * 1000:.0f} ms between them")

    def repeated_key(self):
        report = self.report
        report.section("3. A repeated request is not executed twice")
        report.say("A client that got no answer asks again with the same Idempotency-Key. The proxy")
        report.say("answers from what it recorded; the service keeps a ledger of what it executed.")
        key = "quickstart-order-1"
        body = question("Order a canoe")
        first = post(self.services.proxy, CHAT, body, {"Idempotency-Key": key})
        second = post(self.services.proxy, CHAT, body, {"Idempotency-Key": key})
        report.check(first.status == second.status == 200, "status 200 both times",
                     f"{first.status}, {second.status}")
        report.check(first.body == second.body, "the same bytes both times",
                     "equal" if first.body == second.body else "different bodies")
        replayed = second.header("Idempotent-Replayed")
        report.check(replayed == "true" and not first.header("Idempotent-Replayed"),
                     "the second marked Idempotent-Replayed: true",
                     f"{replayed or 'not marked'}, in {second.seconds * 1000:.1f} ms instead of "
                     f"{first.seconds * 1000:.0f} ms")
        executed = self.ledger(key)["executed"]
        report.check(executed == 1, "one execution in the service's ledger", executed)

    def rate_limit(self):
        report = self.report
        report.section("4. Too many requests")
        report.say("/v1/embeddings is limited to 3 at once and then one every 2 seconds. Five in a row:")
        path, body = "/v1/embeddings", {"model": "mock-1", "input": "canoe"}
        quick = {"x-mock-fault": "ttft:0ms"}  # an answer without delay
        answers = [post(self.services.proxy, path, body, quick) for _ in range(5)]
        statuses = [answer.status for answer in answers]
        report.check(statuses == [200, 200, 200, 429, 429], "three times 200, then 429", statuses)
        refused = answers[-1]
        reason = refused.header("x-outrigger-reason")
        report.check(reason == "rate_requests", "the reason rate_requests (x-outrigger-reason)",
                     reason or "none")
        wait = refused.header("Retry-After")
        if not report.check(wait.isdigit() and int(wait) <= 5, "when to come back (Retry-After)",
                            f"{wait or 'none'} s"):
            return
        time.sleep(int(wait))
        again = post(self.services.proxy, path, body, quick)
        report.check(again.status == 200, f"status 200 after {wait} s", again.status)

    def healed_failure(self):
        report = self.report
        report.section("5. A failure is healed by a retry")
        report.say("The service answers this request with 503 the first time it comes. The client")
        report.say("does not notice, because running a model twice does no harm.")
        name = "quickstart-healed"
        answer = post(self.services.proxy, CHAT, question("Try"),
                      {"x-mock-id": name, "x-mock-fault": "first:1:status:503"})
        report.check(answer.status == 200, "status 200 for the client", answer.status)
        counts = self.ledger(name)
        report.check((counts["received"], counts["executed"]) == (2, 1),
                     "received twice by the service, executed once",
                     f"received {counts['received']}, executed {counts['executed']}")

    def breaker(self):
        report = self.report
        report.section("6. A service that keeps failing is left alone for a while")
        report.say("Three failures in a row on /v1/completions open the breaker: requests are then")
        report.say("refused at once, and the service gets time to recover.")
        name = "quickstart-breaker"
        path, body = "/v1/completions", {"model": "mock-1", "prompt": "canoe", "max_tokens": 1}
        failing = {"x-mock-id": name, "x-mock-fault": "status:503"}
        statuses = [post(self.services.proxy, path, body, failing).status for _ in range(3)]
        report.check(statuses == [503] * 3, "three failures of the service", statuses)
        refused = post(self.services.proxy, path, body, {"x-mock-id": name})
        reason = refused.header("x-outrigger-reason")
        report.check(refused.status == 503 and reason == "breaker_open",
                     "the fourth refused by the proxy with the reason breaker_open",
                     f"{refused.status}, {reason or 'no reason'}, Retry-After: "
                     f"{refused.header('Retry-After') or 'none'}")
        received = self.ledger(name)["received"]
        report.check(received == 3, "three received by the service, not the fourth", received)
        opened = [b["id"] for b in self.breakers() if b["state"] == "open"]
        if not report.check(len(opened) == 1, "one open breaker at the admin port (GET /breakers)",
                            ", ".join(opened) or "none"):
            return
        wait = float(refused.header("retry-after-ms") or 1000) / 1000
        report.say(f"The service is well again. After {wait:.1f} s (retry-after-ms) the breaker lets")
        report.say("single requests try it, and closes when two were answered well.")
        time.sleep(wait)
        answers = []
        seconds = wait_until(lambda: self.is_closed_after(opened[0], answers, path, body))
        report.check(seconds is not None, "the breaker closed again by good answers",
                     f"{answers}, {'closed' if seconds is not None else 'not closed'}")
        after = post(self.services.proxy, path, body)
        report.check(after.status == 200, "status 200 from then on", after.status)

    def is_closed_after(self, breaker, answers, path, body):
        """Sends one more request; its status is added to `answers`."""
        answers.append(post(self.services.proxy, path, body).status)
        return all(b["state"] == "closed" for b in self.breakers() if b["id"] == breaker)

    def breakers(self):
        return get(self.services.proxy_admin, "/breakers").json()["breakers"]

    def timeout(self):
        report = self.report
        report.section("7. What takes too long is cut")
        report.say("The service accepts this request and never answers. Its route allows 700 ms.")
        name = "quickstart-timeout"
        answer = post(self.services.proxy, "/effect/report", {"report": 1},
                      {"x-mock-id": name, "x-mock-fault": "stall-head"})
        reason = answer.header("x-outrigger-reason")
        report.check(answer.status == 504 and reason == "deadline",
                     "status 504 with the reason deadline",
                     f"{answer.status}, {reason or 'no reason'}")
        report.check(0.6 <= answer.seconds <= 2, "an answer after 700 ms",
                     f"{answer.seconds * 1000:.0f} ms")
        advice = answer.header("x-should-retry")
        report.check(advice == "false", "advice not to repeat what may have been executed "
                     "(x-should-retry: false)", advice or "none")
        seconds = wait_until(lambda: self.ledger(name)["in_flight"] == 0, 2)
        report.check(seconds is not None, "the service told to stop (its connection is closed)",
                     "nothing in flight" if seconds is not None else "still in flight")

    def readiness(self):
        report = self.report
        report.section("8. Readiness follows the service")
        report.say(f"Kubernetes asks http://{self.services.proxy_admin}/readyz whether to send")
        report.say("traffic here, and /livez whether to restart the proxy. The service goes away:")
        report.check(self.probe("/readyz") == 200, "/readyz 200 before", self.probe("/readyz"))
        self.listen(False)
        try:
            seconds = wait_until(lambda: self.probe("/readyz") == 503)
            reason = get(self.services.proxy_admin, "/readyz").body.decode().split("\n")
            bad = next((line for line in reason if "app" in line), reason[0])
            report.check(seconds is not None, "/readyz 503 without the service",
                         f"after {seconds:.1f} s: {bad}" if seconds is not None else "still 200")
            live = self.probe("/livez")
            report.check(live == 200, "/livez 200 all the same: a restart would not help", live)
        finally:
            self.listen(True)
        seconds = wait_until(lambda: self.probe("/readyz") == 200)
        report.check(seconds is not None, "/readyz 200 with the service back",
                     f"after {seconds:.1f} s" if seconds is not None else "still 503")

    def probe(self, path):
        return get(self.services.proxy_admin, path).status

    def listen(self, is_open):
        call(self.services.app_admin, "POST", "/admin/listen",
             {"open": is_open, "connections": "close"})

    # What the steps above must have left behind: labels that a line must contain, at least how many.
    METRICS = [
        ("requests_total", ['code_class="2xx"'], 1, "answers of the service"),
        ("stream_outcome_total", ['outcome="complete"'], 1, "streams that came to their end"),
        ("idempotency_total", ['result="replayed"'], 1, "answers from the cache"),
        ("limiter_decisions_total", ['rule="embeddings"', 'decision="rejected"'], 2,
         "requests over the limit"),
        ("retries_total", ['cause="503"', 'result="retried"'], 1, "retries"),
        ("breaker_transitions_total", ['to="open"'], 1, "the breaker opened"),
        ("breaker_transitions_total", ['to="closed"'], 1, "and closed"),
        ("timeouts_total", ['tier="overall"'], 1, "requests cut by the overall timeout"),
        ("app_healthy", ['check="app"'], 1, "the check of the service passes"),
    ]

    def metrics(self):
        report = self.report
        report.section("9. All of it in the metrics")
        report.say(f"http://{self.services.proxy_admin}/metrics, for Prometheus, says it too:")
        lines = get(self.services.proxy_admin, "/metrics").body.decode().splitlines()
        for name, labels, least, meaning in self.METRICS:
            found = [line for line in lines if line.startswith(f"outrigger_{name}{{") and
                     all(label in line for label in labels)]
            total = sum(float(line.rsplit(" ", 1)[1]) for line in found)
            report.check(total >= least, meaning,
                         found[0] if found else f"no line outrigger_{name}{{{','.join(labels)}}}")
