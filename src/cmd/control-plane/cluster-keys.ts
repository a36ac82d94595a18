/**
 * The keys and certificates of a cluster, of its administrator and its nodes, in the files of its `pki` folder. What is missing or expiring is made, as far as nobody is locked out
 * by that.
 */
import { existsSync, mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { type EncryptionKey, EncryptionKeysLost, loadEncryptionKeys } from "#apiserver/storage/encryption.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import { machineAddresses } from "#cmd/machine/machine-addresses.ts";
import type { NodePlan } from "#cmd/machine/node-plan.ts";
import {
  ensureClientCertificate,
  ensurePki,
  ensureServerCertificate,
  type Pki,
  PkiUnusable,
} from "#component-base/certificates.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { KeyPair } from "#component-base/x509.ts";
import { eventApiService, eventingNamespace } from "#eventing/names.ts";
import { eventingGroup, networkGroup } from "./cluster-objects.ts";

/** Of whom the keys are. */
export type ClusterKeysOptions = {
  readonly cluster: Cluster;
  readonly nodes: readonly NodePlan[];
  /** Those of the running control plane, if it runs. */
  readonly known?: ClusterKeys | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** All that a control plane needs. The nodes' own keys are in files only. */
export type ClusterKeys = {
  readonly pki: Pki;
  readonly admin: KeyPair;
  readonly encryption: readonly EncryptionKey[];
};

const signingKeyWrittenBack = "Wrote the key of service account tokens back, whose file sa.key was gone";
const signingKeyReplaced =
  "Made a new key for service account tokens, because sa.key was gone: tokens from before are refused, and pods get new ones";

/** Reads all keys, and makes those that are missing or expiring. Called again for renewal. Throws an error that says what to do about files that were lost. */
export async function ensureClusterKeys(options: ClusterKeysOptions): Promise<ClusterKeys> {
  const { cluster, nodes, known, clock, logger } = options;
  const { layout, record } = cluster;
  // Before the first start there is nothing that a new key could lock out.
  const isInUse = existsSync(layout.store);
  try {
    const signingKey = known?.pki.serviceAccountKey;
    const hadSigningKey = existsSync(join(layout.pki, "sa.key"));
    const pki = await ensurePki(layout.pki, { serverAddresses: serverAddresses(cluster), isInUse, signingKey, clock });
    if (isInUse && !hadSigningKey) logger.warn(signingKey ? signingKeyWrittenBack : signingKeyReplaced);
    const encryption = await loadEncryptionKeys(join(layout.pki, "encryption.json"), { isInUse });
    const admin = await ensureClientCertificate(layout.pki, "admin", pki.ca, {
      commonName: "kubernetes-admin",
      organizations: ["system:masters"],
      clock,
    });
    await ensureNodeKeys(join(layout.pki, "nodes"), pki.ca, { nodes, clock });
    await ensureClientCertificate(layout.pki, "eventing", pki.ca, {
      commonName: "nodeless:eventing",
      organizations: [eventingGroup],
      clock,
    });
    const addresses = [`${eventApiService}.${eventingNamespace}.svc`];
    await ensureServerCertificate(layout.pki, "eventing-server", pki.ca, {
      commonName: "nodeless:eventing",
      addresses,
      clock,
    });
    return { pki, admin, encryption };
  } catch (cause) {
    if (!(cause instanceof PkiUnusable || cause instanceof EncryptionKeysLost)) throw cause;
    const [command, what] =
      cause instanceof PkiUnusable ? ["delete", "begin anew"] : ["reset", "empty the cluster and begin anew"];
    throw new Error(
      `${cause.message}. Restore what is missing from a copy, or ${what} with 'nodeless ${command} --name ${record.name}'`,
      { cause },
    );
  }
}

async function ensureNodeKeys(
  folder: string,
  ca: KeyPair,
  { nodes, clock }: Pick<ClusterKeysOptions, "nodes" | "clock">,
): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const { name, address } of nodes) {
    const asNode = { commonName: `system:node:${name}`, organizations: ["system:nodes"], clock };
    await ensureClientCertificate(folder, name, ca, asNode);
    await ensureClientCertificate(folder, `${name}-network`, ca, {
      commonName: "system:kube-proxy",
      organizations: [networkGroup],
      clock,
    });
    await ensureServerCertificate(folder, `${name}-server`, ca, { ...asNode, addresses: [address, name, "127.0.0.1"] });
  }
}

/** Under which names and addresses the API server is reached. */
function serverAddresses({ record }: Cluster): string[] {
  const plan = addressPlan(record);
  const inCluster = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
  ];
  const own = ["127.0.0.1", "localhost", plan.kubernetesService, plan.controlPlane, plan.nodePortLoopback];
  const exposed = record.isExposed ? [hostname(), ...machineAddresses()] : [];
  return [...new Set([...own, ...inCluster, ...exposed])];
}
