/**
 * Schedules in cron's five fields, or @daily and the like: whether they can be read, and if not why, in the words of the library that upstream uses.
 */
import { findDurationMs } from "#apimachinery/duration.ts";

const descriptors = new Set(["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]);
const months = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
const days = "sun mon tue wed thu fri sat".split(" ");

type Bounds = { readonly min: number; readonly max: number; readonly names?: ReadonlyMap<string, number> };

const fields: readonly Bounds[] = [
  { min: 0, max: 59 },
  { min: 0, max: 23 },
  { min: 1, max: 31 },
  { min: 1, max: 12, names: new Map(months.map((name, index) => [name, index + 1])) },
  { min: 0, max: 6, names: new Map(days.map((name, index) => [name, index])) },
];

/** Why the schedule cannot be read; undefined when it can. */
export function findScheduleError(schedule: string): string | undefined {
  const text = schedule.replace(/^(?:CRON_)?TZ=\S+\s+/, "").trim();
  if (text.startsWith("@")) return findDescriptorError(text);
  const parts = text.split(/\s+/).filter((part) => part !== "");
  if (parts.length !== fields.length) return `expected exactly 5 fields, found ${parts.length}: [${parts.join(" ")}]`;
  for (const [index, part] of parts.entries()) {
    for (const range of part.split(",")) {
      const error = findRangeError(range, fields[index] as Bounds);
      if (error !== undefined) return error;
    }
  }
  return undefined;
}

function findDescriptorError(text: string): string | undefined {
  if (descriptors.has(text)) return undefined;
  if (!text.startsWith("@every ")) return `unrecognized descriptor: ${text}`;
  return findDurationMs(text.slice("@every ".length)) === undefined ? `failed to parse duration ${text}` : undefined;
}

function findRangeError(text: string, bounds: Bounds): string | undefined {
  const [range = "", step, ...more] = text.split("/");
  if (more.length > 0) return `too many slashes: ${text}`;
  const ends = range.split("-");
  const isAll = ends.length === 1 && (range === "*" || range === "?");
  if (ends.length > 2) return `too many hyphens: ${text}`;
  const start = isAll ? bounds.min : numberOf(ends[0] ?? "", bounds);
  if (typeof start === "string") return start;
  const end = isAll ? bounds.max : numberOf(ends[1] ?? ends[0] ?? "", bounds);
  if (typeof end === "string") return end;
  if (step !== undefined) {
    const by = numberOf(step, bounds);
    if (typeof by === "string") return by;
    if (by === 0) return `step of range should be a positive number: ${text}`;
  }
  // A start with a step and no end runs to the bound.
  const last = step !== undefined && ends.length === 1 ? bounds.max : end;
  if (start < bounds.min) return `beginning of range (${start}) below minimum (${bounds.min}): ${text}`;
  if (last > bounds.max) return `end of range (${last}) above maximum (${bounds.max}): ${text}`;
  return start > last ? `beginning of range (${start}) beyond end of range (${last}): ${text}` : undefined;
}

function numberOf(text: string, { names }: Bounds): number | string {
  const named = names?.get(text.toLowerCase());
  if (named !== undefined) return named;
  if (/^\d+$/.test(text)) return Number(text);
  return `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
}
