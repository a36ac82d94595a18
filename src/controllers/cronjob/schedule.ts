/**
 * When a CronJob is due. Reads the five fields, @hourly and its like by the croner library, and @every itself.
 */
import type { Cron } from "croner";

/** The times of a schedule. */
export type Schedule = {
  /** The next time after `ms`; undefined when there is none any more. */
  readonly nextMs: (ms: number) => number | undefined;
  /** The last `count` times in (afterMs, untilMs], the newest first. */
  readonly lastMs: (afterMs: number, untilMs: number, count: number) => readonly number[];
};

/** Reads a schedule. Throws for one that is none, or for a time zone that is unknown. Clusters without CronJobs never load the library. */
export async function parseSchedule(text: string, timeZone: string | undefined): Promise<Schedule> {
  const every = /^@every\s+(.+)$/.exec(text.trim());
  if (every !== null) return everySchedule(parseDurationMs(every[1]!));
  const { Cron: CronClass } = await import("croner");
  const cron = new CronClass(text.trim(), { timezone: timeZone ?? "UTC" });
  return cronSchedule(cron);
}

function cronSchedule(cron: Cron): Schedule {
  return {
    nextMs: (ms) => cron.nextRun(new Date(ms))?.getTime(),
    lastMs(afterMs, untilMs, count) {
      // The library looks before the given moment.
      const times = cron.previousRuns(count, new Date(untilMs + 1000)).map((date) => date.getTime());
      return times.filter((ms) => ms > afterMs && ms <= untilMs);
    },
  };
}

/** Counted from 1970 in whole steps, so that it is the same after a restart. */
function everySchedule(stepMs: number): Schedule {
  const floor = (ms: number) => Math.floor(ms / stepMs) * stepMs;
  return {
    nextMs: (ms) => floor(ms) + stepMs,
    lastMs(afterMs, untilMs, count) {
      const times: number[] = [];
      for (let ms = floor(untilMs); ms > afterMs && times.length < count; ms -= stepMs) times.push(ms);
      return times;
    },
  };
}

const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000 };

/** "1h30m". Whole seconds, one at least. */
function parseDurationMs(text: string): number {
  if (!/^(\d+(\.\d+)?[hms])+$/.test(text)) throw new Error(`failed to parse duration ${JSON.stringify(text)}`);
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)([hms])/g)) totalMs += Number(amount) * unitMs[unit!]!;
  return Math.max(1000, Math.floor(totalMs / 1000) * 1000);
}
