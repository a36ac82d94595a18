/**
 * Tells who waits for a container on a cluster without root why it does not come. The scheduler says that no node tolerates the pod; it cannot say what to do.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import type { Service } from "#component-base/life-cycle.ts";

export type IsolatesOnlyEventsOptions = { readonly informers: InformerFactory; readonly events: EventRecorder };

const message =
  "this cluster runs isolates only, because nodeless runs without root: set runtimeClassName: isolate, or run nodeless with sudo to have containers";

/** One event for each pod that the scheduler finds no place for. */
export class IsolatesOnlyEvents implements Service {
  readonly #options: IsolatesOnlyEventsOptions;
  readonly #unbound: Informer<Pod>;
  readonly #told = new Set<string>();
  #remove: () => void = () => {};

  constructor(options: IsolatesOnlyEventsOptions) {
    this.#options = options;
    const resource = { group: "", version: "v1", resource: "pods" };
    this.#unbound = options.informers.informer<Pod>({ resource, fieldSelector: "spec.nodeName=" });
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#unbound.waitForSync(signal);
    this.#remove = this.#unbound.addHandler({
      onAdd: (pod) => this.#look(pod),
      onUpdate: (_before, pod) => this.#look(pod),
      onDelete: (pod) => this.#told.delete(pod.metadata?.uid ?? ""),
    });
  }

  async stop(): Promise<void> {
    this.#remove();
  }

  #look({ metadata, spec, status }: Pod): void {
    const { namespace = "", name = "", uid = "" } = metadata ?? {};
    const isUnschedulable = (status?.conditions ?? []).some(
      ({ type, status: is, reason }) => type === "PodScheduled" && is === "False" && reason === "Unschedulable",
    );
    if (!isUnschedulable || spec?.runtimeClassName === "isolate" || this.#told.has(uid)) return;
    this.#told.add(uid);
    const about = { apiVersion: "v1", kind: "Pod", namespace, name, uid };
    this.#options.events.record(about, { type: "Warning", reason: "IsolatesOnly", message });
  }
}
