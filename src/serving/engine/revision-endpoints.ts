/**
 * Where a revision's pods take requests: what the pods say, and what this node knows sooner, by its own probes, by requests that met nobody, and because it was told that a pod is about to end.
 */
import type { EndpointConfig } from "#proxy/config/cluster.ts";
import type { PodEndpoint } from "./pod-endpoints.ts";

/** What this node knows of a pod beyond what the API says. `proved`: it takes connections. `suspect`: it does not. `leaving`: it is about to end. */
type Knowledge = "proved" | "suspect" | "leaving";

/** The endpoints of one revision. Two pods may have one for a moment: an address is given to another as soon as it is free, and the API hears of both ends in any order. */
export class RevisionEndpoints {
  #pods: readonly PodEndpoint[] = [];
  readonly #known = new Map<string, Knowledge>();

  /** Pods have changed. What was known of a pod that moved, or became ready, or left, is not known any more. */
  update(pods: readonly PodEndpoint[]): void {
    const before = new Map(this.#pods.map((pod) => [nameOfPod(pod), pod]));
    this.#pods = pods;
    const now = new Map(pods.map((pod) => [nameOfPod(pod), pod]));
    for (const [name, what] of this.#known) {
      const current = now.get(name);
      const hasTurned = before.get(name)?.state !== current?.state;
      if (current === undefined || (what === "proved" && hasTurned)) this.#known.delete(name);
    }
  }

  /** True when requests have somewhere to go. */
  get isServed(): boolean {
    return this.#pods.some((pod) => this.#isOpen(pod));
  }

  /** The pods that requests go to. */
  get open(): readonly PodEndpoint[] {
    return this.#pods.filter((pod) => this.#isOpen(pod));
  }

  /** What the engine is told, of all pods or of a node's. Those that get nothing new stay known to it, so that what they have is counted. One place is said once: open where one pod there is. */
  configs(node?: string): readonly EndpointConfig[] {
    const places = new Map<string, EndpointConfig>();
    for (const pod of this.#pods) {
      if (node !== undefined && pod.node !== node) continue;
      const { address, port } = pod;
      const name = endpointName(pod);
      if (this.#isOpen(pod)) places.set(name, { address, port });
      else if (!places.has(name)) places.set(name, { address, port, isDraining: true });
    }
    return [...places.values()];
  }

  /** Pods that may take connections sooner than the kubelet says so. */
  get starting(): readonly PodEndpoint[] {
    return this.#pods.filter((pod) => pod.state === "starting" && this.#whatOf(pod) === undefined);
  }

  /** Those for which a probe makes sense. */
  get unproved(): readonly PodEndpoint[] {
    return this.#pods.filter((pod) => !this.#isOpen(pod) && pod.state !== "terminating");
  }

  /** The pods of which this ("address:port") is the endpoint. */
  find(name: string): readonly PodEndpoint[] {
    return this.#pods.filter((pod) => endpointName(pod) === name);
  }

  /** The pod's endpoints, by its address. */
  at(address: string): readonly PodEndpoint[] {
    return this.#pods.filter((pod) => pod.address === address);
  }

  /** This node has learnt something. A pod that is about to end stays so. */
  learn(pod: PodEndpoint, what: Knowledge): void {
    if (this.#whatOf(pod) !== "leaving") this.#known.set(nameOfPod(pod), what);
  }

  /** A suspect takes connections again. */
  clear(pod: PodEndpoint): void {
    if (this.#whatOf(pod) === "suspect") this.#known.delete(nameOfPod(pod));
    if (pod.state === "starting") this.learn(pod, "proved");
  }

  #isOpen(pod: PodEndpoint): boolean {
    const what = this.#whatOf(pod);
    return pod.state === "ready" ? what === undefined : pod.state === "starting" && what === "proved";
  }

  #whatOf(pod: PodEndpoint): Knowledge | undefined {
    return this.#known.get(nameOfPod(pod));
  }
}

function nameOfPod(pod: PodEndpoint): string {
  return `${endpointName(pod)} ${pod.pod}`;
}

/** An endpoint, as the L7 engine names it. */
export function endpointName({ address, port }: EndpointConfig): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
