/**
 * How long a pod may be active: `spec.activeDeadlineSeconds`.
 */
import type { Timer } from "#component-base/clock.ts";
import type { WorkerCore } from "./worker-core.ts";

/** What is said of a pod that was active for too long. */
export const deadlineVerdict = {
  reason: "DeadlineExceeded",
  message: "Pod was active on the node longer than the specified deadline",
} as const;

export class ActiveDeadline {
  readonly #core: WorkerCore;
  readonly #acceptedMs: number;
  #timer: Timer | undefined;

  constructor(core: WorkerCore) {
    this.#core = core;
    this.#acceptedMs = core.parts.clock.now();
  }

  /** Whether it is over. If not, there is another look when it is. */
  isOver(): boolean {
    const { clock } = this.#core.parts;
    const { spec, status } = this.#core.pod();
    if (spec?.activeDeadlineSeconds === undefined) return false;
    const startedMs = status?.startTime ? Date.parse(status.startTime) : this.#acceptedMs;
    const leftMs = startedMs + spec.activeDeadlineSeconds * 1000 - clock.now();
    this.clear();
    if (leftMs > 0) this.#timer = clock.setTimer(leftMs, this.#core.look);
    return leftMs <= 0;
  }

  /** It is of no interest any more. */
  clear(): void {
    this.#timer?.clear();
  }
}
