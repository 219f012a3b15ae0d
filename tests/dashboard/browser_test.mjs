// The dashboard in a real browser, against the stand-in server.
//
// Usage: node browser_test.mjs INDEX_HTML APP_JS STYLE_CSS FAVICON_SVG. Screenshots go to
// TEST_UNDECLARED_OUTPUTS_DIR. Every page must end without a console message and without a request
// to another host.
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";

import { checkDashboard, launchBrowser, openPage, waitForChart } from "./browser.mjs";
import { kHostileName, startMockServer } from "./mock_server.mjs";

const outputs = process.env.TEST_UNDECLARED_OUTPUTS_DIR;
const screenshot = (name) => (outputs ? join(outputs, name) : undefined);

const assets = mkdtempSync(join(process.env.TEST_TMPDIR ?? tmpdir(), "assets-"));
for (const file of process.argv.slice(2)) copyFileSync(file, join(assets, basename(file)));

let server;
let browser;
before(async () => {
  server = await startMockServer(assets);
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Opens the page at `hash`, runs `body(page)`, and insists that nothing was reported. */
async function onPage(options, body) {
  const { page, problems, close } = await openPage(browser, server.baseUrl, options);
  try {
    await body(page);
    assert.deepEqual(problems, []);
  } finally {
    await close();
  }
}

const panel = (page, metric) =>
  page.locator(`section.panel[data-metric=${JSON.stringify(metric)}]`);

test("a person can use the page: charts, search, ranges, themes, phone", async () => {
  const drawn = await checkDashboard(server.baseUrl, { screenshotPath: screenshot("light.png") });
  assert.ok(drawn.points > 100);
});

test("the chart of an expected metric is drawn", async () => {
  const drawn = await checkDashboard(server.baseUrl, { expectMetric: "tinyobs_series" });
  assert.equal(drawn.metric, "tinyobs_series");
});

test("the check itself fails when the expected metric has no data", async () => {
  await assert.rejects(
    onPage({ hash: "#m=no_such_metric" }, (page) =>
      waitForChart(page, { metric: "no_such_metric", timeoutMs: 1500 }),
    ),
    /Timeout/,
  );
});

test("a first visit shows the host and the server itself", () =>
  onPage({ colorScheme: "dark" }, async (page) => {
    await waitForChart(page, { metric: "host_memory_used_bytes" });
    await waitForChart(page, { metric: "tinyobs_storage_disk_bytes" });
    assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
    if (outputs) await page.screenshot({ path: screenshot("dark.png") });
  }));

test("counters are drawn as rates and say so, by suffix and by declared type", () =>
  onPage({ hash: "#m=host_cpu_seconds_total&m=shop_orders&m=host_load1" }, async (page) => {
    for (const metric of ["host_cpu_seconds_total", "shop_orders", "host_load1"])
      await waitForChart(page, { metric });
    assert.match(
      await panel(page, "host_cpu_seconds_total").locator(".note").innerText(),
      /rate, seconds per second/,
    );
    assert.match(await panel(page, "shop_orders").locator(".note").innerText(), /rate per second/);
    assert.doesNotMatch(await panel(page, "host_load1").locator(".note").innerText(), /rate/);
    const names = await panel(page, "host_cpu_seconds_total")
      .locator(".legend .name")
      .allInnerTexts();
    assert.deepEqual(names, ["idle", "iowait", "softirq", "system", "user"]);
  }));

test("many series are limited, with a note", () =>
  onPage({ hash: "#m=worker_queue_length" }, async (page) => {
    await waitForChart(page, { metric: "worker_queue_length" });
    const root = panel(page, "worker_queue_length");
    assert.equal(await root.locator(".legend li").count(), 20);
    assert.match(await root.locator(".note").innerText(), /20 largest of 33/);
    assert.ok((await root.locator(".legend .name").allInnerTexts()).includes("w-32"));
    const row = root.locator(".legend button").first();
    await row.click();
    assert.equal(await row.getAttribute("aria-pressed"), "true");
    assert.equal(await root.locator(".legend .dimmed").count(), 19);
  }));

test("names and labels made of markup are shown, not run", () =>
  onPage({ hash: `#${new URLSearchParams({ m: kHostileName })}` }, async (page) => {
    await page.waitForFunction(
      () => Number(document.querySelector("section.panel")?.dataset.points) > 1,
    );
    assert.equal(await page.locator("section.panel h3").innerText(), kHostileName);
    assert.equal(await page.title(), "TinyObs");
    assert.equal(await page.locator("main img, nav img, main b, main script").count(), 0);
  }));

test("polling updates the same canvas, and a removed panel leaves nothing behind", () =>
  onPage({ hash: "#m=host_load1&m=host_load5" }, async (page) => {
    await waitForChart(page, { metric: "host_load1" });
    await page.evaluate(() =>
      document.querySelectorAll("canvas").forEach((canvas) => (canvas.marked = true)),
    );
    for (const key of ["r", "2", "t", "1"]) {
      const answered = page.waitForResponse((response) => response.url().includes("/v1/stats"));
      if (key === "t") await page.locator("body").press("r");
      await page.locator("body").press(key);
      await answered;
    }
    await page.waitForFunction(() => !document.body.classList.contains("refreshing"));
    assert.ok(
      await page.evaluate(() =>
        [...document.querySelectorAll("canvas")].every((canvas) => canvas.marked),
      ),
    );
    await panel(page, "host_load5").locator(".remove").click();
    await panel(page, "host_load5").waitFor({ state: "detached" });
    assert.equal(await page.locator("canvas").count(), 1);
    assert.match(page.url(), /m=host_load1$/);
  }));

test("an empty server says what to do, and comes alive by itself within seconds", async () => {
  server.state.empty = true;
  try {
    await onPage({}, async (page) => {
      await page.locator("pre", { hasText: "/v1/ingest" }).waitFor();
      if (outputs) await page.screenshot({ path: screenshot("empty.png") });
      server.state.empty = false;
      server.state.startedMs = Date.now() - 40_000; // two or three samples
      await waitForChart(page, { metric: "host_load1" });
      await page.locator("pre").waitFor({ state: "detached" });
    });
  } finally {
    server.state.empty = false;
    server.state.startedMs = 0;
  }
});

test("no chart chosen offers the default ones", () =>
  onPage({ hash: "#m=" }, async (page) => {
    await page.getByRole("button", { name: "show the default charts" }).click();
    await waitForChart(page, { metric: "host_load1" });
  }));

test("a server that goes away is announced, old charts stay, and it recovers", async () => {
  const other = await startMockServer(assets);
  const { page, close } = await openPage(browser, other.baseUrl, { hash: "#m=host_load1" });
  try {
    await waitForChart(page, { metric: "host_load1" });
    const port = Number(new URL(other.baseUrl).port);
    await other.stop();
    await page.locator("body").press("r");
    await page.locator("#banner", { hasText: "does not answer" }).waitFor();
    assert.equal(await page.locator("#connection").getAttribute("data-state"), "down");
    await waitForChart(page, { metric: "host_load1" });
    const back = await startMockServer(assets, { port });
    try {
      await page.locator('#connection[data-state="live"]').waitFor();
      assert.equal(await page.locator("#banner").isVisible(), false);
    } finally {
      await back.stop();
    }
  } finally {
    await close();
  }
});

test("an error of the server is shown in its own words", async () => {
  const other = await startMockServer(assets);
  other.state.failing = true;
  const { page, close } = await openPage(browser, other.baseUrl, { hash: "#m=host_load1" });
  try {
    await panel(page, "host_load1")
      .locator(".message.error", { hasText: "out of order" })
      .waitFor();
    await page.locator("#banner", { hasText: "out of order" }).waitFor();
    assert.equal(await page.locator("#connection").getAttribute("data-state"), "degraded");
  } finally {
    await close();
    await other.stop();
  }
});
