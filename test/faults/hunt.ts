/**
 * Finds short-lived processes: an OCI runtime lives 10–30 ms, so /proc is read over and over, and only what is new in it is looked at.
 */
import { readdirSync, readFileSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";

/** How long a new process may still become another program by exec. */
const youngMs = 200;

/** The first process from now on whose command line satisfies `matches`; undefined when none came within the time. */
export async function hunt(matches: (command: string) => boolean, withinMs: number): Promise<number | undefined> {
  const firstSeenMs = new Map<string, number>(readdirSync("/proc").map((name) => [name, Number.NEGATIVE_INFINITY]));
  for (const startMs = performance.now(); performance.now() - startMs < withinMs; await turn()) {
    for (const name of readdirSync("/proc")) {
      const nowMs = performance.now();
      const seenMs = firstSeenMs.get(name) ?? nowMs;
      firstSeenMs.set(name, seenMs);
      if (nowMs - seenMs > youngMs) continue;
      if (matches(commandOf(name))) return Number(name);
    }
  }
  return undefined;
}

function commandOf(name: string): string {
  try {
    return readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ");
  } catch {
    return "";
  }
}
