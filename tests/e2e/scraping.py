"""Scrapes of a real exporter, as samples with times chosen here.

Real scrapes come a minute apart; the test has seconds in all. So each scrape is given a time of its own, a minute
after the one before, and the last one about now: hours of data, over the edges of the store's chunks and partitions.
"""

import math
import urllib.request

import exposition

SCRAPE_STEP_MS = 60 * 1000


class Scraper:
    """One thread's."""

    def __init__(self, exporter_url, first_ms):
        self._url = exporter_url + "/metrics"
        self._next_ms = first_ms
        self.scrapes = 0
        self.left_out = 0  # NaN and infinities, which JSON cannot carry

    def scrape(self):
        """[(labels, type, timestamp_ms, value)]"""
        with urllib.request.urlopen(self._url, timeout=20) as response:
            text = response.read().decode("utf-8")
        found = exposition.parse(text)
        finite = [(labels, kind, self._next_ms, value) for labels, kind, value in found if math.isfinite(value)]
        self.left_out += len(found) - len(finite)
        self.scrapes += 1
        # A few milliseconds of drift, so that times are not all round.
        self._next_ms += SCRAPE_STEP_MS + self.scrapes % 7
        return finite
