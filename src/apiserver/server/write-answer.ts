/**
 * Answers over HTTP: chooses the form, encodes, and writes; lists in slices, watches as they come.
 */
import { type Status, StatusError } from "#apimachinery/status-error.ts";
import type { ApiRequest, ApiResult } from "#apiserver/api-request.ts";
import type { Answer } from "#apiserver/filters/chain.ts";
import type { Flow } from "#apiserver/flowcontrol/flow-control.ts";
import { contentTypeOf, type MediaForm, negotiate, type Offer } from "#apiserver/negotiation/accept.ts";
import { encodeList } from "#apiserver/negotiation/list-forms.ts";
import { type EncoderParts, encodePlain, encodeScale, encodeStored } from "#apiserver/negotiation/object-forms.ts";
import type { TableOptions } from "#apiserver/negotiation/table.ts";
import { WatchEncoder } from "#apiserver/negotiation/watch-forms.ts";
import type { BodyStream, Exchange, ResponseHeaders } from "./exchange.ts";
import { acceptsGzip, GZIP_THRESHOLD_BYTES, GzipBody, gzipHeaders, gzipWhole } from "./gzip.ts";
import type { WatchWriters } from "./watch-writer.ts";

/** What answers are written with. */
export type WriterParts = { readonly encoder: EncoderParts; readonly watches: WatchWriters };

/** Writes an answer. Throws StatusError as long as nothing was sent. */
export async function writeAnswer(
  parts: WriterParts,
  exchange: Exchange,
  answer: Answer & { readonly auditId: string },
): Promise<void> {
  const { result, context } = answer;
  const headers = baseHeaders(answer.auditId, context.warnings, exchange.request.flow);
  switch (result.type) {
    case "bytes":
      return exchange.respond(
        result.status,
        { ...headers, "content-type": result.contentType, ...result.headers },
        result.body,
      );
    case "stored":
    case "object":
    case "status":
      return await writeObject(parts, exchange, { result, headers });
    case "list":
      return await writeList(parts, exchange, { result, headers });
    case "events":
      throw new Error("watches of other servers are passed on as they are");
    case "watch":
      return await writeWatch(parts, exchange, { result, headers });
  }
}

/** Writes an error as a Status, in the form that the client accepts. */
export function writeError(parts: WriterParts, exchange: Exchange, error: StatusError, auditId: string): void {
  const headers = baseHeaders(auditId, exchange.request.warnings ?? [], exchange.request.flow);
  const status = error.toStatus();
  const retryAfter = status.details?.retryAfterSeconds;
  if (retryAfter !== undefined) headers["retry-after"] = String(retryAfter);
  void writeStatus(parts, exchange, { status, headers });
}

async function writeStatus(
  parts: WriterParts,
  exchange: Exchange,
  answer: { readonly status: Status; readonly headers: ResponseHeaders },
): Promise<void> {
  const { status, headers } = answer;
  let form: MediaForm = { encoding: "json", isPretty: false };
  try {
    const { as: _ignored, ...wanted } = formOf(exchange.request, { hasProtobuf: true, hasTransforms: true });
    form = wanted;
  } catch {
    // Nothing that we could say would be accepted: JSON then.
  }
  const body = await encodePlain(parts.encoder, status as never, form);
  exchange.respond(status.code, { ...headers, "content-type": contentTypeOf(form) }, body);
}

async function writeObject(
  parts: WriterParts,
  exchange: Exchange,
  answer: {
    readonly result: ApiResult & { readonly type: "stored" | "object" | "status" };
    readonly headers: ResponseHeaders;
  },
): Promise<void> {
  const { result, headers } = answer;
  const { request } = exchange;
  if (result.type !== "stored") {
    const object = result.type === "object" ? result.object : (result.status as never);
    const isScale = object.kind === "Scale";
    const hasMetadata = isScale || (result.type === "object" && result.resource !== undefined);
    const form = formOf(request, { hasProtobuf: true, hasTransforms: hasMetadata });
    const code = result.type === "object" ? result.status : 200;
    const { as: _as, ...plain } = form;
    const body = isScale
      ? await encodeScale(parts.encoder, object, form, tableOptions(request))
      : await encodePlain(parts.encoder, object, plain);
    return await respond(exchange, code, { ...headers, "content-type": contentTypeOf(form) }, body);
  }
  const form = formOf(request, {
    hasProtobuf: result.resource.schema !== undefined && !result.resource.isCustom,
    hasTransforms: true,
  });
  const table = tableOptions(request);
  const body = encodeStored(parts.encoder, result, form, table);
  const ready = body instanceof Promise ? await body : body;
  const shown = { ...headers, "content-type": contentTypeOf(form) };
  if (ready.length > GZIP_THRESHOLD_BYTES) return await respond(exchange, result.status, shown, ready);
  exchange.respond(result.status, shown, ready);
}

async function writeList(
  parts: WriterParts,
  exchange: Exchange,
  answer: { readonly result: ApiResult & { readonly type: "list" }; readonly headers: ResponseHeaders },
): Promise<void> {
  const { page } = answer.result;
  const form = formOf(exchange.request, { hasProtobuf: !page.resource.isCustom, hasTransforms: true });
  const headers = { ...answer.headers, "content-type": contentTypeOf(form) };
  let body: Pick<BodyStream, "send" | "end" | "isClosed"> | undefined;
  for await (const { bytes, isLast } of encodeList(parts.encoder, page, form, tableOptions(exchange.request))) {
    // The piece's memory goes to the next list: what is sent in one go is a copy of its own.
    if (body === undefined && isLast) return await respond(exchange, 200, headers, Buffer.from(bytes));
    body ??= acceptsGzip(exchange.request)
      ? new GzipBody(exchange.respondStream(200, gzipHeaders(headers)))
      : exchange.respondStream(200, headers);
    await body.send(bytes);
    if (body.isClosed) return;
  }
  body?.end();
}

async function respond(exchange: Exchange, status: number, headers: ResponseHeaders, body: Buffer): Promise<void> {
  if (body.length <= GZIP_THRESHOLD_BYTES || !acceptsGzip(exchange.request)) {
    return exchange.respond(status, headers, body);
  }
  exchange.respond(status, gzipHeaders(headers), await gzipWhole(body));
}

async function writeWatch(
  parts: WriterParts,
  exchange: Exchange,
  answer: { readonly result: ApiResult & { readonly type: "watch" }; readonly headers: ResponseHeaders },
): Promise<void> {
  const { stream } = answer.result;
  try {
    const form = formOf(exchange.request, { hasProtobuf: !stream.resource.isCustom, hasTransforms: true });
    const { includeObject } = tableOptions(exchange.request);
    const encoder = new WatchEncoder(parts.encoder, { resource: stream.resource, form, includeObject });
    const body = exchange.respondStream(200, { ...answer.headers, "content-type": encoder.contentType });
    await parts.watches.run({ stream, encoder, body });
  } finally {
    stream.stop();
  }
}

function formOf(request: ApiRequest, offer: Offer): MediaForm {
  const { accept } = request.headers;
  const form = negotiate(typeof accept === "string" ? accept : undefined, offer);
  const pretty = request.query.isEmpty ? undefined : request.query.get("pretty");
  return pretty === undefined || form.encoding !== "json"
    ? form
    : { ...form, isPretty: pretty !== "0" && pretty !== "false" };
}

function tableOptions(request: ApiRequest): TableOptions {
  const asked = request.query.isEmpty ? undefined : request.query.get("includeObject");
  if (asked === undefined || asked === "" || asked === "Metadata")
    return { includeObject: "Metadata", hasColumns: true };
  if (asked === "None" || asked === "Object") return { includeObject: asked, hasColumns: true };
  const message = `unrecognized includeObject value: ${JSON.stringify(asked)}`;
  throw new StatusError({ reason: "BadRequest", code: 400, message });
}

function baseHeaders(auditId: string, warnings: readonly string[], flow: Flow | undefined): ResponseHeaders {
  const headers: ResponseHeaders = { "audit-id": auditId, "cache-control": "no-cache, private" };
  if (flow !== undefined && flow.schemaUid !== "") {
    headers["x-kubernetes-pf-flowschema-uid"] = flow.schemaUid;
    headers["x-kubernetes-pf-prioritylevel-uid"] = flow.level.uid;
  }
  if (warnings.length > 0) headers["warning"] = warningHeaders(warnings);
  return headers;
}

const MAX_WARNING = 256;
const MAX_WARNINGS = 4096;

/** `299 - "text"`, each cut to 256 characters when all of them together are too long. */
function warningHeaders(warnings: readonly string[]): string[] {
  const all = [...new Set(warnings)].map((text) => text.replace(/[\r\n\t]+/g, " ").replace(/[\p{C}]/gu, ""));
  const isLong = all.reduce((sum, text) => sum + text.length, 0) > MAX_WARNINGS;
  const headers: string[] = [];
  let size = 0;
  for (const text of all) {
    const shown = isLong && text.length > MAX_WARNING ? `${text.slice(0, MAX_WARNING)}...` : text;
    size += shown.length;
    if (size > MAX_WARNINGS) break;
    headers.push(`299 - "${headerText(shown)}"`);
  }
  return headers;
}

// Headers are Latin-1; what is beyond goes as its UTF-8 bytes, as Go sends it.
function headerText(text: string): string {
  return Buffer.from(text.replace(/["\\]/g, "\\$&")).toString("latin1");
}
