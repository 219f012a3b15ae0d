// Looks at the dashboard with a real browser: Debian's Chromium, driven by playwright-core.
//
// A library, so that the page's own test (against a stand-in server) and the end-to-end test
// (against the real one) check the same things. playwright-core is resolved from NODE_PATH, which
// is where Bazel's tests point it (@dashboard_npm//:node_modules); an `import` would not look
// there, so it is required.
import { createRequire } from "node:module";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";

const { chromium } = createRequire(import.meta.url)("playwright-core");

const kChromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
const kArguments = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const kDesktop = { width: 1440, height: 900 };
const kPhone = { width: 390, height: 844 };

export function check(condition, message) {
  if (!condition) throw new Error(message);
}

export async function launchBrowser() {
  return chromium.launch({ executablePath: kChromium, headless: true, args: kArguments });
}

/**
 * A page that remembers everything wrong: console errors, exceptions, failed and foreign requests.
 */
export async function openPage(browser, baseUrl, { colorScheme = "light", hash = "" } = {}) {
  const context = await browser.newContext({
    viewport: kDesktop,
    colorScheme,
    timezoneId: "UTC",
    locale: "en-GB",
  });
  const page = await context.newPage();
  const origin = new URL(baseUrl).origin;
  const problems = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning")
      problems.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => problems.push(`exception: ${error.message}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.origin !== origin && url.protocol !== "data:")
      problems.push(`request to another host: ${url.href}`);
  });
  await page.goto(new URL(hash, baseUrl).href, { waitUntil: "load" });
  return { page, problems, close: () => context.close() };
}

function panelSelector(metric) {
  return metric === undefined
    ? "section.panel"
    : `section.panel[data-metric=${JSON.stringify(metric)}]`;
}

/**
 * Waits until a panel (of `metric`, or any) has drawn a line of at least `minPoints` values, and
 * returns {metric, points, pixels}: what uPlot holds and how many pixels of a line's colour are on
 * the canvas.
 */
export async function waitForChart(page, { metric, minPoints = 2, timeoutMs = 30_000 } = {}) {
  const handle = await page.waitForFunction(
    ({ selector, minPoints }) => {
      for (const panel of document.querySelectorAll(selector)) {
        const points = Number(panel.dataset.points);
        const canvas = panel.querySelector("canvas");
        if (!canvas || points < minPoints) continue;
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let pixels = 0;
        for (let i = 0; i < data.length; i += 4) {
          // Lines are saturated and opaque; axes, grid and text are grey.
          const [r, g, b, alpha] = data.subarray(i, i + 4);
          if (alpha > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 60) pixels++;
        }
        if (pixels >= 20) return { metric: panel.dataset.metric, points, pixels };
      }
      return null;
    },
    { selector: panelSelector(metric), minPoints },
    { timeout: timeoutMs, polling: 200 },
  );
  return handle.jsonValue();
}

async function checkSearch(page) {
  const names = page.locator("#metric-groups button[data-name]");
  const all = await names.count();
  check(all > 0, "the list of metrics is empty");
  const wanted = await names.first().getAttribute("data-name");
  await page.locator("body").press("/");
  check(
    await page.evaluate(() => document.activeElement?.id === "search"),
    "the key / does not focus the search",
  );
  await page.keyboard.type(wanted);
  const found = await names.evaluateAll((buttons) => buttons.map((button) => button.dataset.name));
  check(found.includes(wanted), `searching for ${wanted} does not find it`);
  check(
    found.every((name) => name.toLowerCase().includes(wanted.toLowerCase())),
    "the search shows other metrics",
  );
  await page.keyboard.press("Escape");
  check((await names.count()) === all, "Escape does not clear the search");
}

async function checkToggle(page) {
  const before = await page.locator("section.panel").count();
  const button = page.locator('#metric-groups button[aria-pressed="true"]').first();
  const name = await button.getAttribute("data-name");
  const panel = page.locator(panelSelector(name));
  await button.evaluate((node) => node.click()); // its group may be folded
  await panel.waitFor({ state: "detached" });
  check(
    (await page.locator("section.panel").count()) === before - 1,
    "removing one chart removed others",
  );
  check(page.url().includes("m="), "the choice is not in the URL");
  await page.goBack();
  await panel.waitFor({ state: "attached" });
}

async function checkRanges(page) {
  for (const [key, id] of [
    ["2", "6h"],
    ["3", "24h"],
    ["1", "1h"],
  ]) {
    // Requests of the range before may still be answered: only those of this one count.
    const answered = page.waitForResponse((response) => {
      const url = new URL(response.url());
      if (!url.pathname.endsWith("/v1/query/range") || !response.ok()) return false;
      const hours =
        (Date.parse(url.searchParams.get("end")) - Date.parse(url.searchParams.get("start"))) /
        3.6e6;
      return Math.abs(hours - Number.parseInt(id, 10)) < 0.01;
    });
    await page.locator("body").press(key);
    await answered;
    const pressed = await page.locator('#ranges button[aria-pressed="true"]').allTextContents();
    check(pressed.length === 1 && pressed[0] === id, `range ${id}: pressed is ${pressed}`);
  }
}

async function checkTheme(page) {
  const look = () =>
    page.evaluate(() => [
      document.documentElement.dataset.theme,
      getComputedStyle(document.body).backgroundColor,
    ]);
  const [name, ground] = await look();
  await page.locator("body").press("t");
  const [otherName, otherGround] = await look();
  check(name !== otherName && ground !== otherGround, "the key T does not change the theme");
  await page.locator("#theme").click();
  check((await look())[0] === name, "the theme button does not change it back");
}

async function checkPhone(page) {
  await page.setViewportSize(kPhone);
  await page.waitForFunction(() => {
    const canvas = document.querySelector("section.panel canvas");
    return canvas && canvas.getBoundingClientRect().right <= innerWidth;
  });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  check(width <= kPhone.width, `a phone scrolls sideways: ${width} > ${kPhone.width}`);
}

/**
 * Opens the dashboard at `baseUrl` and checks that a person could use it: a chart (of
 * `expectMetric`, if given) has drawn a line from real data within `timeoutMs` (generous: a busy
 * machine is slow); search, choice, ranges and themes work; it fits a phone; nothing was reported
 * to the console and no request left the origin. Throws an Error that says what is wrong. Writes
 * the whole page to `screenshotPath` (PNG) when given. Returns {metric, points, pixels} of the
 * chart.
 */
export async function checkDashboard(
  baseUrl,
  { screenshotPath, expectMetric, timeoutMs = 30_000 } = {},
) {
  const browser = await launchBrowser();
  try {
    const hash = expectMetric === undefined ? "" : `#${new URLSearchParams({ m: expectMetric })}`;
    const { page, problems } = await openPage(browser, baseUrl, { hash });
    const drawn = await waitForChart(page, { metric: expectMetric, timeoutMs });
    await page.waitForFunction(
      () => document.querySelector("#connection")?.dataset.state === "live",
    );
    if (screenshotPath) {
      mkdirSync(dirname(screenshotPath), { recursive: true });
      await page.waitForFunction(() => !document.body.classList.contains("refreshing"));
      await page.screenshot({ path: screenshotPath, fullPage: true });
    }
    await checkSearch(page);
    await checkToggle(page);
    await checkRanges(page);
    await checkTheme(page);
    await checkPhone(page);
    check(problems.length === 0, `the page reported problems:\n${problems.join("\n")}`);
    return drawn;
  } finally {
    await browser.close();
  }
}
