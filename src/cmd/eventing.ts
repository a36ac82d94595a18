/**
 * The process that keeps and delivers a cluster's events. Started with the first object of Knative Eventing's; outlives the control plane, and goes on with what it knew last while that is away.
 */
import { systemClock } from "#component-base/clock.ts";
import { EventingAgent } from "./eventing/eventing-agent.ts";
import { runClusterProcess } from "./machine/cluster-process.ts";
import { eventingLayout } from "./machine/layout.ts";
import { enterClusterCgroup } from "./machine/own-cgroup.ts";
import { processArguments } from "./machine/process-arguments.ts";

const { context, cluster } = processArguments(process);
const { name } = cluster.record;
process.title = `nodeless eventing ${name}`;
const { socket } = eventingLayout(cluster.layout);

await runClusterProcess({ role: "eventing", name, socket, title: "Eventing" }, (parts) => {
  void enterClusterCgroup(context, cluster, parts.logger); // never rejects
  return new EventingAgent({ cluster, environment: context.environment, clock: systemClock, logger: parts.logger });
});
