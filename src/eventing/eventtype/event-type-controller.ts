/**
 * Says of each EventType whether what it refers to exists. As upstream's `pkg/reconciler/eventtype` (v1.22).
 */
import type { NamedController } from "#client/controller.ts";
import type { EventingContext } from "#eventing/common/context.ts";
import { type EventType, eventTypes } from "#eventing/kinds.ts";
import { isFalse, isTrue, isUnknown, type Mark } from "#knative/conditions.ts";
import { KindController, type Look } from "#knative/kind-controller.ts";
import { UnknownKind } from "#knative/tracker.ts";

/** The controller of EventTypes. */
export function createEventTypeController(context: EventingContext): NamedController {
  return new KindController<EventType>(context, {
    name: "eventing-eventtype",
    kind: "EventType",
    resource: eventTypes,
    dependents: ["ReferenceExists"],
    look: async (eventType, look) => {
      look.conditions.mark("ReferenceExists", await markOf(eventType, look));
      return {};
    },
  });
}

async function markOf({ spec, metadata }: EventType, look: Look): Promise<Mark> {
  const { reference } = spec ?? {};
  if (reference === undefined || !reference.name)
    return { status: "True", reason: "ReferenceNotSet", message: "spec.reference is not set" };
  try {
    const { namespace = metadata?.namespace ?? "" } = reference;
    const found = await look.find({ ...reference, namespace });
    return found === undefined ? isFalse("ResourceDoesNotExist", "Resource in spec.reference does not exist") : isTrue;
  } catch (error) {
    if (!(error instanceof UnknownKind)) throw error;
    return isUnknown("ReferenceGetFailed", `Failed to get reference: ${error.message}`);
  }
}
