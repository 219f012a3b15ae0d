"""The series that tools/bench promql asks about, as bodies of remote write in the order of time.

Two sets, seeded, so that a run can be repeated but for its times:

- a fleet for some hours: 100 hosts of five jobs, 100 series each, a sample each 15 s. Counters that start anew now and
  then, integers and hundredths of a second; buckets of histograms; gauges that wander.
- disks for some days: few series, a sample each 15 s too.

In slices of half an hour, all series of a slice before the next one, because Prometheus takes nothing that is an hour
older than the newest; a request has about ten thousand samples, the size vmagent sends.
"""

import itertools
import os
import random
import struct
import sys

CHECKOUT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(CHECKOUT, "tests", "e2e"))

import remote_write  # noqa: E402  pylint: disable=wrong-import-position

STEP_S = 15
SLICE_STEPS = 120
SERIES_OF_REQUEST = 80
BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")
JOBS = ("api", "cart", "search", "payment", "worker")


def fleet_labels(hosts):
    """[(kind, labels)], labels sorted; 100 for each host."""
    found = []
    for host in range(hosts):
        where = {"instance": "host-%03d:9100" % host, "job": JOBS[host % len(JOBS)], "region": "eu-central-1"}

        def add(kind, name, where=where, **labels):
            found.append((kind, sorted({"__name__": name, **where, **labels}.items())))

        for method, code in itertools.product(("GET", "POST", "PUT", "DELETE"), ("200", "201", "400", "404", "500")):
            add("requests", "http_requests_total", method=method, code=code)
        for cpu, mode in itertools.product(range(8), ("user", "system", "iowait", "idle")):
            add("seconds", "node_cpu_seconds_total", cpu=str(cpu), mode=mode)
        for handler in ("/", "/checkout"):
            # A bucket counts what the ones below it do: one series after the other, on top of the last.
            for bucket in BUCKETS:
                add("first_bucket" if bucket == BUCKETS[0] else "bucket", "http_request_duration_seconds_bucket",
                    handler=handler, le=bucket)
            add("requests", "http_request_duration_seconds_count", handler=handler)
            add("seconds", "http_request_duration_seconds_sum", handler=handler)
        for part in ("used", "free", "cached", "buffers", "active", "inactive", "slab", "mapped", "dirty", "shared"):
            add("gauge", "memory_bytes", part=part)
        for sensor in range(10):
            add("gauge", "temperature_celsius", sensor=str(sensor))
    return found


def disk_labels(disks):
    return [("gauge", sorted({"__name__": "disk_used_bytes", "device": "sd%s" % number, "job": "disks"}.items()))
            for number in range(disks)]


class Values:
    """Of one series, slice by slice."""

    def __init__(self, kind, labels, rng, below=None):
        self._kind, self._rng, self._below = kind, rng, below
        self.name = b"".join(remote_write.field(1, remote_write.field(1, key.encode()) + remote_write.field(2, value.encode()))
                             for key, value in labels)
        self._at = rng.randrange(1000, 100000) if kind == "gauge" else 0
        self._steps = {
            "requests": [rng.randrange(0, 60) for _ in range(64)],
            "seconds": [rng.randrange(0, 1500) / 100 for _ in range(64)],
            "gauge": [rng.randrange(-500, 501) / 4 for _ in range(64)],
        }.get(kind) or [rng.randrange(0, 9) for _ in range(64)]
        self.last = []

    def next(self, count):
        values = list(itertools.accumulate(self._rng.choices(self._steps, k=count), initial=self._at))[1:]
        self._at = values[-1]
        if self._kind in ("requests", "seconds"):
            values = [round(value, 2) for value in values]
            if self._rng.random() < 0.005:  # a restart
                self._at = 0
        elif self._kind == "bucket":
            values = [value + below for value, below in zip(values, self._below.last)]
        self.last = values
        return values


class Load:
    """end_s: the time of the last samples, a multiple of STEP_S."""

    def __init__(self, end_s, hosts, hours, disks, days, seed=1):
        rng = random.Random(seed)
        self._end_s = end_s
        self._days_steps = days * 86400 // STEP_S
        self._hours_steps = hours * 3600 // STEP_S
        fleet, disks = fleet_labels(hosts), disk_labels(disks)
        self.metrics = sorted({dict(labels)["__name__"] for _, labels in fleet + disks})
        self._fleet = self._series(fleet, rng)
        self._disks = self._series(disks, rng)
        self.series = len(self._fleet) + len(self._disks)
        self.samples = len(self._fleet) * self._hours_steps + len(self._disks) * self._days_steps

    @staticmethod
    def _series(labels, rng):
        found = []
        for kind, pairs in labels:
            found.append(Values(kind, pairs, rng, found[-1] if found else None))
        return found

    def requests(self):
        """Bodies of POST /api/v1/write."""
        for begin in range(0, self._days_steps, SLICE_STEPS):
            count = min(SLICE_STEPS, self._days_steps - begin)
            first_s = self._end_s - (self._days_steps - begin - 1) * STEP_S
            tails = [b"\x10" + remote_write.varint((first_s + step * STEP_S) * 1000) for step in range(count)]
            series = self._disks
            if begin >= self._days_steps - self._hours_steps:
                series = series + self._fleet
            for at in range(0, len(series), SERIES_OF_REQUEST):
                yield remote_write.snappy(b"".join(
                    self._encoded(one, tails) for one in series[at:at + SERIES_OF_REQUEST]))

    @staticmethod
    def _encoded(series, tails):
        packed = struct.pack("<%dd" % len(tails), *series.next(len(tails)))
        samples = [b"\x12" + bytes([9 + len(tail)]) + b"\x09" + packed[at * 8:at * 8 + 8] + tail
                   for at, tail in enumerate(tails)]
        return remote_write.field(1, series.name + b"".join(samples))
