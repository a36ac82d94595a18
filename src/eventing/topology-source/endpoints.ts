/**
 * The slices of Services `broker-ingress` and `event-dispatcher`: where the dispatcher takes events, and questions about them. Whoever asks whether anybody takes events looks at the first.
 */
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { eventingNamespace } from "#eventing/names.ts";
import { endpointSlices } from "#knative/kube-services.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";

/** Where it listens, and with what it writes. */
export type EndpointsOptions = {
  readonly service: string;
  readonly portName: string;
  readonly address: string;
  readonly port: number;
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
};

const retryMs = 1000;

/** Keeps the slice as it is to be until the signal aborts. */
export function keepEndpoints(options: EndpointsOptions): void {
  const { informers, clock, logger, signal } = options;
  const slices = informers.informer<EndpointSlice>({ resource: endpointSlices, namespace: eventingNamespace });
  let isCalled = false;
  let running: Promise<void> | undefined;
  const look = () => {
    isCalled = true;
    running ??= run().finally(() => (running = undefined)); // never rejects
  };
  const run = async () => {
    while (isCalled && !signal.aborted) {
      isCalled = false;
      try {
        await ensure(options, slices.lister.find(eventingNamespace, options.service));
      } catch (error) {
        if (signal.aborted) return;
        logger.warn("The endpoints of the ingress could not be written", { error });
        clock.setTimer(retryMs, look);
      }
    }
  };
  void slices.waitForSync(signal).then(
    () => {
      slices.addHandler({ onDelete: look, onUpdate: look });
      look();
    },
    () => {}, // the process stops
  );
}

async function ensure(
  { service, portName, address, port, client, signal }: EndpointsOptions,
  found: EndpointSlice | undefined,
): Promise<void> {
  const ref = { resource: endpointSlices, namespace: eventingNamespace };
  const wanted: EndpointSlice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: service, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports: [{ name: portName, protocol: "TCP", port }],
  };
  const { endpoints, ports } = wanted;
  if (found && semanticEqual(essence(found), essence(wanted))) return;
  if (found) {
    await client.patch({ ...ref, name: service }, { type: "merge", body: { endpoints, ports } }, { signal });
    return;
  }
  await client.create<EndpointSlice>(ref, wanted, { signal }).catch((error: unknown) => {
    // The informer has not heard of it yet, and will.
    if (!hasReason(error, "AlreadyExists")) throw error;
  });
}

function essence({ endpoints, ports }: EndpointSlice): object {
  return {
    addresses: (endpoints ?? []).map(({ addresses, conditions }) => [addresses, conditions?.ready]),
    ports: (ports ?? []).map(({ name, port }) => [name, port]),
  };
}
