/**
 * The data planes of other nodes, as this one finds them: where they take requests for the pods of their own node. Asked for once, when a pod of such a node is first seen; one that nobody answers at is not used
 * until it is back.
 */
import type { Client } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";
import type { EndpointConfig } from "#proxy/config/cluster.ts";
import { type DataPlaneObject, dataPlanes } from "./data-plane-object.ts";
import { EndpointProbes } from "./endpoint-probe.ts";
import { endpointName, RevisionEndpoints } from "./revision-endpoints.ts";

/** Where a node's data plane takes requests of other data planes. */
export type Peer = { readonly address: string; readonly port: number };

export type PeerPlanesOptions = {
  readonly client: Client;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** This node's own, which is reached like the others. */
  readonly self: { readonly node: string; readonly peer: Peer | undefined };
  /** What is known of a node has changed. */
  readonly onChange: (node: string) => void;
};

/** By nodes' names. */
export class PeerPlanes {
  readonly #options: PeerPlanesOptions;
  /** Undefined: asked for, or there is none. */
  readonly #known = new Map<string, Peer | undefined>();
  readonly #away = new Set<string>();
  readonly #probes: EndpointProbes;

  constructor(options: PeerPlanesOptions) {
    this.#options = options;
    this.#probes = new EndpointProbes(options.clock);
    this.#known.set(options.self.node, options.self.peer);
  }

  /** Undefined where there is none, or none that answers: its pods are asked themselves then. */
  find(node: string): Peer | undefined {
    if (!this.#known.has(node)) {
      this.#known.set(node, undefined);
      void this.#fetch(node); // never rejects
    }
    return this.#away.has(node) ? undefined : this.#known.get(node);
  }

  /** Nobody answers there. False: it is no peer. */
  lose(endpoint: string): boolean {
    const [found] = [...this.#known].filter(([, peer]) => peer !== undefined && endpointName(peer) === endpoint);
    const [node, peer] = found ?? [];
    if (node === undefined || peer === undefined) return false;
    this.#away.add(node);
    this.#options.onChange(node);
    this.#probes.start(node, peer, () => {
      this.#away.delete(node);
      this.#options.onChange(node);
    });
    return true;
  }

  stop(): void {
    this.#probes.stop();
  }

  async #fetch(node: string): Promise<void> {
    const { client, signal, onChange } = this.#options;
    try {
      const { spec } = await client.get<DataPlaneObject>({ resource: dataPlanes, name: node }, { signal });
      this.#known.set(node, spec?.peer);
      if (spec?.peer !== undefined) onChange(node);
    } catch {
      // Asked again when it is next wanted.
      this.#known.delete(node);
    }
  }
}

/** A revision's pods on several nodes: `all` are the ways to the nodes that have some, by how many; `own` those of this node, or the ways to the others while it has none that takes requests. */
export function spreadOverNodes(
  endpoints: RevisionEndpoints = new RevisionEndpoints(),
  self: string,
  peers: Pick<PeerPlanes, "find">,
): { readonly all: readonly EndpointConfig[]; readonly own: readonly EndpointConfig[] } {
  const byNode = [...Map.groupBy(endpoints.open, ({ node }) => node)];
  const wayTo = ([node, pods]: (typeof byNode)[number]): readonly EndpointConfig[] => {
    const peer = peers.find(node);
    return peer === undefined
      ? pods.map(({ address, port }) => ({ address, port }))
      : [{ ...peer, weight: pods.length }];
  };
  const own = endpoints.configs(self);
  const others = byNode.filter(([node]) => node !== self);
  const hasOwn = others.length < byNode.length;
  return { all: byNode.flatMap(wayTo), own: hasOwn ? own : [...own, ...others.flatMap(wayTo)] };
}
