/**
 * Lists in each form, in pieces of about 128 KiB; others have the event loop after a few milliseconds. What an item is made of lies ready with each object (see item-writers.ts), so that a list is
 * mostly copying; the piece that was written is filled again, because fresh memory costs more than what is put into it.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { MAX_FIELD_HEAD, writeListHead, writeListItem } from "#apimachinery/codecs/protobuf-envelope.ts";
import type { ListPage } from "#apiserver/api-request.ts";
import { served } from "#apiserver/registry/update.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import type { MediaForm } from "./accept.ts";
import { type ItemWriter, jsonItems, metadataItems, rowItems } from "./item-writers.ts";
import { type EncoderParts, encodePlain, metadataOnly, protobufOf, schemaOf } from "./object-forms.ts";
import { printerOf, rowOf, type TableOptions } from "./table.ts";
import { Slices } from "./slices.ts";

const CHUNK_BYTES = 128 * 1024;

/** A piece of a list's body. Its bytes may be used until the next piece is asked for. */
export type ListChunk = { readonly bytes: Uint8Array; readonly isLast: boolean };

/** A list's body in pieces. Whoever stops early leaves the piece he has; it is not used again. */
export async function* encodeList(
  parts: EncoderParts,
  page: ListPage,
  form: MediaForm,
  table: TableOptions,
): AsyncGenerator<ListChunk, void, undefined> {
  if (form.encoding === "protobuf") yield* encodeProtobufList(parts, page, form, table);
  else if (form.encoding === "yaml" || form.isPretty) yield last(await encodeWhole(parts, page, form, table));
  else if (page.resource.conversion === undefined) yield* encodeSpliced(parts, page, form, table);
  else yield* encodeJsonItems(parts, page, form, table);
}

function last(bytes: Uint8Array): ListChunk {
  return { bytes, isLast: true };
}

/** Stored bytes, copied into chunks with their resourceVersions. The way that matters most. */
async function* encodeSpliced(
  parts: EncoderParts,
  page: ListPage,
  form: MediaForm,
  table: TableOptions,
): AsyncGenerator<ListChunk, void, undefined> {
  const items = await itemWriter(parts, page.resource, form, table);
  const slices = new Slices();
  const { chunks } = parts;
  let chunk = chunks.take(CHUNK_BYTES);
  let used = chunk.write(await jsonHead(page, form, table));
  let isFirst = true;
  for (const object of page.objects) {
    const room = items.room(object) + 1;
    if (used + room > chunk.length) {
      yield { bytes: chunk.subarray(0, used), isLast: false };
      if (room > chunk.length) {
        chunks.give(chunk);
        chunk = chunks.take(room);
      }
      used = 0;
    }
    if (slices.isOver()) await slices.next();
    if (!isFirst) chunk[used++] = 0x2c;
    isFirst = false;
    used = items.write(object, chunk, used);
  }
  if (used + END.length > chunk.length) {
    yield { bytes: chunk.subarray(0, used), isLast: false };
    used = 0;
  }
  used += END.copy(chunk, used);
  yield last(chunk.subarray(0, used));
  chunks.give(chunk);
}

const END = Buffer.from("]}\n");

async function itemWriter(
  parts: EncoderParts,
  resource: ServedResource,
  form: MediaForm,
  table: TableOptions,
): Promise<ItemWriter> {
  const { as } = form;
  if (as === undefined) return jsonItems(resource);
  if (as.kind === "PartialObjectMetadata") return metadataItems(as.version);
  const { includeObject } = table;
  return rowItems(resource, await printerOf(resource), {
    includeObject,
    version: as.version,
    nowMs: parts.clock.now(),
  });
}

function listHead(page: ListPage): string {
  const { kind, apiVersion } = page.resource;
  return `{"kind":${JSON.stringify(`${kind}List`)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":${JSON.stringify(page.metadata)},"items":[`;
}

/** Items that are parsed, converted and written anew: kinds whose versions differ. */
async function* encodeJsonItems(
  parts: EncoderParts,
  page: ListPage,
  form: MediaForm,
  table: TableOptions,
): AsyncGenerator<ListChunk, void, undefined> {
  const slices = new Slices();
  const itemOf = await itemEncoder(parts, page.resource, form, table);
  let text = await jsonHead(page, form, table);
  let isFirst = true;
  for (const stored of page.objects) {
    const object = await served(page.resource, stored);
    text += (isFirst ? "" : ",") + itemOf(object);
    isFirst = false;
    if (text.length >= CHUNK_BYTES) {
      yield { bytes: Buffer.from(text), isLast: false };
      text = "";
    }
    if (slices.isOver()) await slices.next();
  }
  yield last(Buffer.from(`${text}]}\n`));
}

async function itemEncoder(
  parts: EncoderParts,
  resource: ServedResource,
  form: MediaForm,
  table: TableOptions,
): Promise<(object: KubeObject) => string> {
  const { as } = form;
  if (as === undefined) return (object) => JSON.stringify(resource.isCustom ? object : withoutKind(object));
  const { version } = as;
  if (as.kind === "PartialObjectMetadata") return (object) => JSON.stringify(metadataOnly(object, version));
  const printer = await printerOf(resource);
  const row = { includeObject: table.includeObject, version, nowMs: parts.clock.now() };
  return (object) => JSON.stringify(rowOf(printer, object, row));
}

function withoutKind({ kind: _kind, apiVersion: _apiVersion, ...rest }: KubeObject): object {
  return rest;
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
): AsyncGenerator<ListChunk, void, undefined> {
  if (form.as?.kind === "Table") return yield last(await encodeWhole(parts, page, form, table));
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
  yield* joined(parts, writeListHead({ ...names, metadata, items }), items);
}

/** The items with their tags and lengths, copied into chunks. */
async function* joined(
  parts: EncoderParts,
  ends: { readonly head: Buffer; readonly tail: Buffer },
  items: readonly Uint8Array[],
): AsyncGenerator<ListChunk, void, undefined> {
  const { chunks } = parts;
  const slices = new Slices();
  let chunk = chunks.take(CHUNK_BYTES);
  let used = ends.head.copy(chunk);
  for (const item of items) {
    const room = item.length + MAX_FIELD_HEAD;
    if (used + room > chunk.length) {
      yield { bytes: chunk.subarray(0, used), isLast: false };
      if (room > chunk.length) {
        chunks.give(chunk);
        chunk = chunks.take(room);
      }
      used = 0;
    }
    if (slices.isOver()) await slices.next();
    used = writeListItem(chunk, used, item);
  }
  if (used + ends.tail.length > chunk.length) {
    yield { bytes: chunk.subarray(0, used), isLast: false };
    used = 0;
  }
  used += ends.tail.copy(chunk, used);
  yield last(chunk.subarray(0, used));
  chunks.give(chunk);
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
  const object = metadataOnly({ metadata: stored.passingMetadata }, form.as.version);
  return parts.protobuf.encode(schemaOf(parts, "meta.k8s.io/v1", "PartialObjectMetadata"), object);
}

async function encodeWhole(
  parts: EncoderParts,
  page: ListPage,
  form: MediaForm,
  table: TableOptions,
): Promise<Uint8Array> {
  const json: Uint8Array[] = [];
  for await (const chunk of encodeJsonItems(parts, page, { ...form, encoding: "json", isPretty: false }, table))
    json.push(chunk.bytes);
  return encodePlain(parts, JSON.parse(Buffer.concat(json).toString()) as KubeObject, form);
}
