/**
 * Which cluster uses an address slot just now. Clusters of one data root have slots of their own, but another data root may have given out the same: a claim in /run keeps one from
 * taking the other's addresses, or taking them away.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "#cli/command.ts";
import type { Cluster } from "./clusters.ts";
import { controlPlaneSocket } from "./layout.ts";
import { askPeer } from "./supervision.ts";

const folder = "/run/nodeless-slots";

type Claim = { readonly cluster: string; readonly folder: string; readonly socket: string };

/** Claims the cluster's slot. Throws UserError when another cluster that runs has it. */
export async function claimSlot({ record, layout }: Cluster): Promise<void> {
  const other = readClaim(record.slot);
  if (other && other.folder !== layout.folder && (await askPeer(other.socket))) {
    const message = `the addresses of cluster "${record.name}" are in use by cluster "${other.cluster}" with its data in ${other.folder}`;
    throw new UserError(`${message}: take that one down first, or delete this one and make it anew`);
  }
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const claim: Claim = { cluster: record.name, folder: layout.folder, socket: controlPlaneSocket(layout) };
  writeFileSync(join(folder, String(record.slot)), JSON.stringify(claim));
}

/** True when no other cluster has claimed the slot since: what is set up in it is this cluster's. */
export function ownsSlot({ record, layout }: Cluster): boolean {
  const claim = readClaim(record.slot);
  return claim === undefined || claim.folder === layout.folder;
}

/** Gives the slot back, if it is this cluster's. */
export function releaseSlot(cluster: Cluster): void {
  if (ownsSlot(cluster)) rmSync(join(folder, String(cluster.record.slot)), { force: true });
}

function readClaim(slot: number): Claim | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, String(slot)), "utf8")) as Claim;
  } catch {
    return undefined; // nobody claimed it
  }
}
