// The list of metrics with its search box. Groups by name prefix; pressing a name adds or removes
// its chart.
//
// Rebuilt only when its content changes (names, search, choice), not on every poll, so that scroll
// position and focus survive. A group shows at most kShownPerGroup names: ten thousand buttons help
// nobody, the search does.

import { byId, element, setText } from "./dom";
import { groupMetrics, searchMetrics, type Group } from "./metric_names";

const kShownPerGroup = 150;

/** Groups are closed at first when there are more names than fit a screen. */
const kOpenBelow = 60;

export class MetricList {
  private readonly box = byId("metric-groups");
  private readonly count = byId("metric-count");
  readonly search = byId<HTMLInputElement>("search");
  private readonly opened = new Map<string, boolean>();
  private built = "";
  private names: readonly string[] = [];
  private chosen: ReadonlySet<string> = new Set();

  constructor(private readonly onToggle: (name: string) => void) {
    this.search.addEventListener("input", () => this.render());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        this.search.value = "";
        this.render();
        this.search.blur();
      } else if (event.key === "Enter") {
        const [first] = searchMetrics(this.names, this.search.value);
        if (first !== undefined && this.search.value !== "") this.onToggle(first);
      }
    });
  }

  update(names: readonly string[], chosen: readonly string[]): void {
    this.names = names;
    this.chosen = new Set(chosen);
    this.render();
  }

  private render(): void {
    const found = searchMetrics(this.names, this.search.value);
    const content = JSON.stringify([this.search.value !== "", found]);
    if (content !== this.built) {
      this.built = content;
      this.build(found);
    }
    for (const button of this.box.querySelectorAll<HTMLButtonElement>("button[data-name]")) {
      button.setAttribute("aria-pressed", String(this.chosen.has(button.dataset["name"]!)));
    }
    const total = this.names.length;
    setText(this.count, found.length === total ? String(total) : `${found.length} of ${total}`);
  }

  private build(found: readonly string[]): void {
    const searching = this.search.value !== "";
    const groups = groupMetrics(found).map((group) =>
      this.buildGroup(group, searching, found.length),
    );
    if (groups.length === 0 && searching) {
      this.box.replaceChildren(
        element("p", { class: "hint" }, "No metric has that name. Esc clears the search."),
      );
    } else {
      this.box.replaceChildren(...groups);
    }
  }

  private buildGroup(group: Group, searching: boolean, total: number): HTMLElement {
    const items = group.names.slice(0, kShownPerGroup).map((name) => {
      const button = element(
        "button",
        { type: "button", "data-name": name, "aria-pressed": "false", title: name },
        name,
      );
      button.addEventListener("click", () => this.onToggle(name));
      return element("li", {}, button);
    });
    const rest = group.names.length - items.length;
    if (rest > 0)
      items.push(element("li", { class: "hint" }, `and ${rest} more: search to find them`));
    const details = element(
      "details",
      {},
      element(
        "summary",
        {},
        element("span", {}, group.title),
        element("span", { class: "badge" }, String(group.names.length)),
      ),
      element("ul", {}, ...items),
    );
    const shows = group.names.some((name) => this.chosen.has(name));
    details.open = searching || (this.opened.get(group.title) ?? (total <= kOpenBelow || shows));
    details.addEventListener("toggle", () => {
      if (this.search.value === "") this.opened.set(group.title, details.open);
    });
    return details;
  }
}
