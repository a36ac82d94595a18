/**
 * What other servers have, merged into /openapi/v2 as kube-aggregator does it: of each only the paths of its group and version and the definitions that these need; what is defined here already is
 * used from here, and what is defined otherwise gets a name of its own (`NAME_v2`). Shared parameters are written out where they are used.
 */
import { jsonEqual } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { Slices } from "#apiserver/negotiation/slices.ts";
import type { JsonObject } from "./definitions.ts";

/** The part of another server's document that is served here. Never changes. */
export type RemoteSpec = { readonly paths: JsonObject; readonly definitions: JsonObject };

const DEFINITION = "#/definitions/";
const PARAMETER = "#/parameters/";
const MAX_DEPTH = 500;
const KINDS = "x-kubernetes-group-version-kind";

/** What stands below a path in another server's document, and the definitions that were not only there for the rest. Throws when it is no OpenAPI v2. */
export function specBelow(document: unknown, prefix: string): RemoteSpec {
  const { swagger, paths, definitions = {}, parameters = {} } = objectOf(document);
  if (swagger !== "2.0") throw new Error("the document is no OpenAPI v2");
  const kept: Record<string, unknown> = {};
  for (const [path, item] of Object.entries(objectOf(paths ?? {})))
    if (path.startsWith(prefix)) kept[path] = withParameters(objectOf(item), objectOf(parameters));
  const all = objectOf(definitions);
  const usedBefore = usedBy(paths, all);
  const used = usedBy(kept, all);
  const needed = Object.entries(all).filter(([name]) => used.has(name) || !usedBefore.has(name));
  refuseDeep([kept, needed]);
  return { paths: kept, definitions: Object.fromEntries(needed) };
}

/** The own document with the others' paths and definitions, first come, first served. */
export async function mergeSpecs(own: JsonObject, others: readonly RemoteSpec[], slices: Slices): Promise<JsonObject> {
  const paths = { ...objectOf(own["paths"]) };
  const definitions = new Map(Object.entries(objectOf(own["definitions"])));
  for (const other of others) {
    const newPaths = Object.entries(other.paths).filter(([path]) => !Object.hasOwn(paths, path));
    if (newPaths.length === 0) continue;
    const renames = renamesFor(definitions, other.definitions);
    for (const [name, definition] of Object.entries(other.definitions)) {
      if (slices.isOver()) await slices.next();
      const as = renames.get(name) ?? name;
      const there = definitions.get(as);
      definitions.set(
        as,
        there === undefined ? renamed(definition, renames) : withKindsOf(objectOf(there), objectOf(definition)),
      );
    }
    for (const [path, item] of newPaths) paths[path] = renamed(item, renames);
  }
  return { ...own, paths, definitions: Object.fromEntries(definitions) };
}

/** New names for definitions that are others here. */
function renamesFor(here: ReadonlyMap<string, unknown>, there: JsonObject): ReadonlyMap<string, string> {
  const renames = new Map<string, string>();
  const taken = new Set([...here.keys(), ...Object.keys(there)]);
  for (const [name, definition] of Object.entries(there)) {
    if (!here.has(name) || isSame(here.get(name), definition)) continue;
    const as = nextName(name, (other) => (here.has(other) ? isSame(here.get(other), definition) : !taken.has(other)));
    renames.set(name, as);
    taken.add(as);
  }
  return renames;
}

function nextName(name: string, isFree: (name: string) => boolean): string {
  for (let number = 2; ; number++) if (isFree(`${name}_v${number}`)) return `${name}_v${number}`;
}

/** Words and the kinds that a definition is used for make no other of it. */
function isSame(a: unknown, b: unknown): boolean {
  return jsonEqual(bare(a) as Json, bare(b) as Json);
}

function bare(value: unknown, isSchema = true): unknown {
  if (Array.isArray(value)) return value.map((item) => bare(item));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(
    ([key, inner]) => !isSchema || (key !== KINDS && !(key === "description" && typeof inner === "string")),
  );
  // Below "properties" keys are names of fields, which may well be "description".
  return Object.fromEntries(entries.map(([key, inner]) => [key, bare(inner, !(isSchema && key === "properties"))]));
}

/** The definition with the kinds that the other one is used for. */
function withKindsOf(definition: JsonObject, other: JsonObject): JsonObject {
  const more = other[KINDS];
  if (!Array.isArray(more)) return definition;
  const kinds = Array.isArray(definition[KINDS]) ? (definition[KINDS] as unknown[]) : [];
  const all = new Map([...kinds, ...more].map((kind) => [nameOf(objectOf(kind)), kind]));
  if (all.size === kinds.length) return definition;
  return { ...definition, [KINDS]: [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, kind]) => kind) };
}

function nameOf({ group, version, kind }: JsonObject): string {
  return `${String(group)}/${String(version)}.${String(kind)}`;
}

/** Names of definitions that stand behind references in `roots`, and behind those in them. */
function usedBy(roots: unknown, definitions: JsonObject): ReadonlySet<string> {
  const used = new Set<string>();
  const waiting: unknown[] = [roots];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (typeof value !== "object" || value === null) continue;
    for (const [key, inner] of Object.entries(value)) {
      const name = key === "$ref" ? referred(inner, DEFINITION) : undefined;
      if (name === undefined) waiting.push(inner);
      else if (!used.has(name)) {
        used.add(name);
        waiting.push(definitions[name]);
      }
    }
  }
  return used;
}

/** Throws for what is nested as no honest document is: it would end the stack of who writes it. */
function refuseDeep(document: unknown): void {
  let level: unknown[] = [document];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw new Error("the document is nested too deeply");
    level = level.flatMap((value) => (typeof value === "object" && value !== null ? Object.values(value) : []));
  }
}

function referred(reference: unknown, prefix: string): string | undefined {
  return typeof reference === "string" && reference.startsWith(prefix) ? reference.slice(prefix.length) : undefined;
}

/** A copy whose references have the new names; the value itself where there are none. */
function renamed(value: unknown, renames: ReadonlyMap<string, string>): unknown {
  if (renames.size === 0) return value;
  if (Array.isArray(value)) return value.map((item) => renamed(item, renames));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]): [string, unknown] => {
    const as = key === "$ref" ? renames.get(referred(inner, DEFINITION) ?? "") : undefined;
    return [key, as === undefined ? renamed(inner, renames) : DEFINITION + as];
  });
  return Object.fromEntries(entries);
}

/** A path's item with its parameters and those of its operations written out. */
function withParameters(item: JsonObject, parameters: JsonObject): JsonObject {
  const entries = Object.entries(item).map(([key, value]): [string, unknown] => {
    if (key === "parameters") return [key, writtenOut(value, parameters)];
    if (key.startsWith("x-") || key === "$ref") return [key, value];
    const operation = objectOf(value);
    const own = operation["parameters"];
    return [key, own === undefined ? operation : { ...operation, parameters: writtenOut(own, parameters) }];
  });
  return Object.fromEntries(entries);
}

function writtenOut(list: unknown, parameters: JsonObject): unknown {
  if (!Array.isArray(list)) return [];
  return list.flatMap((parameter) => {
    const name = referred(objectOf(parameter)["$ref"], PARAMETER);
    if (name === undefined) return [parameter];
    return Object.hasOwn(parameters, name) ? [parameters[name]] : [];
  });
}

function objectOf(value: unknown): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new Error("an object was expected");
}
