/**
 * Follows the pods of a namespace through the deaths of the API server, as an operator's informer would, and holds every single event against what must never be: a
 * resourceVersion that goes back, an event that was missed, more pods than a rollout may have, a pod taken away that was still needed.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { FaultContext } from "./fault.ts";
import { pods } from "./apps.ts";

/** What every Deployment of the namespace keeps to. */
export type RolloutBounds = { readonly most: number; readonly leastAvailable: number };

export type WatchedPod = KubeObject & {
  readonly metadata: {
    readonly uid: string;
    readonly name: string;
    readonly resourceVersion: string;
    readonly deletionTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
};

/** The follower. */
export class PodWatch {
  readonly #context: FaultContext;
  readonly #namespace: string;
  readonly #bounds: RolloutBounds;
  readonly #pods = new Map<string, WatchedPod>();
  readonly #abort = new AbortController();
  readonly problems: string[] = [];
  #version = 0;
  #events = 0;
  #resumes = 0;
  /** Until when a shortage of available pods is the test's own doing. */
  #excusedUntilMs = 0;
  #loop: Promise<void> | undefined;

  constructor(context: FaultContext, namespace: string, bounds: RolloutBounds) {
    this.#context = context;
    this.#namespace = namespace;
    this.#bounds = bounds;
  }

  async start(): Promise<void> {
    const list = await this.#context.client.list<WatchedPod>({ resource: pods, namespace: this.#namespace });
    for (const pod of list.items) this.#pods.set(pod.metadata.uid, pod);
    this.#version = Number(list.metadata?.resourceVersion);
    this.#loop = this.#follow();
  }

  /** A container was killed: for a while fewer may be available. */
  excuse(forMs: number): void {
    this.#excusedUntilMs = performance.now() + forMs;
  }

  /** Ends, having heard all up to now; what it has heard must be what a list gives. */
  async stop(): Promise<{ readonly events: number; readonly resumes: number }> {
    const list = await this.#context.client.list<WatchedPod>({ resource: pods, namespace: this.#namespace });
    const seen = () => [...this.#pods.values()].map(stateOf).sort();
    const wanted = list.items.map(stateOf).sort();
    for (let waitedMs = 0; waitedMs < 5000 && String(seen()) !== String(wanted); waitedMs += 50) await sleep(50);
    this.#abort.abort(new Error("enough"));
    await this.#loop;
    assert.deepEqual(this.problems, []);
    assert.deepEqual(seen(), wanted, "the watch has told all that a list shows");
    return { events: this.#events, resumes: this.#resumes };
  }

  async #follow(): Promise<void> {
    const { client } = this.#context;
    while (!this.#abort.signal.aborted) {
      try {
        const options = {
          resourceVersion: String(this.#version),
          allowWatchBookmarks: true,
          signal: this.#abort.signal,
        };
        const events = await client.watch<WatchedPod>({ resource: pods, namespace: this.#namespace }, options);
        for await (const { type, object } of events) this.#take(type, object as WatchedPod);
      } catch (error) {
        if ((error as { readonly code?: number }).code === 410) this.problems.push("history was lost: 410 on resuming");
      }
      this.#resumes += 1;
      await sleep(20);
    }
  }

  #take(type: string, pod: WatchedPod): void {
    if (type === "ERROR") return void this.problems.push(`the watch gave an error: ${JSON.stringify(pod)}`);
    const version = Number(pod.metadata.resourceVersion);
    if (type === "BOOKMARK") {
      this.#version = Math.max(this.#version, version);
      return;
    }
    this.#events += 1;
    if (version <= this.#version) this.problems.push(`resourceVersion ${version} came after ${this.#version}`);
    this.#version = version;
    const { uid, name } = pod.metadata;
    const before = this.#pods.get(uid);
    if (type === "ADDED" && before) this.problems.push(`${name} was added twice`);
    if (type !== "ADDED" && !before) this.problems.push(`${name}: ${type} without ADDED`);
    if (type === "DELETED") this.#pods.delete(uid);
    else this.#pods.set(uid, pod);
    this.#checkBounds(pod, before);
  }

  #checkBounds(pod: WatchedPod, before: WatchedPod | undefined): void {
    const app = pod.metadata.labels?.["app"];
    const peers = [...this.#pods.values()].filter(({ metadata }) => metadata.labels?.["app"] === app).filter(counts);
    if (peers.length > this.#bounds.most)
      this.problems.push(`${peers.length} pods of ${app}: ${peers.map(({ metadata }) => metadata.name).join(" ")}`);
    const isTaken = pod.metadata.deletionTimestamp !== undefined && before && counts(before) && isReady(before);
    if (!isTaken || performance.now() < this.#excusedUntilMs) return;
    const available = peers.filter(isReady).length;
    if (available < this.#bounds.leastAvailable)
      this.problems.push(`${pod.metadata.name} was taken away with ${available} others of ${app} available`);
  }
}

function stateOf({ metadata }: WatchedPod): string {
  return `${metadata.name} ${metadata.resourceVersion}`;
}

/** As ReplicaSets count: not on its way out, and not ended. */
function counts({ metadata, status }: WatchedPod): boolean {
  return metadata.deletionTimestamp === undefined && status?.phase !== "Failed" && status?.phase !== "Succeeded";
}

function isReady({ status }: WatchedPod): boolean {
  return status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}
