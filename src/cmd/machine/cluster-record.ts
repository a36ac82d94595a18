/**
 * cluster.json: what a cluster is on this machine, from its first start on. Carries a format version; older ones are migrated step by step, newer ones refused.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { UserError } from "#cli/command.ts";

/** Settings that outlive restarts. */
export type ClusterRecord = {
  readonly formatVersion: typeof currentFormat;
  readonly name: string;
  /** Which cluster of this machine it is, from 1: decides its address ranges. */
  readonly slot: number;
  readonly nodes: number;
  readonly apiPort: number;
  readonly kubeconfig: string;
  readonly isExposed: boolean;
  /** Version of nodeless that made it, and when (RFC 3339). */
  readonly createdBy: string;
  readonly createdAt: string;
};

/** Format that this version writes. */
export const currentFormat = 1;

/** How to make format N+1 of format N; key N. Empty until there is a second format. */
const migrations: Readonly<Record<number, (old: Record<string, unknown>) => Record<string, unknown>>> = {};

/** Where the clusters of this machine live unless told otherwise. Root's is the machine's; others have their own. */
export function defaultDataRoot(environment: NodeJS.ProcessEnv, isRoot: boolean): string {
  const given = environment["NODELESS_DATA_ROOT"];
  if (given !== undefined && given !== "") return given;
  if (isRoot) return "/var/lib/nodeless";
  return join(environment["XDG_DATA_HOME"] ?? join(environment["HOME"] ?? "/tmp", ".local/share"), "nodeless");
}

/** The record of the cluster in this folder, or undefined when there is none. Throws UserError for one that cannot be used; never starts a new one over it. */
export function readClusterRecord(folder: string): ClusterRecord | undefined {
  const path = join(folder, "cluster.json");
  if (!existsSync(path)) return undefined;
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  } catch (cause) {
    throw new UserError(
      `${path} is damaged (${(cause as Error).message}). Restore it from a copy, or remove the cluster with its folder`,
      { cause },
    );
  }
  return migrate(record, path);
}

function migrate(given: Record<string, unknown>, path: string): ClusterRecord {
  let record = given;
  const format = record["formatVersion"];
  if (typeof format !== "number" || typeof record["name"] !== "string") {
    throw new UserError(`${path} is damaged: it names no cluster or format version`);
  }
  if (format > currentFormat) {
    throw new UserError(
      `${path} has format ${format}, written by a newer nodeless; this one knows up to ${currentFormat}. Use the newer version`,
    );
  }
  for (let version = format; version < currentFormat; version++) record = migrations[version]?.(record) ?? record;
  return record as unknown as ClusterRecord;
}

/** Writes the record atomically and durably enough: a crash leaves the old or the new one. */
export function writeClusterRecord(folder: string, record: ClusterRecord): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, "cluster.json");
  writeFileSync(`${path}.tmp`, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(`${path}.tmp`, path);
}

/** Where each cluster's folder is: NAME → folder. Folders outside the root (--data-dir) are found through a link file. */
export function findClusterFolders(dataRoot: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const clusters = join(dataRoot, "clusters");
  if (!existsSync(clusters)) return found;
  for (const name of readdirSync(clusters).sort()) {
    const link = join(clusters, name, "location");
    found.set(name, existsSync(link) ? readFileSync(link, "utf8").trim() : join(clusters, name));
  }
  return found;
}

/** The folder of a cluster; `wanted` (--data-dir) counts for a new one and must agree for an old one. Remembers a folder outside the root. */
export function clusterFolder(dataRoot: string, name: string, wanted: string | undefined): string {
  const known = findClusterFolders(dataRoot).get(name);
  if (known !== undefined && (wanted === undefined || wanted === known)) return known;
  if (known !== undefined && readClusterRecord(known)) {
    throw new UserError(
      `cluster "${name}" has its data in ${known}, not in ${wanted}. Delete it first, or leave --data-dir out`,
    );
  }
  const home = join(dataRoot, "clusters", name);
  if (wanted === undefined || wanted === home) return home;
  const link = join(home, "location");
  mkdirSync(dirname(link), { recursive: true });
  writeFileSync(link, `${wanted}\n`);
  return wanted;
}
