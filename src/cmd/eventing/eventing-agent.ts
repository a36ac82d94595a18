/**
 * The parts of the eventing process, in the order in which they start. Events are taken and delivered as it was known last, before anything is asked of the control plane.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createHttpTransport, type HttpTransport, type HttpTransportOptions } from "#client/http-transport.ts";
import { createInformerFactory, type InformerFactory, withoutManagedFields } from "#client/informer-factory.ts";
import { createClient } from "#client/rest-client.ts";
import { addressPlan, nodeAddresses } from "#cmd/machine/address-plan.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import { openSpans } from "#cmd/machine/spans.ts";
import { eventingLayout } from "#cmd/machine/layout.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { openDiskFolder } from "#disk/disk-files.ts";
import { Dispatcher } from "#eventing/dispatcher/dispatcher.ts";
import type { EventLogs } from "#eventing/dispatcher/event-log.ts";
import { Receiver } from "#eventing/dispatcher/receiver.ts";
import { createTokenSource } from "#eventing/eventpolicy/token-source.ts";
import { eventApiService, ingressService } from "#eventing/names.ts";
import { SourceMetrics } from "#eventing/sources/adapters/source-metrics.ts";
import { keepEndpoints } from "#eventing/topology-source/endpoints.ts";
import { TopologySource } from "#eventing/topology-source/topology-source.ts";
import { openHeldListener } from "#linux/held-sockets.ts";
import { loadLibc } from "#linux/libc.ts";
import { forbidsOwnMachine } from "#eventing/dispatcher/reach.ts";
import { clusterLookup } from "./cluster-lookup.ts";
import { EventApiServer } from "./event-api-server.ts";
import { startIngressRules } from "./ingress-rules.ts";
import { sourceOptions } from "./source-options.ts";
import { startSourceSenders } from "./source-senders.ts";

/** What it works with. */
export type EventingAgentOptions = {
  readonly cluster: Cluster;
  readonly environment: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Names the variable with the servers of NATS JetStream ("nats://10.0.0.5:4222", several with commas) that keep events instead of this machine's disk. Given to `up`, it goes from process to process. */
const natsVariable = "NODELESS_NATS_SERVERS";

/** The first that can be had. */
const ports = [8880, 8881, 8882, 8883, 8884, 8885, 8886, 8887];
/** How long a sender waits for a Broker that was made a moment ago. */
const newTopicMs = 500;

/** A running dispatcher with its receiver. */
export class EventingAgent {
  readonly #options: EventingAgentOptions;
  readonly #abort = new AbortController();
  #transport: HttpTransport | undefined;
  #informers: InformerFactory | undefined;
  #source: TopologySource | undefined;
  #dispatcher: Dispatcher | undefined;
  #receiver: Receiver | undefined;
  #api: EventApiServer | undefined;
  #senders: Pick<Service, "stop"> | undefined;
  #rules: Pick<Service, "stop"> | undefined;
  #spans: Pick<Service, "stop"> | undefined;

  constructor(options: EventingAgentOptions) {
    this.#options = options;
  }

  /** Resolves when events are taken. */
  async start(): Promise<void> {
    const { cluster, environment, clock, logger } = this.#options;
    const { data } = eventingLayout(cluster.layout);
    const folder = await openDiskFolder(data);
    const logs = await this.#openLogs(data);
    const lookup = clusterLookup(addressPlan(cluster.record).dnsService);
    const transport = await this.#transportOptions();
    this.#transport = createHttpTransport(transport);
    const client = createClient(this.#transport);
    const tokens = createTokenSource(client, clock);
    const spans = await openSpans({ environment, serviceName: "nodeless-eventing", clock, logger });
    this.#spans = spans;
    const dispatcher = new Dispatcher({ logs, clock, logger, lookup, forbids: forbidsOwnMachine, tokens, spans });
    this.#dispatcher = dispatcher;
    const metrics = new SourceMetrics(dispatcher.metrics.registry);
    const informers = createInformerFactory({ client, clock, logger, transform: withoutManagedFields });
    this.#informers = informers;
    const apply = async (topology: Parameters<Dispatcher["apply"]>[0]) => await dispatcher.apply(topology);
    const source = new TopologySource({ informers, folder, apply, clock, logger });
    this.#source = source;
    const isRestored = await source.restore();
    const rules = await startIngressRules({ client, informers, folder, clock, logger, signal: this.#abort.signal });
    this.#rules = rules;
    const receiver = new Receiver({ dispatcher, clock, logger, newTopicMs, spans, ...rules });
    this.#receiver = receiver;
    const place = await this.#openListener();
    source.follow();
    this.#api = await this.#openApi(dispatcher, metrics, place.address);
    const keeping = { address: place.address, client, informers, clock, logger, signal: this.#abort.signal };
    keepEndpoints({ ...keeping, service: ingressService, portName: "http", port: place.port });
    keepEndpoints({ ...keeping, service: eventApiService, portName: "https", port: this.#api.port });
    await informers.start(this.#abort.signal);
    // Nothing is refused by one who knows nothing: who comes until then waits.
    if (!isRestored) await source.seen();
    await receiver.listen({ fd: place.fileDescriptor });
    logger.info("Took events", { address: place.address, port: place.port });
    const { apiServerUrl } = sourceOptions(cluster);
    // Some send to the receiver, which is there by now.
    const sending = {
      folder: join(data, "sources"),
      transport,
      client,
      informers,
      lookup,
      apiServerUrl,
      metrics,
      tokens,
    };
    this.#senders = await startSourceSenders({ ...sending, clock, logger });
  }

  /** What is under way is delivered again by the next one. */
  async stop(): Promise<void> {
    this.#abort.abort(new Error("eventing stops"));
    await this.#senders?.stop();
    await Promise.all([this.#receiver?.close(), this.#api?.close()]);
    await Promise.all([this.#source?.stop(), this.#rules?.stop()]);
    await this.#informers?.stop();
    await this.#dispatcher?.stop();
    await this.#transport?.close();
    await this.#spans?.stop();
  }

  /** Files of this machine, or NATS where a server is given. */
  async #openLogs(folder: string): Promise<EventLogs> {
    const { cluster, environment, clock, logger } = this.#options;
    const servers = environment[natsVariable] ?? "";
    if (servers === "") {
      const { openEmbeddedLogs } = await import("#eventing/dispatcher/embedded-logs.ts");
      return await openEmbeddedLogs({ folder, clock, logger });
    }
    const { openNatsLogs } = await import("#eventing/dispatcher/nats-logs.ts");
    return await openNatsLogs({ servers, prefix: `nodeless-${cluster.record.name}`, logger });
  }

  async #openApi(dispatcher: Dispatcher, metrics: SourceMetrics, host: string): Promise<EventApiServer> {
    const { cluster, clock, logger } = this.#options;
    const load = async () => {
      const { EventApi } = await import("#eventing/dispatcher/api/event-api.ts");
      return new EventApi({ dispatcher, sources: () => metrics.all(), clock, logger });
    };
    return await EventApiServer.open({ folder: cluster.layout.pki, host, load, logger });
  }

  async #transportOptions(): Promise<HttpTransportOptions> {
    const { layout, record } = this.#options.cluster;
    return {
      server: `https://${addressPlan(record).controlPlane}:${record.apiPort}`,
      ca: await readFile(join(layout.pki, "ca.crt"), "utf8"),
      // Read again for each connection: certificates are renewed on disk.
      clientCertificate: async () => ({
        certificate: await readFile(join(layout.pki, "eventing.crt"), "utf8"),
        key: await readFile(join(layout.pki, "eventing.key"), "utf8"),
      }),
      userAgent: "nodeless-eventing",
    };
  }

  /** Held by a process beside this one: senders that come while this one is away wait for the next. */
  async #openListener(): Promise<{ readonly address: string; readonly port: number; readonly fileDescriptor: number }> {
    const { layout, record } = this.#options.cluster;
    const { address } = nodeAddresses(record, 0);
    const held = openHeldListener(await loadLibc(), { name: eventingLayout(layout).listener, address, ports });
    if (!held) throw new Error(`no free port from ${ports[0]} to ${ports.at(-1)} at ${address}`);
    return { ...held, address };
  }
}
