/**
 * Creates objects: system fields, admission, the kind's strategy, validation, and the write, with another try where a generated name was taken. Upstream's rest.BeforeCreate and
 * registry.Store.Create.
 */
import { type FieldError, invalidObject } from "#apimachinery/field-error.ts";
import { allOf, type Later } from "#apimachinery/managed-fields/large-collections.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { alreadyExists, badRequest, StatusError } from "#apimachinery/status-error.ts";
import type { Draft, KindChecks } from "#api/strategy.ts";
import type { WriteOperation } from "#store/store.ts";
import type { RequestContext } from "#apiserver/api-request.ts";
import type { WriteOptions } from "#apiserver/handlers/write-options.ts";
import { WriteConflict } from "#apiserver/storage/object-storage.ts";
import { StoredObject, toStoredBytes, toStoredBytesSteps } from "#apiserver/storage/stored-object.ts";
import { betweenStages, isLarge } from "#apiserver/turns.ts";
import { keyOf } from "#apiserver/storage/stored-resource.ts";
import { type AdmissionWrite, mutate, validate } from "./admission-chain.ts";
import { subjectOf } from "./errors.ts";
import { managerOf, recordOwnership } from "./field-ownership.ts";
import { metadataRules, validateMetadata } from "./metadata-validation.ts";
import { ensureNamespace, fillSystemFields, generateName, metadataOf } from "./object-meta.ts";
import { refuseTooLong } from "./refuse-too-long.ts";
import type { Registry } from "./registry.ts";
import { checksOf, type ServedResource } from "./served-resource.ts";
import { stampUser } from "./user-fields.ts";

/** How often a generated name is made again when it was taken; as upstream since v1.30. */
const NAME_ATTEMPTS = 8;

/** One create. `draft` is a private copy, in the served version, with defaults applied. */
export type CreateInput = {
  readonly resource: ServedResource;
  readonly namespace: string;
  readonly draft: Draft;
  readonly options: WriteOptions;
  readonly context: RequestContext;
  /** Set when the draft's managedFields are complete already (server-side apply). */
  readonly isOwned?: boolean;
};

/** Creates an object and gives its stored state; for a dry run the state that would be stored, under revision 0. */
export async function createObject(registry: Registry, input: CreateInput): Promise<StoredObject> {
  const { resource, draft } = input;
  const metadata = metadataOf(draft);
  ensureNamespace(draft, resource, input.namespace);
  if (metadata["resourceVersion"]) throw badRequest("resourceVersion should not be set on objects to be created");
  const base = metadata["name"] ? "" : String(metadata["generateName"] ?? "");
  fillSystemFields(draft, registry.parts.clock.now());
  stampUser(resource, draft, input.context.user);
  for (let attempt = 1; ; attempt++) {
    if (base !== "") metadata["name"] = generateName(base);
    try {
      return await createOnce(registry, input);
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
      // Something that is written with the object was taken meanwhile: reserve anew.
      if (error.isBeside && attempt < NAME_ATTEMPTS) continue;
      if (base === "" || attempt >= NAME_ATTEMPTS) throw nameTaken(resource, String(metadata["name"]), base !== "");
    }
  }
}

async function createOnce(registry: Registry, input: CreateInput): Promise<StoredObject> {
  const { resource, options, context } = input;
  const { admission, hooks } = registry.parts;
  const write: AdmissionWrite = {
    context,
    resource,
    table: registry.parts.table,
    operation: "CREATE",
    dryRun: options.dryRun,
    options,
  };
  const loaded = checksOf(resource);
  const checks = loaded instanceof Promise ? await loaded : loaded;
  if (isLarge(context)) {
    const object = input.draft as KubeObject;
    refuseTooLong(resource, object.metadata?.name ?? "", findErrors(resource, checks, object));
    await betweenStages(context);
  }
  if (input.isOwned !== true) {
    const manager = managerOf(context, options.fieldManager);
    const nowMs = registry.parts.clock.now();
    const later: Later | undefined = isLarge(context) ? [] : undefined;
    const isLater = later === undefined ? {} : { later };
    recordOwnership(input.draft, undefined, { resource, manager, subresource: "", nowMs, ...isLater });
    if (later !== undefined) await context.takeSteps(allOf(later));
    if (isLarge(context)) await betweenStages(context);
  }
  const admitted = await mutate(admission, write, { object: input.draft as KubeObject, oldObject: undefined });
  const draft = admitted as Draft;
  resource.strategy.prepareForCreate?.(draft);
  if (hasGeneration(resource)) metadataOf(draft)["generation"] = 1;
  const reserved = hooks.get(resource.stored.groupResource)?.beforeCreate?.(draft, options);
  const reservation = reserved === undefined ? undefined : await reserved;
  try {
    check(input, checks, draft as KubeObject);
    if (isLarge(context)) await betweenStages(context);
    await validate(admission, write, { object: draft as KubeObject, oldObject: undefined });
    if (isLarge(context)) await betweenStages(context);
    const stored = await store(registry, input, draft as KubeObject, reservation?.operations);
    reservation?.commit();
    return stored;
  } catch (error) {
    reservation?.release();
    throw error;
  }
}

/** What is wrong with a new object. */
function findErrors(resource: ServedResource, checks: KindChecks, object: KubeObject): readonly FieldError[] {
  return [...validateMetadata(object.metadata ?? {}, metadataRules(resource)), ...(checks.validate?.(object) ?? [])];
}

function check({ resource, context }: CreateInput, checks: KindChecks, object: KubeObject): void {
  const errors = findErrors(resource, checks, object);
  const name = object.metadata?.name ?? "";
  if (errors.length > 0) throw invalidObject({ group: resource.group, kind: resource.kind, name }, errors);
  if (checks.warnings !== undefined) context.warnings.push(...checks.warnings(object, undefined));
}

async function store(
  registry: Registry,
  input: CreateInput,
  served: KubeObject,
  operations: readonly WriteOperation[] = [],
): Promise<StoredObject> {
  const { resource, options } = input;
  const object = resource.conversion === undefined ? served : await resource.conversion.toStored(served);
  const { namespace = "", name = "" } = object.metadata ?? {};
  const storage = registry.storageOf(resource);
  if (!options.dryRun) {
    const bytes = isLarge(input.context)
      ? await input.context.takeSteps(toStoredBytesSteps(resource.stored, object))
      : undefined;
    return await storage.create(namespace, name, object, operations, bytes);
  }
  if ((await storage.find(namespace, name)) !== undefined) throw new WriteConflict(undefined);
  return unstored(resource, object, keyOf(resource.stored, namespace, name));
}

/** A state that was not stored (dry run). An object that was there keeps its revision; revision 0 is not shown. */
export function unstored(resource: ServedResource, object: KubeObject, key: string, revision = 0): StoredObject {
  const bytes = toStoredBytes(resource.stored, object);
  return new StoredObject(resource.stored, { key, revision, bytes, parsed: object });
}

/** True when objects of this resource count the changes of their spec. */
export function hasGeneration(resource: ServedResource): boolean {
  if (resource.strategy.hasNoGeneration === true) return false;
  if (resource.strategy.hasGeneration === true) return true;
  return resource.isCustom || resource.schema === undefined || resource.schema.fields.has("spec");
}

function nameTaken(resource: ServedResource, name: string, isGenerated: boolean): StatusError {
  const error = alreadyExists(subjectOf(resource, name));
  if (!isGenerated) return error;
  return new StatusError({
    reason: "AlreadyExists",
    code: 409,
    message: `${error.message}, the server was not able to generate a unique name for the object`,
    ...(error.details === undefined ? {} : { details: { ...error.details, retryAfterSeconds: 1 } }),
  });
}
