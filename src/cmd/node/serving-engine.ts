/**
 * A node's data plane for Knative Serving: `serving/engine` feeds the node's L7 engine. Loaded only in clusters that have Serving, after the node is ready.
 */
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { Client } from "#client/client.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { NodePlan } from "#cmd/machine/node-plan.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type { MetricSnapshot } from "#component-base/metrics.ts";
import type { PodDrain } from "#kubelet/pod-drain.ts";
import type { NodeListener } from "#network/ingress/node-listeners.ts";
import { revisionHold } from "#serving/engine/engine-config.ts";
import { NodeEngine } from "#serving/engine/node-engine.ts";
import type { L7Engine, Seat } from "./l7/l7-engine.ts";
import { sharedListeners } from "./l7/shared-listeners.ts";

/** For pods, at the node's address. */
const localPort = 8081;
const localListener = "serving-local";
/** For other nodes' data planes, at the node's address: where upstream's queue proxies are. */
const peerPort = 8012;
const peerListener = "serving-peer";
const usualHttpsPort = 443;

/** What it works with. */
export type ServingEngineOptions = {
  readonly plan: NodePlan;
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly l7: L7Engine;
  /** The cluster has no other node. */
  readonly isAlone: boolean;
  /** As {@link NodeEngine}'s. */
  readonly prepareLike: (pod: { readonly namespace: string; readonly name: string }) => void;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** The data plane of Knative Serving as it runs. */
export type ServingDataPlane = Pick<Service, "stop"> &
  PodDrain & {
    metrics(): readonly MetricSnapshot[];
    /** A pod of this node has another status. */
    onPodStatus(pod: Pod): void;
    /** Requests are taken at these places now. */
    onListening(places: readonly NodeListener[]): void;
  };

/** TLS is listened for as long as a route has a certificate. */
class SecureSeat {
  readonly #l7: L7Engine;
  #seat: Seat | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(l7: L7Engine) {
    this.#l7 = l7;
  }

  use(isWanted: boolean): void {
    this.#turn = this.#turn.then(async () => {
      if (isWanted === (this.#seat !== undefined)) return;
      const seat = this.#seat;
      this.#seat = isWanted ? this.#l7.join("serving with TLS", { shared: ["https"] }) : undefined;
      await (seat === undefined ? this.#seat?.ready() : seat.leave());
    });
  }

  /** Resolves when what was wanted until now is so. */
  settled(): Promise<void> {
    return this.#turn;
  }
}

/** Resolves at once: what requests lead to follows in the background, and then requests are taken. */
export function startServingEngine(options: ServingEngineOptions): ServingDataPlane {
  const { plan, client, informers, isAlone, l7, clock, logger } = options;
  const own = [{ name: localListener, address: { host: plan.address, port: localPort } }];
  const peer = { address: plan.address, port: peerPort };
  // What the first data plane has said of the client stays.
  const ofPeers = { name: peerListener, address: { host: plan.address, port: peerPort }, trustsForwarded: true };
  const seat = l7.join("serving", { shared: ["http"], own: isAlone ? own : [...own, ofPeers] });
  const secured = new SecureSeat(l7);
  const node = new NodeEngine({
    nodeName: plan.name,
    client,
    informers,
    listeners: {
      open: sharedListeners.http,
      secure: sharedListeners.https,
      local: localListener,
      ...(isAlone ? {} : { peer: peerListener }),
    },
    ...(isAlone ? {} : { peer }),
    addresses: [plan.address],
    httpPort: localPort,
    prepareLike: options.prepareLike,
    onSecured: (count) => secured.use(count > 0),
    clock,
    logger,
  });
  l7.addHold(revisionHold, node.hold);
  const following = node
    .start(l7)
    .then(() => seat.ready())
    .catch((error: unknown) => logger.debug("Data plane ended early", { error }));
  return {
    drain: (pod) => node.drain(pod),
    metrics: () => node.metrics(),
    onPodStatus: (pod) => node.onLocalPod(pod),
    onListening(places) {
      const port = places[0]?.httpsPort;
      node.useSecurePort(port === usualHttpsPort ? undefined : port);
    },
    async stop() {
      await node.stop();
      await following;
      await secured.settled();
    },
  };
}
