/**
 * New requests and limits for running containers, without a restart. As the in-place resize of KEP-1287; resizePolicy RestartContainer is for the worker to act on.
 */
import type { Container, Pod } from "#api/generated/types/core-v1.ts";
import type { ContainerState } from "#kubelet/container-runtime.ts";
import { containerFieldPath } from "#kubelet/events.ts";
import { sameJson } from "#kubelet/pod-object.ts";
import { containerResources } from "#kubelet/resources/linux-resources.ts";
import type { EngineParts } from "./engine-parts.ts";
import { findContainer } from "./pod-view.ts";

/** Gives running containers whose resources changed between the two specs their new bounds. */
export async function resizeContainers(
  parts: EngineParts,
  before: Pod,
  after: Pod,
  running: readonly ContainerState[],
): Promise<void> {
  for (const state of running) {
    const container = findContainer(after, state.name);
    const old = findContainer(before, state.name);
    if (!container || !old || sameJson(old.resources, container.resources)) continue;
    await resize(parts, after, container, state);
  }
}

async function resize(parts: EngineParts, pod: Pod, container: Container, state: ContainerState): Promise<void> {
  const fieldPath = containerFieldPath(pod, container.name);
  try {
    await parts.runtime.updateResources(state.id, containerResources(pod, container));
    parts.events.pod(
      pod,
      "Normal",
      "ResizeCompleted",
      `Pod resize completed: ${JSON.stringify(container.resources ?? {})}`,
      fieldPath,
    );
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    parts.events.pod(pod, "Warning", "ResizeError", `Pod resize error: ${message}`, fieldPath);
    throw error;
  }
}
