/**
 * Which cluster has an address slot. Clusters of one data root have slots of their own, but other data roots give out slots too: a claim in /run, from the making of a cluster to its
 * removal, keeps one from getting what another has, from taking the other's addresses, or taking them away. A reboot forgets claims; then whoever starts first has the slot. So do clusters
 * whose folder somebody removed, but not those whose file system is only not mounted: the claim says on which one the folder was.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { UserError } from "#cli/command.ts";
import type { ClusterRecord } from "./cluster-record.ts";
import { type ClusterLayout, controlPlaneSocket } from "./layout.ts";
import { askPeer, PeerSilent } from "./supervision.ts";

/** Where claims are, a file each. The same for all data roots. */
export const claimsFolder = "/run/nodeless-slots";

/** Of a cluster, what has to do with claims. */
export type Claimant = { readonly record: Pick<ClusterRecord, "name" | "slot">; readonly layout: ClusterLayout };

/** What a claim says: whose it is, where its control plane listens, and the number of the file system that its folder is on. */
export type Claim = {
  readonly cluster: string;
  readonly folder: string;
  readonly socket: string;
  readonly device?: number;
};

/** Claims the cluster's slot. Throws UserError when another cluster that runs has it. */
export async function claimSlot({ record, layout }: Claimant, claims: string = claimsFolder): Promise<void> {
  const other = readClaim(record.slot, claims);
  if (other && other.folder !== layout.folder && (await isAlive(other))) {
    const message = `the addresses of cluster "${record.name}" are in use by cluster "${other.cluster}" with its data in ${other.folder}`;
    throw new UserError(`${message}: take that one down first, or delete this one and make it anew`);
  }
  mkdirSync(claims, { recursive: true, mode: 0o755 });
  const { folder } = layout;
  const claim: Claim = { cluster: record.name, folder, socket: controlPlaneSocket(layout), device: deviceOf(folder) };
  writeFileSync(join(claims, String(record.slot)), JSON.stringify(claim));
}

/** Slots of clusters, whatever their data root, that exist or may be found to exist. */
export function claimedSlots(claims: string = claimsFolder): number[] {
  return listClaims(claims).map(({ slot }) => slot);
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
export function findClaim(folder: string, claims: string = claimsFolder): number | undefined {
  return listClaims(claims).find(({ claim }) => claim.folder === folder)?.slot;
}

/** True when no other cluster has claimed the slot since: what is set up in it is this cluster's. */
export function ownsSlot({ record, layout }: Claimant, claims: string = claimsFolder): boolean {
  const claim = readClaim(record.slot, claims);
  return claim === undefined || claim.folder === layout.folder;
}

/** Gives the slot back, if it is this cluster's. */
export function releaseSlot(cluster: Claimant, claims: string = claimsFolder): void {
  if (ownsSlot(cluster, claims)) rmSync(join(claims, String(cluster.record.slot)), { force: true });
}

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
