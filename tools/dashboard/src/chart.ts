// One uPlot instance, updated in place.
//
// A chart is created once and lives as long as its panel: new data, other series, another theme and
// another width all change the same instance, because recreating it on every poll costs more than
// drawing and loses the cursor. create and destroy are paired: destroy() also ends the resize
// observer.
//
// Colours and formats are functions, which uPlot calls at each drawing; so a new theme is only a
// redraw.

import uPlot from "uplot";

import { axisSteps, formatAxis, type Unit } from "./format";
import { valueRange, type Table } from "./series";
import type { Theme } from "./theme";
import { formatTicks, type TimeWindow } from "./time";

const kFont = "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

/** All charts show the same moment under the cursor. */
const kSync = "tinyobs";

export interface Line {
  /** Identity: a chart rebuilds its series only when the list of keys changes. */
  readonly key: string;
  readonly name: string;
  readonly colour: number;
}

export interface ChartEvents {
  /** The row of the table under the cursor, or null when it has left. */
  onCursor(row: number | null): void;
}

export class Chart {
  private readonly plot: uPlot;
  private readonly resize: ResizeObserver;
  private unit: Unit = { kind: "number", perSecond: false };
  private lines: readonly Line[] = [];
  private hidden: ReadonlySet<string> = new Set();
  private window: TimeWindow = { fromMs: 0, toMs: 1 };

  constructor(
    parent: HTMLElement,
    private readonly theme: Theme,
    events: ChartEvents,
  ) {
    const options: uPlot.Options = {
      width: Math.max(parent.clientWidth, 100),
      height: Math.max(parent.clientHeight, 100),
      legend: { show: false },
      padding: [10, 12, 0, 0],
      cursor: {
        drag: { x: false, y: false },
        sync: { key: kSync, setSeries: false },
        points: { size: 6, width: 1.5 },
      },
      scales: {
        x: { time: true, range: () => [this.window.fromMs / 1000, this.window.toMs / 1000] },
        y: { range: (_, min, max) => valueRange(min, max) },
      },
      axes: [this.timeAxis(), this.valueAxis()],
      series: [{}],
      hooks: {
        setCursor: [(plot) => events.onCursor(plot.cursor.idx ?? null)],
      },
    };
    this.plot = new uPlot(options, [[]], parent);
    this.resize = new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = parent;
      if (width > 0 && (width !== this.plot.width || height !== this.plot.height))
        this.plot.setSize({ width, height });
    });
    this.resize.observe(parent);
  }

  update(table: Table, lines: readonly Line[], unit: Unit, window: TimeWindow): void {
    this.unit = unit;
    this.window = window;
    const same =
      lines.length === this.lines.length &&
      lines.every((line, i) => line.key === this.lines[i]!.key);
    this.plot.batch(() => {
      if (!same) {
        for (let i = this.lines.length; i > 0; i--) this.plot.delSeries(i);
        lines.forEach((line, i) =>
          this.plot.addSeries(this.seriesOptions(line, lines.length), i + 1),
        );
      }
      this.lines = lines;
      this.plot.setData(table as uPlot.AlignedData, true);
    });
  }

  /** Hides the lines with these keys. */
  setHidden(hidden: ReadonlySet<string>): void {
    this.hidden = hidden;
    this.lines.forEach((line, i) => this.plot.setSeries(i + 1, { show: !hidden.has(line.key) }));
  }

  redraw(): void {
    this.plot.redraw(true, true);
  }

  destroy(): void {
    this.resize.disconnect();
    this.plot.destroy();
  }

  /** The colour of a line in the present theme. */
  static colourOf(theme: Theme, index: number): string {
    const { lines } = theme.colours;
    return lines[index % lines.length]!;
  }

  /** Colours repeat after one round; from then on lines are dashed. */
  static isDashed(theme: Theme, index: number): boolean {
    return index >= theme.colours.lines.length;
  }

  private seriesOptions(line: Line, count: number): uPlot.Series {
    const stroke = (): string => Chart.colourOf(this.theme, line.colour);
    return {
      label: line.name,
      show: !this.hidden.has(line.key),
      stroke,
      width: count > 8 ? 1.25 : 1.75,
      ...(Chart.isDashed(this.theme, line.colour) ? { dash: [5, 3] } : {}),
      // A single line has the panel to itself: a light area makes its height readable at a glance.
      ...(count === 1 ? { fill: () => `${stroke()}1f` } : {}),
      // A sample between two gaps has no line; a dot shows it.
      points: { show: true, filter: isolatedPoints, size: 4 },
    };
  }

  private timeAxis(): uPlot.Axis {
    return {
      stroke: () => this.theme.colours.axis,
      font: kFont,
      size: 28,
      gap: 6,
      space: 64,
      grid: { show: false },
      ticks: { stroke: () => this.theme.colours.grid, width: 1, size: 4 },
      values: (_, ticks, __, ___, step) => formatTicks(ticks, step),
    };
  }

  private valueAxis(): uPlot.Axis {
    return {
      stroke: () => this.theme.colours.axis,
      font: kFont,
      gap: 6,
      space: 34,
      // Wide enough for the longest label, and in steps, so that charts above each other line up.
      size: (plot, labels) => {
        if (!labels || labels.length === 0) return 56;
        plot.ctx.save();
        plot.ctx.font = kFont;
        const widest = Math.max(...labels.map((label) => plot.ctx.measureText(label ?? "").width));
        plot.ctx.restore();
        return Math.max(56, Math.ceil((widest + 14) / 12) * 12);
      },
      grid: { stroke: () => this.theme.colours.grid, width: 1 },
      ticks: { show: false },
      incrs: (_, __, min, max) => axisSteps(Math.max(Math.abs(min), Math.abs(max)), this.unit),
      values: (plot, ticks, _, __, step) => {
        const { min, max } = plot.scales["y"]!;
        return formatAxis(ticks, step, Math.max(Math.abs(min ?? 0), Math.abs(max ?? 0)), this.unit);
      },
    };
  }
}

/** Rows whose neighbours on both sides are gaps: a line cannot show them. */
const isolatedPoints: uPlot.Series.Points.Filter = (plot, index, show) => {
  if (!show) return null;
  const values = plot.data[index]!;
  const present: number[] = [];
  let alone = -1; // the only row since the last gap, or -1 when there are none or several
  let count = 0;
  for (let row = 0; row <= values.length; row++) {
    const value = row < values.length ? values[row] : null;
    if (value === null) {
      if (count === 1) present.push(alone);
      count = 0;
    } else if (value !== undefined) {
      alone = row;
      count++;
    }
  }
  return present;
};
