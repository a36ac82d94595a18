/**
 * Measures cold starts as the requests see them that wait: from the moment in which the first one is held to the first byte of an answer, split by what it waited for. All on this node's clock.
 */
import type { Clock } from "#component-base/clock.ts";
import type { ColdStart } from "#serving/data-plane.ts";
import type { PodEndpoint } from "./pod-endpoints.ts";

/** A pod as cold starts see it. */
export type StartingPod = {
  readonly uid: string;
  readonly isBound: boolean;
  readonly endpoint: PodEndpoint | undefined;
};

type PodMarks = { readonly createdMs: number; boundMs?: number; addressMs?: number };
type Running = { readonly sinceMs: number; readonly pods: Map<string, PodMarks>; servedMs?: number; marks?: PodMarks };

/** The cold starts that are under way, by revision's key "namespace/name". */
export class ColdStarts {
  readonly #clock: Clock;
  readonly #onColdStart: (start: ColdStart) => void;
  readonly #running = new Map<string, Running>();

  constructor(options: { readonly clock: Clock; readonly onColdStart: (start: ColdStart) => void }) {
    this.#clock = options.clock;
    this.#onColdStart = options.onColdStart;
  }

  /** The first request begins to wait. What began before and nobody waited for is forgotten. */
  begin(key: string): void {
    this.#running.set(key, { sinceMs: this.#clock.now(), pods: new Map() });
  }

  /** A pod has come or changed. */
  onPod(key: string, { uid, isBound, endpoint }: StartingPod): void {
    const running = this.#running.get(key);
    if (running === undefined || running.servedMs !== undefined) return;
    const nowMs = this.#clock.now();
    const marks = running.pods.get(uid) ?? { createdMs: nowMs };
    running.pods.set(uid, marks);
    if (isBound) marks.boundMs ??= nowMs;
    if (endpoint !== undefined) marks.addressMs ??= nowMs;
  }

  /** Requests may go, to this pod. */
  onServed(key: string, pod: string): void {
    const running = this.#running.get(key);
    const marks = running?.pods.get(pod);
    if (running === undefined || marks === undefined) return;
    running.servedMs ??= this.#clock.now();
    running.marks ??= marks;
  }

  /** A request that was held has got the first byte of its answer. */
  onAnswer(key: string): void {
    const { sinceMs, servedMs, marks } = this.#running.get(key) ?? {};
    if (sinceMs === undefined || servedMs === undefined || marks === undefined) return;
    this.#running.delete(key);
    const { createdMs, boundMs = createdMs, addressMs = boundMs } = marks;
    const nowMs = this.#clock.now();
    const at = key.indexOf("/");
    this.#onColdStart({
      namespace: key.slice(0, at),
      name: key.slice(at + 1),
      time: new Date(sinceMs).toISOString(),
      totalMs: nowMs - sinceMs,
      decisionMs: createdMs - sinceMs,
      scheduleMs: boundMs - createdMs,
      startMs: addressMs - boundMs,
      readyMs: servedMs - addressMs,
      firstByteMs: nowMs - servedMs,
    });
  }

  forget(key: string): void {
    this.#running.delete(key);
  }
}
