/**
 * Resizes of running pods that the node cannot grant (yet): the pod keeps the resources that it has, and says why.
 */
import type { Container, Pod, PodCondition } from "#api/generated/types/core-v1.ts";
import { sameJson } from "./pod-object.ts";
import type { Refusal } from "./pod-admission.ts";

/** True when requests or limits of a container, or of the pod as a whole, differ. */
export function resourcesDiffer(a: Pod, b: Pod): boolean {
  return !sameJson(resourcesOf(a), resourcesOf(b));
}

/** `wanted` with the resources of `allocated`. */
export function withResourcesOf(wanted: Pod, allocated: Pod): Pod {
  const spec = wanted.spec;
  if (!spec) return wanted;
  const old = new Map(allContainers(allocated).map((container) => [container.name, container.resources]));
  const keep = (container: Container): Container => {
    const { resources: _, ...rest } = container;
    const resources = old.get(container.name);
    return resources === undefined ? rest : { ...rest, resources };
  };
  const { resources: _, ...rest } = spec;
  const own = allocated.spec?.resources;
  return {
    ...wanted,
    spec: {
      ...rest,
      ...(own === undefined ? {} : { resources: own }),
      containers: spec.containers.map(keep),
      ...(spec.initContainers === undefined ? {} : { initContainers: spec.initContainers.map(keep) }),
    },
  };
}

/** PodResizePending, with the reason why. */
export function pendingResize(pod: Pod, { reason, message }: Refusal): PodCondition {
  const generation = pod.metadata?.generation;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  return { type: "PodResizePending", status: "True", reason, message, ...observed };
}

function resourcesOf(pod: Pod): unknown {
  return [pod.spec?.resources, allContainers(pod).map(({ name, resources }) => [name, resources])];
}

function allContainers(pod: Pod): readonly Container[] {
  return [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
}
