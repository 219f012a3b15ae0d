"""Says how one answer of our server differs from Prometheus' answer to the same request.

What must be equal: HTTP status, errorType (the words of an error are ours), resultType, label sets, timestamps as text,
and values: the same text, or within RELATIVE of each other when they are different numbers. Two texts of one number
differ ("-0" and "0", "1e+3" and "1000"). What is excepted from that, and why, stands below: ZEROS, OVERFLOWS, BOUNDED,
VERTICAL, INTERNAL.

Order counts where Prometheus defines it:
- a matrix of query_range is sorted by labels;
- sort() and sort_desc() as the outermost call of an instant query: the values' order, and up to 12 elements the labels',
  too. Of more, equal values are in no defined order (its sort is not stable), so labels are compared as a set;
- topk() and bottomk() the same when they have one group: in what order groups follow is defined nowhere.
Everything else of an instant query is in no order that the language would promise.
"""

import json
import math
import re

RELATIVE = 1e-9
# The sign of a zero that a quantile is. Prometheus sorts by Go's sort.Sort, which is not stable for more than 12 values: in
# which order it leaves 0 and -0, which are equal, hangs on the pivots it happens to choose. Up to 12 the order is kept and
# ours is the same (tests/promql/range_functions_test.cc), but how many values there were is not in the answer.
ZEROS = re.compile(r"quantile", re.IGNORECASE)
# exp() of Go is written in assembler for x86 only, and infinite there from 2^1023.5 on, half a power too early; that of ARM
# is not. A platform's error defines nothing.
OVERFLOWS = re.compile(r"\b(exp|sinh|cosh)\b", re.IGNORECASE)
NEARLY_INFINITE = 2.0 ** 1022
# Functions whose values are at most pi. C's and Go's last digits differ, by 2^-51 at most, and where such values are
# subtracted (increase(atan(x)[5m:]), the stddev of equal ones) that is still the error, however little is left.
BOUNDED = re.compile(r"\b(a?sin|a?cos|atan2?|tanh)\b", re.IGNORECASE)
BOUNDED_ERROR = 2.0 ** -49
# Functions that are vertical at 1: of what two neighbours there give, half of the digits differ. So as the outermost call
# they are compared by their arguments, which C and Go may have computed with another last bit.
VERTICAL = re.compile(r"\s*(acos|asin|atanh)\s*\(", re.IGNORECASE)
BACK = {"acos": math.cos, "asin": math.sin, "atanh": math.tanh}
LAST_BIT = 2.0 ** -52
# How much more than the noise of one sample all roundings of an evaluation may be worth.
ROUNDINGS = 16
# The noise changes the value by so much of itself: its digits are chance, as those of tan(x ^ 20) are.
LOST = 0.01
ORDER = "order: "
INSERTION_SORT_MOST = 12  # elements that Go's sort.Sort sorts so, and thereby keeps equal ones in their order
ORDERED = re.compile(r"\s*(sort|sort_desc|topk|bottomk)\s*\(", re.IGNORECASE)
# What Prometheus says to ("a") and (up[2m] @ 5): an error about its own insides is no definition of anything.
INTERNAL = ("unexpected result in StepInvariantExpr evaluation", "unexpected number of samples")
# x @ t within a subquery that looks forward: when the subquery's first step happens to be the query's start, Prometheus 2.42
# takes its times of `@` for adjusted already (engine.go: `if newEv.startTimestamp != ev.startTimestamp`) and reads x at t
# moved by the subquery's offset. One step to the left or right it reads x at t.
UNADJUSTED = re.compile(r"@.*\[[^]]*:[^]]*\]\s*(@\s*\S+\s*)?offset\s+-", re.DOTALL)
COMPARED_HEADERS = ("Allow", "Location")
STRINGS = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`""")


class Answer:
    """status, headers: of HTTP; body: parsed JSON whose numbers are still texts."""

    def __init__(self, status, content, headers=()):
        self.status = status
        self.content = content
        self.headers = {name: value for name, value in dict(headers).items() if name in COMPARED_HEADERS}
        try:
            self.body = json.loads(content, parse_int=str, parse_float=str)
        except ValueError:
            self.body = {}
        if not isinstance(self.body, dict):
            self.body = {}

    @property
    def failed(self):
        return self.body.get("status") != "success"

    @property
    def error(self):
        return "%d %s: %s" % (self.status, self.body.get("errorType"), self.body.get("error")) if self.failed else ""

    @property
    def data(self):
        return self.body.get("data")

    @property
    def empty(self):
        """Nothing in it: no series, or a string or number that says nothing about the data."""
        return not self.failed and isinstance(self.data, dict) and self.data.get("result") == []


def labels_text(labels):
    name = labels.get("__name__", "")
    rest = ",".join("%s=%s" % (key, json.dumps(value, ensure_ascii=False))
                    for key, value in sorted(labels.items()) if key != "__name__")
    return "%s{%s}" % (name, rest)


def same_value(ours, theirs, query=""):
    if ours == theirs:
        return True
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return False
    try:
        a, b = float(ours), float(theirs)
    except ValueError:
        return False
    if math.isinf(b) and OVERFLOWS.search(query) and math.isfinite(a) and a * b > 0 and abs(a) >= NEARLY_INFINITE:
        return True
    if a == b or not math.isfinite(a) or not math.isfinite(b):
        return False  # one number in two forms, or a NaN or Inf that only one of them has
    distance = abs(a - b)
    if distance <= RELATIVE * max(abs(a), abs(b)) or distance <= BOUNDED_ERROR and BOUNDED.search(query):
        return True
    vertical = VERTICAL.match(query)
    back = vertical and BACK[vertical.group(1).lower()]
    return bool(vertical and a * b > 0 and abs(back(a)) > 0.5 and abs(back(a) - back(b)) <= LAST_BIT)


def _points(ours, theirs, where, query):
    """ours, theirs: [[time, value]]."""
    if [point[0] for point in ours] != [point[0] for point in theirs]:
        mine, its = {point[0] for point in ours}, {point[0] for point in theirs}
        return "%s: timestamps: %d, expected %d; only ours %s, only Prometheus' %s" % (
            where, len(ours), len(theirs), sorted(mine - its)[:3], sorted(its - mine)[:3])
    for mine, its in zip(ours, theirs):
        if not same_value(mine[1], its[1], query):
            return "%s at %s: %s, expected %s" % (where, mine[0], mine[1], its[1])
    return None


def _by_labels(result, whose):
    found = {}
    for element in result:
        key = labels_text(element["metric"])
        if key in found:
            return None, "%s answer has %s twice" % (whose, key)
        found[key] = element
    return found, None


def _series(ours, theirs, query):
    """Of a vector or matrix, as sets."""
    mine, error = _by_labels(ours, "our")
    if error:
        return error
    its, error = _by_labels(theirs, "Prometheus'")
    if error:
        return None  # it should have refused this; nothing to learn from
    if mine.keys() != its.keys():
        return "series: %d, expected %d; only ours %s, only Prometheus' %s" % (
            len(mine), len(its), sorted(mine.keys() - its.keys())[:3], sorted(its.keys() - mine.keys())[:3])
    for key, element in its.items():
        if mine[key].keys() != element.keys():
            return "%s: fields %s, expected %s" % (key, sorted(mine[key]), sorted(element))
        for form in ("value", "values"):
            if form in element:
                points = [mine[key][form]], [element[form]]
                if form == "values":
                    points = points[0][0], points[1][0]
                found = _points(*points, key, query)
                if found:
                    return found
    return None


def has_order(query):
    """The whole query is one call of something that orders its result, not `sort(a) + b`."""
    if not ORDERED.match(query):
        return False
    depth = 0
    text = STRINGS.sub("", query).strip()
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0 and character == ")":
            return index == len(text) - 1
    return False


def _order(query, ours, theirs, is_range):
    if is_range:
        for mine, its in zip(ours, theirs):
            if mine["metric"] != its["metric"]:
                return ORDER + "%s, expected %s" % (labels_text(mine["metric"]), labels_text(its["metric"]))
    elif has_order(query):
        # Else values that are equal there may differ in their last bits here.
        same_texts = all(mine["value"] == its["value"] for mine, its in zip(ours, theirs))
        for index, (mine, its) in enumerate(zip(ours, theirs)):
            if not same_value(mine["value"][1], its["value"][1]) and float(mine["value"][1]) != float(its["value"][1]):
                return ORDER + "%s at place %d, expected %s" % (mine["value"][1], index, its["value"][1])
            if same_texts and len(theirs) <= INSERTION_SORT_MOST and mine["metric"] != its["metric"]:
                return ORDER + "%s at place %d, expected %s" % (
                    labels_text(mine["metric"]), index, labels_text(its["metric"]))
    return None


def _without_signs(result, of_infinity):
    """Of zeros, and of what dividing by them gives."""
    text = json.dumps(result).replace('"-0"', '"0"')
    return json.loads(text.replace('"-Inf"', '"+Inf"') if of_infinity else text)


def elements(answer):
    """{(labels, time): value as text}; of an error, which one it is."""
    if answer.failed:
        return {("error", ""): "%d %s" % (answer.status, answer.body.get("errorType"))}
    kind, result = answer.data["resultType"], answer.data["result"]
    if kind in ("scalar", "string"):
        return {("", result[0]): result[1]}
    return {(labels_text(element["metric"]), at): value for element in result
            for at, value in element.get("values") or [element["value"]]}


def order(answer):
    return [] if answer.failed else [element["metric"] for element in answer.data["result"]]


def unequal(one, other):
    """The keys of two elements() whose values are not equal, or that only one has."""
    return {key for key in one.keys() | other.keys()
            if key not in one or key not in other or not same_value(one[key], other[key])}


def same_but_for_labels(one, other):
    """At each time the values are equal, whoever has them: what topk() chose among equals."""
    def by_time(found):
        values = {}
        for (_, at), value in found.items():
            values.setdefault(at, []).append(value)
        return {at: sorted(texts, key=lambda text: (math.inf if text == "NaN" else float(text), text)) for at, texts in values.items()}

    if any(answer.failed or answer.data["resultType"] not in ("vector", "matrix") for answer in (one, other)):
        return False
    mine, its = by_time(elements(one)), by_time(elements(other))
    return mine.keys() == its.keys() and all(
        len(mine[at]) == len(its[at]) and all(map(same_value, mine[at], its[at])) for at in its)


def varies(ours, answers):
    """Where ours differs from the first of `answers`, Prometheus' to one request, the others differ from it, too: what the
    language leaves open (Go's maps are walked in a random order; ties follow it, and sums)."""
    found = [elements(answer) for answer in answers]
    varying = set().union(*(unequal(found[0], other) for other in found[1:]))
    return bool(varying) and (unequal(elements(ours), found[0]) <= varying or
                              any(same_but_for_labels(ours, answer) for answer in answers))


def ill_conditioned(ours, theirs, noisy):
    """Where ours differs from `theirs`, one of `noisy` does, too, and by at least a ROUNDINGS-th as much or by all that
    the value is worth: Prometheus' own answer when each sample is changed by at most 2^-49 of itself. Nobody can promise 1e-9
    of such a value: each rounding on the way, of which there are some for each sample, does what the noise does."""
    mine, its = elements(ours), elements(theirs)
    others = [elements(answer) for answer in noisy]
    if same_but_for_labels(ours, theirs):
        return any(unequal(its, other) for other in others)  # topk() among values that differ in their last bits

    def explained(key):
        try:
            distance = abs(float(mine[key]) - float(its[key]))
            moved = max(abs(float(other[key]) - float(its[key])) for other in others)
            if math.isfinite(distance) and math.isfinite(moved):
                return distance <= ROUNDINGS * moved or moved >= LOST * abs(float(its[key]))
        except (KeyError, ValueError):
            pass
        return any(key in unequal(its, other) for other in others)

    return all(map(explained, unequal(mine, its)))


def difference(query, is_range, ours, theirs):
    """None, or what differs, in words. ours, theirs: Answer."""
    if theirs.failed and any(words in theirs.error for words in INTERNAL):
        return None
    if ours.failed or theirs.failed:
        if ours.failed and theirs.failed and (
            ours.status, ours.body.get("errorType")) == (theirs.status, theirs.body.get("errorType")):
            return None
        return "%s, expected %s" % (ours.error or "an answer", theirs.error or "an answer")
    if ours.status != theirs.status or not isinstance(ours.data, dict):
        return "HTTP %d %s, expected %d" % (ours.status, ours.content[:80], theirs.status)
    if ours.body.get("warnings"):
        return "warnings: %r" % ours.body["warnings"]
    kind = theirs.data["resultType"]
    if ours.data.get("resultType") != kind:
        return "type %s, expected %s" % (ours.data.get("resultType"), kind)
    mine, its = ours.data["result"], theirs.data["result"]
    if ZEROS.search(query):
        mine, its = (_without_signs(result, "/" in query) for result in (mine, its))
    if kind in ("scalar", "string"):
        return _points([mine], [its], kind, query)
    return _series(mine, its, query) or _order(query, mine, its, is_range)


def _pieces(answer):
    """Its bytes, but for the order of series."""
    head, bracket, rest = answer.content.partition(b"[{")
    return head, sorted(re.sub(rb"[]}]*$", b"", rest).split(b"},{")) if bracket else None


def api_difference(ours, theirs, may_have_more=False):
    """Of the endpoints that list something: series (in any order), labels, values; and of what HTTP says. Texts are
    compared byte by byte, escapes and all. `may_have_more`: the series of a range of time, which both take for a hint:
    Prometheus lists what has a chunk there, we what may have data of that partition."""
    if ours.status != theirs.status or ours.headers != theirs.headers:
        return "HTTP %d %s, expected %d %s" % (ours.status, ours.headers, theirs.status, theirs.headers)
    if ours.failed or theirs.failed:
        return difference("", False, ours, theirs)
    mine, its = (sorted(map(labels_text, answer.data)) if answer.data and isinstance(answer.data, list) and
                 isinstance(answer.data[0], dict) else answer.data for answer in (ours, theirs))
    if may_have_more and isinstance(mine, list) and set(mine) >= set(its or ()):
        return None
    if mine == its:
        return None if _pieces(ours) == _pieces(theirs) else "text: %.200r, expected %.200r" % (
            ours.content, theirs.content)
    if isinstance(mine, list) and isinstance(its, list):
        return "%d entries, expected %d; only ours %s, only Prometheus' %s; the same order: %s" % (
            len(mine), len(its), [one for one in mine if one not in its][:3], [one for one in its if one not in mine][:3],
            sorted(mine) != sorted(its))
    return "%.200r, expected %.200r" % (mine, its)
