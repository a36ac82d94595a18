/**
 * Request bodies that are no objects of the resource: patches, DeleteOptions, options of subresources. Objects themselves are read by apimachinery's body codec.
 */
import { parseJsonSteps } from "#apimachinery/codecs/json-pieces.ts";
import { parseJson } from "#apimachinery/codecs/json-text.ts";
import type { ProtobufCodec } from "#apimachinery/codecs/protobuf-codec.ts";
import { readEnvelope } from "#apimachinery/codecs/protobuf-envelope.ts";
import type { YamlText } from "#apimachinery/codecs/yaml-text.ts";
import { parseApiVersion } from "#apimachinery/meta.ts";
import { badRequest, StatusError } from "#apimachinery/status-error.ts";
import type { TakeSteps } from "#apimachinery/steps.ts";
import type { KindFacts } from "#api/kind-facts.ts";
import type { RequestBody } from "#apiserver/api-request.ts";

/** What bodies are decoded with. */
export type BodyDecoder = {
  readonly kindFacts: KindFacts;
  readonly protobuf: ProtobufCodec;
  readonly parseYaml: (bytes: Uint8Array) => Promise<YamlText>;
  readonly takeSteps: TakeSteps;
};

/** Larger bodies are parsed in steps. */
const LARGE_BYTES = 128 * 1024;

/** Decodes a body by its media type, unchecked. An empty one is undefined. Throws BadRequest, UnsupportedMediaType. */
export async function decodeValue(decoder: BodyDecoder, body: RequestBody): Promise<unknown> {
  if (body.form === "value") return body.value;
  if (body.bytes.length === 0) return undefined;
  const mediaType = mediaTypeOf(body.mediaType);
  switch (mediaType) {
    case "application/vnd.kubernetes.protobuf":
      return decodeProtobuf(decoder, body.bytes);
    case "application/yaml":
    case "application/apply-patch+yaml":
      return (await decoder.parseYaml(body.bytes)).value;
    case "":
    case "application/json":
    case "application/merge-patch+json":
    case "application/strategic-merge-patch+json":
    case "application/json-patch+json":
      return (
        await (body.bytes.length > LARGE_BYTES ? decoder.takeSteps(parseJsonSteps(body.bytes)) : parseJson(body.bytes))
      ).value;
    default:
      throw unsupportedMediaType(mediaType);
  }
}

/** The media type without parameters, in lower case. */
export function mediaTypeOf(contentType: string): string {
  const semicolon = contentType.indexOf(";");
  return (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
}

/** 415: which media types would do. */
export function unsupportedMediaType(mediaType: string, accepted: readonly string[] = BODY_TYPES): StatusError {
  return new StatusError({
    reason: "UnsupportedMediaType",
    code: 415,
    message: `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`,
    details: mediaType === "" ? {} : { causes: [{ message: `unsupported media type ${mediaType}` }] },
  });
}

const BODY_TYPES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

function decodeProtobuf(decoder: BodyDecoder, bytes: Buffer): unknown {
  const { apiVersion, kind, raw } = readEnvelope(bytes);
  const { group, version } = parseApiVersion(apiVersion);
  const schema = decoder.kindFacts.schemaOf(group, version, kind);
  if (schema === undefined) throw badRequest(`no kind "${kind}" is registered for version "${apiVersion}" in scheme`);
  return decoder.protobuf.decode(schema, raw, { apiVersion, kind });
}
