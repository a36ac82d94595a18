/**
 * Carries Services to the kernel: follows Services and EndpointSlices, and changes the node's nftables table element by element. While one transaction runs, changes gather
 * for the next; when nft refuses a change the whole table is loaded anew. The table stays when the proxy stops: connections and names outlive it.
 */
import type { Pod, Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { endpointSliceIndexes } from "#network/dns/cluster-records.ts";
import { type StaleFlow, staleFlows } from "./conntrack.ts";
import { ElementTable } from "./element-table.ts";
import { type Element, elementsOf, type ServiceElements } from "./elements.ts";
import { frontendsOf, hostPortFrontends } from "./frontends.ts";
import { elementLines, SharedChains, skeleton, type TableSettings } from "./table.ts";

/** What the proxy works with. */
export type ServiceProxyOptions = {
  readonly informers: InformerFactory;
  readonly nodeName: string;
  readonly settings: TableSettings;
  /** Applies an nftables script as one transaction. */
  readonly applyNft: (script: string) => Promise<void>;
  /** Makes the kernel forget connections to endpoints that are gone. */
  readonly forgetFlows: (flows: readonly StaleFlow[]) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
};

const retryMs = 2000;

/** The service proxy of a node. */
export class ServiceProxy implements Service {
  readonly #options: ServiceProxyOptions;
  readonly #services: Informer<KubeService>;
  readonly #slices: Informer<EndpointSlice>;
  /** Pods of this node, for their host ports. */
  readonly #pods: Informer<Pod>;
  readonly #dirty = new Set<string>();
  readonly #removers: (() => void)[] = [];
  #elements = new ElementTable();
  #chains: SharedChains;
  #isLoaded = false;
  #isStopped = false;
  #running: Promise<void> | undefined;

  constructor(options: ServiceProxyOptions) {
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
    this.#chains = new SharedChains(options.settings.table);
  }

  /** Resolves when the first whole table is loaded. */
  async start(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#services, this.#slices, this.#pods].map((informer) => informer.waitForSync(signal)));
    this.#removers.push(
      follow(this.#services, (service) => this.#mark(keyOf(service))),
      follow(this.#slices, (slice) => {
        for (const key of endpointSliceIndexes.service(slice)) this.#mark(key);
      }),
      follow(this.#pods, (pod) => {
        if (hasHostPorts(pod)) this.#mark(podKeyOf(pod));
      }),
    );
    this.#schedule();
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const remove of this.#removers.splice(0)) remove();
    await this.#running;
  }

  #mark(key: string): void {
    this.#dirty.add(key);
    if (this.#isLoaded) this.#schedule();
  }

  #schedule(): void {
    if (this.#running || this.#isStopped) return;
    // Never rejects: failures are logged and tried again.
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#options;
    while (!this.#isStopped && (!this.#isLoaded || this.#dirty.size > 0)) {
      try {
        if (this.#isLoaded) await this.#applyChanges();
        else await this.#loadWhole();
      } catch (error) {
        logger.error("Changed no Services", { error });
        this.#isLoaded = false;
        await clock.sleep(retryMs);
      }
    }
  }

  /** Replaces the table by what the informers have now, in one transaction. */
  async #loadWhole(): Promise<void> {
    const { settings, applyNft, logger } = this.#options;
    this.#dirty.clear();
    this.#elements = new ElementTable();
    this.#chains = new SharedChains(settings.table);
    const services = this.#services.lister.list();
    const keys = [...services.map(keyOf), ...this.#pods.lister.list().filter(hasHostPorts).map(podKeyOf)];
    const added: Element[] = [];
    let chains = "";
    for (const key of keys) {
      const wanted = this.#wanted(key);
      chains += this.#ensureChains(wanted);
      added.push(...this.#elements.replace(key, wanted.elements).added);
    }
    await applyNft(`${skeleton(settings)}${chains}${elementLines("add", settings.table, added)}`);
    this.#isLoaded = true;
    logger.info("Loaded Services", { services: services.length, elements: added.length });
  }

  async #applyChanges(): Promise<void> {
    const { settings, applyNft, forgetFlows } = this.#options;
    const keys = [...this.#dirty];
    this.#dirty.clear();
    const [deleted, added]: [Element[], Element[]] = [[], []];
    const stale: StaleFlow[] = [];
    let chains = "";
    for (const key of keys) {
      const wanted = this.#wanted(key);
      const before = this.#elements.elementsOf(key);
      chains += this.#ensureChains(wanted);
      const changes = this.#elements.replace(key, wanted.elements);
      deleted.push(...changes.deleted);
      added.push(...changes.added);
      stale.push(...staleFlows(before, wanted.elements));
    }
    if (deleted.length === 0 && added.length === 0) return;
    await applyNft(
      `${chains}${elementLines("delete", settings.table, deleted)}${elementLines("add", settings.table, added)}`,
    );
    if (stale.length > 0) await forgetFlows(stale);
  }

  #wanted(key: string): ServiceElements {
    const [namespace = "", name = "", kind] = key.split("/");
    if (kind === "pod") {
      const pod = this.#pods.lister.find(namespace, name);
      return pod ? elementsOf(hostPortFrontends(pod)) : { elements: [], dispatches: [] };
    }
    const service = this.#services.lister.find(namespace, name);
    if (!service) return { elements: [], dispatches: [] };
    return elementsOf(frontendsOf(service, this.#slices.lister.byIndex("service", key), this.#options));
  }

  #ensureChains({ dispatches }: ServiceElements): string {
    return dispatches.map((dispatch) => this.#chains.ensure(dispatch)).join("");
  }
}

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

/** Names a pod among the owners of elements, where Services have namespace/name. */
function podKeyOf(pod: Pod): string {
  return `${keyOf(pod)}/pod`;
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata?.namespace ?? ""}/${metadata?.name ?? ""}`;
}
