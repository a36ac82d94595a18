/**
 * Times as the API writes them.
 */

/** RFC 3339 in UTC with whole seconds: "2026-01-01T00:00:00Z". As meta/v1 Time. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** RFC 3339 in UTC with microseconds, as meta/v1 MicroTime. */
export function formatMicroTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000Z`;
}

/** Milliseconds since 1970; 0 for an absent time. */
export function parseTime(time: string | undefined | null): number {
  return time ? Date.parse(time) : 0;
}
