/**
 * Says in the status of Ingresses of nodeless' own class whether a data plane follows them. Data planes watch Ingresses themselves; one that runs follows within the time of a
 * watch event, so its presence is what counts.
 */
import { KeyedController, type NamedController } from "#client/controller.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { Conditions, isTrue, isUnknown } from "#knative/conditions.ts";
import { writeStatus } from "#knative/objects.ts";
import type { ServingContext } from "#serving/common/context.ts";
import { type Ingress, ingresses } from "#serving/kinds.ts";
import { annotations as keys } from "#serving/names.ts";
import { ingressClass } from "#serving/route/ingress-of.ts";

/** The controller. */
export function createIngressController(context: ServingContext): NamedController {
  return new IngressController(context).controller;
}

const waiting = isUnknown("Uninitialized", "Waiting for load balancer to be ready");

class IngressController {
  readonly controller: KeyedController;
  readonly #context: ServingContext;
  readonly #ingresses: Informer<Ingress>;

  constructor(context: ServingContext) {
    this.#context = context;
    this.controller = new KeyedController(context, {
      name: "serving-ingress",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const { queue } = this.controller;
    this.#ingresses = this.controller.watch(context.informers.informer<Ingress>({ resource: ingresses }), {
      onAdd: (ingress) => queue.add(keyOf(ingress)),
      onUpdate: (_before, ingress) => queue.add(keyOf(ingress)),
    });
    context.dataPlane.onChange(() => {
      for (const ingress of this.#ingresses.lister.list()) queue.add(keyOf(ingress));
    });
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { namespace, name } = splitKey(key);
    const ingress = this.#ingresses.lister.find(namespace, name);
    if (ingress === undefined || ingress.metadata?.annotations?.[keys.ingressClass] !== ingressClass) return;
    const { client, clock, dataPlane } = this.#context;
    const addresses = dataPlane.addresses();
    const conditions = new Conditions(ingress.status?.conditions, ["LoadBalancerReady", "NetworkConfigured"]);
    conditions.mark("NetworkConfigured", isTrue);
    conditions.mark("LoadBalancerReady", addresses.length > 0 ? isTrue : waiting);
    const balancer = { ingress: addresses.map((ip) => ({ ip })) };
    const status = {
      ...(addresses.length === 0 ? {} : { publicLoadBalancer: balancer, privateLoadBalancer: balancer }),
      conditions: conditions.result(clock.now()),
    };
    await writeStatus(client, ingresses, { object: ingress, status, signal });
  }
}
