/**
 * What is to be delivered where, as plain data: the one thing that the objects' side (Brokers, Triggers, Channels, Subscriptions) and the dispatcher must agree on. It is worked out of the objects' statuses, and
 * replaced piece by piece while events flow; what is taken out ends, what stays keeps its place in the log.
 */
import type { CloudEvent } from "#eventing/cloudevents/cloud-event.ts";

/** Everything that the dispatcher does. */
export type Topology = {
  readonly topics: readonly Topic[];
  readonly subscriptions: readonly Subscription[];
};

/** A place that events are sent to, and kept in until all who subscribed have them: a Broker or a Channel. */
export type Topic = {
  /** For ever the same while the object lives: its UID. The log is kept under it, and goes when the topic goes. */
  readonly id: string;
  readonly kind: "Broker" | "Channel";
  readonly namespace: string;
  readonly name: string;
  /** Hosts whose every path is this topic (channels: `NAME-kn-channel.NAMESPACE.svc.cluster.local` and its short forms). */
  readonly hosts: readonly string[];
  /** The path that is this topic on the dispatcher's own host (brokers: `/NAMESPACE/NAME`). */
  readonly path?: string;
  /** Bounds of the log: what is older or more is dropped, oldest first, and counted. */
  readonly retention: { readonly maxAgeMs: number; readonly maxBytes: number };
};

/** Somebody who wants a topic's events: a Trigger, or a Subscription of a Channel. */
export type Subscription = {
  /** For ever the same while the object lives: its UID. The place in the log is kept under it. */
  readonly id: string;
  readonly topic: string;
  readonly namespace: string;
  readonly name: string;
  /** In ms since 1970: where it begins when it is seen for the first time. What the topic had before is not for it. Absent: it begins when it is seen. */
  readonly since?: number;
  /** Nobody is known to deliver to for now: it keeps its place, and its events wait. Default false. */
  readonly isHeld?: boolean;
  /** Which events; all of them when absent. Must not throw. */
  readonly filter?: (event: CloudEvent) => boolean;
  readonly subscriber?: Target;
  /** Where the subscriber's reply event goes: back to this topic (Triggers), to somebody (Subscriptions), or nowhere. */
  readonly reply?: Target | "topic";
  readonly delivery: Delivery;
};

/** An address that takes events. */
export type Target = {
  /** `http://` or `https://`. */
  readonly url: string;
  /** PEM, for https; the system's certificates when absent. */
  readonly caCerts?: string;
  /** Whom the bearer token is for, when the target asks for one. */
  readonly audience?: string;
  /** The service account whose token it is. */
  readonly identity?: { readonly namespace: string; readonly name: string } | undefined;
};

/** DeliverySpec with its defaults worked out. */
export type Delivery = {
  readonly deadLetter?: Target;
  /** Tries after the first. */
  readonly retries: number;
  readonly backoff: "linear" | "exponential";
  readonly backoffDelayMs: number;
  /** How long one try may take. */
  readonly timeoutMs: number;
  /** Longest wait that a Retry-After is granted; absent: Retry-After is not looked at (upstream's default). */
  readonly retryAfterMaxMs?: number;
  readonly format?: "binary" | "json";
  /** Name of the attribute that orders: events with one value go one after another, each when the one before was delivered or given up. Absent: no order. */
  readonly orderBy?: string;
};
