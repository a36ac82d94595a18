/**
 * How fast the scheduler places pods, without the API: filters and scores on nodes in memory, each pod assumed where it goes.
 * Run: `node tools/node24.mjs bench/scheduler.ts [nodes] [pods]`
 */
import { performance } from "node:perf_hooks";
import type { Node, Pod } from "#api/generated/types/core-v1.ts";
import { SchedulerCache } from "#scheduler/cache.ts";
import { defaultProfile } from "#scheduler/default-plugins.ts";
import { NodeFinder } from "#scheduler/find-node.ts";
import { podInfoOf } from "#scheduler/pod-info.ts";

const [nodeCount = 5000, podCount = 10_000] = process.argv.slice(2).map(Number);

function node(index: number): Node {
  const name = `node-${index}`;
  const labels = { "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": `zone-${index % 3}` };
  const allocatable = { cpu: "32", memory: "128Gi", pods: "110" };
  return { apiVersion: "v1", kind: "Node", metadata: { name, labels }, status: { allocatable } } as unknown as Node;
}

function pod(index: number, more: object): Pod {
  const resources = { requests: { cpu: "100m", memory: "500Mi" } };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `pod-${index}`,
      namespace: "default",
      uid: `uid-${index}`,
      labels: { app: "web", group: `g${index % 100}` },
    },
    spec: { containers: [{ name: "c", image: "web", resources }], ...more },
  } as unknown as Pod;
}

function affinityTo(index: number, topologyKey: string): object {
  const term = { labelSelector: { matchLabels: { group: `g${index % 100}` } }, topologyKey };
  return { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
}

function run(name: string, count: number, specOf: (index: number) => object): void {
  const cache = new SchedulerCache({ namespaceLabels: () => ({}), findClaim: () => undefined });
  for (let i = 0; i < nodeCount; i++) cache.setNode(node(i));
  const finder = new NodeFinder(defaultProfile, Math.random);
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    const info = podInfoOf(pod(i, specOf(i)));
    const placement = finder.find(info, cache);
    if ("failure" in placement) throw new Error(placement.failure.message);
    cache.place(info, placement.node.name);
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(`${name}: ${count} pods on ${nodeCount} nodes, ${Math.round(count / seconds)} pods/s`);
}

run("basic", podCount, () => ({}));
run("affinity", Math.min(podCount, 2000), (index) => ({ affinity: affinityTo(index, "topology.kubernetes.io/zone") }));
