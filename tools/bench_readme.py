"""README.md's benchmark tables, made from the results kept in bench/results.

    bench_readme.py ROOT            writes the tables of ROOT/README.md anew
    bench_readme.py ROOT --check    exit status 1 and the way out if they are not what would be written
    bench_readme.py --result FILE   exit status 1 if FILE has not the form of a result

A table stands between the lines `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` and comes from
bench/results/NAME.json: one file a benchmark, so that there is no question which run a figure is from; the earlier
ones are in the history of the repository. The form is described in bench/results/README.md.
"""

import json
import math
import os
import re
import sys

MARKED = re.compile(r"^<!-- bench:([a-z0-9-]+) -->\n(.*?)^<!-- /bench:\1 -->$", re.M | re.S)

NAMES = {"leveldb": "LevelDB", "rocksdb": "RocksDB", "sqlite": "SQLite", "prometheus": "Prometheus",
         "victoriametrics": "VictoriaMetrics", "victoriametrics-cache": "it with its cache of results"}

# How a metric is written: words after the workload's name, and what its figure is divided by.
METRICS = {
    "ops_per_s": ("operations/s", 1),
    "writes_per_s": ("writes/s", 1),
    "disk_bytes": ("MB on disk", 1e6),
    "memory_bytes": ("MB of memory", 1e6),
    "write_amplification": ("bytes written per byte put", 1),
    "open_ms": ("ms", 1),
    "samples_per_cpu_s": ("million samples per CPU second", 1e6),
    "samples_per_s": ("million samples/s", 1e6),
    "new_series_per_cpu_s": ("thousand new series per CPU second", 1e3),
    "bytes_per_sample": ("bytes per sample", 1),
    "bytes_per_series": ("bytes of memory per series", 1),
    "memory_peak_bytes": ("MB of memory at most", 1e6),
    "memory_ratio": ("memory against a run without churn", 1),
    "peak_space_ratio": ("disk space at most, against the end", 1),
    "disk_left_ratio": ("disk space after expiry, against before", 1),
    "decode_memcpy_ratio": ("times as long as memcpy of the samples", 1),
    "aggregated_samples_per_s": ("million samples/s decoded and aggregated", 1e6),
    "disk_peak_bytes": ("MB on disk at most", 1e6),
    "wall_s": ("seconds", 1),
    "cpu_s": ("seconds of CPU time", 1),
    "p50_us": ("\u00b5s (median)", 1),
    "p50_ms": ("ms (median)", 1),
    "cpu_ms_per_query": ("ms of CPU time", 1),
}
# In the result but not in the table: CPU time says why a rate is what it is, and nobody chooses an engine by it; and the
# 95th percentile of twenty requests on a small machine is mostly the machine's.
LEFT_OUT = {"cpu_us_per_op", "p95_ms"}


class BadResult(Exception):
    """Says what is wrong, for the person who runs the benchmark."""


def require(condition, text):
    if not condition:
        raise BadResult(text)


def is_figure(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read_result(path):
    """A result, checked, so that nothing below meets a surprise."""
    try:
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
    except (OSError, ValueError) as error:
        raise BadResult("%s: %s" % (path, error)) from error
    require(isinstance(result, dict), "%s: not an object" % path)
    for key in ("machine", "commit", "date"):
        require(isinstance(result.get(key), str) and result[key], "%s: %s is missing" % (path, key))
    require(isinstance(result.get("versions"), dict), "%s: versions is missing" % path)
    require(isinstance(result.get("repetitions"), int), "%s: repetitions is missing" % path)
    rows = result.get("rows")
    require(isinstance(rows, list) and rows, "%s: rows is missing or empty" % path)
    seen = set()
    for number, row in enumerate(rows):
        where = "%s: row %d" % (path, number)
        require(isinstance(row, dict), where + " is not an object")
        for key in ("bench", "metric"):
            require(isinstance(row.get(key), str) and row[key], "%s: %s is missing" % (where, key))
        require(row.get("better") in ("higher", "lower"), where + ': better must be "higher" or "lower"')
        require(is_figure(row.get("ours")), where + ": ours is not a number")
        require(isinstance(row.get("peers"), dict), where + ": peers is missing")
        for peer, figure in row["peers"].items():
            require(is_figure(figure), "%s: the figure of %s is not a number" % (where, peer))
        require(("must" in row) == ("goal" in row), where + ": must and goal come together")
        for key in ("must", "goal"):
            require(is_figure(row.get(key, 0)), "%s: %s is not a number" % (where, key))
        key = (row["bench"], row["metric"])
        require(key not in seen, "%s: %s %s is there twice" % (where, *key))
        seen.add(key)
    return result


def figure_text(value):
    if abs(value) >= 1000:
        return "{:,.0f}".format(value)
    return "%.1f" % value if abs(value) >= 10 else "%.2f" % value


def ratio_text(row, peer):
    """How many times better ours is; above 1 ours is better, whether high or low figures are."""
    ours, theirs = row["ours"], row["peers"].get(peer)
    if theirs is None:
        return ""
    ours, theirs = (ours, theirs) if row["better"] == "higher" else (theirs, ours)
    return "%.2fx" % (ours / theirs) if theirs else ""


def words_of(row):
    words, divisor = METRICS.get(row["metric"], (row["metric"].replace("_", " "), 1))
    return "`%s`, %s" % (row["bench"], words), divisor


def markdown(head, lines):
    return ["| %s |" % " | ".join([""] + head).strip(), "|---|%s" % ("--:|" * len(head))] + \
        ["| %s |" % " | ".join(line) for line in lines]


def comparison(rows, peers):
    lines = []
    for row in rows:
        words, divisor = words_of(row)
        lines.append([words, figure_text(row["ours"] / divisor)] + [ratio_text(row, peer) for peer in peers])
    return markdown(["TinyObs"] + ["vs " + NAMES.get(peer, peer) for peer in peers], lines)


def target_text(row, key, divisor):
    if key not in row:
        return ""
    return ("at least " if row["better"] == "higher" else "at most ") + figure_text(row[key] / divisor)


def targets(rows):
    lines = []
    for row in rows:
        words, divisor = words_of(row)
        lines.append([words, figure_text(row["ours"] / divisor),
                      target_text(row, "must", divisor), target_text(row, "goal", divisor)])
    return markdown(["TinyObs", "must", "goal"], lines)


def table(name, result):
    """The text between the markers: what is compared, then what is ours alone and has targets."""
    if result is None:
        return "No result is kept yet: `tools/bench %s` measures, on your machine.\n" % name
    peers = []
    for row in result["rows"]:
        peers += [peer for peer in row["peers"] if peer not in peers]
    rows = [row for row in result["rows"] if row["metric"] not in LEFT_OUT]
    alone = [row for row in rows if not row["peers"]]
    compared = [row for row in rows if row["peers"]]
    lines = comparison(compared, peers) if compared else []
    if alone:
        lines += ([""] if lines else []) + targets(alone)
    versions = ", ".join("%s %s" % (NAMES.get(peer, peer), result["versions"][peer])
                         for peer in peers if peer in result["versions"])
    lines += [
        "",
        "%s%s on %s; commit %s, %s. Settings and every run: [`bench/results/%s.json`](bench/results/%s.json)." % (
            "Ratios: above 1, TinyObs is better. %s; " % versions if peers else "",
            ("medians" if peers else "Medians") + " of %d runs" % result["repetitions"],
            result["machine"], result["commit"], result["date"][:10], name, name),
    ]
    return "\n".join(lines) + "\n"


def rewritten(root, readme):
    """`readme` with every table as it must be."""
    require(readme.count("<!-- bench:") == len(MARKED.findall(readme)),
            "README.md: a <!-- bench:NAME --> without its <!-- /bench:NAME -->")

    def replace(match):
        name = match.group(1)
        path = os.path.join(root, "bench", "results", name + ".json")
        result = read_result(path) if os.path.exists(path) else None
        require(not (result or {}).get("quick"),
                "%s: made with --quick, which is too short to be kept; run: tools/bench %s --json bench/results/%s.json"
                % (path, name, name))
        return "<!-- bench:%s -->\n%s<!-- /bench:%s -->" % (name, table(name, result), name)

    return MARKED.sub(replace, readme)


def main(arguments):
    try:
        if len(arguments) == 2 and arguments[0] == "--result":
            read_result(arguments[1])
            return 0
        if not arguments or arguments[0].startswith("-") or arguments[1:] not in ([], ["--check"]):
            print(__doc__)
            return 2
        path = os.path.join(arguments[0], "README.md")
        with open(path, encoding="utf-8") as file:
            old = file.read()
        new = rewritten(arguments[0], old)
    except BadResult as error:
        print(error)
        return 1
    if arguments[1:]:
        if new != old:
            print("README.md does not hold the tables of bench/results; run: tools/bench readme")
        return int(new != old)
    if new != old:
        with open(path + ".part", "w", encoding="utf-8") as file:
            file.write(new)
        os.replace(path + ".part", path)
    print("README.md: %s" % ("written" if new != old else "nothing to change"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
