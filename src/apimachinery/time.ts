/**
 * Points in time as the API writes them: RFC 3339 in UTC, whole seconds (metav1.Time) or microseconds (metav1.MicroTime).
 */

/** "2026-01-01T00:00:00Z" for ms since 1970. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** "2026-01-01T00:00:00.000000Z" for ms since 1970. */
export function formatMicroTime(ms: number): string {
  const micros = String(Math.floor((ms - Math.floor(ms)) * 1000)).padStart(3, "0");
  return `${new Date(Math.floor(ms)).toISOString().slice(0, 23)}${micros}Z`;
}

/** Ms since 1970 of an RFC 3339 time, or undefined when the text is none. */
export function findTimeMs(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
