/**
 * What a cluster's tables and control groups are called in the kernel. By its slot, which no other cluster of this machine has: names of clusters are unique in their data root only.
 * Clusters of before were named by name (nodeless-NAME); what is left of those names is found and removed. No new name is like an old one: names of clusters have no underscore.
 */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { applyNft, deleteTable } from "#linux/nft.ts";
import type { ClusterRecord } from "./cluster-record.ts";

type Named = Pick<ClusterRecord, "name" | "slot">;

/** Control group of everything that a cluster runs. */
export function clusterCgroup({ slot }: Named): string {
  return `/nodeless_${slot}`;
}

/** nftables table of the service proxy, one in each network namespace. */
export function serviceTableName({ slot }: Named): string {
  return `nodeless_${slot}`;
}

/** nftables table of the machine itself, where nodes have networks of their own. */
export function machineTableName({ slot }: Named): string {
  return `nodeless_${slot}_machine`;
}

/** The control group of before. */
export function formerCgroup({ name }: Named): string {
  return `/nodeless-${name}`;
}

/** Deletes the tables of this slot, by their names of now and of before. */
export async function deleteTables(named: Named): Promise<void> {
  for (const table of [serviceTableName(named), machineTableName(named)]) await deleteTable("ip", table);
  await deleteFormerTables(named);
}

/** Deletes tables with names of before, unless they are of another data root's cluster of the same name: then they speak of other addresses. */
export async function deleteFormerTables({ name, slot }: Named): Promise<void> {
  const ours = new RegExp(`\\b10\\.(${40 + 2 * slot}|${41 + 2 * slot})\\.`);
  const there = (await list("tables", "ip")).split("\n");
  for (const table of [`nodeless-${name}`, `nodeless-${name}-machine`]) {
    if (!there.includes(`table ip ${table}`)) continue;
    if (ours.test(await list("table", "ip", table))) await applyNft(`delete table ip ${table}\n`);
  }
}

/** What `nft list …` prints; nothing when it fails. */
async function list(...what: readonly string[]): Promise<string> {
  const child = spawn("nft", ["list", ...what], { stdio: ["ignore", "pipe", "ignore"] });
  child.on("error", () => {}); // without nft there are no tables
  return await text(child.stdout);
}
