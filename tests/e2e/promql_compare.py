"""Says how one answer of our server differs from Prometheus' answer to the same request.

What must be equal: HTTP status, errorType (the words of an error are ours), resultType, label sets, timestamps as text,
and values: the same text, or within RELATIVE of each other when they are different numbers (ABSOLUTE after some
functions). Two texts of one number differ ("-0" and "0", "1e+3" and "1000"), but for the sign of zero after ZEROS.

Order counts where Prometheus defines it:
- a matrix of query_range is sorted by labels;
- sort() and sort_desc() as the outermost call of an instant query: the values' order. Equal values are in no defined
  order (its sort is not stable), so the labels beside them are compared as a set;
- topk() and bottomk() the same when they have one group: in what order groups follow is defined nowhere.
Everything else of an instant query is in no order that the language would promise.
"""

import json
import math
import re

RELATIVE = 1e-9
# Functions that C and Go compute with another last digit, of values about 1; near zero nothing else may be left of it.
INEXACT = re.compile(r"sin|cos|tan|exp|ln|log|\^|stddev|stdvar", re.IGNORECASE)
ABSOLUTE = 1e-12
# What chooses a zero, -0 or 0, by the order of values that are equal: a sort, or the order of series.
ZEROS = re.compile(r"quantile|\b(min|max)\b", re.IGNORECASE)
# exp() of Go on x86 is infinite from 2^1023.5 on, too early, and with it sinh, cosh and powers.
NEARLY_INFINITE = 2.0 ** 1022
ORDERED = re.compile(r"\s*(sort|sort_desc|topk|bottomk)\s*\(", re.IGNORECASE)
# What Prometheus says to ("a"): an error about its own insides is no definition of anything.
INTERNAL = "unexpected result in StepInvariantExpr evaluation"
# timestamp(x @ 1 offset 5m): Prometheus 2.42 forgets the offset there, for the samples that it reads but not for their times.
OFFSET_LOST = re.compile(r"timestamp.*(@\s*(start\(\)|end\(\)|[\d.]+)\s+offset|offset\s+-?\w+\s+@)", re.DOTALL)
STRINGS = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`""")


class Answer:
    """status: of HTTP; body: parsed JSON whose numbers are still texts."""

    def __init__(self, status, content):
        self.status = status
        self.content = content
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


def same_value(ours, theirs, absolute=0.0):
    if ours == theirs:
        return True
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return False
    try:
        a, b = float(ours), float(theirs)
    except ValueError:
        return False
    if math.isinf(b) and math.isfinite(a) and a * b > 0 and abs(a) >= NEARLY_INFINITE:
        return True
    if a == b or not math.isfinite(a) or not math.isfinite(b):
        return False  # one number in two forms, or a NaN or Inf that only one of them has
    return abs(a - b) <= max(absolute, RELATIVE * max(abs(a), abs(b)))


def _points(ours, theirs, where, absolute):
    """ours, theirs: [[time, value]]."""
    if [point[0] for point in ours] != [point[0] for point in theirs]:
        mine, its = {point[0] for point in ours}, {point[0] for point in theirs}
        return "%s: timestamps: %d, expected %d; only ours %s, only Prometheus' %s" % (
            where, len(ours), len(theirs), sorted(mine - its)[:3], sorted(its - mine)[:3])
    for mine, its in zip(ours, theirs):
        if not same_value(mine[1], its[1], absolute):
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


def _series(ours, theirs, absolute):
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
                found = _points(*points, key, absolute)
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
                return "order: %s, expected %s" % (labels_text(mine["metric"]), labels_text(its["metric"]))
    elif has_order(query):
        for index, (mine, its) in enumerate(zip(ours, theirs)):
            if not same_value(mine["value"][1], its["value"][1]) and float(mine["value"][1]) != float(its["value"][1]):
                return "order: %s at place %d, expected %s" % (mine["value"][1], index, its["value"][1])
    return None


def _without_signs(result, of_infinity):
    """Of zeros, and of what dividing by them gives."""
    text = json.dumps(result).replace('"-0"', '"0"')
    return json.loads(text.replace('"-Inf"', '"+Inf"') if of_infinity else text)


def unstable(first, second):
    """Two answers of one server to one request are not the same answer: what it hangs on is not part of the language
    (Go's maps are walked in a random order; sums and ties follow it)."""
    def elements(answer):
        result = answer.data["result"]
        return sorted(map(json.dumps, result)) if answer.data["resultType"] in ("vector", "matrix") else result

    return first.failed != second.failed or not first.failed and elements(first) != elements(second)


def difference(query, is_range, ours, theirs):
    """None, or what differs, in words. ours, theirs: Answer."""
    if theirs.failed and INTERNAL in theirs.error or not (ours.failed or theirs.failed) and OFFSET_LOST.search(query):
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
    absolute = ABSOLUTE if INEXACT.search(query) else 0.0
    if kind in ("scalar", "string"):
        return _points([mine], [its], kind, absolute)
    return _series(mine, its, absolute) or _order(query, mine, its, is_range)


def api_difference(ours, theirs, may_have_more=False):
    """Of the endpoints that list something: series (in any order), labels, values. `may_have_more`: of a range of time,
    which both take for a hint: Prometheus lists what has a chunk there, we what may have data of that partition."""
    if ours.failed or theirs.failed:
        return difference("", False, ours, theirs)
    if ours.status != theirs.status:
        return "HTTP %d, expected %d" % (ours.status, theirs.status)
    mine, its = (sorted(map(labels_text, answer.data)) if answer.data and isinstance(answer.data, list) and
                 isinstance(answer.data[0], dict) else answer.data for answer in (ours, theirs))
    if mine == its or may_have_more and isinstance(mine, list) and set(mine) >= set(its or ()):
        return None
    if isinstance(mine, list) and isinstance(its, list):
        return "%d entries, expected %d; only ours %s, only Prometheus' %s; the same order: %s" % (
            len(mine), len(its), [one for one in mine if one not in its][:3], [one for one in its if one not in mine][:3],
            sorted(mine) != sorted(its))
    return "%.200r, expected %.200r" % (mine, its)
