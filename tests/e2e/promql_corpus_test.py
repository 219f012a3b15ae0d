"""Our PromQL is that of Prometheus 2.42: a corpus of queries, asked of both.

Each query is asked as an instant query and as a range query, the first of each line at every moment and over every grid
below; the pretty printer is asked, too. Then come the endpoints' parameters (promql_corpus/api.list). No difference is
tolerated; promql_compare.py says what a difference is.

    promql_corpus_test.py [TEXT]    only the lines whose place or query has TEXT

Environment: TINYOBS_TEST_SEED for other data than the usual; promql_servers.py has the rest.
"""

import os
import re
import sys
import tempfile
import time

import promql_corpus
import promql_servers

# Seconds since the origin of the data: on the samples, at midnight, between them, beside them, after the end.
MOMENTS = (1800, 4507.123, 3600, 2699.999, 8000, 9090.5)
GRIDS = ((0, 9000, 150), (3553.007, 3853, 7.5), (-30, 390, 30), (8800, 9600, 61), (4198.5, 4204, 0.5), (0, 9500, 917.003))
# The pretty printer is not asked: `+Inf ^ x`, as Prometheus writes it, is read as +(Inf ^ x), and we keep what was
# meant; and which characters are written with \u is Go's table of printable ones.
NOT_FORMATTED = re.compile(r"Inf\s*\^|\\u20", re.IGNORECASE)
METHOD = re.compile(r"(?:([A-Z]+) )?(.*)")
SHOWN = 40
UNSTABLE_PERCENT_MAX = 2


class Report:
    def __init__(self):
        self.differences = []
        self.stale = []  # corpus lines that do not do what their section says
        self.queries = self.answers = self.empty = self.errors = 0

    def saw(self, answer):
        self.queries += 1
        self.errors += answer.failed
        self.empty += answer.empty
        self.answers += not answer.failed and not answer.empty

    def differs(self, place, query, how, what):
        self.differences.append("%s: %s  [%s]\n      %s" % (place, query, how, what))


def check_query(pair, query, index, report):
    moments, grids = MOMENTS, GRIDS
    if query.number:
        moments, grids = (MOMENTS[index % len(MOMENTS)],), (GRIDS[index % len(GRIDS)],)
    answers = []
    for at_s in moments:
        found, theirs = pair.instant(query.text, at_s)
        answers.append(theirs)
        if found:
            report.differs(query.place, query.text, "at %s" % at_s, found)
    for grid in grids:
        found, theirs = pair.range(query.text, *grid)
        answers.append(theirs)
        if found:
            report.differs(query.place, query.text, "from %s to %s by %s" % grid, found)
    if (query.number == 0 or index % 3 == 0) and not NOT_FORMATTED.search(query.text):
        found, _ = pair.formatted(query.text)
        if found:
            report.differs(query.place, query.text, "format_query", found)
    for answer in answers:
        report.saw(answer)
    kept = {
        "answers": lambda: any(not answer.failed and not answer.empty for answer in answers),
        "empty": lambda: all(answer.empty for answer in answers[:len(moments)]),
        "fails": lambda: all(answer.failed for answer in answers[:len(moments)]),
    }[query.section]()
    # With one moment only, a good query may have nothing to answer.
    if not kept and (query.number == 0 or query.section != "answers"):
        report.stale.append("%s: %s: not as [%s] says: %.150s" % (
            query.place, query.text, query.section, answers[0].error or answers[0].data))


def check_api(pair, path, wanted, report):
    count = 0
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if line and not line.startswith("# ") and wanted in line:
                method, target = METHOD.fullmatch(line).groups()
                target, _, parameters = target.partition("?")
                parameters = parameters.replace('"', "%22").replace(" ", "%20").replace("{", "%7B").replace("}", "%7D").replace("<", "%3C").replace(">", "%3E")
                found, _ = pair.listing("/api/v1/%s%s" % (target, parameters and "?" + parameters), method or "GET")
                count += 1
                if found:
                    report.differs("%s:%d" % (os.path.basename(path), number), line, method or "GET", found)
    return count


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    seed = int(os.environ.get("TINYOBS_TEST_SEED") or 1)
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "promql_corpus")
    queries = promql_corpus.read_all(folder)
    report = Report()
    began = time.monotonic()
    with promql_servers.Servers(seed, tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"])) as pair:
        for index, query in enumerate(queries):
            if wanted in query.place or wanted in query.text:
                check_query(pair, query, index, report)
        requests = check_api(pair, os.path.join(folder, "api.list"), wanted, report)
        unstable, asked = pair.unstable, pair.requests
    print("%d queries of the corpus, %d requests to the API; %d requests to each server: %d queries answered something, "
          "%d nothing, %d an error; %d where Prometheus differs from itself; %.1f s" % (
              len(queries), requests, asked, report.answers, report.empty, report.errors, len(unstable),
              time.monotonic() - began))
    for line in unstable[:SHOWN]:
        print("unstable: " + line)
    for line in report.stale[:SHOWN]:
        print("stale: " + line)
    for line in report.differences[:int(os.environ.get("TINYOBS_SHOWN") or SHOWN)]:
        print("DIFFERS: " + line)
    print("%d differences, %d stale lines" % (len(report.differences), len(report.stale)))
    if report.differences or report.stale or len(unstable) * 100 > UNSTABLE_PERCENT_MAX * asked:
        sys.exit(1)


if __name__ == "__main__":
    main()
