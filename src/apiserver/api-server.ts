/**
 * The API server, put together: store → watch cache → registry → handlers → filters → HTTPS and in-process transports. `createApiServer` only joins; nothing runs before start.
 */
import { randomUUID } from "node:crypto";
import { ProtobufCodec } from "#apimachinery/codecs/protobuf-codec.ts";
import { YamlThread } from "#apimachinery/codecs/yaml-thread.ts";
import type { KindFacts } from "#api/kind-facts.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { createClient } from "#client/rest-client.ts";
import type { Transport } from "#client/transport.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Store } from "#store/store.ts";
import type { AdmissionPlugin } from "./admission.ts";
import { createAddressBook } from "./allocators/address-book.ts";
import { addressAt, parseIpv4Range } from "./allocators/ipv4-range.ts";
import { ServiceHooks } from "./allocators/service-hooks.ts";
import type { ApiRequest } from "./api-request.ts";
import { Aggregation } from "./aggregation/aggregation.ts";
import type { FindEndpoint, FrontProxy } from "./aggregation/remote-api.ts";
import { ensureBootstrapObjects } from "./bootstrap/bootstrap-objects.ts";
import { writeFirstObjects } from "./bootstrap/first-objects.ts";
import { KubernetesService } from "./bootstrap/kubernetes-service.ts";
import { formatTime } from "./registry/object-meta.ts";
import { createBuiltInTable, type FindStrategy } from "./built-in-resources.ts";
import { CustomResources } from "./custom-resources/custom-resources.ts";
import { type Answer, type ChainParts, runRequest } from "./filters/chain.ts";
import { FlowControl } from "./flowcontrol/flow-control.ts";
import type { FlowObjects } from "./flowcontrol/flow-objects.ts";
import { dispatch } from "./handlers/dispatch.ts";
import { virtualHandler } from "./handlers/virtual.ts";
import type { VirtualResource } from "./virtual-resources/virtual-resource.ts";
import { type HandlerParts, type SubresourceHandler, subresourceKey } from "./handlers/handler-parts.ts";
import { Chunks } from "./negotiation/chunks.ts";
import { createInProcessTransport } from "./in-process-transport.ts";
import type { ComputedResource } from "./node-metrics/metrics-resources.ts";
import { createHealthHandler, type HealthCheck } from "./other/health.ts";
import { createDiscoveryHandler } from "./other/discovery-handler.ts";
import { createOpenApiHandler } from "./other/openapi-handler.ts";
import { createMetricsHandler, Metrics } from "./other/metrics.ts";
import { handleNonResource, type NonResourceHandler } from "./other/non-resource.ts";
import { createVersionHandler } from "./other/version.ts";
import { expireEvents } from "./registry/event-expiry.ts";
import { Registry } from "./registry/registry.ts";
import type { ResourceTable } from "./registry/served-resource.ts";
import type { WriteHooks } from "./registry/write-hooks.ts";
import type { Authenticator, Authorizer, Credentials, User } from "./request.ts";
import { type Connecter, Connecters } from "./server/connecter.ts";
import { HttpsServer, type Patience, type ServingCertificate } from "./server/https-server.ts";
import { builtInSubresources } from "./subresources/built-in-subresources.ts";
import { WatchWriters } from "./server/watch-writer.ts";
import { compactForever } from "./storage/compaction.ts";
import { ObjectCodec, type ValueTransformer } from "./storage/object-codec.ts";
import { StepTurns, Turns } from "./turns.ts";
import { WatchCache } from "./watch-cache/watch-cache.ts";

/** Authentication, authorization, admission, and what answers from them. */
export type Access = {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly admission: readonly AdmissionPlugin[];
  /** Reviews and tokens, by "GROUP/RESOURCE" or "GROUP/RESOURCE/SUBRESOURCE". */
  readonly virtualResources?: ReadonlyMap<string, VirtualResource>;
  readonly nonResourceHandlers?: readonly NonResourceHandler[];
  /** Started when the bootstrap objects are there, before the server is ready. */
  readonly service?: Service;
};

/** What parts inside the server see of it. */
export type Loopback = {
  /** In-process, as system:masters. */
  readonly client: Client;
  /** An object of the core group out of the watch cache; cheaper than the client. */
  readonly findObject: (resource: string, namespace: string, name: string) => Promise<KubeObject | undefined>;
};

/** How the server is to be. Plain data and parts; nothing is read from the environment. */
export type ApiServerOptions = {
  readonly store: Store;
  readonly kindFacts: KindFacts;
  readonly findStrategy: FindStrategy;
  /** Who may do what. A function gets a client of this very server, for parts that look things up through it. */
  readonly access: Access | ((loopback: Loopback) => Access);
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where to listen; absent: in-process only. Port 0 takes a free one. */
  readonly https?: {
    readonly addresses: readonly string[];
    /** Under which host others reach it, as discovery says. Default the first address. */
    readonly externalHost?: string;
    readonly port: number;
    readonly serving: ServingCertificate;
    readonly clientCa: string;
    readonly patience?: Patience;
  };
  /** By group-resource: "secrets". */
  readonly encryption?: ReadonlyMap<string, ValueTransformer>;
  /** By "GROUP/RESOURCE/SUBRESOURCE" ("/pods/binding") or, for resources that keep nothing, "GROUP/RESOURCE". */
  readonly subresources?: ReadonlyMap<string, SubresourceHandler>;
  /** Resources of which nothing is kept: metrics. */
  readonly computedResources?: readonly ComputedResource[];
  /** Streaming subresources, by "pods/exec". */
  readonly connecters?: ReadonlyMap<string, Connecter>;
  /** Gives objects that a new store begins with, as `packFirstObjects` made them. */
  readonly firstObjects?: () => Promise<string>;
  /** By group-resource. */
  readonly hooks?: ReadonlyMap<string, WriteHooks>;
  /** Where Services get their addresses and node ports from. Absent: they get none. */
  readonly services?: {
    /** "10.41.0.0/16" */
    readonly cidr: string;
    /** Default 30000–32767. */
    readonly nodePorts?: { readonly first: number; readonly last: number };
    /** Where pods reach the API server. */
    readonly apiAddress: string;
  };
  /** What the server shows to aggregated API servers. Absent: APIServices are only stored. */
  readonly aggregation?: FrontProxy & { readonly findEndpoint?: FindEndpoint };
  /** Discovery, OpenAPI, metrics and others. */
  readonly nonResourceHandlers?: readonly NonResourceHandler[];
  readonly healthChecks?: readonly HealthCheck[];
  readonly maxInFlight?: { readonly reads: number; readonly writes: number };
};

/** The server of this process itself: bootstrap and internal loops act as it. */
export const loopbackUser: User = { name: "system:apiserver", groups: ["system:masters", "system:authenticated"] };

/** What is done at a start, in upstream's names, for those who ask for one of them; here it is done when all is. */
const startSteps = [
  "crd-informer-synced",
  "start-system-namespaces-controller",
  "rbac/bootstrap-roles",
  "scheduling/bootstrap-system-priority-classes",
  "priority-and-fairness-config-producer",
  "bootstrap-controller",
  "start-kubernetes-service-cidr-controller",
  "kube-apiserver-autoregistration",
];

/** The API server. */
export class ApiServer implements Service {
  readonly registry: Registry;
  readonly table: ResourceTable;
  readonly chain: ChainParts;
  readonly metrics: Metrics = new Metrics();
  readonly #options: ApiServerOptions;
  readonly #https: HttpsServer;
  readonly #customResources: CustomResources;
  readonly #aggregation: Aggregation | undefined;
  readonly #watches: WatchWriters;
  readonly #access: Access;
  readonly #kubernetesService: KubernetesService | undefined;
  readonly #yaml: YamlThread;
  readonly #steps = new StepTurns();
  readonly #stopping = new AbortController();
  #port = 0;
  #isReady = false;
  #flows: FlowObjects | undefined;

  constructor(options: ApiServerOptions) {
    const { store, kindFacts, clock, logger } = options;
    const protobuf = new ProtobufCodec();
    this.#yaml = new YamlThread(clock, this.#steps.takeSteps);
    const codec = new ObjectCodec(options.encryption);
    this.#options = options;
    this.table = createBuiltInTable(kindFacts, options.findStrategy);
    for (const { served } of options.computedResources ?? []) this.table.set(served);
    const access = new LateAccess();
    this.registry = new Registry({
      table: this.table,
      store,
      cache: new WatchCache({ store, codec, clock, logger }),
      codec,
      kindFacts,
      admission: access.admission,
      authorizer: access,
      clock,
      logger,
      hooks: new Map([...this.#serviceHooks(), ...(options.hooks ?? [])]),
    });
    const handlerParts: HandlerParts = {
      registry: this.registry,
      decoder: { kindFacts, protobuf, parseYaml: (bytes) => this.#yaml.parse(bytes), takeSteps: this.#steps.takeSteps },
      subresources: access.subresources,
    };
    const limits = options.maxInFlight ?? { reads: 400, writes: 200 };
    const flowControl = new FlowControl(limits.reads + limits.writes, clock);
    this.chain = {
      authenticator: access,
      authorizer: access,
      flowControl,
      clock,
      logger,
      metrics: this.metrics,
      turns: new Turns(),
      steps: this.#steps,
      handleResource: (context) => this.#aggregation?.handle(context) ?? dispatch(handlerParts, context),
      handleOther: (context) =>
        this.#aggregation?.handle(context) ?? handleNonResource(access.nonResourceHandlers, context),
    };
    this.#aggregation = this.#createAggregation();
    access.others.push(
      createHealthHandler([...this.#healthChecks(), ...(options.healthChecks ?? [])]),
      createVersionHandler(),
      createMetricsHandler(this.metrics),
      createDiscoveryHandler(
        this.table,
        () => `${options.https?.externalHost ?? options.https?.addresses[0] ?? "127.0.0.1"}:${this.#port}`,
        this.#aggregation,
      ),
      createOpenApiHandler(this.table, kindFacts, this.#aggregation),
      ...(options.nonResourceHandlers ?? []),
    );
    const { access: given } = options;
    const loopback: Loopback = { client: this.client(loopbackUser), findObject: (...name) => this.#find(...name) };
    this.#access = typeof given === "function" ? given(loopback) : given;
    this.#kubernetesService = this.#createKubernetesService(loopback.client);
    access.fill(this.#access, new Map([...builtInSubresources, ...computed(options), ...(options.subresources ?? [])]));
    this.#customResources = new CustomResources(this.registry, this.client(loopbackUser, "kube-apiserver"));
    this.#watches = new WatchWriters(clock);
    this.#addGauges();
    this.#https = new HttpsServer({
      chain: this.chain,
      writer: { encoder: { kindFacts, protobuf, clock, chunks: new Chunks() }, watches: this.#watches },
      connecters: new Connecters(options.connecters ?? new Map(), (path) => this.#aggregation?.find(path)),
    });
  }

  /** The HTTPS port; 0 before start. */
  get port(): number {
    return this.#port;
  }

  /** Shows another certificate from now on; connections that are there stay. */
  renewServing(serving: ServingCertificate): void {
    const { https } = this.#options;
    if (https) this.#https.renew(serving, https.clientCa);
  }

  /** Resolves when requests are served and the bootstrap objects are there. */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { https, store, firstObjects, clock } = this.#options;
    if (firstObjects !== undefined) await writeFirstObjects(store, firstObjects, clock.now());
    await this.registry.parts.cache.start();
    for (const host of https?.addresses ?? []) {
      if (https === undefined) break;
      this.#port = await this.#https.listen({ ...https, host, port: this.#port === 0 ? https.port : this.#port });
    }
    await ensureBootstrapObjects(this.client(loopbackUser));
    await this.#access.service?.start(signal);
    await this.#kubernetesService?.start();
    await this.#customResources.start(signal);
    await this.#aggregation?.start(signal);
    this.#isReady = true;
    void compactForever(this.registry.parts, this.#stopping.signal);
    void expireEvents(this.registry, this.#stopping.signal);
    if (this.#options.https !== undefined) void this.#followFlows();
  }

  /** Ends watches, connections and loops. The store stays open: it is its owner's. */
  async stop(): Promise<void> {
    this.#isReady = false;
    this.#stopping.abort();
    await this.#flows?.stop();
    await this.#kubernetesService?.stop();
    await this.#aggregation?.stop();
    await this.#customResources.stop();
    await this.#access.service?.stop();
    this.#watches.stop();
    this.#yaml.stop();
    await this.#https.close();
    this.registry.parts.cache.stop();
  }

  /** Handles a request as it comes from a transport of one's own. Throws StatusError only. */
  handle(request: ApiRequest): Promise<Answer> {
    return runRequest(this.chain, request);
  }

  /** A transport into this server, as a user. */
  transport(user: User, userAgent?: string): Transport {
    return createInProcessTransport(this.chain, user, userAgent);
  }

  /** A client of this server, as a user. */
  client(user: User, userAgent?: string): Client {
    return createClient(this.transport(user, userAgent));
  }

  // Beside everything else: a start does not wait for it.
  async #followFlows(): Promise<void> {
    const { FlowObjects } = await import("./flowcontrol/flow-objects.ts");
    if (this.#stopping.signal.aborted) return;
    const { clock, logger } = this.#options;
    this.#flows = new FlowObjects({
      client: this.client(loopbackUser),
      clock,
      logger,
      control: this.chain.flowControl,
    });
    await this.#flows.run();
  }

  #addGauges(): void {
    const { flowControl } = this.chain;
    const flights = { name: "apiserver_current_inflight_requests", help: "Requests under way." };
    this.metrics.addGauge({ ...flights, read: () => flowControl.count });
    const watches = { name: "apiserver_longrunning_requests", help: "Watches over HTTP." };
    this.metrics.addGauge({ ...watches, read: () => this.#watches.count });
  }

  #serviceHooks(): readonly (readonly [string, WriteHooks])[] {
    const { services, clock } = this.#options;
    if (services === undefined) return [];
    const clusterIps = parseIpv4Range(services.cidr);
    const nodePorts = services.nodePorts ?? { first: 30_000, last: 32_767 };
    const made = { nowText: () => formatTime(clock.now()), newUid: randomUUID };
    const book = createAddressBook(() => this.registry, made);
    return [["services", new ServiceHooks({ clusterIps, nodePorts }, book)]];
  }

  #createAggregation(): Aggregation | undefined {
    const { aggregation, clock, logger } = this.#options;
    if (aggregation === undefined) return undefined;
    const { findEndpoint, ...frontProxy } = aggregation;
    return new Aggregation({
      client: this.client(loopbackUser, "kube-apiserver"),
      table: this.table,
      frontProxy,
      clock,
      logger,
      ...(findEndpoint === undefined ? {} : { findEndpoint }),
    });
  }

  #createKubernetesService(client: Client): KubernetesService | undefined {
    const { services, clock, logger } = this.#options;
    if (services === undefined) return undefined;
    const range = parseIpv4Range(services.cidr);
    return new KubernetesService({
      client,
      clock,
      logger,
      clusterIp: addressAt(range, 1),
      serviceCidr: range.cidr,
      endpointAddress: services.apiAddress,
      endpointPort: () => this.#port,
    });
  }

  async #find(resource: string, namespace: string, name: string): Promise<KubeObject | undefined> {
    return (await this.registry.storageOf(this.registry.core(resource)).find(namespace, name))?.object;
  }

  #healthChecks(): readonly HealthCheck[] {
    const all = ["healthz", "livez", "readyz"] as const;
    const well = (): undefined => undefined;
    const started = () => (this.#isReady ? undefined : "not finished");
    return [
      { name: "ping", endpoints: all, check: well },
      { name: "log", endpoints: all, check: well },
      { name: "etcd", endpoints: all, check: well },
      { name: "etcd-readiness", endpoints: ["readyz"], check: well },
      { name: "informer-sync", endpoints: ["readyz"], check: started },
      ...startSteps.map((name) => ({ name: `poststarthook/${name}`, endpoints: all, check: started })),
      {
        name: "shutdown",
        endpoints: ["readyz"],
        check: () => (this.#stopping.signal.aborted ? "the server is stopping" : undefined),
      },
    ];
  }
}

function computed({ computedResources = [] }: ApiServerOptions): (readonly [string, SubresourceHandler])[] {
  return computedResources.map(({ served, handle }) => [subresourceKey(served, ""), handle]);
}

/** The access parts, which are made with a client of the server that needs them: empty at first. */
class LateAccess implements Authenticator, Authorizer {
  readonly admission: AdmissionPlugin[] = [];
  readonly others: NonResourceHandler[] = [];
  readonly subresources = new Map<string, SubresourceHandler>();
  #access: Access | undefined;

  get nonResourceHandlers(): readonly NonResourceHandler[] {
    return this.others;
  }

  fill(access: Access, subresources: ReadonlyMap<string, SubresourceHandler>): void {
    this.#access = access;
    this.admission.push(...access.admission);
    this.others.push(...(access.nonResourceHandlers ?? []));
    for (const [key, compute] of access.virtualResources ?? []) this.subresources.set(key, virtualHandler(compute));
    for (const [key, handler] of subresources) this.subresources.set(key, handler);
  }

  authenticate(credentials: Credentials): ReturnType<Authenticator["authenticate"]> {
    return this.#made.authenticator.authenticate(credentials);
  }

  authorize(...request: Parameters<Authorizer["authorize"]>): ReturnType<Authorizer["authorize"]> {
    return this.#made.authorizer.authorize(...request);
  }

  get #made(): Access {
    if (this.#access === undefined) throw new Error("the API server was asked before it was made");
    return this.#access;
  }
}

/** Puts an API server together. Start it with {@link ApiServer.start}. */
export function createApiServer(options: ApiServerOptions): ApiServer {
  return new ApiServer(options);
}
