/**
 * What Eventing's controllers get beyond what any controller gets.
 */
import type { ControllerContext } from "#client/controller.ts";
import type { EventingConfigStore } from "#eventing/config/config-store.ts";

/** A controller's context, with Eventing's configuration. */
export type EventingContext = ControllerContext & { readonly config: EventingConfigStore };
