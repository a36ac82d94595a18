/**
 * Controllers and scheduler: everything that acts on the API from within the control plane. Each acts as itself.
 */
import { type ApiServer, loopbackUser } from "#apiserver/api-server.ts";
import { createEventRecorder } from "#client/event-recorder.ts";
import { createInformerFactory, withoutManagedFields } from "#client/informer-factory.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import { hasEventing } from "#cmd/machine/cluster-record.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { KeyPair } from "#component-base/x509.ts";
import type { Logger } from "#component-base/logger.ts";
import type { PartOfEventing } from "#eventing/eventing.ts";
import { createControllers } from "#controllers/controllers.ts";
import { createLoadBalancerController } from "#network/load-balancer/load-balancer-controller.ts";
import { startDeliveryPart } from "./delivery-part.ts";
import { eventingPart } from "./eventing-part.ts";
import { sourceOptions } from "#cmd/eventing/source-options.ts";
import { startFunctionsPart } from "./functions-part.ts";
import { IngressPart } from "./ingress-part.ts";
import { servingPart } from "./serving-part.ts";
import { createScheduler } from "#scheduler/scheduler.ts";

/** What they work with. */
export type ManagersOptions = {
  readonly server: ApiServer;
  readonly cluster: Cluster;
  /** Signs certificate requests; pods verify the API server with it. */
  readonly ca: KeyPair;
  readonly environment: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Started with the first object of Knative Eventing's. */
  readonly eventingParts: readonly PartOfEventing[];
  readonly signal: AbortSignal;
};

/** Events tell of what is going on; they are not to be in its way. */
const eventDelayMs = 30;

/** Starts them all; stopping gives the reverse. */
export async function startManagers(options: ManagersOptions): Promise<Pick<Service, "stop">> {
  const { server, cluster, ca, environment, eventingParts, clock, logger, signal } = options;
  const client = server.client(loopbackUser);
  const informers = createInformerFactory({ client, clock, logger, transform: withoutManagedFields });
  const recorders = new Map<string, ReturnType<typeof createEventRecorder>>();
  const recorderFor = (component: string) => {
    const known =
      recorders.get(component) ?? createEventRecorder({ client, component, delayMs: eventDelayMs, clock, logger });
    recorders.set(component, known);
    return known;
  };
  const scheduler = createScheduler({ client, informers, events: recorderFor("default-scheduler"), clock, logger });
  const loadBalancers = createLoadBalancerController({
    client,
    informers,
    events: recorderFor("service-controller"),
    range: addressPlan(cluster.record).loadBalancers,
    clock,
    logger,
  });
  const controllers = createControllers({
    client,
    informers,
    recorderFor,
    rootCa: ca.certificate,
    signingCa: ca,
    clock,
    logger,
  });
  const parts: readonly Service[] = [...recorders.values(), scheduler, loadBalancers, ...controllers];
  await informers.start(signal);
  await Promise.all(parts.map((part) => part.start(signal)));
  const context = { client, informers, recorderFor, clock, logger };
  const imageStore = cluster.layout.images;
  const functions = (until: AbortSignal) =>
    startFunctionsPart({ ...context, imageStore, cluster: cluster.record.name, signal: until });
  const delivery = (until: AbortSignal) => startDeliveryPart({ ...context, server, cluster, signal: until });
  const serving = cluster.record.hasServing
    ? servingPart({ ...context, parts: [functions, delivery], imagesFolder: imageStore, environment, signal })
    : undefined;
  serving?.start();
  const sources = sourceOptions(cluster);
  const eventing = hasEventing(cluster.record)
    ? eventingPart({ ...context, parts: eventingParts, sources, signal })
    : undefined;
  eventing?.start();
  const ingress = new IngressPart({ ...context, signal });
  ingress.start();
  return {
    async stop() {
      await Promise.all([serving?.stop(), eventing?.stop(), ingress.stop()]);
      await Promise.all(parts.toReversed().map((part) => part.stop()));
      await informers.stop();
    },
  };
}
