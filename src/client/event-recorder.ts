/**
 * Says what happened to an object, for people: Event objects, written in the background. Repeats count up one Event, floods of similar ones are combined and the rest
 * dropped, as client-go's event correlator does; the figures are its.
 */
import { hash } from "node:crypto";
import type { Event, ObjectReference } from "#api/generated/types/core-v1.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatMicroTime, formatTime } from "#apimachinery/time.ts";
import type { Client } from "./client.ts";

/** One thing that happened. */
export type EventInput = {
  readonly type: "Normal" | "Warning";
  /** One word in CamelCase: "Scheduled". */
  readonly reason: string;
  /** For people. Cut after 1024 characters. */
  readonly message: string;
  /** What was done: "Binding". */
  readonly action?: string;
  readonly related?: ObjectReference;
};

/** Takes events. */
export interface EventRecorder {
  /** Has the event written in the background. Never waits, never throws; in a flood events are dropped. */
  record(about: KubeObject | ObjectReference, event: EventInput): void;
}

export type EventRecorderOptions = {
  readonly client: Client;
  /** Who says it: "kubelet", "default-scheduler". */
  readonly component: string;
  /** Which instance: the node's name, or empty. */
  readonly host?: string;
  /** How long an event waits before it is written: what it tells of is usually not done yet, and its write would be on the way. Default 0. */
  readonly delayMs?: number;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Events alike but for the message, in ten minutes, before they are combined into one. */
const maxSimilarEvents = 10;
const similarIntervalMs = 600_000;
/** Events per source and object at once, and how fast more are allowed: one in five minutes. */
const spamBurst = 25;
const spamRefillPerMs = 1 / 300_000;
/** Remembered groups; the oldest are forgotten. */
const maxRemembered = 4096;
/** An Event that was written longer ago is gone from the server. */
const writtenForMs = 3_600_000;
/** Events that wait in one lane; more are dropped. */
const maxQueued = 1000;
const laneCount = 8;
const maxMessageLength = 1024;
const eventsResource = { group: "", version: "v1", resource: "events" };

type Written = { readonly name: string; readonly namespace: string; count: number; atMs: number };
/** Most groups never have a second message. */
type Similar = { startedMs: number; readonly first: string; others?: Set<string> };
type Bucket = { tokens: number; atMs: number };
type Lane = { readonly queue: Pending[]; writing: Promise<void> | undefined };
type Pending = { readonly about: ObjectReference; readonly event: EventInput; readonly atMs: number };

/** A recorder that writes core/v1 Events. `stop` tries to write what waits. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder & Service {
  return new Recorder(options);
}

class Recorder implements EventRecorder, Service {
  readonly #options: EventRecorderOptions;
  readonly #written = new Map<string, Written>();
  readonly #similar = new Map<string, Similar>();
  readonly #buckets = new Map<string, Bucket>();
  /** Events of one object are written in order; those of different ones need not wait for each other. */
  readonly #lanes: readonly Lane[] = Array.from({ length: laneCount }, () => ({ queue: [], writing: undefined }));
  readonly #abort = new AbortController();
  readonly #hurry = new AbortController();
  #sequence = 0;
  #forgetting: Timer | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  async start(_signal: AbortSignal): Promise<void> {}

  async stop(): Promise<void> {
    this.#hurry.abort(new Error("the recorder is being stopped"));
    const tooLong = this.#options.clock.setTimer(1000, () => this.#abort.abort(new Error("the recorder was stopped")));
    await Promise.all(this.#lanes.map(async (lane) => await lane.writing));
    tooLong.clear();
    this.#forgetting?.clear();
    this.#abort.abort(new Error("the recorder was stopped"));
  }

  record(about: KubeObject | ObjectReference, event: EventInput): void {
    if (this.#abort.signal.aborted) return;
    const reference = referenceTo(about);
    const lane = this.#laneOf(reference);
    if (lane.queue.length >= maxQueued) {
      this.#options.logger.debug("Dropped event", { reason: event.reason });
      return;
    }
    lane.queue.push({ about: reference, event, atMs: this.#options.clock.now() });
    lane.writing ??= this.#writeAll(lane);
  }

  #laneOf({ uid, name }: ObjectReference): Lane {
    const text = uid ?? name ?? "";
    let sum = 0;
    for (let i = 0; i < text.length; i++) sum += text.charCodeAt(i);
    return this.#lanes[sum % laneCount]!;
  }

  async #writeAll(lane: Lane): Promise<void> {
    const { delayMs = 0, clock } = this.#options;
    // Lets a part finish what it is doing: events are never on the way of a start.
    await (delayMs === 0 ? Promise.resolve() : clock.sleep(delayMs, this.#hurry.signal).catch(() => {}));
    for (let next = lane.queue.shift(); next !== undefined; next = lane.queue.shift()) {
      try {
        await this.#write(next);
      } catch (error) {
        // A namespace on its way out takes no events; that is nobody's fault.
        const why = error instanceof Error ? error.message : String(error);
        const fields = { reason: next.event.reason, object: `${next.about.namespace}/${next.about.name}`, error: why };
        this.#options.logger.debug("Event could not be written", fields);
      }
    }
    // In the same step as the last look at the queue: an event recorded between the two would wait for the next one.
    lane.writing = undefined;
  }

  async #write(pending: Pending): Promise<void> {
    const { about, event } = pending;
    const { uid, kind, namespace, name, fieldPath } = about;
    const groupKey = digest([uid, kind, namespace, name, fieldPath, event.type, event.reason, event.action]);
    const combined = this.#combine(groupKey, event.message, pending.atMs);
    const eventKey = combined.isCombined ? groupKey : digest([groupKey, event.message]);
    this.#forgetLater();
    if (!this.#allow(about, pending.atMs)) return;
    const earlier = this.#written.get(eventKey);
    if (earlier !== undefined && (await this.#countUp(earlier, combined.message, pending.atMs))) return;
    await this.#create(pending, combined.message, eventKey);
  }

  #combine(
    groupKey: string,
    message: string,
    nowMs: number,
  ): { readonly isCombined: boolean; readonly message: string } {
    const key = digest([message]);
    let similar = this.#similar.get(groupKey);
    if (similar === undefined || nowMs - similar.startedMs > similarIntervalMs)
      similar = { startedMs: nowMs, first: key };
    similar.startedMs = nowMs;
    if (key !== similar.first && (similar.others?.size ?? 0) < maxSimilarEvents - 1) {
      similar.others ??= new Set();
      similar.others.add(key);
    }
    remember(this.#similar, groupKey, similar);
    const isCombined = 1 + (similar.others?.size ?? 0) >= maxSimilarEvents;
    return { isCombined, message: isCombined ? `(combined from similar events): ${message}` : message };
  }

  #allow(about: ObjectReference, nowMs: number): boolean {
    const key = digest([about.uid, about.kind, about.namespace, about.name]);
    const bucket = this.#buckets.get(key) ?? { tokens: spamBurst, atMs: nowMs };
    bucket.tokens = Math.min(spamBurst, bucket.tokens + (nowMs - bucket.atMs) * spamRefillPerMs);
    bucket.atMs = nowMs;
    remember(this.#buckets, key, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  /** False when the Event is gone by now. */
  async #countUp(earlier: Written, message: string, atMs: number): Promise<boolean> {
    const ref = { resource: eventsResource, namespace: earlier.namespace, name: earlier.name };
    const body = { count: earlier.count + 1, lastTimestamp: formatTime(atMs), message };
    try {
      await this.#options.client.patch(ref, { type: "merge", body }, { signal: this.#abort.signal });
      earlier.count++;
      earlier.atMs = atMs;
      return true;
    } catch (error) {
      if (hasReason(error, "NotFound")) return false;
      throw error;
    }
  }

  async #create(pending: Pending, message: string, eventKey: string): Promise<void> {
    const event = this.#eventOf(pending, message);
    const { name = "", namespace = "" } = event.metadata ?? {};
    await this.#options.client.create({ resource: eventsResource, namespace }, event, { signal: this.#abort.signal });
    remember(this.#written, eventKey, { name, namespace, count: 1, atMs: pending.atMs });
  }

  /** What makes no difference any more is not remembered: a cluster with thousands of objects that sleep had their events in memory for ever. */
  #forgetLater(): void {
    if (this.#abort.signal.aborted) return;
    this.#forgetting ??= this.#options.clock.setTimer(similarIntervalMs, () => {
      this.#forgetting = undefined;
      const nowMs = this.#options.clock.now();
      forget(this.#similar, ({ startedMs }) => nowMs - startedMs > similarIntervalMs);
      forget(this.#written, ({ atMs }) => nowMs - atMs > writtenForMs);
      forget(this.#buckets, ({ tokens, atMs }) => tokens + (nowMs - atMs) * spamRefillPerMs >= spamBurst);
      if (this.#similar.size + this.#written.size + this.#buckets.size > 0) this.#forgetLater();
    });
  }

  #eventOf({ about, event, atMs }: Pending, message: string): Event {
    const { component, host = "" } = this.#options;
    const namespace = about.namespace || "default";
    const time = formatTime(atMs);
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${about.name}.${this.#suffix(atMs)}`, namespace },
      involvedObject: about,
      type: event.type,
      reason: event.reason,
      message: message.slice(0, maxMessageLength),
      source: host === "" ? { component } : { component, host },
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
      ...(event.action === undefined ? {} : { action: event.action, eventTime: formatMicroTime(atMs) }),
      ...(event.related === undefined ? {} : { related: event.related }),
      reportingComponent: component,
      reportingInstance: host === "" ? component : host,
    };
  }

  /** Nanoseconds since 1970 in hexadecimal, as upstream's names end; a counter stands in for what the clock does not tell. */
  #suffix(atMs: number): string {
    this.#sequence = (this.#sequence + 1) % 1_000_000;
    return (BigInt(Math.floor(atMs)) * 1_000_000n + BigInt(this.#sequence)).toString(16);
  }
}

/** How an Event names an object. */
export function referenceTo(about: KubeObject | ObjectReference): ObjectReference {
  if (!("metadata" in about) || about.metadata === undefined) return about as ObjectReference;
  const { apiVersion, kind, metadata } = about as KubeObject;
  return {
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(kind === undefined ? {} : { kind }),
    name: metadata?.name ?? "",
    ...(metadata?.namespace === undefined ? {} : { namespace: metadata.namespace }),
    ...(metadata?.uid === undefined ? {} : { uid: metadata.uid }),
    ...(metadata?.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion }),
  };
}

/** What is remembered of an event's words: thousands of them would be megabytes. Ninety-six bits, as characters of a byte each. */
function digest(parts: readonly (string | undefined)[]): string {
  return hash("sha1", JSON.stringify(parts), "buffer").toString("latin1", 0, 12);
}

function forget<V>(map: Map<string, V>, isOver: (value: V) => boolean): void {
  for (const [key, value] of map) if (isOver(value)) map.delete(key);
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= maxRemembered) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
