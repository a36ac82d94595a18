/**
 * cluster.json: what a cluster is on this machine, from its first start on. Carries a format version; older ones are migrated step by step, newer ones refused.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { dirname, join, resolve } from "node:path";
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
  /** It was made without root and lives on loopback addresses. Absent: false. */
  readonly isRootless?: boolean;
  /** Whether Knative Serving runs. Absent in records from before there was any. */
  readonly hasServing?: boolean;
  /** Whether Knative Eventing runs. Absent in records from before there was any: it runs where Serving does. */
  readonly hasEventing?: boolean;
  /** Version of nodeless that made it, and when (RFC 3339). */
  readonly createdBy: string;
  readonly createdAt: string;
};

/** Whether Knative Eventing runs in the cluster. */
export function hasEventing(record: ClusterRecord): boolean {
  return record.hasEventing ?? record.hasServing ?? false;
}

/** Format that this version writes. */
export const currentFormat = 1;

const machineDataRoot = "/var/lib/nodeless";

/** How to make format N+1 of format N; key N. Empty until there is a second format. */
const migrations: Readonly<Record<number, (old: Record<string, unknown>) => Record<string, unknown>>> = {};

/** Where the clusters of this machine live unless told otherwise. Root's is the machine's; others have their own. */
export function defaultDataRoot(environment: NodeJS.ProcessEnv, isRoot: boolean): string {
  const given = environment["NODELESS_DATA_ROOT"];
  if (given !== undefined && given !== "") return resolve(given);
  if (isRoot) return machineDataRoot;
  return join(environment["XDG_DATA_HOME"] ?? join(environment["HOME"] ?? "/tmp", ".local/share"), "nodeless");
}

/** Where sockets and pins are. Another data root has another one, so that clusters of the same name do not meet. Short: a socket's path has 107 characters at most. */
export function defaultRunRoot(environment: NodeJS.ProcessEnv, dataRoot: string, isRoot: boolean): string {
  const given = environment["NODELESS_RUN_ROOT"];
  if (given !== undefined && given !== "") return given;
  if (!isRoot) return join(dataRoot, "run");
  if (dataRoot === machineDataRoot) return "/run/nodeless";
  return `/run/nodeless-${createHash("sha256").update(dataRoot).digest("hex").slice(0, 8)}`;
}

/** A record that says nothing any more. `delete` can do without it. */
export class DamagedRecord extends UserError {
  constructor(path: string, name: string, why: string, cause?: unknown) {
    super(
      `${path} is damaged (${why}). Restore it from a copy, or remove the cluster with 'nodeless delete --name ${name}'`,
      { cause },
    );
  }
}

/**
 * The record of the cluster `name` in this folder, or undefined when there is none. Throws {@link DamagedRecord}, and UserError for one of a newer version; never starts a new
 * one over it.
 */
export function readClusterRecord(folder: string, name: string): ClusterRecord | undefined {
  const path = join(folder, "cluster.json");
  if (!existsSync(path)) {
    if (!["pki", "store"].some((part) => existsSync(join(folder, part)))) return undefined;
    throw new DamagedRecord(path, name, "it is missing, and data of a cluster is beside it");
  }
  const given = parseRecord(path, name);
  const format = given["formatVersion"];
  if (typeof format !== "number") throw new DamagedRecord(path, name, "it has no format version");
  if (format > currentFormat) {
    throw new UserError(
      `${path} has format ${format}, written by a newer nodeless; this one knows up to ${currentFormat}. Use the newer version`,
    );
  }
  let record = given;
  for (let version = format; version < currentFormat; version++) record = migrations[version]?.(record) ?? record;
  const wrong = Object.entries(fieldChecks).find(([field, isRight]) => !isRight(record[field]));
  if (wrong) throw new DamagedRecord(path, name, `${wrong[0]} is ${JSON.stringify(record[wrong[0]]) ?? "missing"}`);
  if (record["name"] !== name) throw new DamagedRecord(path, name, `it is of a cluster "${String(record["name"])}"`);
  return record as unknown as ClusterRecord;
}

function parseRecord(path: string, name: string): Readonly<Record<string, unknown>> {
  try {
    const parsed = JSON.parse(readFileSync(path, "utf8")) as unknown;
    if (typeof parsed === "object" && parsed !== null) return parsed as Record<string, unknown>;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new DamagedRecord(path, name, cause.message, cause);
  }
  throw new DamagedRecord(path, name, "it holds no object");
}

const isText = (value: unknown): boolean => typeof value === "string" && value !== "";
const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) > 0;
const fieldChecks: Readonly<
  Record<keyof Required<Omit<ClusterRecord, "createdBy" | "createdAt">>, (value: unknown) => boolean>
> = {
  formatVersion: isCount,
  name: isText,
  slot: isCount,
  nodes: isCount,
  apiPort: isCount,
  kubeconfig: isText,
  isExposed: (value) => typeof value === "boolean",
  hasServing: (value) => value === undefined || typeof value === "boolean",
  hasEventing: (value) => value === undefined || typeof value === "boolean",
  isRootless: (value) => value === undefined || typeof value === "boolean",
};

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
  if (known !== undefined && readClusterRecord(known, name)) {
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
