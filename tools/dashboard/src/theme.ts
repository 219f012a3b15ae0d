// Light and dark, and the colours of charts in both.
//
// The page's colours are CSS variables; a canvas cannot read those cheaply while drawing, so the
// few colours of charts are here. They were picked for a contrast of at least 3:1 against the
// panel, and neighbours differ in lightness as well as in hue, for eyes that do not tell red from
// green.

export type ThemeName = "light" | "dark";

export interface ChartColours {
  readonly lines: readonly string[];
  readonly axis: string;
  readonly grid: string;
}

const kColours: Record<ThemeName, ChartColours> = {
  light: {
    lines: [
      "#2463d6",
      "#d2600a",
      "#0b8a6f",
      "#a02fa8",
      "#b8860b",
      "#c7254e",
      "#0e7fa8",
      "#5a6b1f",
      "#6b4fd8",
      "#7a5548",
    ],
    axis: "#5d6673",
    grid: "#e9ecf1",
  },
  dark: {
    lines: [
      "#6ea3ff",
      "#ff9d52",
      "#3fcfa8",
      "#dd86e6",
      "#e6c04c",
      "#ff7a93",
      "#56c3ea",
      "#b3cc62",
      "#a998ff",
      "#cfa594",
    ],
    axis: "#98a2b3",
    grid: "#242b37",
  },
};

const kStorageKey = "tinyobs.theme";

/**
 * The visitor's choice, or null to follow the system. Storage may be forbidden; then the choice
 * lasts a visit.
 */
function storedTheme(): ThemeName | null {
  try {
    const value = localStorage.getItem(kStorageKey);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    return null;
  }
}

export class Theme {
  private readonly system = matchMedia("(prefers-color-scheme: dark)");
  private choice: ThemeName | null = storedTheme();
  private readonly listeners: (() => void)[] = [];

  constructor() {
    this.system.addEventListener("change", () => this.apply());
    this.apply();
  }

  get name(): ThemeName {
    return this.choice ?? (this.system.matches ? "dark" : "light");
  }

  get colours(): ChartColours {
    return kColours[this.name];
  }

  toggle(): void {
    this.choice = this.name === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(kStorageKey, this.choice);
    } catch {
      // Remembered for this visit only.
    }
    this.apply();
  }

  subscribe(listener: () => void): void {
    this.listeners.push(listener);
  }

  private apply(): void {
    document.documentElement.dataset["theme"] = this.name;
    for (const listener of this.listeners) listener();
  }
}
