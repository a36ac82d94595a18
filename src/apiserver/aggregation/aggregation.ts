/**
 * Follows APIServices: knows which requests are for another server, looks whether it answers, says so in the condition Available, and keeps what it offers for discovery.
 */
import type { APIService, APIServiceCondition } from "#api/generated/types/apiregistration-v1.ts";
import type { Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { jsonEqual } from "#apimachinery/json.ts";
import type { Json, KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { findServiceTarget } from "#apiserver/connect/proxy-target.ts";
import type { DiscoveryVersion } from "#apiserver/discovery/discovery.ts";
import type { RemoteSpec } from "#apiserver/openapi/merge-openapi-v2.ts";
import type { ResourceTable } from "#apiserver/registry/served-resource.ts";
import type { Connecter } from "#apiserver/server/connecter.ts";
import type { Client } from "#client/client.ts";
import { createInformer, type OwnedInformer } from "#client/reflector.ts";
import { Reconciler } from "#client/reconciler.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { createAggregationConnecter } from "./aggregation-connecter.ts";
import { type Availability, checkAvailability } from "./availability.ts";
import { callRemote, unavailable } from "./in-process-call.ts";
import { apiServices, registerLocal } from "./local-api-services.ts";
import { type FindEndpoint, type FrontProxy, RemoteApi } from "./remote-api.ts";
import type { RemoteOpenApi } from "./remote-openapi.ts";
import { readDocuments, type RemoteDocuments } from "./remote-documents.ts";

/** How often a server that answered is looked at again. */
const checkEveryMs = 30_000;
const firstRetryMs = 50;
/** The key of the reconciler that stands for what is served here; no APIService has this name. */
const localKey = "";

export type AggregationOptions = {
  readonly client: Client;
  readonly table: ResourceTable;
  readonly frontProxy: FrontProxy;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For tests, whose servers listen where no pod does. */
  readonly findEndpoint?: FindEndpoint;
};

/** One APIService that has a Service. */
type Remote = {
  readonly api: RemoteApi;
  readonly connecter: Connecter;
  readonly services: OwnedInformer<KubeService>;
  readonly slices: OwnedInformer<EndpointSlice>;
  isAvailable: boolean;
  failures: number;
  documents: RemoteDocuments | undefined;
  /** There when somebody has asked for /openapi/v2. */
  openApi?: RemoteOpenApi;
};

/** All APIServices. */
export class Aggregation implements Service {
  readonly #options: AggregationOptions;
  readonly #informer: OwnedInformer<APIService>;
  readonly #reconciler: Reconciler;
  readonly #stopping = new AbortController();
  /** By name of the APIService. */
  readonly #remotes = new Map<string, Remote>();
  /** By "apis/GROUP/VERSION". */
  readonly #byPath = new Map<string, Remote>();
  #generation = 0;

  constructor(options: AggregationOptions) {
    const { client, clock, logger } = options;
    this.#options = options;
    this.#informer = createInformer<APIService>({ resource: apiServices, client, clock, logger });
    this.#reconciler = new Reconciler({
      name: "apiservices",
      reconcile: (name, signal) =>
        name === localKey ? registerLocal(client, this.#informer.lister, options.table) : this.#reconcile(name, signal),
      clock,
      logger,
    });
  }

  /** Resolves when it is known which requests are for other servers. */
  async start(signal: AbortSignal): Promise<void> {
    this.#informer.addHandler({
      onAdd: (service) => this.#onChange(service),
      onUpdate: (_before, service) => this.#onChange(service),
      onDelete: (service) => {
        this.#remove(nameOf(service));
        this.#reconciler.enqueue(localKey);
      },
    });
    await this.#informer.start(signal);
    await this.#informer.waitForSync(signal);
    this.#options.table.onChange(() => this.#reconciler.enqueue(localKey));
    this.#reconciler.enqueue(localKey);
    await this.#reconciler.start(signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#reconciler.stop();
    await this.#informer.stop();
    for (const name of this.#remotes.keys()) this.#remove(name);
  }

  /** Raised when {@link versions} or {@link openApiHashes} changes. */
  get generation(): number {
    return this.#generation;
  }

  /** Groups and versions of other servers, for discovery. */
  versions(): readonly DiscoveryVersion[] {
    return this.#byPriority().map(({ api, documents, isAvailable }) => ({
      group: api.apiService.spec?.group ?? "",
      version: api.apiService.spec?.version ?? "",
      resources: documents?.resources ?? [],
      freshness: isAvailable && documents !== undefined ? "Current" : "Stale",
    }));
  }

  /** Where other servers have OpenAPI v3 documents: hash by path ("apis/metrics.k8s.io/v1beta1"). */
  openApiHashes(): ReadonlyMap<string, string> {
    const found = [...this.#byPath].flatMap(([path, { documents }]) =>
      documents?.openApiHash === undefined ? [] : [[path, documents.openApiHash] as const],
    );
    return new Map(found);
  }

  /** What other servers have for /openapi/v2, the most important first. */
  async openApiV2(): Promise<readonly RemoteSpec[]> {
    if (this.#remotes.size === 0) return [];
    const { RemoteOpenApi } = await import("./remote-openapi.ts");
    const { clock } = this.#options;
    const specs = this.#byPriority().map((remote) => {
      remote.openApi ??= new RemoteOpenApi(remote.api, clock);
      return remote.openApi.spec(remote.isAvailable);
    });
    return (await Promise.all(specs)).filter((spec) => spec !== undefined);
  }

  #byPriority(): readonly Remote[] {
    return [...this.#remotes.values()].sort((a, b) => priorityOf(b) - priorityOf(a));
  }

  /** Who serves a path, when that is another server. */
  find(path: string): Connecter | undefined {
    return this.#remoteOf(path)?.connecter;
  }

  /** Answers a request of a part in this process; undefined when this server serves it itself. */
  handle(context: RequestContext): Promise<ApiResult> | undefined {
    const remote = this.#remoteOf(context.info.path);
    if (remote === undefined) return undefined;
    return remote.isAvailable ? callRemote(remote.api, context) : Promise.reject(unavailable());
  }

  #remoteOf(path: string): Remote | undefined {
    if (this.#byPath.size === 0) return undefined;
    const found = /^\/(?:openapi\/v3\/)?(apis\/[^/]+\/[^/]+)(?:\/|$)/.exec(path);
    return found === null ? undefined : this.#byPath.get(found[1] as string);
  }

  #onChange(service: APIService): void {
    const name = nameOf(service);
    const { api } = this.#remotes.get(name) ?? {};
    if (api !== undefined && jsonEqual(api.apiService.spec as Json, service.spec as Json)) return;
    this.#remove(name);
    if (service.spec?.service !== undefined && service.spec.group) this.#add(name, service);
  }

  #add(name: string, service: APIService): void {
    const { client, clock, logger, frontProxy } = this.#options;
    const findEndpoint: FindEndpoint =
      this.#options.findEndpoint ?? ((namespace, it, port) => findServiceTarget(client, namespace, it, port));
    const { namespace = "", name: backend = "" } = service.spec?.service ?? {};
    const api = new RemoteApi(service, frontProxy, findEndpoint);
    const follow = { namespace, client, clock, logger };
    const remote: Remote = {
      api,
      connecter: createAggregationConnecter(api, () => remote.isAvailable),
      services: createInformer<KubeService>({
        ...follow,
        resource: { group: "", version: "v1", resource: "services" },
        fieldSelector: `metadata.name=${backend}`,
      }),
      slices: createInformer<EndpointSlice>({
        ...follow,
        resource: { group: "discovery.k8s.io", version: "v1", resource: "endpointslices" },
        labelSelector: `kubernetes.io/service-name=${backend}`,
      }),
      isAvailable: (service.status?.conditions ?? []).some(
        ({ type, status }) => type === "Available" && status === "True",
      ),
      failures: 0,
      documents: undefined,
    };
    this.#remotes.set(name, remote);
    this.#byPath.set(pathOf(service), remote);
    this.#generation++;
    const look = (): void => this.#reconciler.enqueue(name);
    for (const informer of [remote.services, remote.slices] as const) {
      informer.addHandler({ onAdd: look, onUpdate: look, onDelete: look });
      void informer
        .start(this.#stopping.signal)
        .then(() => informer.waitForSync(this.#stopping.signal))
        .then(look, () => {}); // it was stopped
    }
  }

  #remove(name: string): void {
    const remote = this.#remotes.get(name);
    if (remote === undefined) return;
    this.#remotes.delete(name);
    this.#byPath.delete(pathOf(remote.api.apiService));
    this.#generation++;
    remote.api.close();
    for (const informer of [remote.services, remote.slices]) {
      informer.stop().catch((error: unknown) => this.#options.logger.warn("Failed to stop an informer", { error }));
    }
  }

  /** Gives when to look again, in ms. */
  async #reconcile(name: string, signal: AbortSignal): Promise<number | undefined> {
    const remote = this.#remotes.get(name);
    if (remote === undefined || !remote.services.hasSynced() || !remote.slices.hasSynced()) return undefined;
    const state = { service: remote.services.lister.list()[0], slices: remote.slices.lister.list() };
    const condition = await checkAvailability(remote.api, state, signal);
    const isAvailable = condition.status === "True";
    const documents = isAvailable ? await this.#documents(remote, signal) : remote.documents;
    if (this.#remotes.get(name) !== remote) return undefined;
    if (
      isAvailable !== remote.isAvailable ||
      !jsonEqual(documents as unknown as Json, remote.documents as unknown as Json)
    ) {
      remote.isAvailable = isAvailable;
      remote.documents = documents;
      this.#generation++;
    }
    await this.#say(name, condition);
    remote.failures = isAvailable ? 0 : remote.failures + 1;
    // What the cluster knows to be missing is heard of when it comes.
    if (isAvailable || condition.reason !== "FailedDiscoveryCheck") return checkEveryMs;
    return Math.min(checkEveryMs, firstRetryMs * 2 ** Math.min(remote.failures, 10));
  }

  async #documents(remote: Remote, signal: AbortSignal): Promise<RemoteDocuments | undefined> {
    try {
      return await readDocuments(remote.api, signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#options.logger.warn("Could not read what an aggregated API server offers", {
        apiService: nameOf(remote.api.apiService),
        error: String(error),
      });
      return remote.documents;
    }
  }

  async #say(name: string, condition: Availability): Promise<void> {
    const current = this.#informer.lister.find("", name);
    if (current === undefined) return;
    const conditions = withCondition(
      current.status?.conditions ?? [],
      condition,
      formatTime(this.#options.clock.now()),
    );
    if (conditions === undefined) return;
    const changed = { ...current, status: { ...current.status, conditions } };
    try {
      await this.#options.client.update({ resource: apiServices, name, subresource: "status" }, changed as KubeObject);
      const { status, reason, message: why } = condition;
      this.#options.logger.info("An aggregated API changed", { apiService: name, isAvailable: status, reason, why });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error; // a conflict is tried again
    }
  }
}

/** The conditions with one set, its time changing only with its status; undefined when nothing changes. */
function withCondition(
  all: readonly APIServiceCondition[],
  condition: Availability,
  time: string,
): readonly APIServiceCondition[] | undefined {
  const old = all.find(({ type }) => type === condition.type);
  const lastTransitionTime = old?.status === condition.status ? (old.lastTransitionTime ?? time) : time;
  const made = { ...condition, lastTransitionTime };
  if (old !== undefined && jsonEqual(old as Json, made as Json)) return undefined;
  return old === undefined ? [...all, made] : all.map((each) => (each === old ? made : each));
}

function pathOf({ spec }: APIService): string {
  return `apis/${spec?.group ?? ""}/${spec?.version ?? ""}`;
}

function priorityOf({ api }: Remote): number {
  const { groupPriorityMinimum = 0, versionPriority = 0 } = api.apiService.spec ?? {};
  return groupPriorityMinimum * 1000 + versionPriority;
}

function nameOf({ metadata }: APIService): string {
  return metadata?.name ?? "";
}
