/**
 * The parts of a node, in the order in which they start. What pods need while the control plane is away (Services, names, containers) does not wait for it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createEventRecorder } from "#client/event-recorder.ts";
import { createHttpTransport, type HttpTransport } from "#client/http-transport.ts";
import { createInformerFactory, type InformerFactory, withoutManagedFields } from "#client/informer-factory.ts";
import type { Client } from "#client/client.ts";
import { createClient } from "#client/rest-client.ts";
import type { Transport } from "#client/transport.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import type { Cluster, MachineContext } from "#cmd/machine/clusters.ts";
import { Guardian } from "#cmd/machine/guardian.ts";
import { hangPatienceMs } from "#cmd/machine/hang-watch.ts";
import { controlPlaneSocket } from "#cmd/machine/layout.ts";
import type { NodePlan } from "#cmd/machine/node-plan.ts";
import type { RunPermit } from "#cmd/machine/run-permit.ts";
import type { StopMode, SupervisionServer } from "#cmd/machine/supervision.ts";
import { controlPlaneProcess } from "#cmd/machine/up.ts";
import { kubernetesVersion } from "#cmd/machine/version.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import { createKubelet } from "#kubelet/kubelet.ts";
import type { NodeListener } from "#network/ingress/node-listeners.ts";
import type { KubeletServerSettings } from "#kubelet/server/kubelet-server.ts";
import { createStreamHandler } from "#kubelet/server/stream-handler.ts";
import { endedLogs } from "./ended-logs.ts";
import { dnsPlaces, L7Sources } from "./l7/l7-sources.ts";
import { ListenerNotes } from "./l7/listener-notes.ts";
import { type GroundPlace, highDnsPort, type NodeGround } from "./node-ground.ts";
import { watchKeyPair } from "./renewed-pair.ts";
import { watchSigningKey } from "./signing-key.ts";

/** What a node works with. */
export type NodeAgentOptions = {
  readonly cluster: Cluster;
  readonly context: MachineContext;
  readonly plan: NodePlan;
  readonly permit: RunPermit | undefined;
  /** Tells those who ask this process. */
  readonly supervision: Pick<SupervisionServer, "listening">;
  /** Resolves when this process is in the control group in which what outlives it is to be. Never rejects. */
  readonly entered: Promise<void>;
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
  readonly #ground: Promise<NodeGround>;
  #place: GroundPlace | undefined;
  #guardian: Guardian | undefined;
  #networkInformers: InformerFactory | undefined;
  #l7: L7Sources | undefined;

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    this.#ground = loadGround(options);
    this.#ground.catch(() => {}); // awaited by start
  }

  /** Resolves when the node is registered and runs its pods. */
  async start(): Promise<void> {
    const { plan, entered } = this.#options;
    const ground = await this.#ground;
    const [asNode, asNetwork] = await Promise.all([this.#connect(plan.name), this.#connect(`${plan.name}-network`)]);
    const network = createClient(asNetwork);
    const informers = this.#makeNetworkInformers(network);
    this.#networkInformers = informers;
    await Promise.all([
      this.#startRuntime(),
      // Names are answered from what was known last as long as nobody tells more.
      Promise.all([ground.prepareNetwork(), entered]).then(() => this.#startNames(ground, informers)),
      this.#awaitApiServer(ground),
    ]);
    await Promise.all([this.#startNetwork(ground, informers, network), this.#startKubelet(asNode, ground)]);
    // No start waits for it.
    this.#l7 = this.#makeL7(network, informers, createClient(asNode));
    this.#l7.start();
  }

  /** Leaves containers running unless told otherwise. */
  async stop(mode: StopMode): Promise<void> {
    await this.#guardian?.stop();
    this.#abort.abort(new Error("the node stops"));
    await this.#l7?.stop();
    for (const part of this.#parts.toReversed()) await part.stop();
    if (mode === "containers") await this.#stopContainers();
    await this.#place?.runtime.stop();
  }

  async #startRuntime(): Promise<void> {
    const place = await (await this.#ground).createPlace();
    await this.#options.entered; // isolates that wait for pods may be started here
    await place.runtime.start(this.#abort.signal);
    this.#place = place; // a stop during the rest of the start ends what was adopted
  }

  /** Watches over the control plane, and waits until its API answers; without it what is loaded already goes on. */
  async #awaitApiServer({ controlPlaneSpec }: NodeGround): Promise<void> {
    const { cluster, context, plan, permit, clock, logger } = this.#options;
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(controlPlaneWaitMs, resolve);
      const done = () => {
        timer.clear();
        resolve();
      };
      this.#guardian = new Guardian({
        socket: controlPlaneSocket(cluster.layout),
        process: async () => ({ ...controlPlaneProcess(context, cluster, permit), ...controlPlaneSpec }),
        permit,
        hangPatienceMs: hangPatienceMs(context.environment),
        // The first node acts at once, the others only if it did not.
        patienceMs: plan.index * 2000,
        onStage: ({ stage, state }) => {
          if (stage !== "API server" || state !== "done") return;
          done();
          // What became of Services meanwhile must not wait for the next try.
          this.#networkInformers?.retryNow();
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
      server: `https://${addressPlan(record).controlPlane}:${record.apiPort}`,
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
  #makeNetworkInformers(client: Client): InformerFactory {
    const { clock, logger } = this.#options;
    return createInformerFactory({ client, clock, logger, transform: withoutManagedFields });
  }

  async #startNames(ground: NodeGround, informers: InformerFactory): Promise<void> {
    const dns = await ground.createDns(informers);
    await dns.start(this.#abort.signal);
    this.#parts.push(dns);
  }

  async #startNetwork(ground: NodeGround, informers: InformerFactory, client: Client): Promise<void> {
    const { plan, clock, logger } = this.#options;
    const events = createEventRecorder({ client, component: "service-proxy", host: plan.name, clock, logger });
    const parts = ground.networkParts(informers, events);
    await Promise.all([informers.start(this.#abort.signal), events.start(this.#abort.signal)]);
    await Promise.all(parts.map((part) => part.start(this.#abort.signal)));
    this.#parts.push(informers, events, ...parts);
  }

  #makeL7(client: Client, informers: InformerFactory, asNode: Client): L7Sources {
    const { cluster, plan, supervision, clock, logger } = this.#options;
    const { signal } = this.#abort;
    const notes = new ListenerNotes({ client: asNode, nodeName: plan.name, clock, logger, signal });
    const onListening = (listeners: readonly NodeListener[]) => {
      supervision.listening(listeners);
      notes.tell(listeners);
    };
    const dns = dnsPlaces(cluster, highDnsPort);
    const prepareLike = (pod: { readonly namespace: string; readonly name: string }) =>
      this.#place?.runtime.prepareLike(pod);
    const { environment } = this.#options.context;
    const told = { onListening, prepareLike };
    return new L7Sources({ environment, cluster, plan, client, informers, dns, ...told, clock, logger });
  }

  async #startKubelet(transport: Transport, ground: NodeGround): Promise<void> {
    if (!this.#place) throw new Error("the runtime is not started");
    const { cluster, plan, clock, logger } = this.#options;
    const kubelet = createKubelet({
      nodeName: plan.name,
      client: createClient(transport),
      place: this.#place,
      kubeletVersion: kubernetesVersion,
      folders: { root: join(plan.layout.data, "pods"), logs: join(plan.layout.data, "log", "pods") },
      addresses: [plan.address],
      podCidr: plan.podCidr,
      clusterDns: [addressPlan(cluster.record).dnsService],
      server: await this.#serverSettings(),
      ...ground.kubelet,
      drain: { drain: async (pod, signal) => await this.#l7?.drain(pod, signal) },
      onPodStatus: (pod) => this.#l7?.onPodStatus(pod),
      moreMetrics: async () => (await this.#l7?.metrics()) ?? [],
      endedLogs: endedLogs(join(plan.layout.data, "log", "ended")),
      settleMs,
      clock,
      logger,
    });
    await kubelet.start(this.#abort.signal);
    this.#parts.push(kubelet);
    const onReplaced = () => void kubelet.renewTokens(); // never rejects
    await watchSigningKey({ folder: cluster.layout.pki, onReplaced, logger }, this.#abort.signal);
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
    if (!this.#place) return;
    const { runtime, stopDeaf } = this.#place;
    const running = (await runtime.listContainers()).filter(({ phase }) => phase !== "exited");
    await Promise.all([stopDeaf(), ...running.map(({ id }) => runtime.stopContainer(id, downGraceSeconds))]);
  }
}

/** What a node without root needs is not loaded with root, and the other way round. */
async function loadGround(options: NodeAgentOptions): Promise<NodeGround> {
  if (options.cluster.record.isRootless !== true)
    return (await import("./rooted-ground.ts")).createRootedGround(options);
  return (await import("./rootless-ground.ts")).createRootlessGround(options);
}
