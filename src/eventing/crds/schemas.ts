/**
 * Schemas of Eventing's kinds. Types as in upstream's `config/core/resources` (v1.22).
 */
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import type { KindSchema } from "#knative/crds/definition.ts";
import { boolean, conditionFields, list, object, reference, string, stringMap } from "#knative/crds/schema-parts.ts";
import {
  addressableReference,
  addressStatus,
  anything,
  authStatus,
  channelableSpec,
  channelableStatus,
  channelTemplate,
  delivery,
  deliveryStatus,
  destination,
  destinationFields,
  filters,
  policiesStatus,
  replyStatus,
  status,
  subscriberStatus,
} from "./schema-parts.ts";

export const brokerSchema: KindSchema = {
  spec: object({ config: reference, delivery }),
  status: status({ ...addressStatus, ...policiesStatus, ...deliveryStatus }),
};

export const triggerSchema: KindSchema = {
  spec: object({
    broker: string,
    brokerRef: reference,
    delivery,
    filter: object({ attributes: anything }),
    filters,
    subscriber: destination,
  }),
  status: status({
    ...authStatus,
    ...deliveryStatus,
    ...subscriberStatus,
  }),
};

const attribute = object({ name: string, required: boolean, value: string }, "name");

export const eventTypeSchema: KindSchema = {
  spec: object({ reference: addressableReference, description: string, attributes: list(attribute) }),
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
  spec: object({
    from: list(object({ ref: object({ ...plainReference.properties, namespace: string }), sub: string })),
    to: list(object({ ref: plainReference, selector })),
    filters,
  }),
  status: status({ from: list(string) }),
};

export const channelSchema: KindSchema = {
  spec: object({ ...channelableSpec, channelTemplate }),
  status: status({ ...channelableStatus, channel: reference }),
};

export const inMemoryChannelSchema: KindSchema = {
  spec: object(channelableSpec),
  status: status(channelableStatus),
};

const physicalSubscription = object({ ...deliveryStatus, ...subscriberStatus, ...replyStatus });

export const subscriptionSchema: KindSchema = {
  spec: object({ channel: reference, subscriber: destination, reply: destination, delivery }),
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
  spec: object({ channelTemplate, reply: destination, steps: list(object({ ...destinationFields, delivery })) }),
  status: status({
    ...flowStatus,
    channelStatuses: list(part("channel")),
    subscriptionStatuses: list(part("subscription")),
  }),
};

export const parallelSchema: KindSchema = {
  spec: object({
    branches: list(object({ delivery, filter: destination, reply: destination, subscriber: destination })),
    channelTemplate,
    reply: destination,
  }),
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
