/**
 * Parts of timestamps and durations.
 */
import { stringArg } from "./arguments.ts";
import { type CelFunction, fn, type FunctionTable } from "./functions.ts";
import { CelError, type CelValue, Duration, noOverload, Timestamp } from "./values.ts";

export const TIME_MEMBERS: FunctionTable = {
  getFullYear: part((date) => date.getUTCFullYear()),
  getMonth: part((date) => date.getUTCMonth()),
  getDate: part((date) => date.getUTCDate()),
  getDayOfMonth: part((date) => date.getUTCDate() - 1),
  getDayOfWeek: part((date) => date.getUTCDay()),
  getDayOfYear: part((date) => Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000)),
  getHours: part((date) => date.getUTCHours(), 3_600_000_000_000n),
  getMinutes: part((date) => date.getUTCMinutes(), 60_000_000_000n),
  getSeconds: part((date) => date.getUTCSeconds(), 1_000_000_000n),
  getMilliseconds: fn([1, 2], "int", (value, zone) => {
    if (value instanceof Duration) return (value.nanos / 1_000_000n) % 1000n;
    return BigInt(inZone(value, zone).getUTCMilliseconds());
  }),
};

/** A part of a timestamp in a time zone, or all of a duration in some unit. */
function part(of: (date: Date) => number, unit?: bigint): CelFunction {
  return fn([1, 2], "int", (value, zone) => {
    if (unit !== undefined && value instanceof Duration) return value.nanos / unit;
    return BigInt(of(inZone(value, zone)));
  });
}

/** A date whose UTC fields are those of the time in the zone. */
function inZone(value: CelValue | undefined, zone: CelValue | undefined): Date {
  if (!(value instanceof Timestamp)) throw noOverload();
  const ms = Number(value.nanos / 1_000_000n);
  return new Date(ms + (zone === undefined ? 0 : offsetMs(stringArg(zone), ms)));
}

function offsetMs(zone: string, ms: number): number {
  const fixed = /^([+-])?(\d\d):(\d\d)$/.exec(zone);
  if (fixed !== null) {
    const minutes = Number(fixed[2]) * 60 + Number(fixed[3]);
    return (fixed[1] === "-" ? -minutes : minutes) * 60_000;
  }
  try {
    const format = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
    const name = format.formatToParts(ms).find(({ type }) => type === "timeZoneName")?.value ?? "GMT";
    return name === "GMT" ? 0 : offsetMs(name.slice(3), ms);
  } catch {
    throw new CelError(`unknown time zone ${zone}`);
  }
}
