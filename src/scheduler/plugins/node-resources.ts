/**
 * Resources: a node must have what the pod asks for; nodes with more left, and with cpu and memory used evenly, are better.
 */
import type { FilterPlugin, Rejection, ScorePlugin } from "#scheduler/framework.ts";
import { maxScore } from "#scheduler/framework.ts";
import type { NodeInfo } from "#scheduler/node-info.ts";
import type { PodInfo } from "#scheduler/pod-info.ts";
import { amountsOf } from "#scheduler/pod-requests.ts";

export const nodeResourcesFit: FilterPlugin & ScorePlugin = {
  name: "NodeResourcesFit",
  weight: 1,
  prepareFilter: (pod) => (node) => (fits(pod, node) ? undefined : rejectionOf(pod, node)),
  mayHelp(change, pod) {
    switch (change.kind) {
      case "podGone":
        return true;
      case "podUpdated":
        return asksLess(change.before, change.pod);
      case "nodeAdded":
        return couldHold(pod, change.node.status?.allocatable);
      case "nodeUpdated":
        return (
          change.before.status?.allocatable !== change.node.status?.allocatable &&
          couldHold(pod, change.node.status?.allocatable)
        );
      default:
        return false;
    }
  },
  prepareScore: (pod) => ({ score: (node) => leastAllocated(pod, node) }),
};

export const balancedAllocation: ScorePlugin = {
  name: "NodeResourcesBalancedAllocation",
  weight: 1,
  prepareScore(pod) {
    const { milliCpu, memoryBytes } = pod.requests;
    if (milliCpu === 0 && memoryBytes === 0) return undefined;
    return {
      score(node) {
        const cpu = fraction(node.requestedMilliCpu + milliCpu, node.allocatable.milliCpu);
        const memory = fraction(node.requestedMemoryBytes + memoryBytes, node.allocatable.memoryBytes);
        // The standard deviation of two values.
        return Math.floor((1 - Math.abs(cpu - memory) / 2) * maxScore);
      },
    };
  },
};

function fits(pod: PodInfo, node: NodeInfo): boolean {
  const { requests } = pod;
  const { allocatable } = node;
  if (node.pods.size + 1 > node.maxPods) return false;
  if (requests.milliCpu > 0 && requests.milliCpu > allocatable.milliCpu - node.requestedMilliCpu) return false;
  if (requests.memoryBytes > 0 && requests.memoryBytes > allocatable.memoryBytes - node.requestedMemoryBytes)
    return false;
  if (requests.storageBytes > 0 && requests.storageBytes > allocatable.storageBytes - node.requestedStorageBytes)
    return false;
  return requests.extended === undefined || missingExtended(pod, node).length === 0;
}

function missingExtended(pod: PodInfo, node: NodeInfo): readonly string[] {
  const missing: string[] = [];
  for (const [name, amount] of pod.requests.extended ?? []) {
    const free = (node.allocatable.extended?.get(name) ?? 0) - (node.requestedExtended.get(name) ?? 0);
    if (amount > 0 && amount > free) missing.push(name);
  }
  return missing;
}

function rejectionOf(pod: PodInfo, node: NodeInfo): Rejection {
  const { requests } = pod;
  const { allocatable } = node;
  const reasons: string[] = [];
  if (node.pods.size + 1 > node.maxPods) reasons.push("Too many pods");
  const check = (name: string, wanted: number, used: number, total: number) => {
    if (wanted > 0 && wanted > total - used) reasons.push(`Insufficient ${name}`);
    return wanted > total;
  };
  const isFinal = [
    check("cpu", requests.milliCpu, node.requestedMilliCpu, allocatable.milliCpu),
    check("memory", requests.memoryBytes, node.requestedMemoryBytes, allocatable.memoryBytes),
    check("ephemeral-storage", requests.storageBytes, node.requestedStorageBytes, allocatable.storageBytes),
    ...[...(requests.extended ?? [])].map(([name, amount]) =>
      check(name, amount, node.requestedExtended.get(name) ?? 0, allocatable.extended?.get(name) ?? 0),
    ),
  ].some(Boolean);
  // What is more than the whole node has, no eviction can free.
  return { reasons, isFinal };
}

function couldHold(pod: PodInfo, allocatable: Readonly<Record<string, string>> | undefined): boolean {
  const { milliCpu, memoryBytes } = amountsOf(allocatable);
  return pod.requests.milliCpu <= milliCpu && pod.requests.memoryBytes <= memoryBytes;
}

function asksLess(before: PodInfo, after: PodInfo): boolean {
  return after.requests.milliCpu < before.requests.milliCpu || after.requests.memoryBytes < before.requests.memoryBytes;
}

function leastAllocated(pod: PodInfo, node: NodeInfo): number {
  const { milliCpu, memoryBytes } = node.allocatable;
  let [sum, weights] = [0, 0];
  if (milliCpu > 0) {
    sum += free(node.scoringMilliCpu + pod.scoringRequests.milliCpu, milliCpu);
    weights++;
  }
  if (memoryBytes > 0) {
    sum += free(node.scoringMemoryBytes + pod.scoringRequests.memoryBytes, memoryBytes);
    weights++;
  }
  return weights === 0 ? 0 : Math.floor(sum / weights);
}

function free(requested: number, capacity: number): number {
  return requested > capacity ? 0 : Math.floor(((capacity - requested) * maxScore) / capacity);
}

function fraction(requested: number, capacity: number): number {
  return capacity === 0 ? 1 : Math.min(1, requested / capacity);
}
