/**
 * Eventing's kinds as TypeScript sees them. The API server knows them by their CustomResourceDefinitions (`crds/`); everything optional there is optional here.
 */
import type { LabelSelector } from "#api/generated/types/meta-v1.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import type { FilterSpec, SubscriptionsFilter } from "#eventing/filters/filter-spec.ts";
import type { Addressable, Condition, DuckStatus, ObjectReference } from "#knative/duck.ts";
import type { Destination, KReference } from "#knative/destination.ts";
import { eventingGroup, flowsGroup, messagingGroup } from "./names.ts";

/** Resources of the kinds below. */
export const brokers: GroupVersionResource = { group: eventingGroup, version: "v1", resource: "brokers" };
export const triggers: GroupVersionResource = { group: eventingGroup, version: "v1", resource: "triggers" };
export const eventTypes: GroupVersionResource = { group: eventingGroup, version: "v1beta3", resource: "eventtypes" };
export const eventPolicies: GroupVersionResource = {
  group: eventingGroup,
  version: "v1alpha1",
  resource: "eventpolicies",
};
export const channels: GroupVersionResource = { group: messagingGroup, version: "v1", resource: "channels" };
export const inMemoryChannels: GroupVersionResource = {
  group: messagingGroup,
  version: "v1",
  resource: "inmemorychannels",
};
export const subscriptions: GroupVersionResource = { group: messagingGroup, version: "v1", resource: "subscriptions" };
export const sequences: GroupVersionResource = { group: flowsGroup, version: "v1", resource: "sequences" };
export const parallels: GroupVersionResource = { group: flowsGroup, version: "v1", resource: "parallels" };

/** How events are delivered, as a user writes it: durations are ISO 8601 ("PT0.2S"). */
export type DeliverySpec = {
  readonly deadLetterSink?: Destination;
  /** Tries after the first. */
  readonly retry?: number;
  /** Of one try. */
  readonly timeout?: string;
  readonly backoffPolicy?: "linear" | "exponential";
  readonly backoffDelay?: string;
  /** Longest wait that a Retry-After is granted; "PT0S": none. */
  readonly retryAfterMax?: string;
  readonly format?: "binary" | "json";
};

/** Where a dead letter goes, worked out. */
export type DeliveryStatus = {
  readonly deadLetterSinkUri?: string;
  readonly deadLetterSinkCACerts?: string;
  readonly deadLetterSinkAudience?: string;
};

/** EventPolicies that hold for an object. */
export type AppliedPolicies = {
  readonly policies?: readonly { readonly name?: string; readonly apiVersion?: string }[];
};

export type AddressStatus = { readonly address?: Addressable; readonly addresses?: readonly Addressable[] };

/** Takes events and keeps them for its Triggers. */
export type Broker = KubeObject & {
  readonly spec?: { readonly config?: KReference; readonly delivery?: DeliverySpec };
  readonly status?: DuckStatus & AddressStatus & DeliveryStatus & AppliedPolicies;
};

export type TriggerSpec = FilterSpec & {
  readonly broker?: string;
  /** A Broker of another namespace. A feature that is off by default. */
  readonly brokerRef?: KReference;
  readonly subscriber?: Destination;
  readonly delivery?: DeliverySpec;
};

/** Whose tokens go with what is sent. */
export type AuthStatus = { readonly serviceAccountName?: string; readonly serviceAccountNames?: readonly string[] };

export type TriggerStatus = DuckStatus &
  DeliveryStatus & {
    readonly auth?: AuthStatus;
    readonly subscriberUri?: string;
    readonly subscriberCACerts?: string;
    readonly subscriberAudience?: string;
  };

/** Has a Broker's events, or some of them, delivered to somebody. */
export type Trigger = KubeObject & { readonly spec?: TriggerSpec; readonly status?: TriggerStatus };

export type EventAttribute = { readonly name: string; readonly required?: boolean; readonly value?: string };

/** A kind of events that somebody has to give. */
export type EventType = KubeObject & {
  readonly spec?: {
    readonly reference?: KReference;
    readonly description?: string;
    readonly attributes?: readonly EventAttribute[];
  };
  readonly status?: DuckStatus;
};

export type EventPolicyTarget = {
  readonly ref?: Pick<KReference, "apiVersion" | "kind" | "name">;
  readonly selector?: LabelSelector & { readonly apiVersion?: string; readonly kind?: string };
};

/** Who may send which events to whom. */
export type EventPolicy = KubeObject & {
  readonly spec?: {
    readonly to?: readonly EventPolicyTarget[];
    readonly from?: readonly { readonly ref?: KReference; readonly sub?: string }[];
    readonly filters?: readonly SubscriptionsFilter[];
  };
  readonly status?: DuckStatus & { readonly from?: readonly string[] };
};

/** Somebody who wants a channel's events, worked out of a Subscription. `uid` is the Subscription's. */
export type SubscriberSpec = {
  readonly name?: string;
  readonly uid?: string;
  readonly generation?: number;
  readonly subscriberUri?: string;
  readonly subscriberCACerts?: string;
  readonly subscriberAudience?: string;
  readonly replyUri?: string;
  readonly replyCACerts?: string;
  readonly replyAudience?: string;
  readonly delivery?: DeliverySpec;
  readonly auth?: AuthStatus;
};

export type SubscriberStatus = {
  readonly uid?: string;
  readonly observedGeneration?: number;
  readonly ready?: Condition["status"];
  readonly message?: string;
};

/** What all channels have, of whatever kind. */
export type ChannelableStatus = DuckStatus &
  AddressStatus &
  DeliveryStatus &
  AppliedPolicies & { readonly subscribers?: readonly SubscriberStatus[] };

export type ChannelableSpec = {
  readonly subscribers?: readonly SubscriberSpec[];
  readonly delivery?: DeliverySpec;
};

export type Channelable = KubeObject & { readonly spec?: ChannelableSpec; readonly status?: ChannelableStatus };

/** The kind of channel that there is: durable here, whatever upstream's name says. */
export type InMemoryChannel = Channelable;

/** Which kind of channel, and what is particular to it. */
export type ChannelTemplate = { readonly apiVersion?: string; readonly kind?: string; readonly spec?: object };

/** A channel of whichever kind the administrator chose. */
export type Channel = KubeObject & {
  readonly spec?: ChannelableSpec & { readonly channelTemplate?: ChannelTemplate };
  readonly status?: ChannelableStatus & { readonly channel?: KReference };
};

export type SubscriptionSpec = {
  readonly channel?: KReference;
  readonly subscriber?: Destination;
  readonly reply?: Destination;
  readonly delivery?: DeliverySpec;
};

/** What a Subscription comes to. */
export type PhysicalSubscription = DeliveryStatus &
  Pick<
    SubscriberSpec,
    "subscriberUri" | "subscriberCACerts" | "subscriberAudience" | "replyUri" | "replyCACerts" | "replyAudience"
  >;

/** Has a channel's events delivered to somebody, and what he answers to somebody else. */
export type Subscription = KubeObject & {
  readonly spec?: SubscriptionSpec;
  readonly status?: DuckStatus & { readonly physicalSubscription?: PhysicalSubscription; readonly auth?: AuthStatus };
};

/** How an object of a flow is. */
export type PartStatus<K extends string> = Readonly<Record<K, ObjectReference>> & { readonly ready: Condition };

export type SequenceStep = Destination & { readonly delivery?: DeliverySpec };

/** Steps of which each gets what the one before has answered. */
export type Sequence = KubeObject & {
  readonly spec?: {
    readonly steps?: readonly SequenceStep[];
    readonly channelTemplate?: ChannelTemplate;
    readonly reply?: Destination;
  };
  readonly status?: DuckStatus &
    AddressStatus &
    AppliedPolicies & {
      readonly auth?: AuthStatus;
      readonly subscriptionStatuses?: readonly PartStatus<"subscription">[];
      readonly channelStatuses?: readonly PartStatus<"channel">[];
    };
};

export type ParallelBranch = {
  readonly filter?: Destination;
  readonly subscriber?: Destination;
  readonly reply?: Destination;
  readonly delivery?: DeliverySpec;
};

export type ParallelBranchStatus = {
  readonly filterSubscriptionStatus?: PartStatus<"subscription">;
  readonly filterChannelStatus?: PartStatus<"channel">;
  readonly subscriberSubscriptionStatus?: PartStatus<"subscription">;
};

/** Branches that all get every event, each behind a filter of its own. */
export type Parallel = KubeObject & {
  readonly spec?: {
    readonly branches?: readonly ParallelBranch[];
    readonly channelTemplate?: ChannelTemplate;
    readonly reply?: Destination;
  };
  readonly status?: DuckStatus &
    AddressStatus &
    AppliedPolicies & {
      readonly auth?: AuthStatus;
      readonly ingressChannelStatus?: PartStatus<"channel">;
      readonly branchStatuses?: readonly ParallelBranchStatus[];
    };
};
