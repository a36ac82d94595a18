/**
 * A node with root: containers and isolates in namespaces and control groups, Services in nftables, DNS at port 53.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { InformerFactory } from "#client/informer-factory.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import { deleteFormerTables } from "#cmd/machine/kernel-names.ts";
import { isolateFolders, packFolders } from "#cmd/machine/layout.ts";
import { searchPath } from "#cmd/machine/node-plan.ts";
import { machineNamespaces } from "#cmd/machine/processes.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { NodeUsage } from "#kubelet/server/node-statistics.ts";
import { openCgroups } from "#linux/cgroups/open-cgroups.ts";
import { openHeldSockets } from "#linux/held-sockets.ts";
import { loadLibc } from "#linux/libc.ts";
import { applyNft } from "#linux/nft.ts";
import { loadPrograms } from "#linux/programs.ts";
import { createClusterDns } from "#network/dns/cluster-dns.ts";
import { setUpNodeNetwork } from "#network/node-network.ts";
import { forgetFlows } from "#network/service-proxy/conntrack.ts";
import { ServiceProxy } from "#network/service-proxy/service-proxy.ts";
import { type ContainersProvider, createContainersProvider } from "#providers/containers/create.ts";
import { withInlineImage } from "#providers/isolates/inline-image.ts";
import { RuntimeClasses, type RuntimeClassHandler } from "#providers/runtime-classes.ts";
import type { GroundOptions, GroundPlace, NodeGround } from "./node-ground.ts";
import { registrySettings } from "./registry-settings.ts";

/** Makes it; nothing happens yet. */
export function createRootedGround(options: GroundOptions): NodeGround {
  const { cluster, plan } = options;
  return {
    async prepareNetwork() {
      await Promise.all([setUpNodeNetwork(plan.network), deleteFormerTables(cluster.record)]);
    },
    createPlace: () => createPlace(options),
    createDns: (informers) => createDns(options, informers),
    networkParts: (informers) => [serviceProxy(options, informers)],
    kubelet: cluster.record.nodes > 1 ? { usage: usageOf(plan.cgroupParent) } : {},
    controlPlaneSpec: machineNamespaces,
  };
}

async function createPlace(options: GroundOptions): Promise<GroundPlace> {
  const { plan, cluster, context, clock, logger } = options;
  const containers = await createContainersProvider({
    stateFolder: join(plan.layout.data, "runtime"),
    runFolder: plan.layout.run,
    imagesFolder: cluster.layout.images,
    podCidr: plan.podCidr,
    nodeAddress: plan.address,
    cgroupParent: plan.cgroupParent,
    linkPrefix: plan.linkPrefix,
    searchPath,
    registries: () => registrySettings(context.environment),
    clock,
    logger,
  });
  return {
    runtime: new RuntimeClasses(containers.runtime, isolates(options, containers)),
    images: withInlineImage(containers.images),
    imageVolumes: containers.imageVolumes,
    stopDeaf: () => containers.runtime.stopDeaf(),
  };
}

/** Isolates beside the containers, alone in their processes and packed: nothing of them is loaded before the first one, or while there is none from before. */
function isolates(
  { plan, cluster, clock, logger }: GroundOptions,
  { runtime, imageStore, addresses }: ContainersProvider,
): readonly RuntimeClassHandler[] {
  // The machine is known once containers can run.
  const common = () => ({
    images: imageStore,
    certificateFiles: [join(cluster.layout.pki, "ca.crt")],
    podCidr: plan.podCidr,
    nodeAddress: plan.address,
    cgroupParent: plan.cgroupParent,
    linkPrefix: plan.linkPrefix,
    searchPath,
    addresses,
    machine: runtime.machine,
    clock,
    logger,
  });
  // An isolate has no files; what it is to know comes as its environment.
  const hidesMount = (path: string) => path === "/var/run/secrets/kubernetes.io/serviceaccount";
  const alone = isolateFolders(plan.layout);
  const packed = packFolders(plan.layout);
  return [
    {
      handler: "isolate",
      hidesMount,
      isInUse: () => isFilled(join(alone.stateFolder, "sandboxes")),
      load: async () => {
        const { createIsolatesProvider } = await import("#providers/isolates/create.ts");
        return createIsolatesProvider({ ...common(), ...alone });
      },
    },
    {
      handler: "isolate-packed",
      hidesMount,
      isInUse: () => isFilled(join(packed.stateFolder, "sandboxes")),
      load: async () => {
        const { createPackedIsolates } = await import("#providers/isolates/create.ts");
        return createPackedIsolates({ ...common(), ...packed });
      },
    },
  ];
}

function serviceProxy({ plan, clock, logger }: GroundOptions, informers: InformerFactory): Service {
  const settings = plan.serviceTable;
  const programs = loadPrograms();
  const apply = async (script: string) => applyNft(script, await programs);
  return new ServiceProxy({ informers, nodeName: plan.name, settings, applyNft: apply, forgetFlows, clock, logger });
}

async function createDns(
  { cluster, plan, clock, logger }: GroundOptions,
  informers: InformerFactory,
): Promise<Service> {
  const dnsAddress = addressPlan(cluster.record).dnsService;
  // Held beside this process: what pods ask while it is away waits for its successor.
  const sockets = openHeldSockets(await loadLibc(), { name: plan.layout.run, address: dnsAddress, port: 53 });
  return createClusterDns({
    informers,
    zone: "cluster.local",
    addresses: [],
    sockets: [sockets],
    lastKnownFile: join(plan.layout.data, "names.json"),
    clock,
    logger,
  });
}

/** What all pods below this control group use together, and this process itself. */
function usageOf(cgroup: string): () => NodeUsage | undefined {
  const cgroups = openCgroups();
  return () => {
    const { user, system } = process.cpuUsage();
    const own = process.memoryUsage.rss();
    const pods = cgroups.readUsage(cgroup);
    return {
      cpuUsageNanoseconds: (pods?.cpuUsageNanoseconds ?? 0) + (user + system) * 1000,
      memoryUsageBytes: (pods?.memoryUsageBytes ?? 0) + own,
      memoryWorkingSetBytes: (pods?.memoryWorkingSetBytes ?? 0) + own,
    };
  };
}

/** Whether the folder is there and has something in it. */
export function isFilled(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).length > 0;
}
