// What to call the series of one metric in its legend.
//
// Labels that are the same on every series (job, instance, …) say nothing there and hide what
// differs: they go to the panel's subtitle, once.

export type Labels = Readonly<Record<string, string>>;

export interface LabelSplit {
  /** Labels with one value on every series, sorted by name. */
  readonly common: readonly (readonly [string, string])[];
  /** One name a series, in the order given. "" only when there is a single series. */
  readonly names: readonly string[];
}

/** Identity of a series: the same for equal labels in any order. */
export function labelKey(labels: Labels): string {
  return JSON.stringify(
    Object.keys(labels)
      .sort()
      .map((name) => [name, labels[name]]),
  );
}

/**
 * Splits off the common labels and names each series by the rest: the bare value when only one
 * label differs ("idle"), `cpu=0 mode=idle` when several do. A label that a series lacks counts as
 * different.
 */
export function splitLabels(all: readonly Labels[]): LabelSplit {
  const names = new Set<string>();
  for (const labels of all) for (const name of Object.keys(labels)) names.add(name);
  const common: (readonly [string, string])[] = [];
  const differing: string[] = [];
  for (const name of [...names].sort()) {
    const first = all[0]?.[name];
    if (first !== undefined && all.every((labels) => labels[name] === first))
      common.push([name, first]);
    else differing.push(name);
  }
  const nameOf = (labels: Labels): string => {
    if (differing.length === 1) return labels[differing[0]!] || `no ${differing[0]!}`;
    const parts = differing.filter((name) => labels[name] !== undefined);
    if (parts.length === 0) return all.length > 1 ? "no labels" : "";
    return parts.map((name) => `${name}=${labels[name]!}`).join(" ");
  };
  return { common, names: all.map(nameOf) };
}

export function commonText(common: LabelSplit["common"]): string {
  return common.map(([name, value]) => `${name}=${value}`).join("  ");
}
