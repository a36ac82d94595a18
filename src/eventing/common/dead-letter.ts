/**
 * Where dead letters of an object go, as its status says it.
 */
import type { DeliverySpec, DeliveryStatus } from "#eventing/kinds.ts";
import { type Resolved, Unresolved } from "#knative/addressable-resolver.ts";
import { type Conditions, isFalse, isTrue, type Mark } from "#knative/conditions.ts";
import type { Look } from "#knative/kind-controller.ts";

/** No dead-letter sink was asked for. */
const deadLetterNotConfigured: Mark = {
  status: "True",
  reason: "DeadLetterSinkNotConfigured",
  message: "No dead letter sink is configured.",
};

/** An address as the status of a dead-letter sink. */
export function deliveryStatusOf({ url, CACerts, audience }: Resolved): DeliveryStatus {
  return {
    deadLetterSinkUri: url,
    ...(CACerts ? { deadLetterSinkCACerts: CACerts } : {}),
    ...(audience ? { deadLetterSinkAudience: audience } : {}),
  };
}

/** Resolves the sink of the options, if they have one, and marks how that went. */
export async function resolveDeadLetter(
  delivery: DeliverySpec | undefined,
  { conditions, resolve }: Pick<Look, "conditions" | "resolve">,
  reason = "Unable to get the dead letter sink's URI",
): Promise<DeliveryStatus> {
  const sink = delivery?.deadLetterSink;
  if (sink === undefined) {
    conditions.mark("DeadLetterSinkResolved", deadLetterNotConfigured);
    return {};
  }
  try {
    const found = deliveryStatusOf(await resolve(sink));
    conditions.mark("DeadLetterSinkResolved", isTrue);
    return found;
  } catch (error) {
    if (!(error instanceof Unresolved)) throw error;
    conditions.mark("DeadLetterSinkResolved", isFalse(reason, error.message));
    return {};
  }
}

/** As {@link resolveDeadLetter}, of a sink that somebody else has resolved already: a Trigger's Broker, the channel behind a Channel. `holder` names it. */
export function passDeadLetter(
  delivery: DeliverySpec | undefined,
  { holder, status = {} }: { readonly holder: string; readonly status?: DeliveryStatus | undefined },
  conditions: Conditions,
): DeliveryStatus {
  if (delivery?.deadLetterSink === undefined) {
    conditions.mark("DeadLetterSinkResolved", deadLetterNotConfigured);
    return {};
  }
  const { deadLetterSinkUri, deadLetterSinkCACerts, deadLetterSinkAudience } = status;
  if (deadLetterSinkUri === undefined) {
    conditions.mark("DeadLetterSinkResolved", isFalse(`${holder} didn't set status.deadLetterSinkURI`, ""));
    return {};
  }
  conditions.mark("DeadLetterSinkResolved", isTrue);
  return {
    deadLetterSinkUri,
    ...(deadLetterSinkCACerts === undefined ? {} : { deadLetterSinkCACerts }),
    ...(deadLetterSinkAudience === undefined ? {} : { deadLetterSinkAudience }),
  };
}
