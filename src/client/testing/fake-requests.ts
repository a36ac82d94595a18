/**
 * What the API in memory understands of paths, selectors and patches.
 */
import { notFound } from "#apimachinery/status-error.ts";

/** What a request is about. `collection` is "pods" or "deployments.apps"; `key` is where the object stands. */
export type Target = {
  readonly group: string;
  readonly apiVersion: string;
  readonly resource: string;
  readonly collection: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  readonly key: string;
};

/** Reads a resource path. Throws NotFound for others. */
export function parsePath(path: string): Target {
  const parts = path
    .split("/")
    .filter((part) => part !== "")
    .map(decodeURIComponent);
  const isCore = parts[0] === "api";
  if (!isCore && parts[0] !== "apis") throw notFound({ group: "", resource: "path", name: path });
  const group = isCore ? "" : parts[1]!;
  const version = isCore ? parts[1]! : parts[2]!;
  let rest = parts.slice(isCore ? 2 : 3);
  let namespace = "";
  if (rest[0] === "namespaces" && rest.length > 2 && !["status", "finalize"].includes(rest[2]!)) {
    namespace = rest[1]!;
    rest = rest.slice(2);
  }
  const [resource = "", name = "", subresource = ""] = rest;
  const collection = group === "" ? resource : `${resource}.${group}`;
  const apiVersion = group === "" ? version : `${group}/${version}`;
  return {
    group,
    apiVersion,
    resource,
    collection,
    namespace,
    name,
    subresource,
    key: `${collection}|${namespace}/${name}`,
  };
}

/** Whether an object matches labelSelector and fieldSelector of a query. */
export function matchesSelectors(
  object: unknown,
  query: Readonly<Record<string, string | readonly string[]>>,
): boolean {
  const labels = at(object, "metadata.labels") as Record<string, string> | undefined;
  const fields = String(query["fieldSelector"] ?? "");
  const isFieldMatch = fields.split(",").every((term) => term === "" || matchesTerm(term, (path) => at(object, path)));
  const isLabelMatch = splitTerms(String(query["labelSelector"] ?? "")).every((term) =>
    matchesTerm(term, (key) => labels?.[key]),
  );
  return isFieldMatch && isLabelMatch;
}

function splitTerms(selector: string): readonly string[] {
  return selector === "" ? [] : selector.split(/,(?![^(]*\))/);
}

function matchesTerm(term: string, valueOf: (key: string) => unknown): boolean {
  const set = /^\s*(\S+)\s+(in|notin)\s+\(([^)]*)\)\s*$/.exec(term);
  if (set !== null) {
    const isIn = set[3]!
      .split(",")
      .map((one) => one.trim())
      .includes(String(valueOf(set[1]!) ?? ""));
    return set[2] === "in" ? isIn : !isIn;
  }
  const equality = /^\s*([^!=\s]+)\s*(==|=|!=)\s*(.*)$/.exec(term);
  if (equality !== null) return (String(valueOf(equality[1]!) ?? "") === equality[3]) === (equality[2] !== "!=");
  const key = term.trim();
  return key.startsWith("!") ? valueOf(key.slice(1)) === undefined : valueOf(key) !== undefined;
}

function at(object: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], object);
}

/** RFC 7396; strategic patches merge lists of conditions, finalizers and owners by their keys, as far as controllers use that. */
export function applyMergePatch(target: unknown, patch: unknown, isStrategic: boolean, field = ""): unknown {
  if (isStrategic && Array.isArray(patch)) {
    const items = patch.filter((item) => (item as { $patch?: string } | null)?.$patch !== "replace");
    if (items.length < patch.length) return items;
    if (Array.isArray(target)) return mergeLists(target, patch, field);
  }
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const base = typeof target === "object" && target !== null && !Array.isArray(target) ? target : {};
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = applyMergePatch(result[key], value, isStrategic, key);
  }
  return result;
}

const mergeKeys: Readonly<Record<string, string>> = { conditions: "type", ownerReferences: "uid", containers: "name" };

function mergeLists(target: readonly unknown[], patch: readonly unknown[], field: string): unknown {
  const key = mergeKeys[field];
  if (field === "finalizers") return [...new Set([...target, ...patch])];
  if (key === undefined) return patch;
  const result = [...target];
  for (const item of patch as readonly Record<string, unknown>[]) {
    const index = result.findIndex((one) => (one as Record<string, unknown>)[key] === item[key]);
    if (item["$patch"] === "delete") {
      if (index >= 0) result.splice(index, 1);
    } else if (index < 0) result.push(item);
    else result[index] = applyMergePatch(result[index], item, true);
  }
  return result;
}
