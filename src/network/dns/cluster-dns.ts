/**
 * Cluster DNS as a part of the node: informers, records, resolver and server joined. Each node answers for itself at the cluster's DNS address, so names resolve while the
 * control plane is away.
 */
import type { Namespace, Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { ClusterRecords, endpointSliceIndexes, serviceIndexes } from "./cluster-records.ts";
import { type BoundSockets, DnsServer } from "./dns-server.ts";
import { Forwarder, readUpstreams, type Upstream } from "./forwarder.ts";
import { Resolver } from "./resolver.ts";

/** How the cluster's DNS is set up. */
export type ClusterDnsOptions = {
  readonly informers: InformerFactory;
  /** "cluster.local". */
  readonly zone: string;
  /** Addresses of this node at which it answers. */
  readonly addresses: readonly string[];
  /** Default 53. */
  readonly port?: number;
  /** Bound descriptors to answer on beside the addresses. */
  readonly sockets?: readonly BoundSockets[];
  /** Resolvers for other names. Default: those of /etc/resolv.conf, read again every 30 s. */
  readonly upstreams?: () => readonly Upstream[];
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Longest wait for the informers' first lists: shorter than clients wait for an answer (5 s). */
const patienceMs = 4000;

/** Makes the DNS of a node. Names outside the cluster are answered as soon as it is started, those of the cluster once the informers have their first lists. */
export function createClusterDns(options: ClusterDnsOptions): Service {
  const { informers, zone, addresses, clock, logger } = options;
  const services = informers.informer<KubeService>({
    resource: { group: "", version: "v1", resource: "services" },
    indexes: serviceIndexes,
  });
  const endpointSlices = informers.informer<EndpointSlice>({
    resource: { group: "discovery.k8s.io", version: "v1", resource: "endpointslices" },
    indexes: endpointSliceIndexes,
  });
  const namespaces = informers.informer<Namespace>({ resource: { group: "", version: "v1", resource: "namespaces" } });
  const records = new ClusterRecords(zone, {
    services: services.lister,
    endpointSlices: endpointSlices.lister,
    namespaces: namespaces.lister,
  });
  const forwarder = new Forwarder({ upstreams: options.upstreams ?? machineUpstreams(clock), clock });
  let isSynced = false;
  const { promise: synced, resolve: onSynced } = Promise.withResolvers<true>();
  const resolver = new Resolver({
    zone,
    records,
    forward: (question) => forwarder.ask(question),
    areRecordsKnown: async () => isSynced || (await within(synced, patienceMs, clock)),
  });
  const server = new DnsServer({
    resolver,
    addresses,
    logger,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.sockets === undefined ? {} : { sockets: options.sockets }),
  });
  return {
    async start(signal) {
      const first = [services, endpointSlices, namespaces].map((informer) => informer.waitForSync(signal));
      void Promise.all(first).then(
        () => {
          isSynced = true;
          onSynced(true);
        },
        () => {}, // stopped before
      );
      await server.start();
    },
    async stop() {
      await server.stop();
      forwarder.close();
    },
  };
}

async function within(known: Promise<true>, limitMs: number, clock: Clock): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = clock.setTimer(limitMs, () => resolve(false));
  try {
    return await Promise.race([known, late]);
  } finally {
    timer.clear();
  }
}

function machineUpstreams(clock: Clock): () => readonly Upstream[] {
  let known: readonly Upstream[] = [];
  let readMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (clock.now() - readMs > 30_000) {
      known = readUpstreams();
      readMs = clock.now();
    }
    return known;
  };
}
