"""The two readers the durability test trusts: the text format, and times and numbers of the API."""

import math
import unittest

import client
import exposition

TEXT = '''# HELP requests Some \\ text with "quotes".
# TYPE requests counter
requests{method="GET",path="/a{b}"} 5 1700000000000
requests{path="\\\\back\\"quote\\nline" , method = "POST",} 1e+06

# TYPE latency summary
latency{quantile="0.5"} NaN
latency_sum 1.5e-05
latency_count{job=""} 3
# TYPE size histogram
size_bucket{le="+Inf"} +Inf
untyped_metric -0
'''


class ExpositionTest(unittest.TestCase):
    def test_names_labels_types_and_values(self):
        found = exposition.parse(TEXT)
        self.assertEqual(
            [(dict(labels), kind) for labels, kind, _ in found],
            [
                ({"__name__": "requests", "method": "GET", "path": "/a{b}"}, "counter"),
                ({"__name__": "requests", "method": "POST", "path": '\\back"quote\nline'}, "counter"),
                ({"__name__": "latency", "quantile": "0.5"}, "summary"),
                ({"__name__": "latency_sum"}, "summary"),
                ({"__name__": "latency_count"}, "summary"),
                ({"__name__": "size_bucket", "le": "+Inf"}, "histogram"),
                ({"__name__": "untyped_metric"}, ""),
            ])
        values = [value for _, _, value in found]
        self.assertEqual(values[:2], [5.0, 1e6])
        self.assertTrue(math.isnan(values[2]))
        self.assertEqual(values[5], math.inf)
        self.assertEqual(math.copysign(1, values[6]), -1)

    def test_what_does_not_parse_is_an_error(self):
        for line in ("{a=\"b\"} 1", "m{a=b} 1", "m{a=\"b\" 1", "m", "m{a=\"b\"}", "m x", "m 1 2 3"):
            with self.assertRaises(ValueError, msg=line):
                exposition.parse(line)


class ClientTest(unittest.TestCase):
    def test_times_come_back_as_they_went(self):
        for moment in (0, 1, 999, 1700000000123, 1700000000000, -1):
            self.assertEqual(client.from_rfc3339(client.to_rfc3339(moment)), moment)
        self.assertEqual(client.from_rfc3339("2023-11-14T22:13:20Z"), 1700000000000)
        self.assertEqual(client.from_rfc3339("2023-11-14T22:13:20.5Z"), 1700000000500)

    def test_a_time_finer_than_it_was_sent_is_an_error(self):
        for text in ("2023-11-14T22:13:20.0001Z", "2023-11-14T22:13:20+00:00", "yesterday"):
            with self.assertRaises(ValueError, msg=text):
                client.from_rfc3339(text)

    def test_a_value_json_cannot_carry_is_not_sent(self):
        with self.assertRaises(ValueError):
            client.ingest_body([((("__name__", "m"),), "gauge", 0, math.nan)])


if __name__ == "__main__":
    unittest.main()
