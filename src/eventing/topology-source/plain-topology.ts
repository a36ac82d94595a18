/**
 * A topology as data that can be written down: filters as they are in Triggers, not as functions.
 */
import type { Logger } from "#component-base/logger.ts";
import type { Subscription, Topic, Topology } from "#eventing/dispatcher/topology.ts";
import type { FilterSpec } from "#eventing/filters/filter-spec.ts";
import { compileFilter } from "#eventing/filters/compile-filter.ts";

/** {@link Topology}, but for its filters. */
export type PlainTopology = {
  readonly topics: readonly Topic[];
  readonly subscriptions: readonly PlainSubscription[];
};

export type PlainSubscription = Omit<Subscription, "filter"> & { readonly filter?: FilterSpec };

/** The topology itself. What has a filter that cannot be compiled is held: it keeps its place until somebody mends it. */
export function compileTopology({ topics, subscriptions }: PlainTopology, logger: Logger): Topology {
  return { topics, subscriptions: subscriptions.map((one) => compileSubscription(one, logger)) };
}

function compileSubscription({ filter: spec, ...rest }: PlainSubscription, logger: Logger): Subscription {
  if (spec === undefined) return rest;
  try {
    const filter = compileFilter(spec);
    return { ...rest, ...(filter && { filter }) };
  } catch (error) {
    logger.error("A filter could not be understood", { trigger: `${rest.namespace}/${rest.name}`, error });
    return { ...rest, isHeld: true };
  }
}
