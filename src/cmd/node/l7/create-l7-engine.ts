/**
 * A node's L7 engine with the places where it listens. Loaded with the first source that wants it.
 */
import type { Cluster } from "#cmd/machine/clusters.ts";
import type { NodePlan } from "#cmd/machine/node-plan.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { L7Engine, type L7EngineOptions } from "./l7-engine.ts";
import { openPlaces, releasePlaces } from "./l7-places.ts";

export type CreateL7EngineOptions = {
  readonly cluster: Cluster;
  readonly plan: NodePlan;
  readonly onListening: L7EngineOptions["onListening"];
  readonly clock: Clock;
  readonly logger: Logger;
};

/** It listens once somebody wants it to. */
export function createL7Engine(options: CreateL7EngineOptions): L7Engine {
  const { plan, onListening, clock, logger } = options;
  return new L7Engine({
    open: (listener) => openPlaces(listener, options),
    release: (listener) => releasePlaces(listener, plan),
    onListening,
    clock,
    logger,
  });
}
