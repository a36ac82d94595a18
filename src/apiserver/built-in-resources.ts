/**
 * The built-in resources as the table of what is served: from the kind facts, with each kind's strategy. Versions of a kind share where they are stored.
 */
import { compileLabelSelector, formatSelector, type Labels, selectorFromLabels } from "#apimachinery/label-selector.ts";
import { formatApiVersion } from "#apimachinery/meta.ts";
import { findConversion } from "#api/conversion.ts";
import type { KindFacts, ResourceFacts } from "#api/kind-facts.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { createServedResource, ResourceTable, type ScalePaths } from "./registry/served-resource.ts";
import { createStoredResource, type StoredResource } from "./storage/stored-resource.ts";

/** Finds a kind's strategy; kinds without one behave as upstream's simplest. */
export type FindStrategy = (group: string, version: string, kind: string) => KindStrategy | undefined;

/** Core events and events.k8s.io events are one store, kept in the core form. */
const STORED_ELSEWHERE: ReadonlyMap<string, { readonly group: string; readonly resource: string }> = new Map([
  ["events.events.k8s.io", { group: "", resource: "events" }],
]);

/** All built-in resources that are on by default. */
export function createBuiltInTable(kindFacts: KindFacts, findStrategy: FindStrategy): ResourceTable {
  const table = new ResourceTable();
  const stored = new Map<string, StoredResource>();
  for (const facts of kindFacts.resources) {
    if (!facts.isEnabledByDefault) continue;
    const strategy = findStrategy(facts.group, facts.version, facts.kind) ?? {};
    const conversion = findConversion(facts.group, facts.version, facts.kind);
    table.set(
      createServedResource({
        facts,
        stored: storedResource(kindFacts, facts, { stored, findStrategy }),
        strategy,
        schema: kindFacts.schemaOf(facts.group, facts.version, facts.kind),
        isCustom: false,
        ...(facts.subresources.some((subresource) => subresource.name === "scale") ? { scale: scaleOf(facts) } : {}),
        ...(conversion === undefined ? {} : { conversion }),
      }),
    );
  }
  return table;
}

function storedResource(
  kindFacts: KindFacts,
  facts: ResourceFacts,
  known: { readonly stored: Map<string, StoredResource>; readonly findStrategy: FindStrategy },
): StoredResource {
  const own = groupResource(facts);
  const place = STORED_ELSEWHERE.get(own);
  const name = place === undefined ? own : groupResource(place);
  const there = known.stored.get(name);
  if (there !== undefined) return there;
  const home = place === undefined ? facts : (kindFacts.findResource(place.group, "v1", place.resource) ?? facts);
  const strategy = known.findStrategy(home.group, home.storageVersion, home.kind);
  const made = createStoredResource({
    groupResource: name,
    isNamespaced: home.isNamespaced,
    kind: home.kind,
    apiVersion: formatApiVersion({ group: home.group, version: home.storageVersion }),
    ...(strategy?.selectableFields === undefined ? {} : { selectableFields: strategy.selectableFields }),
  });
  known.stored.set(name, made);
  return made;
}

function scaleOf(facts: ResourceFacts): ScalePaths {
  return {
    specReplicasPath: ".spec.replicas",
    statusReplicasPath: ".status.replicas",
    selectorOf: (object) => {
      const { selector } = (object as { readonly spec?: { readonly selector?: object } }).spec ?? {};
      if (facts.group === "") return formatSelector(selectorFromLabels(selector as Labels));
      return selector === undefined ? "" : formatSelector(compileLabelSelector(selector));
    },
  };
}

function groupResource(name: { readonly group: string; readonly resource: string }): string {
  return name.group === "" ? name.resource : `${name.resource}.${name.group}`;
}
