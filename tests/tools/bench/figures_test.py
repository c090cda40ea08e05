import unittest

import figures
import targets


def samples_of(**cpu_by_peer):
    return {"get": {peer: [None if cpu is None else {"cpu_us": cpu} for cpu in rounds]
                    for peer, rounds in cpu_by_peer.items()}}


class FiguresTest(unittest.TestCase):
    def test_median_leaves_out_what_is_missing(self):
        self.assertEqual(figures.median([3, None, 1, 2]), 2)
        self.assertIsNone(figures.median([None]))
        self.assertIsNone(figures.median([]))

    def test_ratio_is_formed_inside_each_round(self):
        # The machine was twice as slow in the second round and thrice in the third.
        samples = samples_of(a=[12, 24, 36], b=[10, 20, 30])
        self.assertAlmostEqual(figures.ratio(samples, "get", "a", "b"), 1.2)

    def test_ratio_uses_only_rounds_where_both_count(self):
        samples = samples_of(a=[12, None, 90], b=[10, 1, None])
        self.assertAlmostEqual(figures.ratio(samples, "get", "a", "b"), 1.2)

    def test_figures_of_what_was_not_measured_are_missing(self):
        self.assertIsNone(figures.ratio(samples_of(a=[1]), "get", "a", "b"))
        self.assertIsNone(figures.typical({}, "get", "a", "cpu_us"))
        self.assertIsNone(figures.spread(samples_of(a=[1]), "get", "a"))

    def test_added_subtracts_inside_each_round(self):
        samples = samples_of(a=[5, 105, 8], b=[1, 100, 2])
        self.assertEqual(figures.added(samples, "get", "a", "b", "cpu_us"), 5)

    def test_spread_is_relative_to_the_median(self):
        self.assertAlmostEqual(figures.spread(samples_of(a=[9, 10, 12]), "get", "a"), 0.3)


class TargetsTest(unittest.TestCase):
    def evaluate(self, ours):
        samples = samples_of(**{"outrigger": [ours], "relay": [10], "haproxy": [16],
                                "haproxy-guarded": [20]})
        return {t.what: t for t in targets.evaluate(samples, {}, {})}

    def test_a_ratio_at_its_limit_is_met_and_above_it_is_missed(self):
        self.assertEqual(self.evaluate(11)["CPU per GET ÷ haproxy-guarded"].verdict, "met")
        self.assertEqual(self.evaluate(12.5)["CPU per GET ÷ relay"].verdict, "met")
        self.assertEqual(self.evaluate(12.6)["CPU per GET ÷ relay"].verdict, "MISSED")

    def test_what_was_not_measured_is_neither_met_nor_missed(self):
        found = self.evaluate(11)
        self.assertEqual(found["idle RSS"].verdict, "not measured")
        self.assertEqual(found["SSE delay added at p99 (limit: haproxy's)"].verdict, "not measured")
        self.assertTrue(targets.all_met(found.values(), []))

    def test_beside_a_ratio_over_a_proxy_stands_the_relays(self):
        found = self.evaluate(11)
        self.assertAlmostEqual(found["CPU per GET ÷ haproxy"].floor, 0.625)
        self.assertIsNone(found["CPU per GET ÷ relay"].floor)
        self.assertIsNone(found["CPU per TLS 1.3 keep-alive GET ÷ haproxy"].floor)

    def test_over_http2_the_floor_is_the_http2_relays(self):
        samples = {"http2": {"outrigger": [{"cpu_us": 8}], "relay": [], "http2-relay": [{"cpu_us": 6}],
                             "nghttpx": [{"cpu_us": 10}]}}
        found = {t.what: t for t in targets.evaluate(samples, {}, {})}
        self.assertAlmostEqual(found["CPU per HTTP/2 GET ÷ nghttpx"].value, 0.8)
        self.assertAlmostEqual(found["CPU per HTTP/2 GET ÷ nghttpx"].floor, 0.6)

    def test_one_missed_target_is_enough(self):
        self.assertFalse(targets.all_met(self.evaluate(12.6).values(), []))


if __name__ == "__main__":
    unittest.main()
