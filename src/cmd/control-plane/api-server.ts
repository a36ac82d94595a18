/**
 * Opens the cluster's store and starts its API server.
 */
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { strategyOf } from "#api/strategies.ts";
import { type ApiServer, createApiServer, loopbackUser } from "#apiserver/api-server.ts";
import { createClusterAccess } from "#apiserver/cluster-access.ts";
import { aesGcmTransformer } from "#apiserver/storage/encryption.ts";
import { createConnecters } from "#apiserver/connect/connecters.ts";
import type { ConnectParts } from "#apiserver/connect/node-access.ts";
import { nodeReader } from "#apiserver/connect/node-request.ts";
import { createMetricsResources } from "#apiserver/node-metrics/metrics-resources.ts";
import { readFirstObjects } from "./first-objects.ts";
import { loopbackStrategyOf } from "./loopback-strategies.ts";
import { StoredOnlyWarnings } from "./stored-only.ts";
import { addressPlan, nodeAddresses } from "#cmd/machine/address-plan.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import { machineAddresses } from "#cmd/machine/machine-addresses.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { type Store, StoreUnusable } from "#store/store.ts";
import type { ClusterKeys } from "./cluster-keys.ts";

type Common = { readonly clock: Clock; readonly logger: Logger };

/** Opens the store in the cluster's folder. Throws StoreUnusable. */
export async function openClusterStore({ layout, record }: Cluster, { clock, logger }: Common): Promise<Store> {
  try {
    return await openLmdbStore({ folder: layout.store, clock, logger });
  } catch (cause) {
    if (!(cause instanceof StoreUnusable)) throw cause;
    throw new StoreUnusable(cause.why, `${cause.message}. ${whatToDo[cause.why](record.name)}`, { cause });
  }
}

const whatToDo: Readonly<Record<StoreUnusable["why"], (name: string) => string>> = {
  locked: () => "End that process first",
  "newer-format": () => "Use the newer version of nodeless",
  damaged: (name) => `Restore the folder from a copy, or empty the cluster with 'nodeless reset --name ${name}'`,
  unwritable: () => "Make room, or see to its permissions",
};

/** What the API server of a cluster is made of. */
export type ApiServerSetup = Common & {
  readonly cluster: Cluster;
  /** The keys of the moment: certificates are renewed. */
  readonly keys: () => ClusterKeys;
  readonly store: Store;
  /** False for one that is alone: the cluster's own addresses are not there. Default true. */
  readonly hasNodes?: boolean;
  readonly signal: AbortSignal;
};

/** Makes and starts it. */
export async function startApiServer(setup: ApiServerSetup): Promise<ApiServer> {
  const { cluster, keys, store, hasNodes = true, clock, logger, signal } = setup;
  const { pki, encryption } = keys();
  const { record } = cluster;
  const plan = addressPlan(record);
  const addresses = record.isExposed ? ["0.0.0.0"] : ["127.0.0.1", ...(hasNodes ? [plan.controlPlane] : [])];
  // Without root a cluster has one node.
  const loopbackPods = record.isRootless === true ? nodeAddresses(record, 0).podCidr.replace(/0\/24$/, "") : undefined;
  const nodeAccess: ConnectParts = {
    client: () => server.client(loopbackUser),
    loopbackPods,
    get nodeCredentials() {
      const { kubeletClient, ca } = keys().pki;
      return { certificate: kubeletClient.certificate, key: kubeletClient.privateKey, ca: ca.certificate };
    },
  };
  const server: ApiServer = createApiServer({
    store,
    encryption: new Map([["secrets", aesGcmTransformer(encryption)]]),
    kindFacts: loadKindFacts(),
    findStrategy: (group, _version, kind) =>
      loopbackPods === undefined
        ? strategyOf(group, kind)
        : loopbackStrategyOf(group, kind, [loopbackPods, plan.controlPlane]),
    access: withWarnings(
      hasNodes,
      createClusterAccess({
        clientCa: pki.ca.certificate,
        frontProxyCa: pki.frontProxyCa.certificate,
        serviceAccountKey: pki.serviceAccountKey.privateKey,
        issuer: "https://kubernetes.default.svc.cluster.local",
        publicAddress: `${plan.kubernetesService}:443`,
        clock,
        logger,
      }),
    ),
    ...(hasNodes ? { firstObjects: () => readFirstObjects(record) } : {}),
    services: { cidr: plan.serviceRange, apiAddress: hasNodes ? plan.controlPlane : "127.0.0.1" },
    aggregation: { certificate: pki.frontProxyClient.certificate, key: pki.frontProxyClient.privateKey },
    connecters: createConnecters(nodeAccess),
    computedResources: createMetricsResources({
      client: nodeAccess.client,
      readNode: nodeReader(nodeAccess, "/metrics/resource"),
      clock,
      logger,
    }),
    clock,
    logger,
    https: {
      addresses,
      ...(record.isExposed && { externalHost: machineAddresses()[0] ?? plan.controlPlane }),
      port: record.apiPort,
      serving: { certificate: pki.server.certificate, key: pki.server.privateKey },
      // Users, and proxies that name users in headers.
      clientCa: pki.ca.certificate + pki.frontProxyCa.certificate,
    },
  });
  await server.start(signal);
  return server;
}

/** One that is alone is compared with others' API servers, where nobody acts on any kind. */
function withWarnings(isCluster: boolean, access: ReturnType<typeof createClusterAccess>): typeof access {
  if (!isCluster) return access;
  return (loopback) => {
    const made = access(loopback);
    return { ...made, admission: [...made.admission, new StoredOnlyWarnings()] };
  };
}
