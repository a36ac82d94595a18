/**
 * What `delete` works on: a cluster, or what can be found out about one whose record is damaged or gone, enough to remove all of it. And the same of clusters of which there is nothing left
 * but a claim.
 */
import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isMissing } from "#component-base/missing-file.ts";
import { defaultKubeconfigPath } from "#cli/kubeconfig.ts";
import { addressPlan, maxSlots } from "./address-plan.ts";
import { type ClusterRecord, currentFormat, DamagedRecord, findClusterFolders } from "./cluster-record.ts";
import { type Cluster, getCluster, type MachineContext } from "./clusters.ts";
import { type ClusterLayout, clusterLayout } from "./layout.ts";
import { type Claim, findClaim } from "./slot-claim.ts";

/** The cluster. Throws UserError when there is none, or it is of a newer version. */
export function getRemovable(context: MachineContext, name: string): Cluster {
  try {
    return getCluster(context, name);
  } catch (error) {
    const folder = findClusterFolders(context.dataRoot).get(name) ?? join(context.dataRoot, "clusters", name);
    const layout = clusterLayout(name, folder, context.dataRoot, context.runRoot);
    // A folder that somebody removed while the cluster was up leaves its processes and what they made.
    const isOrphaned = existsSync(layout.run) && !existsSync(join(folder, "cluster.json"));
    if (!(error instanceof DamagedRecord) && !isOrphaned) throw error;
    return { record: guessRecord(context, layout), layout };
  }
}

/** A cluster whose folder was removed, by its claim. */
export function getAbandoned(context: MachineContext, { cluster, folder, socket }: Claim): Cluster {
  const layout = clusterLayout(cluster, folder, context.dataRoot, dirname(dirname(socket)));
  return { record: guessRecord(context, layout), layout };
}

function guessRecord(
  { environment, isRoot }: MachineContext,
  { name, folder, pki, run }: ClusterLayout,
): ClusterRecord {
  const certificates = list(join(pki, "nodes")).filter((file) => file.endsWith("-server.crt"));
  return {
    formatVersion: currentFormat,
    name,
    ...(findClaim(folder) ?? placeOfCertificate(join(pki, "apiserver.crt")) ?? { slot: noSlot, isRootless: !isRoot }),
    nodes: Math.max(1, certificates.length, list(join(run, "nodes")).length),
    apiPort: 0,
    kubeconfig: defaultKubeconfigPath(environment),
    isExposed: false,
    createdBy: "",
    createdAt: "",
  };
}

/** One that is never given out: nothing of it is on the machine. */
const noSlot = 0;

/** The API server's certificate names the control plane's address. */
function placeOfCertificate(path: string): Pick<ClusterRecord, "slot" | "isRootless"> | undefined {
  try {
    const certificate = new X509Certificate(readFileSync(path));
    const slots = Array.from({ length: maxSlots }, (_, index) => index + 1);
    const places = slots.flatMap((slot) => [{ slot }, { slot, isRootless: true }]);
    return places.find((place) => certificate.checkIP(addressPlan(place).controlPlane) !== undefined);
  } catch {
    return undefined; // that one is damaged too
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
