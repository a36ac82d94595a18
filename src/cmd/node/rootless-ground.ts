/**
 * A node without root: isolates in processes that are caged as far as the machine allows, on addresses of 127.0.0.0/8; Services and DNS served there by this process.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import { isolateFolders } from "#cmd/machine/layout.ts";
import { searchPath } from "#cmd/machine/node-plan.ts";
import type { Service } from "#component-base/life-cycle.ts";
import { ImageStore } from "#images/image-store.ts";
import { ImagePuller } from "#images/pull.ts";
import { openHeldSockets, type HeldSockets } from "#linux/held-sockets.ts";
import { loadLibc, SystemCallError } from "#linux/libc.ts";
import { createClusterDns } from "#network/dns/cluster-dns.ts";
import { endpointSliceIndexes } from "#network/dns/cluster-records.ts";
import { hostLines } from "#network/loopback/host-names.ts";
import { LoopbackProxy } from "#network/loopback/loopback-proxy.ts";
import { ImagesService } from "#providers/containers/images-service.ts";
import { withInlineImage } from "#providers/isolates/inline-image.ts";
import type { IsolatesRuntime } from "#providers/isolates/isolates-runtime.ts";
import { NoContainers } from "#providers/isolates/no-containers.ts";
import { RuntimeClasses } from "#providers/runtime-classes.ts";
import { AddressPool } from "#runtime/addresses.ts";
import { probeUserNamespaces } from "#runtime/rootless/user-namespaces.ts";
import { IsolatesOnlyEvents } from "./isolates-only-events.ts";
import { isolatesOnlyTaint } from "./isolates-only.ts";
import { type GroundOptions, type GroundPlace, highDnsPort, type NodeGround } from "./node-ground.ts";
import { registrySettings } from "./registry-settings.ts";
import { isFilled } from "./rooted-ground.ts";

const zone = "cluster.local";
/** Changes of names that come together are told together. */
const namesDelayMs = 20;

/** Makes it; nothing happens yet. */
export function createRootlessGround(options: GroundOptions): NodeGround {
  return new RootlessGround(options);
}

class RootlessGround implements NodeGround {
  readonly #options: GroundOptions;
  readonly kubelet: NodeGround["kubelet"] = { taints: [isolatesOnlyTaint] };
  readonly controlPlaneSpec: NodeGround["controlPlaneSpec"] = {};
  #isolates: IsolatesRuntime | undefined;
  #hostLines: (namespace: string) => string = () => "";

  constructor(options: GroundOptions) {
    this.#options = options;
  }

  /** All addresses are there already. */
  prepareNetwork(): Promise<void> {
    return Promise.resolve();
  }

  async createPlace(): Promise<GroundPlace> {
    const { cluster, context, plan, clock } = this.#options;
    const store = new ImageStore({ folder: cluster.layout.images, clock });
    await store.open();
    const puller = new ImagePuller({ store, settings: () => registrySettings(context.environment) });
    const { stateFolder } = isolateFolders(plan.layout);
    const runtime = new RuntimeClasses(new NoContainers(), [
      {
        handler: "isolate",
        hidesMount: (path) => path === "/var/run/secrets/kubernetes.io/serviceaccount",
        isInUse: () => isFilled(join(stateFolder, "sandboxes")),
        load: () => this.#loadIsolates(store),
      },
    ]);
    const images = withInlineImage(new ImagesService({ store, puller }));
    return { runtime, images, stopDeaf: () => Promise.resolve() };
  }

  async createDns(informers: InformerFactory): Promise<Service> {
    const { plan, clock, logger } = this.#options;
    const sockets = [this.#dnsSockets(await loadLibc())];
    const lastKnownFile = join(plan.layout.data, "names.json");
    return createClusterDns({ informers, zone, addresses: [], sockets, lastKnownFile, clock, logger });
  }

  networkParts(informers: InformerFactory, events: EventRecorder): readonly Service[] {
    const { plan, clock, logger } = this.#options;
    const { nodePortAddresses } = plan.serviceTable;
    const addresses = nodePortAddresses.length > 0 ? nodePortAddresses : ["0.0.0.0"];
    const proxyOptions = { informers, nodeName: plan.name, nodePortAddresses: addresses, events, clock, logger };
    return [
      new LoopbackProxy(proxyOptions),
      this.#nameTeller(informers),
      new IsolatesOnlyEvents({ informers, events }),
    ];
  }

  async #loadIsolates(images: ImageStore): Promise<IsolatesRuntime> {
    const { cluster, plan, clock, logger } = this.#options;
    const { podRange, serviceRange } = addressPlan(cluster.record);
    const { createRootlessIsolatesProvider } = await import("#providers/isolates/create.ts");
    const namespaces = await probeUserNamespaces(searchPath);
    if ("why" in namespaces) logger.warn("Caged isolates without namespaces", { why: namespaces.why });
    this.#isolates = createRootlessIsolatesProvider({
      ...isolateFolders(plan.layout),
      images,
      addresses: new AddressPool(plan.podCidr),
      namespaces,
      searchPath,
      cgroupParent: plan.cgroupParent,
      certificateFiles: [join(cluster.layout.pki, "ca.crt")],
      ranges: [podRange, serviceRange],
      names: {
        hostLines: (namespace) => this.#hostLines(namespace),
        resolvers: () => readIfThere("/etc/resolv.conf"),
      },
      clock,
      logger,
    });
    return this.#isolates;
  }

  /** Held beside this process: what is asked while it is away waits for its successor. */
  #dnsSockets(libc: Awaited<ReturnType<typeof loadLibc>>): HeldSockets {
    const { cluster, plan, logger } = this.#options;
    const where = { name: plan.layout.run, address: addressPlan(cluster.record).dnsService };
    try {
      return openHeldSockets(libc, { ...where, port: 53 });
    } catch (error) {
      if (!(error instanceof SystemCallError) || error.code !== "EACCES") throw error;
      logger.info("Served DNS at another port than the usual one", { ...where, port: highDnsPort });
      return openHeldSockets(libc, { ...where, port: highDnsPort });
    }
  }

  /** Isolates hear of names by their files, whatever port DNS is at: so they know them while this process is away. */
  #nameTeller(informers: InformerFactory): Service {
    const services = informers.informer<KubeService>({ resource: { group: "", version: "v1", resource: "services" } });
    const endpointSlices = informers.informer<EndpointSlice>({
      resource: { group: "discovery.k8s.io", version: "v1", resource: "endpointslices" },
      indexes: endpointSliceIndexes,
    });
    const sources = { services: services.lister, endpointSlices: endpointSlices.lister };
    let timer: ReturnType<GroundOptions["clock"]["setTimer"]> | undefined;
    const tell = () => {
      timer ??= this.#options.clock.setTimer(namesDelayMs, () => {
        timer = undefined;
        this.#isolates?.refreshNames();
      });
    };
    const removers: (() => void)[] = [];
    return {
      start: async (signal) => {
        await Promise.all([services.waitForSync(signal), endpointSlices.waitForSync(signal)]);
        this.#hostLines = (namespace) => hostLines(sources, zone, namespace);
        const handler = { onAdd: tell, onUpdate: tell, onDelete: tell };
        removers.push(services.addHandler(handler), endpointSlices.addHandler(handler));
      },
      stop: async () => {
        timer?.clear();
        for (const remove of removers.splice(0)) remove();
      },
    };
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // a machine without resolvers
  }
}
