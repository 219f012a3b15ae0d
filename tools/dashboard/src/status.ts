// The header: whether the server answers, and what it holds; and the banner that says what to do
// when it does not.

import { byId, element, setText } from "./dom";
import { formatBytes, formatCount, formatExact } from "./format";
import type { Connection, State } from "./store";
import { shortUptime } from "./time";

const kBadges: Record<Connection, string> = {
  connecting: "Connecting",
  live: "Live",
  degraded: "Degraded",
  down: "Reconnecting",
};

export class StatusBar {
  private readonly badge = byId("connection");
  private readonly badgeText = byId("connection-text");
  private readonly samples = byId("stat-samples");
  private readonly series = byId("stat-series");
  private readonly storage = byId("stat-storage");
  private readonly meter = byId("storage-meter");
  private readonly version = byId("version");
  private readonly banner = byId("banner");

  update(state: State): void {
    this.badge.dataset["state"] = state.connection;
    setText(this.badgeText, kBadges[state.connection]);
    const { health, stats, storage } = state;
    this.badge.title = health ? `Server is ${health.status}, up ${shortUptime(health.uptime)}` : "";
    setText(this.version, health?.version ? `v${health.version.replace(/^v/, "")}` : "");
    if (stats) {
      setText(this.samples, formatCount(stats.samples));
      this.samples.title = formatExact(stats.samples);
      setText(this.series, formatCount(stats.series));
      this.series.title = formatExact(stats.series);
    }
    if (storage) {
      setText(this.storage, formatBytes(storage.usedBytes));
      const share = storage.maxBytes > 0 ? Math.min(storage.usedBytes / storage.maxBytes, 1) : 0;
      this.storage.title =
        storage.maxBytes > 0
          ? `${formatBytes(storage.usedBytes)} of ${formatBytes(storage.maxBytes)}`
          : "";
      this.meter.hidden = storage.maxBytes <= 0;
      this.meter.style.setProperty("--share", `${(share * 100).toFixed(1)}%`);
      this.meter.dataset["level"] = share >= 0.95 ? "full" : share >= 0.8 ? "high" : "ok";
    }
  }

  setBanner(text: string): void {
    setText(this.banner, text);
    this.banner.hidden = text === "";
  }
}

/** What a visitor of an empty server can do next. */
export function emptyServer(origin: string): HTMLElement {
  const body = '{"metrics":[{"name":"my_first_metric","type":"gauge","value":42}]}';
  const command = [
    `curl -X POST ${origin}v1/ingest \\`,
    "  -H 'Content-Type: application/json' \\",
    `  -d '${body}'`,
  ].join("\n");
  return element(
    "div",
    { class: "empty" },
    element("h2", {}, "No metrics yet"),
    element(
      "p",
      {},
      "Send a first sample; this page looks every few seconds and shows it by itself.",
    ),
    element("pre", { tabindex: "0", "aria-label": "Example command" }, command),
  );
}

export function nothingChosen(): HTMLElement {
  return element(
    "div",
    { class: "empty" },
    element("h2", {}, "No chart chosen"),
    element("p", {}, "Press a metric in the list to draw it, or "),
  );
}
