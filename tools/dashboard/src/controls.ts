// Buttons and keys: what a visitor can do to the page as a whole. Every key has a button that does
// the same.

import { byId, element } from "./dom";
import type { Store } from "./store";
import { RANGES, type Range } from "./time";

export interface Actions {
  setRange(range: Range): void;
  refresh(): void;
  toggleTheme(): void;
  readonly search: HTMLInputElement;
}

export function bindControls(store: Store, actions: Actions): void {
  buildRangeButtons(store, actions);
  byId("theme").addEventListener("click", () => actions.toggleTheme());
  byId("refresh").addEventListener("click", () => actions.refresh());
  byId("list-toggle").addEventListener("click", () => {
    showList(!document.body.classList.contains("list-open"));
  });
  document.addEventListener("keydown", (event) => onKey(event, actions));
}

function buildRangeButtons(store: Store, actions: Actions): void {
  const box = byId("ranges");
  const buttons = RANGES.map((range, index) => {
    const title = `Last ${range.label} (key ${index + 1})`;
    const button = element("button", { type: "button", "data-range": range.id, title }, range.id);
    button.addEventListener("click", () => actions.setRange(range));
    return button;
  });
  box.append(...buttons);
  store.subscribe(() => {
    for (const button of buttons) {
      const pressed = button.dataset["range"] === store.state.range.id;
      button.setAttribute("aria-pressed", String(pressed));
    }
  });
}

/**
 * Keys do nothing while somebody types, or together with a modifier (Ctrl+R stays the browser's).
 */
function onKey(event: KeyboardEvent, actions: Actions): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  if (target instanceof HTMLElement && (target.tagName === "INPUT" || target.isContentEditable)) {
    return;
  }
  const range = RANGES[Number(event.key) - 1];
  const key = event.key.toLowerCase();
  if (range) actions.setRange(range);
  else if (key === "r") actions.refresh();
  else if (key === "t") actions.toggleTheme();
  else if (key === "/") {
    showList(true);
    actions.search.focus();
  } else return;
  event.preventDefault();
}

/** On a phone the list is folded away until asked for. */
function showList(open: boolean): void {
  document.body.classList.toggle("list-open", open);
  byId("list-toggle").setAttribute("aria-expanded", String(open));
}
