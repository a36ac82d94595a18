/**
 * The node agent: registers the node, keeps its heartbeat, and runs the pods that are bound to it through a provider. This file joins the parts of the room; the work is
 * in theirs. Stopping it leaves containers running: the next start finds them again.
 */
import type { Node, Pod, Taint } from "#api/generated/types/core-v1.ts";
import type { Client } from "#client/client.ts";
import { createEventRecorder } from "#client/event-recorder.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import { createInformer } from "#client/reflector.ts";
import type { OwnedInformer } from "#client/reflector.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { KubeletEvents } from "./events.ts";
import { NodeController } from "#kubelet/node/node-controller.ts";
import { readMachineInfo } from "#kubelet/node/node-info.ts";
import { NodeLease } from "#kubelet/node/node-lease.ts";
import type { NodeHealth, NodeSettings } from "#kubelet/node/node-object.ts";
import { nodeAdmission } from "./pod-admission.ts";
import { PodController } from "./pod-controller.ts";
import { PodStatusWriter } from "./pod-status-writer.ts";
import type { PodProvider } from "./provider.ts";

/** What a kubelet is made of. */
export type KubeletOptions = {
  readonly nodeName: string;
  readonly client: Client;
  /** The place where pods run. */
  readonly provider: PodProvider;
  /** For nodeInfo: "crun://1.8.1". */
  readonly containerRuntimeVersion: string;
  readonly kubeletVersion: string;
  /** Where pods' folders are. */
  readonly rootDir: string;
  /** Addresses of this node, the first one is its main one. */
  readonly addresses: readonly string[];
  readonly podCidr?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly taints?: readonly Taint[];
  /** Default 110. */
  readonly maxPods?: number;
  /** Kept from pods: { cpu: millicores, memory: bytes }. Default nothing. */
  readonly reserved?: Readonly<Record<string, number>>;
  /** Port of the node API server. Default 10250. */
  readonly port?: number;
  readonly providerID?: string;
  /** Asked every ten seconds. Default: always well. */
  readonly health?: () => Promise<NodeHealth>;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A running node agent. */
export interface Kubelet extends Service {
  /** The Node as last seen, once registered. */
  node(): Node | undefined;
  /** Pods bound to this node, with their newest status. */
  listPods(): readonly Pod[];
}

/** Makes a kubelet; nothing happens until it is started. */
export function createKubelet(options: KubeletOptions): Kubelet {
  return new NodeAgent(options);
}

const wellBeing: NodeHealth = { memoryPressure: false, diskPressure: false, pidPressure: false, notReady: [] };

class NodeAgent implements Kubelet {
  readonly #options: KubeletOptions;
  readonly #pods: OwnedInformer<Pod>;
  readonly #nodes: OwnedInformer<Node>;
  readonly #recorder: EventRecorder & Service;
  readonly #events: KubeletEvents;
  readonly #statuses: PodStatusWriter;
  readonly #controller: PodController;
  #node: NodeController | undefined;
  #lease: NodeLease | undefined;

  constructor(options: KubeletOptions) {
    this.#options = options;
    const { client, clock, logger, nodeName } = options;
    const common = { client, clock, logger };
    this.#pods = createInformer<Pod>({ ...common, resource: pods, fieldSelector: `spec.nodeName=${nodeName}` });
    this.#nodes = createInformer<Node>({ ...common, resource: nodes, fieldSelector: `metadata.name=${nodeName}` });
    this.#recorder = createEventRecorder({ ...common, component: "kubelet", host: nodeName });
    this.#events = eventsThrough(this.#recorder);
    this.#statuses = new PodStatusWriter({
      ...common,
      hostIPs: options.addresses,
      findPod: (ref) => {
        const found = this.#pods.lister.find(ref.namespace, ref.name);
        return found?.metadata?.uid === ref.uid ? found : undefined;
      },
    });
    this.#controller = new PodController({
      ...common,
      pods: this.#pods,
      provider: options.provider,
      statuses: this.#statuses,
      admission: nodeAdmission(() => this.#node?.node()),
      events: this.#events,
    });
  }

  async start(signal: AbortSignal): Promise<void> {
    const { client, clock, logger, nodeName } = this.#options;
    await this.#recorder.start(signal);
    await this.#pods.start(signal); // lists while the node registers
    await this.#registerNode(signal);
    this.#lease = new NodeLease({ client, nodeName, node: () => this.#node?.node(), clock, logger });
    await this.#lease.start(signal);
    this.#nodes.addHandler({
      onAdd: (node) => this.#node?.observe(node),
      onUpdate: (_, node) => this.#node?.observe(node),
    });
    await this.#nodes.start(signal);
    await this.#controller.start(signal);
  }

  async stop(): Promise<void> {
    await this.#controller.stop();
    this.#statuses.stop();
    await this.#lease?.stop();
    await this.#node?.stop();
    await Promise.all([this.#pods.stop(), this.#nodes.stop()]);
    await this.#recorder.stop();
  }

  node(): Node | undefined {
    return this.#node?.node();
  }

  listPods(): readonly Pod[] {
    return this.#controller.listPods();
  }

  async #registerNode(signal: AbortSignal): Promise<void> {
    const { client, clock, logger, containerRuntimeVersion, kubeletVersion } = this.#options;
    this.#node = new NodeController({
      client,
      clock,
      logger,
      settings: settingsOf(this.#options),
      machine: await readMachineInfo(this.#options.rootDir),
      versions: { kubeletVersion, containerRuntimeVersion },
      health: this.#options.health ?? (() => Promise.resolve(wellBeing)),
      images: () => Promise.resolve(undefined),
    });
    await this.#node.start(signal);
  }
}

const pods = { group: "", version: "v1", resource: "pods" };
const nodes = { group: "", version: "v1", resource: "nodes" };

function settingsOf(options: KubeletOptions): NodeSettings {
  return {
    nodeName: options.nodeName,
    addresses: options.addresses,
    podCidr: options.podCidr,
    labels: options.labels ?? {},
    annotations: options.annotations ?? {},
    taints: options.taints ?? [],
    maxPods: options.maxPods ?? 110,
    reserved: options.reserved ?? {},
    kubeletPort: options.port ?? 10_250,
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
