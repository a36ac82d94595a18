/**
 * What a node's data plane works with.
 */
import type { Client } from "#client/client.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ServingListeners } from "./engine-config.ts";
import type { Peer } from "./peer-planes.ts";

/** What a node's data plane works with. */
export type NodeEngineOptions = {
  readonly nodeName: string;
  readonly client: Client;
  /** Runs already, and is shared with the node's other parts. */
  readonly informers: InformerFactory;
  readonly listeners: ServingListeners;
  /** Where pods reach the local listener. */
  readonly addresses: readonly string[];
  readonly httpPort: number;
  /** Where other nodes' data planes reach the peer listener. Absent: there is no other node. */
  readonly peer?: Peer;
  /** How many Ingresses name certificates, whenever that has changed; after the engine knows. */
  readonly onSecured?: (count: number) => void;
  /** Told when somebody waits for a revision that has no pod, by the name of its last pod on this node: what can be made ready meanwhile is. */
  readonly prepareLike?: (pod: { readonly namespace: string; readonly name: string }) => void;
  readonly clock: Clock;
  readonly logger: Logger;
};
