// A stand-in for tinyobs-serve: the dashboard's files and canned, deterministic answers of its API.
//
// Goal: test the page alone, in states that are hard to bring a real server into (empty, a hole in
// the data, a name made of markup, more series than a chart shows, away for a while). The
// end-to-end test uses the real server.
//
// By hand: node mock_server.mjs ASSET_FOLDER [PORT]
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

const kTypes = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};
const kPolicy = "default-src 'self'; style-src 'self' 'unsafe-inline'";
const kIntervalMs = 15_000;

/** A metric whose name would run a script if the page put it into markup. */
export const kHostileName = '<img src=x onerror="document.title=1">';

/** Smooth noise in [-1, 1] that depends on the time and a seed alone. */
function wave(seed, t) {
  const minutes = t / 60_000;
  return (
    0.5 * Math.sin(minutes / (11 + seed) + seed) +
    0.3 * Math.sin(minutes / (2.3 + seed / 7) + seed * 2) +
    0.2 * Math.sin(minutes * (1.7 + seed) + seed * 3)
  );
}

const gauge = (labels, base, swing) => (seed) => ({
  labels,
  value: (t) => base + swing * wave(seed, t),
});
/**
 * A counter whose rate swings around `rate`; the integral of the wave is left out, the steps are
 * what counts.
 */
const counter = (labels, rate, swing) => (seed) => {
  let total = 1e4;
  return {
    labels,
    reset: () => (total = 1e4),
    value: (t) => (total += Math.max(0, rate + swing * wave(seed, t)) * (kIntervalMs / 1000)),
  };
};

const host = { instance: "localhost:8080", job: "tinyobs" };
const kGiB = 2 ** 30;
const kMetrics = {
  host_cpu_seconds_total: ["user", "system", "idle", "iowait", "softirq"].map((mode, i) =>
    counter({ ...host, mode }, [1.1, 0.4, 6.1, 0.06, 0.03][i], [0.9, 0.3, 1.2, 0.05, 0.02][i]),
  ),
  host_cpu_usage_percent: [gauge(host, 23, 14)],
  host_memory_total_bytes: [gauge(host, 16 * kGiB, 0)],
  host_memory_used_bytes: [gauge(host, 6.4 * kGiB, 1.1 * kGiB)],
  host_memory_available_bytes: [gauge(host, 8.9 * kGiB, 1.1 * kGiB)],
  host_load1: [gauge(host, 1.4, 0.9)],
  host_load5: [gauge(host, 1.3, 0.4)],
  host_load15: [gauge(host, 1.2, 0.2)],
  host_network_receive_bytes_total: ["eth0", "lo"].map((device, i) =>
    counter({ ...host, device }, [420_000, 90_000][i], 90_000),
  ),
  host_network_transmit_bytes_total: ["eth0", "lo"].map((device, i) =>
    counter({ ...host, device }, [150_000, 90_000][i], 50_000),
  ),
  host_disk_read_bytes_total: ["nvme0n1"].map((device) =>
    counter({ ...host, device }, 200_000, 300_000),
  ),
  host_disk_written_bytes_total: ["nvme0n1"].map((device) =>
    counter({ ...host, device }, 900_000, 700_000),
  ),
  host_filesystem_usage_percent: ["/", "/home"].map((mountpoint, i) =>
    gauge({ ...host, mountpoint }, 41 + 23 * i, 0.6),
  ),
  host_memory_usage_percent: [gauge(host, 41, 7)],
  tinyobs_samples_appended_total: [counter(host, 1800, 600)],
  tinyobs_storage_disk_bytes: [gauge(host, 81e6, 4e6)],
  tinyobs_series: [gauge(host, 214, 0)],
  go_goroutines: [gauge({ service: "shop" }, 41, 9)],
  http_request_duration_seconds: ["/cart", "/pay", "/search"].map((path, i) =>
    gauge({ service: "shop", path }, 0.02 + 0.03 * i, 0.015),
  ),
  shop_orders: ["GET", "POST"].map((method, i) => counter({ method }, 4 + i, 2)),
  worker_queue_length: Array.from({ length: 33 }, (_, i) =>
    gauge({ worker: `w-${i}` }, 20 + i * 4, 9),
  ),
  [kHostileName]: [gauge({ '"><script>': "<b>bold</b>" }, 3, 1)],
};

/** Metrics whose type only the samples tell: counters without the suffix. */
const kTypesOfSamples = { shop_orders: "counter" };

function rangeOf(name, start, end, state) {
  const from = Math.max(start, state.startedMs);
  return (kMetrics[name] ?? []).map((make, seed) => {
    const series = make(seed + name.length);
    const points = [];
    for (let t = Math.ceil(from / kIntervalMs) * kIntervalMs; t <= end; t += kIntervalMs) {
      const v = series.value(t);
      // The network was not measured for a while: a gap must be seen.
      const missing =
        name.startsWith("host_network") && t > end - 25 * 60_000 && t < end - 17 * 60_000;
      if (!missing) points.push({ t, v });
    }
    return { metric: name, labels: series.labels, points, resolution: "raw" };
  });
}

function thin(series, maxPoints) {
  const bucket = Math.floor(series.points.length / maxPoints);
  if (bucket <= 1) return series;
  const points = [];
  for (let i = 0; i < series.points.length; i += bucket) {
    const part = series.points.slice(i, i + bucket);
    points.push({ t: part[0].t, v: part.reduce((sum, point) => sum + point.v, 0) / part.length });
  }
  return { ...series, points };
}

function answer(url, state) {
  const names = state.empty ? [] : Object.keys(kMetrics).sort();
  const time = (key) => Date.parse(url.searchParams.get(key));
  switch (url.pathname) {
    case "/v1/metrics/list":
      return { metrics: names, count: names.length };
    case "/v1/stats":
      return { TotalMetrics: state.empty ? 0 : 1_284_310, TotalSeries: state.empty ? 0 : 214 };
    case "/v1/storage":
      return { used_bytes: state.empty ? 0 : 83_886_080, max_bytes: 1_073_741_824 };
    case "/v1/health":
      return { status: "healthy", version: "0.1.0", uptime: "3h12m5.5s" };
    case "/v1/query": {
      const name = url.searchParams.get("metric");
      const sample = {
        name,
        type: kTypesOfSamples[name] ?? "gauge",
        value: 1,
        timestamp: new Date().toISOString(),
      };
      return { metrics: names.includes(name) ? [sample] : null, count: 1 };
    }
    case "/v1/query/range": {
      const name = url.searchParams.get("metric");
      const maxPoints = Number(url.searchParams.get("maxPoints"));
      const data = names.includes(name) ? rangeOf(name, time("start"), time("end"), state) : [];
      return { data: data.map((series) => thin(series, maxPoints)) };
    }
    default:
      return null;
  }
}

/**
 * Starts the server on a free loopback port (or `port`). `state` may be changed while it runs:
 * `empty` (no metrics), `startedMs` (no samples before that time), `failing` (every answer of the
 * API is an error).
 */
export async function startMockServer(assetFolder, { port = 0 } = {}) {
  const state = { empty: false, failing: false, startedMs: 0 };
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://mock");
    response.setHeader("Content-Security-Policy", kPolicy);
    response.setHeader("Cache-Control", "no-cache");
    if (url.pathname.startsWith("/v1/")) {
      const body = state.failing ? null : answer(url, state);
      response.writeHead(body ? 200 : 500, { "Content-Type": "application/json" });
      response.end(
        JSON.stringify(body ?? { error: "Internal Server Error", message: "out of order" }),
      );
      return;
    }
    const file = url.pathname === "/" ? "index.html" : url.pathname.replace(/^\/web\//, "");
    try {
      if (!/^[\w.]+$/.test(file)) throw new Error("no such file");
      const body = readFileSync(join(assetFolder, file));
      response.writeHead(200, {
        "Content-Type": kTypes[extname(file)] ?? "application/octet-stream",
      });
      response.end(body);
    } catch {
      response.writeHead(404).end("404 page not found");
    }
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    state,
    baseUrl: `http://127.0.0.1:${server.address().port}/`,
    stop: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = await startMockServer(process.argv[2], { port: Number(process.argv[3] ?? 0) });
  console.log(server.baseUrl);
}
