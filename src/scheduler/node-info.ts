/**
 * A node with the sums over its pods, kept up to date as pods come and go, so that looking at it costs no walk over them.
 */
import type { Node } from "#api/generated/types/core-v1.ts";
import { quantityValue } from "#apimachinery/quantity.ts";
import { hasPodAffinity } from "./pod-info.ts";
import type { HostPort, PodInfo } from "./pod-info.ts";
import { amountsOf } from "./pod-requests.ts";
import type { Amounts } from "./pod-requests.ts";

export class NodeInfo {
  readonly name: string;
  readonly pods: Map<string, PodInfo> = new Map();
  /** Those among the pods that have (anti-)affinity to others. */
  readonly podsWithAffinity: Set<PodInfo> = new Set();
  requestedMilliCpu = 0;
  requestedMemoryBytes = 0;
  requestedStorageBytes = 0;
  /** With defaults for pods that ask for nothing. */
  scoringMilliCpu = 0;
  scoringMemoryBytes = 0;
  readonly requestedExtended: Map<string, number> = new Map();
  readonly #ports: Set<PodInfo> = new Set();
  readonly #byController = new Map<string, number>();
  #node: Node;
  #allocatable: Amounts;
  #maxPods: number;
  #imageBytes: Map<string, number> | undefined;

  constructor(node: Node) {
    this.name = node.metadata?.name ?? "";
    this.#node = node;
    this.#allocatable = amountsOf(node.status?.allocatable);
    this.#maxPods = quantityValue(node.status?.allocatable?.["pods"] ?? 0);
  }

  get node(): Node {
    return this.#node;
  }

  /** The node changed. */
  set node(node: Node) {
    this.#node = node;
    this.#allocatable = amountsOf(node.status?.allocatable);
    this.#maxPods = quantityValue(node.status?.allocatable?.["pods"] ?? 0);
    this.#imageBytes = undefined;
  }

  get allocatable(): Amounts {
    return this.#allocatable;
  }

  get maxPods(): number {
    return this.#maxPods;
  }

  /** Sizes of the images that the node has, by every name they go under. */
  get imageBytes(): ReadonlyMap<string, number> {
    this.#imageBytes ??= new Map(
      (this.#node.status?.images ?? []).flatMap((image) =>
        (image.names ?? []).map((name) => [name, image.sizeBytes ?? 0] as const),
      ),
    );
    return this.#imageBytes;
  }

  add(pod: PodInfo): void {
    this.remove(pod.uid);
    this.pods.set(pod.uid, pod);
    this.#count(pod, 1);
    if (hasPodAffinity(pod)) this.podsWithAffinity.add(pod);
    if (pod.hostPorts.length > 0) this.#ports.add(pod);
  }

  /** Unknown is success. */
  remove(uid: string): void {
    const pod = this.pods.get(uid);
    if (pod === undefined) return;
    this.pods.delete(uid);
    this.#count(pod, -1);
    this.podsWithAffinity.delete(pod);
    this.#ports.delete(pod);
  }

  /** True when a pod here uses one of these ports. */
  hasPortConflict(wanted: readonly HostPort[]): boolean {
    for (const pod of this.#ports) {
      if (pod.hostPorts.some((used) => wanted.some((port) => conflicts(used, port)))) return true;
    }
    return false;
  }

  /** How many pods here have this controller. */
  podsOfController(uid: string): number {
    return this.#byController.get(uid) ?? 0;
  }

  /** A copy that can be changed without changing this one: for asking what if. */
  clone(): NodeInfo {
    const copy = new NodeInfo(this.#node);
    for (const pod of this.pods.values()) copy.add(pod);
    return copy;
  }

  #count(pod: PodInfo, sign: 1 | -1): void {
    this.requestedMilliCpu += sign * pod.requests.milliCpu;
    this.requestedMemoryBytes += sign * pod.requests.memoryBytes;
    this.requestedStorageBytes += sign * pod.requests.storageBytes;
    this.scoringMilliCpu += sign * pod.scoringRequests.milliCpu;
    this.scoringMemoryBytes += sign * pod.scoringRequests.memoryBytes;
    for (const [name, amount] of pod.requests.extended ?? []) {
      this.requestedExtended.set(name, (this.requestedExtended.get(name) ?? 0) + sign * amount);
    }
    this.#countController(pod, sign);
  }

  #countController(pod: PodInfo, sign: 1 | -1): void {
    const uid = pod.pod.metadata?.ownerReferences?.find((owner) => owner.controller === true)?.uid;
    if (uid === undefined) return;
    const count = (this.#byController.get(uid) ?? 0) + sign;
    if (count === 0) this.#byController.delete(uid);
    else this.#byController.set(uid, count);
  }
}

/** Same protocol and port, and addresses of which one is the other or all. */
export function conflicts(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.hostIp === b.hostIp || a.hostIp === "0.0.0.0" || b.hostIp === "0.0.0.0";
}
