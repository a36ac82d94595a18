/**
 * What the kubelet says about pods and the node as Events. The parts of the kubelet see only this; the client's recorder, which counts repeated ones, carries it.
 */
import type { Node, Pod } from "#api/generated/types/core-v1.ts";

/** Type of an event: Warning is what a user should look at. */
export type EventType = "Normal" | "Warning";

/** Where the kubelet says what happened. Never blocks, never throws. */
export interface KubeletEvents {
  /** About a pod, or about one of its containers when `fieldPath` ("spec.containers{web}") is given. */
  pod(pod: Pod, type: EventType, reason: string, message: string, fieldPath?: string): void;
  /** About the node. */
  node(node: Node, type: EventType, reason: string, message: string): void;
}

/** Says nothing: for tests that do not look. */
export const silentEvents: KubeletEvents = { pod() {}, node() {} };

/** "spec.containers{web}", "spec.initContainers{setup}", "spec.ephemeralContainers{debug}": how events name a container. */
export function containerFieldPath(pod: Pod, container: string): string {
  const { initContainers = [], ephemeralContainers = [] } = pod.spec ?? {};
  const list = initContainers.some((it) => it.name === container)
    ? "initContainers"
    : ephemeralContainers.some((it) => it.name === container)
      ? "ephemeralContainers"
      : "containers";
  return `spec.${list}{${container}}`;
}
