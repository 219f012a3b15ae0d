"""Many heavy queries at once: the server stays within its memory, answers or refuses each one in words, and is well
afterwards.

    bazel run //tests/e2e:query_load_test -- --series 1000000 --memory-mb 1024     the same, larger, by hand
"""

import argparse
import json
import os
import sys
import threading
import time
import unittest
import urllib.parse

import processes
import promql_servers
import remote_write

START_MS = 1_700_000_000_000
SAMPLES = 20
STEP_MS = 15_000
SERIES_A_REQUEST = 2000
CLIENTS = 100
TIMEOUT_S = 10
# Beyond the budget: the program itself, stacks, connections and answers on their way out.
MORE_THAN_BUDGET_MB = 80

# Each wants every series whole: sorted, joined, ranked, repeated at many steps.
HEAVY = [
    '{__name__=~".+"}',
    "load_total",
    "sum by (host) (rate(load_total[5m]))",
    "sort(load_total)",
    "load_total * on (i, host) load_total",
    "load_total and load_total",
    "topk(1000, load_total)",
    "quantile by (host) (0.9, load_total)",
    'count_values("v", load_total)',
    'label_replace(load_total, "copy", "$1", "i", "(.*)")',
    "max_over_time(rate(load_total[1m])[5m:15s])",
    "sum(load_total) by (i)",
]


def series(first, count):
    for i in range(first, first + count):
        labels = [("__name__", "load_total"), ("host", "host-%d" % (i % 100)), ("i", str(i))]
        yield labels, [(START_MS + k * STEP_MS, float(i + k * (1 + i % 7))) for k in range(SAMPLES)]


class QueryLoadTest(unittest.TestCase):
    options = argparse.Namespace(series=40_000, memory_mb=96)

    def setUp(self):
        folder = os.path.join(os.environ.get("TEST_TMPDIR") or "/tmp", "query_load")
        self.server = processes.tinyobs_serve(
            folder, series_max=self.options.series + 10, memory_mb=self.options.memory_mb,
            flags=["--no-downsampling", "--storage.retention.raw=0"])
        self.addCleanup(self.server.kill)
        connection = promql_servers.Connection(self.server.url, 120)
        for first in range(0, self.options.series, SERIES_A_REQUEST):
            count = min(SERIES_A_REQUEST, self.options.series - first)
            body = remote_write.write_request(series(first, count))
            status, content = connection.request("POST", "/api/v1/write", body, remote_write.HEADERS)
            self.assertIn(status, (200, 204), content[:300])
        connection.close()

    def ask(self, query, results, steps=SAMPLES):
        end_s = (START_MS + (SAMPLES - 1) * STEP_MS) / 1000
        target = "/api/v1/query_range?" + urllib.parse.urlencode({
            "query": query, "start": end_s - (steps - 1) * STEP_MS / 1000, "end": end_s, "step": STEP_MS / 1000,
            "timeout": "%ds" % TIMEOUT_S})
        began = time.monotonic()
        connection = promql_servers.Connection(self.server.url, 120)
        status, content = connection.request("GET", target)
        connection.close()
        results.append((query, status, content, time.monotonic() - began))

    def test_heavy_queries_at_once_are_answered_or_refused_and_memory_holds(self):
        before_mb = self.server.memory_mb("VmRSS")
        results = []
        threads = [threading.Thread(target=self.ask, args=(HEAVY[i % len(HEAVY)], results)) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(self.server.alive(), self.server.log())
        self.assertEqual(len(results), CLIENTS)

        counts = {}
        for query, status, content, seconds in results:
            counts[status] = counts.get(status, 0) + 1
            self.assertIn(status, (200, 422, 503), (query, content[:300]))
            self.assertLess(seconds, TIMEOUT_S + 30, query)
            self.assertTrue(content, "refused without a word")
            if status == 200:
                self.assertTrue(json.loads(content)["data"]["result"], query)
            elif content.startswith(b"{"):
                self.assertIn(json.loads(content)["errorType"], ("execution", "timeout", "unavailable"), content)
        peak_mb = self.server.memory_mb("VmHWM")
        print("answers by status: %s; %.0f MB before, %.0f MB at most, budget %d MB; slowest %.1f s" % (
            counts, before_mb, peak_mb, self.options.memory_mb, max(r[3] for r in results)), flush=True)
        self.assertGreater(counts.get(200, 0), 0)
        self.assertLess(peak_mb, self.options.memory_mb + MORE_THAN_BUDGET_MB)

        # Well afterwards: nothing is held, and who asks little is answered.
        after = []
        self.ask("count(load_total)", after, steps=1)
        _, status, content, _ = after[0]
        self.assertEqual(status, 200, content)
        value = json.loads(content)["data"]["result"][0]["values"][-1][1]
        self.assertEqual(value, str(self.options.series))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=QueryLoadTest.options.series)
    parser.add_argument("--memory-mb", type=int, default=QueryLoadTest.options.memory_mb)
    QueryLoadTest.options = parser.parse_args()
    unittest.main(argv=sys.argv[:1])
