/**
 * The generated kind facts, read: resources at once (15 KB of lines), struct schemas when they are first asked for.
 */
import { resourceFactsText, structFactsText } from "./generated/kind-facts-text.ts";
import type { KindFacts, ResourceFacts, SubresourceFacts } from "./kind-facts.ts";
import { StructSchemas } from "./struct-schemas.ts";

/** Kinds that every group and version knows, whatever it serves; their shapes are meta/v1's. */
const sharedKinds: ReadonlySet<string> = new Set([
  "APIGroup",
  "APIGroupList",
  "APIResourceList",
  "APIVersions",
  "CreateOptions",
  "DeleteOptions",
  "GetOptions",
  "ListOptions",
  "PatchOptions",
  "Status",
  "UpdateOptions",
  "WatchEvent",
]);

/** Reads the facts. About two milliseconds; do it once and pass them on. */
export function loadKindFacts(): KindFacts {
  const structs = new StructSchemas(structFactsText);
  const resources = parseResources(resourceFactsText);
  const byResource = new Map(resources.map((facts) => [`${facts.group}/${facts.version}/${facts.resource}`, facts]));
  const byKind = new Map(resources.map((facts) => [`${facts.group}/${facts.version}/${facts.kind}`, facts]));
  return {
    resources,
    findResource: (group, version, resource) => byResource.get(`${group}/${version}/${resource}`),
    findByKind: (group, version, kind) => byKind.get(`${group}/${version}/${kind}`),
    schemaOf: (group, version, kind) =>
      structs.findKind(group, version, kind) ??
      (sharedKinds.has(kind) ? structs.findKind("meta.k8s.io", "v1", kind) : undefined),
    structOf: (name) => structs.find(name),
  };
}

type MutableFacts = Omit<ResourceFacts, "storageVersion" | "subresources"> & { subresources: SubresourceFacts[] };

function parseResources(text: string): ResourceFacts[] {
  const parsed: MutableFacts[] = [];
  let group = "";
  let version = "";
  for (const line of text.split("\n")) {
    const cells = line.split("|");
    const [first = "", ...rest] = cells;
    if (line === "") continue;
    if (cells.length === 1) {
      group = line.slice(0, line.lastIndexOf("/"));
      version = line.slice(line.lastIndexOf("/") + 1);
    } else if (first.startsWith(">")) {
      parsed.at(-1)?.subresources.push(parseSubresource(first.slice(1), rest));
    } else {
      parsed.push(parseResource(group, version, first, rest));
    }
  }
  return parsed.map((facts) => ({ ...facts, storageVersion: storageVersionOf(facts, parsed) }));
}

function parseResource(group: string, version: string, resource: string, cells: readonly string[]): MutableFacts {
  const [singular = "", kind = "", scope, verbs = "", shortNames = "", categories = ""] = cells;
  return {
    group,
    version,
    resource,
    singular,
    kind,
    isNamespaced: scope === "N",
    verbs: list(verbs),
    shortNames: list(shortNames),
    categories: list(categories),
    subresources: [],
    isEnabledByDefault: /^v\d+$/.test(version),
  };
}

function parseSubresource(name: string, cells: readonly string[]): SubresourceFacts {
  const [group = "", version = "", kind = "", verbs = ""] = cells;
  return { name, group, version, kind, verbs: list(verbs) };
}

/** The first of a group's versions that has the resource: upstream lists the preferred one first, and stores in it. */
function storageVersionOf(facts: MutableFacts, all: readonly MutableFacts[]): string {
  const first = all.find((other) => other.group === facts.group && other.resource === facts.resource);
  return first?.version ?? facts.version;
}

function list(text: string): readonly string[] {
  return text === "" ? [] : text.split(",");
}
