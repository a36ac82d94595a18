/**
 * What is asked about an event before it is taken, and done after it: policies, and EventTypes that are made of what comes.
 */
import type { Client } from "#client/client.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { DiskFolder } from "#disk/disk-files.ts";
import { createEventingConfigStore } from "#eventing/config/config-store.ts";
import { RememberedFeatures } from "#eventing/config/remembered-features.ts";
import type { ReceiverOptions } from "#eventing/dispatcher/receiver.ts";
import { createPolicyCheck } from "#eventing/eventpolicy/policy-check.ts";
import { createTokenVerifier } from "#eventing/eventpolicy/token-verifier.ts";
import { EventTypeRecorder } from "#eventing/eventtype/event-type-recorder.ts";
import {
  type Broker,
  brokers,
  eventPolicies,
  type EventPolicy,
  type InMemoryChannel,
  inMemoryChannels,
} from "#eventing/kinds.ts";

/** What they work with. The informer factory may start later. */
export type IngressRulesOptions = {
  readonly client: Client;
  readonly informers: InformerFactory;
  /** Where features are kept for the next start. */
  readonly folder: DiskFolder;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
};

/** Resolves when the receiver can go by them, as they were known last. */
export async function startIngressRules(
  options: IngressRulesOptions,
): Promise<Required<Pick<ReceiverOptions, "check" | "onAccepted">> & Pick<Service, "stop">> {
  const { client, informers, folder, clock, logger, signal } = options;
  const config = createEventingConfigStore(informers, logger);
  const remembered = new RememberedFeatures({ folder, config, logger });
  await remembered.restore();
  const stop = remembered.follow(signal);
  const features = () => remembered.current;
  const recorder = new EventTypeRecorder({ client, features, logger, signal });
  return {
    check: createPolicyCheck({
      features,
      brokers: informers.informer<Broker>({ resource: brokers }).lister,
      channels: informers.informer<InMemoryChannel>({ resource: inMemoryChannels }).lister,
      policies: informers.informer<EventPolicy>({ resource: eventPolicies }).lister,
      verify: createTokenVerifier(client, clock),
    }),
    onAccepted: (topic, event) => recorder.record(topic, event),
    stop,
  };
}
