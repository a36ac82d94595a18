/**
 * Points in time to the nanosecond, as protobuf's Timestamp has them.
 */
import { badRequest } from "#apimachinery/status-error.ts";

const rfc3339 = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/;

/** Seconds since 1970 and nanoseconds within the second. */
export type Instant = { readonly seconds: number; readonly nanos: number };

/** Reads RFC 3339. Throws 400 for other texts. */
export function parseTime(text: string): Instant {
  const [, day, clock, fraction = "", zone] = rfc3339.exec(text) ?? [];
  const milliseconds = Date.parse(`${day}T${clock}${zone}`);
  if (Number.isNaN(milliseconds)) {
    const shown = JSON.stringify(text);
    throw badRequest(`parsing time ${shown} as "2006-01-02T15:04:05Z07:00": cannot parse ${shown} as "2006"`);
  }
  return { seconds: milliseconds / 1000, nanos: Number(fraction.padEnd(9, "0").slice(0, 9)) };
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
