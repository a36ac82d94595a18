/**
 * All of Eventing's controllers. Loaded with the first object of one of its kinds.
 */
import type { NamedController } from "#client/controller.ts";
import { createBrokerController } from "./broker/broker-controller.ts";
import { createChannelController } from "./channel/channel-controller.ts";
import type { EventingContext } from "./common/context.ts";
import { createEventPolicyController } from "./eventpolicy/event-policy-controller.ts";
import { createEventTypeController } from "./eventtype/event-type-controller.ts";
import { createInMemoryChannelController } from "./inmemorychannel/in-memory-channel-controller.ts";
import { createParallelController } from "./parallel/parallel-controller.ts";
import { createSequenceController } from "./sequence/sequence-controller.ts";
import { createSourceControllers, type SourceOptions } from "./sources/source-controllers.ts";
import { createSubscriptionController } from "./subscription/subscription-controller.ts";
import { createSugarController } from "./sugar/sugar-controller.ts";
import { createTriggerController } from "./trigger/trigger-controller.ts";

/** One of each. */
export function createEventingControllers(
  context: EventingContext,
  sources: SourceOptions,
): readonly NamedController[] {
  return [
    createBrokerController(context),
    createTriggerController(context),
    createChannelController(context),
    createInMemoryChannelController(context),
    createSubscriptionController(context),
    createSequenceController(context),
    createParallelController(context),
    createEventTypeController(context),
    createEventPolicyController(context),
    createSugarController(context),
    ...createSourceControllers(context, sources),
  ];
}
