"""Our PromQL is that of Prometheus 2.42: queries made at random, over data made at random, asked of both.

    promql_random_test.py [--queries N]     5,000 without it

Each is asked as an instant query and as a range query. The seed is printed; TINYOBS_TEST_SEED repeats it. Without it each
run takes another one, so that repeated runs search. No difference is tolerated.
"""

import argparse
import os
import random
import sys
import tempfile
import time

import promql_data
import promql_random
import promql_servers

SHOWN = 40
# Of 10,000 requests, that may hang on what is not part of the language (promql_servers.py); about 20 do.
EXCUSED_MAX = 60
# Of the instant queries; else the generator makes queries that prove nothing.
ANSWERS_PERCENT_MIN = 50


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--queries", type=int, default=5000)
    count = parser.parse_args().queries
    seed = int(os.environ.get("TINYOBS_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print("seed %d (repeat with --test_env=TINYOBS_TEST_SEED=%d)" % (seed, seed), flush=True)
    generator = promql_random.Generator(random.Random(seed), promql_data.Data(seed))
    began = time.monotonic()
    answers = empty = errors = 0
    differences = []
    with promql_servers.Servers(seed, tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"]), forgiving=True) as pair:
        for _ in range(count):
            query, at_s, grid = generator.query(), generator.moment(), generator.grid()
            found, theirs = pair.instant(query, at_s)
            if found:
                differences.append("%s  [at %s]\n      %s" % (query, at_s, found))
            errors += theirs.failed
            empty += theirs.empty
            answers += not theirs.failed and not theirs.empty
            found, _ = pair.range(query, *grid)
            if found:
                differences.append("%s  [from %s to %s by %s]\n      %s" % (query, *grid, found))
        asked = pair.requests
        excused = [("Prometheus differs from itself", pair.unstable), ("ill-conditioned", pair.ill_conditioned),
                   ("@ not adjusted", pair.unadjusted)]
    print("%d queries, %d requests to each server; of the instant queries %d answered something, %d nothing, %d an error; "
          "%s; %.1f s" % (count, asked, answers, empty, errors,
                          ", ".join("%d %s" % (len(found), why) for why, found in excused), time.monotonic() - began))
    for why, found in excused:
        for line in found[:SHOWN]:
            print("%s: %s" % (why, line))
    for line in differences[:int(os.environ.get("TINYOBS_SHOWN") or SHOWN)]:
        print("DIFFERS: " + line)
    print("%d differences" % len(differences))
    if differences or answers * 100 < ANSWERS_PERCENT_MIN * count or (
            sum(len(found) for _, found in excused) * 10000 > EXCUSED_MAX * max(asked, 10000)):
        sys.exit(1)


if __name__ == "__main__":
    main()
