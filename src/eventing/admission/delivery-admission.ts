/**
 * Defaulting and validation of delivery options. Behaviour and messages as upstream's `pkg/apis/duck/v1/delivery_types.go` (v1.22).
 */
import { findIsoDurationMs } from "#eventing/common/iso-duration.ts";
import type { DeliverySpec } from "#eventing/kinds.ts";
import { disallowedFields, type FieldError, invalidValue, viaField } from "#knative/admission/field-error.ts";
import { validateDestination, withDestinationDefaults } from "#knative/destination.ts";
import { type EventingAdmissionContext, referenceRules } from "./context.ts";

/** The options with the dead-letter sink in the namespace it means. */
export function withDeliveryDefaults(delivery: DeliverySpec, namespace: string): DeliverySpec {
  const { deadLetterSink } = delivery;
  return deadLetterSink === undefined
    ? delivery
    : { ...delivery, deadLetterSink: withDestinationDefaults(deadLetterSink, namespace) };
}

/** What is wrong with the options; absent ones are not looked at. */
export function validateDelivery(
  delivery: DeliverySpec | undefined,
  context: EventingAdmissionContext,
): readonly FieldError[] {
  if (delivery === undefined) return [];
  const { deadLetterSink, retry, backoffPolicy, backoffDelay, format } = delivery;
  return [
    ...viaField("deadLetterSink", validateDestination(deadLetterSink, referenceRules(context))),
    ...(retry !== undefined && retry < 0 ? [invalidValue(retry, "retry")] : []),
    ...checkTimeout(delivery, context),
    ...oneOf(backoffPolicy, ["exponential", "linear"], "backoffPolicy"),
    ...(backoffDelay !== undefined && findIsoDurationMs(backoffDelay) === undefined
      ? [invalidValue(backoffDelay, "backoffDelay")]
      : []),
    ...oneOf(format, ["binary", "json"], "format"),
    ...checkRetryAfter(delivery, context),
  ];
}

function checkTimeout({ timeout }: DeliverySpec, { config }: EventingAdmissionContext): readonly FieldError[] {
  if (timeout === undefined) return [];
  if (!config.features.deliveryTimeout) return [disallowedFields("timeout")];
  return findIsoDurationMs(timeout) ? [] : [invalidValue(timeout, "timeout")];
}

function checkRetryAfter({ retryAfterMax }: DeliverySpec, { config }: EventingAdmissionContext): readonly FieldError[] {
  if (retryAfterMax === undefined) return [];
  if (!config.features.deliveryRetryAfter) return [disallowedFields("retryAfterMax")];
  return (findIsoDurationMs(retryAfterMax) ?? -1) >= 0 ? [] : [invalidValue(retryAfterMax, "retryAfterMax")];
}

function oneOf(value: string | undefined, allowed: readonly string[], field: string): readonly FieldError[] {
  return value === undefined || allowed.includes(value) ? [] : [invalidValue(value, field)];
}
