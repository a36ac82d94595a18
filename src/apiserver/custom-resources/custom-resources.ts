/**
 * Follows CustomResourceDefinitions: gives them names, says in their conditions how they stand, keeps the table of what is served in step, and empties and removes what is deleted.
 * What upstream spreads over its naming, establishing, finalizing and serving controllers; in one process it can be one, and a definition is established at once.
 */
import { formatTime } from "#apimachinery/time.ts";
import { jsonEqual } from "#apimachinery/json.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { StructSchema } from "#apimachinery/schema.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionStatus,
} from "#api/generated/types/apiextensions-v1.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import { createInformer, type OwnedInformer } from "#client/reflector.ts";
import { Reconciler } from "#client/reconciler.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import type { Registry } from "#apiserver/registry/registry.ts";
import type { ConversionWebhook } from "./conversion-webhook.ts";
import { Instances } from "./instances.ts";
import { decideNames, isEnding, isTrue, withCondition } from "./names.ts";

const finalizer = "customresourcecleanup.apiextensions.k8s.io";
const definitions = {
  resource: { group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions" },
} as const;

/** What is served of a definition. `of` tells whether it is still what the definition says. */
type Served = {
  readonly of: unknown;
  readonly definition: CustomResourceDefinition;
  readonly versions: readonly ServedResource[];
  readonly webhook: ConversionWebhook;
};

/** The service behind all custom resources. */
export class CustomResources implements Service {
  readonly #registry: Registry;
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #objectMeta: StructSchema;
  readonly #informer: OwnedInformer<CustomResourceDefinition>;
  readonly #reconciler: Reconciler;
  readonly #instances: Instances;
  readonly #served = new Map<string, Served>();
  readonly #serving = new Set<Promise<void>>();
  /** Names that this process gave, ahead of what the informer has seen. */
  readonly #accepted = new Map<string, CustomResourceDefinitionNames>();

  /** `client` acts as the server itself. */
  constructor(registry: Registry, client: Client) {
    const { clock, logger, kindFacts } = registry.parts;
    this.#registry = registry;
    this.#client = client;
    this.#clock = clock;
    this.#logger = logger;
    const objectMeta = kindFacts.structOf("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    if (objectMeta === undefined) throw new Error("the kind facts lack ObjectMeta");
    this.#objectMeta = objectMeta;
    this.#informer = createInformer<CustomResourceDefinition>({ ...definitions, client, clock, logger });
    this.#instances = new Instances(client);
    this.#reconciler = new Reconciler({
      name: "custom-resources",
      reconcile: (name, signal) => this.#reconcile(name, signal),
      clock,
      logger,
      // One at a time: names are given in order.
      workers: 1,
    });
  }

  /** Resolves when all established definitions are served. */
  async start(signal: AbortSignal): Promise<void> {
    this.#informer.addHandler({
      onAdd: (definition) => this.#onChange(definition),
      onUpdate: (_before, definition) => this.#onChange(definition),
      onDelete: (definition) => this.#reconciler.enqueue(nameOf(definition)),
    });
    await this.#informer.start(signal);
    await this.#informer.waitForSync(signal);
    await Promise.all(this.#serving);
    await this.#reconciler.start(signal);
  }

  async stop(): Promise<void> {
    this.#instances.stop();
    await this.#reconciler.stop();
    await this.#informer.stop();
  }

  #onChange(definition: CustomResourceDefinition): void {
    if (isTrue(definition, "Established")) {
      const serving = this.#serve(definition)
        .catch((error: unknown) => this.#logger.error("Serving a custom resource failed", { error: String(error) }))
        .finally(() => this.#serving.delete(serving));
      this.#serving.add(serving);
    }
    this.#reconciler.enqueue(nameOf(definition));
  }

  async #reconcile(name: string, signal: AbortSignal): Promise<void> {
    const definition = this.#informer.lister.find("", name);
    if (definition === undefined) {
      this.#withdraw(name);
      this.#enqueueGroup(name);
    } else if (isEnding(definition)) await this.#end(definition, signal);
    else await this.#establish(definition);
  }

  /** Gives names, and serves before it says so: who waits for the condition can use the resource. */
  async #establish(definition: CustomResourceDefinition): Promise<void> {
    const name = nameOf(definition);
    const { names, condition } = decideNames(definition, this.#othersOf(definition));
    const time = formatTime(this.#clock.now());
    const before = definition.status?.conditions ?? [];
    let conditions = withCondition(before, condition, time);
    const isFirst = !isTrue(definition, "Established");
    if (isFirst) conditions = withCondition(conditions, establishedCondition(condition.status === "True"), time);
    const status: CustomResourceDefinitionStatus = { ...definition.status, acceptedNames: names, conditions };
    this.#accepted.set(name, names);
    if (jsonEqual(definition.status ?? {}, status)) return;
    const next: CustomResourceDefinition = { ...definition, status };
    if (isTrue(next, "Established")) await this.#serve(next);
    await this.#updateStatus(next);
    this.#enqueueGroup(name);
    if (isFirst && isTrue(next, "Established")) this.#logger.info("Served a custom resource", { definition: name });
  }

  /** Deletes all instances and, when they are gone, lets the definition go. */
  async #end(definition: CustomResourceDefinition, signal: AbortSignal): Promise<void> {
    const name = nameOf(definition);
    if (!definition.metadata?.finalizers?.includes(finalizer)) return;
    const versions = this.#served.get(name)?.versions ?? [];
    // In the version that they are stored in if it is served: a webhook may be gone already.
    const served = versions.find(({ apiVersion, stored }) => apiVersion === stored.apiVersion) ?? versions[0];
    if (served !== undefined) {
      await this.#setTerminating(definition);
      const { group, version, resource } = served.facts;
      const remaining = await this.#instances.deleteAll({ group, version, resource }, served.facts.isNamespaced, {
        signal,
        onGone: () => this.#reconciler.enqueue(name),
      });
      if (remaining > 0) return;
    }
    await this.#removeFinalizer(name);
  }

  async #setTerminating(definition: CustomResourceDefinition): Promise<void> {
    if (isTrue(definition, "Terminating")) return;
    const condition = {
      type: "Terminating",
      status: "True",
      reason: "InstanceDeletionInProgress",
      message: "CustomResource deletion is in progress",
    };
    const time = formatTime(this.#clock.now());
    const conditions = withCondition(definition.status?.conditions ?? [], condition, time);
    const status = { ...definition.status, conditions } as CustomResourceDefinitionStatus;
    await this.#updateStatus({ ...definition, status });
  }

  async #removeFinalizer(name: string): Promise<void> {
    const ref: ResourceRef = { ...definitions, name };
    try {
      const current = await this.#client.get<CustomResourceDefinition>(ref);
      const finalizers = (current.metadata?.finalizers ?? []).filter((each) => each !== finalizer);
      await this.#client.update(ref, { ...current, metadata: { ...current.metadata, finalizers } } as KubeObject);
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }

  async #updateStatus(definition: CustomResourceDefinition): Promise<void> {
    const ref: ResourceRef = { ...definitions, name: nameOf(definition), subresource: "status" };
    try {
      await this.#client.update(ref, definition as KubeObject);
    } catch (error) {
      // The informer brings what has changed in between, and the key with it.
      if (!hasReason(error, "Conflict") && !hasReason(error, "NotFound")) throw error;
    }
  }

  async #serve(definition: CustomResourceDefinition): Promise<void> {
    // Schemas, patterns and rules are loaded with the first definition, not at start.
    const [{ servedVersions }, { ConversionWebhook }] = await Promise.all([
      import("./custom-resource.ts"),
      import("./conversion-webhook.ts"),
    ]);
    const name = nameOf(definition);
    if (this.#informer.lister.find("", name) === undefined) return;
    const { acceptedNames: names, storedVersions } = definition.status ?? {};
    const of = { spec: definition.spec, names, storedVersions, isEnding: isEnding(definition) };
    const before = this.#served.get(name);
    if (before !== undefined && jsonEqual(before.of, of)) return;
    const { table, cache } = this.#registry.parts;
    const stored = before?.versions[0]?.stored;
    const known = before === undefined || stored === undefined ? undefined : { definition: before.definition, stored };
    const webhook = before?.webhook ?? new ConversionWebhook(this.#client);
    webhook.follow(definition);
    const versions = servedVersions(definition, { objectMeta: this.#objectMeta, before: known, webhook });
    for (const resource of versions) table.set(resource);
    for (const { facts } of before?.versions ?? []) {
      if (versions.some((each) => each.facts.version === facts.version)) continue;
      table.remove(facts.group, facts.version, facts.resource);
    }
    if (stored !== undefined && versions[0]?.stored !== stored) cache.forget(stored);
    this.#served.set(name, { of, definition, versions, webhook });
  }

  #withdraw(name: string): void {
    const before = this.#served.get(name);
    before?.webhook.close();
    this.#served.delete(name);
    this.#accepted.delete(name);
    const { table, cache } = this.#registry.parts;
    for (const { facts } of before?.versions ?? []) table.remove(facts.group, facts.version, facts.resource);
    if (before?.versions[0] !== undefined) cache.forget(before.versions[0].stored);
  }

  #othersOf(definition: CustomResourceDefinition): readonly CustomResourceDefinitionNames[] {
    return this.#informer.lister.list().flatMap((other) => {
      if (other.spec.group !== definition.spec.group || nameOf(other) === nameOf(definition)) return [];
      const names = this.#accepted.get(nameOf(other)) ?? other.status?.acceptedNames;
      return names === undefined ? [] : [names];
    });
  }

  /** A name that became free may be what another definition of the group waits for. */
  #enqueueGroup(name: string): void {
    const group = name.slice(name.indexOf(".") + 1);
    for (const other of this.#informer.lister.list()) {
      if (other.spec.group === group && nameOf(other) !== name && !isTrue(other, "NamesAccepted")) {
        this.#reconciler.enqueue(nameOf(other));
      }
    }
  }
}

function establishedCondition(isAccepted: boolean): {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
} {
  if (!isAccepted) {
    return { type: "Established", status: "False", reason: "NotAccepted", message: "not all names are accepted" };
  }
  const message = "the initial names have been accepted";
  return { type: "Established", status: "True", reason: "InitialNamesAccepted", message };
}

function nameOf(definition: CustomResourceDefinition): string {
  return definition.metadata?.name ?? "";
}
