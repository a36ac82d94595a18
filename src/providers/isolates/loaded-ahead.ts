/**
 * Code that is loaded before its pod is there. Who holds a request for something that has gone to sleep knows what will be started long before the pod has come the whole way through the API: meanwhile a
 * process that waits loads what the last pod of that kind ran. The pod gets this process when its own code, read anew, is the same to the byte; nobody else ever does.
 */
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { LinuxResources } from "#kubelet/container-runtime.ts";
import type { PodRef } from "#kubelet/provider.ts";
import type { Cage } from "./cage.ts";
import type { IsolateCode } from "./loader.ts";

/** How long a process with code waits for its pod. */
const patienceMs = 10_000;
/** Kinds of pods whose code is remembered. */
const mostKinds = 256;
/** So often in a row a pod may have other code than the one before: once for a change, no more for what differs from pod to pod. */
const mostMisses = 2;
const usualMostText = 16 << 20;

/** What is needed of the runtime. */
export type LoadedAheadOptions = {
  /** A process that waits, or undefined. */
  readonly take: () => Cage | undefined;
  /** Sets the bounds on memory and loads; resolves to what went wrong. Never rejects. */
  readonly load: (cage: Cage, code: IsolateCode, resources: LinuxResources, signal: AbortSignal) => Promise<unknown>;
  /** Takes the process away. */
  readonly discard: (cage: Cage) => Promise<void>;
  /** Most code that is remembered, in characters. Default 16 Mi. */
  readonly mostText?: number;
  readonly clock: Clock;
  readonly logger: Logger;
};

type Known = { readonly text: string; readonly code: IsolateCode; readonly resources: LinuxResources };
type Ahead = {
  readonly cage: Cage;
  readonly text: string;
  readonly loading: Promise<unknown>;
  readonly abort: AbortController;
  readonly timer: Timer;
};

/** Pods of one kind are those that one ReplicaSet makes: all of their names but the last part. */
export class LoadedAhead {
  readonly #options: LoadedAheadOptions;
  /** The last used is the last. */
  readonly #known = new Map<string, Known>();
  /** How often in a row what was prepared did not fit, by kind. */
  readonly #misses = new Map<string, number>();
  readonly #ahead = new Map<string, Ahead>();
  readonly #given = new WeakMap<
    Cage,
    { readonly kind: string; readonly text: string; readonly loading: Promise<unknown> }
  >();
  #text = 0;

  constructor(options: LoadedAheadOptions) {
    this.#options = options;
  }

  /** Whether pods are on their way for which code was loaded. */
  get isWaiting(): boolean {
    return this.#ahead.size > 0;
  }

  /** A pod runs this code. */
  remember(pod: NamedPod, code: IsolateCode, resources: LinuxResources): void {
    const kind = kindOf(pod);
    const { mostText = usualMostText } = this.#options;
    if ((this.#misses.get(kind) ?? 0) >= mostMisses) return;
    this.#forget(kind);
    const text = JSON.stringify(code);
    this.#known.set(kind, { text, code, resources });
    this.#text += text.length;
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= mostKinds && this.#text <= mostText) break;
      this.#forget(oldest);
    }
  }

  /** A pod like this one, which was here, will be wanted. */
  prepare(pod: NamedPod): void {
    const kind = kindOf(pod);
    const known = this.#known.get(kind);
    if (known === undefined || this.#ahead.has(kind)) return;
    const { take, load, clock } = this.#options;
    const cage = take();
    if (cage === undefined) return;
    const abort = new AbortController();
    const loading = load(cage, known.code, known.resources, abort.signal);
    const timer = clock.setTimer(patienceMs, () => this.#giveUp(kind));
    this.#ahead.set(kind, { cage, text: known.text, loading, abort, timer });
  }

  /** The process that was prepared for a pod like this one. It is the caller's. */
  take(pod: NamedPod): Cage | undefined {
    const kind = kindOf(pod);
    const ahead = this.#ahead.get(kind);
    if (ahead === undefined) return undefined;
    this.#ahead.delete(kind);
    ahead.timer.clear();
    this.#given.set(ahead.cage, { kind, text: ahead.text, loading: ahead.loading });
    return ahead.cage;
  }

  /** Whether this code may be run in a process: in one that has other code already it may not. */
  fits(cage: Cage, code: IsolateCode): boolean {
    const given = this.#given.get(cage);
    if (given === undefined) return true;
    const { kind, text } = given;
    const isSame = text === JSON.stringify(code);
    if (isSame) this.#misses.delete(kind);
    else {
      this.#given.delete(cage);
      this.#forget(kind);
      if (this.#misses.size > mostKinds) this.#misses.clear();
      this.#misses.set(kind, (this.#misses.get(kind) ?? 0) + 1);
    }
    return isSame;
  }

  /** How the loading of what fits goes, where it has begun already. Asked once. */
  loading(cage: Cage): Promise<unknown> | undefined {
    const loading = this.#given.get(cage)?.loading;
    this.#given.delete(cage);
    return loading;
  }

  /** Takes those away that no pod has come for. */
  async stop(): Promise<void> {
    await Promise.all([...this.#ahead.keys()].map((kind) => this.#giveUp(kind)));
  }

  #forget(kind: string): void {
    this.#text -= this.#known.get(kind)?.text.length ?? 0;
    this.#known.delete(kind);
  }

  async #giveUp(kind: string): Promise<void> {
    const ahead = this.#ahead.get(kind);
    if (ahead === undefined) return;
    this.#ahead.delete(kind);
    ahead.timer.clear();
    ahead.abort.abort(new Error("no pod has come for it"));
    try {
      await this.#options.discard(ahead.cage);
    } catch (error) {
      this.#options.logger.warn("Could not remove an isolate that was loaded ahead", { error });
    }
  }
}

type NamedPod = Pick<PodRef, "namespace" | "name">;

function kindOf({ namespace, name }: NamedPod): string {
  return `${namespace}/${name.slice(0, Math.max(0, name.lastIndexOf("-")))}`;
}
