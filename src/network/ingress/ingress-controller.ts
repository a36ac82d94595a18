/**
 * Writes into the status of each of our Ingresses where nodes take requests, and tells its owner by events what was done with it and what is wrong. As ingress-nginx has it: a Sync for each change.
 */
import type { Node, Secret, Service } from "#api/generated/types/core-v1.ts";
import type { Ingress, IngressClass } from "#api/generated/types/networking-v1.ts";
import { type ControllerContext, KeyedController, type NamedController } from "#client/controller.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import type { Followed } from "#client/followed.ts";
import { isOurs, secretsOf, servicesOf } from "./ingress-class.ts";
import { type IngressProblem, problemsOf } from "./ingress-problems.ts";
import { listenersAnnotation, listenersOf, loadBalancerIngress } from "./node-listeners.ts";

const ingressResource = { group: "networking.k8s.io", version: "v1", resource: "ingresses" };
const classResource = { group: "networking.k8s.io", version: "v1", resource: "ingressclasses" };
const serviceResource = { group: "", version: "v1", resource: "services" };
const nodeResource = { group: "", version: "v1", resource: "nodes" };
/** Who says it. */
const component = "nodeless-ingress-controller";
/** How long what is named may take to come. */
const graceMs = 3000;
/** One that is older than this when it is seen first was told of by the process before. */
const newMs = 30_000;

/** What was said of an Ingress. */
type Said = {
  readonly generation: number | undefined;
  readonly problems: ReadonlySet<string>;
  readonly sinceMs: Map<string, number>;
};

export type IngressControllerOptions = ControllerContext & {
  /** Under "namespace/name"; nobody else says which are wanted. */
  readonly secrets: Followed<Secret>;
};

/** The controller. */
export function createIngressController(options: IngressControllerOptions): NamedController {
  return new IngressController(options).controller;
}

class IngressController {
  readonly controller: KeyedController;
  readonly #options: IngressControllerOptions;
  readonly #events: EventRecorder;
  readonly #ingresses: Informer<Ingress>;
  readonly #classes: Informer<IngressClass>;
  readonly #services: Informer<Service>;
  readonly #nodes: Informer<Node>;
  readonly #said = new Map<string, Said>();
  /** Secrets that Ingresses name, by the Ingress' key. */
  readonly #secrets = new Map<string, readonly string[]>();

  constructor(options: IngressControllerOptions) {
    this.#options = options;
    this.#events = options.recorderFor(component);
    const { informers, secrets } = options;
    this.controller = new KeyedController(options, {
      name: "nodeless-ingress",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    const add = (ingress: Ingress) => queue.add(keyOf(ingress));
    const addAll = () => this.#ingresses.lister.list().forEach(add);
    const addUsers = (index: string, key: string) => this.#ingresses.lister.byIndex(index, key).forEach(add);
    const ofService = (service: Service) => addUsers("service", keyOf(service));
    this.#ingresses = this.controller.watch(
      informers.informer<Ingress>({ resource: ingressResource, indexes: { service: servicesOf, secret: secretsOf } }),
      { onAdd: add, onUpdate: (_before, after) => add(after), onDelete: add },
    );
    this.#classes = this.controller.watch(informers.informer<IngressClass>({ resource: classResource }), {
      onAdd: addAll,
      onUpdate: addAll,
      onDelete: addAll,
    });
    this.#services = this.controller.watch(informers.informer<Service>({ resource: serviceResource }), {
      onAdd: ofService,
      onUpdate: (_before, after) => ofService(after),
      onDelete: ofService,
    });
    this.#nodes = this.controller.watch(informers.informer<Node>({ resource: nodeResource }), {
      onAdd: addAll,
      // Nodes say all the time that they are alive.
      onUpdate: (before, after) => {
        if (annotationOf(before) !== annotationOf(after)) addAll();
      },
      onDelete: addAll,
    });
    secrets.onChange((key) => addUsers("secret", key));
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const ingress = this.#ingresses.lister.find(namespace, name);
    const isOurs = ingress !== undefined && this.#isOurs(ingress);
    this.#wantSecrets(key, isOurs ? secretsOf(ingress) : []);
    if (ingress === undefined || !isOurs) {
      this.#said.delete(key);
      return;
    }
    await this.#writeStatus(ingress, signal);
    return this.#tell(key, ingress);
  }

  #isOurs(ingress: Ingress): boolean {
    return isOurs(ingress, (className) => this.#classes.lister.find("", className));
  }

  /** Most Ingresses come, change and go without one, and thousands of them must not each look at all. */
  #wantSecrets(key: string, wanted: readonly string[]): void {
    if (JSON.stringify(this.#secrets.get(key) ?? []) === JSON.stringify(wanted)) return;
    if (wanted.length === 0) this.#secrets.delete(key);
    else this.#secrets.set(key, wanted);
    this.#options.secrets.want(new Set([...this.#secrets.values()].flat()));
  }

  /** As long as no node says anything there is nothing to say: a node that starts again has not moved. */
  async #writeStatus(ingress: Ingress, signal: AbortSignal): Promise<void> {
    const places = this.#nodes.lister
      .list()
      .toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
      .flatMap(listenersOf);
    const wanted = places.map(loadBalancerIngress);
    const { namespace = "", name = "", resourceVersion } = ingress.metadata ?? {};
    if (wanted.length === 0 || JSON.stringify(wanted) === JSON.stringify(ingress.status?.loadBalancer?.ingress)) return;
    const body = { metadata: { resourceVersion }, status: { loadBalancer: { ingress: wanted } } };
    const ref = { resource: ingressResource, namespace, name, subresource: "status" };
    await this.#options.client.patch(ref, { type: "merge", body }, { signal });
  }

  /** Says what is new; gives when to look again at what may pass. */
  #tell(key: string, ingress: Ingress): number | void {
    const { clock } = this.#options;
    const nowMs = clock.now();
    const said = this.#said.get(key);
    const { generation, creationTimestamp } = ingress.metadata ?? {};
    const isNew =
      said === undefined ? nowMs - Date.parse(creationTimestamp ?? "") < newMs : said.generation !== generation;
    if (isNew) this.#events.record(ingress, { type: "Normal", reason: "Sync", message: "Scheduled for sync" });
    const sinceMs = new Map<string, number>();
    const problems = this.#problemsOf(ingress, nowMs);
    for (const { message } of problems) sinceMs.set(message, said?.sinceMs.get(message) ?? nowMs);
    const due = problems.filter(
      ({ mayPass, message }) => !mayPass || nowMs - (sinceMs.get(message) ?? nowMs) >= graceMs,
    );
    for (const { reason, message } of due)
      if (!said?.problems.has(message)) this.#events.record(ingress, { type: "Warning", reason, message });
    this.#said.set(key, { generation, problems: new Set(due.map(({ message }) => message)), sinceMs });
    if (due.length < problems.length) return graceMs;
  }

  #problemsOf(ingress: Ingress, nowMs: number): readonly IngressProblem[] {
    const namespace = ingress.metadata?.namespace ?? "";
    return problemsOf(ingress, {
      findService: (name) => this.#services.lister.find(namespace, name),
      findSecret: (name) => this.#options.secrets.find(`${namespace}/${name}`),
      nowMs,
    });
  }
}

function annotationOf({ metadata }: Node): string | undefined {
  return metadata?.annotations?.[listenersAnnotation];
}
