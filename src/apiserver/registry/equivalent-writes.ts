/**
 * A write in the other versions of its resource: a webhook that names one version sees writes in all of them (matchPolicy Equivalent), in the version that it names. As apiserver's
 * EquivalentResourceRegistry.
 */
import { readObject } from "#apimachinery/codecs/object-reader.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Draft } from "#api/strategy.ts";
import type { AdmissionAttributes, EquivalentWrite } from "#apiserver/admission.ts";
import type { RequestInfo } from "#apiserver/request.ts";
import type { ResourceTable, ServedResource } from "./served-resource.ts";

/** All of them, in the table's order. Subresources of kinds of their own have none. */
export function equivalentWrites(
  table: ResourceTable,
  resource: ServedResource,
  request: RequestInfo,
): readonly EquivalentWrite[] {
  if (request.subresource !== "" && request.subresource !== "status") return [];
  const others = [...table.all()].filter((other) => other.stored === resource.stored && other !== resource);
  return others.map((other) => ({
    request: { ...request, apiGroup: other.group, apiVersion: other.facts.version, resource: other.resource },
    convert: (attributes) => converted(attributes, resource, other),
    convertBack: async (object) => conform(resource, await between(other, resource, object)),
  }));
}

/** An object that came from elsewhere in the shape of a resource's kind. */
export function conform({ schema, strategy, kind, apiVersion }: ServedResource, object: KubeObject): KubeObject {
  const draft =
    schema === undefined ? structuredClone(object as Draft) : readObject(schema, object as Draft, "uncounted").object;
  draft["kind"] ??= kind;
  draft["apiVersion"] ??= apiVersion;
  strategy.applyDefaults?.(draft);
  return draft as KubeObject;
}

async function converted(
  attributes: AdmissionAttributes,
  from: ServedResource,
  to: ServedResource,
): Promise<AdmissionAttributes> {
  const convert = async (object: KubeObject | undefined): Promise<KubeObject | undefined> =>
    object === undefined ? undefined : await between(from, to, object);
  const { request, kind } = attributes;
  return {
    ...attributes,
    request: { ...request, apiGroup: to.group, apiVersion: to.facts.version, resource: to.resource },
    kind: { group: to.group, version: to.facts.version, kind: to.kind },
    requested: { request, kind },
    conform: (object) => conform(to, object),
    object: await convert(attributes.object),
    oldObject: await convert(attributes.oldObject),
  };
}

/** An object of one version in another one, by way of the stored form. */
async function between(from: ServedResource, to: ServedResource, object: KubeObject): Promise<KubeObject> {
  const own = { ...object, kind: from.kind, apiVersion: from.apiVersion };
  const stored = (await from.conversion?.toStored(own)) ?? own;
  const [found = stored] = (await to.conversion?.fromStored([stored])) ?? [];
  return { ...found, kind: to.kind, apiVersion: to.apiVersion };
}
