"""The README's SDK program delivers its numbers: runs it against a server of the test and adds up
what arrives."""

import http.server
import json
import subprocess
import sys
import threading

bodies = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = "http://127.0.0.1:%d/v1/ingest" % server.server_port
    run = subprocess.run([sys.argv[1], url], capture_output=True, text=True, timeout=60)
    server.shutdown()
    assert run.returncode == 0 and run.stdout == "OK\n", (run.returncode, run.stdout, run.stderr)

    last = {}
    for body in bodies:
        assert len(body["metrics"]) <= 1000
        for sample in body["metrics"]:
            labels = dict(sample["labels"])
            assert labels.pop("service") == "shop", sample
            last[(sample["name"], tuple(sorted(labels.items())))] = sample["value"]
    expected = {
        ("orders_total", (("payment", "card"),)): 25,
        ("orders_total", (("payment", "cash"),)): 75,
        ("order_seconds_count", ()): 100,
        ("order_seconds_bucket", (("le", "0.25"),)): 26,
        ("order_seconds_bucket", (("le", "10"),)): 100,
        ("order_seconds_bucket", (("le", "+Inf"),)): 100,
    }
    for series, value in expected.items():
        assert last.get(series) == value, (series, value, last.get(series))
    assert abs(last[("order_seconds_sum", ())] - 49.5) < 1e-9
    assert len(last) == 2 + 15, sorted(last)

    # Nobody listening: the program says so and fails.
    server.server_close()
    run = subprocess.run([sys.argv[1], url], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and "cannot reach" in run.stdout, (run.returncode, run.stdout)


main()
