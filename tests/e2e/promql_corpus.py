"""Reads the files of promql_corpus/: queries of our own over every area of the language.

A line is a query. `{{a|b}}` stands for one query with each alternative, all combinations where there are several (`\\|`
is a bar). A ⏎ is a line break. A line that begins with "# " is a comment; others with a # are queries that have one.
A section says what Prometheus must answer, so that a query cannot lose its sense unseen:

    [answers]   something, at one of the times at least
    [empty]     never a sample, never an error
    [fails]     an error, at each time
"""

import itertools
import os
import re
from collections import namedtuple

ALTERNATIVES = re.compile(r"\{\{(?!\{)(.*?)\}\}")
BAR = re.compile(r"(?<!\\)\|")
SECTIONS = ("answers", "empty", "fails")

# file, line, section; text; number: of the alternatives of its line, from 0.
Query = namedtuple("Query", "place section text number")


def expand(line):
    parts = ALTERNATIVES.split(line)
    for index in range(1, len(parts), 2):
        parts[index] = [text.replace("\\|", "|") for text in BAR.split(parts[index])]
    for index in range(0, len(parts), 2):
        parts[index] = [parts[index]]
    return list(dict.fromkeys("".join(chosen) for chosen in itertools.product(*parts)))


def read(path):
    section = None
    with open(path, encoding="utf-8") as file:
        for line_number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("# ") and "⏎" not in line:
                continue
            if line.startswith("[") and line[1:-1] in SECTIONS:
                section = line[1:-1]
                continue
            for number, text in enumerate(expand(line.replace("⏎", "\n"))):
                yield Query("%s:%d" % (os.path.basename(path), line_number), section, text, number)


def read_all(folder):
    return [query for name in sorted(os.listdir(folder)) if name.endswith(".txt")
            for query in read(os.path.join(folder, name))]
