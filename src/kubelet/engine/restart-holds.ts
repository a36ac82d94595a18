/**
 * Holding back: which containers of a pod have to wait before they start (again), for how long, and what is said meanwhile. As kuberuntime's doBackOff, v1.36.
 */
import type { Container } from "#api/generated/types/core-v1.ts";
import { formatDuration } from "#apimachinery/duration.ts";
import type { ContainerState } from "#kubelet/container-runtime.ts";
import { containerFieldPath } from "#kubelet/events.ts";
import { formatPod } from "#kubelet/pod-object.ts";
import type { PodRef } from "#kubelet/provider.ts";
import { StartFailure } from "./container-start.ts";
import { HeldContainers } from "./held-containers.ts";
import type { Waiting } from "./pod-view.ts";
import { allContainers } from "./pod-view.ts";
import type { WorkerCore } from "./worker-core.ts";

/** After a start that failed for a reason that is not known. */
const unknownFailureRetryMs = 10_000;

/** Decides by what is known of a container's earlier ends. */
export class RestartHolds {
  readonly #core: WorkerCore;
  readonly #held: HeldContainers;
  /** Ids of containers that a probe had killed. */
  readonly #killed = new Set<string>();
  /** Names that start again without a wait: stopped to be resized, or to begin anew. */
  readonly #forgiven = new Set<string>();

  constructor(core: WorkerCore) {
    this.#core = core;
    this.#held = new HeldContainers(core.parts.clock, core.look);
  }

  /** Why the container of this name does not run. */
  waiting(name: string): Waiting | undefined {
    return this.#held.waiting(name);
  }

  /** The container of this name runs. */
  started(name: string): void {
    this.#held.forget(name);
  }

  failed({ name }: Container, error: unknown): void {
    const failure =
      error instanceof StartFailure
        ? error
        : new StartFailure("CreateContainerError", String(error), unknownFailureRetryMs);
    this.#held.hold(name, { reason: failure.reason, message: failure.message }, failure.retryMs);
  }

  /** The next start does not wait. */
  forgive(name: string): void {
    this.#forgiven.add(name);
  }

  /** A probe has the container of this id killed. */
  killedByProbe(id: string): void {
    this.#killed.add(id);
  }

  /** Configuration may have become whole: who waits for it tries again. */
  releaseConfig(): void {
    this.#held.release("config");
  }

  /** Nothing starts any more; reasons stay. */
  clear(): void {
    this.#held.clear();
  }

  /** The pod is gone. */
  forget(): void {
    const { parts, ref, pod } = this.#core;
    for (const { name, image = "" } of allContainers(pod())) parts.crashBackoff.forget(crashKey(ref, name, image));
  }

  /** Whether the container must wait before it is started again; says so once when the wait begins. */
  isOnHold(container: Container): boolean {
    const { name } = container;
    if (this.#held.isHeld(name)) return true;
    const last = this.#core.containers.latest(name);
    if (last?.phase !== "exited") return false;
    const { crashBackoff } = this.#core.parts;
    const key = crashKey(this.#core.ref, name, container.image ?? "");
    const endedMs = last.finishedMs ?? last.createdMs;
    if (this.#forgiven.delete(name) || this.#startsAfterKill(last, key)) return false;
    const waitMs = crashBackoff.remainingMs(key, endedMs);
    if (waitMs > 0) {
      this.#hold(name, crashBackoff.currentMs(key), waitMs);
      return true;
    }
    crashBackoff.next(key, endedMs);
    return false;
  }

  #hold(name: string, backoffMs: number, waitMs: number): void {
    const { parts, ref, pod } = this.#core;
    const podText = formatPod(ref);
    const message = `back-off ${formatDuration(backoffMs)} restarting failed container=${name} pod=${podText}`;
    this.#held.hold(name, { reason: "CrashLoopBackOff", message }, waitMs, "crash");
    const text = `Back-off restarting failed container ${name} in pod ${podText}`;
    parts.events.pod(pod(), "Warning", "BackOff", text, containerFieldPath(pod(), name));
  }

  /**
   * A container that a probe had killed starts again at once if its forerunner ended long enough ago: what counts is how often it fails, not how long its end took.
   * As upstream, where the kill and the new start are one step.
   */
  #startsAfterKill(last: ContainerState, key: string): boolean {
    if (!this.#killed.delete(last.id)) return false;
    const { containers, parts } = this.#core;
    const earlier = containers.previous(last.name);
    if (!earlier) return true;
    const sinceMs = earlier.finishedMs ?? earlier.createdMs;
    if (parts.crashBackoff.remainingMs(key, sinceMs) > 0) return false;
    parts.crashBackoff.next(key, sinceMs);
    return true;
  }
}

/** Backoff of a container that crashes; another image is another chance. */
function crashKey(ref: PodRef, name: string, image: string): string {
  return `${ref.uid}_${name}_${image}`;
}
