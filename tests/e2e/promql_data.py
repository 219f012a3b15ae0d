"""The series that PromQL is compared over: made from a seed, the same bytes for every server.

All lie in two hours and a half around midnight at the end of a leap year's February, at fixed times, so that a query of
the corpus can name them and a seed means the same tomorrow; and so short that Prometheus, which takes only what is not
much older than what it has, keeps all in memory.
"""

import math
import random
import struct

import remote_write

ORIGIN_S = 1709247600  # 2024-02-29T23:00:00Z
SPAN_S = 9000
STALE = remote_write.STALE
OTHER_NAN = struct.pack("<Q", 0xFFF8000000000123)
REQUEST_S = 120


def labels_of(name, **labels):
    """(name, value) pairs in order; a label that is no Python word is given as label_="..."."""
    return tuple(sorted({"__name__": name, **labels}.items()))


def nudge(value, source):
    """Within 2^-49 of it."""
    if isinstance(value, bytes) or value == 0 or not math.isfinite(value):
        return value
    nudged = value * (1 + source.randint(-8, 8) * 2.0 ** -52)
    return nudged if math.isfinite(nudged) else value


class Data:
    """series: {labels: [(timestamp_ms, value)]}."""

    def __init__(self, seed):
        self.seed = seed
        self._random = random.Random(seed)
        self.series = {}
        for make in (self._requests, self._gauges, self._gaps, self._histograms, self._odd_histograms, self._extremes,
                     self._odd_labels, self._pairs, self._collisions, self._shapes):
            make()

    def _add(self, labels, samples):
        """samples: [(seconds since the origin, value)]."""
        self.series[labels] = [(ORIGIN_S * 1000 + round(at * 1000), value) for at, value in samples]

    def _grid(self, step_s, begin_s=0.0, end_s=SPAN_S, jitter_s=0.0):
        at = begin_s
        while at < end_s:
            yield at + (round(self._random.uniform(-jitter_s, jitter_s), 3) if jitter_s else 0)
            at += step_s

    def _counter(self, grid, most, resets=0.004, begin=None):
        value = self._random.randrange(1000) if begin is None else begin
        for at in grid:
            value = 0 if self._random.random() < resets else value
            value += self._random.randrange(most + 1)
            yield at, float(value)

    def _requests(self):
        for job, instances in (("api", 3), ("web", 2)):
            for number in range(instances):
                instance = "%s-%d:9100" % (job, number)
                shift_s = self._random.choice((0.0, 3.217, 7.5, 14.999))
                for method, codes in (("GET", ("200", "404", "500")), ("POST", ("200", "500"))):
                    for code in codes:
                        if self._random.random() < 0.9:
                            self._add(labels_of("requests_total", job=job, instance=instance, method=method, code=code),
                                      self._counter(self._grid(15, shift_s), 40 if code == "200" else 3))
                self._add(labels_of("up", job=job, instance=instance),
                          ((at, float(self._random.random() < 0.95)) for at in self._grid(15, shift_s)))

    def _gauges(self):
        for job in ("api", "web"):
            for number in range(3):
                for kind in ("heap", "stack"):
                    base = self._random.randrange(10**6, 10**9)
                    self._add(labels_of("memory_bytes", job=job, instance="%s-%d:9100" % (job, number), kind=kind),
                              ((at, float(base + self._random.randrange(base // 5))) for at in self._grid(30)))
        for room in ("attic", "cellar", "kitchen", "Kitchen"):
            phase = self._random.random() * 6
            self._add(labels_of("temperature_celsius", room=room),
                      ((at, round(18 + 25 * math.sin(at / 1700 + phase) + self._random.random(), 2))
                       for at in self._grid(60, jitter_s=4)))

    def _gaps(self):
        """Around the lookback of five minutes, with and without staleness markers. Samples every minute."""
        def gauge(kind, spans, stale=False):
            samples = []
            for begin_s, end_s in spans:
                samples += [(at, round(self._random.uniform(0, 50), 1)) for at in self._grid(60, begin_s, end_s)]
                if stale:
                    samples.append((samples[-1][0] + 60, STALE))
            self._add(labels_of("gappy", kind=kind), samples)

        gauge("whole", [(0, SPAN_S)])
        gauge("holes", [(0, 1200), (1440.0, 2400), (2640.001, 3600), (4000, 5000), (7000, SPAN_S)])
        gauge("edges", [(0, 601), (900, 1501), (1800.001, 2401), (2699.999, 3001)])  # 5 min, 1 ms more, 1 ms less
        gauge("late", [(3600, SPAN_S)])
        gauge("vanishes", [(0, 3600)])
        gauge("ends_stale", [(0, 3600)], stale=True)
        gauge("comes_and_goes", [(begin, begin + 700) for begin in range(0, SPAN_S, 1300)], stale=True)
        gauge("once", [(3600, 3601)])
        gauge("once_stale", [(3600, 3601)], stale=True)
        gauge("twice", [(3600, 3661)])
        flicker = [(at, STALE if self._random.random() < 0.4 else float(number))
                   for number, at in enumerate(self._grid(30))]
        self._add(labels_of("gappy", kind="flickers"), flicker)
        self._add(labels_of("edge"), [(0, 1.0), (300, 2.0), (600, 3.0), (1200, 4.0), (1800.001, 5.0), (3600, 6.0),
                                      (3900, STALE), (4200, 7.0), (4200.001, 8.0), (4200.002, STALE), (4500, 9.0)])
        self._add(labels_of("gappy_total", kind="resets"), [
            (at, value) for number, (at, value) in enumerate(self._counter(self._grid(15), 9, 0.05))
            if number % 40 < 30])
        self._add(labels_of("gappy_total", kind="restarts"), [
            (at, STALE if number % 50 == 49 else value)
            for number, (at, value) in enumerate(self._counter(self._grid(15), 9, 0.02, begin=0))])

    def _histogram(self, name, bounds, labels, grid, rate):
        """Cumulative buckets; `bounds` are texts, in order."""
        counts = [0.0] * len(bounds)
        rows = []
        total = 0.0
        for at in grid:
            if self._random.random() < 0.003:
                counts, total = [0.0] * len(bounds), 0.0
            for _ in range(self._random.randrange(rate + 1)):
                value = self._random.expovariate(3)
                total += value
                for index, bound in enumerate(bounds):
                    counts[index] += value <= float(bound.replace("+", ""))
            rows.append((at, list(counts), total))
        for index, bound in enumerate(bounds):
            self._add(labels_of(name + "_bucket", le=bound, **labels), [(at, row[index]) for at, row, _ in rows])
        self._add(labels_of(name + "_sum", **labels), [(at, total) for at, _, total in rows])
        self._add(labels_of(name + "_count", **labels), [(at, row[-1]) for at, row, _ in rows])

    def _histograms(self):
        bounds = ("0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf")
        for job, instance in (("api", "api-0:9100"), ("api", "api-1:9100"), ("web", "web-0:9100")):
            self._histogram("latency_seconds", bounds, {"job": job, "instance": instance}, self._grid(15), 8)

    def _odd_histograms(self):
        """One sample a minute of what no client should send. A bound that is NaN is left out: where Prometheus sorts it to
        hangs on the order of the others."""
        inf, nan = math.inf, math.nan
        for shape, buckets in {
                "no_inf": {"0.1": 1, "1": 3, "10": 7},
                "only_inf": {"+Inf": 9},
                "one_bound": {"1": 4, "+Inf": 9},
                "falls": {"0.1": 5, "0.2": 3, "0.5": 8, "1": 7, "+Inf": 10},
                "empty": {"0.1": 0, "1": 0, "+Inf": 0},
                "gap": {"0.1": 2, "1": 2, "2": 2, "5": 8, "+Inf": 8},
                "all_above": {"0.1": 0, "1": 0, "+Inf": 6},
                "negative": {"-10": 1, "-1": 4, "0": 6, "1": 9, "+Inf": 10},
                "all_negative": {"-5": 3, "-1": 4, "+Inf": 4},
                "same_bound": {"1": 2, "1.0": 3, "1e0": 1, "2": 5, "+Inf": 6, "Inf": 7},
                "no_number": {"0.5": 2, "high": 3, "": 9, "1": 5, "+Inf": 6},
                "minus_inf": {"-Inf": 1, "0": 3, "1": 5, "+Inf": 8},
                "nan_count": {"0.5": 1, "1": nan, "2": 4, "+Inf": 6},
                "nan_total": {"0.5": 1, "1": 3, "+Inf": nan},
                "inf_count": {"0.5": 1, "1": 3, "+Inf": inf},
                "forms": {"0x1p-1": 1, "1_0": 2, "5e-1": 3, "+1": 4, "1e3": 5, "infinity": 8},
                "fractions": {"0.1": 0.25, "0.5": 0.75, "+Inf": 1.5},
                "huge": {"1e300": 1e300, "1e308": 1e308, "+Inf": 1.5e308},
        }.items():
            for bound, count in buckets.items():
                labels = dict(shape=shape, **({"le": bound} if bound else {}))
                self._add(labels_of("odd_bucket", **labels), [(at, float(count)) for at in self._grid(60)])

    def _extremes(self):
        for text in ("NaN", "Inf", "-Inf", "0", "-0.0", "1.7976931348623157e308", "-1e308", "2.3e-308", "1e-300",
                     "9007199254740993", "9223372036854775807", "-9223372036854775808", "1e21", "123456789.123456789",
                     "0.1", "1e-7", "1000000", "100000000000000000000", "-1.5", "2.5"):
            self._add(labels_of("extreme", value=text), [(at, float(text)) for at in self._grid(60)])
        # By themselves, for ln() and log10() of Prometheus on x86 take them all for 2^-1023: Go's error, not a definition.
        for text in ("5e-324", "-1e-310", "2.225073858507201e-308"):
            self._add(labels_of("subnormal", value=text), [(at, float(text)) for at in self._grid(60)])
        self._add(labels_of("extreme", value="other NaN"), [(at, OTHER_NAN) for at in self._grid(60)])
        for kind, values in {
                "infs": (math.inf, -math.inf, 1.0), "nans": (math.nan, 1.0, 2.0, 3.0), "signs": (0.0, -0.0, 1.0, -1.0),
                "up_inf": (1.0, 2.0, math.inf), "huge": (1e308, -1e308, 1.7e308), "tiny": (3e-308, 0.0, 1e-300),
                "precise": (1e16, 1.0, -1e16, 0.1), "nan_first": (math.nan, math.nan, 5.0),
        }.items():
            self._add(labels_of("mixed", kind=kind), [
                (at, self._random.choice(values)) for at in self._grid(30)])

    def _odd_labels(self):
        texts = ["plain", "", " ", "UPPER", "über", "日本語", "a\u0301", "\U0001F600", 'quo"te', "back\\slash",
                 "single'quote", "back`tick", "line\nbreak", "tab\there", "nul\0nul", "a.b", "axb", "a+b", "a|b",
                 "(group)", "[set]", "^anchor$", "{brace}", "a\nb", "x" * 300, "\x7f", "=", "0", "-1", "1e3", "true"]
        for number, text in enumerate(texts):
            # An empty value is no label: that series has only the other one.
            labels = {"number": "%02d" % number, **({"text": text} if text else {})}
            self._add(labels_of("odd", **labels), [(at, number + round(at / 1000, 3)) for at in self._grid(60)])
        for name in ("_", "__hidden", "A", "a1", "_9", "le", "job", "on", "by", "offset", "and", "sum", "inf", "nan",
                     "bool", "start", "ignoring", "group_left", "without", "atan2", "quantile"):
            self._add(labels_of("names", **{name: "x"}), [(at, float(len(name))) for at in self._grid(60)])
        for name in ("job:requests:rate5m", ":colon", "_under", "sum", "on", "NaN_like", "inf", "offset", "start"):
            self._add(labels_of(name, kind="name"), [(at, at / 100 + len(name)) for at in self._grid(60)])

    def _pairs(self):
        """For vector matching: the same labels under two names, one to many, and what may not be matched."""
        for device in ("sda", "sdb", "sdc"):
            for host in ("h1", "h2"):
                total = float(self._random.randrange(10**9, 10**11))
                self._add(labels_of("disk_total_bytes", device=device, host=host),
                          [(at, total) for at in self._grid(60)])
                if (device, host) != ("sdc", "h2"):
                    self._add(labels_of("disk_used_bytes", device=device, host=host),
                              [(at, float(self._random.randrange(int(total)))) for at in self._grid(60)])
        self._add(labels_of("disk_used_bytes", device="sdd", host="h1"), [(at, 7.0) for at in self._grid(60)])
        for host, version, rack in (("h1", "1.2.3", "r1"), ("h2", "1.3.0-rc.1", "r1")):
            self._add(labels_of("host_info", host=host, version=version, rack=rack),
                      [(at, 1.0) for at in self._grid(60)])
            # Two infos at once for a while: then the match is many-to-many.
            self._add(labels_of("rolling_info", host=host, version=version), [(at, 1.0) for at in self._grid(60)])
            self._add(labels_of("rolling_info", host=host, version=version + "+1"),
                      [(at, 1.0) for at in self._grid(60, 4500, 5100)])
        for zone, host in (("a", "h1"), ("b", "h1"), ("a", "h2"), ("c", "h3")):
            self._add(labels_of("load", zone=zone, host=host),
                      [(at, round(self._random.uniform(0, 9), 2)) for at in self._grid(60)])
        for quota, value in (("a", 2.0), ("b", 4.0), ("d", 8.0)):
            self._add(labels_of("zone_limit", zone=quota), [(at, value) for at in self._grid(60)])

    def _collisions(self):
        """The same labels under two names: what drops the name makes them one."""
        for name in ("collide_a", "collide_b"):
            self._add(labels_of(name, x="1"), [(at, at + len(name)) for at in self._grid(60)])
        self._add(labels_of("collide_a", x="2"), [(at, at) for at in self._grid(60)])
        # Never both at one time.
        self._add(labels_of("relay_a", x="1"), [(at, 1.0) for at in self._grid(60, 0, 3600)] + [(3600, STALE)])
        self._add(labels_of("relay_b", x="1"), [(at, 2.0) for at in self._grid(60, 3600)])

    def _shapes(self):
        self._add(labels_of("constant"), [(at, 42.0) for at in self._grid(60)])
        self._add(labels_of("linear", slope="up"), [(at, at * 0.25) for at in self._grid(20)])
        self._add(labels_of("linear", slope="down"), [(at, 1000 - at * 0.5) for at in self._grid(20)])
        self._add(labels_of("square"), [(at, at * at) for at in self._grid(60)])
        self._add(labels_of("seconds"), [(at, ORIGIN_S + at) for at in self._grid(60)])
        self._add(labels_of("days"), [(at, ORIGIN_S + at * 86400 * 3.7 - 4e9) for at in self._grid(60)])
        self._add(labels_of("big_total"), self._counter(self._grid(15), 10**12, begin=2**53))
        self._add(labels_of("fine"), [(at, round(self._random.gauss(0, 1), 6)) for at in self._grid(5, 3000, 4200)])
        self._add(labels_of("jitter_total"), self._counter(self._grid(10, 0.5, jitter_s=4), 5))
        self._add(labels_of("decimals"), [(at, number * 0.1) for number, at in enumerate(self._grid(60))])
        self._add(labels_of("states", unit="a"), [(at, float(self._random.randrange(4))) for at in self._grid(60)])
        self._add(labels_of("states", unit="b"), [(at, float(self._random.randrange(4))) for at in self._grid(60)])
        self._add(labels_of("states", unit="c"), [(at, float(self._random.randrange(4))) for at in self._grid(60)])
        for number in range(30):
            self._add(labels_of("tied", number="%02d" % number, group="g%d" % (number % 3)),
                      [(at, float(number // 3 % 4)) for at in self._grid(60)])

    def requests(self, noise=0):
        """Bodies of POST /api/v1/write, in the order of time. With `noise`, a seed, each value is one of the
        doubles around it. The first has a staleness marker before all samples, which names the series in the order of labels."""
        # As both servers order labels: byte by byte.
        in_order = sorted(self.series, key=lambda labels: [(name.encode(), value.encode()) for name, value in labels])
        yield remote_write.write_request([(labels, [((ORIGIN_S - 60) * 1000, STALE)]) for labels in in_order])
        source = random.Random(noise)
        position = dict.fromkeys(self.series, 0)
        for end_ms in range(ORIGIN_S * 1000, (ORIGIN_S + SPAN_S + REQUEST_S) * 1000 + 1, REQUEST_S * 1000):
            part = []
            for labels in self.series:
                samples, begin = self.series[labels], position[labels]
                end = begin
                while end < len(samples) and samples[end][0] < end_ms:
                    end += 1
                if end > begin:
                    chosen = samples[begin:end]
                    part.append((labels, [(at, nudge(value, source)) for at, value in chosen] if noise else chosen))
                    position[labels] = end
            if part:
                yield remote_write.write_request(part)
