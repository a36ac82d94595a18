/**
 * Gives each pod a node: takes pods from the queue, one after another, finds the best node, assumes the pod there and binds it in the background. As kube-scheduler's default
 * profile.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Namespace, Node, PersistentVolumeClaim, Pod } from "#api/generated/types/core-v1.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import { SchedulerCache } from "./cache.ts";
import { defaultProfile } from "./default-plugins.ts";
import type { Profile } from "./default-plugins.ts";
import { ClusterEvents } from "./cluster-events.ts";
import { NodeFinder } from "./find-node.ts";
import type { FitFailure } from "./find-node.ts";
import { findPreemption, whyNotPreempt } from "./preemption.ts";
import type { PreemptionResult } from "./preemption.ts";
import type { PodInfo } from "./pod-info.ts";
import { PodBinder } from "./pod-binder.ts";
import { SchedulingQueue } from "./queue.ts";
import type { QueuedPod } from "./queue.ts";

export type SchedulerOptions = {
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Pods with this spec.schedulerName are ours. Default "default-scheduler". */
  readonly schedulerName?: string;
  readonly profile?: Profile;
  /** In [0, 1). Default Math.random. */
  readonly random?: () => number;
};

/** Other work gets its turn after this long. */
const sliceMs = 4;
/** Bindings under way, at most; beyond that scheduling waits for them. */
const maxBindings = 256;

/** Makes a scheduler. It needs informers of the factory, which the caller starts. */
export function createScheduler(options: SchedulerOptions): Scheduler {
  return new Scheduler(options);
}

export class Scheduler implements Service {
  readonly #options: SchedulerOptions;
  readonly #cache: SchedulerCache;
  readonly #queue: SchedulingQueue;
  readonly #finder: NodeFinder;
  readonly #binder: PodBinder;
  readonly #events: ClusterEvents;
  readonly #informers: readonly Informer<never>[];
  readonly #bindings = new Set<Promise<void>>();
  #isStarted = false;
  #isRunning = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    const { informers, clock } = options;
    const pods = informers.informer<Pod>({ resource: { group: "", version: "v1", resource: "pods" } });
    const nodes = informers.informer<Node>({ resource: { group: "", version: "v1", resource: "nodes" } });
    const namespaces = informers.informer<Namespace>({
      resource: { group: "", version: "v1", resource: "namespaces" },
    });
    const claims = informers.informer<PersistentVolumeClaim>({
      resource: { group: "", version: "v1", resource: "persistentvolumeclaims" },
    });
    this.#informers = [pods, nodes, namespaces, claims] as unknown as readonly Informer<never>[];
    const profile = options.profile ?? defaultProfile;
    this.#cache = new SchedulerCache({
      namespaceLabels: (name) => namespaces.lister.find("", name)?.metadata?.labels,
      findClaim: (namespace, name) => claims.lister.find(namespace, name),
    });
    this.#queue = new SchedulingQueue(clock, profile.filters);
    this.#finder = new NodeFinder(profile, options.random ?? Math.random);
    this.#binder = new PodBinder(options);
    this.#events = new ClusterEvents({
      cache: this.#cache,
      queue: this.#queue,
      pods,
      nodes,
      claims,
      schedulerName: options.schedulerName ?? "default-scheduler",
    });
    this.#queue.onAvailable(() => this.#wake());
  }

  /** True when no pod can be tried and no binding is under way. */
  get isIdle(): boolean {
    return this.#queue.isIdle && this.#bindings.size === 0 && !this.#isRunning;
  }

  /** Resolves when the cluster is known and scheduling runs. */
  async start(signal: AbortSignal): Promise<void> {
    this.#events.connect();
    await Promise.all(this.#informers.map((informer) => informer.waitForSync(signal)));
    this.#isStarted = true;
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#isStarted = false;
    this.#events.disconnect();
    this.#queue.close();
    this.#binder.stop();
    await Promise.all(this.#bindings);
  }

  #wake(): void {
    if (!this.#isStarted || this.#isRunning) return;
    this.#isRunning = true;
    // Never rejects: failures of single pods are handled where they happen.
    void this.#run();
  }

  async #run(): Promise<void> {
    // A burst of new pods is taken in before the first of them is placed: the most important goes first. Such a tick comes when nothing is left to be taken in, and before sockets and timers.
    await new Promise<void>((resolve) => process.nextTick(resolve));
    let sliceStartMs = this.#options.clock.now();
    for (let next = this.#takeNext(); next !== undefined; next = this.#takeNext()) {
      this.#scheduleOne(next);
      if (this.#bindings.size >= maxBindings) await Promise.race(this.#bindings);
      if (this.#options.clock.now() - sliceStartMs >= sliceMs) {
        await nextTurn();
        sliceStartMs = this.#options.clock.now();
      }
    }
    this.#isRunning = false;
  }

  #takeNext(): QueuedPod | undefined {
    return this.#isStarted ? this.#queue.pop() : undefined;
  }

  #scheduleOne(queued: QueuedPod): void {
    try {
      const placement = this.#finder.find(queued.info, this.#cache);
      if ("failure" in placement) {
        this.#queue.park(queued, placement.failure.rejectedBy);
        return this.#track(this.#onUnschedulable(queued.info, placement.failure));
      }
      this.#cache.place(queued.info, placement.node.name);
      this.#track(this.#bind(queued, placement.node.name));
    } catch (error) {
      const { key } = queued.info;
      this.#options.logger.error("Pod could not be scheduled", { pod: key, error });
      this.#queue.retry(queued);
    }
  }

  /** Tries to make room, and says what came of it. Never rejects. */
  async #onUnschedulable(info: PodInfo, failure: FitFailure): Promise<void> {
    if (this.#cache.nodes.length === 0) return await this.#binder.reportUnschedulable(info, failure.message);
    const result = await this.#preempt(info, failure);
    if ("message" in result) {
      this.#cache.dropNomination(info.uid);
      return await this.#binder.reportUnschedulable(info, `${failure.message} preemption: ${result.message}`);
    }
    const { node, victims } = result.preemption;
    this.#cache.nominate(info, node);
    await this.#binder.nominate(info, node);
    await Promise.all(victims.map((victim) => this.#binder.preempt(victim, info, node)));
    await this.#binder.reportUnschedulable(info, failure.message);
  }

  async #preempt(info: PodInfo, failure: FitFailure): Promise<PreemptionResult> {
    const why = whyNotPreempt(info, this.#cache);
    if (why !== undefined) return { message: why };
    const budgets = this.#mayHaveVictims(info) ? await this.#binder.listBudgets() : [];
    return findPreemption(info, failure, { finder: this.#finder, view: this.#cache, budgets });
  }

  /** Budgets are asked for only when somebody could be preempted at all, which is rare. */
  #mayHaveVictims(info: PodInfo): boolean {
    return this.#cache.nodes.some((node) => [...node.pods.values()].some((other) => other.priority < info.priority));
  }

  async #bind(queued: QueuedPod, node: string): Promise<void> {
    const { info } = queued;
    try {
      await this.#binder.bind(info, node);
    } catch (error) {
      this.#onBindFailed(queued, error);
    }
  }

  #onBindFailed(queued: QueuedPod, error: unknown): void {
    const { info } = queued;
    // The informer may have shown the pod on a node meanwhile: then somebody else bound it.
    if (this.#events.isBound(info)) return;
    const freed = this.#cache.remove(info.uid);
    if (freed !== undefined) this.#queue.onChange({ kind: "podGone", pod: freed });
    if (hasReason(error, "NotFound") || !this.#events.isWaiting(info)) return;
    const message = error instanceof Error ? error.message : String(error);
    this.#options.logger.warn("Pod could not be bound", { pod: info.key, error: message });
    this.#queue.retry(queued);
    this.#track(this.#binder.reportError(info, message));
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#bindings.delete(tracked));
    this.#bindings.add(tracked);
  }
}
