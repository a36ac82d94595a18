/**
 * What processes have cost, from /proc: CPU time of all their threads, resident memory, and their fair share of it.
 */
import { readFileSync } from "node:fs";

/** Microseconds of CPU since the processes' start. 100 ticks a second. */
export function cpuMicros(pids: readonly number[]): number {
  const ticks = pids.map((pid) => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []);
  return ticks.reduce((sum, fields) => sum + Number(fields[11] ?? 0) + Number(fields[12] ?? 0), 0) * 10_000;
}

/** Megabytes. */
export type Memory = { readonly rssMb: number; readonly pssMb: number };

export function memoryOf(pids: readonly number[]): Memory {
  const rollups = pids.map((pid) => readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
  const sum = (name: string) =>
    rollups.reduce((all, it) => all + Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(it)?.[1] ?? 0), 0) / 1024;
  return { rssMb: sum("Rss"), pssMb: sum("Pss") };
}
