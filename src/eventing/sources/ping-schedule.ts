/**
 * When a PingSource is due: five fields, or six with seconds first, or @hourly and its like, with an optional time zone; no @every. As upstream's parser (robfig/cron) takes it; read by croner.
 */
import { Cron } from "croner";

export type PingSchedule = {
  /** The first time after `ms`; undefined when there is none any more. */
  readonly nextMs: (ms: number) => number | undefined;
  /** The last time in (afterMs, untilMs]; undefined when there is none. */
  readonly lastMs: (afterMs: number, untilMs: number) => number | undefined;
};

/** A schedule or a time zone that is none. */
export class ScheduleError extends Error {
  readonly kind = "ScheduleError";
  readonly field: "schedule" | "timezone";

  constructor(field: "schedule" | "timezone", message: string, options?: ErrorOptions) {
    super(message, options);
    this.field = field;
  }
}

/** Throws {@link ScheduleError}. */
export function parsePingSchedule(schedule: string, timezone: string | undefined): PingSchedule {
  const { zone, text } = splitZone(schedule.trim(), timezone);
  checkZone(zone);
  if (text.includes("@every")) throw new ScheduleError("schedule", "unsupported descriptor @every");
  const fields = text.split(/\s+/).length;
  if (!text.startsWith("@") && fields !== 5 && fields !== 6)
    throw new ScheduleError("schedule", `expected 5 to 6 fields, found ${text === "" ? 0 : fields}: [${text}]`);
  try {
    const cron = new Cron(text, { paused: true, ...(zone === undefined ? {} : { timezone: zone }) });
    return {
      nextMs: (ms) => cron.nextRun(new Date(ms))?.getTime(),
      // The library looks before the given moment.
      lastMs: (afterMs, untilMs) =>
        cron
          .previousRuns(1, new Date(untilMs + 1000))
          .map((date) => date.getTime())
          .find((ms) => ms > afterMs && ms <= untilMs),
    };
  } catch (cause) {
    throw new ScheduleError("schedule", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function splitZone(schedule: string, timezone: string | undefined): { readonly zone?: string; readonly text: string } {
  if (timezone !== undefined && timezone !== "") return { zone: timezone, text: schedule };
  const match = /^(?:CRON_)?TZ=(\S+)\s+(.*)$/.exec(schedule);
  return match === null ? { text: schedule } : { zone: match[1] ?? "", text: match[2] ?? "" };
}

function checkZone(zone: string | undefined): void {
  if (zone === undefined) return;
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
  } catch (cause) {
    throw new ScheduleError("timezone", `provided bad location ${zone}: unknown time zone ${zone}`, { cause });
  }
}
