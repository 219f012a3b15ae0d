"""Reads the Prometheus text format, as far as an exporter of version 0.0.4 writes it.

parse(text) gives a list of (labels, type, value): labels is a tuple of (name, value) pairs sorted by name, with the
metric name as `__name__`; type is the word of the # TYPE line of the metric or of the summary or histogram it belongs
to ("" without one); value is a float, NaN and infinities included. A line that does not parse is an error with its
number: a test on real input must not quietly lose some of it.

A label with an empty value is left out: to Prometheus, and to this store (lib/include/tinyobs/labels.h), it is the same
as no label, and so the same series.
"""

import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|(?=\}))')
ESCAPE = re.compile(r"\\(.)")
SUFFIXES = ("_bucket", "_count", "_sum")


def _unescape(text):
    return ESCAPE.sub(lambda match: {"n": "\n"}.get(match.group(1), match.group(1)), text)


def _type_of(name, types):
    if name in types:
        return types[name]
    for suffix in SUFFIXES:
        if name.endswith(suffix) and types.get(name[: -len(suffix)]) in ("histogram", "summary"):
            return types[name[: -len(suffix)]]
    return ""


def parse(text):
    samples = []
    types = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if line.startswith("#"):
            words = line.split(None, 3)
            if len(words) == 4 and words[1] == "TYPE":
                types[words[2]] = words[3].strip()
            continue
        match = NAME.match(line)
        if not match:
            raise ValueError("line %d: no metric name: %r" % (number, line))
        labels = {"__name__": match.group()}
        at = match.end()
        if line[at:at + 1] == "{":
            at += 1
            while line[at:].lstrip()[:1] != "}":
                pair = LABEL.match(line, at)
                if not pair:
                    raise ValueError("line %d: bad labels: %r" % (number, line))
                if pair.group(2):
                    labels[pair.group(1)] = _unescape(pair.group(2))
                at = pair.end()
            at = line.index("}", at) + 1
        words = line[at:].split()
        if len(words) not in (1, 2):
            raise ValueError("line %d: not a value: %r" % (number, line))
        value = float(words[0].replace("Inf", "inf").replace("NaN", "nan"))
        samples.append((tuple(sorted(labels.items())), _type_of(match.group(), types), value))
    return samples
