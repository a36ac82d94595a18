/**
 * Keeps the EndpointSlices of Services true to the pods that they select.
 */
import type { Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Informer } from "#client/informer.ts";
import { splitKey } from "#client/object-store.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { isNamespaceTerminating } from "#controllers/common/pods.ts";
import { endpointSlices } from "#controllers/common/resources.ts";
import { hasEndpoints } from "./service-pods.ts";
import { watchServices } from "./service-watch.ts";
import type { ServiceSources } from "./service-watch.ts";
import { controllerName, managedByLabel, planSlices, serviceNameLabel } from "./slice-plan.ts";

const byService = "service";

/** The controller of EndpointSlices. Keys are Services. */
export function createEndpointSliceController(context: ControllerContext): NamedController {
  return new EndpointSliceController(context).controller;
}

class EndpointSliceController {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #sources: ServiceSources;
  readonly #slices: Informer<EndpointSlice>;
  /** Our writes that the informer has not shown yet, by Service and name: until it has, another look would write them twice. */
  readonly #unseen = new Map<string, Map<string, "written" | "deleted">>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.controller = new KeyedController(context, {
      name: "endpointslice-controller",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    this.#sources = watchServices(this.controller, context);
    const informer = context.informers.informer<EndpointSlice>({
      resource: endpointSlices,
      indexes: { [byService]: (slice) => [serviceKeyOf(slice)] },
    });
    this.#slices = this.controller.watch(informer, {
      onAdd: (slice, isInInitialList) => this.#onSlice(slice, "written", isInInitialList),
      onUpdate: (_before, slice) => this.#onSlice(slice, "written", false),
      onDelete: (slice) => this.#onSlice(slice, "deleted", false),
    });
  }

  #onSlice(slice: EndpointSlice, what: "written" | "deleted", isInInitialList: boolean): void {
    if (slice.metadata?.labels?.[managedByLabel] !== controllerName) return;
    const key = serviceKeyOf(slice);
    const unseen = this.#unseen.get(key);
    const name = slice.metadata?.name ?? "";
    if (unseen?.get(name) === what) unseen.delete(name);
    if (unseen?.size === 0) this.#unseen.delete(key);
    // Also what others did to our slices is put right.
    if (
      !isInInitialList ||
      this.#sources.services.lister.find(splitKey(key).namespace, splitKey(key).name) === undefined
    ) {
      this.controller.queue.add(key);
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const service = this.#sources.services.lister.find(namespace, name);
    if (service === undefined) {
      this.#unseen.delete(key);
      return;
    }
    if (!hasEndpoints(service) || service.metadata?.deletionTimestamp !== undefined) return;
    if (this.#unseen.has(key)) return this.#waitForInformer(key);
    await this.#apply(key, service, signal);
  }

  /** The informer will wake us; should an event have been lost, a second is enough. */
  #waitForInformer(key: string): number {
    const seen = new Set(this.#slices.lister.byIndex(byService, key).map((slice) => slice.metadata?.name ?? ""));
    const unseen = this.#unseen.get(key)!;
    for (const [name, what] of unseen) if (seen.has(name) === (what === "written")) unseen.delete(name);
    if (unseen.size === 0) this.#unseen.delete(key);
    return 1000;
  }

  async #apply(key: string, service: Service, signal: AbortSignal): Promise<void> {
    const managed = this.#slices.lister
      .byIndex(byService, key)
      .filter(
        (slice) => slice.metadata?.labels?.[managedByLabel] === controllerName && !slice.metadata.deletionTimestamp,
      );
    const findNode = (node: string) => this.#sources.nodes.lister.find("", node);
    const plan = planSlices({ service, pods: this.#sources.podsOf(service), findNode, existing: managed });
    const { client } = this.#context;
    const namespace = service.metadata?.namespace ?? "";
    const unseen = new Map<string, "written" | "deleted">();
    this.#unseen.set(key, unseen);
    try {
      for (const slice of plan.update) {
        await client.update({ resource: endpointSlices, namespace, name: slice.metadata?.name ?? "" }, slice, {
          signal,
        });
      }
      for (const slice of plan.create) {
        const created = await client.create<EndpointSlice>({ resource: endpointSlices, namespace }, slice, { signal });
        const name = created.metadata?.name ?? "";
        if (this.#slices.lister.find(namespace, name) === undefined) unseen.set(name, "written");
      }
      for (const slice of plan.remove) await this.#remove(namespace, slice.metadata?.name ?? "", unseen, signal);
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    } finally {
      if (unseen.size === 0) this.#unseen.delete(key);
    }
  }

  async #remove(
    namespace: string,
    name: string,
    unseen: Map<string, "written" | "deleted">,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.#context.client.delete({ resource: endpointSlices, namespace, name }, { signal });
      if (this.#slices.lister.find(namespace, name) !== undefined) unseen.set(name, "deleted");
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }
}

function serviceKeyOf(slice: EndpointSlice): string {
  return `${slice.metadata?.namespace ?? ""}/${slice.metadata?.labels?.[serviceNameLabel] ?? ""}`;
}
