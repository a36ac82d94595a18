/**
 * What a service proxy follows: Services, their EndpointSlices, and this node's pods with host ports. Whoever proxies is told whose frontends may have changed, and asks for them.
 */
import type { Pod, Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import type { Logger } from "#component-base/logger.ts";
import { endpointSliceIndexes } from "#network/dns/cluster-records.ts";
import { type Frontend, frontendsOf, hostPortFrontends } from "./frontends.ts";

/** Whose they are, and who wants to know. */
export type ServiceFrontendsOptions = {
  readonly informers: InformerFactory;
  readonly nodeName: string;
  readonly logger: Logger;
};

/** The frontends of a node by owner: "namespace/name" of a Service, "namespace/name/pod" of a pod. */
export class ServiceFrontends {
  readonly #options: ServiceFrontendsOptions;
  readonly #services: Informer<KubeService>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #pods: Informer<Pod>;
  readonly #removers: (() => void)[] = [];

  constructor(options: ServiceFrontendsOptions) {
    this.#options = options;
    const { informers } = options;
    this.#services = informers.informer<KubeService>({ resource: { group: "", version: "v1", resource: "services" } });
    this.#slices = informers.informer<EndpointSlice>({
      resource: { group: "discovery.k8s.io", version: "v1", resource: "endpointslices" },
      indexes: endpointSliceIndexes,
    });
    this.#pods = informers.informer<Pod>({
      resource: { group: "", version: "v1", resource: "pods" },
      fieldSelector: `spec.nodeName=${options.nodeName}`,
    });
  }

  /** Resolves when all objects are known; `mark` hears of each owner whose frontends may be others now. */
  async follow(signal: AbortSignal, mark: (owner: string) => void): Promise<void> {
    await Promise.all([this.#services, this.#slices, this.#pods].map((informer) => informer.waitForSync(signal)));
    this.#removers.push(
      follow(this.#services, (service) => mark(keyOf(service))),
      follow(this.#slices, (slice) => {
        for (const key of endpointSliceIndexes.service(slice)) mark(key);
      }),
      follow(this.#pods, (pod) => {
        if (hasHostPorts(pod)) mark(podKeyOf(pod));
      }),
    );
  }

  /** Nothing is marked any more. */
  stop(): void {
    for (const remove of this.#removers.splice(0)) remove();
  }

  /** All that may have frontends. */
  owners(): readonly string[] {
    return [...this.#services.lister.list().map(keyOf), ...this.#pods.lister.list().filter(hasHostPorts).map(podKeyOf)];
  }

  /** None for an owner that is gone. */
  of(owner: string): readonly Frontend[] {
    const [namespace = "", name = "", kind] = owner.split("/");
    if (kind === "pod") {
      const pod = this.#pods.lister.find(namespace, name);
      return pod ? hostPortFrontends(pod) : [];
    }
    const service = this.findService(owner);
    return service ? frontendsOf(service, this.#slices.lister.byIndex("service", owner), this.#options) : [];
  }

  /** The Service that is the owner, if one is. */
  findService(owner: string): KubeService | undefined {
    const [namespace = "", name = "", kind] = owner.split("/");
    return kind === undefined ? this.#services.lister.find(namespace, name) : undefined;
  }
}

// Of both: a slice may have become another Service's, a pod may have lost its ports.
function follow<T extends KubeObject>(informer: Informer<T>, mark: (object: T) => void): () => void {
  return informer.addHandler({
    onAdd: mark,
    onUpdate: (before, after) => {
      mark(before);
      mark(after);
    },
    onDelete: mark,
  });
}

function hasHostPorts({ spec }: Pod): boolean {
  return [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].some(({ ports }) =>
    (ports ?? []).some(({ hostPort }) => (hostPort ?? 0) > 0),
  );
}

function podKeyOf(pod: Pod): string {
  return `${keyOf(pod)}/pod`;
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata?.namespace ?? ""}/${metadata?.name ?? ""}`;
}
