"""Real samples for the benchmarks: scrapes a node exporter and writes what it said to one compact file.

    capture.py --output FILE [--count 600] [--interval 1.0] [--quiet]

Starts Debian's prometheus-node-exporter (unpacked by `tools/setup peers`, nothing is installed) on a free loopback
port, scrapes it `count` times, one each `interval` seconds, and ends it. A real machine is worth more than a generator
here: most of its series hardly move, some do in odd ways, and the ratio decides what a sample costs. The file is not
kept in git: it is large, it says things about the machine it was made on, and everybody can make their own.

The file, read by capture.h. Integers are varints (7 bits a byte, lowest first, the top bit says that more follow):

    "TINYCAP1"
    number of scrapes; for each its time in ms since 1970, as the difference to the one before (the first: to 0)
    number of series; for each:
        number of labels; for each, sorted by name: length, name, length, value        (UTF-8, `__name__` is one)
        number of stretches of scrapes it is in; for each: scrapes skipped since the last stretch, scrapes in it
        a value for each of these scrapes: its 64 bits xor those of the value before (the first: 0), bytes reversed,
        so that what two floats differ in is a small number

The time of a scrape is when it was due, not when it was answered, as Prometheus stores it when the two are close.
"""

import argparse
import os
import struct
import sys
import tempfile
import time
import urllib.request

CHECKOUT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(CHECKOUT, "tests", "e2e"))

import exposition  # noqa: E402  pylint: disable=wrong-import-position
import processes  # noqa: E402  pylint: disable=wrong-import-position

MAGIC = b"TINYCAP1"
MAX_FAILURES = 3


def put_varint(out, number):
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def put_text(out, text):
    encoded = text.encode("utf-8")
    put_varint(out, len(encoded))
    out += encoded


def stretches(scrapes):
    """Ascending numbers as [(first, length)]."""
    found = []
    for scrape in scrapes:
        if found and found[-1][0] + found[-1][1] == scrape:
            found[-1][1] += 1
        else:
            found.append([scrape, 1])
    return found


def encode(times, series):
    """The bytes of a file. `series`: {labels: [(number of the scrape, value), ...]}, labels sorted pairs."""
    out = bytearray(MAGIC)
    put_varint(out, len(times))
    before = 0
    for now in times:
        put_varint(out, now - before)
        before = now
    put_varint(out, len(series))
    for labels, samples in series.items():
        put_varint(out, len(labels))
        for name, value in labels:
            put_text(out, name)
            put_text(out, value)
        found = stretches([scrape for scrape, _ in samples])
        put_varint(out, len(found))
        end = 0
        for first, length in found:
            put_varint(out, first - end)
            put_varint(out, length)
            end = first + length
        bits = 0
        for _, value in samples:
            now = struct.unpack("<Q", struct.pack("<d", value))[0]
            put_varint(out, int.from_bytes((now ^ bits).to_bytes(8, "little"), "big"))
            bits = now
    return bytes(out)


def scrape_all(url, count, interval, progress):
    """(times in ms, {labels: [(number, value)]}) of `count` scrapes. One that fails is left out; too many are an error."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: never through a proxy
    times = []
    series = {}
    failures = 0
    start = time.monotonic()
    start_ms = int(time.time() * 1000)
    for number in range(count):
        time.sleep(max(0.0, start + number * interval - time.monotonic()))
        try:
            with opener.open(url + "/metrics", timeout=10) as answer:
                text = answer.read().decode("utf-8")
        except OSError as error:
            failures += 1
            if failures > MAX_FAILURES:
                raise RuntimeError("scrape %d failed, the %dth: %s" % (number, failures, error)) from error
            continue
        for labels, _, value in exposition.parse(text):
            samples = series.setdefault(labels, [])
            if not samples or samples[-1][0] != len(times):
                samples.append((len(times), value))
        times.append(start_ms + round(number * interval * 1000))
        if number % 60 == 59:
            progress("%d of %d scrapes, %d series" % (number + 1, count, len(series)))
    return times, series


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--output", required=True)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds")
    parser.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args()
    if arguments.count < 1 or not 0.001 <= arguments.interval <= 3600:
        parser.error("--count must be at least 1, --interval between 0.001 and 3600 seconds")

    def progress(text):
        if not arguments.quiet:
            print("capture: " + text, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TEST_TMPDIR", folder)  # where processes.py puts the exporter's log
        with processes.node_exporter() as exporter:
            progress("%d scrapes of %s, one each %g s" % (arguments.count, exporter.url, arguments.interval))
            times, series = scrape_all(exporter.url, arguments.count, arguments.interval, progress)
    content = encode(times, series)
    part = arguments.output + ".part"
    with open(part, "wb") as file:
        file.write(content)
    os.replace(part, arguments.output)  # whole or not at all
    samples = sum(len(of_one) for of_one in series.values())
    progress("%s: %d samples of %d series in %d bytes" % (arguments.output, samples, len(series), len(content)))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
