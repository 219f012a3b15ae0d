// Wires the page together: state → list, panels, header; keys and buttons → state; the timer →
// fetches.
//
// One refresh at a time. A new range, choice or key press aborts the one under way and starts
// another; answers that come late are dropped by their signal, so an old range can never overwrite
// a new one.

import {
  fetchHealth,
  fetchMetricNames,
  fetchRange,
  fetchStats,
  fetchStorage,
  fetchType,
  rangeParameters,
  Unreachable,
} from "./api";
import { bindControls } from "./controls";
import { byId, element, setText } from "./dom";
import { MetricList } from "./metric_list";
import { defaultSelection } from "./metric_names";
import { Panel } from "./panel";
import { nextPollMs } from "./poll";
import { isCounter } from "./series";
import { emptyServer, nothingChosen, StatusBar } from "./status";
import { MAX_PANELS, readHash, Store, writeHash } from "./store";
import { Theme } from "./theme";
import { formatClock, visibleWindow, type Range } from "./time";

/**
 * Requests for charts under way at once: browsers allow six connections, one stays free for the
 * header.
 */
const kParallel = 5;

const theme = new Theme();
const store = new Store(location.hash);
const { state } = store;
const status = new StatusBar();
const list = new MetricList(toggleMetric);
const grid = byId("panels");
const notice = byId("notice");
const updated = byId("updated");
const panels = new Map<string, Panel>();
const types = new Map<string, string>();
const openedMs = Date.now();
let panelCount = 0;
let running: AbortController | null = null;
let timer = 0;

function selection(): readonly string[] {
  return state.chosen ?? defaultSelection(state.metrics ?? []);
}

function choose(names: readonly string[] | null): void {
  store.set({ chosen: names });
  saveHash();
  void refresh();
}

function toggleMetric(name: string): void {
  const chosen = selection();
  if (chosen.includes(name)) choose(chosen.filter((other) => other !== name));
  else if (chosen.length < MAX_PANELS) {
    choose([...chosen, name]);
    panels.get(name)?.root.scrollIntoView({ block: "nearest", behavior: "smooth" });
  } else status.setBanner(`At most ${MAX_PANELS} charts at once. Remove one first.`);
}

function setRange(range: Range): void {
  store.set({ range });
  saveHash();
  void refresh();
}

function saveHash(): void {
  const hash = writeHash(state);
  if (hash !== location.hash)
    history.pushState(null, "", hash === "" ? location.pathname + location.search : hash);
}

/** Creates and removes panels until they are those of the selection, in its order. */
function syncPanels(): void {
  const wanted = selection();
  for (const [name, panel] of panels) {
    if (wanted.includes(name)) continue;
    panel.destroy();
    panels.delete(name);
  }
  wanted.forEach((name, position) => {
    let panel = panels.get(name);
    if (!panel) {
      panel = new Panel(name, panelCount++, theme, () => toggleMetric(name));
      panels.set(name, panel);
    }
    if (grid.children[position] !== panel.root)
      grid.insertBefore(panel.root, grid.children[position] ?? null);
  });
  if (state.metrics === null || wanted.length > 0) notice.replaceChildren();
  else if (
    notice.childElementCount === 0 ||
    notice.dataset["for"] !== String(state.metrics.length === 0)
  ) {
    notice.replaceChildren(
      state.metrics.length === 0
        ? emptyServer(document.baseURI.split(/[?#]/)[0]!)
        : withDefaultButton(),
    );
    notice.dataset["for"] = String(state.metrics.length === 0);
  }
}

function withDefaultButton(): HTMLElement {
  const box = nothingChosen();
  const button = element("button", { type: "button", class: "link" }, "show the default charts");
  button.addEventListener("click", () => choose(null));
  box.lastElementChild!.append(button, ".");
  return box;
}

async function refreshHeader(signal: AbortSignal): Promise<void> {
  const settled = await Promise.allSettled([
    fetchHealth(signal),
    fetchStats(signal),
    fetchStorage(signal),
  ]);
  if (signal.aborted) return;
  const [health, stats, storage] = settled;
  const reachable = settled.some(
    (result) => result.status === "fulfilled" || !(result.reason instanceof Unreachable),
  );
  const healthy = health.status === "fulfilled" && health.value.status === "healthy";
  store.set({
    connection: !reachable ? "down" : healthy ? "live" : "degraded",
    ...(health.status === "fulfilled" ? { health: health.value } : {}),
    ...(stats.status === "fulfilled" ? { stats: stats.value } : {}),
    ...(storage.status === "fulfilled" ? { storage: storage.value } : {}),
  });
}

async function typeOf(
  metric: string,
  nowMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (metric.endsWith("_total")) return "counter";
  const known = types.get(metric);
  if (known !== undefined) return known;
  const type = await fetchType(metric, nowMs, signal).catch(() => undefined);
  if (type !== undefined) types.set(metric, type);
  return type;
}

async function refreshPanel(
  panel: Panel,
  range: Range,
  nowMs: number,
  signal: AbortSignal,
): Promise<void> {
  const maxPoints = Math.min(Math.max(Math.round(panel.root.clientWidth), 200), 1000);
  try {
    const window = { fromMs: nowMs - range.spanMs, toMs: nowMs };
    // First, because it decides how the server thins out; known without asking mostly.
    const type = await typeOf(panel.metric, nowMs, signal);
    const asRate = isCounter(panel.metric, type);
    const series = await fetchRange(
      rangeParameters(panel.metric, window, maxPoints, asRate),
      signal,
    );
    if (!signal.aborted) panel.setSeries(series, type, range);
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Unreachable) panel.setUnreachable();
    else panel.setError(`The server refused: ${(error as Error).message}`);
  }
}

async function refreshPanels(nowMs: number, signal: AbortSignal): Promise<void> {
  const { range } = state;
  const queue = [...panels.values()];
  const workers = Array.from({ length: kParallel }, async () => {
    for (let panel = queue.shift(); panel && !signal.aborted; panel = queue.shift()) {
      await refreshPanel(panel, range, nowMs, signal);
    }
  });
  await Promise.all(workers);
  if (signal.aborted) return;
  const window = visibleWindow({ fromMs: nowMs - range.spanMs, toMs: nowMs }, oldestSampleMs());
  for (const panel of panels.values()) panel.draw(window);
}

function oldestSampleMs(): number | null {
  let oldest: number | null = null;
  for (const { firstSampleMs } of panels.values()) {
    if (firstSampleMs !== null && (oldest === null || firstSampleMs < oldest))
      oldest = firstSampleMs;
  }
  return oldest;
}

async function refresh(): Promise<void> {
  running?.abort();
  clearTimeout(timer);
  const controller = new AbortController();
  running = controller;
  const { signal } = controller;
  document.body.classList.add("refreshing");
  const header = refreshHeader(signal);
  let problem = "";
  const nowMs = Date.now();
  try {
    store.set({ metrics: await fetchMetricNames(signal) });
    await refreshPanels(nowMs, signal);
  } catch (error) {
    // No use in asking for each chart, and waiting for each time-out, when the server is away.
    if (error instanceof Unreachable) panels.forEach((panel) => panel.setUnreachable());
    else {
      problem = `The server refused the list of metrics: ${(error as Error).message}`;
      if (!signal.aborted) await refreshPanels(nowMs, signal);
    }
  }
  await header;
  if (signal.aborted) return;
  document.body.classList.remove("refreshing");

  const oldest = oldestSampleMs();
  const reachable = state.connection !== "down";
  const delay = nextPollMs({
    reachable,
    drawn: oldest !== null,
    oldestAgeMs: oldest === null ? null : nowMs - oldest,
    openMs: nowMs - openedMs,
  });
  status.setBanner(
    reachable
      ? problem
      : `The server does not answer. Is tinyobs-serve running? Trying again in ${delay / 1000} s.`,
  );
  if (reachable) setText(updated, `Updated ${formatClock(nowMs, true)}, every ${delay / 1000} s`);
  // A hidden page asks nothing; it catches up when it is shown.
  if (!document.hidden) timer = window.setTimeout(() => void refresh(), delay);
}

function start(): void {
  bindControls(store, {
    setRange,
    refresh: () => void refresh(),
    toggleTheme: () => theme.toggle(),
    search: list.search,
  });
  store.subscribe(() => {
    status.update(state);
    list.update(state.metrics ?? [], selection());
    syncPanels();
  });
  theme.subscribe(() => panels.forEach((panel) => panel.repaint()));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else void refresh();
  });
  for (const event of ["popstate", "hashchange"]) {
    addEventListener(event, () => {
      store.set(readHash(location.hash));
      void refresh();
    });
  }
  store.set({});
  void refresh();
}

start();
