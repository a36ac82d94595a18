/**
 * What is used, from two readings of the same counters. A container that is younger than the earlier reading is measured from its start. As metrics-server's pkg/storage.
 */
import type { NodeReading, UsagePoint } from "./resource-text.ts";

/** What something used over a time. */
export type Usage = {
  /** End of the time, ms since 1970. */
  readonly atMs: number;
  readonly windowMs: number;
  /** Billionths of a core, on average. */
  readonly nanoCores: bigint;
  readonly memoryBytes: number;
};

/** What a pod's containers used, by name. */
export type PodUsage = ReadonlyMap<string, Usage>;

/** Shorter times say nothing about CPU, longer ones nothing about now. */
const shortestMs = 500;
const longestMs = 90_000;

/** What the node used. */
export function nodeUsage(earlier: NodeReading | undefined, later: NodeReading): Usage | undefined {
  return later.node && between(earlier?.node, later.node);
}

/** What a pod used; undefined unless it is known of each of its containers. */
export function podUsage(earlier: NodeReading | undefined, later: NodeReading, key: string): PodUsage | undefined {
  const before = earlier?.pods.get(key);
  const usage = new Map<string, Usage>();
  for (const [name, point] of later.pods.get(key) ?? []) {
    const used = between(before?.get(name), point);
    if (used === undefined) return undefined;
    usage.set(name, used);
  }
  return usage.size > 0 ? usage : undefined;
}

function between(earlier: UsagePoint | undefined, later: UsagePoint): Usage | undefined {
  const isSame =
    earlier !== undefined && earlier.startedMs === later.startedMs && earlier.cpuSeconds <= later.cpuSeconds;
  if (!isSame && later.startedMs === 0) return undefined;
  const from = isSame ? earlier : { atMs: later.startedMs, cpuSeconds: 0 };
  const windowMs = later.atMs - from.atMs;
  if (windowMs < shortestMs || windowMs > longestMs) return undefined;
  const nanoCores = BigInt(Math.round(((later.cpuSeconds - from.cpuSeconds) * 1e12) / windowMs));
  return { atMs: later.atMs, windowMs, nanoCores, memoryBytes: later.memoryBytes };
}
