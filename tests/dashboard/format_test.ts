// Numbers for people: units from names, values, axes.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  axisSteps,
  formatAxis,
  formatBytes,
  formatExact,
  formatValue,
  unitName,
  unitOf,
} from "../../tools/dashboard/src/format";

const plain = { kind: "number", perSecond: false } as const;
const bytes = { kind: "bytes", perSecond: false } as const;
const seconds = { kind: "seconds", perSecond: false } as const;

test("the unit is the suffix, also before _total and _sum", () => {
  assert.equal(unitOf("host_memory_used_bytes").kind, "bytes");
  assert.equal(unitOf("net_receive_bytes_total").kind, "bytes");
  assert.equal(unitOf("request_duration_seconds_sum").kind, "seconds");
  assert.equal(unitOf("cpu_percent").kind, "percent");
  assert.equal(unitOf("bytes").kind, "bytes");
});

test("counts of a histogram of seconds are not seconds", () => {
  assert.equal(unitOf("request_duration_seconds_count").kind, "number");
  assert.equal(unitOf("request_duration_seconds_bucket").kind, "number");
});

test("a name that only contains a unit has none", () => {
  assert.equal(unitOf("kilobytes").kind, "number");
  assert.equal(unitOf("bytes_per_request").kind, "number");
});

test("unit names say that a value is a rate", () => {
  assert.equal(unitName(unitOf("x_bytes_total", true)), "bytes per second");
  assert.equal(unitName(unitOf("x_total", true)), "per second");
  assert.equal(unitName(unitOf("x")), "");
});

test("values keep three significant digits", () => {
  assert.equal(formatValue(0, plain), "0");
  assert.equal(formatValue(1.23456, plain), "1.23");
  assert.equal(formatValue(0.000123456, plain), "0.000123");
  assert.equal(formatValue(1.5e-7, plain), "1.5e-7");
  assert.equal(formatValue(-12.345, plain), "-12.3");
  assert.equal(formatValue(123.9, plain), "124");
  assert.equal(formatValue(1_234_567, plain), "1.23M");
});

test("a value never reads as a thousand of the smaller unit", () => {
  assert.equal(formatValue(999.4, plain), "999");
  assert.equal(formatValue(999.7, plain), "1k");
  assert.equal(formatBytes(1023.9), "1 KiB");
});

test("bytes count in powers of 1024", () => {
  assert.equal(formatBytes(0), "0 B");
  assert.equal(formatBytes(1536), "1.5 KiB");
  assert.equal(formatBytes(8 * 2 ** 30), "8 GiB");
  assert.equal(formatValue(2048, { kind: "bytes", perSecond: true }), "2 KiB/s");
});

test("seconds use the unit that people would say", () => {
  assert.equal(formatValue(0.0025, seconds), "2.5 ms");
  assert.equal(formatValue(3e-6, seconds), "3 µs");
  assert.equal(formatValue(90, seconds), "90 s");
  assert.equal(formatValue(300, seconds), "5 min");
  assert.equal(formatValue(86_400 * 3, seconds), "3 d");
});

test("missing and infinite values have a sign of their own", () => {
  assert.equal(formatValue(null, plain), "–");
  assert.equal(formatValue(Number.NaN, plain), "–");
  assert.equal(formatValue(-Infinity, plain), "−∞");
});

test("an axis has one unit and the digits of its step", () => {
  assert.deepEqual(formatAxis([0, 0.5 * 2 ** 20, 2 ** 20], 0.5 * 2 ** 20, 1.2 * 2 ** 20, bytes), [
    "0 MiB",
    "0.5 MiB",
    "1.0 MiB",
  ]);
  assert.deepEqual(formatAxis([1000, 1050, 1100], 50, 1100, plain), ["1.00k", "1.05k", "1.10k"]);
  assert.deepEqual(formatAxis([0.02, 0.04], 0.02, 0.04, seconds), ["20 ms", "40 ms"]);
});

test("steps of an axis are round in its unit", () => {
  assert.ok(axisSteps(3 * 2 ** 20, bytes).includes(2 ** 20));
  assert.ok(axisSteps(600, seconds).includes(60));
  assert.ok(axisSteps(100, plain).includes(20));
});

test("exact numbers group their thousands", () => {
  assert.equal(formatExact(1_234_567), "1\u2009234\u2009567");
  assert.equal(formatExact(12), "12");
});
