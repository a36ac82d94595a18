/**
 * Feeds the proxy with the cluster's Ingresses: follows them, their classes, Services, EndpointSlices and TLS Secrets, and tells what has changed, an Ingress at a time. Changes that come together
 * are told together.
 */
import type { Secret, Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { Ingress, IngressClass } from "#api/generated/types/networking-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import type { Logger } from "#component-base/logger.ts";
import { endpointSliceIndexes } from "#network/dns/cluster-records.ts";
import type { CertificateConfig, ListenerConfig } from "#proxy/config/listener.ts";
import type { ConfigChange, ConfigSink, Resource, ResourceKind, RouteSource } from "#proxy/config/route-source.ts";
import { isOurs } from "./ingress-class.ts";
import { clusterOf } from "./ingress-clusters.ts";
import { routesOf } from "./ingress-routes.ts";

export type IngressSourceOptions = {
  readonly ingresses: Informer<Ingress>;
  readonly classes: Informer<IngressClass>;
  readonly services: Informer<Service>;
  /** With the index `service` of {@link endpointSliceIndexes}. */
  readonly slices: Informer<EndpointSlice>;
  /** Those of type kubernetes.io/tls are enough. */
  readonly secrets: Informer<Secret>;
  /** Where cleartext HTTP and TLS are taken. */
  readonly http: Omit<ListenerConfig, "tls">;
  readonly https: Omit<ListenerConfig, "tls">;
  /** Shown where no Ingress has a certificate for the host. */
  readonly defaultCertificate: CertificateConfig;
  readonly logger: Logger;
};

/** Resources that an Ingress has set, by kind and name. */
type Told = ReadonlyMap<string, { readonly kind: ResourceKind; readonly name: string }>;

export class IngressSource implements RouteSource {
  readonly #options: IngressSourceOptions;
  readonly #dirty = new Set<string>();
  readonly #told = new Map<string, Told>();
  #sink: ConfigSink | undefined;
  #running: Promise<void> | undefined;

  constructor(options: IngressSourceOptions) {
    this.#options = options;
  }

  async start(sink: ConfigSink, signal: AbortSignal): Promise<void> {
    const { ingresses, classes, services, slices, secrets, defaultCertificate } = this.#options;
    slices.addIndex("service", endpointSliceIndexes.service);
    ingresses.addIndex("service", servicesOf);
    ingresses.addIndex("secret", secretsOf);
    await Promise.all([ingresses, classes, services, slices, secrets].map((informer) => informer.waitForSync(signal)));
    this.#sink = sink;
    await this.#tell([{ set: { kind: "certificate", config: defaultCertificate } }]);
    await this.#tell([{ set: { kind: "listener", config: this.#options.http } }, { set: this.#tlsListener() }]);
    const removers = [
      follow(ingresses, (ingress) => this.#mark(keyOf(ingress))),
      follow(classes, () => {
        for (const ingress of ingresses.lister.list()) this.#mark(keyOf(ingress));
      }),
      follow(services, (service) => this.#markUsers("service", keyOf(service))),
      follow(slices, (slice) => {
        for (const key of endpointSliceIndexes.service(slice)) this.#markUsers("service", key);
      }),
      follow(secrets, (secret) => this.#markUsers("secret", keyOf(secret))),
    ];
    signal.addEventListener("abort", () => {
      this.#sink = undefined;
      for (const remove of removers) remove();
    });
    await this.#running;
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
    while (this.#dirty.size > 0 && this.#sink !== undefined) {
      const keys = [...this.#dirty];
      this.#dirty.clear();
      const changes = keys.flatMap((key) => this.#changesOf(key));
      await this.#tell([...changes, { set: this.#tlsListener() }]);
    }
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
    const { ingresses, classes, http, https } = this.#options;
    const { namespace, name } = splitKey(key);
    const ingress = ingresses.lister.find(namespace, name);
    const isWanted = ingress !== undefined && isOurs(ingress, (className) => classes.lister.find("", className));
    if (!isWanted) return [];
    const { routes, backends } = routesOf(ingress, [http.name, https.name]);
    const clusters = backends.map(({ cluster, backend }): Resource => {
      const service = this.#options.services.lister.find(namespace, backend.name);
      const slices = this.#options.slices.lister.byIndex("service", `${namespace}/${backend.name}`);
      return { kind: "cluster", config: clusterOf(cluster, backend, { service, slices }) };
    });
    const certificates = secretsOf(ingress).flatMap((secret) => this.#certificateOf(key, secret));
    return [...certificates, ...clusters, ...routes.map((config): Resource => ({ kind: "route", config }))];
  }

  #certificateOf(ingress: string, secretKey: string): Resource[] {
    const { namespace, name } = splitKey(secretKey);
    const data = this.#options.secrets.lister.find(namespace, name)?.data;
    const [certificate, privateKey] = [data?.["tls.crt"], data?.["tls.key"]];
    if (certificate === undefined || privateKey === undefined) return [];
    const text = (base64: string) => Buffer.from(base64, "base64").toString("utf8");
    const config = { name: `ingress/${ingress}/${name}`, certificate: text(certificate), privateKey: text(privateKey) };
    return [{ kind: "certificate", config }];
  }

  /** The default one comes first: it is shown to those for whom there is no other. */
  #tlsListener(): Resource {
    const { https, defaultCertificate } = this.#options;
    const own = [...this.#told.values()]
      .flatMap((told) => [...told.values()])
      .filter(({ kind }) => kind === "certificate");
    const certificates = [defaultCertificate.name, ...own.map(({ name }) => name).sort()];
    return { kind: "listener", config: { ...https, tls: { certificates } } };
  }
}

function servicesOf({ metadata, spec }: Ingress): readonly string[] {
  const paths = (spec?.rules ?? []).flatMap((rule) => rule.http?.paths ?? []);
  const backends = [spec?.defaultBackend, ...paths.map(({ backend }) => backend)];
  const names = backends.flatMap((backend) => (backend?.service === undefined ? [] : [backend.service.name]));
  return [...new Set(names)].map((name) => `${metadata?.namespace ?? ""}/${name}`);
}

function secretsOf({ metadata, spec }: Ingress): readonly string[] {
  const names = (spec?.tls ?? []).flatMap(({ secretName }) => (secretName === undefined ? [] : [secretName]));
  return [...new Set(names)].map((name) => `${metadata?.namespace ?? ""}/${name}`);
}

function follow<T extends KubeObject>(informer: Informer<T>, onChange: (object: T) => void): () => void {
  return informer.addHandler({ onAdd: onChange, onUpdate: (_before, after) => onChange(after), onDelete: onChange });
}
