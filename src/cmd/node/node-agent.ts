/**
 * The parts of a node, in the order in which they start. What pods need while the control plane is away (Services, names, containers) does not wait for it.
 */
import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createHttpTransport, type HttpTransport } from "#client/http-transport.ts";
import { createInformerFactory, type InformerFactory, withoutManagedFields } from "#client/informer-factory.ts";
import { createClient } from "#client/rest-client.ts";
import type { Transport } from "#client/transport.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import type { Cluster, MachineContext } from "#cmd/machine/clusters.ts";
import { Guardian } from "#cmd/machine/guardian.ts";
import { controlPlaneSocket, isolateFolders } from "#cmd/machine/layout.ts";
import { readRegistriesFile } from "#images/registries-file.ts";
import type { RegistrySettings } from "#images/registry-client.ts";
import { hangPatienceMs } from "#cmd/machine/hang-watch.ts";
import { machineNamespaces } from "#cmd/machine/processes.ts";
import { type NodePlan, searchPath } from "#cmd/machine/node-plan.ts";
import { deleteFormerTables } from "#cmd/machine/kernel-names.ts";
import type { RunPermit } from "#cmd/machine/run-permit.ts";
import type { StopMode } from "#cmd/machine/supervision.ts";
import { controlPlaneProcess } from "#cmd/machine/up.ts";
import { kubernetesVersion } from "#cmd/machine/version.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { createKubelet } from "#kubelet/kubelet.ts";
import type { NodeUsage } from "#kubelet/server/node-statistics.ts";
import type { KubeletServerSettings } from "#kubelet/server/kubelet-server.ts";
import { createStreamHandler } from "#kubelet/server/stream-handler.ts";
import { openCgroups } from "#linux/cgroups/open-cgroups.ts";
import { openHeldSockets } from "#linux/held-sockets.ts";
import { loadLibc } from "#linux/libc.ts";
import { applyNft } from "#linux/nft.ts";
import { createClusterDns } from "#network/dns/cluster-dns.ts";
import { setUpNodeNetwork } from "#network/node-network.ts";
import { forgetFlows } from "#network/service-proxy/conntrack.ts";
import { ServiceProxy } from "#network/service-proxy/service-proxy.ts";
import { watchKeyPair } from "./renewed-pair.ts";
import { type ContainersProvider, createContainersProvider } from "#providers/containers/create.ts";
import { withInlineImage } from "#providers/isolates/inline-image.ts";
import { RuntimeClasses, type RuntimeClassHandler } from "#providers/runtime-classes.ts";

/** What a node works with. */
export type NodeAgentOptions = {
  readonly cluster: Cluster;
  readonly context: MachineContext;
  readonly plan: NodePlan;
  readonly permit: RunPermit | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** How long containers get to end on `nodeless down`, in seconds. */
const downGraceSeconds = 10;
/** An isolate is ready sooner than this after it was seen, a container later. */
const settleMs = 30;
/** How long a start waits for the control plane before it goes on without it. */
const controlPlaneWaitMs = 10_000;

/** A running node. */
export class NodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #abort = new AbortController();
  readonly #parts: Pick<Service, "stop">[] = [];
  readonly #transports: HttpTransport[] = [];
  #runtime: RuntimeClasses | undefined;
  #containers: ContainersProvider | undefined;
  #guardian: Guardian | undefined;

  constructor(options: NodeAgentOptions) {
    this.#options = options;
  }

  /** Resolves when the node is registered and runs its pods. */
  async start(): Promise<void> {
    const { plan } = this.#options;
    const [asNode, asNetwork] = await Promise.all([this.#connect(plan.name), this.#connect(`${plan.name}-network`)]);
    const informers = this.#networkInformers(asNetwork);
    const [containers] = await Promise.all([
      this.#startContainers(),
      // Names are answered from what was known last as long as nobody tells more.
      setUpNodeNetwork(plan.network).then(() => this.#startNames(informers)),
      deleteFormerTables(this.#options.cluster.record),
      this.#awaitApiServer(),
    ]);
    await Promise.all([this.#startNetwork(informers), this.#startKubelet(asNode, containers)]);
  }

  /** Leaves containers running unless told otherwise. */
  async stop(mode: StopMode): Promise<void> {
    await this.#guardian?.stop();
    this.#abort.abort(new Error("the node stops"));
    for (const part of this.#parts.toReversed()) await part.stop();
    if (mode === "containers") await this.#stopContainers();
    await this.#runtime?.stop();
  }

  async #startContainers(): Promise<ContainersProvider> {
    const { plan, cluster, clock, logger } = this.#options;
    const containers = await createContainersProvider({
      stateFolder: join(plan.layout.data, "runtime"),
      runFolder: plan.layout.run,
      imagesFolder: cluster.layout.images,
      podCidr: plan.podCidr,
      nodeAddress: plan.address,
      cgroupParent: plan.cgroupParent,
      linkPrefix: plan.linkPrefix,
      searchPath,
      registries: () => registrySettings(this.#options.context.environment),
      clock,
      logger,
    });
    const runtime = new RuntimeClasses(containers.runtime, [this.#isolates(containers)]);
    await runtime.start(this.#abort.signal);
    this.#containers = containers;
    this.#runtime = runtime; // a stop during the rest of the start ends what was adopted
    return containers;
  }

  /** Isolates beside the containers: nothing of them is loaded before the first one, or while there is none from before. */
  #isolates({ runtime, imageStore, addresses }: ContainersProvider): RuntimeClassHandler {
    const { plan, cluster, clock, logger } = this.#options;
    const { stateFolder, runFolder } = isolateFolders(plan.layout);
    return {
      handler: "isolate",
      // An isolate has no files; what it is to know comes as its environment.
      hidesMount: (path) => path === "/var/run/secrets/kubernetes.io/serviceaccount",
      isInUse: () => isFilled(join(stateFolder, "sandboxes")),
      load: async () => {
        const { createIsolatesProvider } = await import("#providers/isolates/create.ts");
        return createIsolatesProvider({
          stateFolder,
          runFolder,
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
      },
    };
  }

  /** Watches over the control plane, and waits until its API answers; without it what is loaded already goes on. */
  async #awaitApiServer(): Promise<void> {
    const { cluster, context, plan, permit, clock, logger } = this.#options;
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(controlPlaneWaitMs, resolve);
      const done = () => {
        timer.clear();
        resolve();
      };
      this.#guardian = new Guardian({
        socket: controlPlaneSocket(cluster.layout),
        process: async () => ({ ...controlPlaneProcess(context, cluster, permit), ...machineNamespaces }),
        permit,
        hangPatienceMs: hangPatienceMs(context.environment),
        // The first node acts at once, the others only if it did not.
        patienceMs: plan.index * 2000,
        onStage: ({ stage, state }) => {
          if (stage === "API server" && state === "done") done();
        },
        onEnd: () => {
          for (const transport of this.#transports) transport.reconnect();
        },
        clock,
        logger,
      });
      // Never rejects: nobody there means that there is nothing to wait for.
      void this.#guardian.watch().then((isThere) => {
        if (!isThere) done();
      });
    });
  }

  /** A connection as the owner of this key pair: the node itself may see little more than its own pods. */
  async #connect(keyPair: string): Promise<HttpTransport> {
    const { cluster } = this.#options;
    const { layout, record } = cluster;
    const folder = join(layout.pki, "nodes");
    const transport = createHttpTransport({
      server: `https://${addressPlan(record.slot).controlPlane}:${record.apiPort}`,
      ca: await readFile(join(layout.pki, "ca.crt"), "utf8"),
      // Read again for each connection: certificates are renewed on disk.
      clientCertificate: async () => ({
        certificate: await readFile(join(folder, `${keyPair}.crt`), "utf8"),
        key: await readFile(join(folder, `${keyPair}.key`), "utf8"),
      }),
      userAgent: "nodeless-node",
    });
    this.#transports.push(transport);
    this.#parts.push({ stop: () => transport.close() });
    return transport;
  }

  /** What the network's parts share; nothing is asked before they are started. */
  #networkInformers(transport: Transport): InformerFactory {
    const { clock, logger } = this.#options;
    return createInformerFactory({ client: createClient(transport), clock, logger, transform: withoutManagedFields });
  }

  async #startNames(informers: InformerFactory): Promise<void> {
    const { cluster, plan, clock, logger } = this.#options;
    const dnsAddress = addressPlan(cluster.record.slot).dnsService;
    // Held beside this process: what pods ask while it is away waits for its successor.
    const sockets = openHeldSockets(await loadLibc(), { name: plan.layout.run, address: dnsAddress, port: 53 });
    const dns = createClusterDns({
      informers,
      zone: "cluster.local",
      addresses: [],
      sockets: [sockets],
      lastKnownFile: join(plan.layout.data, "names.json"),
      clock,
      logger,
    });
    await dns.start(this.#abort.signal);
    this.#parts.push(dns);
  }

  async #startNetwork(informers: InformerFactory): Promise<void> {
    const { plan, clock, logger } = this.#options;
    const proxy = new ServiceProxy({
      informers,
      nodeName: plan.name,
      settings: plan.serviceTable,
      applyNft,
      forgetFlows,
      clock,
      logger,
    });
    await informers.start(this.#abort.signal);
    await proxy.start(this.#abort.signal);
    this.#parts.push(informers, proxy);
  }

  async #startKubelet(transport: Transport, { images, imageVolumes }: ContainersProvider): Promise<void> {
    if (!this.#runtime) throw new Error("the runtime is not started");
    const { cluster, plan, clock, logger } = this.#options;
    const kubelet = createKubelet({
      nodeName: plan.name,
      client: createClient(transport),
      place: { runtime: this.#runtime, images: withInlineImage(images), imageVolumes },
      kubeletVersion: kubernetesVersion,
      folders: { root: join(plan.layout.data, "pods"), logs: join(plan.layout.data, "log", "pods") },
      addresses: [plan.address],
      podCidr: plan.podCidr,
      clusterDns: [addressPlan(cluster.record.slot).dnsService],
      server: await this.#serverSettings(),
      ...(cluster.record.nodes > 1 ? { usage: usageOf(plan.cgroupParent) } : {}),
      settleMs,
      clock,
      logger,
    });
    await kubelet.start(this.#abort.signal);
    this.#parts.push(kubelet);
  }

  /** The node's own API, at its address on the usual port: each node has an address of its own. */
  async #serverSettings(): Promise<KubeletServerSettings> {
    const { cluster, plan, logger } = this.#options;
    const { pki } = cluster.layout;
    const read = (file: string) => readFile(join(pki, file), "utf8");
    const [certificate, key, clientCa] = await Promise.all([
      read(`nodes/${plan.name}-server.crt`),
      read(`nodes/${plan.name}-server.key`),
      read("ca.crt"),
    ]);
    return {
      host: plan.address,
      port: 10_250,
      certificate,
      key,
      clientCa,
      onRenewal: (onRenewed, signal) =>
        watchKeyPair({ folder: join(pki, "nodes"), name: `${plan.name}-server`, onRenewed, logger }, signal),
      onStream: createStreamHandler(logger),
    };
  }

  async #stopContainers(): Promise<void> {
    const runtime = this.#runtime;
    if (!runtime) return;
    const running = (await runtime.listContainers()).filter(({ phase }) => phase !== "exited");
    await Promise.all([
      this.#containers?.runtime.stopDeaf(),
      ...running.map(({ id }) => runtime.stopContainer(id, downGraceSeconds)),
    ]);
  }
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

function isFilled(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).length > 0;
}

// As containerd, Docker and K3s find them: certificates of private registries in their folders, mirrors in a file, proxies in the environment.
async function registrySettings(environment: NodeJS.ProcessEnv): Promise<RegistrySettings> {
  const [http, https, no] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].map(
    (name) => environment[name] ?? environment[name.toLowerCase()],
  );
  return {
    ...(await readRegistriesFile(environment["NODELESS_REGISTRIES"] ?? "/etc/nodeless/registries.yaml")),
    certificateFolders: ["/etc/containers/certs.d", "/etc/docker/certs.d"],
    proxy: { ...(http && { http }), ...(https && { https }), ...(no && { no }) },
  };
}
