// Numbers for people: the unit of a metric from its name, and short text for a value of that unit.
//
// The unit comes from the name because the API carries none yet; the suffixes are the conventions
// of Prometheus (base units: bytes, seconds, ratio). Bytes are shown in powers of 1024, everything
// else in powers of 1000.

export type UnitKind = "number" | "bytes" | "seconds" | "percent" | "ratio";

export interface Unit {
  readonly kind: UnitKind;
  /** The value is a change per second of a thing of that kind. */
  readonly perSecond: boolean;
}

/** The unit of a metric, by its suffix. `perSecond`: its values have been turned into a rate. */
export function unitOf(metric: string, perSecond = false): Unit {
  const stem = metric.replace(/_total$/, "").replace(/_(sum|created)$/, "");
  let kind: UnitKind = "number";
  if (/_bucket$|_count$/.test(metric)) kind = "number";
  else if (/(_|^)bytes$/.test(stem)) kind = "bytes";
  else if (/(_|^)seconds$/.test(stem)) kind = "seconds";
  else if (/(_|^)percent(age)?$/.test(stem)) kind = "percent";
  else if (/(_|^)ratio$/.test(stem)) kind = "ratio";
  return { kind, perSecond };
}

/**
 * What the note of a panel says about the unit: "bytes per second", "percent", or "" for a plain
 * number.
 */
export function unitName(unit: Unit): string {
  const base = unit.kind === "number" || unit.kind === "ratio" ? "" : unit.kind;
  if (!unit.perSecond) return base;
  return base === "" ? "per second" : `${base} per second`;
}

/** Three significant digits, without trailing zeros: 1.5, 12.3, 123, 0.00123. */
function threeDigits(value: number): string {
  if (value === 0) return "0";
  const magnitude = Math.abs(value);
  if (magnitude >= 100) return String(Math.round(value));
  if (magnitude < 1e-4) return value.toExponential(1).replace(/\.0e/, "e");
  return String(Number(value.toPrecision(3)));
}

function scaled(value: number, step: number, suffixes: readonly string[]): string {
  let rest = value;
  let index = 0;
  // 999.5 would round to 1000 of the smaller unit, which reads worse than 1 of the larger.
  while (Math.abs(rest) >= step - 0.5 && index + 1 < suffixes.length) {
    rest /= step;
    index++;
  }
  return `${threeDigits(rest)}${suffixes[index]!}`;
}

const kCounts = ["", "k", "M", "G", "T", "P", "E"];
const kBytes = [" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"];

function formatSeconds(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude === 0) return "0 s";
  if (magnitude < 1e-6) return `${threeDigits(value * 1e9)} ns`;
  if (magnitude < 1e-3) return `${threeDigits(value * 1e6)} µs`;
  if (magnitude < 1) return `${threeDigits(value * 1e3)} ms`;
  if (magnitude < 120) return `${threeDigits(value)} s`;
  if (magnitude < 7200) return `${threeDigits(value / 60)} min`;
  if (magnitude < 172_800) return `${threeDigits(value / 3600)} h`;
  return `${scaled(value / 86_400, 1000, kCounts)} d`;
}

/** A value with its unit, in at most about nine characters. */
export function formatValue(value: number | null | undefined, unit: Unit): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  switch (unit.kind) {
    case "bytes":
      return scaled(value, 1024, kBytes) + (unit.perSecond ? "/s" : "");
    case "seconds":
      // Seconds a second is a share of the time: 0.25 is a quarter of one core, not "250 ms/s".
      return unit.perSecond ? `${threeDigits(value)} s/s` : formatSeconds(value);
    case "percent":
      return `${threeDigits(value)} %${unit.perSecond ? "/s" : ""}`;
    default:
      return scaled(value, 1000, kCounts) + (unit.perSecond ? "/s" : "");
  }
}

export function formatBytes(value: number): string {
  return scaled(value, 1024, kBytes);
}

export function formatCount(value: number): string {
  return scaled(value, 1000, kCounts);
}

/** Exact, with thin spaces between thousands, for tooltips: 12 345 678. */
export function formatExact(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009");
}

/**
 * One unit for a whole axis, so that its labels compare at sight: 0.5 MiB and 1 MiB, not 512 KiB
 * and 1 MiB.
 */
interface AxisScale {
  readonly divisor: number;
  readonly suffix: string;
}

const kTimeScales: readonly AxisScale[] = [
  { divisor: 86_400, suffix: " d" },
  { divisor: 3600, suffix: " h" },
  { divisor: 60, suffix: " min" },
  { divisor: 1, suffix: " s" },
  { divisor: 1e-3, suffix: " ms" },
  { divisor: 1e-6, suffix: " µs" },
  { divisor: 1e-9, suffix: " ns" },
];

function axisScale(maxMagnitude: number, unit: Unit): AxisScale {
  const perSecond = unit.perSecond ? "/s" : "";
  if (unit.kind === "percent") return { divisor: 1, suffix: ` %${perSecond}` };
  if (unit.kind === "seconds") {
    if (unit.perSecond) return { divisor: 1, suffix: " s/s" };
    // Two of a unit before it is used: 90 s reads better than 1.5 min.
    const scale = kTimeScales.find(
      ({ divisor }) => maxMagnitude >= (divisor > 1 ? 2 * divisor : divisor),
    );
    return scale ?? kTimeScales[3]!;
  }
  const [step, suffixes] = unit.kind === "bytes" ? [1024, kBytes] : [1000, kCounts];
  let divisor = 1;
  let index = 0;
  while (maxMagnitude >= divisor * step && index + 1 < suffixes.length) {
    divisor *= step;
    index++;
  }
  return { divisor, suffix: suffixes[index]! + perSecond };
}

/** 1, 2 and 5 times every power of ten that a value can sensibly have. */
const kDecimalSteps: readonly number[] = Array.from({ length: 37 }, (_, i) => i - 18).flatMap(
  (power) => [1, 2, 5].map((factor) => Number(`${factor}e${power}`)),
);

/**
 * Distances between ticks that are round in the unit of an axis whose values reach `maxMagnitude`.
 */
export function axisSteps(maxMagnitude: number, unit: Unit): number[] {
  const { divisor } = axisScale(maxMagnitude, unit);
  return kDecimalSteps.map((step) => step * divisor);
}

/** Labels of ticks `step` apart, with exactly the digits that the step needs. */
export function formatAxis(
  ticks: readonly number[],
  step: number,
  maxMagnitude: number,
  unit: Unit,
): string[] {
  const { divisor, suffix } = axisScale(maxMagnitude, unit);
  const decimals = Math.min(Math.max(0, Math.ceil(-Math.log10(step / divisor) - 1e-9)), 12);
  return ticks.map((tick) => {
    const text = (tick / divisor).toFixed(decimals);
    return (
      (Number(text) === 0 ? "0" : decimals > 6 ? (tick / divisor).toPrecision(3) : text) + suffix
    );
  });
}
