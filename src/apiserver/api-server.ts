/**
 * The API server, put together: store → watch cache → registry → handlers → filters → HTTPS and in-process transports. `createApiServer` only joins; nothing runs before start.
 */
import { ProtobufCodec } from "#apimachinery/codecs/protobuf-codec.ts";
import type { KindFacts } from "#api/kind-facts.ts";
import type { Client } from "#client/client.ts";
import { createClient } from "#client/rest-client.ts";
import type { Transport } from "#client/transport.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { Store } from "#store/store.ts";
import type { AdmissionPlugin } from "./admission.ts";
import type { ApiRequest } from "./api-request.ts";
import { ensureBootstrapObjects } from "./bootstrap/bootstrap-objects.ts";
import { createBuiltInTable, type FindStrategy } from "./built-in-resources.ts";
import { type Answer, type ChainParts, runRequest } from "./filters/chain.ts";
import { InFlight } from "./filters/in-flight.ts";
import { dispatch } from "./handlers/dispatch.ts";
import type { HandlerParts } from "./handlers/handler-parts.ts";
import { createInProcessTransport } from "./in-process-transport.ts";
import { createHealthHandler, type HealthCheck } from "./other/health.ts";
import { handleNonResource, type NonResourceHandler } from "./other/non-resource.ts";
import { createVersionHandler } from "./other/version.ts";
import { Registry } from "./registry/registry.ts";
import type { ResourceTable } from "./registry/served-resource.ts";
import type { SubresourceHandler } from "./registry/subresource.ts";
import type { WriteHooks } from "./registry/write-hooks.ts";
import type { Authenticator, Authorizer, User } from "./request.ts";
import { type Connecter, Connecters } from "./server/connecter.ts";
import { HttpsServer, type ServingCertificate } from "./server/https-server.ts";
import { WatchWriters } from "./server/watch-writer.ts";
import { ObjectCodec, type ValueTransformer } from "./storage/object-codec.ts";
import { WatchCache } from "./watch-cache/watch-cache.ts";

/** How the server is to be. Plain data and parts; nothing is read from the environment. */
export type ApiServerOptions = {
  readonly store: Store;
  readonly kindFacts: KindFacts;
  readonly findStrategy: FindStrategy;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly admission: readonly AdmissionPlugin[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where to listen; absent: in-process only. Port 0 takes a free one. */
  readonly https?: {
    readonly addresses: readonly string[];
    readonly port: number;
    readonly serving: ServingCertificate;
    readonly clientCa: string;
  };
  /** By group-resource: "secrets". */
  readonly encryption?: ReadonlyMap<string, ValueTransformer>;
  /** By "GROUP/RESOURCE/SUBRESOURCE" ("/pods/binding") or, for resources that keep nothing, "GROUP/RESOURCE". */
  readonly subresources?: ReadonlyMap<string, SubresourceHandler>;
  /** Streaming subresources, by "pods/exec". */
  readonly connecters?: ReadonlyMap<string, Connecter>;
  /** By group-resource. */
  readonly hooks?: ReadonlyMap<string, WriteHooks>;
  /** Discovery, OpenAPI, metrics and others. */
  readonly nonResourceHandlers?: readonly NonResourceHandler[];
  readonly healthChecks?: readonly HealthCheck[];
  readonly maxInFlight?: { readonly reads: number; readonly writes: number };
};

/** The server of this process itself: bootstrap and internal loops act as it. */
export const loopbackUser: User = { name: "system:apiserver", groups: ["system:masters", "system:authenticated"] };

/** How often history is compacted, in milliseconds. As kube-apiserver. */
const COMPACTION_PERIOD_MS = 300_000;

/** The API server. */
export class ApiServer implements Service {
  readonly registry: Registry;
  readonly table: ResourceTable;
  readonly chain: ChainParts;
  readonly #options: ApiServerOptions;
  readonly #https: HttpsServer;
  readonly #watches: WatchWriters;
  readonly #stopping = new AbortController();
  #port = 0;
  #isReady = false;

  constructor(options: ApiServerOptions) {
    const { store, kindFacts, clock, logger, authorizer } = options;
    const protobuf = new ProtobufCodec();
    const codec = new ObjectCodec(options.encryption);
    this.#options = options;
    this.table = createBuiltInTable(kindFacts, options.findStrategy);
    this.registry = new Registry({
      table: this.table,
      store,
      cache: new WatchCache({ store, codec, logger }),
      codec,
      kindFacts,
      admission: options.admission,
      authorizer,
      clock,
      logger,
      hooks: options.hooks ?? new Map(),
    });
    const handlerParts: HandlerParts = {
      registry: this.registry,
      decoder: { kindFacts, protobuf },
      subresources: options.subresources ?? new Map(),
    };
    const others = [
      createHealthHandler([...this.#healthChecks(), ...(options.healthChecks ?? [])]),
      createVersionHandler(),
      ...(options.nonResourceHandlers ?? []),
    ];
    const limits = options.maxInFlight ?? { reads: 400, writes: 200 };
    this.chain = {
      authenticator: options.authenticator,
      authorizer,
      inFlight: new InFlight({ maxReads: limits.reads, maxWrites: limits.writes }),
      clock,
      logger,
      handleResource: (context) => dispatch(handlerParts, context),
      handleOther: (context) => handleNonResource(others, context),
    };
    this.#watches = new WatchWriters(clock);
    this.#https = new HttpsServer({
      chain: this.chain,
      writer: { encoder: { kindFacts, protobuf, clock }, watches: this.#watches },
      connecters: new Connecters(options.connecters ?? new Map()),
    });
  }

  /** The HTTPS port; 0 before start. */
  get port(): number {
    return this.#port;
  }

  /** Resolves when requests are served and the bootstrap objects are there. */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.registry.parts.cache.start();
    const { https } = this.#options;
    for (const host of https?.addresses ?? []) {
      if (https === undefined) break;
      this.#port = await this.#https.listen({ ...https, host, port: this.#port === 0 ? https.port : this.#port });
    }
    await ensureBootstrapObjects(this.client(loopbackUser));
    this.#isReady = true;
    void this.#compactForever(this.#stopping.signal);
  }

  /** Ends watches, connections and loops. The store stays open: it is its owner's. */
  async stop(): Promise<void> {
    this.#isReady = false;
    this.#stopping.abort();
    this.#watches.stop();
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

  #healthChecks(): readonly HealthCheck[] {
    const all = ["healthz", "livez", "readyz"] as const;
    return [
      { name: "ping", endpoints: all, check: () => undefined },
      { name: "log", endpoints: all, check: () => undefined },
      { name: "etcd", endpoints: all, check: () => undefined },
      {
        name: "poststarthook/bootstrap-objects",
        endpoints: all,
        check: () => (this.#isReady ? undefined : "the bootstrap objects are not there yet"),
      },
      {
        name: "shutdown",
        endpoints: ["readyz"],
        check: () => (this.#stopping.signal.aborted ? "the server is stopping" : undefined),
      },
    ];
  }

  // What was the newest revision one period ago may go.
  async #compactForever(signal: AbortSignal): Promise<void> {
    const { store, clock, cache, logger } = this.registry.parts;
    let last = store.currentRevision();
    while (!signal.aborted) {
      try {
        await clock.sleep(COMPACTION_PERIOD_MS, signal);
        await store.compact(last);
        cache.dropBefore(last);
        last = store.currentRevision();
      } catch (error) {
        if (!signal.aborted) logger.warn("Failed to compact the store", { error });
      }
    }
  }
}

/** Puts an API server together. Start it with {@link ApiServer.start}. */
export function createApiServer(options: ApiServerOptions): ApiServer {
  return new ApiServer(options);
}
