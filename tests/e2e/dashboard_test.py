"""A person opens the dashboard and sees real metrics: the built server, a real exporter's data, a real browser.

The last minutes of a machine are written through /v1/ingest (scraping.py); then Chromium opens the page and a chart of
one of those metrics must be drawn (tests/dashboard/browser.mjs says what that means). The screenshot is kept in the
test's outputs. The argument is the node to run.
"""

import os
import subprocess
import sys
import tempfile
import time

import client
import processes
import scraping

SCRAPES = 40
METRIC = "node_memory_MemAvailable_bytes"


def main():
    storage = tempfile.mkdtemp(prefix="store.", dir=os.environ["TEST_TMPDIR"])
    first_ms = int(time.time() * 1000) - (SCRAPES + 5) * scraping.SCRAPE_STEP_MS
    with processes.tinyobs_serve(storage) as server:
        connection = client.Client(server.url)
        with processes.node_exporter() as exporter:
            scraper = scraping.Scraper(exporter.url, first_ms)
            for _ in range(SCRAPES):
                samples = scraper.scrape()
                for at in range(0, len(samples), client.MAX_SAMPLES):
                    request = samples[at:at + client.MAX_SAMPLES]
                    connection.start_ingest(client.ingest_body(request))
                    connection.finish_ingest(len(request))
        connection.close()
        outputs = os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR") or os.environ["TEST_TMPDIR"]
        here = os.path.dirname(os.path.abspath(__file__))
        modules = os.path.join(os.environ["TEST_SRCDIR"], "dashboard_npm", "node_modules")
        # The links of runfiles are kept, so that only declared files are found.
        status = subprocess.run(
            [sys.argv[1], "--preserve-symlinks", "--preserve-symlinks-main", os.path.join(here, "dashboard_check.mjs"),
             server.url + "/", METRIC, os.path.join(outputs, "dashboard.png")],
            env={**os.environ, "NODE_PATH": modules, "HOME": os.environ["TEST_TMPDIR"]},
            timeout=90, check=False).returncode
        if status != 0 or not server.alive():
            print("the server's log:\n" + server.log())
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
