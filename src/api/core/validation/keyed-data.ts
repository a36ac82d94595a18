/**
 * ConfigMaps and Secrets: keys, sizes, what each type of secret must hold, and that immutable ones stay.
 */
import { isDeepStrictEqual } from "node:util";
import { type FieldError, forbiddenField, invalid, required, tooLong } from "#apimachinery/field-error.ts";
import type { ConfigMap, Secret } from "#api/generated/types/core-v1.ts";
import { findLargeMap, keysOf } from "#apimachinery/large-map.ts";
import { isConfigMapKey } from "#apimachinery/names.ts";
import { check, type Errors } from "#api/field-rules.ts";

const maxBytes = 1_048_576;
const immutableText = "field is immutable when `immutable` is set";

/** Only of large maps, by what is known of them. */
export function validateConfigMapSize({ data = {}, binaryData = {} }: ConfigMap): Errors {
  const least = (findLargeMap(data)?.characters ?? 0) + leastBytesOf(binaryData);
  return least > maxBytes ? [tooLong("[]", maxBytes)] : [];
}

/** Only of large maps, by what is known of them. */
export function validateSecretSize({ data = {} }: Secret): Errors {
  return leastBytesOf(data) > maxBytes ? [tooLong("data", maxBytes)] : [];
}

/** Three bytes for four characters, but for the last ones of each text. */
function leastBytesOf(data: object): number {
  const { characters = 0, keys = [] } = findLargeMap(data) ?? {};
  return (characters / 4) * 3 - 2 * keys.length;
}

export function validateConfigMap({ data = {}, binaryData = {} }: ConfigMap): Errors {
  const errors: FieldError[] = [...validateConfigMapSize({ data, binaryData })];
  // What is too long is not looked at key by key, where that would take long.
  if (errors.length > 0) return errors;
  let size = bytesOf(binaryData);
  const keys = keysOf(data);
  // One walk, and no texts for keys that are fine: there may be a hundred thousand.
  for (const key of keys) {
    for (const detail of isConfigMapKey(key)) errors.push(invalid(`data[${key}]`, key, detail));
    if (Object.hasOwn(binaryData, key))
      errors.push(invalid(`data[${key}]`, key, "duplicate of key present in binaryData"));
    size += Buffer.byteLength(data[key] as string);
  }
  for (const key of Object.keys(binaryData)) errors.push(...check(`binaryData[${key}]`, key, isConfigMapKey));
  return size > maxBytes ? [...errors, tooLong("[]", maxBytes)] : errors;
}

export function validateConfigMapUpdate(after: ConfigMap, before: ConfigMap): Errors {
  return [...validateKept(after, before, ["data", "binaryData"]), ...validateConfigMap(after)];
}

export function validateSecret(secret: Secret): Errors {
  const data = secret.data ?? {};
  const large = validateSecretSize(secret);
  if (large.length > 0) return large;
  const errors: FieldError[] = Object.keys(data).flatMap((key) => check(`data[${key}]`, key, isConfigMapKey));
  if (bytesOf(data) > maxBytes) errors.push(tooLong("data", maxBytes));
  return [...errors, ...validateType(secret, data)];
}

export function validateSecretUpdate(after: Secret, before: Secret): Errors {
  const type = after.type === before.type ? [] : [invalid("type", after.type, "field is immutable")];
  return [...type, ...validateKept(after, before, ["data"]), ...validateSecret(after)];
}

function validateType({ type, metadata }: Secret, data: Readonly<Record<string, string>>): Errors {
  const need = (key: string) => (data[key] === undefined ? [required(`data[${key}]`)] : []);
  switch (type) {
    case "kubernetes.io/service-account-token":
      return metadata?.annotations?.["kubernetes.io/service-account.name"]
        ? []
        : [required("metadata.annotations[kubernetes.io/service-account.name]")];
    case "kubernetes.io/dockercfg":
      return validateJson(".dockercfg", data);
    case "kubernetes.io/dockerconfigjson":
      return validateJson(".dockerconfigjson", data);
    case "kubernetes.io/basic-auth":
      return data["username"] === undefined && data["password"] === undefined
        ? [...need("username"), ...need("password")]
        : [];
    case "kubernetes.io/ssh-auth":
      return data["ssh-privatekey"] ? [] : [required("data[ssh-privatekey]")];
    case "kubernetes.io/tls":
      return [...need("tls.crt"), ...need("tls.key")];
    default:
      return [];
  }
}

function validateJson(key: string, data: Readonly<Record<string, string>>): Errors {
  const text = data[key];
  if (text === undefined) return [required(`data[${key}]`)];
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64").toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return [];
  } catch {
    // Said below, without the secret's text.
  }
  return [invalid(`data[${key}]`, "<secret contents redacted>", "must be a JSON object")];
}

function validateKept<T extends ConfigMap | Secret>(
  after: T,
  before: T,
  fields: readonly (keyof T & string)[],
): Errors {
  if (before.immutable !== true) return [];
  const released = after.immutable === true ? [] : [forbiddenField("immutable", immutableText)];
  const changed = fields.filter((field) => !isDeepStrictEqual(after[field] ?? {}, before[field] ?? {}));
  return [...released, ...changed.map((field) => forbiddenField(field, immutableText))];
}

function bytesOf(data: Readonly<Record<string, string>>): number {
  return Object.values(data).reduce((sum, text) => sum + Buffer.byteLength(text, "base64"), 0);
}
