/**
 * One endpoint after the other, each as often as its weight says and not in a row (nginx's smooth weighted round robin).
 */
import type { BalancedEndpoint, Balancer, Choice } from "./balancer.ts";

type Place<E> = { readonly endpoint: E; readonly weight: number; credit: number };

export class RoundRobin<E extends BalancedEndpoint> implements Balancer<E> {
  readonly #places: readonly Place<E>[];

  constructor(endpoints: readonly E[]) {
    this.#places = endpoints.map((endpoint) => ({ endpoint, weight: endpoint.config.weight ?? 1, credit: 0 }));
  }

  choose({ isOpen }: Choice<E>): E | undefined {
    let best: Place<E> | undefined;
    let total = 0;
    for (const place of this.#places) {
      if (!isOpen(place.endpoint)) continue;
      place.credit += place.weight;
      total += place.weight;
      if (best === undefined || place.credit > best.credit) best = place;
    }
    if (best !== undefined) best.credit -= total;
    return best?.endpoint;
  }
}
