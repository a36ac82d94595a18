/**
 * Deletes revisions that no route has used for long: those that are stale by `config-gc`, and the oldest beyond the most that are kept. As upstream's `pkg/reconciler/gc` (v1.23).
 */
import { KeyedController, type NamedController } from "#client/controller.ts";
import { ensureDeleted } from "#client/find-object.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { refOf } from "#knative/objects.ts";
import { byConfiguration, revisionInformer, type ServingContext } from "#serving/common/context.ts";
import { disabled, type GcConfig } from "#serving/config/other-configs.ts";
import { type Configuration, configurations, type Revision, revisions } from "#serving/kinds.ts";
import { annotations as keys, labels } from "#serving/names.ts";

/** The controller. Its keys are Configurations. */
export function createGcController(context: ServingContext): NamedController {
  return new GcController(context).controller;
}

class GcController {
  readonly controller: KeyedController;
  readonly #context: ServingContext;
  readonly #configurations: Informer<Configuration>;
  readonly #revisions: Informer<Revision>;

  constructor(context: ServingContext) {
    this.#context = context;
    this.controller = new KeyedController(context, {
      name: "serving-gc",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    const resource = configurations;
    this.#configurations = this.controller.watch(context.informers.informer<Configuration>({ resource }), {
      onAdd: (configuration) => queue.add(keyOf(configuration)),
      onUpdate: (_before, configuration) => queue.add(keyOf(configuration)),
    });
    this.#revisions = this.controller.watch(revisionInformer(context));
    context.config.onChange(() => {
      for (const configuration of this.#configurations.lister.list()) queue.add(keyOf(configuration));
    });
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const configuration = this.#configurations.lister.find(namespace, name);
    if (configuration === undefined || configuration.metadata?.deletionTimestamp !== undefined) return;
    const all = this.#revisions.lister.byIndex(byConfiguration, key);
    const { client, clock, config } = this.#context;
    const gone = collectable(all, {
      latestReady: configuration.status?.latestReadyRevisionName,
      config: config.current.gc,
      nowMs: clock.now(),
    });
    for (const revision of gone) {
      await ensureDeleted(client, refOf(revisions, revision), { signal });
    }
  }
}

/** Which of a Configuration's revisions may go, oldest first. */
export function collectable(
  all: readonly Revision[],
  options: { readonly latestReady: string | undefined; readonly config: GcConfig; readonly nowMs: number },
): readonly Revision[] {
  const { config, nowMs } = options;
  const { minNonActiveRevisions: min, maxNonActiveRevisions: max } = config;
  const isOff = [max, config.retainSinceCreateTimeMs, config.retainSinceLastActiveTimeMs].every(
    (rule) => rule === disabled,
  );
  if (isOff || all.length <= min) return [];
  const idle = all
    .filter((revision) => !isInUse(revision, options.latestReady))
    .toSorted((a, b) => lastActiveMs(a) - lastActiveMs(b));
  if (idle.length <= min) return [];
  const stale = idle.filter((revision) => isStale(revision, config, nowMs)).slice(0, idle.length - min);
  const kept = idle.filter((revision) => !stale.includes(revision));
  if (max === disabled || kept.length <= max) return stale;
  return [...stale, ...kept.slice(0, kept.length - max)];
}

function isInUse({ metadata }: Revision, latestReady: string | undefined): boolean {
  if (metadata?.name === latestReady) return true;
  if (metadata?.annotations?.[keys.noGc]?.toLowerCase() === "true") return true;
  return metadata?.labels?.[labels.routingState] !== "reserve";
}

function isStale(revision: Revision, config: GcConfig, nowMs: number): boolean {
  const { retainSinceCreateTimeMs: created, retainSinceLastActiveTimeMs: active } = config;
  if (created === disabled && active === disabled) return false;
  if (created !== disabled && nowMs - createdMs(revision) < created) return false;
  return active === disabled || nowMs - lastActiveMs(revision) >= active;
}

function createdMs({ metadata }: Revision): number {
  return Date.parse(metadata?.creationTimestamp ?? "");
}

function lastActiveMs(revision: Revision): number {
  const modified = Date.parse(revision.metadata?.annotations?.[keys.routingStateModified] ?? "");
  return Number.isNaN(modified) ? createdMs(revision) : modified;
}
