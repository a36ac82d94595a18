/**
 * Reading the times of CEL, to the nanosecond.
 */

const UNITS: Readonly<Record<string, bigint>> = {
  h: 3_600_000_000_000n,
  m: 60_000_000_000n,
  s: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1_000n,
  µs: 1_000n,
  ns: 1n,
};
const PART = /(\d+)(?:\.(\d*))?(h|ms|us|µs|ns|m|s)|\.(\d+)(h|ms|us|µs|ns|m|s)/y;
const TIME = /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/;

/** Nanoseconds of a duration as Go writes them (1h30m, -1.5s), or undefined. */
export function parseDuration(text: string): bigint | undefined {
  const isNegative = text.startsWith("-");
  const body = text.replace(/^[+-]/, "");
  if (body === "0") return 0n;
  let nanos = 0n;
  let at = 0;
  while (at < body.length) {
    PART.lastIndex = at;
    const part = PART.exec(body);
    if (part === null) return undefined;
    const unit = UNITS[(part[3] ?? part[5]) as string] as bigint;
    const fraction = part[2] ?? part[4] ?? "";
    nanos += BigInt(part[1] ?? 0) * unit;
    if (fraction !== "") nanos += (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length);
    at += part[0].length;
  }
  if (body === "") return undefined;
  return isNegative ? -nanos : nanos;
}

/** Nanoseconds since 1970 of a time in RFC 3339, or undefined. */
export function parseTimestamp(text: string): bigint | undefined {
  const match = TIME.exec(text);
  if (match === null) return undefined;
  const ms = Date.parse(`${match[1]}T${match[2]}${(match[4] as string).toUpperCase()}`);
  if (Number.isNaN(ms)) return undefined;
  return BigInt(ms) * 1_000_000n + BigInt((match[3] ?? "").padEnd(9, "0"));
}
