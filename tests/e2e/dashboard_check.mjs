// The page at BASE_URL in Chromium: dashboard_check.mjs BASE_URL METRIC SCREENSHOT. Prints what was drawn.
import { checkDashboard } from "../dashboard/browser.mjs";

const [baseUrl, expectMetric, screenshotPath] = process.argv.slice(2);
try {
  const drawn = await checkDashboard(baseUrl, { expectMetric, screenshotPath });
  if (drawn.metric !== expectMetric) throw new Error(`drew ${drawn.metric}, not ${expectMetric}`);
  console.log(`drawn: ${JSON.stringify(drawn)}`);
} catch (error) {
  console.log(`FAILED: ${error.stack ?? error}`);
  process.exit(1);
}
