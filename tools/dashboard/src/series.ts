// From the API's points to the columns that uPlot draws. Pure functions, no DOM.
//
// Steps: counters become rates, holes in time become explicit nulls (uPlot draws a gap at null and
// joins over undefined), then all series of a panel are merged on one time column, because they
// need not have been sampled at the same moments.

export interface Point {
  readonly t: number; // Unix milliseconds
  readonly v: number | null; // null: not a number there
}

export interface Column {
  readonly timesMs: number[];
  readonly values: (number | null)[];
}

/**
 * uPlot's data: seconds first, then one column a series; undefined = no sample of that series at
 * that time.
 */
export type Table = [number[], ...(number | null | undefined)[][]];

/** Wider than this many usual intervals is a gap. Below 3, one late scrape would tear the line. */
const kGapIntervals = 3.5;

/** Whether a metric only grows, so that its rate is what people want to see. */
export function isCounter(metric: string, type: string | undefined): boolean {
  if (metric.endsWith("_total")) return true;
  return type === "counter";
}

/** The usual distance of neighbouring points: their median; 0 with fewer than two points. */
export function usualIntervalMs(points: readonly Point[]): number {
  const distances: number[] = [];
  for (let i = 1; i < points.length; i++) distances.push(points[i]!.t - points[i - 1]!.t);
  distances.sort((a, b) => a - b);
  return distances[distances.length >> 1] ?? 0;
}

/** A null in the middle of each hole, so that the line is interrupted there. */
export function withGaps(points: readonly Point[]): Column {
  const limitMs = usualIntervalMs(points) * kGapIntervals;
  const timesMs: number[] = [];
  const values: (number | null)[] = [];
  points.forEach((point, i) => {
    const previous = points[i - 1];
    if (previous && point.t - previous.t > limitMs) {
      timesMs.push(previous.t + (point.t - previous.t) / 2);
      values.push(null);
    }
    timesMs.push(point.t);
    values.push(point.v);
  });
  return { timesMs, values };
}

/**
 * Change per second of a counter, at the later point of each pair. A fall is a restart of the
 * counted process: what it shows now was counted since. The first point has no predecessor and is
 * left out; a pair around a hole or a null gives null, since the average over an outage would look
 * like a measurement.
 */
export function toRate(points: readonly Point[]): Point[] {
  const limitMs = usualIntervalMs(points) * kGapIntervals;
  const rates: Point[] = [];
  for (let i = 1; i < points.length; i++) {
    const before = points[i - 1]!;
    const now = points[i]!;
    const elapsedMs = now.t - before.t;
    if (elapsedMs <= 0) continue;
    if (before.v === null || now.v === null || elapsedMs > limitMs) {
      rates.push({ t: now.t, v: null });
      continue;
    }
    const change = now.v >= before.v ? now.v - before.v : now.v;
    rates.push({ t: now.t, v: (change * 1000) / elapsedMs });
  }
  return rates;
}

export function meanOf(points: readonly Point[]): number {
  let sum = 0;
  let count = 0;
  for (const { v } of points) {
    if (v === null || !Number.isFinite(v)) continue;
    sum += v;
    count++;
  }
  return count === 0 ? Number.NEGATIVE_INFINITY : sum / count;
}

/** Indices of the `limit` series with the largest means, in their original order. */
export function largest(all: readonly (readonly Point[])[], limit: number): number[] {
  const ranked = all.map((points, index) => ({ index, mean: meanOf(points) }));
  ranked.sort((a, b) => (a.mean === b.mean ? a.index - b.index : b.mean > a.mean ? 1 : -1));
  return ranked
    .slice(0, limit)
    .map(({ index }) => index)
    .sort((a, b) => a - b);
}

/**
 * Merges columns on one time column in seconds. Cost: O(total points · log) for the sorted set of
 * times.
 */
export function mergeColumns(columns: readonly Column[]): Table {
  const times = new Set<number>();
  for (const column of columns) for (const time of column.timesMs) times.add(time);
  const sorted = Float64Array.from(times).sort();
  const rowOf = new Map<number, number>();
  sorted.forEach((time, row) => rowOf.set(time, row));
  const table: Table = [Array.from(sorted, (time) => time / 1000)];
  for (const column of columns) {
    const merged = new Array<number | null | undefined>(sorted.length).fill(undefined);
    column.timesMs.forEach((time, i) => {
      const value = column.values[i] ?? null;
      merged[rowOf.get(time)!] = value !== null && Number.isFinite(value) ? value : null;
    });
    table.push(merged);
  }
  return table;
}

/** How many values will be drawn. */
export function countValues(table: Table): number {
  let count = 0;
  for (let i = 1; i < table.length; i++)
    for (const value of table[i]!) if (typeof value === "number") count++;
  return count;
}

export function lastValue(points: readonly Point[]): number | null {
  for (let i = points.length - 1; i >= 0; i--) {
    const value = points[i]!.v;
    if (value !== null) return value;
  }
  return null;
}

/**
 * The range of a value axis: from zero when zero is near (a load of 0.1 must not look like a peak),
 * else around the data (a temperature between 40 and 45 would be a flat line). Always of positive
 * height.
 */
export function valueRange(min: number | null, max: number | null): [number, number] {
  if (min === null || max === null || !Number.isFinite(min) || !Number.isFinite(max)) return [0, 1];
  if (min === max) {
    if (max === 0) return [0, 1];
    return max > 0 ? [0, max * 1.25] : [max * 1.25, 0];
  }
  const margin = (max - min) * 0.1;
  if (min >= 0 && min < max * 0.75) return [0, max + margin];
  if (max <= 0 && max > min * 0.75) return [min - margin, 0];
  return [min - margin, max + margin];
}
