/**
 * Revisions that cannot run: none of their pods takes requests, one of them is stopped by something that does not pass by itself, and that has been so for longer than a fresh pod takes. Whoever asks for one is told instead of
 * waiting for his own time to be over. Known from the pods alone, so it holds while the control plane is away. A pod that runs is waited for however slow it is: it may be starting.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import { splitKey } from "#client/object-store.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { HoldVerdict } from "#proxy/config/hold.ts";
import type { PodEndpoint } from "./pod-endpoints.ts";

/** Callers wait for so long after the first sign: one request may have ended the only pod, and a registry may be back at the next try. */
const patienceMs = 10_000;
const retryAfterSeconds = 10;

/** Reasons of waiting containers that somebody has to see to. */
const lasting: ReadonlySet<string> = new Set([
  "CrashLoopBackOff",
  "CreateContainerConfigError",
  "CreateContainerError",
  "ErrImageNeverPull",
  "ErrImagePull",
  "ImagePullBackOff",
  "InvalidImageName",
  "RunContainerError",
]);

type Trouble = {
  /** First sign since it served last. */
  readonly sinceMs: number;
  /** What stops it now; undefined while a pod is on its way. */
  readonly reason: string | undefined;
  readonly timer: Timer | undefined;
};

/** By revisions' keys. */
export class RevisionTroubles {
  readonly #clock: Clock;
  readonly #onKnown: (key: string, refusal: HoldVerdict) => void;
  readonly #troubles = new Map<string, Trouble>();

  /** `onKnown` is called when it is known from now on that a revision cannot run; it may be called again. */
  constructor(clock: Clock, onKnown: (key: string, refusal: HoldVerdict) => void) {
    this.#clock = clock;
    this.#onKnown = onKnown;
  }

  /** What callers are told; undefined when the revision may run soon. */
  refusalFor(key: string): HoldVerdict | undefined {
    const { reason, sinceMs = 0 } = this.#troubles.get(key) ?? {};
    if (reason === undefined || this.#clock.now() - sinceMs < patienceMs) return undefined;
    const message = `revision ${splitKey(key).name} cannot run: ${reason}`;
    return { kind: "refuse", status: 503, message, retryAfterSeconds };
  }

  /** Pods of a revision that takes no requests have changed; `endpoints` are those of its pods that run. */
  look(key: string, pods: readonly Pod[], endpoints: readonly PodEndpoint[]): void {
    const before = this.#troubles.get(key);
    const isOnItsWay = endpoints.some(({ state }) => state !== "terminating");
    const reason = isOnItsWay ? undefined : pods.map(reasonOf).find((one) => one !== undefined);
    if (reason === before?.reason) return;
    before?.timer?.clear();
    const sinceMs = before?.sinceMs ?? this.#clock.now();
    const restMs = sinceMs + patienceMs - this.#clock.now();
    const isLater = reason !== undefined && restMs > 0;
    const timer = isLater ? this.#clock.setTimer(restMs, () => this.#tell(key)) : undefined;
    this.#troubles.set(key, { sinceMs, reason, timer });
    this.#tell(key);
  }

  /** It serves, sleeps, or is gone. */
  forget(key: string): void {
    this.#troubles.get(key)?.timer?.clear();
    this.#troubles.delete(key);
  }

  stop(): void {
    for (const key of this.#troubles.keys()) this.forget(key);
  }

  #tell(key: string): void {
    const refusal = this.refusalFor(key);
    if (refusal !== undefined) this.#onKnown(key, refusal);
  }
}

function reasonOf({ metadata, status }: Pod): string | undefined {
  if (metadata?.deletionTimestamp !== undefined) return undefined;
  const unplaced = status?.conditions?.find(({ type, status: is }) => type === "PodScheduled" && is === "False");
  if (unplaced !== undefined) return unplaced.reason ?? "Unschedulable";
  for (const { state } of [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]) {
    const { waiting, terminated } = state ?? {};
    if (waiting?.reason !== undefined && lasting.has(waiting.reason)) return waiting.reason;
    if (terminated !== undefined && terminated.exitCode !== 0) return `ExitCode${terminated.exitCode}`;
  }
  return undefined;
}
