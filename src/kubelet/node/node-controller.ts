/**
 * Registers the node and keeps its status true: at once when something changed, every five minutes otherwise. Heartbeats are the Lease's (node-lease.ts).
 */
import type { Node, NodeStatus } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client, ResourceRef } from "#client/client.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { KubeletEvents } from "#kubelet/events.ts";
import { sameJson } from "#kubelet/pod-object.ts";
import type { MachineInfo } from "./node-info.ts";
import { newNode, nodeLabels, nodeStatus, nodeStatusDiffers } from "./node-object.ts";
import type { NodeHealth, NodeSettings, NodeVersions } from "./node-object.ts";

const reportEveryMs = 5 * 60_000;
const healthEveryMs = 10_000;
const firstRetryMs = 100;
const longestRetryMs = 7_000;

export type NodeControllerOptions = {
  readonly client: Client;
  readonly settings: NodeSettings;
  readonly machine: MachineInfo;
  readonly versions: NodeVersions;
  /** How the node feels; asked every ten seconds, must be cheap. */
  readonly health: () => Promise<NodeHealth>;
  /** Images for status.images; asked when the status is written. */
  readonly images: () => Promise<NodeStatus["images"]>;
  readonly events: KubeletEvents;
  readonly clock: Clock;
  readonly logger: Logger;
};

const conditionEvents: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Ready: { True: "NodeReady", False: "NodeNotReady" },
  MemoryPressure: { True: "NodeHasInsufficientMemory", False: "NodeHasSufficientMemory" },
  DiskPressure: { True: "NodeHasDiskPressure", False: "NodeHasNoDiskPressure" },
  PIDPressure: { True: "NodeHasInsufficientPID", False: "NodeHasSufficientPID" },
};

/** Keeps the Node object. `start` resolves when the node is registered with its status. */
export class NodeController implements Service {
  readonly #options: NodeControllerOptions;
  readonly #stop = new AbortController();
  #node: Node | undefined;
  #timer: Timer | undefined;
  #reportedMs = 0;
  #busy = false;

  constructor(options: NodeControllerOptions) {
    this.#options = options;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    for (let delayMs = firstRetryMs; ; delayMs = Math.min(delayMs * 2, longestRetryMs)) {
      try {
        await this.#register();
        await this.#report();
        break;
      } catch (error) {
        logger.warn("Could not register node", { error });
        await clock.sleep(delayMs, AbortSignal.any([signal, this.#stop.signal]));
      }
    }
    logger.info("Registered node", { node: this.#options.settings.nodeName });
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error("the kubelet stops"));
    this.#timer?.clear();
  }

  /** The Node as this kubelet last saw it. */
  node(): Node | undefined {
    return this.#node;
  }

  /** Somebody changed the Node (labels, taints): admission must see it. */
  observe(node: Node): void {
    if (
      this.#node &&
      BigInt(node.metadata?.resourceVersion ?? "0") < BigInt(this.#node.metadata?.resourceVersion ?? "0")
    ) {
      return;
    }
    this.#node = node;
  }

  /** Writes the status now if it changed. */
  async refresh(): Promise<void> {
    if (this.#busy || this.#stop.signal.aborted || this.#node === undefined) return;
    this.#busy = true;
    try {
      await this.#report();
    } catch (error) {
      const { logger } = this.#options;
      logger.warn("Could not write node status", { error });
      const onFailure = (cause: unknown): void => logger.warn("Could not register the node", { error: cause });
      if (hasReason(error, "NotFound")) await this.#register().catch(onFailure);
    } finally {
      this.#busy = false;
    }
  }

  #schedule(): void {
    if (this.#stop.signal.aborted) return;
    this.#timer = this.#options.clock.setTimer(healthEveryMs, () => {
      void this.refresh().finally(() => this.#schedule());
    });
  }

  /** Events for what became of the node: "Node n1 status is now: NodeReady". */
  #tellChanges(before: NodeStatus, node: Node): void {
    for (const { type, status } of node.status?.conditions ?? []) {
      const old = before.conditions?.find((it) => it.type === type)?.status;
      const words = conditionEvents[type]?.[status];
      if (old === status || words === undefined || (old === undefined && type !== "Ready")) continue;
      this.#options.events.node(
        node,
        "Normal",
        words,
        `Node ${this.#options.settings.nodeName} status is now: ${words}`,
      );
    }
  }

  async #register(): Promise<void> {
    const { client, settings } = this.#options;
    const ref = nodeRef(settings.nodeName);
    const wanted = newNode(settings);
    try {
      this.#node = await client.create<Node>({ resource: ref.resource }, wanted);
    } catch (error) {
      if (!hasReason(error, "AlreadyExists")) throw error;
      this.#node = await this.#reconcile(await client.get<Node>(ref));
    }
  }

  /** Brings the kubelet's own labels and podCIDR back onto a Node that was there before. */
  async #reconcile(existing: Node): Promise<Node> {
    const { client, settings } = this.#options;
    const labels = nodeLabels(settings);
    const isLabelled = Object.entries(labels).every(([key, value]) => existing.metadata?.labels?.[key] === value);
    const hasCidr = settings.podCidr === undefined || existing.spec?.podCIDR !== undefined;
    if (isLabelled && hasCidr) return existing;
    const spec = hasCidr ? {} : { spec: { podCIDR: settings.podCidr, podCIDRs: [settings.podCidr] } };
    const body = { metadata: { labels }, ...spec };
    return client.patch<Node>(nodeRef(settings.nodeName), { type: "strategic", body });
  }

  async #report(): Promise<void> {
    const { client, settings, machine, versions, clock } = this.#options;
    const before = this.#node?.status ?? {};
    const [health, images] = await Promise.all([this.#options.health(), this.#options.images()]);
    const own = nodeStatus(settings, machine, versions, health, before, clock.now());
    const after: NodeStatus = images === undefined ? own : { ...own, images };
    const isDue = clock.now() - this.#reportedMs >= reportEveryMs;
    if (!isDue && !nodeStatusDiffers(before, after)) return;
    const changed = Object.entries(after).filter(
      ([key, value]) => !sameJson(value, (before as Readonly<Record<string, unknown>>)[key]),
    );
    const body = { status: Object.fromEntries(changed.map(([key, value]) => [key, patchValue(key, value)])) };
    this.#node = await client.patch<Node>(nodeRef(settings.nodeName, "status"), { type: "strategic", body });
    this.#tellChanges(before, this.#node);
    this.#reportedMs = clock.now();
  }
}

// Addresses merge by type in a strategic patch: two of one type need the whole list replaced (kubernetes #79391).
function patchValue(key: string, value: unknown): unknown {
  return key === "addresses" ? [{ $patch: "replace" }, ...(value as readonly unknown[])] : value;
}

function nodeRef(name: string, subresource?: string): ResourceRef {
  const resource = { group: "", version: "v1", resource: "nodes" };
  return { resource, name, ...(subresource === undefined ? {} : { subresource }) };
}
