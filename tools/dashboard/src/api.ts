// The server's HTTP API, as typed functions.
//
// URLs are relative to the page, so the page works behind a proxy under any prefix. Answers are
// checked field by field, not cast: the page must survive a server of another version. Every
// request ends within kTimeoutMs.

import type { Labels } from "./labels";
import type { Point } from "./series";
import type { TimeWindow } from "./time";

const kTimeoutMs = 10_000;

export interface Series {
  readonly labels: Labels;
  readonly points: readonly Point[];
  readonly resolution: string;
}

export interface Health {
  readonly status: string;
  readonly version: string;
  readonly uptime: string;
}

export interface Stats {
  readonly samples: number;
  readonly series: number;
}

export interface Storage {
  readonly usedBytes: number;
  readonly maxBytes: number;
}

/** The server could not be asked at all: it is down, or the network is. */
export class Unreachable extends Error {}

/** The server answered with an error; `message` is its own text. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

type Fields = Record<string, unknown>;

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []; // null and [] are the same answer
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

async function get(
  path: string,
  params: Readonly<Record<string, string>>,
  signal?: AbortSignal,
  okStatuses: readonly number[] = [],
): Promise<unknown> {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(params)) url.searchParams.set(name, value);
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), kTimeoutMs);
  const onAbort = (): void => timeout.abort();
  signal?.addEventListener("abort", onAbort);
  try {
    const response = await fetch(url, {
      signal: timeout.signal,
      headers: { Accept: "application/json" },
    });
    const body: unknown = await response.json().catch(() => null);
    if (response.ok || okStatuses.includes(response.status)) return body;
    throw new Refused(response.status, text(fields(body)["message"]) || `HTTP ${response.status}`);
  } catch (error) {
    if (error instanceof Refused || signal?.aborted) throw error;
    throw new Unreachable(timeout.signal.aborted ? "no answer in time" : "no connection");
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

export async function fetchMetricNames(signal?: AbortSignal): Promise<string[]> {
  const body = fields(await get("v1/metrics/list", {}, signal));
  return list(body["metrics"])
    .map(text)
    .filter((name) => name !== "");
}

/** A degraded server answers 503 with the same body: an answer, not an error. */
export async function fetchHealth(signal?: AbortSignal): Promise<Health> {
  const body = fields(await get("v1/health", {}, signal, [503]));
  return {
    status: text(body["status"]),
    version: text(body["version"]),
    uptime: text(body["uptime"]),
  };
}

export async function fetchStats(signal?: AbortSignal): Promise<Stats> {
  const body = fields(await get("v1/stats", {}, signal));
  return { samples: number(body["TotalMetrics"]), series: number(body["TotalSeries"]) };
}

export async function fetchStorage(signal?: AbortSignal): Promise<Storage> {
  const body = fields(await get("v1/storage", {}, signal));
  return { usedBytes: number(body["used_bytes"]), maxBytes: number(body["max_bytes"]) };
}

function readPoint(value: unknown): Point {
  const point = fields(value);
  const v = point["v"];
  return { t: number(point["t"]), v: typeof v === "number" ? v : null };
}

function readLabels(value: unknown): Labels {
  const labels: Record<string, string> = {};
  for (const [name, label] of Object.entries(fields(value)))
    if (name !== "__name__") labels[name] = text(label);
  return labels;
}

/**
 * What to ask for one metric in a window. A metric shown as a rate is thinned to the last point of
 * each group: the mean of a counter around a restart is a value it never had, and the rate towards
 * it a spike that never was.
 */
export function rangeParameters(
  metric: string,
  window: TimeWindow,
  maxPoints: number,
  asRate: boolean,
): Record<string, string> {
  return {
    metric,
    start: new Date(window.fromMs).toISOString(),
    end: new Date(window.toMs).toISOString(),
    maxPoints: String(maxPoints),
    ...(asRate ? { agg: "last" } : {}),
  };
}

/** Every series of one metric, each thinned by the server to about the points asked for. */
export async function fetchRange(
  parameters: Record<string, string>,
  signal?: AbortSignal,
): Promise<Series[]> {
  const body = fields(await get("v1/query/range", parameters, signal));
  return list(body["data"]).map((entry) => {
    const series = fields(entry);
    return {
      labels: readLabels(series["labels"]),
      points: list(series["points"]).map(readPoint),
      resolution: text(series["resolution"]) || "raw",
    };
  });
}

/**
 * The declared type of a metric ("counter", "gauge", …), or undefined while no recent sample tells.
 */
export async function fetchType(
  metric: string,
  nowMs: number,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const body = fields(
    await get(
      "v1/query",
      {
        metric,
        start: new Date(nowMs - 120_000).toISOString(),
        end: new Date(nowMs).toISOString(),
      },
      signal,
    ),
  );
  const first = list(body["metrics"])[0];
  return first === undefined ? undefined : text(fields(first)["type"]) || "unknown";
}
