/**
 * Carries Services to the kernel: follows Services and EndpointSlices, and changes the node's nftables table element by element. While one transaction runs, changes gather
 * for the next; when nft refuses a change the whole table is loaded anew. The table stays when the proxy stops: connections and names outlive it.
 */
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { type StaleFlow, staleFlows } from "./conntrack.ts";
import { ElementTable } from "./element-table.ts";
import { type Element, elementsOf, type ServiceElements } from "./elements.ts";
import { ServiceFrontends } from "./service-frontends.ts";
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
  readonly #frontends: ServiceFrontends;
  readonly #dirty = new Set<string>();
  #elements = new ElementTable();
  #chains: SharedChains;
  #isLoaded = false;
  #isStopped = false;
  #running: Promise<void> | undefined;

  constructor(options: ServiceProxyOptions) {
    this.#options = options;
    this.#frontends = new ServiceFrontends(options);
    this.#chains = new SharedChains(options.settings.table);
  }

  /** Resolves when the first whole table is loaded. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#frontends.follow(signal, (owner) => this.#mark(owner));
    this.#schedule();
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#frontends.stop();
    await this.#running;
  }

  #mark(owner: string): void {
    this.#dirty.add(owner);
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
    const owners = this.#frontends.owners();
    const added: Element[] = [];
    let chains = "";
    for (const owner of owners) {
      const wanted = elementsOf(this.#frontends.of(owner));
      chains += this.#ensureChains(wanted);
      added.push(...this.#elements.replace(owner, wanted.elements).added);
    }
    await applyNft(`${skeleton(settings)}${chains}${elementLines("add", settings.table, added)}`);
    this.#isLoaded = true;
    logger.info("Loaded Services", { owners: owners.length, elements: added.length });
  }

  async #applyChanges(): Promise<void> {
    const { settings, applyNft, forgetFlows } = this.#options;
    const owners = [...this.#dirty];
    this.#dirty.clear();
    const [deleted, added]: [Element[], Element[]] = [[], []];
    const stale: StaleFlow[] = [];
    let chains = "";
    for (const owner of owners) {
      const wanted = elementsOf(this.#frontends.of(owner));
      const before = this.#elements.elementsOf(owner);
      chains += this.#ensureChains(wanted);
      const changes = this.#elements.replace(owner, wanted.elements);
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

  #ensureChains({ dispatches }: ServiceElements): string {
    return dispatches.map((dispatch) => this.#chains.ensure(dispatch)).join("");
  }
}
