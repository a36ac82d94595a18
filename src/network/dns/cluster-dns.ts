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
import { ClusterRecords, endpointSliceIndexes, type RecordSources, serviceIndexes } from "./cluster-records.ts";
import { type BoundSockets, DnsServer } from "./dns-server.ts";
import { Forwarder, readUpstreams, type Upstream } from "./forwarder.ts";
import { LastKnownRecords } from "./last-known.ts";
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
  /** Where the records are kept for a start without the API server. Absent: nowhere. */
  readonly lastKnownFile?: string;
  /** Resolvers for other names. Default: those of /etc/resolv.conf, read again every 30 s. */
  readonly upstreams?: () => readonly Upstream[];
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Longest wait for the informers' first lists: shorter than clients wait for an answer (5 s). */
const patienceMs = 4000;
/** From a start on, how long questions wait for the truth when there is something older to say. RFC 8767 suggests 1.8 s for a resolver that lives; here the start has cost time already. */
const staleAfterMs = 1000;

/**
 * Makes the DNS of a node. Names outside the cluster are answered as soon as it is started, those of the cluster once the informers have their first lists; while these are not to be
 * had, from what was known last.
 */
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
  let isSynced = false;
  const current = { services: services.lister, endpointSlices: endpointSlices.lister, namespaces: namespaces.lister };
  const { lastKnownFile: path } = options;
  const file = path === undefined ? undefined : new LastKnownRecords({ path, clock, logger });
  let lastKnown: RecordSources | undefined;
  let startMs = clock.now();
  const sources = () => (isSynced ? current : (lastKnown ?? current));
  const records = new ClusterRecords(zone, sources);
  const forwarder = new Forwarder({ upstreams: options.upstreams ?? machineUpstreams(clock), clock });
  const { promise: synced, resolve: onSynced } = Promise.withResolvers<true>();
  const resolver = new Resolver({
    zone,
    records,
    forward: (question) => forwarder.ask(question),
    async knowledge() {
      if (isSynced) return "current";
      const waitMs = lastKnown ? Math.max(0, startMs + staleAfterMs - clock.now()) : patienceMs;
      if (waitMs > 0 && (await within(synced, waitMs, clock))) return "current";
      return lastKnown ? "last-known" : "none";
    },
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
      startMs = clock.now();
      lastKnown = file?.load();
      const first = [services, endpointSlices, namespaces].map((informer) => informer.waitForSync(signal));
      void Promise.all(first).then(
        () => {
          isSynced = true;
          lastKnown = undefined;
          onSynced(true);
          file?.follow({ services, endpointSlices, namespaces });
        },
        () => {}, // stopped before
      );
      await server.start();
    },
    async stop() {
      await server.stop();
      await file?.stop();
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
