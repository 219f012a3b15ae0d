// Grouping, searching and the first selection; and the part of the state that lives in the URL.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  defaultSelection,
  groupMetrics,
  searchMetrics,
} from "../../tools/dashboard/src/metric_names";
import { MAX_PANELS, readHash, writeHash } from "../../tools/dashboard/src/store";

test("metrics are grouped by their first word", () => {
  assert.deepEqual(groupMetrics(["go_gc", "http_requests_total", "go_threads", "up"]), [
    { title: "go", names: ["go_gc", "go_threads"] },
    { title: "http", names: ["http_requests_total"] },
    { title: "up", names: ["up"] },
  ]);
});

test("a large group splits by the second word, and no name is lost or doubled", () => {
  const names = ["cpu", "disk", "net"].flatMap((part) =>
    Array.from({ length: 15 }, (_, i) => `node_${part}_m${i}`),
  );
  names.push("node_time_seconds", "node_boot");
  const groups = groupMetrics(names);
  assert.deepEqual(
    groups.map(({ title }) => title),
    ["node", "node_cpu", "node_disk", "node_net"],
  );
  assert.deepEqual(groups.flatMap((group) => group.names).sort(), [...names].sort());
});

test("every name has a group with a title, whatever its characters", () => {
  for (const name of ["_", "__", "ümläut", "a.b:c", "<b>"]) {
    const [group] = groupMetrics([name]);
    assert.deepEqual(group!.names, [name]);
    assert.notEqual(group!.title, "");
  }
});

test("the search wants every word, in any order and case", () => {
  const names = ["host_cpu_seconds_total", "host_memory_bytes", "go_cpu"];
  assert.deepEqual(searchMetrics(names, "CPU host"), ["host_cpu_seconds_total"]);
  assert.deepEqual(searchMetrics(names, "  "), names);
  assert.deepEqual(searchMetrics(names, "nothing"), []);
});

test("a first visit sees CPU, memory, load, network, disk and the server itself, in that order", () => {
  const chosen = defaultSelection([
    "go_threads",
    "host_cpu_seconds_total",
    "host_disk_read_bytes_total",
    "host_load1",
    "host_load15",
    "host_memory_used_bytes",
    "host_network_receive_bytes_total",
    "tinyobs_ingest_samples_total",
  ]);
  assert.deepEqual(chosen, [
    "host_cpu_seconds_total",
    "host_memory_used_bytes",
    "host_load1",
    "host_network_receive_bytes_total",
    "host_disk_read_bytes_total",
    "tinyobs_ingest_samples_total",
  ]);
});

test("of each subject the most telling metrics are chosen, a dozen in all", () => {
  const names = [
    "host_cpu_count host_cpu_seconds_total host_cpu_usage_percent host_load1 host_load15 host_load5",
    "host_memory_available_bytes host_memory_total_bytes host_memory_usage_percent host_memory_used_bytes",
    "host_disk_io_seconds_total host_disk_read_bytes_total host_disk_written_bytes_total",
    "host_filesystem_size_bytes host_filesystem_usage_percent host_network_errors_total",
    "host_network_receive_bytes_total host_network_transmit_bytes_total host_uptime_seconds",
    "tinyobs_commits_total tinyobs_samples_appended_total tinyobs_samples_rejected_total tinyobs_series",
    "tinyobs_series_limit tinyobs_storage_disk_bytes tinyobs_storage_samples",
  ]
    .join(" ")
    .split(" ");
  assert.deepEqual(defaultSelection(names), [
    "host_cpu_usage_percent",
    "host_cpu_seconds_total",
    "host_memory_usage_percent",
    "host_memory_used_bytes",
    "host_load1",
    "host_network_receive_bytes_total",
    "host_network_transmit_bytes_total",
    "host_filesystem_usage_percent",
    "host_disk_read_bytes_total",
    "host_disk_written_bytes_total",
    "tinyobs_samples_appended_total",
    "tinyobs_storage_disk_bytes",
  ]);
});

test("without known subjects the first dozen useful names are chosen", () => {
  const names = Array.from({ length: 20 }, (_, i) => `app_m${i}`);
  assert.equal(defaultSelection(["app_build_info", ...names]).length, 12);
  assert.ok(!defaultSelection(["app_build_info", ...names]).includes("app_build_info"));
  assert.deepEqual(defaultSelection(["only_info"]), ["only_info"]);
  assert.deepEqual(defaultSelection([]), []);
});

test("range and choice survive the URL, with any characters in names", () => {
  const { range } = readHash("#range=6h");
  for (const chosen of [null, [], ["a", "b&c=d", "ü#<%>+ "]]) {
    const back = readHash(writeHash({ range, chosen }));
    assert.deepEqual(back.chosen, chosen);
    assert.equal(back.range.id, "6h");
  }
});

test("the default state has no hash", () => {
  assert.equal(writeHash(readHash("")), "");
});

test("an edited URL cannot ask for more charts than allowed, or for one twice", () => {
  const many = Array.from({ length: 100 }, (_, i) => `m=x${i}&m=x${i}`).join("&");
  const chosen = readHash(`#${many}`).chosen!;
  assert.equal(chosen.length, MAX_PANELS);
  assert.equal(new Set(chosen).size, MAX_PANELS);
});
