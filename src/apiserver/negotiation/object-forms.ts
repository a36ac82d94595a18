/**
 * One object in each form that clients ask for. JSON of stored objects is never parsed for it: it goes out as it was written.
 */
import type { ProtobufCodec } from "#apimachinery/codecs/protobuf-codec.ts";
import { writeEnvelope } from "#apimachinery/codecs/protobuf-envelope.ts";
import { type KubeObject, parseApiVersion } from "#apimachinery/meta.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import type { KindFacts } from "#api/kind-facts.ts";
import type { Clock } from "#component-base/clock.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import { served } from "#apiserver/registry/update.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import { type MediaForm, notAcceptable } from "./accept.ts";
import type { Chunks } from "./chunks.ts";
import { type Printable, type TableOptions, tableOf } from "./table.ts";

/** What encoders work with. */
export type EncoderParts = {
  readonly kindFacts: KindFacts;
  readonly protobuf: ProtobufCodec;
  readonly clock: Clock;
  /** Memory that lists are written through. */
  readonly chunks: Chunks;
};

/** Metadata alone, as PartialObjectMetadata. */
export function metadataOnly(object: KubeObject, version: string): KubeObject {
  return { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${version}`, metadata: object.metadata ?? {} };
}

/** A stored object in a form. */
export function encodeStored(
  parts: EncoderParts,
  item: { readonly resource: ServedResource; readonly object: StoredObject },
  form: MediaForm,
  table?: TableOptions,
): Buffer | Promise<Buffer> {
  const { resource, object } = item;
  if (form.as === undefined && resource.conversion === undefined) {
    if (form.encoding === "json" && !form.isPretty) return object.toJson(resource.head);
    if (form.encoding === "protobuf") return writeEnvelope(envelopeOf(parts, resource, object));
  }
  return encodeConverted(parts, item, form, table);
}

async function encodeConverted(
  parts: EncoderParts,
  item: { readonly resource: ServedResource; readonly object: StoredObject },
  form: MediaForm,
  table: TableOptions | undefined,
): Promise<Buffer> {
  const object = await served(item.resource, item.object);
  return encodePlain(parts, await shaped(parts, item.resource, { objects: [object], form, table }), form);
}

function shaped(
  parts: EncoderParts,
  resource: Printable,
  input: {
    readonly objects: readonly KubeObject[];
    readonly form: MediaForm;
    readonly table: TableOptions | undefined;
  },
): KubeObject | Promise<KubeObject> {
  const { form } = input;
  const [object = {}] = input.objects;
  if (form.as === undefined) return object;
  if (form.as.kind === "PartialObjectMetadata") return metadataOnly(object, form.as.version);
  const options = input.table ?? { includeObject: "Metadata", hasColumns: true };
  return tableOf(resource, { objects: input.objects, version: form.as.version, options, nowMs: parts.clock.now() });
}

/** A Scale, which is no resource of its own, in a form. */
export async function encodeScale(
  parts: EncoderParts,
  scale: KubeObject,
  form: MediaForm,
  table: TableOptions | undefined,
): Promise<Buffer> {
  const { as: _as, ...plain } = form;
  const resource = { group: "autoscaling", resource: "scale", strategy: {} };
  return encodePlain(parts, await shaped(parts, resource, { objects: [scale], form, table }), plain);
}

/** Any object in an encoding: statuses, tables, reviews. Protobuf needs a kind that the facts know; others go out as JSON. */
export function encodePlain(parts: EncoderParts, object: KubeObject, form: MediaForm): Buffer | Promise<Buffer> {
  switch (form.encoding) {
    case "json":
      return Buffer.from(`${JSON.stringify(object, undefined, form.isPretty ? 2 : undefined)}\n`);
    case "yaml":
      return toYaml(object);
    case "protobuf": {
      const { apiVersion = "v1", kind = "" } = object;
      const raw = parts.protobuf.encode(schemaOf(parts, apiVersion, kind), object);
      return writeEnvelope({ apiVersion, kind, raw });
    }
  }
}

/** The protobuf message of a stored object, made once. */
export function protobufOf(parts: EncoderParts, resource: ServedResource, object: StoredObject): Buffer {
  if (resource.schema === undefined) throw notAcceptable({ hasProtobuf: false, hasTransforms: true });
  const { schema } = resource;
  const { protobuf } = parts;
  return object.cached("protobuf", () => {
    const resourceVersion = object.revision === 0 ? "" : String(object.revision);
    return protobuf.encodeText(schema, object.bytes, resourceVersion) ?? protobuf.encode(schema, object.lean);
  });
}

/** The schema of a kind. Throws NotAcceptable for kinds without. */
export function schemaOf(parts: EncoderParts, apiVersion: string, kind: string): StructSchema {
  const { group, version } = parseApiVersion(apiVersion);
  const schema = parts.kindFacts.schemaOf(group, version, kind);
  if (schema === undefined) throw notAcceptable({ hasProtobuf: false, hasTransforms: true });
  return schema;
}

function envelopeOf(
  parts: EncoderParts,
  resource: ServedResource,
  object: StoredObject,
): { readonly apiVersion: string; readonly kind: string; readonly raw: Buffer } {
  return { apiVersion: resource.apiVersion, kind: resource.kind, raw: protobufOf(parts, resource, object) };
}

async function toYaml(object: KubeObject): Promise<Buffer> {
  const { stringify } = await import("yaml");
  return Buffer.from(stringify(object, { aliasDuplicateObjects: false, version: "1.1" }));
}
