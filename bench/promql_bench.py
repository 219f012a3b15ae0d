"""How long do queries take, against Prometheus and VictoriaMetrics with the same data, and what do they cost them?

    promql_bench.py --server TINYOBS_SERVE --dir FOLDER [--quick] [--repetitions N] [--requests N] [--only NAME,...]
                    [--json FILE] [--machine TEXT] [--commit TEXT]

Run by `tools/bench promql`. Starts the servers on loopback, gives each the same data by remote write
(bench/workload/promql_load.py), waits until all of them have it and have nothing left to do, checks that they answer the
same, and then asks each query of each server in turn, over one connection that is kept open, timed from the request's
first byte to the answer's last. CPU time is the server's whole process over those requests, its garbage collection
included.

VictoriaMetrics runs twice: with -search.disableCache, as the others have no cache of results, and with it, as it
comes. No query is repeated as it was: each is a step of time earlier than the last, as a dashboard that refreshes asks.
Answers of Prometheus and ours must be equal to the digit (tests/e2e/promql_compare.py); those of VictoriaMetrics, whose rates are
defined otherwise, in their number of series.
"""

import argparse
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [os.path.join(HERE, "workload"), os.path.join(HERE, "..", "tests", "e2e")]

import processes  # noqa: E402  pylint: disable=wrong-import-position
import promql_compare  # noqa: E402  pylint: disable=wrong-import-position
import promql_load  # noqa: E402  pylint: disable=wrong-import-position
import remote_write  # noqa: E402  pylint: disable=wrong-import-position

OURS = "tinyobs"
MEMORY_MB = 256
HOUR, DAY = 3600, 86400

# (name, query, seconds of a range or None for an instant, its step)
QUERIES = [
    ("single_series", 'memory_bytes{instance="host-017:9100",part="used"}', 2 * HOUR, 15),
    ("single_series_rate", 'rate(node_cpu_seconds_total{instance="host-017:9100",cpu="3",mode="user"}[5m])', 2 * HOUR, 15),
    ("sum_by", "sum by (job, part) (memory_bytes)", 2 * HOUR, 30),
    ("rate", "rate(http_requests_total[5m])", HOUR, 60),
    ("sum_by_rate", "sum by (job, code) (rate(http_requests_total[5m]))", 2 * HOUR, 30),
    ("histogram_quantile",
     "histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))", 2 * HOUR, 30),
    ("topk", "topk(10, rate(node_cpu_seconds_total[5m]))", 2 * HOUR, 60),
    ("regex", 'sum by (mode) (rate(node_cpu_seconds_total{instance=~"host-0[1-3].*",mode!~"idle|iowait"}[5m]))', 2 * HOUR, 30),
    ("count_all", 'count({__name__=~".+"})', 2 * HOUR, 60),
    ("max_over_time_days", "max_over_time(disk_used_bytes[1d])", 4 * DAY, HOUR),
    ("max_over_days", "max(max_over_time(disk_used_bytes[5d]))", None, 15),
    ("label_values", "/api/v1/label/instance/values", None, 15),
    ("label_values_matched", '/api/v1/label/instance/values?match[]=http_requests_total{code="500"}', None, 15),
]


def cases():
    """(name, query, range, step): each range query as an instant one, too."""
    for name, query, range_s, step in QUERIES:
        if range_s:
            yield name + "_instant", query, None, 15
        yield name + ("_range" if range_s else ""), query, range_s, step


def target(query, range_s, step, end_s):
    """The request's path and parameters."""
    if query.startswith("/"):
        path, _, match = query.partition("?match[]=")
        parameters = [("start", end_s - 3 * HOUR), ("end", end_s)] + ([("match[]", match)] if match else [])
    elif range_s:
        path = "/api/v1/query_range"
        parameters = [("query", query), ("start", end_s - range_s), ("end", end_s), ("step", step)]
    else:
        path = "/api/v1/query"
        parameters = [("query", query), ("time", end_s)]
    return path + "?" + urllib.parse.urlencode(parameters)


class Connection:
    """HTTP over one socket and no more of it than is needed, so that little of what is timed is Python."""

    def __init__(self, url):
        self._address = urllib.parse.urlsplit(url)
        self._host = self._address.netloc
        self._buffer = bytearray()
        self._connect()

    def _connect(self):
        self._socket = socket.create_connection((self._address.hostname, self._address.port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _more(self):
        part = self._socket.recv(1 << 20)
        if not part:
            raise RuntimeError("%s closed the connection" % self._host)
        self._buffer += part

    def _take(self, count):
        while len(self._buffer) < count:
            self._more()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _take_line(self, end=b"\r\n"):
        at = self._buffer.find(end)
        while at < 0:
            self._more()
            at = self._buffer.find(end)
        return self._take(at + len(end))

    def request(self, method, path, body=b"", headers=None):
        """(status, content, seconds)."""
        lines = ["%s %s HTTP/1.1" % (method, path), "Host: " + self._host]
        lines += ["%s: %s" % header for header in (headers or {}).items()]
        if body:
            lines.append("Content-Length: %d" % len(body))
        message = "\r\n".join(lines + ["", ""]).encode() + body
        begin = time.perf_counter()
        self._socket.sendall(message)
        head = self._take_line(b"\r\n\r\n").decode("latin-1").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        if fields.get("transfer-encoding") == "chunked":
            parts = []
            while True:
                size = int(self._take_line().split(b";")[0], 16)
                part = self._take(size + 2)
                if size == 0:
                    break
                parts.append(part[:-2])
            seconds = time.perf_counter() - begin
            content = b"".join(parts)
        else:
            content = self._take(int(fields.get("content-length", 0)))
            seconds = time.perf_counter() - begin
        if fields.get("connection") == "close":  # VictoriaMetrics ends connections after some minutes
            self._socket.close()
            self._connect()
        return int(head[0].split()[1]), content, seconds


class Server:
    def __init__(self, name, process):
        self.name = name
        self.process = process
        self.pid = process._process.pid  # pylint: disable=protected-access
        self.connection = None

    def connect(self):
        """VictoriaMetrics says where it listens before it does; Prometheus listens before it is ready."""
        deadline = time.monotonic() + processes.START_SECONDS
        while True:
            try:
                self.connection = Connection(self.process.url)
                if self.connection.request("GET", "/-/healthy" if "victoria" in self.name else "/-/ready")[0] == 200:
                    return
            except ConnectionRefusedError:
                pass
            if time.monotonic() > deadline:
                raise RuntimeError("%s is not ready:\n%s" % (self.name, self.process.log()))
            time.sleep(0.1)

    def cpu_s(self):
        total = 0
        for task in os.listdir("/proc/%d/task" % self.pid):
            try:
                with open("/proc/%d/task/%s/schedstat" % (self.pid, task), encoding="ascii") as file:
                    total += int(file.read().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass
        return total / 1e9

    def memory_bytes(self):
        with open("/proc/%d/status" % self.pid, encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon:"))

    def get(self, path):
        try:
            status, content, seconds = self.connection.request("GET", path)
        except (OSError, RuntimeError) as error:
            raise RuntimeError("%s: %s, asked for %s" % (self.name, error, path)) from error
        if status != 200:
            raise RuntimeError("%s answered %d to %s: %s" % (self.name, status, path, content[:500]))
        return content, seconds


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def victoria_metrics(name, folder, flags):
    address = "127.0.0.1:%d" % free_port()
    return processes.Process(
        name, [processes.peer("victoria-metrics", "victoria-metrics"), "-storageDataPath=" + folder,
               "-httpListenAddr=" + address, *flags],
        r"http server at http://(127\.0\.0\.1:\d+)", os.path.join(os.environ["TEST_TMPDIR"], name + ".log"))


def start(folder, program):
    os.environ["TEST_TMPDIR"] = folder
    os.environ["TINYOBS_SERVE"] = program
    path = lambda name: os.path.join(folder, name)  # noqa: E731
    servers = []
    try:
        for name, launch in (
            (OURS, lambda: processes.tinyobs_serve(path(OURS), memory_mb=MEMORY_MB)),
            ("prometheus", lambda: processes.prometheus(path("prometheus"))),
            ("victoriametrics", lambda: victoria_metrics("vm", path("vm"), ["-search.disableCache"])),
            ("victoriametrics-cache", lambda: victoria_metrics("vm_cache", path("vm_cache"), [])),
        ):
            servers.append(Server(name, launch()))
            servers[-1].connect()
    except BaseException:
        stop(servers)
        raise
    return servers


def stop(servers):
    for server in servers:
        server.process.kill()


def load(servers, data):
    for number, body in enumerate(data.requests()):
        for server in servers[number % len(servers):] + servers[:number % len(servers)]:
            status, content, _ = server.connection.request("POST", "/api/v1/write", body, remote_write.HEADERS)
            if status not in (200, 204):
                raise RuntimeError("%s answered %d to remote write: %s" % (server.name, status, content[:500]))


def wait_until_idle(servers, seconds=300):
    """No server does more than a little for some seconds: flushes, compactions and garbage collection are over."""
    quiet, before = 0, [server.cpu_s() for server in servers]
    deadline = time.monotonic() + seconds
    while quiet < 5 and time.monotonic() < deadline:
        time.sleep(2)
        now = [server.cpu_s() for server in servers]
        quiet = quiet + 1 if all(after - earlier < 0.1 for after, earlier in zip(now, before)) else 0
        before = now


def count_samples(server, data, end_s):
    """A metric at a time: without their names, two would be the same series."""
    total = 0
    for metric in data.metrics:
        result = json.loads(server.get(target("sum(count_over_time(%s[30d]))" % metric, None, 0, end_s))[0])["data"]["result"]
        total += int(result[0]["value"][1]) if result else 0
    return total


def check_complete(servers, data, end_s):
    for server in servers:
        deadline = time.monotonic() + 60
        while (found := count_samples(server, data, end_s)) != data.samples:
            if time.monotonic() > deadline:
                raise RuntimeError("%s has %d samples, sent were %d" % (server.name, found, data.samples))
            time.sleep(1)


def check_answers(servers, name, query, range_s, step, end_s):
    path = target(query, range_s, step, end_s)
    answers = {server.name: promql_compare.Answer(200, server.get(path)[0]) for server in servers}
    size = {}
    for server, answer in answers.items():
        if answer.failed or not answer.data:
            raise RuntimeError("%s: %s: %s" % (name, server, answer.content[:500]))
        size[server] = len(answer.data if query.startswith("/") else answer.data["result"])
    if query.startswith("/"):
        found = promql_compare.api_difference(answers[OURS], answers["prometheus"])
    else:
        found = promql_compare.difference(query, bool(range_s), answers[OURS], answers["prometheus"])
    # Which of nearly equal rates are among the first ten depends on how a rate is defined.
    counts = set(size.values()) if not query.startswith("topk") else {size[OURS], size["prometheus"]}
    if found or len(counts) != 1 or 0 in counts:
        raise RuntimeError("%s: answers differ: %s; series: %s" % (name, found, size))
    return size[OURS], len(answers[OURS].content)


def measure(servers, case, requests, end_s):
    """{server: (p50 ms, p95 ms, CPU ms per query)}; `end_s` is a list of one, moved with every request."""
    _, query, range_s, step = case
    seconds = {server.name: [] for server in servers}
    cpu = {server.name: -server.cpu_s() for server in servers}
    for number in range(requests):
        path = target(query, range_s, step, end_s - number * step)
        for server in servers[number % len(servers):] + servers[:number % len(servers)]:
            seconds[server.name].append(server.get(path)[1])
    found = {}
    for server in servers:
        times = sorted(seconds[server.name])
        used = (cpu[server.name] + server.cpu_s()) / requests
        found[server.name] = (statistics.median(times) * 1e3, times[math.ceil(0.95 * len(times)) - 1] * 1e3, used * 1e3)
    return found


class Result:
    def __init__(self, peers):
        self._peers = peers
        self._rows = {}

    def add(self, bench, metric, better, figures):
        row = self._rows.setdefault((bench, metric), {"better": better, "runs": {}})
        for server, figure in figures.items():
            row["runs"].setdefault("ours" if server == OURS else server, []).append(figure)

    def rows(self):
        for (bench, metric), row in self._rows.items():
            medians = {name: statistics.median(runs) for name, runs in row["runs"].items()}
            yield {"bench": bench, "metric": metric, "better": row["better"], "ours": medians["ours"],
                   "peers": {peer: medians[peer] for peer in self._peers if peer in medians}, "runs": row["runs"]}

    def print(self):
        print("%-46s %12s  %s" % ("", OURS, "  ".join("%-24s" % peer for peer in self._peers)))
        for row in self.rows():
            better = (lambda peer, row=row: peer / row["ours"]) if row["better"] == "lower" else (
                lambda peer, row=row: row["ours"] / peer)
            print("%-46s %12.2f  %s" % (
                row["bench"] + " " + row["metric"], row["ours"],
                "  ".join("%-24s" % ("%.2f (%.2fx)" % (peer, better(peer))) for peer in row["peers"].values() if row["ours"])))


def first_words(command):
    text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
    return text.splitlines()[0] if text else ""


def versions(program, servers):
    victoria = next(server for server in servers if server.name == "victoriametrics")
    metrics = victoria.get("/metrics")[0].decode("utf-8", "replace")
    short = [line for line in metrics.splitlines() if line.startswith("vm_app_version")]
    version = short[0].split('short_version="')[1].split('"')[0] if short else ""
    prometheus = first_words([processes.peer("prometheus", "prometheus"), "--version"])
    return {OURS: first_words([program, "--version"]).split()[-1], "prometheus": prometheus.split()[2],
            "victoriametrics": version or "as Debian 12 packages it"}


def settings(data, arguments):
    return {
        "data": "%d series, %d samples 15 s apart: a fleet of %d hosts for %d hours, disks for %d days; by remote write, in the order of time" % (
            data.series, data.samples, arguments.hosts, arguments.hours, arguments.days),
        "all engines": "one client, one connection kept open, no compression of answers; %d requests a query, a step of time apart, servers in turn; "
                       "load is from the first request until nothing is left to do" % arguments.requests,
        "answers": "equal between tinyobs and Prometheus; of VictoriaMetrics the number of series",
        "tinyobs": "TINYOBS_MAX_MEMORY_MB=%d; everything else as it comes" % MEMORY_MB,
        "prometheus": "--web.enable-remote-write-receiver; everything else as it comes",
        "victoriametrics": "-search.disableCache, as the others have no cache of results",
        "victoriametrics-cache": "as it comes: results of ranges are cached",
    }


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="tinyobs-serve")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--requests", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--json")
    parser.add_argument("--machine", default="")
    parser.add_argument("--commit", default="")
    arguments = parser.parse_args()
    arguments.repetitions = arguments.repetitions or (1 if arguments.quick else 5)
    arguments.requests = arguments.requests or (5 if arguments.quick else 20)
    arguments.hosts, arguments.hours, arguments.disks, arguments.days = (40, 3, 5, 2) if arguments.quick else (100, 3, 50, 6)
    names = [case[0] for case in cases()]
    arguments.only = arguments.only.split(",") if arguments.only else names
    for name in arguments.only:
        if name not in names:
            parser.error("no query is called %s; there are: %s" % (name, ", ".join(names)))
    return arguments


def main():
    arguments = read_arguments()
    end_s = int(time.time()) // HOUR * HOUR
    data = promql_load.Load(end_s, arguments.hosts, arguments.hours, arguments.disks, arguments.days)
    servers = start(arguments.dir, arguments.server)
    result = Result([server.name for server in servers if server.name != OURS])
    try:
        print("loading %d samples of %d series" % (data.samples, data.series), flush=True)
        load(servers, data)
        wait_until_idle(servers)
        result.add("load", "samples_per_cpu_s", "higher", {server.name: data.samples / server.cpu_s() for server in servers})
        check_complete(servers, data, end_s)
        chosen = [case for case in cases() if case[0] in arguments.only]
        for case in chosen:
            series, size = check_answers(servers, *case, end_s)
            print("%-28s %d series, %d bytes" % (case[0], series, size), flush=True)
        wait_until_idle(servers)
        for repetition in range(arguments.repetitions):
            print("repetition %d of %d" % (repetition + 1, arguments.repetitions), flush=True)
            for case in chosen:
                measure(servers, case, 2, end_s)  # warm
                figures = measure(servers, case, arguments.requests, end_s - (repetition % 2) * 7 * case[3])
                for index, metric in enumerate(("p50_ms", "p95_ms", "cpu_ms_per_query")):
                    result.add(case[0], metric, "lower", {name: values[index] for name, values in figures.items()})
        result.add("memory", "memory_bytes", "lower", {server.name: server.memory_bytes() for server in servers})
        report = {
            "benchmark": "promql", "machine": arguments.machine, "commit": arguments.commit,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "quick": arguments.quick,
            "repetitions": arguments.repetitions, "versions": versions(arguments.server, servers),
            "settings": settings(data, arguments), "rows": list(result.rows()),
        }
    finally:
        stop(servers)
    for name, text in report["settings"].items():
        print("%s: %s" % (name, text))
    result.print()
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
