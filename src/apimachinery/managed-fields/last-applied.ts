/**
 * The way from kubectl's client-side apply to server-side apply: the annotation with the last applied configuration says what kubectl owned,
 * and is kept up to date as long as it is there. As apimachinery's lastAppliedManager and lastAppliedUpdater.
 */
import { isJsonArray, isJsonObject, type JsonDraft, type JsonObject, setOwn } from "#apimachinery/json.ts";
import type { Json, KubeObject } from "#apimachinery/meta.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import { difference, type FieldSet } from "./field-set.ts";
import { compareObjects } from "./typed-compare.ts";
import { fieldSetOf } from "./typed-set.ts";
import { typeProblems } from "./typed-validate.ts";

/** kubectl's annotation. */
export const lastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration";

/** Most bytes that all annotations of an object may have. */
const maxAnnotationBytes = 256 * 1024;

/** Fields that the annotation holds and that are still as it says. Undefined when there is no usable annotation. */
export function allowedByLastApplied(
  live: KubeObject | undefined,
  { apiVersion, schema }: { readonly apiVersion: string; readonly schema: StructSchema },
): FieldSet | undefined {
  const text = live?.metadata?.annotations?.[lastAppliedAnnotation];
  const lastApplied = text === undefined ? undefined : parse(text);
  if (lastApplied === undefined || lastApplied["apiVersion"] !== apiVersion) return undefined;
  if (typeProblems(lastApplied, schema).length > 0) return undefined;
  const { modified, added, removed } = compareObjects(lastApplied, live as JsonObject, schema);
  return difference(difference(difference(fieldSetOf(lastApplied, schema), modified), added), removed);
}

/** The object with the annotation brought up to date, where kubectl applies and the object has one. */
export function withLastApplied(
  object: KubeObject,
  { applied, manager }: { readonly applied: KubeObject; readonly manager: string },
): KubeObject {
  const annotations = object.metadata?.annotations;
  if (manager !== "kubectl" || !annotations?.[lastAppliedAnnotation]) return object;
  const updated = {
    ...annotations,
    [lastAppliedAnnotation]: `${JSON.stringify(sorted(withoutAnnotation(applied)))}\n`,
  };
  const bytes = Object.entries(updated).reduce((sum, [key, value]) => sum + key.length + Buffer.byteLength(value), 0);
  const { [lastAppliedAnnotation]: _, ...without } = updated;
  return { ...object, metadata: { ...object.metadata, annotations: bytes > maxAnnotationBytes ? without : updated } };
}

function withoutAnnotation(applied: KubeObject): JsonObject {
  const { [lastAppliedAnnotation]: _, ...annotations } = applied.metadata?.annotations ?? {};
  const metadata = { ...applied.metadata, ...(applied.metadata?.annotations === undefined ? {} : { annotations }) };
  return { ...applied, metadata } as JsonObject;
}

/** Go writes maps with their keys in order. */
function sorted(value: Json): Json {
  if (isJsonArray(value)) return value.map(sorted);
  if (!isJsonObject(value)) return value;
  const draft: JsonDraft = {};
  for (const key of Object.keys(value).sort()) setOwn(draft, key, sorted(value[key] as Json));
  return draft;
}

function parse(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
