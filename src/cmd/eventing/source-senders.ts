/**
 * Joins the adapters of sources to what the eventing process has: a sender, places on disk, and clients with the rights of service accounts.
 */
import { createHttpTransport, type HttpTransport, type HttpTransportOptions } from "#client/http-transport.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import { type Client } from "#client/client.ts";
import { createClient } from "#client/rest-client.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { openDiskFolder } from "#disk/disk-files.ts";
import { DurableMap } from "#disk/durable-map.ts";
import { forbidsOwnMachine, type Lookup } from "#eventing/dispatcher/reach.ts";
import { Sender, type TokenSource } from "#eventing/dispatcher/sender.ts";
import type { SourceMetrics } from "#eventing/sources/adapters/source-metrics.ts";
import { startSourceAdapters } from "#eventing/sources/adapters/source-adapters.ts";

/** What they work with. */
export type SourceSendersOptions = {
  /** Where places are kept. */
  readonly folder: string;
  /** How the process reaches the API server. */
  readonly transport: HttpTransportOptions;
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly lookup: Lookup;
  readonly apiServerUrl: string;
  readonly metrics: SourceMetrics;
  readonly tokens: TokenSource;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** How long one try may take, as Knative's sources have it. */
const timeoutMs = 30_000;
const maxReplyBytes = 2 ** 20;

/** Resolves when sources are followed. */
export async function startSourceSenders(options: SourceSendersOptions): Promise<Pick<Service, "stop">> {
  const { folder, client, informers, lookup, apiServerUrl, metrics, tokens, clock, logger } = options;
  const places = await DurableMap.open(await openDiskFolder(folder));
  const sender = new Sender({ clock, maxReplyBytes, lookup, forbids: forbidsOwnMachine, tokens });
  const accounts = new AccountClients(options.transport);
  const adapters = startSourceAdapters({
    client,
    informers,
    clock,
    logger,
    apiServerUrl,
    lookup,
    forbids: forbidsOwnMachine,
    places,
    metrics,
    clientFor: (account) => accounts.clientFor(account),
    send: async (event, target, signal) => await sender.send(event, target, { timeoutMs, signal }),
  });
  return {
    async stop() {
      await adapters.stop();
      await sender.close();
      await accounts.close();
      await places.close();
    },
  };
}

/** One client per service account. */
class AccountClients {
  readonly #options: HttpTransportOptions;
  readonly #transports = new Map<string, HttpTransport>();

  constructor(options: HttpTransportOptions) {
    this.#options = options;
  }

  clientFor({ namespace, name }: { readonly namespace: string; readonly name: string }): Client {
    const impersonate = `system:serviceaccount:${namespace}:${name}`;
    const transport = this.#transports.get(impersonate) ?? createHttpTransport({ ...this.#options, impersonate });
    this.#transports.set(impersonate, transport);
    return createClient(transport);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#transports.values()].map((transport) => transport.close()));
  }
}
