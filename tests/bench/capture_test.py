"""bench/workload/capture.py writes the bytes that workload_test.cc reads."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "bench", "workload"))

import capture  # noqa: E402  pylint: disable=wrong-import-position

SERIES = {
    (("__name__", "a"),): [(0, 1.5), (1, 1.5)],
    (("__name__", "b"), ("x", "y")): [(1, -2.0)],
}
BYTES = (b"TINYCAP1\x02\xe8\x07\x98\x75\x02"
         b"\x01\x08__name__\x01a\x01\x00\x02\xbf\xf0\x03\x00"
         b"\x02\x08__name__\x01b\x01x\x01y\x01\x01\x01\xc0\x01")


class Capture(unittest.TestCase):
    def test_the_bytes_of_a_file(self):
        self.assertEqual(capture.encode([1000, 16000], SERIES), BYTES)

    def test_stretches_are_runs_of_scrapes(self):
        self.assertEqual(capture.stretches([]), [])
        self.assertEqual(capture.stretches([0, 1, 2, 5, 7, 8]), [[0, 3], [5, 1], [7, 2]])

    def test_numbers_of_any_size(self):
        for number, expected in ((0, "00"), (127, "7f"), (128, "8001"), (2**64 - 1, "ff" * 9 + "01")):
            out = bytearray()
            capture.put_varint(out, number)
            self.assertEqual(out.hex(), expected)


if __name__ == "__main__":
    unittest.main()
