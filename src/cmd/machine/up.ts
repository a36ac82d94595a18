/**
 * `nodeless up`: makes the cluster's record, starts the control plane (which starts the nodes), and puts the context into the kubeconfig when all is ready.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "#cli/command.ts";
import { mergeKubeconfig } from "#cli/kubeconfig.ts";
import type { ClusterStatus, UpOptions } from "#cli/machine.ts";
import type { Stage, Terminal } from "#cli/terminal.ts";
import { installBootUnit } from "./boot.ts";
import {
  type Cluster,
  contextName,
  describeCluster,
  ensureCluster,
  findCluster,
  type MachineContext,
} from "./clusters.ts";
import { controlPlaneSocket } from "./layout.ts";
import { type ProcessSpec, startAndFollow } from "./processes.ts";
import { askPeer, type StageMessage } from "./supervision.ts";

/** What `up` came to. */
export type UpResult = {
  readonly status: ClusterStatus;
  readonly alreadyRunning: boolean;
  readonly notes: readonly string[];
};

/** Brings a cluster up; a cluster that runs is left alone. */
export async function bringUp(context: MachineContext, options: UpOptions, terminal: Terminal): Promise<UpResult> {
  const notes: string[] = [];
  const running = findCluster(context, options.name);
  if (running && (await askPeer(controlPlaneSocket(running.layout)))) {
    return { status: await describeCluster(running), alreadyRunning: true, notes };
  }
  const cluster = await ensureCluster(context, options, notes);
  await startCluster(context, cluster, terminal);
  const { isCurrent } = writeContext(cluster);
  if (!isCurrent)
    notes.push(`The current kubectl context was left as it is; use --context ${contextName(cluster.record.name)}.`);
  if (options.boot) notes.push(installBootUnit(cluster.record.name));
  return { status: await describeCluster(cluster), alreadyRunning: false, notes };
}

/** Starts the control plane of a cluster that is not running, and waits until it and its nodes are ready. */
export async function startCluster(context: MachineContext, cluster: Cluster, terminal: Terminal): Promise<void> {
  const stages = new Map<string, Stage>();
  const show = (message: StageMessage) => {
    if (message.state === "begin") stages.set(message.stage, terminal.stage(message.stage));
    else if (message.state === "done") stages.get(message.stage)?.done(message.detail);
    else stages.get(message.stage)?.failed();
  };
  const outcome = await startAndFollow(controlPlaneProcess(context, cluster), show);
  if (!outcome.ok) throw new UserError(`cluster "${cluster.record.name}" did not start: ${outcome.why}`);
}

/** How the control plane of a cluster is started. */
export function controlPlaneProcess(context: MachineContext, { record, layout }: Cluster): ProcessSpec {
  const args = ["--name", record.name, "--data-root", context.dataRoot, "--run-root", context.runRoot];
  return { entry: "control-plane", args, logFile: join(layout.logs, "control-plane.log") };
}

function writeContext({ record, layout }: Cluster): { readonly isCurrent: boolean } {
  const read = (file: string) => readFileSync(join(layout.pki, file), "utf8");
  return mergeKubeconfig(record.kubeconfig, {
    name: contextName(record.name),
    server: `https://127.0.0.1:${record.apiPort}`,
    certificateAuthority: read("ca.crt"),
    clientCertificate: read("admin.crt"),
    clientKey: read("admin.key"),
  });
}
