/**
 * Makes a Configuration and a Route of each Service, and says in its status how they are. As upstream's `pkg/reconciler/service` (v1.23).
 */
import { isControlledBy } from "#apimachinery/owner-references.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { KeyedController, type NamedController } from "#client/controller.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { Conditions, findCondition, isFalse, isTrue, isUnknown, type Mark } from "#knative/conditions.ts";
import type { Conditioned } from "#knative/duck.ts";
import { differs, overwrite, writeStatus } from "#knative/objects.ts";
import { RefusedWrites, WriteRefused } from "#knative/refused-writes.ts";
import { revisionInformer, type ServingContext } from "#serving/common/context.ts";
import { isRevisionNameTaken } from "#serving/configuration/revision-of.ts";
import {
  type Configuration,
  configurations,
  type Revision,
  type Route,
  routes,
  type Service,
  services,
  type TrafficTarget,
} from "#serving/kinds.ts";
import { configurationOf, routeOf } from "./children.ts";

/** The controller of Services. */
export function createServiceController(context: ServingContext): NamedController {
  return new ServiceController(context).controller;
}

class ServiceController {
  readonly controller: KeyedController;
  readonly #context: ServingContext;
  readonly #events: EventRecorder;
  readonly #refused: RefusedWrites;
  readonly #services: Informer<Service>;
  readonly #configurations: Informer<Configuration>;
  readonly #routes: Informer<Route>;
  readonly #revisions: Informer<Revision>;

  constructor(context: ServingContext) {
    this.#context = context;
    this.#events = context.recorderFor("service-controller");
    this.#refused = new RefusedWrites(context.clock);
    this.controller = new KeyedController(context, {
      name: "serving-service",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    const { informers } = context;
    this.#services = this.controller.watch(informers.informer<Service>({ resource: services }), {
      onAdd: (service) => queue.add(keyOf(service)),
      onUpdate: (_before, service) => queue.add(keyOf(service)),
      onDelete: (service) => this.#refused.forget(keyOf(service)),
    });
    const enqueue = (child: KubeObject) => this.#enqueueOwner(child);
    const onChild = {
      onAdd: enqueue,
      onUpdate: (_before: KubeObject, child: KubeObject) => enqueue(child),
      onDelete: enqueue,
    };
    this.#configurations = this.controller.watch(
      informers.informer<Configuration>({ resource: configurations }),
      onChild,
    );
    this.#routes = this.controller.watch(informers.informer<Route>({ resource: routes }), onChild);
    this.#revisions = this.controller.watch(revisionInformer(context));
  }

  #enqueueOwner({ metadata }: KubeObject): void {
    const owner = metadata?.ownerReferences?.find((reference) => reference.controller === true);
    if (owner?.kind === "Service") this.controller.queue.add(`${metadata?.namespace}/${owner.name}`);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const service = this.#services.lister.find(namespace, name);
    if (service === undefined || service.metadata?.deletionTimestamp !== undefined) return;
    const conditions = new Conditions(service.status?.conditions, ["ConfigurationsReady", "RoutesReady"]);
    const found = await this.#look(service, conditions, signal);
    const status = {
      ...(service.status?.annotations === undefined ? {} : { annotations: service.status.annotations }),
      ...found,
      conditions: conditions.result(this.#context.clock.now()),
    };
    await writeStatus(this.#context.client, services, { object: service, status, signal });
  }

  async #look(service: Service, conditions: Conditions, signal: AbortSignal): Promise<NonNullable<Service["status"]>> {
    const before = fieldsOf(service.status);
    const configuration = await this.#unlessRefused(service, conditions, "ConfigurationsReady", () =>
      this.#ensureConfiguration(service, conditions, signal),
    );
    if (configuration === undefined) return before;
    const isObserved = configuration.metadata?.generation === configuration.status?.observedGeneration;
    const outOfDate = (kind: string) =>
      isUnknown("OutOfDate", `The ${kind} is still working to reflect the latest desired specification.`);
    conditions.mark("ConfigurationsReady", isObserved ? propagated(configuration) : outOfDate("Configuration"));
    const byName = configuration.spec?.template?.metadata?.name ?? "";
    // Traffic would go to the revision that had the name before.
    if (!isObserved && byName !== "") return before;
    const latest = isObserved ? latestOf(configuration) : latestOf(service);
    if (isRevisionNameTaken(configuration, this.#revisions.lister)) {
      const why = `The revision name ${JSON.stringify(byName)} is taken by a conflicting Revision, so traffic will not be migrated`;
      conditions.mark("RoutesReady", isFalse("RevisionNameTaken", why));
      return { ...before, ...latest };
    }
    const route = await this.#unlessRefused(service, conditions, "RoutesReady", () =>
      this.#ensureRoute(service, conditions, signal),
    );
    if (route === undefined) return { ...before, ...latest };
    const isRouteObserved = route.metadata?.generation === route.status?.observedGeneration;
    conditions.mark("RoutesReady", isRouteObserved ? propagated(route) : outOfDate("Route"));
    if (conditions.is("RoutesReady", "True") && !isMigrated(route, configuration)) {
      const why = "Traffic is not yet migrated to the latest revision.";
      conditions.mark("RoutesReady", isUnknown("TrafficNotMigrated", why));
    }
    return { ...latest, ...(isRouteObserved ? routeFieldsOf(route.status) : routeFieldsOf(service.status)) };
  }

  /** What is refused is said in a condition, and tried again later. */
  async #unlessRefused<T>(
    service: Service,
    conditions: Conditions,
    type: string,
    ensure: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await ensure();
    } catch (error) {
      if (!(error instanceof WriteRefused)) throw error;
      const { message, isNews, retryAfterMs } = error;
      conditions.mark(type, error.mark("FailedCreate"));
      if (isNews) this.#events.record(service, { type: "Warning", reason: "CreationFailed", message });
      this.controller.queue.addAfter(keyOf(service), retryAfterMs);
      return undefined;
    }
  }

  async #ensureConfiguration(
    service: Service,
    conditions: Conditions,
    signal: AbortSignal,
  ): Promise<Configuration | undefined> {
    const { namespace = "", name = "" } = service.metadata ?? {};
    const found = this.#configurations.lister.find(namespace, name);
    const wanted = configurationOf(service, found);
    if (found === undefined) return await this.#create(service, "Configuration", configurations, wanted, signal);
    if (!isControlledBy(found, service)) {
      conditions.mark("ConfigurationsReady", notOwned("Configuration", name));
      return undefined;
    }
    if (!differs(found, wanted)) return found;
    return await overwrite(this.#context.client, configurations, { found, wanted, signal });
  }

  async #ensureRoute(service: Service, conditions: Conditions, signal: AbortSignal): Promise<Route | undefined> {
    const { namespace = "", name = "" } = service.metadata ?? {};
    const found = this.#routes.lister.find(namespace, name);
    const wanted = routeOf(service);
    if (found === undefined) return await this.#create(service, "Route", routes, wanted, signal);
    if (!isControlledBy(found, service)) {
      conditions.mark("RoutesReady", notOwned("Route", name));
      return undefined;
    }
    if (!differs(found, wanted)) return found;
    return await overwrite(this.#context.client, routes, { found, wanted, signal });
  }

  async #create<T extends KubeObject>(
    service: Service,
    kind: string,
    resource: typeof configurations,
    wanted: T,
    signal: AbortSignal,
  ): Promise<T> {
    const { namespace = "", name = "" } = wanted.metadata ?? {};
    const quoted = JSON.stringify(name);
    const made = await this.#refused.attempt(keyOf(service), { wanted, what: `create ${kind} ${quoted}` }, () =>
      this.#context.client.create<T>({ resource, namespace }, wanted, { signal }),
    );
    this.#events.record(service, { type: "Normal", reason: "Created", message: `Created ${kind} ${quoted}` });
    return made;
  }
}

function notOwned(kind: string, name: string): Mark {
  return isFalse("NotOwned", `There is an existing ${kind} ${JSON.stringify(name)} that we do not own.`);
}

function propagated({ status }: Conditioned): Mark {
  const ready = findCondition(status?.conditions, "Ready");
  if (ready === undefined) return isUnknown();
  const { reason = "", message = "" } = ready;
  if (ready.status === "True") return isTrue;
  return ready.status === "False" ? isFalse(reason, message) : isUnknown(reason, message);
}

type Status = NonNullable<Service["status"]>;

function latestOf({ status }: Configuration): Status {
  const { latestCreatedRevisionName: created, latestReadyRevisionName: ready } = status ?? {};
  return {
    ...(created === undefined ? {} : { latestCreatedRevisionName: created }),
    ...(ready === undefined ? {} : { latestReadyRevisionName: ready }),
  };
}

function routeFieldsOf(status: Route["status"]): Status {
  const { url, address, traffic } = status ?? {};
  return {
    ...(url === undefined ? {} : { url }),
    ...(address === undefined ? {} : { address }),
    ...(traffic === undefined ? {} : { traffic }),
  };
}

function fieldsOf(status: Service["status"]): Status {
  return { ...latestOf(status === undefined ? {} : { status }), ...routeFieldsOf(status) };
}

/** Whether the Route's traffic is where its spec and the Configuration now say. */
function isMigrated(route: Route, configuration: Configuration): boolean {
  const wanted = (route.spec?.traffic ?? []).map((target) =>
    target.configurationName === configuration.metadata?.name
      ? { ...target, revisionName: configuration.status?.latestReadyRevisionName ?? "" }
      : target,
  );
  const essence = ({ tag, revisionName, percent }: TrafficTarget) => ({
    tag: tag ?? "",
    revisionName,
    percent: percent ?? 0,
  });
  return semanticEqual(wanted.map(essence), (route.status?.traffic ?? []).map(essence));
}
