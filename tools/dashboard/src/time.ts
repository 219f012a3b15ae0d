// Ranges of time and the text of the time axis.
//
// The API counts in milliseconds, uPlot in seconds: a variable says which by its name (…Ms, …S),
// and the one place that converts is series.ts. Text is 24-hour local time, because people compare
// a chart with the clock on their wall and with log files.

export interface Range {
  readonly id: string;
  readonly label: string;
  readonly spanMs: number;
}

const kMinuteMs = 60_000;
const kHourMs = 60 * kMinuteMs;

export const RANGES: readonly Range[] = [
  { id: "1h", label: "1 hour", spanMs: kHourMs },
  { id: "6h", label: "6 hours", spanMs: 6 * kHourMs },
  { id: "24h", label: "24 hours", spanMs: 24 * kHourMs },
];

export const DEFAULT_RANGE_ID = "1h";

/** The range of that id; an unknown id (an edited URL) is the default, never an error. */
export function rangeById(id: string | null): Range {
  return RANGES.find((range) => range.id === id) ?? RANGES[0]!;
}

export interface TimeWindow {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * The window to draw. It is the whole range, unless every sample is younger than half of it: a
 * server started a minute ago would otherwise show its data as a sliver at the right edge. Then the
 * window starts at the first sample, but is never shorter than a minute.
 */
export function visibleWindow(range: TimeWindow, firstSampleMs: number | null): TimeWindow {
  const span = range.toMs - range.fromMs;
  if (firstSampleMs === null || firstSampleMs - range.fromMs < span / 2) return range;
  const fromMs = Math.min(firstSampleMs, range.toMs - kMinuteMs);
  return { fromMs: Math.max(range.fromMs, fromMs), toMs: range.toMs };
}

function two(value: number): string {
  return value < 10 ? `0${value}` : `${value}`;
}

const kMonths = [
  "Jan",
  "Feb",
  "Mar",
  "Apr",
  "May",
  "Jun",
  "Jul",
  "Aug",
  "Sep",
  "Oct",
  "Nov",
  "Dec",
];

/** "14:05", or "14:05:30" when `withSeconds`. */
export function formatClock(ms: number, withSeconds = false): string {
  const date = new Date(ms);
  const text = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return withSeconds ? `${text}:${two(date.getSeconds())}` : text;
}

/** "23 Nov 14:05:30", the moment under the cursor. */
export function formatMoment(ms: number): string {
  const date = new Date(ms);
  return `${date.getDate()} ${kMonths[date.getMonth()]!} ${formatClock(ms, true)}`;
}

/**
 * Labels of a time axis whose ticks are `stepS` apart: clock times, and the date where a day
 * begins. `ticksS` are Unix seconds, as uPlot gives them.
 */
export function formatTicks(ticksS: readonly number[], stepS: number): string[] {
  return ticksS.map((tickS) => {
    const date = new Date(tickS * 1000);
    const midnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
    if (midnight || stepS >= 86_400) return `${date.getDate()} ${kMonths[date.getMonth()]!}`;
    return formatClock(tickS * 1000, stepS < 60);
  });
}

/**
 * A Go duration as /v1/health sends it ("1h2m3.5s") in short: "1h 2m", "3s". Other text stays as it
 * is.
 */
export function shortUptime(text: string): string {
  const match = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)(?:\.\d+)?s)?$/.exec(text);
  if (!match || text === "") return text.endsWith("ms") || text.endsWith("µs") ? "0s" : text;
  const hours = Number(match[1] ?? 0);
  const minutes = Number(match[2] ?? 0);
  const seconds = Number(match[3] ?? 0);
  if (hours >= 48) return `${Math.floor(hours / 24)}d ${hours % 24}h`;
  if (hours > 0) return `${hours}h ${minutes}m`;
  if (minutes > 0) return `${minutes}m ${seconds}s`;
  return `${seconds}s`;
}
