/**
 * Writes on revisions and Configurations which routes use them: a revision that some route uses is active, one that none uses any more is in reserve and may be collected. As
 * upstream's `pkg/reconciler/labeler` (v1.23).
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import { KeyedController, type NamedController } from "#client/controller.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { isFailed, isReady, refOf } from "#knative/objects.ts";
import { revisionInformer, routeInformer, routesTo, type ServingContext } from "#serving/common/context.ts";
import { type Configuration, configurations, type Revision, revisions, type Route } from "#serving/kinds.ts";
import { annotations as keys, labels } from "#serving/names.ts";
import { listOf } from "#serving/service/children.ts";

/** The controller. Its keys are routes. */
export function createLabelerController(context: ServingContext): NamedController {
  return new LabelerController(context).controller;
}

class LabelerController {
  readonly controller: KeyedController;
  readonly #context: ServingContext;
  readonly #routes: Informer<Route>;
  readonly #configurations: Informer<Configuration>;
  readonly #revisions: Informer<Revision>;

  constructor(context: ServingContext) {
    this.#context = context;
    this.controller = new KeyedController(context, {
      name: "serving-labeler",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    this.#routes = this.controller.watch(routeInformer(context), {
      onAdd: (route) => queue.add(keyOf(route)),
      onUpdate: (_before, route) => queue.add(keyOf(route)),
      onDelete: (route) => queue.add(keyOf(route)),
    });
    const users = (target: KubeObject) => this.#enqueueUsers(target);
    const onTarget = { onAdd: users, onUpdate: (_before: KubeObject, target: KubeObject) => users(target) };
    this.#configurations = this.controller.watch(
      context.informers.informer<Configuration>({ resource: configurations }),
      onTarget,
    );
    this.#revisions = this.controller.watch(revisionInformer(context), onTarget);
    for (const informer of [this.#configurations, this.#revisions]) informer.addIndex(byRoute, routesOf);
  }

  #enqueueUsers({ metadata }: KubeObject): void {
    const { name = "", namespace = "", labels: own } = metadata ?? {};
    const names = [name, own?.[labels.configuration] ?? name];
    for (const route of routesTo(this.#routes, namespace, names)) {
      const isUser = (route.spec?.traffic ?? []).some(
        ({ configurationName = "", revisionName = "" }) =>
          names.includes(configurationName) || names.includes(revisionName),
      );
      if (isUser) this.controller.queue.add(keyOf(route));
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const route = this.#routes.lister.find(namespace, name);
    const used = this.#usedBy(route);
    const isSettled = route === undefined || isReady(route) || isFailed(route);
    for (const revision of usedNowOrBefore(this.#revisions, key, used.revisions)) {
      const isUsed = used.revisions.has(revision.metadata?.name ?? "");
      if (isUsed || isSettled) await this.#write(revisions, revision, { name, isUsed, signal });
    }
    for (const configuration of usedNowOrBefore(this.#configurations, key, used.configurations)) {
      const isUsed = used.configurations.has(configuration.metadata?.name ?? "");
      if (isUsed || isSettled) await this.#write(configurations, configuration, { name, isUsed, signal });
    }
  }

  /** What the route uses, or will. */
  #usedBy(route: Route | undefined): {
    readonly revisions: ReadonlySet<string>;
    readonly configurations: ReadonlySet<string>;
  } {
    const [ofRevisions, ofConfigurations] = [new Set<string>(), new Set<string>()];
    const namespace = route?.metadata?.namespace ?? "";
    if (route?.metadata?.deletionTimestamp !== undefined)
      return { revisions: ofRevisions, configurations: ofConfigurations };
    for (const target of [...(route?.status?.traffic ?? []), ...(route?.spec?.traffic ?? [])]) {
      const revision = this.#revisions.lister.find(namespace, target.revisionName ?? "");
      const owner = revision === undefined ? undefined : controllerOf(revision);
      if (revision !== undefined) ofRevisions.add(target.revisionName ?? "");
      const name = owner?.kind === "Configuration" ? owner.name : (target.configurationName ?? "");
      const configuration = this.#configurations.lister.find(namespace, name);
      if (configuration === undefined) continue;
      ofConfigurations.add(name);
      const latest = configuration.status?.latestCreatedRevisionName;
      if (target.latestRevision && latest !== undefined) ofRevisions.add(latest);
    }
    return { revisions: ofRevisions, configurations: ofConfigurations };
  }

  async #write(
    resource: GroupVersionResource,
    object: KubeObject,
    { name, isUsed, signal }: { readonly name: string; readonly isUsed: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    const names = new Set(listOf(object.metadata?.annotations?.[keys.routes]));
    const had = names.has(name);
    if (isUsed) names.add(name);
    else names.delete(name);
    // What this route never used is not its to speak of, but what no route uses and is still called pending may be waiting for one.
    if (!isUsed && !had) return;
    const list = names.size === 0 ? null : [...names].toSorted().join(",");
    const state = list === null ? "reserve" : "active";
    const isOtherState = resource === revisions && object.metadata?.labels?.[labels.routingState] !== state;
    if (had === isUsed && !isOtherState) return;
    const annotations = {
      [keys.routes]: list,
      ...(isOtherState ? { [keys.routingStateModified]: formatTime(this.#context.clock.now()) } : {}),
    };
    const body = { metadata: { annotations, ...(isOtherState ? { labels: { [labels.routingState]: state } } : {}) } };
    try {
      await this.#context.client.patch(refOf(resource, object), { type: "merge", body }, { signal });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }
}

/** Index of Configurations and Revisions by the Routes that are noted on them, as "namespace/name". */
const byRoute = "serving-route";

function routesOf({ metadata }: KubeObject): readonly string[] {
  return listOf(metadata?.annotations?.[keys.routes]).map((name) => `${metadata?.namespace}/${name}`);
}

/** What a Route uses, by name, and what has its name on it. */
function usedNowOrBefore<T extends KubeObject>(
  { lister }: Informer<T>,
  route: string,
  used: ReadonlySet<string>,
): ReadonlySet<T> {
  const { namespace } = splitKey(route);
  const now = [...used].flatMap((name) => lister.find(namespace, name) ?? []);
  return new Set([...now, ...lister.byIndex(byRoute, route)]);
}
