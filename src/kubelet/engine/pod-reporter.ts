/**
 * Reporting: what is said of a pod, to whom it may concern and, for the next agent, on disk.
 */
import type { PodStatus } from "#api/generated/types/core-v1.ts";
import { podKey, sameJson } from "#kubelet/pod-object.ts";
import { writePodRecord } from "./pod-record.ts";
import { podStatus } from "./pod-status.ts";
import type { PodView } from "./pod-view.ts";
import type { WorkerCore } from "./worker-core.ts";

/** Tells of changes, once each. */
export class PodReporter {
  readonly #core: WorkerCore;
  readonly #waiting: (() => void)[] = [];
  #status: PodStatus | undefined;
  #isSilent = false;
  #recordDue: NodeJS.Immediate | undefined;

  constructor(core: WorkerCore) {
    this.#core = core;
  }

  /** The newest status; undefined before the first report. */
  get status(): PodStatus | undefined {
    return this.#status;
  }

  /** Says how the pod is, if that is news. */
  report(view: PodView, isTerminal: boolean): void {
    const { node, runtimeName } = this.#core.parts;
    const status = podStatus(view, { runtimeName, hostIPs: node.hostIPs, isTerminal });
    if (!this.#status || !sameJson(this.#status, status)) this.tell(status);
  }

  tell(status: PodStatus): void {
    const { parts, ref } = this.#core;
    this.#status = status;
    // What is told goes out first, and all that is told in one turn is written down once.
    this.#recordDue ??= setImmediate(() => this.#writeDueRecord());
    parts.onStatus(ref, status);
    this.wake();
  }

  /** The agent stops: what is still to be written down is. */
  release(): void {
    if (this.#recordDue !== undefined) this.#writeDueRecord();
  }

  #writeDueRecord(): void {
    clearImmediate(this.#recordDue);
    this.#recordDue = undefined;
    this.writeRecord();
  }

  /** Keeps the pod's spec and what was last said of it. */
  writeRecord(): void {
    if (this.#isSilent) return;
    const { parts, ref, pod } = this.#core;
    const last = this.#status;
    try {
      writePodRecord(parts.folders, { pod: pod(), ...(last === undefined ? {} : { last }) });
    } catch (error) {
      parts.logger.warn("Could not write record of pod", { pod: podKey(ref), error });
    }
  }

  /** The pod has ended, or is being removed: its record is not written here any more. */
  closeRecord(): void {
    this.#isSilent = true;
  }

  /** Resolves at the next change. */
  nextChange(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    return promise;
  }

  wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
