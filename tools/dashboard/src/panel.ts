// One metric on the page: title, latest value, chart, legend, notes, and what to say when there is
// nothing to draw.
//
// The panel knows what to do with the series of a metric; when to fetch them is main.ts's business.

import type { Series } from "./api";
import { Chart, type Line } from "./chart";
import { element, setText } from "./dom";
import { formatValue, unitName, unitOf, type Unit } from "./format";
import { commonText, labelKey, splitLabels } from "./labels";
import { Legend } from "./legend";
import {
  countValues,
  isCounter,
  largest,
  lastValue,
  mergeColumns,
  toRate,
  withGaps,
  type Point,
  type Table,
} from "./series";
import type { Theme } from "./theme";
import { formatMoment, type Range, type TimeWindow } from "./time";

/** More lines than this cannot be told apart, and a legend of them cannot be read. */
const kMaxSeries = 20;

export class Panel {
  readonly root: HTMLElement;
  /** Time of the earliest sample shown; null without data. */
  firstSampleMs: number | null = null;

  private readonly subtitle = element("p", { class: "subtitle" });
  private readonly current = element("p", { class: "current" });
  private readonly message = element("p", { class: "message", role: "status" }, "Loading…");
  private readonly note = element("p", { class: "note" });
  private readonly frame = element("div", { class: "plot blank", role: "img" });
  private readonly legend: Legend;
  private readonly chart: Chart;
  private readonly colours = new Map<string, number>();
  private lines: readonly Line[] = [];
  private table: Table = [[]];
  private latest: readonly (number | null)[] = [];
  private unit: Unit = { kind: "number", perSecond: false };

  constructor(
    readonly metric: string,
    index: number,
    theme: Theme,
    onRemove: () => void,
  ) {
    const titleId = `panel-title-${index}`;
    const remove = element(
      "button",
      {
        type: "button",
        class: "remove",
        "aria-label": `Remove the chart of ${metric}`,
        title: "Remove",
      },
      "×",
    );
    remove.addEventListener("click", onRemove);
    const heading = element(
      "div",
      { class: "heading" },
      element("h3", { id: titleId, title: metric }, metric),
      this.subtitle,
    );
    this.legend = new Legend(theme, (hidden) => this.chart.setHidden(hidden));
    this.root = element(
      "section",
      { class: "panel", "aria-labelledby": titleId, "data-metric": metric, "data-points": "0" },
      element("header", {}, heading, this.current),
      remove,
      element("div", { class: "stage" }, this.frame, this.message),
      this.legend.root,
      this.note,
    );
    this.legend.root.hidden = true;
    this.chart = new Chart(this.frame, theme, { onCursor: (row) => this.showValues(row) });
  }

  /**
   * New data. Nothing is drawn until draw(): all panels share one window, known when all have their
   * data.
   */
  setSeries(all: readonly Series[], type: string | undefined, range: Range): void {
    const counter = isCounter(this.metric, type);
    this.unit = unitOf(this.metric, counter);
    const points = all.map((series) => (counter ? toRate(series.points) : series.points));
    // A counter with one sample has no rate yet, and is not worth a line.
    const drawable = all.map((_, i) => i).filter((i) => lastValue(points[i]!) !== null);
    const chosen = largest(
      drawable.map((i) => points[i]!),
      kMaxSeries,
    ).map((i) => drawable[i]!);
    const split = splitLabels(chosen.map((i) => all[i]!.labels));
    const order = chosen
      .map((index, i) => ({ index, name: split.names[i]! }))
      .sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));

    const keys = order.map(({ index }) => labelKey(all[index]!.labels));
    this.assignColours(keys);
    this.lines = order.map(({ name }, i) => ({
      key: keys[i]!,
      name,
      colour: this.colours.get(keys[i]!)!,
    }));
    const shown: readonly (readonly Point[])[] = order.map(({ index }) => points[index]!);
    this.table = mergeColumns(shown.map(withGaps));
    this.latest = shown.map(lastValue);
    this.firstSampleMs = this.table[0].length > 0 ? this.table[0][0]! * 1000 : null;

    setText(this.subtitle, commonText(split.common));
    this.subtitle.title = commonText(split.common);
    this.setNote(counter, drawable.length, all[chosen[0] ?? 0]?.resolution ?? "raw");
    const waiting = counter && all.some((series) => series.points.length > 0);
    this.setMessage(
      shown.length > 0
        ? ""
        : waiting
          ? "A rate needs two samples: it appears in a moment."
          : `No samples in the last ${range.label}.`,
      false,
    );
  }

  draw(window: TimeWindow): void {
    this.chart.update(this.table, this.lines, this.unit, window);
    this.frame.classList.toggle("blank", this.lines.length === 0);
    this.legend.setLines(this.lines);
    this.showValues(null);
    this.root.dataset["points"] = String(countValues(this.table));
    const values =
      this.lines.length === 1 ? `, latest ${formatValue(this.latest[0], this.unit)}` : "";
    this.frame.setAttribute(
      "aria-label",
      `Chart of ${this.metric}: ${this.lines.length} series${values}`,
    );
  }

  /** What was drawn stays: old data with a message is better than none. */
  setError(text: string): void {
    this.setMessage(text, true);
  }

  /** The page's banner says so already; only an empty panel must explain itself. */
  setUnreachable(): void {
    if (this.lines.length === 0) this.setMessage("Waiting for the server.", false);
  }

  repaint(): void {
    this.chart.redraw();
    this.legend.paint();
  }

  destroy(): void {
    this.chart.destroy();
    this.root.remove();
  }

  private setMessage(text: string, error: boolean): void {
    setText(this.message, text);
    this.message.hidden = text === "";
    this.message.classList.toggle("error", error);
    this.message.classList.toggle("over", error && this.lines.length > 0);
  }

  private setNote(counter: boolean, available: number, resolution: string): void {
    const parts: string[] = [];
    const unit = unitName(this.unit);
    if (counter) parts.push(unit === "per second" ? "rate per second" : `rate, ${unit}`);
    else if (unit !== "") parts.push(unit);
    if (available > kMaxSeries)
      parts.push(`the ${kMaxSeries} largest of ${available} series, by mean`);
    else if (available > 1) parts.push(`${available} series`);
    if (resolution !== "raw") parts.push(`${resolution} ${counter ? "windows" : "averages"}`);
    setText(this.note, parts.join(" · "));
  }

  /** A series keeps its colour while it is shown, whatever comes and goes around it. */
  private assignColours(keys: readonly string[]): void {
    const present = new Set(keys);
    for (const key of [...this.colours.keys()]) if (!present.has(key)) this.colours.delete(key);
    const used = new Set(this.colours.values());
    let next = 0;
    for (const key of keys) {
      if (this.colours.has(key)) continue;
      while (used.has(next)) next++;
      used.add(next);
      this.colours.set(key, next);
    }
  }

  private showValues(row: number | null): void {
    const values = this.lines.map((_, i) =>
      formatValue(row === null ? this.latest[i] : this.valueAt(i, row), this.unit),
    );
    this.legend.setValues(values);
    const timeS = row === null ? undefined : this.table[0][row];
    const moment = timeS === undefined ? "" : formatMoment(timeS * 1000);
    const single = this.lines.length === 1 ? values[0]! : "";
    this.current.replaceChildren(element("strong", {}, single), element("span", {}, moment));
  }

  /** The value of a series at a row of the merged table, or at its last sample before that. */
  private valueAt(series: number, row: number): number | null {
    const column = this.table[series + 1]!;
    for (let i = row; i >= 0; i--) {
      const value = column[i];
      if (value !== undefined) return value;
    }
    return null;
  }
}
