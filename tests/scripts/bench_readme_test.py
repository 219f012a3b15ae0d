"""The benchmark tables of README.md: how they are made from a result, and that README.md holds the ones of the results
that are kept."""

import copy
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
SCRIPT = os.path.join(ROOT, "tools", "bench_readme.py")

EMPTY = "above\n<!-- bench:lsm -->\nold\n<!-- /bench:lsm -->\nbelow\n"
RESULT = {
    "machine": "two cores", "commit": "abc1234", "date": "2026-11-23T12:00:00Z", "quick": False, "repetitions": 5,
    "versions": {"tinyobs": "0.1", "leveldb": "1.23", "rocksdb": "7.8"}, "settings": {},
    "rows": [
        {"bench": "fillseq", "metric": "ops_per_s", "better": "higher", "ours": 1234567.8,
         "peers": {"leveldb": 617283.9, "rocksdb": 2469135.6}},
        {"bench": "fillseq", "metric": "cpu_us_per_op", "better": "lower", "ours": 1, "peers": {"leveldb": 2}},
        {"bench": "compact", "metric": "disk_bytes", "better": "lower", "ours": 5e6, "peers": {"rocksdb": 1e7}},
    ],
}

# With rows that have targets instead of peers.
TARGETS = dict(RESULT, rows=RESULT["rows"] + [
    {"bench": "append", "metric": "samples_per_cpu_s", "better": "higher", "ours": 9e6, "peers": {}, "must": 8e6,
     "goal": 15e6},
    {"bench": "log", "metric": "bytes_per_sample", "better": "lower", "ours": 3, "peers": {}, "must": 6, "goal": 3.5},
    {"bench": "day", "metric": "bytes_per_sample", "better": "lower", "ours": 0.7, "peers": {}},
])


def run(*arguments):
    done = subprocess.run([sys.executable, "-B", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout


class Readme(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        os.makedirs(os.path.join(self.root, "bench", "results"))
        self.readme = os.path.join(self.root, "README.md")
        self.result = os.path.join(self.root, "bench", "results", "lsm.json")
        self.write(EMPTY)

    def write(self, text):
        with open(self.readme, "w", encoding="utf-8") as file:
            file.write(text)

    def read(self):
        with open(self.readme, encoding="utf-8") as file:
            return file.read()

    def keep(self, result):
        with open(self.result, "w", encoding="utf-8") as file:
            json.dump(result, file)

    def test_the_table_shows_figures_and_ratios_above_one_where_ours_is_better(self):
        self.keep(RESULT)
        self.assertEqual(run(self.root)[0], 0)
        text = self.read()
        self.assertIn("| | TinyObs | vs LevelDB | vs RocksDB |\n|---|--:|--:|--:|\n", text)
        self.assertIn("| `fillseq`, operations/s | 1,234,568 | 2.00x | 0.50x |\n", text)
        self.assertIn("| `compact`, MB on disk | 5.00 |  | 2.00x |\n", text)
        self.assertIn("LevelDB 1.23, RocksDB 7.8; medians of 5 runs on two cores; commit abc1234, 2026-11-23.", text)
        self.assertNotIn("cpu", text)
        self.assertTrue(text.startswith("above\n<!-- bench:lsm -->\n") and text.endswith("<!-- /bench:lsm -->\nbelow\n"))

    def test_rows_without_peers_are_a_table_of_their_own_with_their_targets(self):
        self.keep(TARGETS)
        self.assertEqual(run(self.root)[0], 0)
        text = self.read()
        self.assertIn("| `compact`, MB on disk | 5.00 |  | 2.00x |\n\n| | TinyObs | must | goal |\n|---|--:|--:|--:|\n", text)
        self.assertIn("| `append`, million samples per CPU second | 9.00 | at least 8.00 | at least 15.0 |\n", text)
        self.assertIn("| `log`, bytes per sample | 3.00 | at most 6.00 | at most 3.50 |\n", text)
        self.assertIn("| `day`, bytes per sample | 0.70 |  |  |\n\nRatios: ", text)

    def test_check_fails_until_the_table_is_written_and_tells_how(self):
        self.keep(RESULT)
        code, output = run(self.root, "--check")
        self.assertEqual((code, self.read()), (1, EMPTY))
        self.assertIn("run: tools/bench readme", output)
        run(self.root)
        self.assertEqual(run(self.root, "--check"), (0, ""))
        self.write(self.read().replace("2.00x", "3.00x"))
        self.assertEqual(run(self.root, "--check")[0], 1)

    def test_without_a_result_the_section_says_so(self):
        self.assertEqual(run(self.root)[0], 0)
        self.assertIn("No result is kept yet", self.read())
        self.assertEqual(run(self.root, "--check")[0], 0)

    def test_a_quick_result_is_not_kept(self):
        self.keep(dict(RESULT, quick=True))
        code, output = run(self.root)
        self.assertEqual((code, self.read()), (1, EMPTY))
        self.assertIn("tools/bench lsm --json bench/results/lsm.json", output)

    def test_a_marker_without_its_end_is_an_error(self):
        self.write("<!-- bench:lsm -->\n")
        self.assertEqual(run(self.root)[0], 1)

    def test_every_departure_from_the_form_is_refused(self):
        self.keep(RESULT)
        self.assertEqual(run("--result", self.result), (0, ""))
        for change in (
            lambda result: result.pop("machine"),
            lambda result: result.pop("commit"),
            lambda result: result.update(rows=[]),
            lambda result: result.update(rows=result["rows"][:1] * 2),
            lambda result: result["rows"][0].update(better="more"),
            lambda result: result["rows"][0].update(ours="1"),
            lambda result: result["rows"][0].update(ours=float("nan")),
            lambda result: result["rows"][0].update(ours=True),
            lambda result: result["rows"][0].pop("peers"),
            lambda result: result["rows"][1]["peers"].update(leveldb=None),
            lambda result: result["rows"][3].pop("must"),
            lambda result: result["rows"][3].update(goal="15"),
        ):
            result = copy.deepcopy(TARGETS)
            change(result)
            self.keep(result)
            code, output = run("--result", self.result)
            self.assertEqual(code, 1)
            self.assertIn("lsm.json: ", output)
        with open(self.result, "w", encoding="utf-8") as file:
            file.write(json.dumps(RESULT)[:-1])
        self.assertEqual(run("--result", self.result)[0], 1)

    def test_the_kept_results_are_what_readme_shows(self):
        code, output = run(ROOT, "--check")
        self.assertEqual(code, 0, output)


if __name__ == "__main__":
    unittest.main()
