/**
 * Eventing's kinds as CustomResourceDefinitions: names, columns and categories as upstream's (v1.22), so that `kubectl get broker` and the `kn` client find what they know.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { eventingGroup, eventingNamespace, flowsGroup, messagingGroup } from "#eventing/names.ts";
import {
  ageColumn,
  type Column,
  type Converter,
  definition,
  type Kind,
  readyColumns,
  textColumn,
  wide,
} from "#knative/crds/definition.ts";
import { sourceKinds } from "#eventing/sources/crds/source-kinds.ts";
import {
  brokerSchema,
  channelSchema,
  eventPolicySchema,
  eventTypeSchema,
  inMemoryChannelSchema,
  oldEventTypeSchema,
  parallelSchema,
  sequenceSchema,
  subscriptionSchema,
  triggerSchema,
} from "./schemas.ts";

const url = textColumn("URL", ".status.address.url");
const addressed: readonly Column[] = [url, ageColumn, ...readyColumns];
const addressable = { "duck.knative.dev/addressable": "true" };
const subscribable = { "messaging.knative.dev/subscribable": "true" };

/** Definitions of some kinds of Eventing's. */
export function eventingDefinitions(kinds: readonly Kind[], converter: Converter): readonly KubeObject[] {
  return kinds.map((kind) => definition(kind, eventingNamespace, converter));
}

const oldEventTypeColumns: readonly Column[] = [
  textColumn("Type", ".spec.type"),
  textColumn("Source", ".spec.source"),
  textColumn("Schema", ".spec.schema"),
  textColumn("Reference Name", ".spec.reference.name"),
  textColumn("Reference Kind", ".spec.reference.kind"),
  textColumn("Description", ".spec.description"),
  ...readyColumns,
];

const eventing = { group: eventingGroup, version: "v1", categories: ["all", "knative", "eventing"] };
const messaging = { group: messagingGroup, version: "v1", categories: ["all", "knative", "messaging"] };
const flows = { group: flowsGroup, version: "v1", categories: ["all", "knative", "flows"] };

/** Brokers, channels, flows, sources, and what says something of events. */
export const eventingKinds: readonly Kind[] = [
  {
    ...eventing,
    kind: "Broker",
    plural: "brokers",
    columns: [...addressed, wide(textColumn("Class", ".metadata.annotations.eventing\\.knative\\.dev/broker\\.class"))],
    labels: addressable,
    schema: brokerSchema,
  },
  {
    ...eventing,
    kind: "Trigger",
    plural: "triggers",
    columns: [
      textColumn("Broker", ".spec.broker"),
      textColumn("Subscriber_URI", ".status.subscriberUri"),
      ageColumn,
      ...readyColumns,
    ],
    schema: triggerSchema,
  },
  {
    ...eventing,
    version: "v1beta3",
    kind: "EventType",
    plural: "eventtypes",
    columns: [
      textColumn("Type", ".spec.attributes[?(@.name=='type')].value"),
      textColumn("Source", ".spec.attributes[?(@.name=='source')].value"),
      textColumn("Reference Name", ".spec.reference.name"),
      textColumn("Reference Kind", ".spec.reference.kind"),
      textColumn("Description", ".spec.description"),
      ...readyColumns,
    ],
    schema: eventTypeSchema,
    otherVersions: [
      { name: "v1beta2", columns: oldEventTypeColumns, schema: oldEventTypeSchema },
      { name: "v1beta1", columns: oldEventTypeColumns, schema: oldEventTypeSchema, isDeprecated: true },
    ],
  },
  {
    ...eventing,
    version: "v1alpha1",
    kind: "EventPolicy",
    plural: "eventpolicies",
    columns: readyColumns,
    schema: eventPolicySchema,
  },
  {
    ...messaging,
    kind: "Channel",
    plural: "channels",
    shortNames: ["ch"],
    categories: [...messaging.categories, "channel"],
    columns: addressed,
    labels: { ...addressable, ...subscribable },
    schema: channelSchema,
  },
  {
    ...messaging,
    kind: "InMemoryChannel",
    plural: "inmemorychannels",
    shortNames: ["imc"],
    categories: [...messaging.categories, "channel"],
    columns: addressed,
    labels: { ...addressable, ...subscribable },
    schema: inMemoryChannelSchema,
  },
  {
    ...messaging,
    kind: "Subscription",
    plural: "subscriptions",
    shortNames: ["sub"],
    columns: [ageColumn, ...readyColumns],
    schema: subscriptionSchema,
  },
  {
    ...flows,
    kind: "Sequence",
    plural: "sequences",
    columns: addressed,
    labels: addressable,
    schema: sequenceSchema,
  },
  {
    ...flows,
    kind: "Parallel",
    plural: "parallels",
    columns: addressed,
    labels: addressable,
    schema: parallelSchema,
  },
  ...sourceKinds,
];
