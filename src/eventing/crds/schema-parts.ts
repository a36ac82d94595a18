/**
 * Pieces of the schemas of Eventing's kinds, and of sources: destinations, delivery, addresses, what channels have.
 */
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { address, duckStatus, int32, int64, list, object, reference, string } from "#knative/crds/schema-parts.ts";

/** Whatever it holds. */
export const anything: JsonSchemaProps = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

/** A reference to something that has an address. */
export const addressableReference: JsonSchemaProps = object({ ...reference.properties, address: string });

export const destinationFields: Readonly<Record<string, JsonSchemaProps>> = {
  ref: addressableReference,
  uri: string,
  CACerts: string,
  audience: string,
};
export const destination: JsonSchemaProps = object(destinationFields);

export const delivery: JsonSchemaProps = {
  ...object({
    backoffDelay: string,
    backoffPolicy: string,
    deadLetterSink: destination,
    retry: int32,
    timeout: string,
    retryAfterMax: string,
    format: string,
  }),
  "x-kubernetes-preserve-unknown-fields": true,
};

const filterFields: Readonly<Record<string, JsonSchemaProps>> = {
  exact: anything,
  prefix: anything,
  suffix: anything,
  all: list(anything),
  any: list(anything),
  not: anything,
  cesql: string,
};

/** Filters of the Subscriptions API; those within others are looked at when they are written. */
export const filters: JsonSchemaProps = list(object(filterFields));

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
  return object({ ...duckStatus, ...fields });
}

/** Whom events go to, when it is known what that is. */
export const subscriberStatus: Readonly<Record<string, JsonSchemaProps>> = {
  subscriberUri: string,
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
export const channelableSpec: Readonly<Record<string, JsonSchemaProps>> = { delivery, subscribers: list(subscriber) };
export const channelableStatus: Readonly<Record<string, JsonSchemaProps>> = {
  ...addressStatus,
  ...deliveryStatus,
  ...policiesStatus,
  subscribers: list(object({ uid: string, observedGeneration: int64, ready: string, message: string })),
};

export const channelTemplate: JsonSchemaProps = object({ apiVersion: string, kind: string, spec: anything });
