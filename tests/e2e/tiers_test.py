"""Windows of the built server: made on demand, right, the same again, and there after kill -9.

Method. Three days of old samples, integers so that sums are exact, of a gauge and of a counter that restarts; the
server downsamples when asked. What it answers at 5m and 1h is compared with what the definition of a window gives.
Then a late sample comes, and only its windows change; then the server is killed, and nothing does.
"""

import sys
import tempfile
import time

import client
import processes

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WIDTH_MS = {"5m": 300_000, "1h": HOUR_MS}
STEP_MS = 30_000


def windows(samples, width_ms, agg):
    """{time: value} by the definition, of {time: value}."""
    gathered = {}
    for at in sorted(samples):
        gathered.setdefault(at // width_ms * width_ms, []).append(at)
    value = {
        "sum": sum, "count": len, "min": min, "max": max, "last": lambda values: values[-1],
        "avg": lambda values: sum(values) / len(values),
    }[agg]
    # The last value is drawn at its own time, the others at the start of the window.
    return {times[-1] if agg == "last" else start: value([samples[at] for at in times])
            for start, times in gathered.items()}


def ingest(connection, series):
    rows = [((("__name__", name),), kind, at, value)
            for name, (kind, samples) in series.items() for at, value in samples.items()]
    for begin in range(0, len(rows), client.MAX_SAMPLES):
        part = rows[begin:begin + client.MAX_SAMPLES]
        connection.start_ingest(client.ingest_body(part))
        connection.finish_ingest(len(part))


def check(connection, series, start_ms, end_ms):
    compared = 0
    for name, (_, samples) in series.items():
        for resolution, width_ms in WIDTH_MS.items():
            for agg in ("sum", "count", "min", "max", "last", "avg"):
                found = connection.query_tier(name, start_ms, end_ms, resolution, agg)
                expected = windows(samples, width_ms, agg)
                if found != expected:
                    different = sorted(set(found.items()) ^ set(expected.items()))
                    sys.exit("%s of %s at %s: %d windows, expected %d; the first that differ: %r" % (
                        agg, name, resolution, len(found), len(expected), different[:4]))
                compared += len(found)
    return compared


def main():
    storage = tempfile.mkdtemp()
    # Whole days that are over, whatever the hour is now.
    end_ms = int(time.time() * 1000) // DAY_MS * DAY_MS
    start_ms = end_ms - 3 * DAY_MS
    times = range(start_ms, end_ms, STEP_MS)
    series = {
        "depth": ("gauge", {at: (at // STEP_MS * 7919) % 1000 - 500 for at in times}),
        "visits_total": ("counter", {at: (at // STEP_MS) % 1234 * 3 for at in times if at // HOUR_MS % 5 != 0}),
    }
    with processes.tinyobs_serve(storage) as server:
        connection = client.Client(server.url, timeout_s=60)
        ingest(connection, series)
        first = connection.downsample()
        compared = check(connection, series, start_ms, end_ms - 1)
        if connection.downsample()["rows_written"] != 0:
            sys.exit("downsampled again although nothing had changed")

        late_ms = start_ms + 5 * HOUR_MS + 1
        series["visits_total"][1].update({late_ms: 4000})  # in an hour without samples
        ingest(connection, {"visits_total": ("counter", {late_ms: 4000})})
        again = connection.downsample()
        if not 0 < again["rows_written"] < first["rows_written"]:
            sys.exit("one late sample: %r rows written, the first time it was %r" % (
                again["rows_written"], first["rows_written"]))
        compared += check(connection, series, start_ms, end_ms - 1)
        server.kill()
    with processes.tinyobs_serve(storage) as server:
        connection = client.Client(server.url, timeout_s=60)
        connection.downsample()  # what was not flushed is made again
        compared += check(connection, series, start_ms, end_ms - 1)
        tiers = connection._get("/v1/storage")["tiers"]  # pylint: disable=protected-access
        if [tier["resolution"] for tier in tiers] != ["raw", "5m", "1h"] or tiers[2]["windows"] == 0:
            sys.exit("/v1/storage says %r" % tiers)
        if server.stop() != 0:
            sys.exit("the server did not stop cleanly:\n" + server.log())
    print("%d windows compared; rows written at first %d, after a late sample %d" % (
        compared, first["rows_written"], again["rows_written"]))


if __name__ == "__main__":
    main()
