/**
 * Groups, namespaces, labels and annotations by which Knative Eventing's objects know each other, as upstream's `pkg/apis/eventing/register.go` and `pkg/apis/messaging/register.go` (v1.22).
 */

/** Group of Broker, Trigger, EventType, EventPolicy. */
export const eventingGroup = "eventing.knative.dev";
/** Group of Channel, InMemoryChannel, Subscription. */
export const messagingGroup = "messaging.knative.dev";
/** Group of Sequence and Parallel. */
export const flowsGroup = "flows.knative.dev";
/** Group of sources. */
export const sourcesGroup = "sources.knative.dev";

/** Where Eventing's ConfigMaps and its ingress live. */
export const eventingNamespace = "knative-eventing";

/** The Service in front of the dispatcher: Brokers are paths of it, Channels names for it. */
export const ingressService = "broker-ingress";

/** The Service at which the API server asks the dispatcher, for group events.nodeless.dev. */
export const eventApiService = "event-dispatcher";

export const clusterDomain = "cluster.local";

/** The name under which a Service is known in the cluster. */
export function serviceHost(name: string, namespace: string): string {
  return `${name}.${namespace}.svc.${clusterDomain}`;
}

/** Whom tokens for an address of ours are for. As upstream's `auth.GetAudience`. */
export function audienceOf(kind: "Broker" | "InMemoryChannel", namespace: string, name: string): string {
  const group = kind === "Broker" ? eventingGroup : messagingGroup;
  return `${group}/${kind}/${namespace}/${name}`.toLowerCase();
}

/** The one class of Brokers that there is. Upstream's default has this name; ours needs no channel behind it. */
export const brokerClass = "MTChannelBasedBroker";

export const annotations = {
  brokerClass: "eventing.knative.dev/broker.class",
  /** "enabled" on a Trigger of the Broker "default": the Broker is made when there is none. */
  injection: "eventing.knative.dev/injection",
  /** "cluster" or "namespace": where a channel's dispatcher runs. Ours is the cluster's, whatever is asked. */
  scope: "eventing.knative.dev/scope",
  /** JSON of an object that must be ready before its Trigger is. */
  dependency: "knative.dev/dependency",
  /** Version of the form in which a channel has its subscribers. */
  subscribable: "messaging.knative.dev/subscribable",
} as const;

export const labels = {
  broker: "eventing.knative.dev/broker",
  /** On Brokers that were made for somebody. */
  injected: "eventing.knative.dev/injected",
  /** On the Services of channels. */
  role: "messaging.knative.dev/role",
} as const;
