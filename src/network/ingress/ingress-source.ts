/**
 * Feeds the proxy with the cluster's Ingresses: follows them, their classes, Services, EndpointSlices and TLS Secrets, and tells what has changed, an Ingress at a time. Changes that come together
 * are told together.
 */
import type { Pod, Secret, Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { Ingress, IngressClass } from "#api/generated/types/networking-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import type { Logger } from "#component-base/logger.ts";
import { endpointSliceIndexes } from "#network/dns/cluster-records.ts";
import type { ConfigChange, ConfigSink, Resource, ResourceKind, RouteSource } from "#proxy/config/route-source.ts";
import type { Followed } from "#client/followed.ts";
import { type IngressSettings, settingsOf } from "./ingress-annotations.ts";
import { isOurs, secretsOf, servicesOf } from "./ingress-class.ts";
import { clusterOf, externalNameOf } from "./ingress-clusters.ts";
import { type NamedBackend, routesOf } from "./ingress-routes.ts";

export type IngressSourceOptions = {
  readonly ingresses: Informer<Ingress>;
  readonly classes: Informer<IngressClass>;
  readonly services: Informer<Service>;
  readonly slices: Informer<EndpointSlice>;
  /** Under "namespace/name". */
  readonly secrets: Followed<Secret>;
  /** Addresses under names of hosts. */
  readonly externalNames: Followed<readonly string[]>;
  /** Names of the listeners where cleartext HTTP and TLS are taken. */
  readonly listeners: { readonly http: string; readonly https: string };
  /** How many Ingresses are served, whenever that has changed; after the proxy knows. */
  readonly onServed?: (count: number) => void;
  readonly logger: Logger;
};

/** The proxy, as far as it is needed here. */
export interface IngressSink extends ConfigSink {
  /** Resolves when this endpoint ("address:port") of a cluster has no request under way; at once when it is not known. */
  whenIdle(cluster: string, endpoint: string): Promise<void>;
}

/** Resources that an Ingress has set, by kind and name. */
type Told = ReadonlyMap<string, { readonly kind: ResourceKind; readonly name: string }>;
/** What an Ingress refers to beyond what all share. */
type Needs = { readonly secrets: readonly string[]; readonly externalNames: readonly string[] };

export class IngressSource implements RouteSource {
  readonly #options: IngressSourceOptions;
  readonly #dirty = new Set<string>();
  readonly #told = new Map<string, Told>();
  /** Those that are ours, by key. */
  readonly #needs = new Map<string, Needs>();
  #httpsPort: number | undefined;
  /** Pods, by uid, that are about to end. */
  readonly #leaving = new Set<string>();
  #sink: IngressSink | undefined;
  #running: Promise<void> | undefined;

  constructor(options: IngressSourceOptions) {
    this.#options = options;
  }

  /** Resolves when the proxy knows all there is, with its certificates. */
  async start(sink: IngressSink, signal: AbortSignal): Promise<void> {
    const { ingresses, classes, services, slices, secrets, externalNames } = this.#options;
    slices.addIndex("service", endpointSliceIndexes.service);
    ingresses.addIndex("service", servicesOf);
    ingresses.addIndex("secret", secretsOf);
    await Promise.all([ingresses, classes, services, slices].map((informer) => informer.waitForSync(signal)));
    this.#sink = sink;
    const removers = [
      follow(ingresses, (ingress) => this.#mark(keyOf(ingress))),
      follow(classes, () => this.#markAll()),
      follow(services, (service) => this.#markUsers("service", keyOf(service))),
      follow(slices, (slice) => {
        this.#forgetLeft(slice);
        for (const key of endpointSliceIndexes.service(slice)) this.#markUsers("service", key);
      }),
      secrets.onChange((key) => this.#markUsers("secret", key)),
      externalNames.onChange((name) => {
        for (const [key, needs] of this.#needs) if (needs.externalNames.includes(name)) this.#mark(key);
      }),
    ];
    signal.addEventListener("abort", () => {
      this.#sink = undefined;
      for (const remove of removers) remove();
      secrets.want(new Set());
      externalNames.want(new Set());
    });
    await this.#running;
    await Promise.all([secrets.settled(signal), externalNames.settled(signal)]);
    await this.#running;
  }

  /** Where clients reach the TLS listener; undefined where it is closed or at the usual port. Redirects lead there. */
  useHttpsPort(port: number | undefined): void {
    if (this.#httpsPort === port) return;
    this.#httpsPort = port;
    if (this.#sink !== undefined) this.#markAll();
  }

  /** A pod is about to end: it gets nothing new, as long as there are others. Resolves when what it has is answered; at once when it is the only one, which goes on until it ends. */
  async drain({ metadata }: Pod): Promise<void> {
    const { uid = "", namespace = "" } = metadata ?? {};
    const slices = this.#options.slices.lister.list(namespace);
    const own = slices.flatMap((slice) => addressesOfPod(slice, uid));
    const services = slices
      .filter((slice) => addressesOfPod(slice, uid).length > 0)
      .flatMap(endpointSliceIndexes.service);
    const ingresses = services.flatMap((key) => this.#options.ingresses.lister.byIndex("service", key));
    const keys = [...new Set(ingresses.map(keyOf))].filter((key) => this.#needs.has(key));
    const sink = this.#sink;
    if (keys.length === 0 || sink === undefined) return;
    this.#leaving.add(uid);
    for (const key of keys) this.#mark(key);
    await this.#running;
    const idle = keys
      .flatMap((key) => this.#wantedOf(key))
      .flatMap((resource) => {
        if (resource.kind !== "cluster") return [];
        const served = new Set(resource.config.endpoints.map(({ address, port }) => `${address}:${port}`));
        return own.filter((name) => !served.has(name)).map((name) => sink.whenIdle(resource.config.name, name));
      });
    await Promise.all(idle);
  }

  /** What the API knows to be ending needs no mark of ours any more. */
  #forgetLeft({ endpoints }: EndpointSlice): void {
    for (const { targetRef, conditions } of endpoints ?? [])
      if (conditions?.ready === false) this.#leaving.delete(targetRef?.uid ?? "");
  }

  #markAll(): void {
    for (const ingress of this.#options.ingresses.lister.list()) this.#mark(keyOf(ingress));
  }

  #markUsers(index: string, key: string): void {
    for (const ingress of this.#options.ingresses.lister.byIndex(index, key)) this.#mark(keyOf(ingress));
  }

  #mark(key: string): void {
    this.#dirty.add(key);
    // Never rejects: the sink reports what it does not take.
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async #run(): Promise<void> {
    // What comes in the same turn is told together.
    await Promise.resolve();
    const before = this.#needs.size;
    while (this.#dirty.size > 0 && this.#sink !== undefined) {
      const keys = [...this.#dirty];
      this.#dirty.clear();
      const needed = JSON.stringify(keys.map((key) => this.#needs.get(key)));
      await this.#tell(keys.flatMap((key) => this.#changesOf(key)));
      if (JSON.stringify(keys.map((key) => this.#needs.get(key))) !== needed) this.#want();
    }
    if (this.#needs.size !== before) this.#options.onServed?.(this.#needs.size);
  }

  #want(): void {
    const needs = [...this.#needs.values()];
    this.#options.secrets.want(new Set(needs.flatMap(({ secrets }) => secrets)));
    this.#options.externalNames.want(new Set(needs.flatMap(({ externalNames }) => externalNames)));
  }

  async #tell(changes: readonly ConfigChange[]): Promise<void> {
    const problems = (await this.#sink?.apply(changes)) ?? [];
    for (const problem of problems) this.#options.logger.warn("Proxy refused a part of an Ingress", { ...problem });
  }

  #changesOf(key: string): ConfigChange[] {
    const wanted = this.#wantedOf(key);
    const now: Told = new Map(
      wanted.map(({ kind, config }) => [`${kind}/${config.name}`, { kind, name: config.name }] as const),
    );
    const before = this.#told.get(key) ?? new Map();
    if (now.size === 0) this.#told.delete(key);
    else this.#told.set(key, now);
    const gone = [...before].filter(([name]) => !now.has(name)).map(([, remove]) => ({ remove }));
    return [...wanted.map((set) => ({ set })), ...gone];
  }

  #wantedOf(key: string): Resource[] {
    const { ingresses, classes, listeners } = this.#options;
    const { namespace, name } = splitKey(key);
    const ingress = ingresses.lister.find(namespace, name);
    if (ingress === undefined || !isOurs(ingress, (className) => classes.lister.find("", className))) {
      this.#needs.delete(key);
      return [];
    }
    const settings = settingsOf(ingress);
    const { routes, backends } = routesOf(ingress, settings, { ...listeners, httpsPort: this.#httpsPort });
    const services = backends.map(({ backend }) => this.#options.services.lister.find(namespace, backend.name));
    const externalNames = services.map(externalNameOf).filter((each) => each !== undefined);
    this.#needs.set(key, { secrets: secretsOf(ingress), externalNames });
    return [
      ...secretsOf(ingress).flatMap((secret) => this.#certificateOf(key, secret)),
      ...backends.map((backend) => this.#clusterOf(namespace, backend, settings)),
      ...routes.map((config): Resource => ({ kind: "route", config })),
    ];
  }

  #clusterOf(namespace: string, { cluster, backend }: NamedBackend, settings: IngressSettings): Resource {
    const service = this.#options.services.lister.find(namespace, backend.name);
    const slices = this.#options.slices.lister.byIndex("service", `${namespace}/${backend.name}`);
    const externalAddresses = this.#options.externalNames.find(externalNameOf(service) ?? "") ?? [];
    return {
      kind: "cluster",
      config: clusterOf(cluster, backend, {
        service,
        slices,
        externalAddresses,
        leaving: this.#leaving,
        ...settings,
      }),
    };
  }

  #certificateOf(ingress: string, secretKey: string): Resource[] {
    const data = this.#options.secrets.find(secretKey)?.data;
    const [certificate, privateKey] = [data?.["tls.crt"], data?.["tls.key"]];
    if (certificate === undefined || privateKey === undefined) return [];
    const text = (base64: string) => Buffer.from(base64, "base64").toString("utf8");
    const { name } = splitKey(secretKey);
    const config = { name: `ingress/${ingress}/${name}`, certificate: text(certificate), privateKey: text(privateKey) };
    return [{ kind: "certificate", config }];
  }
}

/** "ADDRESS:PORT" of a pod's endpoints. */
function addressesOfPod({ endpoints, ports }: EndpointSlice, uid: string): readonly string[] {
  const own = (endpoints ?? []).filter(({ targetRef }) => targetRef?.uid === uid);
  return own.flatMap(({ addresses }) => (ports ?? []).map(({ port }) => `${addresses[0] ?? ""}:${port ?? 0}`));
}

function follow<T extends KubeObject>(informer: Informer<T>, onChange: (object: T) => void): () => void {
  return informer.addHandler({ onAdd: onChange, onUpdate: (_before, after) => onChange(after), onDelete: onChange });
}
