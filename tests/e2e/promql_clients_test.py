"""Programs that were written for Prometheus work on tinyobs-serve as they are.

- promtool (Prometheus' own client library) prints for our server what it prints for Prometheus: queries, series, values
  of a label.
- vmagent scrapes our /metrics and a node exporter, and writes into us: what it says it scraped is what we have, and when
  the exporter dies its series end with the staleness markers that vmagent sends.
- vmalert evaluates a recording and an alerting rule on our answers, writes the results back into us, and tells its
  notifier.

Every wait is for a condition, with a deadline.
"""

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import processes
import promql_data
import promql_servers

WAIT_SECONDS = 60
BEGIN, END = promql_data.ORIGIN_S, promql_data.ORIGIN_S + promql_data.SPAN_S
PROMTOOL = (
    ("instant", "--time=%d" % (BEGIN + 3600), "SERVER", "sum by (job) (requests_total)"),
    ("instant", "--time=%d" % (BEGIN + 3600), "SERVER", "up"),
    ("instant", "--time=%d.5" % (BEGIN + 3600), "SERVER", "odd"),
    ("instant", "--time=2024-03-01T00:00:00.25Z", "SERVER", "extreme"),
    ("instant", "--time=%d" % (BEGIN + 3600), "SERVER", "1 + 2"),
    ("instant", "--time=%d" % (BEGIN + 3600), "SERVER", '"text"'),
    ("instant", "--time=%d" % (BEGIN + 3600), "SERVER", "up[1m]"),
    ("instant", "--time=%d" % (BEGIN + 3600), "SERVER", "sort_desc(temperature_celsius)"),
    ("instant", "--time=%d" % (BEGIN + 3600), "SERVER", "nothing"),
    ("instant", "--time=%d" % (BEGIN + 3600), "SERVER", "sum("),
    ("instant", "--time=%d" % (BEGIN + 3600), "SERVER", "up * on(job) up"),
    ("range", "--start=%d" % BEGIN, "--end=%d" % END, "--step=5m", "SERVER", "gappy"),
    ("range", "--start=%d.5" % BEGIN, "--end=%d" % (BEGIN + 300), "--step=7s", "SERVER",
     "histogram_quantile(0.9, rate(latency_seconds_bucket[1m]))"),
    ("range", "--start=%d" % BEGIN, "--end=%d" % END, "--step=1h", "SERVER", "1"),
    ("range", "--start=%d" % BEGIN, "--end=%d" % END, "--step=1h", "SERVER", "up[5m]"),
    ("series", "--match=up", "--match=disk_used_bytes", "--start=%d" % BEGIN, "--end=%d" % END, "SERVER"),
    ("series", "--match={__name__=~\"gap.*\"}", "--start=%d" % BEGIN, "--end=%d" % END, "SERVER"),
    ("labels", "--start=%d" % BEGIN, "--end=%d" % END, "SERVER", "job"),
    ("labels", "--start=%d" % BEGIN, "--end=%d" % END, "SERVER", "text"),
    ("labels", "--start=%d" % BEGIN, "--end=%d" % END, "SERVER", "__name__"),
    ("labels", "--match=memory_bytes", "--start=%d" % BEGIN, "--end=%d" % END, "SERVER", "kind"),
    ("labels", "--start=%d" % BEGIN, "--end=%d" % END, "SERVER", "not a label"),
)
RULES = """
groups:
  - name: test
    interval: 1s
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
        labels: {source: vmalert}
      - alert: TargetIsUp
        expr: up == 1
        for: 1s
        labels: {severity: page}
        annotations: {summary: "{{ $labels.job }} is {{ $value }}"}
      - alert: NeverFires
        expr: up > 5
"""
SCRAPES = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: tinyobs
    static_configs: [{targets: ["%s"]}]
  - job_name: node
    static_configs: [{targets: ["%s"]}]
"""


def check(condition, *words):
    if not condition:
        raise RuntimeError(" ".join(str(word) for word in words))


def wait_for(what, condition):
    """The first true result of condition()."""
    deadline = time.monotonic() + WAIT_SECONDS
    pause = threading.Event()
    while True:
        found = condition()
        if found:
            return found
        check(time.monotonic() < deadline, "after %d s: not seen: %s" % (WAIT_SECONDS, what))
        pause.wait(0.1)


def promtool(url, arguments):
    command = [processes.peer("prometheus", "promtool"), "query"] + [
        url if argument == "SERVER" else argument for argument in arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    # An instant vector is in no order, and neither are series; the words of an error are each server's own.
    if not (arguments[0] == "range" or "sort" in arguments[-1]):
        lines.sort()
    return done.returncode, lines, done.stderr.split(":", 2)[:2] if done.returncode else done.stderr


def test_promtool(folder):
    with promql_servers.Servers(1, folder) as pair:
        for arguments in PROMTOOL:
            ours, theirs = (promtool(url, arguments) for url in (pair.our_url, pair.prometheus_url))
            check(ours == theirs, "promtool query", arguments, "\n  ours:       ", ours, "\n  Prometheus':", theirs)
            check(theirs[0] or theirs[1] or "nothing" in arguments, "promtool says nothing to", arguments)
    print("promtool: %d commands print the same" % len(PROMTOOL))


class Notifier(http.server.BaseHTTPRequestHandler):
    """What vmalert takes for an Alertmanager."""
    alerts = []

    def do_POST(self):  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Notifier.alerts += json.loads(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


class Asked:
    """Our server, now."""

    def __init__(self, url):
        self._connection = promql_servers.Connection(url)

    def vector(self, query):
        """{labels: value}."""
        answer = self._connection.post("query", query=query)
        check(not answer.failed, query, answer.error)
        return {tuple(sorted(sample["metric"].items())): float(sample["value"][1]) for sample in answer.data["result"]}

    def number(self, query):
        """Of the only element, or 0."""
        found = self.vector(query)
        check(len(found) <= 1, query, "has", len(found), "elements")
        return next(iter(found.values()), 0)


def agent(folder, server, exporter):
    path = os.path.join(folder, "vmagent.yml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(SCRAPES % (server.url[len("http://"):], exporter.url[len("http://"):]))
    return processes.client("victoria-metrics", "vmagent", [
        "-promscrape.config=" + path, "-remoteWrite.url=%s/api/v1/write" % server.url,
        "-remoteWrite.tmpDataPath=" + os.path.join(folder, "vmagent"), "-remoteWrite.flushInterval=200ms",
        "-httpListenAddr="])


def alerting(folder, server, notifier_url):
    path = os.path.join(folder, "rules.yml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(RULES)
    return processes.client("victoria-metrics", "vmalert", [
        "-rule=" + path, "-datasource.url=" + server.url, "-remoteWrite.url=" + server.url,
        "-remoteRead.url=" + server.url, "-remoteWrite.flushInterval=200ms", "-notifier.url=" + notifier_url,
        "-httpListenAddr=127.0.0.1:0"])


def test_agent_and_alerting(folder):
    notifier = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Notifier)
    threading.Thread(target=notifier.serve_forever, daemon=True).start()
    with processes.node_exporter() as exporter, processes.tinyobs_serve(os.path.join(folder, "clients")) as server:
        asked = Asked(server.url)
        with agent(folder, server, exporter) as vmagent:
            wait_for("three scrapes of both targets",
                     lambda: asked.number("count(count_over_time(up[5m]) >= 3)") == 2)
            for job in ("node", "tinyobs"):
                wait_for("all that vmagent says it scraped of " + job, lambda job=job: asked.number(
                    'count({job="%s",__name__!~"up|scrape_.*"}) == sum(scrape_samples_scraped{job="%s"})' % (job, job)) > 5)
            seconds = asked.number('rate(node_cpu_seconds_total{cpu="0",mode="idle"}[5m])')
            check(0 <= seconds <= 1.5, "an idle CPU has", seconds, "seconds a second")
            scraped = asked.number("sum(scrape_samples_scraped)")

            with alerting(folder, server, "http://127.0.0.1:%d" % notifier.server_port) as vmalert:
                recorded = wait_for("the recorded series", lambda: asked.vector("job:up:sum"))
                check(recorded == {(("__name__", "job:up:sum"), ("job", job), ("source", "vmalert")): 1.0
                                   for job in ("node", "tinyobs")}, "recorded:", recorded)
                wait_for("two firing alerts", lambda: asked.number(
                    'count(ALERTS{alertname="TargetIsUp",alertstate="firing",severity="page"})') == 2)
                check(asked.number('count(ALERTS_FOR_STATE{alertname="TargetIsUp"})') == 2, "no ALERTS_FOR_STATE")
                check(not asked.vector('ALERTS{alertname="NeverFires"}'), "NeverFires fires")
                wait_for("both alerts at the notifier", lambda: {
                    alert["annotations"].get("summary") for alert in Notifier.alerts} >= {"node is 1", "tinyobs is 1"})
                vmalert.stop()
            # A target that is gone: up is 0, and its other series end, at once.
            exporter.kill()
            wait_for("up of the exporter is 0", lambda: asked.vector('up{job="node"} == 0'))
            wait_for("the end of the exporter's series", lambda: not asked.vector('node_cpu_seconds_total'))
            check(asked.vector("count_over_time(node_cpu_seconds_total[5m])"), "what was is gone, too")
            vmagent.stop()
        check(server.stop() == 0, "tinyobs-serve did not stop well:", server.log())
    notifier.shutdown()
    notifier.server_close()
    print("vmagent: %d samples a scrape, all found; vmalert: recorded, fired, notified" % scraped)


def main():
    folder = tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"])
    test_promtool(folder)
    test_agent_and_alerting(folder)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as failure:
        print("FAILED: %s" % failure)
        sys.exit(1)
