"""The comparison with Prometheus sees each kind of planted difference, and forgives only what it says it forgives."""

import json
import random
import unittest

import promql_compare
import promql_corpus
import promql_data
import promql_random
import remote_write


def answer(result, kind="vector", status=200, **more):
    return promql_compare.Answer(status, json.dumps({
        "status": "success", "data": {"resultType": kind, "result": result}, **more}).encode())


def failure(status, kind, words="no"):
    return promql_compare.Answer(status, json.dumps({"status": "error", "errorType": kind, "error": words}).encode())


def sample(value, at=1, **labels):
    return {"metric": labels, "value": [at, value]}


def series(values, **labels):
    return {"metric": labels, "values": values}


def difference(ours, theirs, query="up", is_range=False):
    return promql_compare.difference(query, is_range, ours, theirs)


class Compare(unittest.TestCase):
    def test_values(self):
        for ours, theirs, same in (
                ("1", "1", True), ("NaN", "NaN", True), ("+Inf", "+Inf", True), ("-0", "-0", True),
                ("1.0000000001", "1", True), ("0.30000000000000004", "0.3", True), ("1e-310", "1.0000000000001e-310", True),
                ("1.00001", "1", False), ("1.00000001", "1", False), ("0", "1e-300", False), ("-0", "0", False),
                ("NaN", "1", False), ("1", "NaN", False), ("+Inf", "-Inf", False), ("1e308", "+Inf", False),
                ("1e307", "+Inf", False), ("1e308", "-Inf", False), ("+Inf", "1e308", False), ("-1", "1", False),
                ("1e3", "1000", False), ("1.0", "1", False), ("inf", "+Inf", False), ("nan", "NaN", False)):
            found = difference(answer([sample(ours)]), answer([sample(theirs)]))
            self.assertEqual(found is None, same, (ours, theirs, found))
        for ours, theirs, query, same in (
                ("-0", "0", "quantile(0, up)", True), ("-0", "0", "min(up)", False), ("-0", "0", "min_over_time(up[5m])", False),
                ("-Inf", "+Inf", "1 / quantile(0, up)", True), ("-Inf", "+Inf", "quantile(0, up)", False),
                ("-Inf", "+Inf", "1 / min(up)", False), ("1e308", "+Inf", "sinh(up)", True),
                ("1e307", "+Inf", "exp(up)", False), ("-1e308", "+Inf", "exp(up)", False), ("+Inf", "1e308", "exp(up)", False),
                ("1e308", "+Inf", "up ^ 9", False), ("0", "1e-16", "stddev(cos(up))", True), ("0", "1e-14", "cos(up)", False),
                ("0.00009079985986933496", "0.00009079985996285345", "acos(tanh(up))", True),
                ("0.00009", "0.000091", "acos(up)", False),
                ("0.00009079985986933496", "0.00009079985996285345", "1 + acos(up)", False), ("1e-9", "2e-9", "asin(up)", False),
                ("0", "1e-16", "stddev(up)", False), ("0", "1e-16", "cosh(up)", False), ("0", "1e-16", "a atan2 b", True)):
            found = difference(answer([sample(ours)]), answer([sample(theirs)]), query)
            self.assertEqual(found is None, same, (ours, theirs, query, found))
        self.assertIsNotNone(difference(promql_compare.Answer(200, b'{"status":"success","data":{"resultType":"vector",'
                                                              b'"result":[{"metric":{},"value":[1,1]}]}}'), answer([sample("2")])))

    def test_series_labels_and_times(self):
        good = [sample("1", job="a"), sample("2", job="b")]
        self.assertIsNone(difference(answer(good), answer(good)))
        self.assertIsNone(difference(answer(good[::-1]), answer(good)))
        for bad in (good[:1], good + [sample("3")], [sample("1", job="a"), sample("2", job="c")],
                    [sample("1", job="a"), sample("2", job="b", more="")], good + good[:1],
                    [sample("1", job="a", __name__="up"), sample("2", job="b")], [],
                    [sample("1", at=1.001, job="a"), sample("2", job="b")], [sample("1", at=1.5, job="a"), good[1]]):
            self.assertIsNotNone(difference(answer(bad), answer(good)), bad)
        good = [series([[1, "1"], [2, "2"]], job="a"), series([[2, "2"]], job="b")]
        self.assertIsNone(difference(answer(good, "matrix"), answer(good, "matrix"), is_range=True))
        for bad in (good[::-1], [series([[1, "1"]], job="a"), good[1]], [series([[2, "2"], [1, "1"]], job="a"), good[1]],
                    [series([[1, "1"], [2, "3"]], job="a"), good[1]], [series([[1, "1"], [2, "2"], [3, "3"]], job="a"), good[1]]):
            self.assertIsNotNone(difference(answer(bad, "matrix"), answer(good, "matrix"), is_range=True), bad)

    def test_known_errors_of_prometheus(self):
        for query, known in (("(up @ 5)[1m:] offset -1m", True), ("rate((1 + up @ end())[1m:10s] @ 7 offset -1m)", True),
                             ("(up @ 5)[1m:] offset 1m", False), ("up[1m:] offset -1m", False), ("up[1m] @ 5 offset -1m", False)):
            self.assertEqual(promql_compare.UNADJUSTED.search(query) is not None, known, query)

    def test_types_and_scalars(self):
        self.assertIsNone(difference(answer([1, "2"], "scalar"), answer([1, "2"], "scalar")))
        self.assertIsNotNone(difference(answer([1, "2"], "string"), answer([1, "2"], "scalar")))
        self.assertIsNotNone(difference(answer([1, "3"], "scalar"), answer([1, "2"], "scalar")))
        self.assertIsNotNone(difference(answer([2, "2"], "scalar"), answer([1, "2"], "scalar")))
        self.assertIsNotNone(difference(answer([]), answer([], "matrix")))
        self.assertIsNotNone(difference(answer([1, "a"], "string"), answer([1, "b"], "string")))

    def test_errors_by_class(self):
        self.assertIsNone(difference(failure(400, "bad_data", "a"), failure(400, "bad_data", "b")))
        for bad in (failure(422, "bad_data"), failure(400, "execution"), answer([]),
                    promql_compare.Answer(500, b"oops"), promql_compare.Answer(400, b"[]")):
            self.assertIsNotNone(difference(bad, failure(400, "bad_data")))
        self.assertIsNotNone(difference(failure(400, "bad_data"), answer([])))
        self.assertIsNone(difference(answer(["1", "a"], "string"), failure(422, "execution", promql_compare.INTERNAL[0] + ": x")))
        self.assertIsNotNone(difference(answer([], warnings=["w"]), answer([])))
        self.assertIsNotNone(difference(promql_compare.Answer(200, b""), answer([])))

    def test_order_where_it_is_defined(self):
        rising, falling = [sample("1", a="1"), sample("2", a="2")], [sample("2", a="2"), sample("1", a="1")]
        ties = [sample("1", a="1"), sample("1", a="2")]
        zeros = [sample("0", a="1"), sample("-0", a="2")]
        self.assertIsNone(difference(answer(zeros[::-1]), answer(zeros), "sort(up)"))
        for query, ordered in (
                ("sort(up)", True), (" sort_desc (up)", True), ('sort(up{a=")"})', True), ("topk(2, up)", True),
                ("sort(up) + 1", False), ("sort(a) + sort(b)", False), ("topk by (a) (2, up)", False), ("sorted(up)", False),
                ("up", False), ("topk(1, up) by (job)", False)):
            found = difference(answer(falling), answer(rising), query)
            self.assertEqual(found is not None, ordered, query)
            self.assertEqual(difference(answer(ties[::-1]), answer(ties), query) is not None, ordered, query)
        many = ties + [sample("1", b=str(number)) for number in range(11)]
        self.assertIsNone(difference(answer(many[::-1]), answer(many), "sort(up)"))

    def test_where_prometheus_differs_from_itself(self):
        def one(a, b):
            return answer([sample(a, x="1"), sample(b, x="2")])

        varies = promql_compare.varies
        self.assertFalse(varies(one("1", "3"), [one("1", "2"), one("1", "2")]))
        self.assertTrue(varies(one("1", "3"), [one("1", "2"), one("1", "4")]))
        self.assertFalse(varies(one("1", "3"), [one("1", "2"), one("4", "2")]), "another element varies")
        self.assertFalse(varies(failure(422, "execution"), [one("1", "2"), one("1", "3")]))
        self.assertTrue(varies(failure(422, "execution"), [one("1", "2"), failure(422, "execution")]))
        # What topk() chose of equals, whichever it was.
        first, second, third = ([sample("1", x=x), sample("2", x="9")] for x in "123")
        self.assertTrue(varies(answer(third), [answer(first), answer(second)]))
        self.assertFalse(varies(answer(third), [answer(first), answer(first)]))
        third[0]["value"] = [1, "1.1"]
        self.assertFalse(varies(answer(third), [answer(first), answer(second)]))

    def test_what_is_ill_conditioned(self):
        def one(a, b):
            return answer([sample(a, x="1"), sample(b, x="2")])

        ill = promql_compare.ill_conditioned
        self.assertTrue(ill(one("1", "2e-9"), one("1", "1e-9"), [one("1", "1.0005e-9"), one("1", "0.9e-9")]))
        self.assertFalse(ill(one("1", "2e-9"), one("1", "1e-9"), [one("1", "1.0005e-9")]), "the noise does much less")
        self.assertFalse(ill(one("2", "1e-9"), one("1", "1e-9"), [one("1", "2e-9")]), "another element is")
        self.assertTrue(ill(one("1", "5e9"), one("1", "0.5"), [one("1", "0.6")]), "nothing is left of it")
        self.assertTrue(ill(answer([]), answer([sample("1")]), [answer([])]))
        self.assertFalse(ill(answer([]), answer([sample("1")]), [answer([sample("1")])]))
        self.assertTrue(ill(one("1", "NaN"), one("1", "2"), [one("1", "NaN")]))
        self.assertFalse(ill(one("1", "NaN"), one("1", "2"), [one("1", "2.00000000000001")]))
        self.assertFalse(ill(failure(422, "execution"), one("1", "2"), [one("1", "3")]))
        first, second, third = ([sample("1", x=x)] for x in "123")
        self.assertTrue(ill(answer(third), answer(first), [answer(second)]))
        self.assertFalse(ill(answer(third), answer(first), [answer(first)]))

    def test_listings(self):
        def listing(data):
            return promql_compare.Answer(200, json.dumps({"status": "success", "data": data}, separators=(",", ":")).encode())

        def raw(text, status=200, **headers):
            return promql_compare.Answer(status, text.encode(), headers)

        escaped, plain = (raw('{"status":"success","data":["%s"]}' % text) for text in ("\\u003c", "<"))
        self.assertIsNotNone(promql_compare.api_difference(plain, escaped))
        self.assertIsNone(promql_compare.api_difference(escaped, escaped))
        self.assertIsNone(promql_compare.api_difference(raw("a", 405, Allow="GET", Date="1"), raw("b", 405, Allow="GET")))
        self.assertIsNotNone(promql_compare.api_difference(raw("a", 405, Allow="GET"), raw("a", 405, Allow="POST")))
        self.assertIsNotNone(promql_compare.api_difference(raw("", 301, Location="/a"), raw("", 301, Location="/b")))
        good = [{"a": "1"}, {"b": "2"}]
        self.assertIsNone(promql_compare.api_difference(listing(good[::-1]), listing(good)))
        self.assertIsNone(promql_compare.api_difference(listing(["a", "b"]), listing(["a", "b"])))
        self.assertIsNone(promql_compare.api_difference(listing(["a", "b"]), listing(["b"]), may_have_more=True))
        self.assertIsNotNone(promql_compare.api_difference(listing(["a"]), listing(["a", "b"]), may_have_more=True))
        for ours, theirs in ((good[:1], good), (good + good[:1], good), (["b", "a"], ["a", "b"]), ([], ["a"]), ([], None),
                             ("a", "b"), ({"groups": []}, {}), (None, [])):
            self.assertIsNotNone(promql_compare.api_difference(listing(ours), listing(theirs)), (ours, theirs))


class Harness(unittest.TestCase):
    def test_alternatives(self):
        self.assertEqual(promql_corpus.expand("{{a|b}}({{x\\|y|}})"), ["a(x|y)", "a()", "b(x|y)", "b()"])
        self.assertEqual(promql_corpus.expand('up{{{a|b}}="x"}'), ['up{a="x"}', 'up{b="x"}'])
        self.assertEqual(promql_corpus.expand("up{a=~\"b|c\"}"), ["up{a=~\"b|c\"}"])

    def test_same_seed_same_bytes_and_queries(self):
        first, second = promql_data.Data(7), promql_data.Data(7)
        self.assertEqual(list(first.requests()), list(second.requests()))
        self.assertNotEqual(list(first.requests()), list(promql_data.Data(8).requests()))
        one, two = (promql_random.Generator(random.Random(7), data) for data in (first, second))
        self.assertEqual([one.query() for _ in range(300)], [two.query() for _ in range(300)])

    def test_samples_are_in_order(self):
        for seed in range(5):
            for labels, samples in promql_data.Data(seed).series.items():
                times = [at for at, _ in samples]
                self.assertEqual(times, sorted(set(times)), labels)
                self.assertEqual(list(labels), sorted(dict(labels).items()))

    def test_remote_write_bytes(self):
        body = remote_write.write_request([([("__name__", "a")], [(300, 1.0), (-1, remote_write.STALE)])])
        content = bytes.fromhex(
            "0a2a" "0a0d" "0a085f5f6e616d655f5f" "120161" "120c" "09000000000000f03f" "10ac02"
            "1214" "09020000000000f07f" "10ffffffffffffffffff01")
        content = content.replace(b"\x0a\x2a", b"\x0a" + bytes([len(content) - 2]), 1)
        self.assertEqual(body, bytes([len(content), 0xF4, len(content) - 1, 0]) + content)
        self.assertEqual(len(remote_write.snappy(bytes(70000))), 3 + 2 * 3 + 70000)


if __name__ == "__main__":
    unittest.main()
