/**
 * Gives Services of type LoadBalancer an address out of the cluster's own range, reachable from this machine; node ports and the service proxy do the rest. As the service
 * controller of a cloud, for Services that name no other load-balancer class.
 */
import type { Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { Client } from "#client/client.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import { splitKey } from "#client/object-store.ts";
import { Reconciler } from "#client/reconciler.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";

/** What the controller works with. */
export type LoadBalancerOptions = {
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly events: EventRecorder;
  /** First and last address of the range, of the same /24. */
  readonly range: { readonly first: string; readonly last: string };
  readonly clock: Clock;
  readonly logger: Logger;
};

const services = { group: "", version: "v1", resource: "services" } as const;

/** Makes the controller. */
export function createLoadBalancerController(options: LoadBalancerOptions): Service {
  const informer = options.informers.informer<KubeService>({ resource: services, indexes: { [byPart]: partOf } });
  const reconciler = new Reconciler({
    name: "loadbalancer",
    // One at a time: two Services must not be given the same address.
    workers: 1,
    reconcile: (key) => {
      const { namespace, name } = splitKey(key);
      return reconcile(options, informer.lister.find(namespace, name), informer.lister.byIndex(byPart, takesPart));
    },
    clock: options.clock,
    logger: options.logger,
  });
  const enqueue = ({ metadata }: KubeService) => reconciler.enqueue(`${metadata?.namespace}/${metadata?.name}`);
  let removeHandler = () => {};
  return {
    async start(signal) {
      removeHandler = informer.addHandler({
        onAdd: enqueue,
        onUpdate: (_, after) => enqueue(after),
        // A freed address may be what another Service waits for.
        onDelete: () => informer.lister.byIndex(byPart, takesPart).filter(isWaiting).forEach(enqueue),
      });
      await reconciler.start(signal);
    },
    async stop() {
      removeHandler();
      await reconciler.stop();
    },
  };
}

/** Index of the Services that have, or wait for, addresses of load balancers: few of all. */
const byPart = "load-balancer";
const takesPart = "takes part";

function partOf(service: KubeService): readonly string[] {
  return isOurs(service) || addressesOf(service).length > 0 ? [takesPart] : [];
}

async function reconcile(
  options: LoadBalancerOptions,
  service: KubeService | undefined,
  all: readonly KubeService[],
): Promise<void> {
  if (!service || service.metadata?.deletionTimestamp !== undefined) return;
  const current = addressesOf(service);
  if (!isOurs(service)) {
    const wasOurs =
      service.spec?.type !== "LoadBalancer" && current.some((address) => isInRange(options.range, address));
    if (wasOurs) await writeStatus(options, service, undefined);
    return;
  }
  if (current.length > 0) return;
  const taken = new Set(all.flatMap(addressesOf));
  const address = chooseAddress(options.range, taken, service.spec?.loadBalancerIP);
  if (address === undefined) {
    const message = `no free address is left in ${options.range.first}–${options.range.last}`;
    options.events.record(service, {
      type: "Warning",
      reason: "SyncLoadBalancerFailed",
      message: `Error syncing load balancer: ${message}`,
    });
    return;
  }
  await writeStatus(options, service, address);
  options.events.record(service, { type: "Normal", reason: "EnsuredLoadBalancer", message: "Ensured load balancer" });
}

async function writeStatus(
  { client }: LoadBalancerOptions,
  service: KubeService,
  address: string | undefined,
): Promise<void> {
  const { namespace = "", name = "", resourceVersion } = service.metadata ?? {};
  // ipMode VIP: the address is the service proxy's to answer for.
  const loadBalancer = address === undefined ? null : { ingress: [{ ip: address, ipMode: "VIP" }] };
  const body = { metadata: { resourceVersion }, status: { loadBalancer } };
  await client.patch({ resource: services, namespace, name, subresource: "status" }, { type: "merge", body });
}

function isOurs({ spec }: KubeService): boolean {
  return (
    spec?.type === "LoadBalancer" &&
    (spec.loadBalancerClass === undefined || spec.loadBalancerClass === "nodeless.dev/local")
  );
}

function isWaiting(service: KubeService): boolean {
  return isOurs(service) && addressesOf(service).length === 0;
}

function addressesOf({ status }: KubeService): string[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
}

/** The asked address when it is free and in the range, else the lowest free one; undefined when none is left. */
export function chooseAddress(
  range: LoadBalancerOptions["range"],
  taken: ReadonlySet<string>,
  asked: string | undefined,
): string | undefined {
  if (asked !== undefined && asked !== "") return isInRange(range, asked) && !taken.has(asked) ? asked : undefined;
  const prefix = range.first.slice(0, range.first.lastIndexOf(".") + 1);
  for (let last = lastOctet(range.first); last <= lastOctet(range.last); last++) {
    if (!taken.has(`${prefix}${last}`)) return `${prefix}${last}`;
  }
  return undefined;
}

function isInRange(range: LoadBalancerOptions["range"], address: string): boolean {
  const prefix = range.first.slice(0, range.first.lastIndexOf(".") + 1);
  const octet = lastOctet(address);
  return address.startsWith(prefix) && octet >= lastOctet(range.first) && octet <= lastOctet(range.last);
}

function lastOctet(address: string): number {
  return Number(address.slice(address.lastIndexOf(".") + 1));
}
