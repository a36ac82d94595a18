/**
 * The contract of whoever sends requests to pods of this node past the kernel: what is under way ends before the pod is told to. Filled in `cmd`.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";

/** Lets pods become idle. */
export interface PodDrain {
  /**
   * Sends the pod nothing new from now on, and resolves when what it has is answered; at once for pods that it sends nothing. Must not reject. Asked once per end of a pod, before hooks and signals;
   * the time counts as the pod's grace, and nobody waits any more when the signal aborts.
   */
  drain(pod: Pod, signal: AbortSignal): Promise<void>;
}
