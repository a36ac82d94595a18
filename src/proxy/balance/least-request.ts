/**
 * The endpoint with the fewest requests under way, by weight. Among few all are looked at, from a place that moves on, so that equals take turns; among many the better of two at random, which is nearly
 * as good (Mitzenmacher's power of two choices, as in Envoy).
 */
import type { BalancedEndpoint, Balancer, Choice, Random } from "./balancer.ts";

const FEW = 16;

export class LeastRequest<E extends BalancedEndpoint> implements Balancer<E> {
  readonly #endpoints: readonly E[];
  readonly #random: Random;
  #next = 0;

  constructor(endpoints: readonly E[], random: Random) {
    this.#endpoints = endpoints;
    this.#random = random;
  }

  choose(choice: Choice<E>): E | undefined {
    return (this.#endpoints.length > FEW ? this.#betterOfTwo(choice) : undefined) ?? this.#bestOfAll(choice);
  }

  #betterOfTwo({ isOpen }: Choice<E>): E | undefined {
    const [first, second] = [this.#anyOne(), this.#anyOne()].filter(isOpen);
    if (first === undefined || second === undefined) return first ?? second;
    return loadOf(second) < loadOf(first) ? second : first;
  }

  #anyOne(): E {
    return this.#endpoints[Math.floor(this.#random() * this.#endpoints.length)] as E;
  }

  #bestOfAll({ isOpen }: Choice<E>): E | undefined {
    const count = this.#endpoints.length;
    const from = this.#next++ % Math.max(1, count);
    let best: E | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (let step = 0; step < count; step++) {
      const endpoint = this.#endpoints[(from + step) % count] as E;
      const load = loadOf(endpoint);
      if (load < least && isOpen(endpoint)) {
        best = endpoint;
        least = load;
      }
    }
    return best;
  }
}

function loadOf({ active, config }: BalancedEndpoint): number {
  return (active + 1) / (config.weight ?? 1);
}
