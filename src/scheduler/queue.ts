/**
 * The pods that wait for a node: ready to be tried, waiting after a failure, or waiting for something in the cluster to change. A change brings back those pods that it may help.
 * As kube-scheduler's scheduling queue: a back-off puts a pod behind the others, and holds it back only while there are any (SchedulerPopFromBackoffQ, on since v1.33). After an error it
 * is waited out.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { ClusterChange, FilterPlugin } from "./framework.ts";
import { Heap } from "./heap.ts";
import type { PodInfo } from "./pod-info.ts";

/** Waits after the n-th failure: 1 s, 2 s, 4 s, … 10 s. */
const firstBackoffMs = 1000;
const maxBackoffMs = 10_000;
/** Back-offs end at the end of such a window: of those that share one, the more important pod comes first. */
const backoffWindowMs = 1000;
/** Pods that nothing has helped for so long are tried again anyway: a hint may have been wrong. */
const maxUnschedulableMs = 5 * 60_000;

/** A pod in the queue. */
export type QueuedPod = {
  info: PodInfo;
  readonly sequence: number;
  attempts: number;
  /** Names of the plugins that found no node for it. */
  rejectedBy: ReadonlySet<string>;
  readyAtMs: number;
  /** When it was last found unschedulable. */
  parkedAtMs: number;
};

export class SchedulingQueue {
  readonly #clock: Clock;
  readonly #plugins: ReadonlyMap<string, FilterPlugin>;
  readonly #byUid = new Map<string, QueuedPod>();
  readonly #active = new Heap<QueuedPod>(comesFirst);
  readonly #backoff = new Heap<QueuedPod>(isReadyFirst);
  readonly #errorBackoff = new Heap<QueuedPod>(isReadyFirst);
  readonly #parked = new Set<QueuedPod>();
  #sequence = 0;
  #timer: { readonly dueMs: number; readonly timer: Timer } | undefined;
  #listener: () => void = () => {};

  constructor(clock: Clock, filters: readonly FilterPlugin[]) {
    this.#clock = clock;
    this.#plugins = new Map(filters.map((plugin) => [plugin.name, plugin]));
  }

  /** Registers the one listener that is told when {@link pop} may give a pod. */
  onAvailable(listener: () => void): void {
    this.#listener = listener;
  }

  /** How many pods wait, in any way. */
  get size(): number {
    return this.#byUid.size;
  }

  /** True when nothing can be tried now. */
  get isIdle(): boolean {
    return this.#active.size === 0 && this.#backoff.size === 0;
  }

  /** A pod that waits for a node is new, or changed in a way that may matter. Gated ones stay parked. */
  add(info: PodInfo): void {
    const known = this.#byUid.get(info.uid);
    const queued = known ?? this.#newQueued(info);
    queued.info = info;
    if (known !== undefined && !this.#parked.has(known)) return;
    if (isGated(info)) return this.#park(queued, new Set(["SchedulingGates"]));
    this.#wake(queued);
  }

  #newQueued(info: PodInfo): QueuedPod {
    const sequence = this.#sequence++;
    const queued = { info, sequence, attempts: 0, rejectedBy: new Set<string>(), readyAtMs: 0, parkedAtMs: 0 };
    this.#byUid.set(info.uid, queued);
    return queued;
  }

  /** Keeps the newest form of a pod without trying it again: what changed cannot matter. */
  refresh(info: PodInfo): void {
    const known = this.#byUid.get(info.uid);
    if (known !== undefined) known.info = info;
  }

  /** True when the pod waits here. */
  has(uid: string): boolean {
    return this.#byUid.has(uid);
  }

  /** The pod is bound or gone. */
  delete(uid: string): void {
    const queued = this.#byUid.get(uid);
    if (queued === undefined) return;
    this.#byUid.delete(uid);
    this.#active.remove(queued);
    this.#backoff.remove(queued);
    this.#errorBackoff.remove(queued);
    this.#parked.delete(queued);
  }

  /** The next pod to try. It leaves the queue; give it back with {@link park} or {@link retry} if it finds no place. */
  pop(): QueuedPod | undefined {
    const queued = this.#active.pop() ?? this.#backoff.pop();
    if (queued === undefined) return undefined;
    this.#byUid.delete(queued.info.uid);
    queued.attempts++;
    return queued;
  }

  /** No node would do: the pod waits for a change that may help. */
  park(queued: QueuedPod, rejectedBy: ReadonlySet<string>): void {
    this.#byUid.set(queued.info.uid, queued);
    this.#park(queued, rejectedBy);
  }

  /** Something went wrong that has nothing to do with the nodes: the pod is tried again after its back-off. */
  retry(queued: QueuedPod): void {
    this.#byUid.set(queued.info.uid, queued);
    queued.readyAtMs = this.#clock.now() + backoffMs(queued.attempts);
    this.#errorBackoff.push(queued);
    this.#armTimer();
  }

  /** Brings back the parked pods that the change may help. */
  onChange(change: ClusterChange): void {
    for (const queued of this.#parked) {
      if (!this.#mayHelp(change, queued)) continue;
      this.#parked.delete(queued);
      this.#wake(queued);
    }
  }

  /** Stops all timers. */
  close(): void {
    this.#timer?.timer.clear();
    this.#timer = undefined;
  }

  #mayHelp(change: ClusterChange, queued: QueuedPod): boolean {
    for (const name of queued.rejectedBy) if (this.#plugins.get(name)?.mayHelp(change, queued.info)) return true;
    return queued.rejectedBy.size === 0;
  }

  #park(queued: QueuedPod, rejectedBy: ReadonlySet<string>): void {
    queued.rejectedBy = rejectedBy;
    queued.parkedAtMs = this.#clock.now();
    this.#parked.add(queued);
    this.#armTimer();
  }

  /** To be tried: with the others, or behind them for what is left of its back-off. */
  #wake(queued: QueuedPod): void {
    this.#parked.delete(queued);
    const readyAtMs = queued.attempts === 0 ? 0 : queued.parkedAtMs + backoffMs(queued.attempts);
    if (readyAtMs > this.#clock.now()) {
      queued.readyAtMs = Math.ceil(readyAtMs / backoffWindowMs) * backoffWindowMs;
      this.#backoff.push(queued);
      this.#armTimer();
    } else {
      this.#active.push(queued);
    }
    this.#listener();
  }

  /** One timer, for whatever comes first: the end of a back-off, or of the longest wait. */
  #armTimer(): void {
    const [nextBackoffMs, nextErrorMs] = [this.#backoff, this.#errorBackoff].map(
      (heap) => heap.peek()?.readyAtMs ?? Number.POSITIVE_INFINITY,
    ) as [number, number];
    const [oldest] = this.#parked;
    const nextFlushMs = oldest === undefined ? Number.POSITIVE_INFINITY : oldest.parkedAtMs + maxUnschedulableMs;
    const dueMs = Math.min(nextBackoffMs, nextErrorMs, nextFlushMs);
    if (!Number.isFinite(dueMs) || (this.#timer !== undefined && this.#timer.dueMs <= dueMs)) return;
    this.#timer?.timer.clear();
    this.#timer = { dueMs, timer: this.#clock.setTimer(dueMs - this.#clock.now(), () => this.#onTimer()) };
  }

  #onTimer(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.now();
    for (const heap of [this.#backoff, this.#errorBackoff]) {
      for (let next = heap.peek(); next !== undefined && next.readyAtMs <= nowMs; next = heap.peek()) {
        heap.remove(next);
        this.#active.push(next);
      }
    }
    for (const queued of this.#parked) {
      if (queued.parkedAtMs + maxUnschedulableMs <= nowMs && !isGated(queued.info)) this.#wake(queued);
    }
    this.#armTimer();
    if (this.#active.size > 0) this.#listener();
  }
}

/** True while spec.schedulingGates holds the pod back. */
export function isGated(info: PodInfo): boolean {
  return (info.pod.spec?.schedulingGates?.length ?? 0) > 0;
}

function isReadyFirst(a: QueuedPod, b: QueuedPod): boolean {
  return a.readyAtMs === b.readyAtMs ? comesFirst(a, b) : a.readyAtMs < b.readyAtMs;
}

function comesFirst(a: QueuedPod, b: QueuedPod): boolean {
  return a.info.priority !== b.info.priority ? a.info.priority > b.info.priority : a.sequence < b.sequence;
}

function backoffMs(attempts: number): number {
  return Math.min(firstBackoffMs * 2 ** Math.max(0, attempts - 1), maxBackoffMs);
}
