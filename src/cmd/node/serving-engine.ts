/**
 * A node's data plane for Knative Serving: the L7 engine with its listeners, fed by `serving/engine`. Loaded only in clusters that have Serving, after the node is ready.
 */
import type { Client } from "#client/client.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import { addressPlan } from "#cmd/machine/address-plan.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import type { NodePlan } from "#cmd/machine/node-plan.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { ProxyEngine } from "#proxy/engine.ts";
import { revisionHold } from "#serving/engine/engine-config.ts";
import { NodeEngine } from "#serving/engine/node-engine.ts";

/** For everybody on the machine; the next when somebody has the first. */
const openPorts = [80, 8080, 8880];
/** For pods, at the node's address. */
const localPort = 8081;
const listeners = { open: "serving-open", local: "serving-local" };
const drainMs = 5000;

/** What it works with. */
export type ServingEngineOptions = {
  readonly cluster: Cluster;
  readonly plan: NodePlan;
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Takes requests at once; what they lead to follows in the background. */
export async function startServingEngine(options: ServingEngineOptions): Promise<{ stop(): Promise<void> }> {
  const { plan, client, informers, clock, logger } = options;
  const node = new NodeEngine({
    nodeName: plan.name,
    client,
    informers,
    listeners,
    addresses: [plan.address],
    httpPort: localPort,
    clock,
    logger,
  });
  const engine = new ProxyEngine({ clock, holds: new Map([[revisionHold, node.hold]]), drainMs });
  await listen(engine, options);
  const following = node.start(engine).catch((error: unknown) => logger.debug("Data plane ended early", { error }));
  return {
    async stop() {
      await node.stop();
      await following;
      await engine.stop();
    },
  };
}

async function listen(engine: ProxyEngine, { cluster, plan, logger }: ServingEngineOptions): Promise<void> {
  const set = async (name: string, host: string, port: number) => {
    const config = { name, address: { host, port } };
    const [problem] = await engine.apply([{ set: { kind: "listener", config } }]);
    return problem;
  };
  const problem = await set(listeners.local, plan.address, localPort);
  if (problem !== undefined) throw new Error(`pods cannot reach the data plane: ${problem.message}`);
  // A node with a network of its own is reached at its own address.
  const host = cluster.record.nodes > 1 ? plan.address : addressPlan(cluster.record).nodePortLoopback;
  for (const port of openPorts) {
    const taken = await set(listeners.open, host, port);
    if (taken === undefined) {
      logger.info("Took requests for Knative Services", { host, port });
      return;
    }
    logger.warn("Port for Knative Services is taken", { host, port, error: taken.message });
  }
}
