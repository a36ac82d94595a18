/**
 * Where a revision's pods take requests: what the pods say, and what this node knows sooner, by its own probes, by requests that met nobody, and because it was told that a pod is about to end.
 */
import type { EndpointConfig } from "#proxy/config/cluster.ts";
import type { PodEndpoint } from "./pod-endpoints.ts";

/** What this node knows of a pod beyond what the API says. `proved`: it takes connections. `suspect`: it does not. `leaving`: it is about to end. */
type Knowledge = "proved" | "suspect" | "leaving";

/** The endpoints of one revision. */
export class RevisionEndpoints {
  #pods: readonly PodEndpoint[] = [];
  readonly #known = new Map<string, { readonly pod: string; readonly what: Knowledge }>();

  /** Pods have changed. What was known of a pod that became another, or ready, or left, is not known any more. */
  update(pods: readonly PodEndpoint[]): void {
    const before = new Map(this.#pods.map((pod) => [endpointName(pod), pod]));
    this.#pods = pods;
    const now = new Map(pods.map((pod) => [endpointName(pod), pod]));
    for (const [name, { pod, what }] of this.#known) {
      const current = now.get(name);
      const hasTurned = before.get(name)?.state !== current?.state;
      if (current === undefined || current.pod !== pod || (what === "proved" && hasTurned)) this.#known.delete(name);
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

  /** What the engine is told, of all pods or of a node's. Those that get nothing new stay known to it, so that what they have is counted. */
  configs(node?: string): readonly EndpointConfig[] {
    return this.#pods
      .filter((pod) => node === undefined || pod.node === node)
      .map((pod) => {
        const { address, port } = pod;
        return this.#isOpen(pod) ? { address, port } : { address, port, isDraining: true };
      });
  }

  /** Pods that may take connections sooner than the kubelet says so. */
  get starting(): readonly PodEndpoint[] {
    return this.#pods.filter((pod) => pod.state === "starting" && this.#whatOf(pod) === undefined);
  }

  /** Those for which a probe makes sense. */
  get unproved(): readonly PodEndpoint[] {
    return this.#pods.filter((pod) => !this.#isOpen(pod) && pod.state !== "terminating");
  }

  find(name: string): PodEndpoint | undefined {
    return this.#pods.find((pod) => endpointName(pod) === name);
  }

  /** The pod's endpoints, by its address. */
  at(address: string): readonly PodEndpoint[] {
    return this.#pods.filter((pod) => pod.address === address);
  }

  /** This node has learnt something. A pod that is about to end stays so. */
  learn(pod: PodEndpoint, what: Knowledge): void {
    if (this.#whatOf(pod) !== "leaving") this.#known.set(endpointName(pod), { pod: pod.pod, what });
  }

  /** A suspect takes connections again. */
  clear(pod: PodEndpoint): void {
    if (this.#whatOf(pod) === "suspect") this.#known.delete(endpointName(pod));
    if (pod.state === "starting") this.learn(pod, "proved");
  }

  #isOpen(pod: PodEndpoint): boolean {
    const what = this.#whatOf(pod);
    return pod.state === "ready" ? what === undefined : pod.state === "starting" && what === "proved";
  }

  #whatOf(pod: PodEndpoint): Knowledge | undefined {
    const known = this.#known.get(endpointName(pod));
    return known?.pod === pod.pod ? known.what : undefined;
  }
}

/** An endpoint, as the L7 engine names it. */
export function endpointName({ address, port }: EndpointConfig): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
