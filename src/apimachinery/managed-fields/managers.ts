/**
 * The managers of an object: managedFields' entries, read and written. An entry is known by manager, operation, subresource and, for updates, version.
 */
import { findTimeMs } from "#apimachinery/time.ts";
import type { Json, ManagedFieldsEntry } from "#apimachinery/meta.ts";
import { emptySet, type FieldSet, isEmptySet, leaf, sortedSet, union } from "./field-set.ts";

/** One manager and what it owns. */
export type Manager = {
  readonly name: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly subresource: string;
  readonly set: FieldSet;
  /** True when the set's elements stand in upstream's order. */
  readonly isSorted?: boolean;
  readonly time: string | undefined;
};

/** Who acts: everything that tells one manager from another. */
export type ManagerIdentity = Pick<Manager, "name" | "operation" | "apiVersion" | "subresource">;

/** All managers of an object by {@link managerKey}. */
export type Managers = ReadonlyMap<string, Manager>;

/** Most managers with operation Update; older ones are joined to "ancient-changes". As upstream. */
export const maxUpdateManagers = 10;

/** Managed fields that cannot be read. */
export class ManagedFieldsError extends Error {
  readonly kind = "ManagedFieldsError";
}

/** Name of a write's manager: the fieldManager option, else the user agent up to its first slash, printable characters only, 128 bytes at most. */
export function managerName(option: string, userAgent: string): string {
  if (option !== "") return option;
  const [agent = ""] = userAgent.split("/", 1);
  // As nearly all are: each write asks for it.
  if (/^[ -~]{0,128}$/.test(agent)) return agent;
  let name = "";
  for (const char of agent) {
    if (/[\p{C}\p{Z}]/u.test(char) && char !== " ") continue;
    if (Buffer.byteLength(name + char) > 128) break;
    name += char;
  }
  return name;
}

/** The manager's key among an object's managers. */
export function managerKey(manager: ManagerIdentity): string {
  const version = manager.operation === "Apply" ? "" : manager.apiVersion;
  return `${manager.name}\n${manager.operation}\n${version}\n${manager.subresource}`;
}

/** Reads the entries. Throws {@link ManagedFieldsError} with upstream's text. */
export function decodeManagers(entries: readonly ManagedFieldsEntry[] | undefined): Managers {
  const managers = new Map<string, Manager>();
  entries?.forEach((entry, index) => {
    const manager = decodeEntry(entry, index);
    managers.set(managerKey(manager), manager);
  });
  return managers;
}

/** Writes the entries in upstream's order: by operation, time, name. Undefined when there are none. `before` lends entries that did not change. */
export function encodeManagers(
  managers: Managers,
  before: readonly ManagedFieldsEntry[] = [],
): readonly ManagedFieldsEntry[] | undefined {
  if (managers.size === 0) return undefined;
  return [...managers.values()].sort(compareManagers).map((manager) => encodeManager(manager, before));
}

/** Joins the oldest updaters of each version into "ancient-changes" until {@link maxUpdateManagers} are left. */
export function capUpdateManagers(managers: Managers): Managers {
  const updaters = [...managers.values()].filter((manager) => manager.operation === "Update");
  if (updaters.length <= maxUpdateManagers) return managers;
  const capped = new Map(managers);
  const firstOfVersion = new Map<string, Manager>();
  let count = updaters.length;
  for (const manager of updaters.sort(compareAges)) {
    if (count <= maxUpdateManagers) break;
    const first = firstOfVersion.get(manager.apiVersion);
    if (first === undefined) {
      firstOfVersion.set(manager.apiVersion, manager);
      continue;
    }
    joinAncient(capped, first, manager);
    count -= 1;
  }
  return capped;
}

function joinAncient(managers: Map<string, Manager>, first: Manager, manager: Manager): void {
  const { apiVersion, time } = manager;
  const identity = { name: "ancient-changes", operation: "Update", apiVersion, subresource: "" } as const;
  const key = managerKey(identity);
  const bucket = managers.get(key) ?? first;
  managers.delete(managerKey(first));
  managers.delete(managerKey(manager));
  managers.set(key, { ...identity, set: union(bucket.set, manager.set), time });
}

function decodeEntry(entry: ManagedFieldsEntry, index: number): Manager {
  if (entry.operation !== "Apply" && entry.operation !== "Update") {
    throw new ManagedFieldsError("operation must be `Apply` or `Update`");
  }
  if (!entry.apiVersion) throw new ManagedFieldsError("apiVersion must not be empty");
  if (!entry.fieldsType) throw new ManagedFieldsError(`missing fieldsType in managed fields entry ${index}`);
  if (entry.fieldsType !== "FieldsV1") {
    throw new ManagedFieldsError(
      `invalid fieldsType ${JSON.stringify(entry.fieldsType)} in managed fields entry ${index}`,
    );
  }
  return {
    name: entry.manager ?? "",
    operation: entry.operation,
    apiVersion: entry.apiVersion,
    subresource: entry.subresource ?? "",
    set: decodeSet(entry.fieldsV1 ?? emptySet, index),
    time: entry.time,
  };
}

/** The stored form is the set itself. Only its outermost level is looked at here; deeper levels are looked at when they are walked. */
function decodeSet(fields: Json | FieldSet, index: number): FieldSet {
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
    throw new ManagedFieldsError(`fieldsV1 of managed fields entry ${index} is no object`);
  }
  return fields as FieldSet;
}

function encodeManager(manager: Manager, before: readonly ManagedFieldsEntry[]): ManagedFieldsEntry {
  const same = before.find((entry) => entry.fieldsV1 === manager.set && isSameEntry(entry, manager));
  if (same !== undefined) return same;
  return {
    ...(manager.name === "" ? {} : { manager: manager.name }),
    operation: manager.operation,
    apiVersion: manager.apiVersion,
    ...(manager.time === undefined ? {} : { time: manager.time }),
    fieldsType: "FieldsV1",
    fieldsV1: isEmptySet(manager.set) ? leaf : manager.isSorted === true ? manager.set : sortedSet(manager.set),
    ...(manager.subresource === "" ? {} : { subresource: manager.subresource }),
  };
}

function isSameEntry(entry: ManagedFieldsEntry, manager: Manager): boolean {
  return (
    entry.operation === manager.operation &&
    entry.time === manager.time &&
    entry.apiVersion === manager.apiVersion &&
    (entry.manager ?? "") === manager.name &&
    (entry.subresource ?? "") === manager.subresource
  );
}

function compareManagers(a: Manager, b: Manager): number {
  return (
    compareTexts(a.operation, b.operation) ||
    seconds(a) - seconds(b) ||
    compareTexts(a.name, b.name) ||
    compareTexts(a.apiVersion, b.apiVersion) ||
    compareTexts(a.subresource, b.subresource)
  );
}

function compareAges(a: Manager, b: Manager): number {
  return seconds(a) - seconds(b) || compareTexts(a.name, b.name) || compareTexts(managerKey(a), managerKey(b));
}

function seconds(manager: Manager): number {
  const ms = manager.time === undefined ? 0 : findTimeMs(manager.time);
  return Math.floor((ms ?? 0) / 1000);
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
