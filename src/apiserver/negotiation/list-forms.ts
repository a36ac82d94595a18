/**
 * Lists in each form, in pieces: an async generator gives chunks of about 128 KiB and lets others have the event loop after a few milliseconds.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { writeListEnvelope } from "#apimachinery/codecs/protobuf-envelope.ts";
import type { ListPage } from "#apiserver/api-request.ts";
import { served } from "#apiserver/registry/update.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import type { MediaForm } from "./accept.ts";
import { type EncoderParts, encodePlain, metadataOnly, protobufOf, schemaOf } from "./object-forms.ts";
import { printerOf, rowOf, type TableOptions } from "./table.ts";
import { Slices } from "./slices.ts";

const CHUNK_BYTES = 128 * 1024;

/** A list's body in chunks. */
export async function* encodeList(
  parts: EncoderParts,
  page: ListPage,
  form: MediaForm,
  table: TableOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (form.encoding === "protobuf") yield* encodeProtobufList(parts, page, form, table);
  else if (form.encoding === "yaml" || form.isPretty) yield await encodeWhole(parts, page, form, table);
  else if (form.as === undefined && page.resource.conversion === undefined) yield* encodeStoredList(page);
  else yield* encodeJsonItems(parts, page, form, table);
}

/** Stored bytes, copied into chunks with their resourceVersions. The way that matters most. */
async function* encodeStoredList(page: ListPage): AsyncGenerator<Uint8Array, void, undefined> {
  const { head } = page.resource;
  const slices = new Slices();
  let chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let used = chunk.write(listHead(page));
  let isFirst = true;
  for (const object of page.objects) {
    const room = object.maxJsonLength(head) + 1;
    if (used + room > chunk.length) {
      yield chunk.subarray(0, used);
      chunk = Buffer.allocUnsafe(Math.max(CHUNK_BYTES, room));
      used = 0;
      if (slices.isOver()) await slices.next();
    }
    if (!isFirst) chunk[used++] = 0x2c;
    isFirst = false;
    used = object.writeJson(chunk, used, head);
  }
  yield chunk.subarray(0, used);
  yield Buffer.from("]}\n");
}

function listHead(page: ListPage): string {
  const { kind, apiVersion } = page.resource;
  return `{"kind":${JSON.stringify(`${kind}List`)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":${JSON.stringify(page.metadata)},"items":[`;
}

async function* encodeJsonItems(
  parts: EncoderParts,
  page: ListPage,
  form: MediaForm,
  table: TableOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const slices = new Slices();
  const itemOf = await itemEncoder(parts, page.resource, form, table);
  let text = await jsonHead(page, form, table);
  let isFirst = true;
  for (const stored of page.objects) {
    const object = await inServedVersion(page.resource, stored);
    text += (isFirst ? "" : ",") + itemOf(object);
    isFirst = false;
    if (text.length >= CHUNK_BYTES) {
      yield Buffer.from(text);
      text = "";
    }
    if (slices.isOver()) await slices.next();
  }
  yield Buffer.from(`${text}]}\n`);
}

// No promise where none is needed: lists are long.
function inServedVersion(resource: ServedResource, stored: StoredObject): KubeObject | Promise<KubeObject> {
  return resource.conversion === undefined && resource.apiVersion === resource.stored.apiVersion
    ? stored.object
    : served(resource, stored);
}

async function itemEncoder(
  parts: EncoderParts,
  resource: ServedResource,
  form: MediaForm,
  table: TableOptions,
): Promise<(object: KubeObject) => string> {
  const { as } = form;
  if (as === undefined) return (object) => JSON.stringify(object);
  const { version } = as;
  if (as.kind === "PartialObjectMetadata") return (object) => JSON.stringify(metadataOnly(object, version));
  const printer = await printerOf(resource);
  const row = { includeObject: table.includeObject, version, nowMs: parts.clock.now() };
  return (object) => JSON.stringify(rowOf(printer, object, row));
}

async function jsonHead(page: ListPage, form: MediaForm, table: TableOptions): Promise<string> {
  const { as } = form;
  if (as === undefined) return listHead(page);
  const metadata = JSON.stringify(page.metadata);
  const apiVersion = `meta.k8s.io/${as.version}`;
  if (as.kind === "PartialObjectMetadata") {
    return `{"kind":"PartialObjectMetadataList","apiVersion":"${apiVersion}","metadata":${metadata},"items":[`;
  }
  const columns = JSON.stringify(table.hasColumns ? (await printerOf(page.resource)).columns : []);
  return `{"kind":"Table","apiVersion":"${apiVersion}","metadata":${metadata},"columnDefinitions":${columns},"rows":[`;
}

async function* encodeProtobufList(
  parts: EncoderParts,
  page: ListPage,
  form: MediaForm,
  table: TableOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (form.as?.kind === "Table") return yield await encodeWhole(parts, page, form, table);
  const slices = new Slices();
  const items: Uint8Array[] = [];
  for (const stored of page.objects) {
    const item = protobufItem(parts, page.resource, { stored, form });
    items.push(item instanceof Promise ? await item : item);
    if (slices.isOver()) await slices.next();
  }
  const metadata = parts.protobuf.encode(schemaOf(parts, "meta.k8s.io/v1", "ListMeta"), page.metadata);
  const { as } = form;
  const names =
    as === undefined
      ? { apiVersion: page.resource.apiVersion, kind: `${page.resource.kind}List` }
      : { apiVersion: `meta.k8s.io/${as.version}`, kind: "PartialObjectMetadataList" };
  yield* joined(writeListEnvelope({ ...names, metadata, items }));
}

function protobufItem(
  parts: EncoderParts,
  resource: ServedResource,
  item: { readonly stored: StoredObject; readonly form: MediaForm },
): Uint8Array | Promise<Uint8Array> {
  const { stored, form } = item;
  const { schema, conversion } = resource;
  if (form.as === undefined && conversion !== undefined && schema !== undefined) {
    return served(resource, stored).then((object) => parts.protobuf.encode(schema, object));
  }
  if (form.as === undefined) return protobufOf(parts, resource, stored);
  const object = metadataOnly(stored.object, form.as.version);
  return parts.protobuf.encode(schemaOf(parts, "meta.k8s.io/v1", "PartialObjectMetadata"), object);
}

// Many small pieces make few large writes.
function* joined(pieces: readonly Uint8Array[]): Generator<Uint8Array, void, undefined> {
  let group: Uint8Array[] = [];
  let size = 0;
  for (const piece of pieces) {
    group.push(piece);
    size += piece.length;
    if (size < CHUNK_BYTES) continue;
    yield Buffer.concat(group, size);
    group = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(group, size);
}

async function encodeWhole(
  parts: EncoderParts,
  page: ListPage,
  form: MediaForm,
  table: TableOptions,
): Promise<Uint8Array> {
  const json: Uint8Array[] = [];
  for await (const chunk of encodeJsonItems(parts, page, { ...form, encoding: "json", isPretty: false }, table))
    json.push(chunk);
  return encodePlain(parts, JSON.parse(Buffer.concat(json).toString()) as KubeObject, form);
}
