// Ranges, the window that is drawn, the time axis, and when to ask again. Run with TZ=UTC.
import assert from "node:assert/strict";
import { test } from "node:test";

import { nextPollMs, POLL_MS } from "../../tools/dashboard/src/poll";
import {
  formatClock,
  formatMoment,
  formatTicks,
  rangeById,
  shortUptime,
  visibleWindow,
} from "../../tools/dashboard/src/time";

const kNoonMs = Date.UTC(2025, 10, 23, 12, 0, 0);
const kHourMs = 3_600_000;

test("an unknown range is the default", () => {
  assert.equal(rangeById("6h").spanMs, 6 * kHourMs);
  assert.equal(rangeById("1y").id, "1h");
  assert.equal(rangeById(null).id, "1h");
});

test("the window is the range when data reach back over half of it", () => {
  const range = { fromMs: kNoonMs - kHourMs, toMs: kNoonMs };
  assert.deepEqual(visibleWindow(range, kNoonMs - kHourMs), range);
  assert.deepEqual(visibleWindow(range, kNoonMs - 0.6 * kHourMs), range);
  assert.deepEqual(visibleWindow(range, null), range);
});

test("the window of a young server starts at its first sample, but is a minute at least", () => {
  const range = { fromMs: kNoonMs - kHourMs, toMs: kNoonMs };
  assert.equal(visibleWindow(range, kNoonMs - 300_000).fromMs, kNoonMs - 300_000);
  assert.equal(visibleWindow(range, kNoonMs - 5_000).fromMs, kNoonMs - 60_000);
  assert.equal(visibleWindow(range, kNoonMs + 5_000).fromMs, kNoonMs - 60_000);
});

test("clock texts are 24-hour", () => {
  assert.equal(formatClock(kNoonMs + 3 * kHourMs + 65_000), "15:01");
  assert.equal(formatClock(kNoonMs + 65_000, true), "12:01:05");
  assert.equal(formatMoment(kNoonMs), "23 Nov 12:00:00");
});

test("the axis shows the date at midnight and seconds only when ticks are close", () => {
  const noonS = kNoonMs / 1000;
  assert.deepEqual(formatTicks([noonS, noonS + 600], 600), ["12:00", "12:10"]);
  assert.deepEqual(formatTicks([noonS, noonS + 10], 10), ["12:00:00", "12:00:10"]);
  assert.deepEqual(formatTicks([noonS + 43_200], 10_800), ["24 Nov"]);
});

test("uptime is short", () => {
  assert.equal(shortUptime("1h2m3.5s"), "1h 2m");
  assert.equal(shortUptime("62h0m1s"), "2d 14h");
  assert.equal(shortUptime("4m0.1s"), "4m 0s");
  assert.equal(shortUptime("250ms"), "0s");
  assert.equal(shortUptime("soon"), "soon");
});

test("polling is fast while there is nothing to see, then slow", () => {
  const usual = { reachable: true, drawn: true, oldestAgeMs: kHourMs, openMs: 60_000 };
  assert.equal(nextPollMs(usual), POLL_MS);
  assert.ok(nextPollMs({ ...usual, drawn: false, oldestAgeMs: null }) <= 5000);
  assert.ok(nextPollMs({ ...usual, oldestAgeMs: 20_000 }) <= 5000);
  assert.ok(nextPollMs({ ...usual, reachable: false }) <= 5000);
});
