/**
 * Bounds of a process that waits for code, set when it is known whose it will be.
 */
import { writeFileSync } from "node:fs";
import type { LinuxResources } from "#kubelet/container-runtime.ts";
import { RuntimeFailure } from "#runtime/settings.ts";

/**
 * Sets the bound on memory, and on processes, before the code comes. Those on the processor hold once it is loaded: on a busy machine a pod with the least weight would
 * otherwise wait for its turn to start. Throws {@link RuntimeFailure} where the bound is less than the waiting process has already.
 */
export function boundMemory(
  { memoryLimitBytes, pidsLimit }: LinuxResources,
  set: (bounds: LinuxResources) => void,
): void {
  try {
    if (memoryLimitBytes !== undefined) set({ memoryLimitBytes });
    if (pidsLimit !== undefined) set({ pidsLimit });
  } catch (cause) {
    const message = `cannot bound the isolate to ${memoryLimitBytes} bytes of memory, its engine alone needs more`;
    throw new RuntimeFailure("sandbox", message, { cause });
  }
}

/** Says how soon the kernel ends it where memory is short. As for containers: without CAP_SYS_RESOURCE nobody may go below what he has. */
export function setOutOfMemoryScore(pid: number, score: number, mayLower: boolean): void {
  if (mayLower || score >= 0) writeFileSync(`/proc/${pid}/oom_score_adj`, String(score));
}
