/**
 * The node agent: registers the node, keeps its heartbeat, and runs the pods that are bound to it through a provider. This file joins the parts of the room; the work is
 * in theirs. Stopping it leaves containers running: the next start finds them again.
 */
import type { Node, Pod, Service as KubeService, Taint } from "#api/generated/types/core-v1.ts";
import type { Client } from "#client/client.ts";
import { createEventRecorder } from "#client/event-recorder.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import { createInformer } from "#client/reflector.ts";
import type { OwnedInformer } from "#client/reflector.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { MetricSnapshot } from "#component-base/metrics.ts";
import type { Logger } from "#component-base/logger.ts";
import type { KubeletEvents } from "./events.ts";
import { variablesOnly } from "#kubelet/env/services.ts";
import { PodEvictions } from "#kubelet/eviction/pod-evictions.ts";
import { NodeController } from "#kubelet/node/node-controller.ts";
import { readMachineInfo } from "#kubelet/node/node-info.ts";
import type { MachineInfo } from "#kubelet/node/node-info.ts";
import { NodeLease } from "#kubelet/node/node-lease.ts";
import type { NodeHealth, NodeSettings } from "#kubelet/node/node-object.ts";
import { defaultBounds, HealthReader, measureMachine } from "#kubelet/node/node-health.ts";
import type { KubeletServer, KubeletServerSettings } from "#kubelet/server/kubelet-server.ts";
import type { NodeUsage } from "#kubelet/server/node-statistics.ts";
import { openPlace } from "./place.ts";
import type { OpenPlace, PodPlace } from "./place.ts";
import { nodeAdmission } from "./pod-admission.ts";
import { PodController } from "./pod-controller.ts";
import type { EndedLogs } from "#kubelet/logs/ended-logs.ts";
import type { PodDrain } from "./pod-drain.ts";
import { PodStatusWriter } from "./pod-status-writer.ts";

/** What a kubelet is made of. */
export type KubeletOptions = {
  readonly nodeName: string;
  readonly client: Client;
  /** Where pods run. */
  readonly place: PodPlace;
  readonly kubeletVersion: string;
  /** `root` is where pods' folders are, `logs` their log files (CRI format, upstream's layout). */
  readonly folders: { readonly root: string; readonly logs: string };
  /** Addresses of this node, the first one is its main one. */
  readonly addresses: readonly string[];
  readonly podCidr?: string;
  /** Name servers of pods with dnsPolicy ClusterFirst. */
  readonly clusterDns: readonly string[];
  /** Default "cluster.local". */
  readonly clusterDomain?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly taints?: readonly Taint[];
  /** Default 110. */
  readonly maxPods?: number;
  /** Kept from pods: { cpu: millicores, memory: bytes }. Default nothing. */
  readonly reserved?: Readonly<Record<string, number>>;
  /** The node's own API: logs, exec, statistics. Without it the node has none. */
  readonly server?: KubeletServerSettings;
  readonly providerID?: string;
  /** Most processes that one pod may have. Default unbounded. */
  readonly pidsLimit?: number;
  /** Resolver configuration that pods inherit. Default /etc/resolv.conf. */
  readonly resolvConf?: string;
  /** Events, and statuses of pods that are still starting, wait this long for what comes next, so that they are not on the way of a start. Default 0. */
  readonly settleMs?: number;
  /** Asked every ten seconds. Default: memory, disk and processes of this machine. */
  readonly health?: () => Promise<NodeHealth>;
  /** What the node uses, where it shares its machine with other nodes. Default: what the machine uses. */
  readonly usage?: () => NodeUsage | undefined;
  /** Asked before a pod's containers are told to end. Only where the place is a container runtime. */
  readonly drain?: PodDrain;
  /** Keeps the last lines of pods that go; the node's API gives them at /logs/ended/NAME. Only where the place is a container runtime. */
  readonly endedLogs?: EndedLogs;
  /** Told of each status of a pod as soon as the node knows it, before the API does. Must not throw. */
  readonly onPodStatus?: (pod: Pod) => void;
  /** What others in this process count, for the node's /metrics. */
  readonly moreMetrics?: () => Promise<readonly MetricSnapshot[]>;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A running node agent. */
export interface Kubelet extends Service {
  /** The Node as last seen, once registered. */
  node(): Node | undefined;
  /** Port of the node's API, once started. */
  port(): number | undefined;
  /** Pods bound to this node, with their newest status. */
  listPods(): readonly Pod[];
  /** The tokens of service accounts that pods have are refused from now on: each pod gets another at once, and an event says so. */
  renewTokens(): Promise<void>;
}

/** Makes a kubelet; nothing happens until it is started. */
export function createKubelet(options: KubeletOptions): Kubelet {
  return new NodeAgent(options);
}

class NodeAgent implements Kubelet {
  readonly #options: KubeletOptions;
  readonly #pods: OwnedInformer<Pod>;
  readonly #nodes: OwnedInformer<Node>;
  readonly #services: OwnedInformer<KubeService>;
  readonly #recorder: EventRecorder & Service;
  readonly #events: KubeletEvents;
  readonly #statuses: PodStatusWriter;
  #place: OpenPlace | undefined;
  #controller: PodController | undefined;
  #node: NodeController | undefined;
  #lease: NodeLease | undefined;
  #server: KubeletServer | undefined;
  #evictions: PodEvictions | undefined;

  constructor(options: KubeletOptions) {
    this.#options = options;
    const { client, clock, logger, nodeName } = options;
    const common = { client, clock, logger };
    this.#pods = createInformer<Pod>({ ...common, resource: core("pods"), fieldSelector: `spec.nodeName=${nodeName}` });
    this.#nodes = createInformer<Node>({
      ...common,
      resource: core("nodes"),
      fieldSelector: `metadata.name=${nodeName}`,
    });
    this.#services = createInformer<KubeService>({ ...common, resource: core("services"), transform: variablesOnly });
    const { settleMs = 0, onPodStatus } = options;
    this.#recorder = createEventRecorder({ ...common, component: "kubelet", host: nodeName, delayMs: settleMs });
    this.#events = eventsThrough(this.#recorder);
    this.#statuses = new PodStatusWriter({
      ...common,
      hostIPs: options.addresses,
      settleMs,
      ...(onPodStatus === undefined ? {} : { onStatus: onPodStatus }),
      findPod: (ref) => {
        const found = this.#pods.lister.find(ref.namespace, ref.name);
        return found?.metadata?.uid === ref.uid ? found : undefined;
      },
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    const { client, clock, logger, nodeName } = this.#options;
    // Lists come in while the place is opened and the node registers.
    await Promise.all([this.#recorder, this.#pods, this.#services].map((part) => part.start(signal)));
    const machine = await readMachineInfo(this.#options.folders.root);
    this.#place = await this.#openPlace(machine.memoryBytes, signal);
    this.#server = await this.#startServer(this.#place, machine, signal);
    this.#node = this.#nodeController(machine, this.#place);
    await this.#node.start(signal);
    this.#lease = new NodeLease({ client, nodeName, node: () => this.#node?.node(), clock, logger });
    await Promise.all([this.#lease.start(signal), this.#watchNode(signal)]);
    this.#controller = this.#podController(this.#place);
    this.#evictions = this.#makeEvictions(this.#place, this.#controller);
    await this.#controller.start(signal);
    const node = this.#node.node();
    if (node) this.#events.node(node, "Normal", "Starting", "Starting kubelet.");
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    await this.#controller?.stop();
    await this.#place?.stop();
    this.#statuses.stop();
    await this.#lease?.stop();
    await this.#node?.stop();
    await Promise.all([this.#pods.stop(), this.#nodes.stop(), this.#services.stop()]);
    await this.#recorder.stop();
  }

  node(): Node | undefined {
    return this.#node?.node();
  }

  /** Port of the node's API, once started. */
  port(): number | undefined {
    return this.#server?.port;
  }

  listPods(): readonly Pod[] {
    return this.#controller?.listPods() ?? [];
  }

  async renewTokens(): Promise<void> {
    const count = (await this.#place?.renewTokens()) ?? 0;
    const node = this.#node?.node();
    const message = `The key of service account tokens was replaced; tokens of ${count} pods are renewed`;
    if (node && count > 0) this.#events.node(node, "Warning", "ServiceAccountKeyReplaced", message);
  }

  #openPlace(memoryBytes: number, signal: AbortSignal): Promise<OpenPlace> {
    const options = this.#options;
    return openPlace(
      options.place,
      {
        client: options.client,
        services: this.#services,
        events: this.#events,
        folders: options.folders,
        onDiskFull: (message) => {
          const node = this.#node?.node();
          if (node) this.#events.node(node, "Warning", "FreeDiskSpaceFailed", message);
        },
        ...(options.drain === undefined ? {} : { drain: options.drain }),
        ...(options.endedLogs === undefined ? {} : { endedLogs: options.endedLogs }),
        clock: options.clock,
        logger: options.logger,
        node: {
          hostIPs: options.addresses,
          clusterDns: options.clusterDns,
          clusterDomain: options.clusterDomain ?? "cluster.local",
          memoryBytes,
          allocatable: () => this.#node?.node()?.status?.allocatable ?? {},
          pidsLimit: options.pidsLimit,
          resolvConf: options.resolvConf ?? "/etc/resolv.conf",
          seccompFolder: `${options.folders.root}/seccomp`,
        },
      },
      signal,
    );
  }

  #nodeController(machine: MachineInfo, place: OpenPlace): NodeController {
    const { client, clock, logger, kubeletVersion, folders } = this.#options;
    const reader = new HealthReader(() => measureMachine(folders.root, defaultBounds), clock);
    return new NodeController({
      client,
      clock,
      logger,
      settings: settingsOf(this.#options, this.#server?.port ?? 0),
      machine,
      versions: { kubeletVersion, containerRuntimeVersion: place.version },
      health: async () => {
        await place.freeDisk();
        const health = await (this.#options.health?.() ?? reader.read());
        // Not awaited: ending a pod takes a while, and the node is to say how it is meanwhile.
        void this.#evictions?.look(health); // never rejects
        return health;
      },
      images: place.images,
      events: this.#events,
    });
  }

  #podController(place: OpenPlace): PodController {
    const { client, clock, logger } = this.#options;
    return new PodController({
      client,
      clock,
      logger,
      pods: this.#pods,
      provider: place.provider,
      statuses: this.#statuses,
      admission: nodeAdmission(() => this.#node?.node()),
      events: this.#events,
    });
  }

  async #startServer(place: OpenPlace, machine: MachineInfo, signal: AbortSignal): Promise<KubeletServer | undefined> {
    const { server: settings, client, clock, logger, nodeName, moreMetrics, endedLogs } = this.#options;
    if (!settings) return undefined;
    const { KubeletServer } = await import("#kubelet/server/kubelet-server.ts");
    const { StatisticsReader } = await import("#kubelet/server/node-statistics.ts");
    const reader = new StatisticsReader(this.#options.folders.root, this.#options.usage);
    const { provider } = place;
    const statistics = async () => reader.read((await provider.podUsage?.()) ?? [], clock.now());
    const pods = () => this.listPods();
    const server = new KubeletServer({
      ...settings,
      nodeName,
      client,
      pods,
      streams: provider,
      statistics,
      probeMetrics: () => place.probeMetrics(),
      ...(moreMetrics === undefined ? {} : { moreMetrics }),
      ...(endedLogs === undefined ? {} : { endedLogs }),
      machine,
      clock,
      logger,
    });
    await server.start(signal);
    return server;
  }

  #makeEvictions({ provider }: OpenPlace, controller: PodController): PodEvictions {
    const { clock, logger } = this.#options;
    return new PodEvictions({
      pods: () => controller.activePods(),
      stats: provider,
      evict: (ref, status, grace) => controller.evict(ref, status, grace),
      events: this.#events,
      clock,
      logger,
    });
  }

  async #watchNode(signal: AbortSignal): Promise<void> {
    const observe = (node: Node) => this.#node?.observe(node);
    this.#nodes.addHandler({ onAdd: observe, onUpdate: (_, node) => observe(node) });
    await this.#nodes.start(signal);
  }
}

function core(resource: string): { readonly group: string; readonly version: string; readonly resource: string } {
  return { group: "", version: "v1", resource };
}

function settingsOf(options: KubeletOptions, kubeletPort: number): NodeSettings {
  return {
    nodeName: options.nodeName,
    addresses: options.addresses,
    podCidr: options.podCidr,
    labels: options.labels ?? {},
    annotations: options.annotations ?? {},
    taints: options.taints ?? [],
    maxPods: options.maxPods ?? 110,
    reserved: options.reserved ?? {},
    kubeletPort,
    providerID: options.providerID,
  };
}

function eventsThrough(recorder: EventRecorder): KubeletEvents {
  return {
    pod(pod, type, reason, message, fieldPath) {
      const { namespace = "", name = "", uid = "", resourceVersion } = pod.metadata ?? {};
      const about = {
        apiVersion: "v1",
        kind: "Pod",
        namespace,
        name,
        uid,
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(fieldPath === undefined ? {} : { fieldPath }),
      };
      recorder.record(about, { type, reason, message });
    },
    node(node, type, reason, message) {
      // As upstream: events about nodes carry the node's name as uid.
      const name = node.metadata?.name ?? "";
      recorder.record({ apiVersion: "v1", kind: "Node", name, uid: name }, { type, reason, message });
    },
  };
}
