// What the page does with metric names alone: grouping, searching, and the choice for a first
// visit. Pure.

export interface Group {
  readonly title: string;
  readonly names: readonly string[];
}

/** A group larger than this is split by the second word of its names. */
const kSplitAbove = 24;

function prefix(name: string, words: number): string {
  const parts = name.split(/[_:.]/).filter((part) => part !== "");
  return parts.slice(0, words).join("_") || name;
}

function groupBy(names: readonly string[], words: number): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const key = prefix(name, words);
    const group = groups.get(key);
    if (group) group.push(name);
    else groups.set(key, [name]);
  }
  return groups;
}

/**
 * Groups names by their first word (host, go, http); a large group (node, with hundreds) by its
 * first two, where names alone in their subgroup stay together under the first word.
 */
export function groupMetrics(names: readonly string[]): Group[] {
  const groups: Group[] = [];
  for (const [title, members] of groupBy([...names].sort(), 1)) {
    if (members.length <= kSplitAbove) {
      groups.push({ title, names: members });
      continue;
    }
    const alone: string[] = [];
    for (const [subtitle, submembers] of groupBy(members, 2)) {
      if (submembers.length < 2) alone.push(...submembers);
      else groups.push({ title: subtitle, names: submembers });
    }
    if (alone.length > 0) groups.push({ title, names: alone });
  }
  return groups.sort((a, b) => (a.title < b.title ? -1 : a.title > b.title ? 1 : 0));
}

/** Names that contain every word of the search, in any order and case. */
export function searchMetrics(names: readonly string[], search: string): readonly string[] {
  const words = search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  if (words.length === 0) return names;
  return names.filter((name) => {
    const lower = name.toLowerCase();
    return words.every((word) => lower.includes(word));
  });
}

/** The subjects of a first page, in the order of its charts; at most `limit` names each. */
const kSubjects: readonly { readonly pattern: RegExp; readonly limit: number }[] = [
  { pattern: /^(host|node|system)_cpu/, limit: 2 },
  { pattern: /^(host|node|system)_memory/, limit: 2 },
  { pattern: /^(host|node|system)_load/, limit: 1 },
  { pattern: /^(host|node|system)_(network|net)/, limit: 2 },
  { pattern: /^(host|node|system)_filesystem/, limit: 1 },
  { pattern: /^(host|node|system)_disk/, limit: 2 },
  { pattern: /^tinyobs_/, limit: 2 },
];

const kDefaultCount = 12;

/** Words that make a metric worth a place on the first page, best first. */
const kTelling = [
  /usage|utilization|percent|busy/,
  /cpu_seconds|used|load1$|receive(d)?_bytes|read_bytes|appended|ingest/,
  /transmit(ted)?_bytes|sent_bytes|written|available|free|storage_(disk_)?bytes|active/,
  /series|samples/,
];

/** Names that are constant or only useful in a calculation. */
const kDull = /_info$|_bucket$|_created$|boot_time|_limit|_max$|errs|errors|reject|drop|guest/;

function rank(name: string): number {
  if (kDull.test(name)) return 9;
  const index = kTelling.findIndex((pattern) => pattern.test(name));
  return index < 0 ? 5 : index;
}

/**
 * What to show to a visitor who has chosen nothing: CPU, memory, load, network, disk, ourselves;
 * else a dozen.
 */
export function defaultSelection(names: readonly string[]): string[] {
  const chosen: string[] = [];
  for (const { pattern, limit } of kSubjects) {
    const candidates = names.filter((name) => pattern.test(name) && rank(name) < 9);
    candidates.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
    chosen.push(...candidates.slice(0, limit));
  }
  if (chosen.length > 0) return chosen;
  const useful = names.filter((name) => rank(name) < 9);
  return (useful.length > 0 ? useful : names).slice(0, kDefaultCount);
}
