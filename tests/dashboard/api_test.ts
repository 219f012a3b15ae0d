// What the page asks the server for.
import assert from "node:assert/strict";
import { test } from "node:test";

import { rangeParameters } from "../../tools/dashboard/src/api";

const kWindow = { fromMs: Date.UTC(2025, 10, 23, 11), toMs: Date.UTC(2025, 10, 23, 12) };

test("a metric shown as it is asks for what the server does by itself", () => {
  assert.deepEqual(rangeParameters("load", kWindow, 500, false), {
    metric: "load",
    start: "2025-11-23T11:00:00.000Z",
    end: "2025-11-23T12:00:00.000Z",
    maxPoints: "500",
  });
});

test("a metric shown as a rate asks for points that exist", () => {
  assert.equal(rangeParameters("requests_total", kWindow, 500, true)["agg"], "last");
});
