/**
 * A pod's quality-of-service class and what follows from it: who is killed first when memory runs out. As pkg/apis/core/v1/helper/qos and pkg/kubelet/qos.
 */
import type { Container, Pod } from "#api/generated/types/core-v1.ts";
import { isRestartableInit } from "#kubelet/pod-object.ts";
import { amountsOf } from "./pod-resources.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

const guaranteedScore = -997;
const bestEffortScore = 1000;

/** The class that the API server recorded, else computed from requests and limits of CPU and memory. */
export function qosClassOf(pod: Pod): QosClass {
  const recorded = pod.status?.qosClass;
  if (recorded === "Guaranteed" || recorded === "Burstable" || recorded === "BestEffort") return recorded;
  const own = pod.spec?.resources;
  const all = own === undefined ? allContainers(pod).map((container) => container.resources) : [own];
  const requests = all.map((resources) => positive(resources?.requests));
  const limits = all.map((resources) => positive(resources?.limits));
  const isEmpty = [...requests, ...limits].every((amounts) => Object.keys(amounts).length === 0);
  if (isEmpty) return "BestEffort";
  const isGuaranteed = limits.every(
    (limit, index) =>
      ["cpu", "memory"].every((name) => limit[name] !== undefined) &&
      Object.entries(requests[index] ?? {}).every(([name, amount]) => limit[name] === amount),
  );
  return isGuaranteed ? "Guaranteed" : "Burstable";
}

/** oom_score_adj of a container: the smaller its share of the node's memory that it asked for, the sooner it is killed. */
export function oomScoreAdjOf(pod: Pod, container: Container, nodeMemoryBytes: number): number {
  if ((pod.spec?.priority ?? 0) >= 2_000_001_000) return guaranteedScore;
  const qos = qosClassOf(pod);
  if (qos === "Guaranteed") return guaranteedScore;
  if (qos === "BestEffort") return bestEffortScore;
  const score = (of: Container) =>
    1000 - Math.floor((1000 * (amountsOf(of.resources?.requests)["memory"] ?? 0)) / Math.max(nodeMemoryBytes, 1));
  const isSidecar = isRestartableInit(container) && (pod.spec?.initContainers ?? []).includes(container);
  const own = score(container);
  const mainScores = (pod.spec?.containers ?? []).map(score);
  // A sidecar must not die before the containers that it serves.
  const adjusted = isSidecar ? Math.min(own, ...mainScores) : own;
  if (adjusted < 1000 + guaranteedScore) return 1000 + guaranteedScore;
  return adjusted >= bestEffortScore ? bestEffortScore - 1 : adjusted;
}

function positive(list: Readonly<Record<string, string>> | undefined): Readonly<Record<string, number>> {
  const entries = Object.entries(amountsOf(list)).filter(
    ([name, amount]) => (name === "cpu" || name === "memory") && amount > 0,
  );
  return Object.fromEntries(entries);
}

function allContainers(pod: Pod): readonly Container[] {
  return [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
}
