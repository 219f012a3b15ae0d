"""Makes queries at random, by the grammar, over the series of promql_data: a seed gives the same queries again.

Each expression knows which labels its series have, so that most of what is made can be executed and finds something: matchers
are made from a series that exists, both sides of an operator have labels to be matched by. A few queries in a hundred are
spoilt on purpose.
"""

import re
from collections import namedtuple

import promql_data

# A piece of text and what it evaluates to: labels is the set of names its series may have, metric says whether they have
# their names still.
Vector = namedtuple("Vector", "text labels metric")

METRICS = (
    ("requests_total", 8), ("up", 4), ("memory_bytes", 6), ("temperature_celsius", 4), ("gappy", 6), ("gappy_total", 3),
    ("edge", 2), ("latency_seconds_bucket", 4), ("latency_seconds_sum", 2), ("latency_seconds_count", 2),
    ("odd_bucket", 1), ("extreme", 1), ("mixed", 2), ("odd", 2), ("names", 1), ("disk_total_bytes", 4),
    ("disk_used_bytes", 4), ("host_info", 2), ("rolling_info", 1), ("load", 3), ("zone_limit", 2), ("collide_a", 1),
    ("collide_b", 1), ("relay_a", 1), ("constant", 1), ("linear", 3), ("square", 1), ("seconds", 1), ("big_total", 1),
    ("fine", 1), ("jitter_total", 2), ("decimals", 1), ("states", 3), ("tied", 4), ("job:requests:rate5m", 1),
)
FAMILIES = ("disk_.*", "latency_seconds_(sum|count)", "relay_.|edge", "collide_.*", "gappy.*", "states|linear")
RANGE_CALLS = ("rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets", "sum_over_time", "avg_over_time",
               "min_over_time", "max_over_time", "count_over_time", "last_over_time", "present_over_time",
               "stddev_over_time", "stdvar_over_time")
CALLS = ("abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sgn", "sin", "cos", "tan", "asin", "acos", "atan",
         "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "deg", "rad", "round", "minute", "hour", "day_of_week",
         "day_of_month", "day_of_year", "days_in_month", "month", "year", "timestamp", "sort", "sort_desc")
AGGREGATIONS = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")
COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")
SETS = ("and", "or", "unless")
NUMBERS = ("0", "1", "2", "-1", "0.5", "10", "100", "3.7", "1e3", "1e9", "0x1F", "-0.25", "5e8", "NaN", "Inf", "-Inf")
RANGES = ("20s", "1m", "1m", "2m", "5m", "5m", "5m", "7m30s", "10m", "30m", "1h")
STEPS = ("7s", "15s", "30s", "1m", "90s", "")
OFFSETS = ("1ms", "10s", "1m", "5m", "-1m", "17m", "-30s", "1h")


def quoted(text):
    """A PromQL string."""
    out = []
    for character in text:
        if character in '"\\':
            out.append("\\" + character)
        elif ord(character) < 32 or ord(character) == 127:
            out.append("\\x%02x" % ord(character))
        else:
            out.append(character)
    return '"%s"' % "".join(out)


class Generator:
    def __init__(self, source, data):
        self._random = source
        self._by_name = {}
        for labels in data.series:
            labels = dict(labels)
            self._by_name.setdefault(labels.pop("__name__"), []).append(labels)
        self._choice = source.choice

    def _chance(self, probability):
        return self._random.random() < probability

    def _weighted(self, pairs):
        return self._random.choices([value for value, _ in pairs], [weight for _, weight in pairs])[0]

    # --- selectors -----------------------------------------------------------------------------------------------

    def _matchers(self, name):
        """Mostly ones that let a series of this metric through."""
        chosen = self._choice(self._by_name[name])
        matchers = []
        for label, value in chosen.items():
            if not self._chance(0.35) or label in ("A",) and self._chance(0.5):
                continue
            kind = self._random.random()
            if kind < 0.45:
                matchers.append("%s=%s" % (label, quoted(value)))
            elif kind < 0.6:
                other = self._choice(self._by_name[name]).get(label, "")
                if other != value:
                    matchers.append("%s!=%s" % (label, quoted(other)))
            elif kind < 0.85:
                cut = value[:self._random.randrange(len(value) + 1)]
                matchers.append("%s=~%s" % (label, quoted(re.escape(cut).replace("\\ ", " ") + ".*")
                                            if cut.isascii() and cut.isprintable() else quoted(".+")))
            else:
                matchers.append("%s!~%s" % (label, quoted(self._choice(("x.*", "", "a|b", ".*z", "[0-4].*")))))
        if self._chance(0.05):
            matchers.append(self._choice(('nothing=""', 'nothing!="x"', 'job=~"api|"', 'kind!~".{9,}"')))
        return ", ".join(matchers)

    def _modifiers(self):
        text = ""
        if self._chance(0.12):
            text += " offset " + self._choice(OFFSETS)
        if self._chance(0.08):
            at = " @ " + self._choice(("start()", "end()", "%d" % (promql_data.ORIGIN_S + self._random.randrange(9000)),
                                       "%.3f" % (promql_data.ORIGIN_S + self._random.uniform(0, 9000))))
            text = text + at if self._chance(0.5) else at + text
        return text

    def _selector(self, range_text=""):
        if self._chance(0.06):
            family = self._choice(FAMILIES)
            labels = {"__name__"}
            for name, series in self._by_name.items():
                if re.fullmatch(family, name):
                    labels.update(*series)
            return Vector("{__name__=~%s}%s%s" % (quoted(family), range_text, self._modifiers()), labels, True)
        name = self._weighted(METRICS)
        matchers = self._matchers(name) if self._chance(0.5) else ""
        text = name + ("{%s}" % matchers if matchers else "") + range_text + self._modifiers()
        return Vector(text, set().union(*self._by_name[name]), True)

    def _range(self, depth):
        """A range vector: its text, labels."""
        if depth > 0 and self._chance(0.2):
            inner = self._vector(depth - 1)
            text = inner.text if re.match(r"^[\w:]+(\(|$)", inner.text) and inner.text.endswith(")") else "(%s)" % inner.text
            return inner._replace(text="%s[%s:%s]%s" % (
                "(%s)" % inner.text if self._chance(0.3) else text, self._choice(RANGES), self._choice(STEPS),
                self._modifiers()))
        return self._selector("[%s]" % self._choice(RANGES))

    # --- scalars and strings ---------------------------------------------------------------------------------------

    def _scalar(self, depth):
        kind = self._random.random()
        if depth <= 0 or kind < 0.7:
            return self._choice(NUMBERS)
        if kind < 0.78:
            return "time()"
        if kind < 0.9:
            return "scalar(%s)" % self._vector(depth - 1).text
        return "(%s %s %s)" % (self._scalar(depth - 1), self._choice(ARITHMETIC), self._scalar(depth - 1))

    # --- vectors ---------------------------------------------------------------------------------------------------

    def _some(self, labels, least=0):
        labels = sorted(labels)
        count = self._random.randint(min(least, len(labels)), min(3, len(labels)))
        return self._random.sample(labels, count)

    def _aggregation(self, depth):
        inner = self._vector(depth - 1)
        kind = self._random.random()
        name, argument = self._choice(AGGREGATIONS), ""
        keeps = False
        if kind > 0.9:
            name, argument = self._choice(("topk", "bottomk")), self._choice(("1", "2", "3", "5", "time() % 4"))
            keeps = True
        elif kind > 0.83:
            name, argument = "quantile", self._choice(("0", "0.5", "0.9", "1", "0.31", "2"))
        elif kind > 0.78:
            # All digits of a value become a label: only of values that were not calculated.
            name, argument = "count_values", '"value"'
            inner = self._selector()
        chosen = self._some(inner.labels)
        if self._chance(0.1):
            chosen.append(self._choice(("nothing", "__name__", "job")))
        mode = self._choice(("", "by", "by", "without"))
        if name == "count_values":
            # Over several steps Prometheus 2.42 mixes up the labels of by() when there are three: it sorts them again for
            # each step, in place, together with the new one.
            chosen = chosen[:2]
        labels = {"": set(), "by": set(chosen), "without": inner.labels - set(chosen)}[mode]
        labels = inner.labels if keeps else labels | ({"value"} if name == "count_values" else set())
        clause = "%s (%s)" % (mode, ", ".join(chosen)) if mode else ""
        body = "(%s%s)" % (argument + ", " if argument else "", inner.text)
        text = name + body + " " + clause if self._chance(0.3) else name + " " + clause + body
        return Vector(text.replace("  ", " ").strip(), labels - ({"__name__"} if not keeps else set()),
                      inner.metric and keeps)

    def _call(self, depth):
        kind = self._random.random()
        if kind < 0.45:
            inner = self._range(depth - 1)
            name = self._choice(RANGE_CALLS)
            return Vector("%s(%s)" % (name, inner.text), inner.labels, inner.metric and name == "last_over_time")
        if kind < 0.55:
            inner = self._range(depth - 1)
            form = self._choice(("quantile_over_time(%s, {})" % self._choice(("0.5", "0.9", "0", "1", "0.37")),
                                 "predict_linear({}, %s)" % self._choice(("60", "3600", "-5", "time() % 100")),
                                 "holt_winters({}, 0.3, 0.6)"))
            return Vector(form.replace("{}", inner.text, 1), inner.labels, False)
        if kind < 0.62:
            bucket = self._choice(("latency_seconds_bucket", "rate(latency_seconds_bucket[5m])",
                                   "increase(latency_seconds_bucket[10m])", "sum by (le, job) (latency_seconds_bucket)",
                                   "sum without (instance) (rate(latency_seconds_bucket[2m]))",
                                   'odd_bucket'))
            return Vector("histogram_quantile(%s, %s)" % (self._choice(("0.5", "0.9", "0.99", "0", "1")), bucket),
                          {"job", "instance"}, False)
        inner = self._vector(depth - 1)
        if kind < 0.82:
            name = self._choice(CALLS)
            return Vector("%s(%s)" % (name, inner.text), inner.labels, inner.metric and name.startswith("sort"))
        if kind < 0.88:
            form = self._choice(("clamp(%s, 0, 100)", "clamp_min(%s, 5)", "clamp_max(%s, 1e6)", "round(%s, 0.1)",
                                 "round(%s, 10)"))
            return Vector(form % inner.text, inner.labels, False)
        if kind < 0.94:
            label = self._choice(sorted(inner.labels) or ["job"])
            form = self._choice((
                'label_replace(%%s, "new", "$1", "%s", "(.*)")', 'label_replace(%%s, "new", "x$1y", "%s", "([a-z]+).*")',
                'label_join(%%s, "new", "-", "%s", "job")', 'label_replace(%%s, "%s", "", "nothing", "")')) % label
            return Vector(form % inner.text, inner.labels | {"new"}, inner.metric)
        if kind < 0.97:
            return Vector("absent(%s)" % inner.text, inner.labels, False)
        return Vector("vector(%s)" % self._scalar(depth - 1), set(), False)

    def _operation(self, depth):
        kind = self._random.random()
        left = self._vector(depth - 1)
        if kind < 0.3:
            operator = self._choice(ARITHMETIC + COMPARISONS)
            flag = " bool" if operator in COMPARISONS and self._chance(0.4) else ""
            sides = [left.text, self._scalar(depth - 1)]
            if self._chance(0.3):
                sides.reverse()
            return Vector("%s %s%s %s" % (sides[0], operator, flag, sides[1]), left.labels,
                          left.metric and operator in COMPARISONS and not flag)
        if kind < 0.55:
            # The same series on both sides, once as it was.
            operator = self._choice(ARITHMETIC + COMPARISONS)
            flag = " bool" if operator in COMPARISONS and self._chance(0.4) else ""
            right = self._choice((left.text, "abs(%s)" % left.text, "(%s * 0.9)" % left.text, "sort(%s)" % left.text))
            return Vector("(%s) %s%s %s" % (left.text, operator, flag, right), left.labels,
                          left.metric and operator in COMPARISONS and not flag)
        right = self._vector(depth - 1)
        common = sorted(left.labels & right.labels - {"__name__"})
        if kind < 0.75:
            operator = self._choice(SETS)
            clause = ""
            if self._chance(0.5):
                clause = " on(%s)" % ", ".join(self._some(common)) if self._chance(0.6) else " ignoring(%s)" % ", ".join(
                    self._some(left.labels - {"__name__"}))
            return Vector("(%s) %s%s (%s)" % (left.text, operator, clause, right.text), left.labels | (
                right.labels if operator == "or" else set()), left.metric)
        operator = self._choice(ARITHMETIC + COMPARISONS)
        flag = " bool" if operator in COMPARISONS and self._chance(0.4) else ""
        on = self._some(common, 1)
        one = "sum by (%s) (%s)" % (", ".join(on), right.text)
        if kind < 0.85:
            return Vector("sum by (%s) (%s) %s%s %s" % (", ".join(on), left.text, operator, flag, one), set(on), False)
        extra = self._choice(("", "()", "(%s)" % ", ".join(self._some(right.labels - set(on)))))
        if "__name__" in extra:
            extra = ""
        if self._chance(0.6):
            text = "(%s) %s%s on(%s) group_left%s %s" % (left.text, operator, flag, ", ".join(on), extra, one)
        else:
            text = "%s %s%s on(%s) group_right%s (%s)" % (one, operator, flag, ", ".join(on), extra, left.text)
        return Vector(text, left.labels, False)

    def _vector(self, depth):
        if depth <= 0:
            return self._selector()
        kind = self._random.random()
        if kind < 0.15:
            return self._selector()
        if kind < 0.5:
            return self._call(depth)
        if kind < 0.72:
            return self._aggregation(depth)
        if kind < 0.95:
            operation = self._operation(depth)
            return operation._replace(text="(%s)" % operation.text) if self._chance(0.7) else operation
        inner = self._vector(depth - 1)
        return Vector("-" + inner.text if self._chance(0.7) else "(%s)" % inner.text, inner.labels, False)

    def _spoil(self, text):
        """Takes out, doubles or replaces a word: most often an error, of any kind."""
        words = re.findall(r'"(?:\\.|[^"\\])*"|[\w.:]+|\s+|.', text)
        place = self._random.randrange(len(words))
        words[place] = self._choice((
            "", words[place] * 2, "bool", "on(job)", "1", "up", "5m", '"a"', "(", ")", "[5m]", "{", "}", ",", "offset 5m",
            "@", "by", "sum", "rate(", "=~", "group_left", "-", "and"))
        return "".join(words)

    def query(self):
        kind = self._random.random()
        depth = self._weighted(((1, 3), (2, 4), (3, 3), (4, 1)))
        if kind < 0.03:
            text = self._scalar(depth)
        elif kind < 0.06:
            text = self._range(depth).text
        else:
            text = self._vector(depth).text
        return self._spoil(text) if self._chance(0.07) else text

    def moment(self):
        """Seconds since the origin, of an instant query."""
        if self._chance(0.05):
            return self._random.choice((-60, -0.001, 9000 + 299, 9400))
        at = self._random.uniform(0, promql_data.SPAN_S)
        return float(round(at / 60) * 60) if self._chance(0.5) else round(at, 3)

    def grid(self):
        """(start, end, step) of a range query, at most some dozens of steps."""
        start = self.moment()
        step = self._choice((1, 7, 15, 15, 30, 60, 60, 61.5, 150, 300, 0.25))
        return start, start + step * self._random.randrange(1, 40) + self._choice((0, 0, step / 3)), step
