import dataclasses
import json
import unittest

import bench
import counts
import h2load
import machine
import peers
import report
from processes import ProcessFailed
from workloads import BY_NAME, problem_of

STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 52.06    0.560592          28     20000           sendto
 44.02    0.473974          23     20348        12 recvfrom
  0.06    0.000613          19        32        32 connect
  0.00    0.000000           0         1           execve
------ ----------- ----------- --------- --------- ----------------
100.00    1.076846          25     40381        44 total
"""


class ParseTest(unittest.TestCase):
    def test_strace_table_with_and_without_errors(self):
        self.assertEqual(counts.parse_strace(STRACE),
                         {"sendto": 20000, "recvfrom": 20348, "connect": 32, "execve": 1})

    def test_callgrind_total(self):
        self.assertEqual(counts.parse_callgrind("events: Ir\nsummary: 1234\n\ntotals: 1234\n"), 1234)
        with self.assertRaises(ProcessFailed):
            counts.parse_callgrind("events: Ir\n")

    def test_busy_ticks_leave_idle_and_waiting_out(self):
        stat = "cpu  100 1 50 9000 30 2 3 4 77 0\ncpu0 1 2 3\n"
        self.assertEqual(machine.busy_ticks(stat), 100 + 1 + 50 + 2 + 3 + 4)

    def test_a_run_with_any_fault_does_not_count(self):
        good = {"completed": 10, "errors": 0, "non_2xx": 0}
        self.assertEqual(problem_of(good), "")
        for fault in ("errors", "non_2xx", "lost", "reconnects", "short"):
            self.assertIn(fault, problem_of({**good, fault: 1}))
        self.assertTrue(problem_of({"completed": 0}))

    def test_ports_are_never_handed_out_twice(self):
        ports = [machine.free_port() for _ in range(50)]
        self.assertEqual(len(set(ports)), len(ports))


class OptionsTest(unittest.TestCase):
    def test_quick_has_fewer_and_shorter_rounds(self):
        quick, full = bench.parse_arguments(["--quick"]), bench.parse_arguments([])
        self.assertLess(quick.rounds, full.rounds)
        self.assertLess(quick.seconds, full.seconds)
        self.assertEqual(bench.parse_arguments(["--quick", "--rounds", "9"]).rounds, 9)

    def test_missing_programs_are_named_with_a_remedy(self):
        programs = peers.Programs("r", "u", "l", "m", haproxy="", nginx="/usr/sbin/nginx")
        complaints = peers.missing(["relay", "haproxy", "nginx", "outrigger"], programs)
        self.assertEqual(len(complaints), 2)
        self.assertIn("--peers", complaints[0])
        self.assertIn("--outrigger", complaints[1])


class ConfigurationTest(unittest.TestCase):
    def setUp(self):
        programs = peers.Programs("r", "u", "l", "m", haproxy="h", nginx="n", outrigger="o")
        self.settings = peers.Settings(programs, "/folder", 8000, max_connections=9000)

    def test_guards_are_only_in_the_guarded_haproxy(self):
        plain = peers.haproxy_config(1, self.settings, False, 2)
        guarded = peers.haproxy_config(1, self.settings, True, 2)
        for guard in ("stick-table", "deny_status 429", "retry-on", "observe layer7",
                      "prometheus-exporter"):
            self.assertNotIn(guard, plain)
            self.assertIn(guard, guarded)
        for config in (plain, guarded):
            self.assertIn("http-reuse always", config)
            self.assertIn("nbthread 1", config)

    def test_the_five_filters_are_only_where_they_are_wanted(self):
        plain = peers.outrigger_config(1, 2, self.settings, has_filters=False)
        full = peers.outrigger_config(1, 2, self.settings, has_filters=True)
        self.assertIn("filters: []", plain)
        for name in ("idempotency", "rate_limit", "retry", "breaker", "timeout"):
            self.assertNotIn(name + ":", plain.replace("drain: {lame_duck: 0s, timeout: 1s}", ""))
            self.assertIn(f"  - {name}:", full)


    def test_tls_is_only_where_there_is_a_certificate(self):
        secured = dataclasses.replace(self.settings, certificate="/c.pem")
        self.assertNotIn("tls:", peers.outrigger_config(1, 2, self.settings, False))
        self.assertIn("tls: {cert: /c.pem, key: /c.pem}",
                      peers.outrigger_config(1, 2, secured, False, tls_port=3))
        self.assertNotIn("ssl", peers.haproxy_config(1, self.settings, False, 2))
        self.assertIn("bind 127.0.0.1:3 ssl crt /c.pem", peers.haproxy_config(1, secured, False, 2, tls_port=3))

    def test_the_upstream_speaks_http2_only_where_it_is_said(self):
        def texts(settings):
            return (peers.outrigger_config(1, 2, settings, True), peers.haproxy_config(1, settings, False, 2),
                    json.dumps(peers.envoy_config(1, settings)))

        grpc = dataclasses.replace(self.settings, speaks_http2=True)
        for words, plain, http2 in zip(("protocol: http2", "proto h2", '"http2_protocol_options"'),
                                       texts(self.settings), texts(grpc)):
            self.assertNotIn(words, plain)
            self.assertIn(words, http2)

    def test_envoy_takes_part_where_it_is_and_only_in_a_part(self):
        programs = peers.Programs("r", "u", "l", "m", haproxy="", nginx="")
        self.assertIn("--fetch-envoy", peers.missing(["envoy"], programs)[0])
        self.assertEqual(peers.missing(["envoy"], dataclasses.replace(programs, envoy="e")), [])
        self.assertLessEqual(set(peers.PART["envoy"]), set(BY_NAME))
        self.assertTrue(bench.parse_arguments([]).takes_all_peers)
        self.assertFalse(bench.parse_arguments(["--peers", "envoy"]).takes_all_peers)


class ReportTest(unittest.TestCase):
    def test_numbers_that_are_missing_are_shown_as_such(self):
        self.assertEqual(report.number(None), "–")
        self.assertEqual(report.number(1234.5, 1), "1,234.5")
        self.assertEqual(report.micros(1500), "2")

    def test_rows_without_a_figure_are_left_out(self):
        self.assertEqual(report.with_figures([["a", "–", "1"], ["b", "–", "–"]]), [["a", "–", "1"]])

    def test_table_is_markdown(self):
        self.assertEqual(report.table(["a", "b"], [["x", "1"]]),
                         "| a | b |\n|---|---:|\n| x | 1 |")


class H2load(unittest.TestCase):
    LINE = ("requests: {total} total, {total} started, {done} done, {good} succeeded, {failed} failed, "
            "{errored} errored, 0 timeout")

    def parse(self, **numbers):
        return h2load.parse(self.LINE.format(total=100, **numbers), 100)

    def test_a_good_run(self):
        self.assertEqual(self.parse(done=100, good=100, failed=0, errored=0),
                         {"completed": 100, "non_2xx": 0, "errors": 0})

    def test_bad_answers_and_lost_requests_count(self):
        self.assertEqual(self.parse(done=100, good=90, failed=10, errored=0)["non_2xx"], 10)
        self.assertEqual(self.parse(done=97, good=97, failed=0, errored=0)["errors"], 3)
        self.assertIsNone(h2load.parse("no such host", 100))

    def test_a_call_without_a_message_is_noticed(self):
        def parse(data_bytes):
            line = self.LINE.format(total=100, done=100, good=100, failed=0, errored=0)
            return h2load.parse(f"{line}\ntraffic: 25.34KB (25948) total, 11.94KB (12228) headers (space savings "
                                f"35.64%), 12.50KB ({data_bytes}) data\n", 100, answer_bytes=128)

        self.assertEqual(problem_of(parse(12800)), "")
        self.assertEqual(parse(12672)["short"], 128)
        self.assertIn("128 short", problem_of(parse(12672)))
        self.assertIsNone(h2load.parse(self.LINE.format(total=100, done=100, good=100, failed=0, errored=0), 100, 128))

    def test_a_call_is_one_message_of_grpc(self):
        self.assertEqual(h2load.Call(3, 5).body(), b"\0\0\0\0\3aaa")
        self.assertEqual(h2load.Call(3, 5).bytes, 8)


if __name__ == "__main__":
    unittest.main()
