/**
 * ConfigMaps, Secrets, Services and tokens for pods, from the API. Each ConfigMap and Secret that a pod names is watched by itself, as long as a pod names it: a node may
 * not read others (the node authorizer), and changes reach volumes at once. As kubelet's watch-based managers.
 */
import type { ClusterTrustBundle } from "#api/generated/types/certificates-v1beta1.ts";
import type { ConfigMap, Pod, Secret, Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { RuntimeClass } from "#api/generated/types/node-v1.ts";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { matchesLabelSelector } from "#apimachinery/label-selector.ts";
import type { Client } from "#client/client.ts";
import { findObject } from "#client/find-object.ts";
import type { Informer } from "#client/informer.ts";
import { createInformer } from "#client/reflector.ts";
import type { OwnedInformer } from "#client/reflector.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { objectsOf } from "./pod-references.ts";
import type { PodObjects, ServiceAccountToken, TokenRequestSpec } from "./pod-objects.ts";
import { TokenCache } from "./token-cache.ts";

/** A watch is kept this long after the last pod that needed it: the next pod of the namespace needs it again. */
const lingerMs = 60_000;

export type ObjectCacheOptions = {
  readonly client: Client;
  /** Services of all namespaces, shared with others. */
  readonly services: Informer<KubeService>;
  readonly clock: Clock;
  readonly logger: Logger;
};

type Watched = {
  readonly informer: OwnedInformer<KubeObject>;
  readonly pods: Set<string>;
  /** Version that was read by a plain GET before the watch was there. */
  readVersion: string | undefined;
  linger: Timer | undefined;
};

/** Follows what pods name. */
export class ObjectCache implements PodObjects, Service {
  readonly #options: ObjectCacheOptions;
  readonly #tokens: TokenCache;
  readonly #watched = new Map<string, Watched>();
  readonly #listeners = new Map<string, () => void>();
  readonly #stop = new AbortController();
  #classes: OwnedInformer<RuntimeClass> | undefined;

  constructor(options: ObjectCacheOptions) {
    this.#options = options;
    this.#tokens = new TokenCache(options.client, options.clock);
  }

  async start(_signal: AbortSignal): Promise<void> {}

  async stop(): Promise<void> {
    this.#stop.abort(new Error("the kubelet stops"));
    for (const watched of this.#watched.values()) watched.linger?.clear();
    await Promise.all([...this.#watched.values()].map((watched) => watched.informer.stop()));
    await this.#classes?.stop();
    this.#watched.clear();
  }

  register(pod: Pod, onChange: () => void): void {
    const { uid = "", namespace = "" } = pod.metadata ?? {};
    this.#listeners.set(uid, onChange);
    const keys = new Set(objectsOf(pod).map(({ resource, name }) => `${resource}/${namespace}/${name}`));
    for (const key of keys) this.#watch(key).pods.add(uid);
    for (const [key, watched] of this.#watched) if (!keys.has(key)) this.#leave(key, watched, uid);
  }

  unregister(uid: string): void {
    this.#listeners.delete(uid);
    this.#tokens.forget(uid);
    for (const [key, watched] of this.#watched) this.#leave(key, watched, uid);
  }

  configMap(namespace: string, name: string): Promise<ConfigMap | undefined> {
    return this.#read<ConfigMap>("configmaps", namespace, name);
  }

  secret(namespace: string, name: string): Promise<Secret | undefined> {
    return this.#read<Secret>("secrets", namespace, name);
  }

  async services(): Promise<readonly KubeService[]> {
    const { services } = this.#options;
    if (!services.hasSynced()) await services.waitForSync(this.#stop.signal);
    return services.lister.list();
  }

  serviceAccountToken(pod: Pod, spec: TokenRequestSpec): Promise<ServiceAccountToken> {
    return this.#tokens.token(pod, spec);
  }

  /** Tokens that were given until now are refused: others are asked for from here on. */
  forgetTokens(): void {
    this.#tokens.forgetAll();
  }

  async runtimeHandler(name: string): Promise<string> {
    const found = this.#classes?.lister.find("", name) ?? (await this.#readRuntimeClass(name));
    if (!found) throw new Error(`failed to get sandbox runtime: RuntimeClass ${JSON.stringify(name)} not found`);
    return found.handler;
  }

  /** The first pod with a class begins to follow them all: there are few, and every pod with one asks. */
  async #readRuntimeClass(name: string): Promise<RuntimeClass | undefined> {
    const resource = { group: "node.k8s.io", version: "v1", resource: "runtimeclasses" };
    const { client, clock, logger } = this.#options;
    if (!this.#classes) {
      this.#classes = createInformer<RuntimeClass>({ client, clock, logger, resource });
      void this.#classes.start(this.#stop.signal); // resolves at once
    }
    return await findObject<RuntimeClass>(client, { resource, name });
  }

  async clusterTrustBundles(
    selection: Parameters<PodObjects["clusterTrustBundles"]>[0],
  ): Promise<readonly ClusterTrustBundle[]> {
    const resource = { group: "certificates.k8s.io", version: "v1beta1", resource: "clustertrustbundles" };
    const { client } = this.#options;
    if (selection.name !== undefined) {
      const found = await findObject<ClusterTrustBundle>(client, { resource, name: selection.name });
      return found ? [found] : [];
    }
    const fieldSelector = `spec.signerName=${selection.signerName ?? ""}`;
    const { items } = await client.list<ClusterTrustBundle>({ resource }, { fieldSelector });
    // Absent matches nothing, empty everything, as everywhere.
    return items.filter((bundle) => matchesLabelSelector(selection.labelSelector, bundle.metadata?.labels));
  }

  async #read<T extends KubeObject>(resource: string, namespace: string, name: string): Promise<T | undefined> {
    const watched = this.#watched.get(`${resource}/${namespace}/${name}`);
    if (watched?.informer.hasSynced()) return watched.informer.lister.find(namespace, name) as T | undefined;
    const object = await findObject<T>(this.#options.client, { resource: core(resource), namespace, name });
    if (watched) watched.readVersion = object?.metadata?.resourceVersion;
    return object;
  }

  #watch(key: string): Watched {
    const known = this.#watched.get(key);
    if (known) {
      known.linger?.clear();
      known.linger = undefined;
      return known;
    }
    const [resource = "", namespace = "", name = ""] = key.split("/");
    const { client, clock, logger } = this.#options;
    const selection = { resource: core(resource), namespace, fieldSelector: `metadata.name=${name}` };
    const watched: Watched = {
      informer: createInformer({ client, clock, logger, ...selection }),
      pods: new Set(),
      readVersion: undefined,
      linger: undefined,
    };
    this.#watched.set(key, watched);
    watched.informer.addHandler({
      onAdd: (object) => {
        if (object.metadata?.resourceVersion !== watched.readVersion) this.#tell(watched);
      },
      onUpdate: () => this.#tell(watched),
      onDelete: () => this.#tell(watched),
    });
    void watched.informer.start(this.#stop.signal); // resolves at once
    return watched;
  }

  #tell(watched: Watched): void {
    for (const uid of watched.pods) this.#listeners.get(uid)?.();
  }

  #leave(key: string, watched: Watched, uid: string): void {
    if (!watched.pods.delete(uid) || watched.pods.size > 0) return;
    watched.linger = this.#options.clock.setTimer(lingerMs, () => {
      this.#watched.delete(key);
      void watched.informer.stop(); // never rejects
    });
  }
}

function core(resource: string): GroupVersionResource {
  return { group: "", version: "v1", resource };
}
