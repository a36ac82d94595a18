/**
 * Has each Route's traffic go where its spec says: an Ingress for the data planes, a Service per host for names within the cluster, and the status. As upstream's
 * `pkg/reconciler/route` (v1.23).
 */
import type { Service as KubeService } from "#api/generated/types/core-v1.ts";
import { findDurationMs } from "#apimachinery/duration.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";
import { KeyedController, type NamedController } from "#client/controller.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { Conditions, findCondition, isFalse, isTrue, isUnknown, type Mark } from "#knative/conditions.ts";
import { kubeServices } from "#knative/kube-services.ts";
import {
  ensureService,
  ensureSlice,
  type KubeServices,
  kubeServiceInformers,
  ServiceNotOwned,
} from "#knative/kube-services.ts";
import { findAnnotation } from "#knative/names.ts";
import { differs, isReady, ownedMeta, overwrite, writeStatus } from "#knative/objects.ts";
import { RefusedWrites, WriteRefused } from "#knative/refused-writes.ts";
import { revisionInformer, routeInformer, routesTo, type ServingContext } from "#serving/common/context.ts";
import type { ServingConfig } from "#serving/config/config-store.ts";
import {
  type Configuration,
  configurations,
  type Ingress,
  ingresses,
  type Revision,
  type Route,
  routes,
  type RouteStatus,
  type TrafficTarget,
} from "#serving/kinds.ts";
import { annotations as keys, labels, rolloutDuration } from "#serving/names.ts";
import { dataPlaneSlice } from "#serving/podautoscaler/revision-services.ts";
import { clusterHost, hostName, isClusterLocal, publicHost } from "./hosts.ts";
import { goalOf, ingressOf, sharesOf } from "./ingress-of.ts";
import { isDone, nextStepMs, observeReady, parseRollout, type Rollout, stepRollout } from "./rollout.ts";
import { defaultTag, planTraffic, type RevisionTarget, type TrafficPlan } from "./traffic.ts";

/** The controller of Routes. */
export function createRouteController(context: ServingContext): NamedController {
  return new RouteController(context).controller;
}

type Assigned = Extract<TrafficPlan, { readonly kind: "assigned" }>;
type Look = { readonly status: RouteStatus; readonly againAfterMs?: number };

/** Index of Services by the uid of their controller. */
const byController = "controller-uid";

class RouteController {
  readonly controller: KeyedController;
  readonly #context: ServingContext;
  readonly #events: EventRecorder;
  readonly #routes: Informer<Route>;
  readonly #configurations: Informer<Configuration>;
  readonly #revisions: Informer<Revision>;
  readonly #ingresses: Informer<Ingress>;
  readonly #kube: KubeServices;
  readonly #refused: RefusedWrites;

  constructor(context: ServingContext) {
    this.#context = context;
    this.#events = context.recorderFor("route-controller");
    this.#refused = new RefusedWrites(context.clock);
    this.controller = new KeyedController(context, {
      name: "serving-route",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    const { informers } = context;
    this.#routes = this.controller.watch(routeInformer(context), {
      onAdd: (route) => queue.add(keyOf(route)),
      onUpdate: (_before, route) => queue.add(keyOf(route)),
      onDelete: (route) => this.#refused.forget(keyOf(route)),
    });
    const users = (target: KubeObject) => this.#enqueueUsers(target);
    const onTarget = {
      onAdd: users,
      onUpdate: (_before: KubeObject, target: KubeObject) => users(target),
      onDelete: users,
    };
    this.#configurations = this.controller.watch(
      informers.informer<Configuration>({ resource: configurations }),
      onTarget,
    );
    this.#revisions = this.controller.watch(revisionInformer(context), onTarget);
    const owner = (child: KubeObject) => this.#enqueueOwner(child);
    const onChild = {
      onAdd: owner,
      onUpdate: (_before: KubeObject, child: KubeObject) => owner(child),
      onDelete: owner,
    };
    this.#ingresses = this.controller.watch(informers.informer<Ingress>({ resource: ingresses }), onChild);
    this.#kube = { client: context.client, ...kubeServiceInformers(context) };
    this.#kube.services.addIndex(byController, (service) => [controllerOf(service)?.uid ?? ""]);
    this.controller.watch(this.#kube.services, onChild);
    this.controller.watch(this.#kube.slices);
    const all = () => {
      for (const route of this.#routes.lister.list()) queue.add(keyOf(route));
    };
    context.config.onChange(all);
    context.dataPlane.onChange(all);
  }

  #enqueueOwner(child: KubeObject): void {
    const owner = controllerOf(child);
    if (owner?.kind === "Route") this.controller.queue.add(`${child.metadata?.namespace}/${owner.name}`);
  }

  /** Routes that send, or want to send, traffic to a Configuration or one of its revisions. */
  #enqueueUsers({ metadata }: KubeObject): void {
    const { name = "", namespace = "", labels: own } = metadata ?? {};
    const names = [name, own?.[labels.configuration] ?? name];
    for (const route of routesTo(this.#routes, namespace, names)) this.controller.queue.add(keyOf(route));
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const route = this.#routes.lister.find(namespace, name);
    if (route === undefined || route.metadata?.deletionTimestamp !== undefined) return;
    const dependents = ["AllTrafficAssigned", "CertificateProvisioned", "IngressReady"];
    const conditions = new Conditions(route.status?.conditions, dependents);
    if (route.metadata?.generation !== route.status?.observedGeneration) conditions.mark("IngressReady", notConfigured);
    const { status: found, againAfterMs } = await this.#look(route, conditions, signal);
    const { annotations } = route.status ?? {};
    const status = {
      ...(annotations === undefined ? {} : { annotations }),
      ...found,
      conditions: conditions.result(this.#context.clock.now()),
    };
    await writeStatus(this.#context.client, routes, { object: route, status, signal });
    return againAfterMs;
  }

  async #look(route: Route, conditions: Conditions, signal: AbortSignal): Promise<Look> {
    const config = this.#context.config.current;
    const plan = planTraffic(route, { configurations: this.#configurations.lister, revisions: this.#revisions.lister });
    const local = this.#clusterLocalTags(route, config);
    const host = local.has(defaultTag) ? clusterHost(route, defaultTag, config) : publicHost(route, defaultTag, config);
    const url = `http://${host}`;
    if (plan.kind === "refused") {
      conditions.mark("AllTrafficAssigned", plan.mark);
      const { address, traffic } = route.status ?? {};
      const kept = { ...(address === undefined ? {} : { address }), ...(traffic === undefined ? {} : { traffic }) };
      return { status: { url, ...kept } };
    }
    conditions.mark("AllTrafficAssigned", isTrue);
    conditions.mark("CertificateProvisioned", withoutTls);
    const address = { url: `http://${clusterHost(route, defaultTag, config)}` };
    const status = { url, address };
    if (!(await this.#ensureServices(route, plan, { conditions, signal })))
      return { status: { ...status, traffic: trafficOf(route, plan.targets, { rollout: [], local, config }) } };
    const { rollout, ingress } = await this.#ensureIngress(route, plan, { local, signal });
    this.#markIngress(conditions, ingress, rollout);
    const traffic = trafficOf(route, plan.targets, { rollout, local, config });
    const dueMs = nextStepMs(rollout);
    const againAfterMs = dueMs === undefined ? {} : { againAfterMs: Math.max(0, dueMs - this.#context.clock.now()) };
    return { status: { ...status, traffic }, ...againAfterMs };
  }

  /** Tags whose Service says so, or all when the route does. */
  #clusterLocalTags(route: Route, config: ServingConfig): ReadonlySet<string> {
    const tags = [defaultTag, ...(route.spec?.traffic ?? []).map(({ tag }) => tag ?? defaultTag)];
    if (isClusterLocal(route, config)) return new Set(tags);
    const isLocal = (tag: string) => {
      const service = this.#kube.services.lister.find(route.metadata?.namespace ?? "", hostName(route, tag, config));
      return service !== undefined && (service.metadata?.labels?.[labels.visibility] ?? "") !== "";
    };
    return new Set(tags.filter(isLocal));
  }

  /** A Service per host, so that its name within the cluster leads to the data plane. False when one of them is somebody else's. */
  async #ensureServices(
    route: Route,
    plan: Assigned,
    { conditions, signal }: { readonly conditions: Conditions; readonly signal: AbortSignal },
  ): Promise<boolean> {
    const { client, config, dataPlane } = this.#context;
    const wanted = [...plan.byTag.keys()].map((tag) =>
      placeholder(route, hostName(route, tag, config.current), dataPlane.httpPort),
    );
    try {
      await this.#refused.attempt(keyOf(route), { wanted, what: "write placeholder Services" }, async () => {
        for (const service of wanted) {
          const made = await ensureService(this.#kube, { owner: route, wanted: service, signal });
          await ensureSlice(this.#kube, dataPlaneSlice(made, dataPlane), signal);
        }
      });
    } catch (error) {
      if (error instanceof WriteRefused) {
        const { message, isNews, retryAfterMs } = error;
        conditions.mark("IngressReady", error.mark("FailedCreate"));
        if (isNews) this.#events.record(route, { type: "Warning", reason: "CreationFailed", message });
        this.controller.queue.addAfter(keyOf(route), retryAfterMs);
        return false;
      }
      if (!(error instanceof ServiceNotOwned)) throw error;
      const quoted = JSON.stringify(error.service);
      conditions.mark(
        "IngressReady",
        isFalse("NotOwned", `There is an existing placeholder Service ${quoted} that we do not own.`),
      );
      return false;
    }
    const names = new Set(wanted.map(({ metadata }) => metadata?.name));
    const namespace = route.metadata?.namespace ?? "";
    for (const { metadata } of this.#kube.services.lister.byIndex(byController, route.metadata?.uid ?? "")) {
      if (!names.has(metadata?.name ?? ""))
        await client.delete({ resource: kubeServices, namespace, name: metadata?.name ?? "" }, { signal });
    }
    return true;
  }

  async #ensureIngress(
    route: Route,
    plan: Assigned,
    { local, signal }: { readonly local: ReadonlySet<string>; readonly signal: AbortSignal },
  ): Promise<{ readonly ingress: Ingress; readonly rollout: Rollout }> {
    const { client, config } = this.#context;
    const { namespace = "", name = "" } = route.metadata ?? {};
    const found = this.#ingresses.lister.find(namespace, name);
    const rollout = this.#rolloutOf(route, plan, found);
    const wanted = ingressOf(route, { byTag: plan.byTag, clusterLocal: local, rollout, config: config.current });
    if (found === undefined) {
      const ingress = await client.create<Ingress>({ resource: ingresses, namespace }, wanted, { signal });
      const message = `Created Ingress ${JSON.stringify(name)}`;
      this.#events.record(route, { type: "Normal", reason: "Created", message });
      return { ingress, rollout };
    }
    if (!differs(found, wanted)) return { ingress: found, rollout };
    return { ingress: await overwrite(client, ingresses, { found, wanted, signal }), rollout };
  }

  #rolloutOf(route: Route, plan: Assigned, found: Ingress | undefined): Rollout {
    const { clock, config } = this.#context;
    const goal = goalOf(plan.byTag);
    const given = findDurationMs(findAnnotation(route.metadata?.annotations, rolloutDuration)?.value ?? "") ?? 0;
    const durationSecs = Math.floor(given / 1000) || config.current.network.rolloutDurationSecs;
    const before = parseRollout(found?.metadata?.annotations?.[keys.rollout]);
    if (durationSecs <= 0 || found === undefined || before === undefined) return goal;
    const hasBegun = before.some(({ startMs, stepMs }) => startMs !== undefined && stepMs === undefined);
    const observed = hasBegun && isReady(found) ? observeReady(before, clock.now(), durationSecs) : before;
    return stepRollout(goal, observed, clock.now());
  }

  #markIngress(conditions: Conditions, ingress: Ingress, rollout: Rollout): void {
    const isObserved = ingress.metadata?.generation === ingress.status?.observedGeneration;
    const ready = findCondition(ingress.status?.conditions, "Ready");
    const { reason = "", message = "" } = ready ?? {};
    const why = "A gradual rollout of the latest revision(s) is in progress.";
    if (!isDone(rollout)) conditions.mark("IngressReady", isUnknown("RolloutInProgress", why));
    else if (!isObserved || ready === undefined) conditions.mark("IngressReady", notConfigured);
    else if (ready.status === "True") conditions.mark("IngressReady", isTrue);
    else
      conditions.mark("IngressReady", ready.status === "False" ? isFalse(reason, message) : isUnknown(reason, message));
  }
}

const notConfigured: Mark = isUnknown("IngressNotConfigured", "Ingress has not yet been reconciled.");
const withoutTls: Mark = { status: "True", reason: "TLSNotEnabled", message: "external-domain-tls is not enabled" };

/** A Service without selector, at the name under which the cluster asks. */
function placeholder(route: Route, name: string, targetPort: number): KubeService {
  const { labels: own, annotations = {} } = route.metadata ?? {};
  const inherited = Object.fromEntries(Object.entries(own ?? {}).filter(([key]) => key !== labels.visibility));
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: ownedMeta(route, {
      name,
      labels: { ...inherited, [labels.route]: route.metadata?.name ?? "" },
      annotations,
    }),
    spec: { ports: [{ name: "http2", appProtocol: "kubernetes.io/h2c", port: 80, targetPort, protocol: "TCP" }] },
  } as KubeService;
}

/** What the status says of each target: during a rollout, a line per revision. */
function trafficOf(
  route: Route,
  targets: readonly RevisionTarget[],
  how: { readonly rollout: Rollout; readonly local: ReadonlySet<string>; readonly config: ServingConfig },
): readonly TrafficTarget[] {
  return targets.flatMap((target) => {
    const { tag } = target;
    const host = how.local.has(tag) ? clusterHost(route, tag, how.config) : publicHost(route, tag, how.config);
    const line = (revisionName: string, percent: number): TrafficTarget => ({
      ...(tag === defaultTag ? {} : { tag, url: `http://${host}` }),
      revisionName,
      percent,
      latestRevision: target.isLatest,
    });
    const shares = sharesOf(target, defaultTag, how.rollout);
    if (shares === undefined) return [line(target.revisionName, target.percent)];
    return shares.revisions.map(({ revisionName, percent }) => line(revisionName, percent));
  });
}
