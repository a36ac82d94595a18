/**
 * Which cluster has an address slot. Clusters of one data root have slots of their own, but other data roots give out slots too: a claim in /run, from the making of a cluster to its
 * removal, keeps one from getting what another has, from taking the other's addresses, or taking them away. A reboot forgets claims; then whoever starts first has the slot. So do clusters
 * whose folder somebody removed, but not those whose file system is only not mounted: the claim says on which one the folder was.
 *
 * Who is not root claims in /tmp, where nobody can take another's claim away. His addresses are others than root's, but node ports answer at the same ones: so nobody takes a slot that is
 * claimed in either place.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { UserError } from "#cli/command.ts";
import { nodeAddresses } from "./address-plan.ts";
import type { ClusterRecord } from "./cluster-record.ts";
import { type ClusterLayout, controlPlaneSocket } from "./layout.ts";
import { isPortFree } from "./ports.ts";
import { askPeer, PeerSilent } from "./supervision.ts";

/** Where root's claims are, a file each. The same for all data roots. */
export const claimsFolder = "/run/nodeless-slots";
/** Where those of everybody else are. */
export const userClaimsFolder = "/tmp/nodeless-slots";

/** Of a cluster, what has to do with claims. */
export type Claimant = {
  readonly record: Pick<ClusterRecord, "name" | "slot" | "isRootless">;
  readonly layout: ClusterLayout;
};

/** What a claim says: whose it is, where its control plane listens, and the number of the file system that its folder is on. */
export type Claim = {
  readonly cluster: string;
  readonly folder: string;
  readonly socket: string;
  readonly device?: number;
};

function folderOf({ record }: Claimant): string {
  return record.isRootless === true ? userClaimsFolder : claimsFolder;
}

/** Claims the cluster's slot. Throws UserError when another cluster that runs has it. */
export async function claimSlot(claimant: Claimant, claims: string = folderOf(claimant)): Promise<void> {
  const { record, layout } = claimant;
  if (isForeign(record.slot, claims)) return await refuseUsed(claimant); // nobody can write there but its owner
  const other = readClaim(record.slot, claims);
  if (other && other.folder !== layout.folder && (await isAlive(other))) {
    const message = `the addresses of cluster "${record.name}" are in use by cluster "${other.cluster}" with its data in ${other.folder}`;
    throw new UserError(`${message}: take that one down first, or delete this one and make it anew`);
  }
  makeFolder(claims, record.isRootless === true);
  const { folder } = layout;
  const claim: Claim = { cluster: record.name, folder, socket: controlPlaneSocket(layout), device: deviceOf(folder) };
  writeFileSync(join(claims, String(record.slot)), JSON.stringify(claim));
}

/** Slots of clusters, whatever their data root, that exist or may be found to exist. */
export function claimedSlots(folders: readonly string[] = [claimsFolder, userClaimsFolder]): number[] {
  const counts = (claims: string, slot: number, claim: Claim) =>
    claims !== userClaimsFolder || isForeign(slot, claims) || !isRemoved(claim);
  return folders.flatMap((claims) =>
    listClaims(claims)
      .filter(({ slot, claim }) => counts(claims, slot, claim))
      .map(({ slot }) => slot),
  );
}

/** Claims of clusters whose folder was removed and whose control plane does not run. Where no file system is mounted that was there before, a folder may come back. */
export async function abandonedClaims(
  claims: string = claimsFolder,
): Promise<readonly { readonly slot: number; readonly claim: Claim }[]> {
  const gone = listClaims(claims).filter(({ claim }) => isRemoved(claim));
  const alive = await Promise.all(gone.map(({ claim }) => isAlive(claim)));
  return gone.filter((_, index) => !alive[index]);
}

function isRemoved({ folder, device }: Claim): boolean {
  if (existsSync(join(folder, "cluster.json"))) return false;
  return device === undefined || deviceOf(folder) === device;
}

/** Of the file system that the folder is on, or would be. */
function deviceOf(folder: string): number {
  const stats = statSync(folder, { throwIfNoEntry: false });
  return stats === undefined ? deviceOf(dirname(folder)) : stats.dev;
}

/** Whether a slot has been claimed by another user, whose cluster we cannot look at. */
function isForeign(slot: number, claims: string): boolean {
  const uid = process.getuid?.() ?? 0;
  const owner = statSync(join(claims, String(slot)), { throwIfNoEntry: false })?.uid;
  return uid !== 0 && owner !== undefined && owner !== uid;
}

/** Another user's claim may have outlived his cluster: its node's address says. */
async function refuseUsed({ record }: Claimant): Promise<void> {
  const { address } = nodeAddresses(record, 0);
  if (await isPortFree(kubeletPort, address)) return;
  const message = `the addresses of cluster "${record.name}" are in use by a cluster of another user`;
  throw new UserError(`${message}: delete this one and make it anew`);
}

function makeFolder(path: string, isForAll: boolean): void {
  if (existsSync(path)) return;
  mkdirSync(path, { recursive: true, mode: 0o755 });
  // As /tmp itself: everybody adds to it, and takes away what is his.
  if (isForAll) chmodSync(path, 0o1777);
}

function listClaims(claims: string): { readonly slot: number; readonly claim: Claim }[] {
  if (!existsSync(claims)) return [];
  const slots = readdirSync(claims)
    .map(Number)
    .filter((slot) => slot > 0);
  return slots.flatMap((slot) => {
    const claim = readClaim(slot, claims);
    return claim === undefined ? [] : [{ slot, claim }];
  });
}

/** The slot that the cluster in this folder has claimed, for when its own record cannot be read. */
export function findClaim(
  folder: string,
  folders: readonly string[] = [claimsFolder, userClaimsFolder],
): Pick<ClusterRecord, "slot" | "isRootless"> | undefined {
  for (const claims of folders) {
    const found = listClaims(claims).find(({ claim }) => claim.folder === folder);
    if (found) return { slot: found.slot, isRootless: claims === userClaimsFolder };
  }
  return undefined;
}

/** True when no other cluster has claimed the slot since: what is set up in it is this cluster's. */
export function ownsSlot(claimant: Claimant, claims: string = folderOf(claimant)): boolean {
  const { record, layout } = claimant;
  const claim = readClaim(record.slot, claims);
  return claim === undefined || claim.folder === layout.folder;
}

/** Gives the slot back, if it is this cluster's. */
export function releaseSlot(cluster: Claimant, claims: string = folderOf(cluster)): void {
  if (ownsSlot(cluster, claims) && !isForeign(cluster.record.slot, claims))
    rmSync(join(claims, String(cluster.record.slot)), { force: true });
}

/** Where a node's own API listens. */
export const kubeletPort = 10_250;

async function isAlive({ socket }: Claim): Promise<boolean> {
  try {
    return (await askPeer(socket)) !== undefined;
  } catch (error) {
    if (error instanceof PeerSilent) return true;
    throw error;
  }
}

function readClaim(slot: number, claims: string): Claim | undefined {
  try {
    return JSON.parse(readFileSync(join(claims, String(slot)), "utf8")) as Claim;
  } catch {
    return undefined; // nobody claimed it
  }
}
