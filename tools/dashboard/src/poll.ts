// When to ask the server again. Pure: main.ts owns the timer.
//
// Usually every 30 s. Faster while there is nothing or hardly anything to see, because someone is
// watching the page come alive; and while the server is away, because they are waiting for it.

export const POLL_MS = 30_000;
const kEmptyMs = 2_000;
const kYoungMs = 5_000;
const kDownMs = 5_000;

/** Data younger than this is worth watching closely. */
const kYoungAgeMs = 3 * 60_000;

export interface Situation {
  readonly reachable: boolean;
  /** Some chart has something to draw. */
  readonly drawn: boolean;
  /** Age of the earliest sample on the page; null without data. */
  readonly oldestAgeMs: number | null;
  /** Since the page was opened. */
  readonly openMs: number;
}

export function nextPollMs(now: Situation): number {
  if (!now.reachable) return kDownMs;
  // A server that stays empty is not asked every two seconds for ever.
  if (!now.drawn) return now.openMs < 2 * 60_000 ? kEmptyMs : kYoungMs;
  if (now.oldestAgeMs !== null && now.oldestAgeMs < kYoungAgeMs) return kYoungMs;
  return POLL_MS;
}
