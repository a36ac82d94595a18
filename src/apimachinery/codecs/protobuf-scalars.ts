/**
 * Points in time to the nanosecond, as protobuf's Timestamp has them.
 */
import { badRequest } from "#apimachinery/status-error.ts";

const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/;
const monthDays = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Seconds since 1970 and nanoseconds within the second. */
export type Instant = { readonly seconds: number; readonly nanos: number };

/** Reads RFC 3339. Throws 400 for other texts and for days that no calendar has, with Go's words. */
export function parseTime(text: string): Instant {
  // Times are read by the million, nearly all in this form: "2006-01-02T15:04:05Z".
  if (text.length === 20 && text.charCodeAt(19) === 0x5a && isCanonical(text)) {
    const at = (start: number): number => text.charCodeAt(start) * 10 + text.charCodeAt(start + 1) - 528;
    const clock = { hour: at(11), minute: at(14), second: at(17) };
    return { seconds: secondsOf(text, { year: at(0) * 100 + at(2), month: at(5), day: at(8) }, clock), nanos: 0 };
  }
  const parts = rfc3339.exec(text);
  if (parts === null) {
    const shown = JSON.stringify(text);
    throw badRequest(`parsing time ${shown} as "2006-01-02T15:04:05Z07:00": cannot parse ${shown} as "2006"`);
  }
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1, 7).map(Number);
  const seconds = secondsOf(text, { year, month, day }, { hour, minute, second });
  const fraction = (parts[7] ?? "").padEnd(9, "0").slice(0, 9);
  return { seconds: seconds - offsetOf(parts[8] ?? "Z"), nanos: Number(fraction) };
}

/** Digits and separators where they belong. */
function isCanonical(text: string): boolean {
  for (let index = 0; index < 19; index++) {
    const code = text.charCodeAt(index);
    const expected = index === 4 || index === 7 ? 0x2d : index === 10 ? 0x54 : index === 13 || index === 16 ? 0x3a : 0;
    if (expected === 0 ? code < 0x30 || code > 0x39 : code !== expected) return false;
  }
  return true;
}

type Day = { readonly year: number; readonly month: number; readonly day: number };
type Clock = { readonly hour: number; readonly minute: number; readonly second: number };

/** Days from civil dates, counted in eras of 400 years that begin with March. */
function secondsOf(text: string, { year, month, day }: Day, { hour, minute, second }: Clock): number {
  const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const lastDay = month === 2 && !isLeap ? 28 : (monthDays[month - 1] ?? 0);
  if (lastDay === 0) throw outOfRange(text, "month");
  if (hour > 23) throw outOfRange(text, "hour");
  if (minute > 59) throw outOfRange(text, "minute");
  if (second > 59) throw outOfRange(text, "second");
  if (day < 1 || day > lastDay) throw outOfRange(text, "day");
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return (era * 146097 + dayOfEra - 719468) * 86400 + hour * 3600 + minute * 60 + second;
}

function outOfRange(text: string, part: string): Error {
  return badRequest(`parsing time ${JSON.stringify(text)}: ${part} out of range`);
}

/** Seconds east of UTC of "+02:00". */
function offsetOf(zone: string): number {
  if (zone === "Z") return 0;
  const seconds = Number(zone.slice(1, 3)) * 3600 + Number(zone.slice(4)) * 60;
  return zone.startsWith("-") ? -seconds : seconds;
}

/** Reads RFC 3339 with six digits of fraction, no more and no fewer, as MicroTime wants it. Throws 400 for other texts. */
export function parseMicroTime(text: string): Instant {
  const [, day = "", rest = ""] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(.*)$/.exec(text) ?? [];
  const isMicro = /^\.\d{6}(Z|[+-]\d\d:\d\d)$/.test(rest);
  if (isMicro) return parseTime(text);
  const why = day === "" ? `${JSON.stringify(text)} as "2006"` : `${JSON.stringify(rest)} as ".000000"`;
  throw badRequest(`parsing time ${JSON.stringify(text)} as "2006-01-02T15:04:05.000000Z07:00": cannot parse ${why}`);
}

/** "2006-01-02T15:04:05.000000Z". */
export function formatMicroTime(seconds: number, nanos: number): string {
  const micros = String(Math.floor(nanos / 1000)).padStart(6, "0");
  return `${new Date(seconds * 1000).toISOString().slice(0, -5)}.${micros}Z`;
}
