// From points to columns: rates, gaps, merging, ranking; and what series are called.
import assert from "node:assert/strict";
import { test } from "node:test";

import { commonText, labelKey, splitLabels } from "../../tools/dashboard/src/labels";
import {
  countValues,
  isCounter,
  largest,
  lastValue,
  mergeColumns,
  toRate,
  usualIntervalMs,
  valueRange,
  withGaps,
  type Point,
} from "../../tools/dashboard/src/series";

const at = (...pairs: readonly (readonly [number, number | null])[]): Point[] =>
  pairs.map(([s, v]) => ({ t: s * 1000, v }));
const values = (points: readonly Point[]): (number | null)[] => points.map(({ v }) => v);

test("a counter is known by its suffix or its declared type", () => {
  assert.ok(isCounter("requests_total", undefined));
  assert.ok(isCounter("requests", "counter"));
  assert.ok(!isCounter("requests", "gauge"));
  assert.ok(!isCounter("requests", undefined));
});

test("a rate is the change per second at the later point", () => {
  assert.deepEqual(toRate(at([0, 100], [10, 150], [20, 150])), at([10, 5], [20, 0]));
});

test("a counter that fell was reset: what it shows was counted since", () => {
  assert.deepEqual(values(toRate(at([0, 100], [10, 200], [20, 30], [30, 130]))), [10, 3, 10]);
});

test("a rate never bridges a hole or a null", () => {
  assert.deepEqual(values(toRate(at([0, 0], [10, 10], [20, 20], [120, 120], [130, 130]))), [
    1,
    1,
    null,
    1,
  ]);
  assert.deepEqual(values(toRate(at([0, 0], [10, null], [20, 20], [30, 30]))), [null, null, 1]);
});

test("one sample has no rate, and equal times do not divide by zero", () => {
  assert.deepEqual(toRate(at([0, 5])), []);
  assert.deepEqual(toRate(at([0, 5], [0, 6], [10, 16])), at([10, 1]));
});

test("the usual interval is not moved by one hole", () => {
  assert.equal(usualIntervalMs(at([0, 1], [10, 1], [20, 1], [500, 1], [510, 1])), 10_000);
  assert.equal(usualIntervalMs(at([0, 1])), 0);
});

test("a hole becomes one null between its ends, a late sample does not", () => {
  const column = withGaps(at([0, 1], [10, 2], [20, 3], [120, 4], [130, 5]));
  assert.deepEqual(column.values, [1, 2, 3, null, 4, 5]);
  assert.equal(column.timesMs[3], 70_000);
  assert.deepEqual(withGaps(at([0, 1], [10, 2], [30, 3], [40, 4])).values, [1, 2, 3, 4]);
});

test("columns merge on one sorted time column; undefined is no sample, null is a gap", () => {
  const table = mergeColumns([withGaps(at([10, 1], [20, null])), withGaps(at([15, 7], [20, 8]))]);
  assert.deepEqual(table, [
    [10, 15, 20],
    [1, undefined, null],
    [undefined, 7, 8],
  ]);
  assert.equal(countValues(table), 3);
});

test("infinite values are gaps, not points that would flatten the axis", () => {
  const table = mergeColumns([withGaps(at([10, Infinity], [20, 1]))]);
  assert.deepEqual(table[1], [null, 1]);
});

test("the largest series are chosen by mean and stay in order", () => {
  const all = [at([0, 1]), at([0, 9]), at([0, null]), at([0, 5], [1, 6])];
  assert.deepEqual(largest(all, 2), [1, 3]);
  assert.deepEqual(largest(all, 10), [0, 1, 2, 3]);
});

test("the last value skips a trailing null", () => {
  assert.equal(lastValue(at([0, 1], [1, 2], [2, null])), 2);
  assert.equal(lastValue([]), null);
});

test("the value axis starts at zero when zero is near, and has height always", () => {
  assert.equal(valueRange(0.2, 1)[0], 0);
  assert.ok(valueRange(40, 45)[0] > 30);
  for (const [min, max] of [
    valueRange(0, 0),
    valueRange(5, 5),
    valueRange(-5, -5),
    valueRange(null, null),
    valueRange(-2, 3),
  ]) {
    assert.ok(max > min);
  }
  assert.equal(valueRange(-9, -1)[1], 0);
});

test("common labels leave the names of series", () => {
  const split = splitLabels([
    { job: "a", mode: "idle" },
    { job: "a", mode: "user" },
  ]);
  assert.equal(commonText(split.common), "job=a");
  assert.deepEqual(split.names, ["idle", "user"]);
});

test("several differing labels are named, absent ones are left out", () => {
  assert.deepEqual(
    splitLabels([{ cpu: "0", mode: "idle" }, { cpu: "1", mode: "user" }, { cpu: "1" }]).names,
    ["cpu=0 mode=idle", "cpu=1 mode=user", "cpu=1"],
  );
  assert.deepEqual(splitLabels([{ path: "/a" }, {}]).names, ["/a", "no path"]);
  assert.deepEqual(splitLabels([{ job: "a" }]).names, [""]);
});

test("the identity of a series does not depend on the order of its labels", () => {
  assert.equal(labelKey({ a: "1", b: "2" }), labelKey({ b: "2", a: "1" }));
  assert.notEqual(labelKey({ a: "1,b", b: "" }), labelKey({ a: "1", b: ",b" }));
});
