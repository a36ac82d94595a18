/**
 * Which of a cluster's endpoints a request goes to. The one contract of all ways to choose.
 */
import type { EndpointConfig } from "#proxy/config/cluster.ts";

/** An endpoint, and how busy it is on this thread. */
export type BalancedEndpoint = {
  readonly config: EndpointConfig;
  /** Requests that are under way. */
  active: number;
};

/** What is known when a choice is made. */
export type Choice<E> = {
  /** Whether an endpoint may be taken: neither full nor tried before. */
  readonly isOpen: (endpoint: E) => boolean;
  /** What consistent hashing goes by. */
  readonly hashKey: string | undefined;
};

/** Chooses among endpoints that neither drain nor have weight 0. Made anew when they change. */
export interface Balancer<E extends BalancedEndpoint> {
  /** An endpoint that is open, or undefined when none is. */
  choose(choice: Choice<E>): E | undefined;
}

/** A number in [0, 1). Handed in, so that tests can say it. */
export type Random = () => number;
