// The legend of a panel: one row a series with its colour, its name and its value, the latest or
// the one under the cursor. Pressing a row shows that series alone; pressing it again shows all.
//
// Rows are reused between polls, so the focus of a keyboard user stays where it is.

import { Chart, type Line } from "./chart";
import { element, setText } from "./dom";
import type { Theme } from "./theme";

interface Row {
  readonly button: HTMLButtonElement;
  readonly swatch: HTMLElement;
  readonly name: HTMLElement;
  readonly value: HTMLElement;
}

export class Legend {
  readonly root = element("ul", { class: "legend" });
  private rows: Row[] = [];
  private lines: readonly Line[] = [];
  private solo: string | null = null;

  constructor(
    private readonly theme: Theme,
    private readonly onHidden: (hidden: ReadonlySet<string>) => void,
  ) {}

  /** A legend of one series would repeat the title: it is left out. */
  setLines(lines: readonly Line[]): void {
    this.lines = lines.length > 1 ? lines : [];
    this.root.hidden = this.lines.length === 0;
    while (this.rows.length > this.lines.length) this.rows.pop()!.button.parentElement!.remove();
    while (this.rows.length < this.lines.length) this.rows.push(this.addRow(this.rows.length));
    this.lines.forEach((line, i) => {
      setText(this.rows[i]!.name, line.name);
      this.rows[i]!.button.title = line.name;
    });
    if (this.solo !== null && !this.lines.some((line) => line.key === this.solo)) this.show(null);
    this.paint();
  }

  setValues(values: readonly string[]): void {
    this.rows.forEach((row, i) => setText(row.value, values[i] ?? ""));
  }

  /** Colours and pressed states; call again when the theme has changed. */
  paint(): void {
    this.lines.forEach((line, i) => {
      const { swatch, button } = this.rows[i]!;
      const colour = Chart.colourOf(this.theme, line.colour);
      swatch.style.background = Chart.isDashed(this.theme, line.colour)
        ? `repeating-linear-gradient(90deg, ${colour} 0 4px, transparent 4px 6px)`
        : colour;
      button.setAttribute("aria-pressed", String(this.solo === line.key));
      button.classList.toggle("dimmed", this.solo !== null && this.solo !== line.key);
    });
  }

  private addRow(index: number): Row {
    const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
    const name = element("span", { class: "name" });
    const value = element("span", { class: "value" });
    const button = element(
      "button",
      { type: "button", "aria-pressed": "false" },
      swatch,
      name,
      value,
    );
    button.addEventListener("click", () => {
      const key = this.lines[index]?.key ?? null;
      this.show(key === this.solo ? null : key);
      this.paint();
    });
    this.root.append(element("li", {}, button));
    return { button, swatch, name, value };
  }

  private show(solo: string | null): void {
    this.solo = solo;
    const others = this.lines.map((line) => line.key).filter((key) => key !== solo);
    this.onHidden(new Set(solo === null ? [] : others));
  }
}
