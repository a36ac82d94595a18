/**
 * Makes a Revision of each generation of a Configuration, and says which was made last and which is the newest that is ready. As upstream's `pkg/reconciler/configuration` (v1.23).
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import { KeyedController, type NamedController } from "#client/controller.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { Conditions, findCondition, isFalse, isTrue, isUnknown } from "#knative/conditions.ts";
import { isReady, writeStatus } from "#knative/objects.ts";
import { RefusedWrites, WriteRefused } from "#knative/refused-writes.ts";
import { byConfiguration, revisionInformer, type ServingContext } from "#serving/common/context.ts";
import { type Configuration, configurations, type Revision, revisions } from "#serving/kinds.ts";
import { findNamed, generationOf, revisionOf } from "./revision-of.ts";

/** The controller of Configurations. */
export function createConfigurationController(context: ServingContext): NamedController {
  return new ConfigurationController(context).controller;
}

type Found = { readonly revision: Revision; readonly isByName: boolean };

class ConfigurationController {
  readonly controller: KeyedController;
  readonly #context: ServingContext;
  readonly #events: EventRecorder;
  readonly #refused: RefusedWrites;
  readonly #configurations: Informer<Configuration>;
  readonly #revisions: Informer<Revision>;

  constructor(context: ServingContext) {
    this.#context = context;
    this.#events = context.recorderFor("configuration-controller");
    this.#refused = new RefusedWrites(context.clock);
    this.controller = new KeyedController(context, {
      name: "serving-configuration",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    const resource = configurations;
    this.#configurations = this.controller.watch(context.informers.informer<Configuration>({ resource }), {
      onAdd: (configuration) => queue.add(keyOf(configuration)),
      onUpdate: (_before, configuration) => queue.add(keyOf(configuration)),
      onDelete: (configuration) => this.#refused.forget(keyOf(configuration)),
    });
    const enqueue = (revision: Revision) => this.#enqueueOwner(revision);
    this.#revisions = this.controller.watch(revisionInformer(context), {
      onAdd: enqueue,
      onUpdate: (_before, revision) => enqueue(revision),
      onDelete: enqueue,
    });
  }

  #enqueueOwner({ metadata }: KubeObject): void {
    const owner = metadata?.ownerReferences?.find((reference) => reference.controller === true);
    if (owner?.kind === "Configuration") this.controller.queue.add(`${metadata?.namespace}/${owner.name}`);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const configuration = this.#configurations.lister.find(namespace, name);
    if (configuration === undefined || configuration.metadata?.deletionTimestamp !== undefined) return;
    const { client, clock } = this.#context;
    const conditions = new Conditions(configuration.status?.conditions, []);
    const names = await this.#look(configuration, conditions, signal);
    const { annotations } = configuration.status ?? {};
    const status = {
      ...(annotations === undefined ? {} : { annotations }),
      ...names,
      conditions: conditions.result(clock.now()),
    };
    await writeStatus(client, configurations, { object: configuration, status, signal });
  }

  async #look(
    configuration: Configuration,
    conditions: Conditions,
    signal: AbortSignal,
  ): Promise<{ readonly latestCreatedRevisionName?: string; readonly latestReadyRevisionName?: string }> {
    const { latestCreatedRevisionName, latestReadyRevisionName } = configuration.status ?? {};
    const before = {
      ...(latestCreatedRevisionName === undefined ? {} : { latestCreatedRevisionName }),
      ...(latestReadyRevisionName === undefined ? {} : { latestReadyRevisionName }),
    };
    const found = await this.#latestCreated(configuration, conditions, signal);
    if (found === undefined) return before;
    const { revision } = found;
    const created = revision.metadata?.name ?? "";
    if (latestReadyRevisionName !== created) conditions.mark("Ready", isUnknown());
    this.#judge(configuration, revision, conditions);
    const ready = this.#latestReady(configuration, found);
    if (ready === created && isReady(revision)) conditions.mark("Ready", isTrue);
    if (ready !== undefined && ready !== latestReadyRevisionName) this.#announce(configuration, ready);
    return {
      ...before,
      latestCreatedRevisionName: created,
      ...(ready === undefined ? {} : { latestReadyRevisionName: ready }),
    };
  }

  async #latestCreated(
    configuration: Configuration,
    conditions: Conditions,
    signal: AbortSignal,
  ): Promise<Found | undefined> {
    const named = findNamed(configuration, this.#revisions.lister);
    if (named.kind === "found") return { revision: named.revision, isByName: true };
    if (named.kind === "taken") {
      const name = configuration.spec?.template?.metadata?.name ?? "";
      const why = `revisions.serving.knative.dev ${JSON.stringify(name)} already exists`;
      conditions.mark("Ready", isFalse("RevisionFailed", `Revision creation failed with message: ${why}.`));
      return undefined;
    }
    const existing = this.#revisionsOf(configuration).find(
      (revision) => generationOf(revision) === configuration.metadata?.generation,
    );
    if (existing !== undefined && named.kind === "unnamed") return { revision: existing, isByName: false };
    return await this.#create(configuration, conditions, signal);
  }

  #revisionsOf({ metadata }: Configuration): readonly Revision[] {
    return this.#revisions.lister.byIndex(byConfiguration, `${metadata?.namespace}/${metadata?.name}`);
  }

  async #create(configuration: Configuration, conditions: Conditions, signal: AbortSignal): Promise<Found | undefined> {
    const { client, clock } = this.#context;
    const wanted = revisionOf(configuration, clock.now());
    const namespace = configuration.metadata?.namespace ?? "";
    const what = "create Revision";
    try {
      const revision = await this.#refused.attempt(
        keyOf(configuration),
        { wanted: configuration.spec ?? {}, what },
        () => client.create<Revision>({ resource: revisions, namespace }, wanted, { signal }),
      );
      const message = `Created Revision ${JSON.stringify(revision.metadata?.name)}`;
      this.#events.record(configuration, { type: "Normal", reason: "Created", message });
      return { revision, isByName: false };
    } catch (error) {
      if (!(error instanceof WriteRefused)) throw error;
      const { message, isNews, retryAfterMs, cause } = error;
      if (isNews) this.#events.record(configuration, { type: "Warning", reason: "CreationFailed", message });
      this.controller.queue.addAfter(keyOf(configuration), retryAfterMs);
      const why = `Revision creation failed with message: ${cause.message}.`;
      conditions.mark("Ready", isFalse("RevisionFailed", why));
      return undefined;
    }
  }

  #judge(configuration: Configuration, revision: Revision, conditions: Conditions): void {
    const name = revision.metadata?.name ?? "";
    const ready = findCondition(revision.status?.conditions, "Ready");
    const { latestReadyRevisionName } = configuration.status ?? {};
    if (ready?.status === "True" && !latestReadyRevisionName)
      this.#events.record(configuration, {
        type: "Normal",
        reason: "ConfigurationReady",
        message: "Configuration becomes ready",
      });
    if (ready?.status !== "False") {
      // A latest revision that has failed may come back.
      if (latestReadyRevisionName === name && conditions.is("Ready", "False")) conditions.mark("Ready", isUnknown());
      // What it waits for, when there is something to say.
      if (latestReadyRevisionName !== name && ready?.message)
        conditions.mark("Ready", isUnknown(ready.reason, ready.message));
      return;
    }
    const quoted = JSON.stringify(name);
    const failed = isFalse(
      "RevisionFailed",
      `Revision ${quoted} failed with message: ${ready.message || (ready.reason ?? "")}.`,
    );
    if (conditions.find("Ready")?.message !== failed.message) {
      const which = name === latestReadyRevisionName ? "ready" : "created";
      this.#events.record(configuration, {
        type: "Warning",
        reason: which === "ready" ? "LatestReadyFailed" : "LatestCreatedFailed",
        message: `Latest ${which} revision ${quoted} has failed`,
      });
    }
    conditions.mark("Ready", failed);
  }

  /** The newest ready revision, but none older than the one that was so before. */
  #latestReady(configuration: Configuration, latest: Found): string | undefined {
    const before = configuration.status?.latestReadyRevisionName;
    const all = new Map(this.#revisionsOf(configuration).map((revision) => [revision.metadata?.name ?? "", revision]));
    all.set(latest.revision.metadata?.name ?? "", latest.revision);
    const known = before === undefined ? undefined : all.get(before);
    const from = known === undefined ? Number.NEGATIVE_INFINITY : generationOf(known);
    const byName = configuration.spec?.template?.metadata?.name ?? "";
    const candidates = [...all.values()]
      .filter((revision) => generationOf(revision) >= from || (latest.isByName && revision === latest.revision))
      .toSorted((a, b) => rank(b, byName) - rank(a, byName));
    return candidates.find(isReady)?.metadata?.name ?? before;
  }

  #announce(configuration: Configuration, ready: string): void {
    const message = `LatestReadyRevisionName updated to ${JSON.stringify(ready)}`;
    this.#events.record(configuration, { type: "Normal", reason: "LatestReadyUpdate", message });
  }
}

/** The revision that the template names goes before all others, whatever its generation. */
function rank(revision: Revision, byName: string): number {
  return revision.metadata?.name === byName ? Number.POSITIVE_INFINITY : generationOf(revision);
}
