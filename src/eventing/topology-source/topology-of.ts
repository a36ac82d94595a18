/**
 * What is to be delivered where, out of Brokers, Triggers, channels and Subscriptions as they are: addresses from their statuses, the rest from what is asked for.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { parseQuantity } from "#apimachinery/quantity.ts";
import { findIsoDurationMs } from "#eventing/common/iso-duration.ts";
import type { Delivery, Target, Topic } from "#eventing/dispatcher/topology.ts";
import type {
  AuthStatus,
  Broker,
  DeliverySpec,
  DeliveryStatus,
  InMemoryChannel,
  SubscriberSpec,
  Subscription,
  Trigger,
} from "#eventing/kinds.ts";
import { annotations, brokerClass } from "#eventing/names.ts";
import type { PlainSubscription, PlainTopology } from "./plain-topology.ts";

/** All objects that a topology is made of. */
export type EventingObjects = {
  readonly brokers: readonly Broker[];
  readonly triggers: readonly Trigger[];
  readonly channels: readonly InMemoryChannel[];
  readonly subscriptions: readonly Subscription[];
};

/** Annotations of ours: what Knative has no fields for. */
export const deliveryAnnotations = {
  /** On Triggers and Subscriptions: the attribute whose values are delivered in order. */
  orderBy: "eventing.nodeless.dev/order-by",
  /** On Brokers and InMemoryChannels: an ISO 8601 duration. */
  maxAge: "eventing.nodeless.dev/retention-age",
  /** On Brokers and InMemoryChannels: a quantity of bytes. */
  maxBytes: "eventing.nodeless.dev/retention-size",
} as const;

/** A week and a gibibyte for each topic. */
const defaultRetention = { maxAgeMs: 7 * 86_400_000, maxBytes: 2 ** 30 };
/** As long as Serving lets a request take. */
const defaultTimeoutMs = 300_000;
const defaultBackoffDelayMs = 200;

/** The topology of these objects. */
export function topologyOf(objects: EventingObjects): PlainTopology {
  const brokers = objects.brokers.filter(isOurs);
  const byName = new Map(brokers.map((broker) => [keyOf(broker), broker]));
  const ordered = new Map(objects.subscriptions.map((one) => [one.metadata?.uid ?? "", one]));
  return {
    topics: [...brokers.map(topicOfBroker), ...objects.channels.map(topicOfChannel)],
    subscriptions: [
      ...objects.triggers.flatMap((trigger) => {
        const broker = byName.get(brokerKeyOf(trigger));
        return broker ? [ofTrigger(trigger, broker)] : [];
      }),
      ...objects.channels.flatMap((channel) => {
        const { subscribers = [] } = channel.spec ?? {};
        return subscribers.map((subscriber) => ofSubscriber(subscriber, channel, ordered.get(subscriber.uid ?? "")));
      }),
    ],
  };
}

function isOurs({ metadata }: Broker): boolean {
  return (metadata?.annotations?.[annotations.brokerClass] ?? brokerClass) === brokerClass;
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata?.namespace}/${metadata?.name}`;
}

function brokerKeyOf({ metadata, spec }: Trigger): string {
  const { broker, brokerRef } = spec ?? {};
  if (brokerRef !== undefined) return `${brokerRef.namespace ?? metadata?.namespace}/${brokerRef.name}`;
  return `${metadata?.namespace}/${broker ?? "default"}`;
}

function topicOfBroker(broker: Broker): Topic {
  return { ...topicOf(broker), kind: "Broker", hosts: [], path: `/${keyOf(broker)}` };
}

function topicOfChannel(channel: InMemoryChannel): Topic {
  return { ...topicOf(channel), kind: "Channel", hosts: hostsOf(channel.status?.address?.url) };
}

function topicOf({ metadata }: KubeObject): Pick<Topic, "id" | "namespace" | "name" | "retention"> {
  const { uid = "", namespace = "", name = "", annotations: given = {} } = metadata ?? {};
  const maxAgeMs = findIsoDurationMs(given[deliveryAnnotations.maxAge] ?? "");
  const maxBytes = findQuantityBytes(given[deliveryAnnotations.maxBytes] ?? "");
  const retention = {
    maxAgeMs: maxAgeMs !== undefined && maxAgeMs > 0 ? maxAgeMs : defaultRetention.maxAgeMs,
    maxBytes: maxBytes !== undefined && maxBytes > 0 ? maxBytes : defaultRetention.maxBytes,
  };
  return { id: uid, namespace, name, retention };
}

/** The names under which a channel's Service is asked for: whole, and the short forms that resolvers complete. */
function hostsOf(url: string | undefined): readonly string[] {
  if (url === undefined || !URL.canParse(url)) return [];
  const labels = new URL(url).hostname.split(".");
  return [labels.join("."), labels.slice(0, 3).join("."), labels.slice(0, 2).join(".")];
}

function ofTrigger(trigger: Trigger, broker: Broker): PlainSubscription {
  const { metadata, spec, status } = trigger;
  const { filter, filters } = spec ?? {};
  const identity = identityOf(metadata?.namespace, status?.auth);
  const subscriber = targetOf(identity, status?.subscriberUri, status?.subscriberCACerts, status?.subscriberAudience);
  const hasFilter = filter !== undefined || filters !== undefined;
  return {
    id: metadata?.uid ?? "",
    topic: broker.metadata?.uid ?? "",
    namespace: metadata?.namespace ?? "",
    name: metadata?.name ?? "",
    ...sinceOf(trigger),
    ...(hasFilter && { filter: { ...(filter && { filter }), ...(filters && { filters }) } }),
    ...(subscriber ? { subscriber } : { isHeld: true }),
    reply: "topic",
    delivery: deliveryOf(spec?.delivery ?? broker.spec?.delivery, sinkOf(identity, status), orderOf(trigger)),
  };
}

function ofSubscriber(
  one: SubscriberSpec,
  channel: InMemoryChannel,
  origin: Subscription | undefined,
): PlainSubscription {
  const identity = identityOf(origin?.metadata?.namespace ?? channel.metadata?.namespace, one.auth);
  const subscriber = targetOf(identity, one.subscriberUri, one.subscriberCACerts, one.subscriberAudience);
  const reply = targetOf(identity, one.replyUri, one.replyCACerts, one.replyAudience);
  const sink = one.delivery?.deadLetterSink;
  return {
    id: one.uid ?? "",
    topic: channel.metadata?.uid ?? "",
    namespace: channel.metadata?.namespace ?? "",
    name: one.name ?? one.uid ?? "",
    ...(origin ? sinceOf(origin) : {}),
    ...(subscriber && { subscriber }),
    ...(reply && { reply }),
    ...(!subscriber && !reply && { isHeld: true }),
    delivery: deliveryOf(one.delivery, targetOf(identity, sink?.uri, sink?.CACerts, sink?.audience), orderOf(origin)),
  };
}

/** To the second: what came within the second of its creation is its own too. */
function sinceOf({ metadata }: KubeObject): { readonly since?: number } {
  const since = Date.parse(metadata?.creationTimestamp ?? "");
  return Number.isNaN(since) ? {} : { since };
}

function orderOf(object: KubeObject | undefined): string | undefined {
  return object?.metadata?.annotations?.[deliveryAnnotations.orderBy];
}

function sinkOf(identity: Target["identity"], status: DeliveryStatus | undefined): Target | undefined {
  return targetOf(identity, status?.deadLetterSinkUri, status?.deadLetterSinkCACerts, status?.deadLetterSinkAudience);
}

function targetOf(
  identity: Target["identity"],
  url: string | undefined,
  caCerts?: string,
  audience?: string,
): Target | undefined {
  if (url === undefined || url === "") return undefined;
  return { url, ...(caCerts && { caCerts }), ...(audience && { audience, ...(identity && { identity }) }) };
}

function identityOf(namespace = "", auth: AuthStatus | undefined): Target["identity"] {
  return auth?.serviceAccountName === undefined ? undefined : { namespace, name: auth.serviceAccountName };
}

function deliveryOf(
  spec: DeliverySpec | undefined,
  deadLetter: Target | undefined,
  orderBy: string | undefined,
): Delivery {
  const retryAfterMaxMs = findIsoDurationMs(spec?.retryAfterMax ?? "");
  return {
    retries: Math.max(0, spec?.retry ?? 0),
    backoff: spec?.backoffPolicy ?? "exponential",
    backoffDelayMs: positive(findIsoDurationMs(spec?.backoffDelay ?? "")) ?? defaultBackoffDelayMs,
    timeoutMs: positive(findIsoDurationMs(spec?.timeout ?? "")) ?? defaultTimeoutMs,
    ...(retryAfterMaxMs !== undefined && { retryAfterMaxMs }),
    ...(spec?.format && { format: spec.format }),
    ...(deadLetter && { deadLetter }),
    ...(orderBy && { orderBy }),
  };
}

function findQuantityBytes(text: string): number | undefined {
  try {
    return Number(parseQuantity(text).nanos / 1_000_000_000n);
  } catch {
    return undefined; // as if it were not there
  }
}

function positive(ms: number | undefined): number | undefined {
  return ms !== undefined && ms > 0 ? ms : undefined;
}
