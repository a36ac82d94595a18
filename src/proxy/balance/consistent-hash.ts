/**
 * Requests with the same key go to the same endpoint, and an endpoint that comes or goes moves only its own share: a ring of points, many for each endpoint (Karger's consistent hashing).
 */
import type { BalancedEndpoint, Balancer, Choice, Random } from "./balancer.ts";

/** Points of an endpoint with weight 1: spreads 10 endpoints to within a tenth of each other or so. */
const POINTS = 160;

export class ConsistentHash<E extends BalancedEndpoint> implements Balancer<E> {
  readonly #random: Random;
  readonly #points: readonly { readonly at: number; readonly endpoint: E }[];

  constructor(endpoints: readonly E[], random: Random) {
    this.#random = random;
    this.#points = endpoints.flatMap(pointsOf).sort((a, b) => a.at - b.at);
  }

  /** The endpoint at the key's place; when it is not open, the next one on the ring that is. */
  choose({ isOpen, hashKey }: Choice<E>): E | undefined {
    const points = this.#points;
    const from = this.#indexOf(hashKey === undefined ? this.#random() * 2 ** 32 : hashOf(hashKey));
    for (let step = 0; step < points.length; step++) {
      const { endpoint } = points[(from + step) % points.length] as (typeof points)[number];
      if (isOpen(endpoint)) return endpoint;
    }
    return undefined;
  }

  #indexOf(hash: number): number {
    let [low, high] = [0, this.#points.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#points[middle]?.at ?? 0) < hash) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function pointsOf<E extends BalancedEndpoint>(endpoint: E): { at: number; endpoint: E }[] {
  const { address, port, weight = 1 } = endpoint.config;
  const count = Math.max(1, Math.min(POINTS * 16, Math.round(POINTS * weight)));
  return Array.from({ length: count }, (_, index) => ({ at: hashOf(`${address}:${port}#${index}`), endpoint }));
}

/** 32 bits: FNV-1a with murmur3's finish, for short texts. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
