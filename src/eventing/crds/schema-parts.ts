/**
 * Pieces of the schemas of Eventing's kinds, and of sources: destinations, delivery, addresses, what channels have.
 */
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import {
  address,
  described,
  duckStatus,
  int32,
  int64,
  list,
  object,
  reference,
  string,
  stringMap,
} from "#knative/crds/schema-parts.ts";

/** Whatever it holds. */
export const anything: JsonSchemaProps = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

/** A reference to something that has an address. */
export const addressableReference: JsonSchemaProps = object({ ...reference.properties, address: string });

export const destinationFields: Readonly<Record<string, JsonSchemaProps>> = {
  ref: described(
    "What has an address: a Function, a Service (Knative's or Kubernetes'), a Broker, a Channel.",
    addressableReference,
  ),
  uri: described(
    "An address, or what is put behind the address of ref. Not one of the machine's own loopback.",
    string,
  ),
  CACerts: described("PEM: whose certificates are believed.", string),
  audience: described("Whom a token is for, when one is sent along.", string),
};
/** Where events go; `description` says which. */
export function destinationOf(description: string): JsonSchemaProps {
  return described(description, object(destinationFields));
}

export const delivery: JsonSchemaProps = {
  ...object({
    backoffDelay: described("Wait before the first retry, in ISO 8601: PT0.2S.", string),
    backoffPolicy: described("How waits grow: linear or exponential.", string),
    deadLetterSink: destinationOf("Who gets what nobody took."),
    retry: described("How often a delivery that failed is tried again.", int32),
    timeout: described("How long one answer may take, in ISO 8601: PT30S.", string),
    retryAfterMax: described("Longest Retry-After of an answer that is obeyed; PT0S: none.", string),
    format: described("How events are sent: binary or json.", string),
  }),
  description: "How events are delivered, and what happens with those that nobody takes.",
  "x-kubernetes-preserve-unknown-fields": true,
};

const filterFields: Readonly<Record<string, JsonSchemaProps>> = {
  exact: described("Attributes that have these values.", stringMap),
  prefix: described("Attributes that begin so.", stringMap),
  suffix: described("Attributes that end so.", stringMap),
  all: described("Filters that must all let it through.", list(anything)),
  any: described("Filters of which one must let it through.", list(anything)),
  not: described("A filter that must not.", anything),
  cesql: described("An expression: type LIKE 'order.%' AND EXISTS subject.", string),
};

/** Filters of the Subscriptions API; those within others are looked at when they are written. */
export const filters: JsonSchemaProps = described(
  "Which events; all of them must let one through. They take the place of filter.",
  list(object(filterFields)),
);

export const addressStatus: Readonly<Record<string, JsonSchemaProps>> = { address, addresses: list(address) };
export const deliveryStatus: Readonly<Record<string, JsonSchemaProps>> = {
  deadLetterSinkUri: string,
  deadLetterSinkCACerts: string,
  deadLetterSinkAudience: string,
};
export const policiesStatus: Readonly<Record<string, JsonSchemaProps>> = {
  policies: list(object({ apiVersion: string, name: string })),
};
export const authStatus: Readonly<Record<string, JsonSchemaProps>> = {
  auth: object({ serviceAccountName: string, serviceAccountNames: list(string) }),
};

/** A status with conditions and these fields. */
export function status(fields: Readonly<Record<string, JsonSchemaProps>>): JsonSchemaProps {
  return described("How it is, as its controller sees it.", object({ ...duckStatus, ...fields }));
}

/** Whom events go to, when it is known what that is. */
export const subscriberStatus: Readonly<Record<string, JsonSchemaProps>> = {
  subscriberUri: described("Where events are delivered to.", string),
  subscriberCACerts: string,
  subscriberAudience: string,
};
/** Whom what is answered goes to. */
export const replyStatus: Readonly<Record<string, JsonSchemaProps>> = {
  replyUri: string,
  replyCACerts: string,
  replyAudience: string,
};

const subscriber = object({
  name: string,
  uid: string,
  generation: int64,
  ...subscriberStatus,
  ...replyStatus,
  delivery,
  ...authStatus,
});

/** What all channels have in their spec, and in their status. */
export const channelableSpec: Readonly<Record<string, JsonSchemaProps>> = {
  delivery,
  subscribers: described("Written by its controller, out of the Subscriptions.", list(subscriber)),
};
export const channelableStatus: Readonly<Record<string, JsonSchemaProps>> = {
  ...addressStatus,
  ...deliveryStatus,
  ...policiesStatus,
  subscribers: list(object({ uid: string, observedGeneration: int64, ready: string, message: string })),
};

export const channelTemplate: JsonSchemaProps = described(
  "Of what kind its channels are: InMemoryChannel, unless said otherwise.",
  object({ apiVersion: string, kind: string, spec: anything }),
);
