"""Reloading the configuration while running (CF-4): what changes, what stays, what is refused.

The test at load is short unless OUTRIGGER_FULL_RELOAD is set: then 100 reloads at 1,000 requests per second.
"""

import copy
import json
import os
import signal
import socket
import subprocess
import threading
import time
import unittest

import harness
from harness import answering, request, response

IS_FULL = bool(os.environ.get("OUTRIGGER_FULL_RELOAD"))


def named(name):
    return answering(response(name.encode()))


class ReloadTest(harness.TestCase):
    def start(self, config):
        self.current = config
        self.proxy = self.outrigger_with(config)
        return self.proxy

    def write(self, text):
        """Puts a file in the place of the one that was there, as editors do."""
        path = self.proxy.config_path
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".new", path)

    def changed(self, **top):
        config = copy.deepcopy(self.current)
        config.update(top)
        return config

    def generation(self):
        return int(self.proxy.metric("config_generation"))

    def reload(self, config):
        """Writes the file and returns when it is in use."""
        count = len(self.proxy.events("config_reloaded"))
        self.write(json.dumps(config))
        self.proxy.wait_events("config_reloaded", count + 1)
        self.current = config

    def refused(self, text, errors=1):
        """Writes a bad file; the events that say why, one for each error."""
        generation, count = self.generation(), len(self.proxy.events("config_refused"))
        self.write(text)
        self.proxy.wait_metric("config_last_reload_successful", 0)
        events = self.proxy.wait_events("config_refused", count + errors)[count:]
        self.assertEqual(len(events), errors, events)
        self.assertEqual(self.generation(), generation)
        return events

    def address_of(self, position):
        return harness.parse_address(self.proxy.wait_events("listening", position + 1)[position]["address"])

    def new_client(self, address):
        client = harness.RawClient(address)
        self.addCleanup(client.close)
        return client

    @staticmethod
    def accepts(address):
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            return False
        return True


class Streams:
    """A service whose answer to /stream ends when the test says so."""

    def __init__(self, test, name=b"x"):
        self.finish = threading.Event()
        test.addCleanup(self.finish.set)
        self.name = name
        self.service = test.upstream(self._script)

    def _script(self, connection):
        while True:
            if connection.read_request().target == "/stream":
                connection.send(response(headers=[("Transfer-Encoding", "chunked")], length=False))
                connection.send(harness.chunks([b"first"])[:-5])
                self.finish.wait(harness.DEADLINE)
                connection.send(harness.chunks([b"last from " + self.name]))
            else:
                connection.send(response(self.name))

    @staticmethod
    def open(client):
        client.send(request(target="/stream"))
        client.read_until(b"first\r\n")
        return client

    def end(self, client):
        self.finish.set()
        return client.read_until(b"0\r\n\r\n")


class Changes(ReloadTest):
    def test_a_new_endpoint_gets_new_requests_and_streams_end_where_they_began(self):
        old, new = Streams(self, b"old"), Streams(self, b"new")
        proxy = self.start(self.config(old.service))
        stream, client = Streams.open(self.client(proxy)), self.client(proxy)
        self.assertEqual(client.get().body, b"old")
        self.reload(self.config(new.service))
        self.assertEqual(client.get().body, b"new")
        self.assertEqual(self.client(proxy).get().body, b"new")
        proxy.wait_metric("upstream_connections", 1, upstream="app", state="active")
        self.assertIn(b"last from old", old.end(stream))
        self.assertEqual(self.generation(), 2)
        proxy.wait_metric("upstream_connections", 0, upstream="app", state="active")
        harness.eventually(lambda: all(c.has_ended() for c in old.service.connections),
                           "nothing is left of the old upstream")
        self.assertEqual(stream.get().body, b"new")

    def test_it_is_in_use_within_a_second(self):
        proxy = self.start(self.config(self.upstream(named("old"))))
        client, service = self.client(proxy), self.upstream(named("new"))
        self.assertEqual(client.get().body, b"old")
        began = time.monotonic()
        self.write(json.dumps(self.config(service)))
        harness.eventually(lambda: client.get().body == b"new", "the new service answers")
        self.assertLess(time.monotonic() - began, 4 if harness.IS_INSTRUMENTED else 1)

    def test_an_unchanged_upstream_keeps_its_connections(self):
        service = self.upstream(named("x"))
        proxy = self.start(self.config(service, workers=1))
        client = self.client(proxy)
        self.assertEqual(client.get().status, 200)
        config = self.changed(routes=[{"name": "r", "match": {"prefix": "/r"}}])
        config["upstreams"][0]["health"] = {"unhealthy_after": 7}
        self.reload(config)
        self.assertEqual(client.get("/r").status, 200)
        self.assertEqual(service.accepted, 1)
        self.assertEqual(proxy.metric("requests_total", route="r"), 1)

    def test_limits_hold_for_the_next_request_of_an_open_connection(self):
        proxy = self.start(self.config(self.upstream(named("x"))))
        client = self.client(proxy)
        long_field = [("x-long", "y" * 5000)]
        self.assertEqual(client.get(headers=long_field).status, 200)
        config = self.changed()
        config["listeners"][0]["limits"] = {"headers": "4KiB"}
        self.reload(config)
        self.assertEqual(client.get().status, 200)
        self.assertEqual(client.get(headers=long_field).status, 431)

    def test_a_request_under_way_keeps_its_time_limits(self):
        streams = Streams(self)
        proxy = self.start(self.config(streams.service))
        stream = Streams.open(self.client(proxy))
        self.reload(self.changed(filters=[{"timeout": {"overall": "50ms", "max_stream": "50ms", "ttft": "50ms",
                                                       "per_try": "50ms", "inter_token": "50ms"}}]))
        cut = self.client(proxy)
        cut.send(request(target="/stream"))
        cut.read_to_end()
        self.assertFalse(stream.has_ended())
        self.assertIn(b"last", streams.end(stream))

    def test_log_level_and_access_log(self):
        proxy = self.start(self.config(self.upstream(named("x"))))
        client = self.client(proxy)
        client.get()
        proxy.wait_events("request")
        self.reload(self.changed(log={"access": "none", "level": "debug"}))
        self.assertEqual(proxy.admin("GET", "/log-level")[1].strip(), "debug")
        client.get()
        proxy.admin("PUT", "/log-level", "error")
        self.reload_quietly(self.changed(log={"access": "none", "level": "debug"}, memory_budget="32MiB"))
        self.assertEqual(proxy.admin("GET", "/log-level")[1].strip(), "error", "what an operator set stays")
        self.assertEqual(proxy.metric("buffer_limit_bytes"), 32 << 20)
        self.assertEqual(len(proxy.events("request")), 1)

    def reload_quietly(self, config):
        generation = self.generation()
        self.write(json.dumps(config))
        self.proxy.wait_metric("config_generation", generation + 1)

    def test_readiness_and_drain_are_those_of_the_new_configuration(self):
        streams = Streams(self)
        proxy = self.start(self.config(streams.service))
        harness.eventually(lambda: proxy.admin("GET", "/readyz")[0] == 200, "ready")
        config = self.changed(readiness={"flip_on": ["breaker"]})
        config["admin"]["drain"]["timeout"] = "300ms"
        self.reload(config)
        self.assertIn("breakers", proxy.admin("GET", "/readyz?verbose")[1])
        self.reload(self.changed(readiness={}))
        self.assertNotIn("breakers", proxy.admin("GET", "/readyz?verbose")[1])
        Streams.open(self.client(proxy))
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.wait_exit(), 0)
        self.assertTrue(proxy.events("drain_cuts_streams"))

    def test_a_drain_is_not_disturbed(self):
        streams = Streams(self)
        proxy = self.start(self.config(streams.service))
        stream = Streams.open(self.client(proxy))
        proxy.signal(signal.SIGTERM)
        proxy.wait_events("drain_begins")
        proxy.signal(signal.SIGHUP)
        proxy.wait_events("config_reload_ignored")
        streams.end(stream)
        self.assertEqual(proxy.wait_exit(), 0)


class KeptState(ReloadTest):
    def test_buckets_are_not_filled_up(self):
        rule = {"name": "all", "key": [], "rate": "1/h", "burst": 3}
        proxy = self.start(self.config(self.upstream(named("x")), filters=[{"rate_limit": {"rules": [rule]}}]))
        client = self.client(proxy)
        self.assertEqual([client.get().status for _ in range(4)], [200, 200, 200, 429])
        for change in ({}, {"rate": "2/h"}, {"burst": 9}, {"max_keys": 7}):
            rule.update(change)
            self.reload(self.changed(filters=[{"rate_limit": {"rules": [rule]}}]))
            self.assertEqual(client.get().status, 429, change)
        self.assertEqual(proxy.metric("limiter_decisions_total", rule="all", decision="rejected"), 5)
        rule["rate"] = "1000/s"
        self.reload(self.changed(filters=[{"rate_limit": {"rules": [rule]}}]))
        harness.eventually(lambda: client.get().status == 200, "the new rate fills it")

    def test_breakers_stay_as_they_are_and_follow_the_new_policy(self):
        healthy = threading.Event()
        service = self.upstream(answering(
            lambda _: response(b"x") if healthy.is_set() else response(b"", "500 Broken")))
        breaker = {"consecutive": 1, "open_for": "1h", "max_open_for": "1h"}
        proxy = self.start(self.config(service, filters=[{"breaker": breaker}]))
        client = self.client(proxy)
        self.assertEqual(client.get().status, 500)
        self.assertEqual(client.get().reason, "breaker_open")
        healthy.set()
        self.reload(self.changed(filters=[{"breaker": {**breaker, "min_requests": 50}}]))
        self.assertEqual(client.get().reason, "breaker_open")
        self.assertEqual(proxy.metric("breaker_state"), 2)
        self.reload(self.changed(filters=[]))
        self.assertEqual(client.get().status, 200)
        harness.eventually(lambda: "app/" not in proxy.admin("GET", "/breakers")[1],
                           "breakers of no route are forgotten")

    def test_a_learned_limit_goes_on(self):
        events = harness.chunked([b"data: x\n\n"], headers=[("Content-Type", "text/event-stream")])
        settings = {"ttft": "50s", "adaptive": {"floor": "9s"}}
        proxy = self.start(self.config(self.upstream(answering(events)), filters=[{"timeout": settings}]))
        client = self.client(proxy)
        for _ in range(100):
            client.get()
        self.assertEqual(proxy.metric("ttft_limit_seconds", route="unmatched"), 9)
        settings["adaptive"]["floor"] = "8s"
        self.reload(self.changed(filters=[{"timeout": settings}]))
        harness.eventually(lambda: proxy.metric("ttft_limit_seconds", route="unmatched") == 8, "what was seen holds for the new numbers")
        settings["adaptive"] = "none"
        self.reload(self.changed(filters=[{"timeout": settings}]))
        harness.eventually(lambda: "ttft_limit_seconds{" not in proxy.admin("GET", "/metrics")[1], "it is forgotten")

    def test_keys_and_their_answers(self):
        service = self.upstream(named("first"))
        proxy = self.start(self.config(service))
        key = [("idempotency-key", "k1")]
        self.assertEqual(self.client(proxy).post("/effect", b"b", key).body, b"first")
        self.reload(self.config(self.upstream(named("second"))))
        again = self.client(proxy).post("/effect", b"b", key)
        self.assertEqual((again.body, again.get("idempotent-replayed")), (b"first", "true"))
        self.assertEqual(self.client(proxy).post("/effect", b"b", [("idempotency-key", "k2")]).body, b"second")

    def test_a_join_on_an_execution_from_before(self):
        began, finish = threading.Event(), threading.Event()
        self.addCleanup(finish.set)

        def script(connection):
            while True:
                connection.read_request()
                began.set()
                finish.wait(harness.DEADLINE)
                connection.send(response(b"once"))

        service = self.upstream(script)
        proxy = self.start(self.config(service))
        key = [("idempotency-key", "k1")]
        first, second = self.client(proxy), self.client(proxy)
        first.send(request("POST", "/effect", b"b", key))
        self.assertTrue(began.wait(harness.DEADLINE))
        self.reload(self.config(self.upstream(named("other"))))
        second.send(request("POST", "/effect", b"b", key))
        proxy.wait_metric("in_flight_requests", 2)
        finish.set()
        self.assertEqual([first.read_response().body, second.read_response().body], [b"once", b"once"])
        self.assertEqual(len(service.requests), 1)

    def test_the_limit_of_concurrent_requests_counts_those_from_before(self):
        streams = Streams(self)
        config = self.config(streams.service, upstream_options={"max_requests": 2}, filters=[])
        proxy = self.start(config)
        held = [Streams.open(self.client(proxy)) for _ in range(2)]
        config = self.changed()
        config["upstreams"][0]["keepalive"] = {"idle": "2s"}
        self.reload(config)
        self.assertEqual(self.client(proxy).get().reason, "concurrency")
        for stream in held:
            streams.end(stream)
        self.assertEqual(self.client(proxy).get().status, 200)


class Refusals(ReloadTest):
    def setUp(self):
        super().setUp()
        self.start(self.config(self.upstream(named("x"))))
        self.client_before = self.client(self.proxy)

    def assert_serving(self):
        self.assertEqual(self.client_before.get().status, 200)
        self.assertEqual(self.client(self.proxy).get().status, 200)

    def test_a_bad_file_changes_nothing_and_every_error_is_told(self):
        text = json.dumps(self.current, indent=1)
        bad = text.replace('"workers"', '"wrkers"').replace('"timeout": "5s"', '"timeout": "5"')
        events = self.refused(bad, errors=2)
        for event in events:
            self.assertEqual((event["level"], event["file"]), ("error", self.proxy.config_path))
            line = bad.splitlines()[event["line"] - 1]
            self.assertIn(event["key"].rpartition(".")[2].strip('"'), line)
            self.assertGreater(event["column"], 0)
        self.assert_serving()
        status = json.loads(self.proxy.admin("GET", "/config")[1])["reload"]
        self.assertEqual((status["generation"], status["last_successful"], len(status["problems"])), (1, False, 2))
        self.assertIn("wrkers", "".join(status["problems"]))
        self.reload(self.changed(memory_budget="16MiB"))
        self.assertEqual(self.proxy.metric("config_last_reload_successful"), 1)
        status = json.loads(self.proxy.admin("GET", "/config")[1])["reload"]
        self.assertEqual((status["generation"], status["last_successful"], status["problems"]), (2, True, []))
        self.assertGreaterEqual(self.proxy.metric("config_loaded_timestamp_seconds"), time.time() - 60)

    def test_the_good_file_again_is_a_success(self):
        self.refused("listeners: 5\n")
        self.write(json.dumps(self.current))
        self.proxy.wait_metric("config_last_reload_successful", 1)

    def test_what_needs_a_restart_is_refused_as_a_whole(self):
        config = self.changed(workers=harness.WORKERS + 1, memory_budget="16MiB")
        config["admin"]["address"] = "127.0.0.1:1"
        events = self.refused(json.dumps(config), errors=2)
        self.assertEqual({event["key"] for event in events}, {"workers", "admin.address"})
        for event in events:
            self.assertIn("needs a restart", event["error"])
            self.assertEqual(event["line"], 1)
        self.assertNotEqual(self.proxy.metric("buffer_limit_bytes"), 16 << 20)
        self.assert_serving()

    def test_a_port_that_is_taken_refuses_everything_until_it_is_free(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        config = self.changed(memory_budget="16MiB")
        config["listeners"] += [{"name": "free", "address": "127.0.0.1:0"},
                                {"name": "taken", "address": f"127.0.0.1:{port}"}]
        events = self.refused(json.dumps(config))
        self.assertIn(str(port), events[0]["error"])
        self.assert_serving()
        self.assertEqual(len(self.proxy.events("listening")), 1)
        taken.close()
        self.proxy.wait_metric("config_last_reload_successful", 1)
        self.assertEqual(self.new_client(("127.0.0.1", port)).get().status, 200)
        self.assertEqual(len(self.proxy.events("config_refused")), 1, "said once")

    def test_a_file_that_is_gone_or_empty(self):
        os.unlink(self.proxy.config_path)
        event = self.proxy.wait_events("config_refused")[0]
        self.assertIn("gone", event["error"])
        self.assert_serving()
        self.proxy.wait_metric("config_last_reload_successful", 0)
        self.write("")
        self.assertIn("empty", self.proxy.wait_events("config_refused", 2)[1]["error"])
        self.assert_serving()
        self.reload(self.changed(memory_budget="16MiB"))

    def test_a_file_written_in_place(self):
        with open(self.proxy.config_path, "w", encoding="utf-8") as file:
            file.write(json.dumps(self.changed(memory_budget="16MiB")))
        self.proxy.wait_events("config_reloaded")
        self.assertEqual(self.proxy.metric("buffer_limit_bytes"), 16 << 20)
        self.assertEqual(self.proxy.events("config_refused"), [])


class Listeners(ReloadTest):
    def setUp(self):
        super().setUp()
        self.streams = Streams(self)
        config = self.config(self.streams.service)
        config["admin"]["drain"]["lame_duck"] = "1s"
        config["listeners"].append({"name": "second", "address": "127.0.0.1:0"})
        self.start(config)

    def without_second(self):
        return self.changed(listeners=self.current["listeners"][:1])

    def test_one_that_is_added_serves(self):
        config = self.changed()
        config["listeners"].insert(0, {"name": "third", "address": f"unix:{self.folder}/third.sock"})
        kept = self.client(self.proxy, 1)
        self.assertEqual(kept.get().status, 200)
        self.reload(config)
        self.assertEqual(self.new_client(self.address_of(2)).get().status, 200)
        self.assertEqual(kept.get().status, 200)
        self.reload(self.changed(listeners=self.current["listeners"][1:]))
        self.assertFalse(os.path.exists(f"{self.folder}/third.sock"))

    def test_one_that_is_removed_accepts_no_more_and_drains(self):
        stream = Streams.open(self.client(self.proxy, 1))
        silent, asking = self.client(self.proxy, 1), self.client(self.proxy, 1)
        for client in (silent, asking):
            self.assertIsNone(client.get().get("connection"))
        first = self.client(self.proxy, 0)
        self.reload(self.without_second())
        self.assertEqual(self.proxy.wait_events("listener_removed")[0]["address"],
                         "%s:%d" % self.proxy.addresses[1])
        self.assertFalse(self.accepts(self.proxy.addresses[1]))
        reply = asking.get()
        self.assertEqual((reply.status, reply.get("connection")), (200, "close"))
        self.assertEqual(silent.read_to_end(), (b"", True))
        self.assertFalse(stream.has_ended())
        self.assertIn(b"last", self.streams.end(stream))
        self.assertEqual(stream.read_to_end(), (b"", True))
        self.assertIsNone(first.get().get("connection"))
        harness.eventually(lambda: self.proxy.open_connections() == 1, "only the first listener's is left")

    def test_streams_of_a_removed_one_are_drained_with_the_process(self):
        stream = Streams.open(self.client(self.proxy, 1))
        config = self.without_second()
        config["admin"]["drain"] = {"lame_duck": "0s", "timeout": "20s"}
        self.reload(config)
        self.proxy.signal(signal.SIGTERM)
        self.proxy.wait_events("drain_refuses_new")
        self.assertTrue(self.proxy.is_running())
        self.assertIn(b"last", self.streams.end(stream))
        self.assertEqual(self.proxy.wait_exit(), 0)

    def test_it_may_come_back(self):
        port = self.proxy.addresses[1][1]
        fixed = self.changed()
        fixed["listeners"][1]["address"] = f"127.0.0.1:{port}"
        self.reload(self.without_second())
        harness.eventually(lambda: not self.accepts(("127.0.0.1", port)), "it is closed")
        self.reload(fixed)
        self.assertEqual(self.new_client(("127.0.0.1", port)).get().status, 200)

    def test_another_name_order_and_upstream_keep_the_sockets(self):
        other = self.upstream(named("other"))
        clients = [self.client(self.proxy, i) for i in range(2)]
        config = self.changed()
        config["upstreams"].append({"name": "other", "endpoints": [other.address]})
        config["listeners"].reverse()
        config["listeners"][0]["upstream"] = "other"
        self.reload(config)
        self.assertEqual([client.get().body for client in clients], [b"x", b"other"])
        self.assertEqual(len(self.proxy.events("listening")), 2)

    def test_a_narrower_address_on_the_same_port(self):
        config = self.changed()
        free = socket.create_server(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        config["listeners"][1]["address"] = f"0.0.0.0:{port}"
        self.reload(config)
        config = self.changed()
        config["listeners"][1]["address"] = f"127.0.0.1:{port}"
        self.reload(config)
        self.assertEqual(self.new_client(("127.0.0.1", port)).get().status, 200)


class Triggers(ReloadTest):
    def test_sighup_reads_the_file_though_it_has_not_changed(self):
        self.start(self.config(self.upstream(named("x"))))
        self.proxy.signal(signal.SIGHUP)
        self.assertEqual(self.proxy.wait_events("config_reloaded")[0]["why"], "signal")
        self.assertEqual(self.generation(), 2)

    def outrigger_apart(self, *arguments):
        """With the default ports: in a network of its own, of which only the log is seen."""
        around = ["unshare", "--map-root-user", "--net"]
        if subprocess.run([*around, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no network namespace can be made here")
        self.proxy = self.outrigger_with(None, arguments=arguments, around=around)
        return self.proxy

    def test_sighup_without_a_file_is_harmless(self):
        proxy = self.outrigger_apart("--upstream", "127.0.0.1:8000")
        proxy.signal(signal.SIGHUP)
        self.assertIn("no configuration file", proxy.wait_events("config_reload_ignored")[0]["why"])

    def swap(self, folder, config, number):
        """What the kubelet does when a ConfigMap has changed."""
        data = os.path.join(folder, f"..2026_{number}")
        os.mkdir(data)
        with open(os.path.join(data, "config.yaml"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        os.symlink(os.path.basename(data), os.path.join(folder, "..data_tmp"))
        os.rename(os.path.join(folder, "..data_tmp"), os.path.join(folder, "..data"))

    def test_the_symlink_swap_of_kubernetes(self):
        folder = os.path.join(self.folder, "mount")
        os.mkdir(folder)
        config = self.config(self.upstream(named("old")))
        self.swap(folder, config, 1)
        path = os.path.join(folder, "config.yaml")
        os.symlink("..data/config.yaml", path)
        self.proxy = self.outrigger_with(None, arguments=["--config", path])
        client = self.client(self.proxy)
        self.assertEqual(client.get().body, b"old")
        for number in (2, 3):
            service = self.upstream(named(f"new {number}"))
            self.swap(folder, self.config(service), number)
            self.proxy.wait_events("config_reloaded", number - 1)
            self.assertEqual(client.get().body, b"new %d" % number)
        self.assertEqual(self.proxy.events("config_refused"), [])

    def test_a_link_into_another_folder_is_seen_by_looking(self):
        real = os.path.join(self.folder, "elsewhere")
        os.mkdir(real)
        real = os.path.join(real, "config.yaml")
        config = self.config(self.upstream(named("x")))
        link = os.path.join(self.folder, "link.yaml")
        os.symlink(real, link)
        with open(real, "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.proxy = self.outrigger_with(None, arguments=["--config", link])
        with open(real, "w", encoding="utf-8") as file:
            json.dump({**config, "memory_budget": "16MiB"}, file)
        self.proxy.wait_events("config_reloaded")
        self.assertEqual(self.proxy.metric("buffer_limit_bytes"), 16 << 20)

    def test_an_optional_file_that_comes_later_and_goes_again(self):
        path = os.path.join(self.folder, "late", "config.yaml")
        proxy = self.outrigger_apart("--config", path, "--optional", "--upstream", "127.0.0.1:8000")
        proxy.signal(signal.SIGHUP)
        self.assertEqual(proxy.wait_events("config_reloaded")[0]["generation"], 2)
        os.mkdir(os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"listeners": [{"address": "0.0.0.0:15001"}, {"name": "b", "address": "127.0.0.1:15002"}]}, file)
        self.assertEqual(proxy.wait_events("config_reloaded", 2)[1]["why"], "file")
        self.assertEqual(proxy.wait_events("listening", 2)[1]["address"], "127.0.0.1:15002")
        os.unlink(path)
        self.assertIn("gone", proxy.wait_events("config_refused")[0]["error"])
        self.assertEqual(proxy.events("listener_removed"), [])


class Tls(ReloadTest):
    def test_a_listener_becomes_encrypted_and_open_connections_stay(self):
        authority = self._authority()
        proxy = self.start(self.config(self.upstream(named("x"))))
        plain = self.client(proxy)
        self.assertEqual(plain.get().status, 200)
        config = self.changed()
        config["listeners"][0]["tls"] = {"cert": f"{self.folder}/late.crt", "key": f"{self.folder}/late.key"}
        self.assertIn("late.crt", self.refused(json.dumps(config))[0]["error"])
        for source, name in ((authority.pair.cert, "late.crt"), (authority.pair.key, "late.key")):
            with open(source, "rb") as file, open(f"{self.folder}/{name}", "wb") as copied:
                copied.write(file.read())
        proxy.wait_metric("config_last_reload_successful", 1)
        self.assertEqual(plain.get().status, 200)
        context = authority.client_context(protocols=["http/1.1"])
        with context.wrap_socket(socket.create_connection(proxy.address), server_hostname="localhost") as sock:
            peer = harness.Peer(sock)
            peer.send(request())
            self.assertIn(b"200", peer.read_until(b"\r\n"))
        self.reload(self.config(self.upstream(named("plain again"))))
        self.assertEqual(self.client(proxy).get().body, b"plain again")


class AtLoad(ReloadTest):
    """0 failed requests and 0 cut streams, whatever is changed."""

    RELOADS = 100 if IS_FULL else 20
    RATE = 1000 if IS_FULL else 100 if harness.IS_INSTRUMENTED else 300  # requests per second
    STREAMS = 50
    SENDERS = 10

    def variant(self, number):
        config = copy.deepcopy(self.base)
        config["memory_budget"] = f"{48 + number % 3}MiB"
        config["upstreams"][0]["endpoints"] = [self.mocks[number % 2].address]
        config["listeners"][0]["limits"] = {"headers": f"{30 + number % 5}KiB"}
        if number % 3 == 1:
            config["listeners"].append({"name": "more", "address": "127.0.0.1:0"})
        config["routes"] = [{"name": f"r{number % 4}", "match": {"prefix": "/echo"}}]
        config["filters"] = [
            "idempotency",
            {"rate_limit": {"rules": [{"name": "all", "key": [], "rate": f"{50000 + number}/s", "burst": 50000}]}},
            "retry",
            {"breaker": {"window": f"{10 + number % 2}s", "min_requests": 1000}},
            {"timeout": {"overall": f"{60 + number}s"}}]
        return config

    def send(self, number):
        client = self.connect(self.proxy)
        interval = self.SENDERS / self.RATE
        due = time.monotonic() + interval * number / self.SENDERS
        while not self.is_over.is_set():
            time.sleep(max(0, due - time.monotonic()))
            due += interval
            try:
                reply = client.get("/echo")
                self.sent[number] += 1
                if reply.status != 200 or reply.is_cut:
                    self.failures.append(repr(reply))
            except (OSError, EOFError) as error:
                self.failures.append(repr(error))
                client = self.connect(self.proxy)
        client.close()

    def stream(self):
        body = json.dumps({"model": "mock-1", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
        fault = [("x-mock-fault", "ttft:10ms;itl:100ms;tokens:40"), ("content-type", "application/json")]
        while not self.is_over.is_set():
            client = self.connect(self.proxy)
            try:
                client.send(request("POST", "/v1/chat/completions", body, fault))
                client.read_to_done()
                self.streamed.append(1)
            except (OSError, EOFError) as error:
                self.failures.append(f"a stream: {error!r}")
            client.close()

    def test_reloads_at_load(self):
        self.mocks = [self.mock_ai("--jitter", "0") for _ in range(2)]
        self.base = self.config(self.mocks[0], workers=2, log={"access": "errors"})
        self.start(self.variant(0))
        self.is_over, self.failures, self.streamed = threading.Event(), [], []
        self.sent = [0] * self.SENDERS
        threads = [threading.Thread(target=self.send, args=(i,)) for i in range(self.SENDERS)]
        threads += [threading.Thread(target=self.stream) for _ in range(self.STREAMS)]
        self.addCleanup(lambda: [thread.join() for thread in threads])
        self.addCleanup(self.is_over.set)
        for thread in threads:
            thread.start()
        began = time.monotonic()
        for number in range(1, self.RELOADS + 1):
            self.reload(self.variant(number))
        elapsed = time.monotonic() - began
        self.is_over.set()
        for thread in threads:
            thread.join()
        self.assertEqual(self.failures, [])
        self.assertEqual(self.generation(), self.RELOADS + 1)
        self.assertGreaterEqual(len(self.streamed), self.STREAMS)
        self.assertGreater(sum(self.sent), self.RATE * elapsed / 4, "there was load")
        self.assert_idle(self.proxy)
        self.proxy.wait_metric("downstream_connections", 0)
        print(f"{self.RELOADS} reloads in {elapsed:.1f} s: 0 of {sum(self.sent)} requests and "
              f"0 of {len(self.streamed)} streams failed")


if __name__ == "__main__":
    unittest.main()
