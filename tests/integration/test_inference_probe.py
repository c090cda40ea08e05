"""The inference probe (HL-5): the app counts as up when its model answers, not when its server does."""

import itertools
import json
import threading
import unittest

import harness
from harness import response

ASKED = '{"model":"m","prompt":"a","max_tokens":1}'
SECRET = "Bearer of-the-probe"


class Model:
    """A server whose /v1/models answers at once and whose model is `cold` (503), `hangs` or is `warm`."""

    def __init__(self, test, **options):
        self.model = "cold"
        self.is_up = True
        self.inferences = []
        self.hanging = 0
        self.checks = 0
        self._changed = threading.Event()
        test.addCleanup(self._changed.set)
        self.service = test.upstream(self._script, **options)

    def become(self, model):
        self.model = model
        self._changed.set()
        self._changed = threading.Event()

    def _script(self, connection):
        while True:
            message = connection.read_request()
            if message.target == "/v1/completions":
                self.inferences.append(message)
                changed = self._changed
                if self.model == "hangs":
                    self.hanging += 1
                    changed.wait(harness.DEADLINE)
                is_warm = self.model == "warm"
                connection.send(harness.chunked([b'{"choices"', b":[]}"]) if is_warm
                                else response(b"loading", "503 Loading"))
            elif message.target == "/v1/models":
                self.checks += 1
                connection.send(response(b"{}") if self.is_up else response(b"", "503 Gone"))
            else:
                connection.send(response(b"x"))


class InferenceProbe(harness.TestCase):
    PROBE = {"path": "/v1/completions", "body": ASKED, "headers": {"Authorization": SECRET}}
    HEALTH = {"path": "/v1/models", "interval": "500ms", "timeout": "500ms", "inference": PROBE}

    def start(self, health=None, **options):
        self.model = Model(self, **options)
        self.proxy = self.outrigger(self.model.service, upstream_options={"health": health or self.HEALTH})
        return self.model

    def ready(self):
        return self.proxy.admin("GET", "/readyz")[0] == 200

    def problem(self):
        return self.proxy.admin("GET", "/readyz?verbose")[1]

    def wait_problem(self, text):
        harness.eventually(lambda: text in self.problem(), text)
        self.assertFalse(self.ready())

    def wait_checks(self, count):
        end = self.model.checks + count
        harness.eventually(lambda: self.model.checks >= end, "checks go on")

    def test_it_is_ready_when_the_model_answers_and_not_before(self):
        model = self.start()
        self.wait_problem("the inference probe has not passed: status 503")
        self.wait_checks(2)
        self.assertGreaterEqual(len(model.inferences), 2, "it is repeated")
        self.assertFalse(self.ready())
        model.become("hangs")
        harness.eventually(lambda: model.hanging, "the next one")
        self.wait_checks(3)
        self.assertEqual(model.hanging, 1, "one at a time")
        self.assertFalse(self.ready())
        model.become("warm")
        harness.eventually(self.ready, "the model is warm")

        passed = len(model.inferences)
        self.wait_checks(3)
        self.assertEqual(len(model.inferences), passed, "it is not asked again")
        self.assertTrue(self.ready())
        self.assertEqual(self.proxy.metric("app_healthy"), 1)
        self.assertEqual(self.proxy.metric("inference_probes_total", check="app", result="passed"), 1)
        self.assertEqual(self.proxy.metric("inference_probes_total", check="app", result="failed"), passed - 1)
        for message in model.inferences:
            self.assertEqual((message.method, message.body.decode()), ("POST", ASKED))
            self.assertEqual(message.get("content-type"), "application/json")
            self.assertEqual(message.get("authorization"), SECRET)
        # It is nobody's request: no filter has seen it.
        self.assertEqual(self.proxy.metric("requests_total"), 0)
        self.assertEqual(self.proxy.metric("retries_total"), 0)
        self.assertEqual(self.proxy.events("request"), [])
        events = self.proxy.events("inference_probe")
        self.assertEqual([event["passed"] for event in events][-1], True)
        self.assertEqual(len({event["problem"] for event in events}), len(events), "told when it changes")
        self.assert_nothing_is_told()

    def assert_nothing_is_told(self):
        told = "\n".join([*self.proxy.lines, *self.proxy.error_lines])
        self.assertNotIn(SECRET, told)
        self.assertNotIn("max_tokens", told)
        config = json.loads(self.proxy.admin("GET", "/config")[1])
        inference = config["upstreams"][0]["health"]["inference"]
        self.assertEqual(inference["headers"], {"authorization": "(not shown)"})
        self.assertNotIn(SECRET, self.proxy.admin("GET", "/config")[1])

    def test_it_is_asked_again_after_the_app_was_down(self):
        model = self.start({**self.HEALTH, "unhealthy_after": 2})
        model.become("warm")
        harness.eventually(self.ready, "up")
        passed = len(model.inferences)
        model.is_up = False
        harness.eventually(lambda: not self.ready(), "down")
        self.wait_checks(2)
        self.assertEqual(len(model.inferences), passed)
        model.become("cold")
        model.is_up = True
        self.wait_problem("the inference probe has not passed: status 503")
        model.become("warm")
        harness.eventually(self.ready, "up again")
        self.assertGreaterEqual(len(model.inferences), passed + 2)

    def test_one_that_takes_too_long_has_failed(self):
        model = self.start({**self.HEALTH, "inference": {**self.PROBE, "timeout": "200ms"}})
        model.become("hangs")
        self.wait_problem("the inference probe has not passed: no answer in 200ms")
        model.become("warm")
        harness.eventually(self.ready, "up")

    def test_a_connect_may_be_the_check(self):
        health = {name: value for name, value in self.HEALTH.items() if name != "path"}
        model = self.start(health)
        self.wait_problem("the inference probe has not passed")
        model.become("warm")
        harness.eventually(self.ready, "up")
        self.assertEqual(model.checks, 0)

    def test_a_reload_leaves_a_ready_app_ready(self):
        health = {name: value for name, value in self.HEALTH.items() if name != "inference"}
        model = self.start(health)
        harness.eventually(self.ready, "up")
        with open(self.proxy.config_path, encoding="utf-8") as file:
            config = json.load(file)
        config["upstreams"][0]["health"] = self.HEALTH
        with open(self.proxy.config_path, "w", encoding="utf-8") as file:
            file.write(json.dumps(config))
        self.proxy.wait_events("config_reloaded")
        self.wait_checks(2)
        self.assertTrue(self.ready())
        self.assertEqual(model.inferences, [])
        model.is_up = False
        harness.eventually(lambda: not self.ready(), "down")
        model.is_up = True
        self.wait_problem("the inference probe has not passed")


class OverHttp2(InferenceProbe):
    upstream_protocol = "http2"


class OverTls(InferenceProbe):
    is_tls = True


class OverTlsAndHttp2(OverHttp2):
    is_tls = True


class OverAUnixSocket(InferenceProbe):
    _names = itertools.count()

    def upstream(self, script, **options):
        return super().upstream(script, path=f"{self.folder}/app{next(self._names)}.sock", **options)


if __name__ == "__main__":
    unittest.main()
