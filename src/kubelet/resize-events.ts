/**
 * What events say of resizes: what happened, and the resources that were asked for, as JSON. As pkg/kubelet/events/resize.go, v1.36.
 */
import type { Container, Pod } from "#api/generated/types/core-v1.ts";

/** "started", "completed", "error", or why a resize waits: "Deferred", "Infeasible". */
export type ResizeStep = "started" | "completed" | "error" | "Deferred" | "Infeasible";

/** « Pod resize completed: {"containers":[…],"generation":2} » */
export function resizeMessage(pod: Pod, step: ResizeStep, error?: string): string {
  const { initContainers = [], containers = [] } = pod.spec ?? {};
  const summary = {
    ...(initContainers.length === 0 ? {} : { initContainers: initContainers.map(allocation) }),
    containers: containers.map(allocation),
    generation: pod.metadata?.generation ?? 0,
    ...(error === undefined ? {} : { error }),
  };
  return `Pod resize ${step}: ${JSON.stringify(summary)}`;
}

function allocation({ name, resources = {} }: Container): object {
  return { name, resources };
}
