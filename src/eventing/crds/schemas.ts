/**
 * Schemas of Eventing's kinds. Types as in upstream's `config/core/resources` (v1.22).
 */
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import type { KindSchema } from "#knative/crds/definition.ts";
import {
  boolean,
  conditionFields,
  described,
  list,
  object,
  reference,
  string,
  stringMap,
} from "#knative/crds/schema-parts.ts";
import {
  addressableReference,
  addressStatus,
  authStatus,
  channelableSpec,
  channelableStatus,
  channelTemplate,
  delivery,
  deliveryStatus,
  destinationFields,
  destinationOf,
  filters,
  policiesStatus,
  replyStatus,
  status,
  subscriberStatus,
} from "./schema-parts.ts";

export const brokerSchema: KindSchema = {
  description: "Takes events, keeps them, and gives Triggers those that they want.",
  spec: described(
    "What is said of all its Triggers.",
    object({ config: described("A ConfigMap with its settings; none is needed.", reference), delivery }),
  ),
  status: status({ ...addressStatus, ...policiesStatus, ...deliveryStatus }),
};

export const triggerSchema: KindSchema = {
  description: "Has the events of a Broker that it wants delivered to somebody.",
  spec: described(
    "Which events of which Broker go where.",
    object({
      broker: described("The Broker, in the same namespace.", string),
      brokerRef: described("The Broker, when it is said as a reference.", reference),
      delivery,
      filter: described(
        "Which events: those with these attributes. Without it, all.",
        object({ attributes: described('Values by name, such as type: order.created; "" is any.', stringMap) }),
      ),
      filters,
      subscriber: destinationOf("Who gets them. What he answers with ce- headers is an event again."),
    }),
  ),
  status: status({
    ...authStatus,
    ...deliveryStatus,
    ...subscriberStatus,
  }),
};

const attribute = object({ name: string, required: boolean, value: string }, "name");

export const eventTypeSchema: KindSchema = {
  description: "Tells people which events there are.",
  spec: described(
    "What such an event is.",
    object({
      reference: described("Whose events: a Broker, for instance.", addressableReference),
      description: described("What it is about.", string),
      attributes: described("Attributes that it has, and their values.", list(attribute)),
    }),
  ),
  status: status({}),
};

/** Of v1beta1 and v1beta2. */
export const oldEventTypeSchema: KindSchema = {
  spec: object({
    broker: string,
    reference: addressableReference,
    description: string,
    type: string,
    source: string,
    schema: string,
    schemaData: string,
  }),
  status: status({}),
};

const selector = object({
  apiVersion: string,
  kind: string,
  matchExpressions: list(object({ key: string, operator: string, values: list(string) })),
  matchLabels: stringMap,
});
const plainReference = object({ apiVersion: string, kind: string, name: string });

export const eventPolicySchema: KindSchema = {
  description: "Says who may send events to what. Counts while the feature authentication-oidc is on.",
  spec: described(
    "Who may send which events to what.",
    object({
      from: described(
        "Who may: sources, or names of users, which may end in *.",
        list(object({ ref: object({ ...plainReference.properties, namespace: string }), sub: string })),
      ),
      to: described("Whose events; empty: of all in the namespace.", list(object({ ref: plainReference, selector }))),
      filters,
    }),
  ),
  status: status({ from: list(string) }),
};

export const channelSchema: KindSchema = {
  description: "Keeps events and gives them to all who have a Subscription.",
  spec: described("Of what kind it is.", object({ ...channelableSpec, channelTemplate })),
  status: status({ ...channelableStatus, channel: reference }),
};

export const inMemoryChannelSchema: KindSchema = {
  description: "A Channel of the cluster's own kind: what it takes is on the disk, whatever it is called.",
  spec: described("Whom it delivers to.", object(channelableSpec)),
  status: status(channelableStatus),
};

const physicalSubscription = object({ ...deliveryStatus, ...subscriberStatus, ...replyStatus });

export const subscriptionSchema: KindSchema = {
  description: "Has the events of a Channel delivered to somebody.",
  spec: described(
    "Which Channel's events go where.",
    object({
      channel: described("The Channel, in the same namespace.", reference),
      subscriber: destinationOf("Who gets them."),
      reply: destinationOf("Who gets the events that he answers with."),
      delivery,
    }),
  ),
  status: status({ ...authStatus, physicalSubscription }),
};

const objectReference = object({
  apiVersion: string,
  kind: string,
  name: string,
  namespace: string,
  uid: string,
  resourceVersion: string,
  fieldPath: string,
});
const ready = object(conditionFields);
const part = (name: string): JsonSchemaProps => object({ [name]: objectReference, ready });
const flowStatus = { ...addressStatus, ...authStatus, ...policiesStatus } as const;

export const sequenceSchema: KindSchema = {
  description: "Gives an event to one after another, to each what the one before answered.",
  spec: described(
    "The steps.",
    object({
      channelTemplate,
      reply: destinationOf("Who gets what the last one answers."),
      steps: described("Who gets it, in order.", list(object({ ...destinationFields, delivery }))),
    }),
  ),
  status: status({
    ...flowStatus,
    channelStatuses: list(part("channel")),
    subscriptionStatuses: list(part("subscription")),
  }),
};

export const parallelSchema: KindSchema = {
  description: "Gives an event to several at once, each with a filter of his own.",
  spec: described(
    "The branches.",
    object({
      branches: described(
        "Who gets it.",
        list(
          object({
            delivery,
            filter: destinationOf("Is asked first: who answers with an event lets it through."),
            reply: destinationOf("Who gets what this one answers."),
            subscriber: destinationOf("Who gets it."),
          }),
        ),
      ),
      channelTemplate,
      reply: destinationOf("Who gets what branches answer that have no reply of their own."),
    }),
  ),
  status: status({
    ...flowStatus,
    ingressChannelStatus: part("channel"),
    branchStatuses: list(
      object({
        filterChannelStatus: part("channel"),
        filterSubscriptionStatus: part("subscription"),
        subscriberSubscriptionStatus: part("subscription"),
      }),
    ),
  }),
};
