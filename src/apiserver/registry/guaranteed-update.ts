/**
 * A change of an object that the server itself decides on (a binding, a disruption counted): read, change, write, and again when somebody else was quicker. No strategy and no admission.
 */
import { cloneJson } from "#apimachinery/json.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { notFound } from "#apimachinery/status-error.ts";
import type { Draft } from "#api/strategy.ts";
import { WriteConflict } from "#apiserver/storage/object-storage.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import { subjectOf } from "./errors.ts";
import type { Registry } from "./registry.ts";
import type { ServedResource } from "./served-resource.ts";

/** What to change. `change` gets a private copy; it throws StatusError to refuse, and may be called again. */
export type GuaranteedUpdate = {
  readonly resource: ServedResource;
  readonly namespace: string;
  readonly name: string;
  readonly dryRun: boolean;
  readonly change: (draft: Draft, old: KubeObject) => void;
};

/** Changes an object. Throws NotFound and what `change` throws. */
export async function guaranteedUpdate(registry: Registry, update: GuaranteedUpdate): Promise<StoredObject> {
  const storage = registry.storageOf(update.resource);
  let existing = await storage.find(update.namespace, update.name);
  for (;;) {
    if (existing === undefined) throw notFound(subjectOf(update.resource, update.name));
    const draft = cloneJson(existing.object) as Draft;
    update.change(draft, existing.object);
    if (update.dryRun) return existing;
    try {
      return await storage.update(existing, draft as KubeObject);
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
      existing = error.current;
    }
  }
}
