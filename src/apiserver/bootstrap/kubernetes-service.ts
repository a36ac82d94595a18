/**
 * The Service `kubernetes` in `default`, through which pods reach the API, with its Endpoints and EndpointSlice; and the ServiceCIDR `kubernetes`. Made at the start and put right whenever somebody changes or
 * deletes them. As pkg/controlplane's kubernetesservice controller and the endpoint reconciler.
 */
import { jsonEqual } from "#apimachinery/json.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Draft } from "#api/strategy.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";

/** Where the API is reached. */
export type KubernetesServiceOptions = {
  readonly client: Client;
  readonly clock: Clock;
  readonly logger: Logger;
  /** First address of the service range. */
  readonly clusterIp: string;
  readonly serviceCidr: string;
  /** Where the API server listens, as pods see it. */
  readonly endpointAddress: string;
  readonly endpointPort: () => number;
};

const RETRY_MS = 1000;
const name = "kubernetes";
const namespace = "default";

/** Keeps the Service `kubernetes` true. */
export class KubernetesService implements Service {
  readonly #options: KubernetesServiceOptions;
  readonly #stopping = new AbortController();

  constructor(options: KubernetesServiceOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#ensureAll();
    for (const { ref } of this.#wanted()) void this.#follow(ref);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
  }

  async #ensureAll(): Promise<void> {
    await Promise.all(this.#wanted().map((wanted) => this.#ensure(wanted)));
  }

  // Every change of one of the objects is looked at; our own leave nothing to do.
  async #follow(ref: ResourceRef): Promise<void> {
    const { signal } = this.#stopping;
    const { client, clock, logger } = this.#options;
    const { name: _name, ...collection } = ref;
    while (!signal.aborted) {
      try {
        const events = await client.watch(collection, { fieldSelector: `metadata.name=${name}`, signal });
        for await (const _event of events) await this.#ensureAll();
      } catch (error) {
        if (signal.aborted) return;
        logger.warn("Lost the watch on the kubernetes Service", { error });
        await clock.sleep(RETRY_MS, signal).catch(() => undefined);
      }
    }
  }

  async #ensure({ ref, object }: Wanted): Promise<void> {
    const { client, logger } = this.#options;
    try {
      const found = await find(client, ref);
      if (found === undefined) await client.create(withoutName(ref), object);
      else {
        const merged = overlaid(found as Draft, object as Draft);
        if (!jsonEqual(merged, found)) await client.update(ref, merged as KubeObject);
      }
    } catch (error) {
      // Another change came in between: its event brings us back.
      if (hasReason(error, "Conflict") || hasReason(error, "AlreadyExists") || hasReason(error, "NotFound")) return;
      if (!this.#stopping.signal.aborted) logger.warn("Failed to put the kubernetes Service right", { error });
    }
  }

  #wanted(): readonly Wanted[] {
    const { clusterIp, serviceCidr, endpointAddress, endpointPort } = this.#options;
    const port = { name: "https", port: endpointPort(), protocol: "TCP" };
    const of = (group: string, resource: string): ResourceRef => ({
      resource: { group, version: "v1", resource },
      ...(resource === "servicecidrs" ? {} : { namespace }),
      name,
    });
    const labels = { component: "apiserver", provider: "kubernetes" };
    return [
      {
        ref: of("networking.k8s.io", "servicecidrs"),
        object: { metadata: { name }, spec: { cidrs: [serviceCidr] } } as KubeObject,
      },
      {
        ref: of("", "services"),
        object: {
          metadata: { name, namespace, labels },
          spec: {
            type: "ClusterIP",
            clusterIP: clusterIp,
            clusterIPs: [clusterIp],
            ipFamilies: ["IPv4"],
            ipFamilyPolicy: "SingleStack",
            sessionAffinity: "None",
            ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: endpointPort() }],
          },
        } as KubeObject,
      },
      {
        ref: of("", "endpoints"),
        object: {
          metadata: { name, namespace, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
          subsets: [{ addresses: [{ ip: endpointAddress }], ports: [port] }],
        } as KubeObject,
      },
      {
        ref: of("discovery.k8s.io", "endpointslices"),
        object: {
          metadata: { name, namespace, labels: { "kubernetes.io/service-name": name } },
          addressType: "IPv4",
          endpoints: [{ addresses: [endpointAddress], conditions: { ready: true } }],
          ports: [port],
        } as KubeObject,
      },
    ];
  }
}

type Wanted = { readonly ref: ResourceRef; readonly object: KubeObject };

async function find(client: Client, ref: ResourceRef): Promise<KubeObject | undefined> {
  try {
    return await client.get(ref);
  } catch (error) {
    if (hasReason(error, "NotFound")) return undefined;
    throw error;
  }
}

function withoutName({ name: _name, ...ref }: ResourceRef): ResourceRef {
  return ref;
}

// Lists are ours as a whole; in objects others may have added keys.
function overlaid(found: Draft, wanted: Draft): Draft {
  const merged: Draft = { ...found };
  for (const [key, value] of Object.entries(wanted)) {
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    merged[key] = isObject ? overlaid((found[key] ?? {}) as Draft, value as Draft) : value;
  }
  return merged;
}
