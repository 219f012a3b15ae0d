// The state of the page in one place, and its copy in the URL.
//
// Range and chosen metrics live in the hash, so a link, a reload and the back button show the same
// charts. A hash without metrics means "not chosen yet" (the default selection applies and the URL
// stays clean); a hash with an empty one means "none". One listener list, called after each change:
// the page is small enough that everything may look at everything.

import type { Health, Stats, Storage } from "./api";
import { DEFAULT_RANGE_ID, rangeById, type Range } from "./time";

/** More charts than this are refused: each costs a query every poll. */
export const MAX_PANELS = 40;

export type Connection = "connecting" | "live" | "degraded" | "down";

export interface State {
  range: Range;
  /** null: the visitor has chosen nothing, show the default. */
  chosen: readonly string[] | null;
  /** null: not loaded yet. */
  metrics: readonly string[] | null;
  connection: Connection;
  health: Health | null;
  stats: Stats | null;
  storage: Storage | null;
}

export function readHash(hash: string): Pick<State, "range" | "chosen"> {
  const params = new URLSearchParams(hash.replace(/^#/, ""));
  const names = params.getAll("m").filter((name) => name !== "");
  const unique = [...new Set(names)].slice(0, MAX_PANELS);
  return { range: rangeById(params.get("range")), chosen: params.has("m") ? unique : null };
}

export function writeHash(state: Pick<State, "range" | "chosen">): string {
  const params = new URLSearchParams();
  if (state.range.id !== DEFAULT_RANGE_ID) params.set("range", state.range.id);
  if (state.chosen !== null) {
    if (state.chosen.length === 0) params.append("m", "");
    for (const name of state.chosen) params.append("m", name);
  }
  const text = params.toString();
  return text === "" ? "" : `#${text}`;
}

export class Store {
  readonly state: State;
  private readonly listeners: (() => void)[] = [];

  constructor(hash: string) {
    this.state = {
      ...readHash(hash),
      metrics: null,
      connection: "connecting",
      health: null,
      stats: null,
      storage: null,
    };
  }

  subscribe(listener: () => void): void {
    this.listeners.push(listener);
  }

  set(change: Partial<State>): void {
    Object.assign(this.state, change);
    for (const listener of this.listeners) listener();
  }
}
