/**
 * The object that a create or update sends: decoded, of the kind that the path names, free of what the kind does not know, with defaults.
 */
import { type BodyOptions, decodeBody } from "#apimachinery/codecs/body-codec.ts";
import { writeJsonSteps } from "#apimachinery/codecs/json-write-steps.ts";
import { type ReadObject, readObject, readObjectSteps } from "#apimachinery/codecs/object-reader.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import { invalid, invalidObject } from "#apimachinery/field-error.ts";
import { badRequest, StatusError } from "#apimachinery/status-error.ts";
import type { Draft } from "#api/strategy.ts";
import type { RequestContext } from "#apiserver/api-request.ts";
import { mediaTypeOf } from "#apiserver/negotiation/decode-body.ts";
import { refuseTooLong } from "#apiserver/registry/refuse-too-long.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import { betweenStages, isLarge } from "#apiserver/turns.ts";
import { type HandlerParts, readBody } from "./handler-parts.ts";
import type { FieldValidation } from "./write-options.ts";

type Check = { readonly context: RequestContext; readonly fieldValidation: FieldValidation };

/** Reads the request's body as an object of the resource's kind: a private, complete copy with defaults. Throws BadRequest. */
export async function readObjectBody(parts: HandlerParts, resource: ServedResource, check: Check): Promise<Draft> {
  const expected = { apiVersion: resource.apiVersion, kind: resource.kind };
  const draft = await readKind(parts, { expected, schema: resource.schema, check });
  if (draft["kind"] !== resource.kind || draft["apiVersion"] !== resource.apiVersion) throw wrongKind(draft, resource);
  resource.strategy.applyDefaults?.(draft);
  return draft;
}

/** Reads the request's body as one kind, without defaults. `schema` is of `expected`; other kinds that the body names are found in the facts. */
export async function readKind(
  parts: HandlerParts,
  wanted: {
    readonly expected: BodyOptions["expected"];
    readonly schema: StructSchema | undefined;
    readonly check: Check;
  },
): Promise<Draft> {
  const { expected, check } = wanted;
  const { fieldValidation, context } = check;
  const body = await readBody(context);
  if (body.form === "value") {
    const value = named(body.value, expected);
    return wanted.schema === undefined ? (copyJson(value) as Draft) : conformed(wanted.schema, value, check);
  }
  const { object, warnings } = await decodeBody(body.bytes, {
    mediaType: mediaTypeOf(body.mediaType) || "application/json",
    expected,
    findSchema: (group, version, kind) =>
      kind === expected.kind && wanted.schema !== undefined
        ? wanted.schema
        : parts.decoder.kindFacts.schemaOf(group, version, kind),
    fieldValidation,
    protobuf: parts.decoder.protobuf,
    parseYaml: parts.decoder.parseYaml,
    takeSteps: context.takeSteps,
  });
  context.warnings.push(...warnings);
  if (isLarge(context)) await betweenStages(context);
  return object;
}

/** Brings a patched object into the kind's shape and fills in defaults. */
export async function conform(value: Draft, resource: ServedResource, check: Check): Promise<Draft> {
  const { schema } = resource;
  const draft =
    schema === undefined
      ? (copyJson(value) as Draft)
      : isLarge(check.context)
        ? await patchedOrInvalid(value, () => conformedInSteps(schema, value, check), check)
        : await patchedOrInvalid(value, () => conformed(schema, value, check));
  if (draft["kind"] !== resource.kind || draft["apiVersion"] !== resource.apiVersion) throw wrongKind(draft, resource);
  resource.strategy.applyDefaults?.(draft);
  return draft;
}

/** Says, or refuses, what the kind does not know in what was sent for server-side apply; and what is too long, where it would take long to find out later. */
export async function checkApplied(resource: ServedResource, value: Draft, name: string, check: Check): Promise<void> {
  const { schema, strategy } = resource;
  if (schema === undefined) return;
  if (!isLarge(check.context)) return void conformed(schema, value, check);
  const read = await conformedInSteps(schema, value, check);
  refuseTooLong(resource, name, strategy.validateSize?.(read) ?? []);
}

async function conformedInSteps(schema: StructSchema, value: Draft, check: Check): Promise<Draft> {
  return told(await check.context.takeSteps(readObjectSteps(schema, value, "uncounted")), value, check);
}

// What is wrong with a patched object is wrong with the patch: 422, as upstream.
async function patchedOrInvalid(value: Draft, read: () => Promise<Draft> | Draft, large?: Check): Promise<Draft> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof StatusError) || error.code !== 400) throw error;
    const text = await (large?.context.takeSteps(beginningOf(value)) ?? JSON.stringify(value));
    throw invalidObject({ group: "", kind: "", name: "" }, [invalid("patch", text, error.message)]);
  }
}

/** Upstream tells all of it, twice; here megabytes are cut off. */
function* beginningOf(value: Draft): Generator<void, string> {
  let text = "";
  for (const piece of writeJsonSteps(value)) {
    text += piece;
    if (text.length > MAX_TOLD) return `${text.slice(0, MAX_TOLD)}...`;
    yield;
  }
  return text;
}

/** So much of a large patched object is told in an error, in characters. */
const MAX_TOLD = 16 * 1024;

function conformed(schema: StructSchema, value: Draft, check: Check): Draft {
  return told(readObject(schema, value, "uncounted"), value, check);
}

/** What was read, when its unknown fields have been told or refused. */
function told({ object, unknownFields }: ReadObject, value: Draft, check: Check): Draft {
  const complaints = unknownFields.map((field) => `unknown field ${JSON.stringify(field)}`);
  if (complaints.length > 0 && check.fieldValidation === "Strict") {
    throw badRequest(`strict decoding error: ${complaints.join(", ")}`);
  }
  if (check.fieldValidation === "Warn") check.context.warnings.push(...complaints);
  object["kind"] ??= value["kind"];
  object["apiVersion"] ??= value["apiVersion"];
  return object;
}

function named(value: unknown, expected: BodyOptions["expected"]): Draft {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badRequest(`the object provided is unrecognized (must be of type ${expected.kind})`);
  }
  const { kind, apiVersion } = value as Draft;
  return kind && apiVersion
    ? (value as Draft)
    : { ...value, kind: kind || expected.kind, apiVersion: apiVersion || expected.apiVersion };
}

function wrongKind(draft: Draft, resource: ServedResource): Error {
  const { kind, apiVersion } = draft as { readonly kind: unknown; readonly apiVersion: unknown };
  if (kind === resource.kind) {
    return badRequest(
      `the API version in the data (${String(apiVersion)}) does not match the expected API version (${resource.apiVersion})`,
    );
  }
  return badRequest(
    `${String(kind)} in version ${JSON.stringify(String(apiVersion).split("/").at(-1))} cannot be handled as a ${resource.kind}`,
  );
}

/** A deep copy of JSON without nulls in objects. */
function copyJson(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyJson);
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const item = (value as Record<string, unknown>)[key];
    if (item !== null && item !== undefined && key !== "__proto__") copy[key] = copyJson(item);
  }
  return copy;
}
