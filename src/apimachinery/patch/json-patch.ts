/**
 * JSON patch, RFC 6902, with the leniencies and the error texts of the library that upstream uses (evanphx/json-patch v4): replace sets
 * absent keys, negative indices count from the end, copies are bounded in size.
 */
import { assertReadableKey } from "#apimachinery/codecs/own-key.ts";
import { isJsonObject, type JsonDraft, type JsonObject, jsonEqual, ownValue, setOwn } from "#apimachinery/json.ts";
import type { Json } from "#apimachinery/meta.ts";
import { badRequest, StatusError } from "#apimachinery/status-error.ts";

/** Most operations in one patch, as kube-apiserver. */
export const maxJsonPatchOperations = 10_000;
/** Most bytes that all copy operations of one patch may add, as kube-apiserver. */
export const maxJsonPatchCopyBytes: number = 3 * 1024 * 1024;

type Operation = {
  readonly op: string;
  readonly path: string | undefined;
  readonly from: string | undefined;
  readonly value: Json | undefined;
};

/** The document with all operations applied, in order. Throws StatusError: 400 for what is no patch, 413 for too many operations, 422 when one fails. */
export function applyJsonPatch(document: JsonObject, patch: unknown): JsonObject {
  if (!Array.isArray(patch)) {
    throw badRequest("json: cannot unmarshal object into Go value of type jsonpatch.Patch");
  }
  const operations = patch.map(decode);
  if (operations.length > maxJsonPatchOperations) throw tooManyOperations(operations.length);
  const target = new Target(document);
  for (const operation of operations) {
    try {
      target.apply(operation);
    } catch (error) {
      throw error instanceof OperationError ? rejected(error) : error;
    }
  }
  if (isJsonObject(target.root)) return target.root;
  throw rejected(new OperationError("the patched document is no object"));
}

class OperationError extends Error {
  readonly kind = "OperationError";
}

/** The document while operations change it. Containers are copied before their first change, once each. */
class Target {
  root: Json;
  #copyBytes = 0;
  readonly #owned = new WeakSet<object>();

  constructor(document: JsonObject) {
    this.root = document;
  }

  apply(operation: Operation): void {
    switch (operation.op) {
      case "add":
        return this.#addAt(operation);
      case "remove":
        return this.#remove(operation);
      case "replace":
        return this.#replace(operation);
      case "move":
        return this.#move(operation);
      case "copy":
        return this.#copy(operation);
      case "test":
        return this.#test(operation);
      default:
        throw new OperationError(`Unexpected kind: ${operation.op}`);
    }
  }

  #addAt({ path, value }: Operation): void {
    if (path === undefined) throw new OperationError("add operation failed to decode path: missing value");
    const place = this.#find(path);
    if (!place) {
      throw new OperationError(`add operation does not apply: doc is missing path: "${path}": missing value`);
    }
    prefixed(`error in add for path: '${path}'`, () => add(place, value ?? null));
  }

  #remove({ path }: Operation): void {
    if (path === undefined) throw new OperationError("remove operation failed to decode path: missing value");
    const place = this.#find(path);
    if (!place) {
      throw new OperationError(`remove operation does not apply: doc is missing path: "${path}": missing value`);
    }
    prefixed(`error in remove for path: '${path}'`, () => remove(place));
  }

  #replace({ path, value }: Operation): void {
    if (path === undefined) throw missing("replace", "path");
    if (path === "") {
      if (typeof value !== "object" || value === null) {
        throw new OperationError("replace operation value must be object or array: %!w(<nil>)");
      }
      this.root = value;
      return;
    }
    const place = this.#find(path);
    if (!place) {
      throw new OperationError(`replace operation does not apply: doc is missing path: ${path}: missing value`);
    }
    if (!canGet(place)) {
      throw new OperationError(`replace operation does not apply: doc is missing key: ${path}: missing value`);
    }
    if (Array.isArray(place.container)) place.container[indexOf(place)] = value ?? null;
    else setOwn(place.container, place.key, value ?? null);
  }

  #move({ path, from }: Operation): void {
    if (from === undefined) throw missing("move", "from");
    const source = this.#find(from);
    if (!source) {
      throw new OperationError(`move operation does not apply: doc is missing from path: ${from}: missing value`);
    }
    const value = prefixed(`error in move for path: '${source.key}'`, () => get(source));
    prefixed(`error in move for path: '${source.key}'`, () => remove(source));
    if (path === undefined) throw missing("move", "path");
    const place = this.#find(path);
    if (!place) {
      throw new OperationError(
        `move operation does not apply: doc is missing destination path: ${path}: missing value`,
      );
    }
    prefixed(`error in move for path: '${path}'`, () => add(place, value ?? null));
  }

  #copy({ path, from }: Operation): void {
    if (from === undefined) throw missing("copy", "from");
    const source = this.#find(from);
    if (!source) {
      throw new OperationError(`copy operation does not apply: doc is missing from path: ${from}: missing value`);
    }
    const value = prefixed(`error in copy for from: '${from}'`, () => get(source)) ?? null;
    if (path === undefined) throw new OperationError("copy operation failed to decode path: missing value");
    const place = this.#find(path);
    if (!place) {
      throw new OperationError(
        `copy operation does not apply: doc is missing destination path: ${path}: missing value`,
      );
    }
    prefixed("error while adding value during copy", () => add(place, this.#copied(value)));
  }

  #test({ path, value }: Operation): void {
    if (path === undefined) throw missing("test", "path");
    const wanted = value ?? null;
    const place = path === "" ? undefined : this.#find(path);
    if (path !== "" && !place) {
      throw new OperationError(`test operation does not apply: is missing path: ${path}: missing value`);
    }
    const actual = place ? (prefixed(`error in test for path: '${path}'`, () => get(place)) ?? null) : this.root;
    if (!jsonEqual(actual, wanted)) throw new OperationError(`testing value ${path} failed: test failed`);
  }

  /** A copy of its own, so that a later change of one does not show in the other. */
  #copied(value: Json): Json {
    const text = JSON.stringify(value);
    this.#copyBytes += text.length;
    if (this.#copyBytes > maxJsonPatchCopyBytes) {
      throw new OperationError(
        `Unable to complete the copy, the accumulated size increase of copy is ${this.#copyBytes}, exceeding the limit ${maxJsonPatchCopyBytes}`,
      );
    }
    return JSON.parse(text) as Json;
  }

  /** The container that holds the path's last part, ready to be changed; undefined when the way there is missing. */
  #find(path: string): Place | undefined {
    const parts = path.split("/");
    if (parts.length < 2) return undefined;
    let container = this.#own(this.root);
    this.root = container;
    for (const part of parts.slice(1, -1)) {
      const place = { container, key: decodeKey(part) };
      const next = canGet(place) ? get(place) : undefined;
      if (typeof next !== "object" || next === null) return undefined;
      const owned = this.#own(next);
      if (Array.isArray(container)) container[indexOf(place)] = owned;
      else setOwn(container, place.key, owned);
      container = owned;
    }
    return { container, key: decodeKey(parts.at(-1) as string) };
  }

  #own(value: Json): Json[] | JsonDraft {
    const container = value as Json[] | JsonDraft;
    if (this.#owned.has(container)) return container;
    const copy = Array.isArray(container) ? [...container] : { ...container };
    this.#owned.add(copy);
    return copy;
  }
}

type Place = { readonly container: Json[] | JsonDraft; readonly key: string };

function decode(operation: unknown): Operation {
  if (!isJsonObject(operation)) {
    throw badRequest("json: cannot unmarshal value into Go value of type jsonpatch.Operation");
  }
  const text = (key: string): string | undefined => {
    const value = ownValue(operation, key);
    return typeof value === "string" ? value : undefined;
  };
  return { op: text("op") ?? "unknown", path: text("path"), from: text("from"), value: ownValue(operation, "value") };
}

function decodeKey(part: string): string {
  const key = part.includes("~") ? part.replaceAll("~1", "/").replaceAll("~0", "~") : part;
  assertReadableKey(key);
  return key;
}

function parseIndex(key: string): number {
  if (/^[-+]?[0-9]{1,15}$/.test(key)) return Number(key);
  throw new OperationError(`strconv.Atoi: parsing ${JSON.stringify(key)}: invalid syntax`);
}

/** Where in an existing list; negative ones count from the end. */
function indexOf({ container, key }: Place): number {
  const { length } = container as Json[];
  const index = parseIndex(key);
  if (index >= length || index < -length) {
    throw new OperationError(`Unable to access invalid index: ${index}: invalid index referenced`);
  }
  return index < 0 ? index + length : index;
}

function get(place: Place): Json | undefined {
  if (Array.isArray(place.container)) return place.container[indexOf(place)];
  return ownValue(place.container, place.key);
}

function canGet(place: Place): boolean {
  try {
    get(place);
    return true;
  } catch {
    return false;
  }
}

function add(place: Place, value: Json): void {
  const { container, key } = place;
  if (!Array.isArray(container)) return setOwn(container, key, value);
  if (key === "-") {
    container.push(value);
    return;
  }
  if (!/^[-+]?[0-9]{1,15}$/.test(key)) {
    throw new OperationError(
      `value was not a proper array index: '${key}': strconv.Atoi: parsing ${JSON.stringify(key)}: invalid syntax`,
    );
  }
  const index = Number(key);
  const size = container.length + 1;
  if (index >= size || index < -size) {
    throw new OperationError(`Unable to access invalid index: ${index}: invalid index referenced`);
  }
  container.splice(index < 0 ? index + size : index, 0, value);
}

function remove(place: Place): void {
  const { container, key } = place;
  if (Array.isArray(container)) {
    container.splice(indexOf(place), 1);
    return;
  }
  if (!Object.hasOwn(container, key)) {
    throw new OperationError(`Unable to remove nonexistent key: ${key}: missing value`);
  }
  delete container[key];
}

function missing(operation: string, what: "path" | "from"): OperationError {
  const why = what === "path" ? "operation missing path field" : "operation, missing from field";
  return new OperationError(`${operation} operation failed to decode ${what}: ${why}: missing value`);
}

function prefixed<T>(prefix: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    throw new OperationError(`${prefix}: ${error.message}`, { cause: error });
  }
}

/** Upstream's message hides what went wrong; the cause says it. */
function rejected(error: OperationError): StatusError {
  return new StatusError({
    reason: "Invalid",
    code: 422,
    message: "the server rejected our request due to an error in our request",
    details: { causes: [{ reason: "FieldValueInvalid", message: error.message, field: "patch" }] },
    cause: error,
  });
}

function tooManyOperations(count: number): StatusError {
  return new StatusError({
    reason: "RequestEntityTooLarge",
    code: 413,
    message: `Request entity too large: The allowed maximum operations in a JSON patch is ${maxJsonPatchOperations}, got ${count}`,
  });
}
