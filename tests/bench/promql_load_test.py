"""bench/workload/promql_load.py sends what it says: so many samples, in the order of time, and buckets that add up."""

import os
import struct
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "bench", "workload"))

import promql_load  # noqa: E402  pylint: disable=wrong-import-position

END_S = 1_763_424_000


def varint(data, at):
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return number, at


def fields(data):
    """[(number, content)] of a message without nested ones: an integer, 8 bytes or bytes."""
    found, at = [], 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            content, at = varint(data, at)
        elif tag & 7 == 1:
            content, at = data[at:at + 8], at + 8
        else:
            size, at = varint(data, at)
            content, at = data[at:at + size], at + size
        found.append((tag >> 3, content))
    return found


def unpacked(body):
    """A Snappy block of literals, which is all remote_write.py writes."""
    size, at = varint(body, 0)
    parts = []
    while at < len(body):
        length = struct.unpack_from("<H", body, at + 1)[0] + 1
        parts.append(body[at + 3:at + 3 + length])
        at += 3 + length
    whole = b"".join(parts)
    assert len(whole) == size
    return whole


def series_of(body):
    """[(labels, [(time, value)])]."""
    for _, series in fields(unpacked(body)):
        labels, samples = {}, []
        for number, content in fields(series):
            if number == 1:
                name, value = (text.decode() for _, text in fields(content))
                labels[name] = value
            else:
                value, at = (part for _, part in fields(content))
                samples.append((at, struct.unpack("<d", value)[0]))
        yield labels, samples


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.load = promql_load.Load(END_S, hosts=2, hours=3, disks=3, days=1)
        cls.samples = {}
        cls.newest = []
        for body in cls.load.requests():
            times = []
            for labels, samples in series_of(body):
                cls.samples.setdefault(tuple(sorted(labels.items())), []).extend(samples)
                times += [at for at, _ in samples]
            cls.newest.append((min(times), max(times)))

    def test_as_many_as_it_says(self):
        self.assertEqual(self.load.series, 2 * 100 + 3)
        self.assertEqual(len(self.samples), self.load.series)
        self.assertEqual(sum(map(len, self.samples.values())), self.load.samples)
        self.assertEqual(self.load.metrics, sorted({dict(labels)["__name__"] for labels in self.samples}))

    def test_each_series_is_regular_and_ends_at_the_end(self):
        for samples in self.samples.values():
            times = [at for at, _ in samples]
            self.assertEqual(times, list(range(times[0], END_S * 1000 + 1, 15_000)))

    def test_nothing_is_half_an_hour_older_than_what_was_sent(self):
        newest = 0
        for first, last in self.newest:
            self.assertGreater(first, newest - 1_800_000)
            newest = max(newest, last)

    def test_buckets_count_what_those_below_them_do(self):
        for labels, samples in self.samples.items():
            labels = dict(labels)
            if labels.get("le", "0.005") == "0.005":
                continue
            labels["le"] = promql_load.BUCKETS[promql_load.BUCKETS.index(labels["le"]) - 1]
            below = self.samples[tuple(sorted(labels.items()))]
            for (_, value), (_, less) in zip(samples, below):
                self.assertGreaterEqual(value, less)

    def test_seeded(self):
        again = promql_load.Load(END_S, hosts=2, hours=3, disks=3, days=1)
        for body, (first, _) in zip(again.requests(), self.newest):
            for labels, samples in series_of(body):
                self.assertIn(samples[0], self.samples[tuple(sorted(labels.items()))])
            self.assertEqual(samples[0][0], first)


if __name__ == "__main__":
    unittest.main()
