/**
 * `nodeless up`: makes the cluster's record, starts the control plane (which starts the nodes), and puts the context into the kubeconfig when all is ready.
 */
import { closeSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { UserError } from "#cli/command.ts";
import { checkKubeconfig, defaultKubeconfigPath } from "#cli/kubeconfig.ts";
import type { ClusterStatus, ProcessStatus, UpOptions } from "#cli/machine.ts";
import type { Stage, Terminal } from "#cli/terminal.ts";
import { freeAbandonedSlots } from "./abandoned-slots.ts";
import { checkBoot, installBootUnit } from "./boot.ts";
import {
  type Cluster,
  checkClusterName,
  checkNodeCount,
  describeCluster,
  ensureCluster,
  findCluster,
  inStage,
  isApiPortFree,
  type MachineContext,
  nodeNames,
  refuseOtherUser,
  refuseServing,
  underClusterLock,
} from "./clusters.ts";
import { hasEventing } from "./cluster-record.ts";
import { leaveKubeconfig, moveContext, writeContext } from "./context.ts";
import { missingTools } from "./doctor.ts";
import { stopCluster } from "./down.ts";
import { endProcesses } from "./end-processes.ts";
import { whenInterrupted } from "./interrupts.ts";
import { clusterLayout, controlPlaneSocket, nodeLayout } from "./layout.ts";
import { machineAddresses } from "./machine-addresses.ts";
import { nodePlan, searchPath } from "./node-plan.ts";
import { type ProcessSpec, startAndFollow } from "./processes.ts";
import { issuePermit, isPermitted, listPermitHolders, type RunPermit } from "./run-permit.ts";
import { tearDownCluster, tearDownNode } from "./teardown.ts";
import { askPeer, type PeerStatus, type StageMessage, watchPeer } from "./supervision.ts";

/** What `up` came to. */
export type UpResult = {
  readonly status: ClusterStatus;
  readonly alreadyRunning: boolean;
  readonly notes: readonly string[];
};

/** Brings a cluster up; a cluster that runs is left alone. */
export async function bringUp(context: MachineContext, given: UpOptions, terminal: Terminal): Promise<UpResult> {
  checkClusterName(given.name);
  const options = withAbsolutePaths(given);
  return await underClusterLock(context, { name: options.name, terminal }, async () => {
    const notes: string[] = [];
    const running = findCluster(context, options.name);
    if (!running) refuseOrphans(context, options.name);
    checkBefore(context, running, options);
    const peer = running && (await findControlPlane(running));
    if (running && peer) {
      const isWanted = isPermitted(running.layout);
      if (isWanted && !addsServing(running, options))
        return await joinRunning(context, { cluster: running, peer, options, terminal });
      if (isWanted) await endForServing(running, options, terminal);
      else await stopCluster(context, running, terminal); // a `down` was begun and not finished
    }
    refuseWithoutTools(context);
    if (running) notes.push(...(await removeSurplusNodes(context, running, options)));
    const cluster = await ensureAndStart(context, { options, notes, terminal });
    if (running && running.record.kubeconfig !== cluster.record.kubeconfig) leaveKubeconfig(running.record);
    notes.push(...limitsOf(cluster));
    if (!context.isRoot) notes.push(...(await limitsWithoutRoot()));
    return await completeUp(context, { cluster, options, notes, alreadyRunning: false });
  });
}

/** Refuses, while nothing is changed yet, what would only come out when the cluster runs. */
function checkBefore(context: MachineContext, known: Cluster | undefined, options: UpOptions): void {
  const { environment } = context;
  checkKubeconfig(options.kubeconfig ?? known?.record.kubeconfig ?? defaultKubeconfigPath(environment));
  if (options.boot) checkBoot(context);
}

type Completion = {
  readonly cluster: Cluster;
  readonly options: UpOptions;
  readonly notes: readonly string[];
  readonly alreadyRunning: boolean;
};

/** What there is to do when the cluster runs. Fails with a word that it does. */
async function completeUp(context: MachineContext, completion: Completion): Promise<UpResult> {
  const { cluster, options, notes, alreadyRunning } = completion;
  const { name } = cluster.record;
  try {
    const more = writeContext(cluster);
    if (options.boot) more.push(installBootUnit(context, name));
    return { status: await describeCluster(context, cluster), alreadyRunning, notes: [...notes, ...more] };
  } catch (cause) {
    if (!(cause instanceof UserError) && !("syscall" in (cause as Error))) throw cause;
    const next = `'nodeless up --name ${name}' does the rest, 'nodeless down --name ${name}' ends it`;
    throw new UserError(`cluster "${name}" runs, but: ${(cause as Error).message.replace(/\.$/, "")}. ${next}`, {
      cause,
    });
  }
}

type StartOptions = { readonly options: UpOptions; readonly notes: string[]; readonly terminal: Terminal };

/** Makes or reads the record and starts the cluster; once more with another port when somebody took the first one meanwhile. */
async function ensureAndStart(context: MachineContext, start: StartOptions): Promise<Cluster> {
  const { options, notes, terminal } = start;
  await freeAbandonedSlots(context, notes);
  for (let attempt = 1; ; attempt++) {
    const cluster = await ensureCluster(context, options, notes);
    try {
      const onInterrupt = async () => {
        if (options.foreground) return void (await stopCluster(context, cluster, terminal));
        terminal.warn(
          `Interrupted: cluster "${options.name}" goes on starting. 'nodeless up --name ${options.name}' waits for it, 'nodeless down --name ${options.name}' ends it.`,
        );
      };
      await whenInterrupted(onInterrupt, () => startCluster(context, cluster, terminal, options.timeoutSeconds));
      return cluster;
    } catch (error) {
      // One that is late has the port itself.
      if (error instanceof NotReadyInTime || attempt === 3 || (await isApiPortFree(cluster.record))) throw error;
    }
  }
}

/** Somebody may have removed the folder of a cluster while it was up. */
function refuseOrphans({ dataRoot, runRoot }: MachineContext, name: string): void {
  const layout = clusterLayout(name, join(dataRoot, "clusters", name), dataRoot, runRoot);
  const pids = listPermitHolders(layout);
  if (pids.length === 0) return;
  throw new UserError(
    `processes of a cluster "${name}" run (${pids.join(", ")}) whose data is gone. End them with 'nodeless delete --name ${name}'`,
  );
}

/** A machine that lacks something gets no half of a cluster. */
function refuseWithoutTools({ isRoot }: MachineContext): void {
  const missing = isRoot ? missingTools() : undefined;
  if (missing !== undefined) throw new UserError(missing);
}

/** What a cluster cannot do here, or does beyond this machine. */
function limitsOf({ record }: Cluster): string[] {
  if (!record.isExposed) return [];
  const places = machineAddresses().map((address) => `https://${address}:${record.apiPort}`);
  return [`Exposed: also at ${places.join(", ")}`];
}

async function limitsWithoutRoot(): Promise<string[]> {
  const { probeUserNamespaces } = await import("#runtime/rootless/user-namespaces.ts");
  const namespaces = await probeUserNamespaces(searchPath);
  return [
    "Without root: pods run as isolates only ('runtimeClassName: isolate'), CPU limits are not enforced.",
    ...("why" in namespaces ? [`Isolates have no namespaces of their own: ${namespaces.why}.`] : []),
  ];
}

/**
 * What nodes have left on the machine that the cluster will not have any more. Their objects, and their pods, go when the control plane starts. One node is in the machine's network and several are
 * in networks of their own, under other names: between these all nodes change.
 */
async function removeSurplusNodes(context: MachineContext, cluster: Cluster, options: UpOptions): Promise<string[]> {
  const { nodes: had } = cluster.record;
  const { nodes: wanted = had } = options;
  refuseOtherUser(context, cluster.record);
  if (wanted !== had) checkNodeCount(context, wanted);
  const isOtherNetwork = (had === 1) !== (wanted === 1);
  for (let index = isOtherNetwork ? 0 : wanted; index < had; index++) {
    await tearDownNode(context, cluster, index);
    rmSync(nodePlan(cluster, index).layout.data, { recursive: true, force: true });
  }
  if (isOtherNetwork) await tearDownCluster(context, cluster);
  if (!isOtherNetwork && wanted >= had) return [];
  const gone = isOtherNetwork ? nodeNames(cluster.record) : nodeNames(cluster.record).slice(wanted);
  return [
    `Removed ${gone.join(", ")}, with the pods there: those of Deployments and the like are made again elsewhere.`,
  ];
}

/** Processes of the cluster have another working folder. */
function withAbsolutePaths(options: UpOptions): UpOptions {
  const { dataFolder, kubeconfig } = options;
  return {
    ...options,
    ...(dataFolder === undefined ? {} : { dataFolder: resolve(dataFolder) }),
    ...(kubeconfig === undefined ? {} : { kubeconfig: resolve(kubeconfig) }),
  };
}

async function findControlPlane({ record, layout }: Cluster): Promise<PeerStatus | undefined> {
  try {
    return await askPeer(controlPlaneSocket(layout));
  } catch (cause) {
    throw new UserError(
      `cluster "${record.name}" hangs: ${(cause as Error).message}. End it with 'nodeless down --name ${record.name}'`,
      { cause },
    );
  }
}

function addsServing({ record }: Cluster, { serving }: UpOptions): boolean {
  return serving === true && record.hasServing !== true;
}

/** Ends the cluster's processes, so that they come back with Serving; pods run on. What else cannot be changed while it runs is refused. */
async function endForServing(cluster: Cluster, options: UpOptions, terminal: Terminal): Promise<void> {
  const { serving: _, ...others } = options;
  refuseChanges(cluster, others);
  refuseServing(options, cluster.record.isRootless ?? false);
  await inStage(terminal, "Restarting the cluster with Serving; pods run on", () =>
    endProcesses(cluster, "process").all(),
  );
}

type JoinOptions = {
  readonly cluster: Cluster;
  readonly peer: PeerStatus;
  readonly options: UpOptions;
  readonly terminal: Terminal;
};

/** Waits until a cluster that somebody else brings up is ready. What cannot be changed while it runs is refused. */
async function joinRunning(
  context: MachineContext,
  { cluster: found, peer, options, terminal }: JoinOptions,
): Promise<UpResult> {
  refuseChanges(found, options);
  const { kubeconfig = found.record.kubeconfig } = options;
  const cluster = kubeconfig === found.record.kubeconfig ? found : moveContext(found, kubeconfig);
  if (!peer.isReady) {
    const { timeoutSeconds } = options;
    const end = await untilReady(cluster, stagesOn(terminal), AbortSignal.timeout(timeoutSeconds * 1000));
    if (end === "late") throw await tooLate(context, cluster, timeoutSeconds);
  }
  return await completeUp(context, { cluster, options, notes: [], alreadyRunning: true });
}

function refuseChanges({ record, layout }: Cluster, options: UpOptions): void {
  const { name } = record;
  if (options.dataFolder !== undefined && options.dataFolder !== layout.folder)
    throw new UserError(`cluster "${name}" has its data in ${layout.folder}, and stays there: leave --data-dir out`);
  const wanted: Readonly<Record<string, boolean>> = {
    "--nodes": options.nodes !== undefined && options.nodes !== record.nodes,
    "--api-port": options.apiPort !== undefined && options.apiPort !== record.apiPort,
    "--expose": options.expose !== undefined && options.expose !== record.isExposed,
    "--serving": options.serving !== undefined && options.serving !== (record.hasServing ?? false),
    "--eventing": options.eventing !== undefined && options.eventing !== hasEventing(record),
  };
  const changed = Object.keys(wanted).filter((flag) => wanted[flag]);
  if (changed.length === 0) return;
  throw new UserError(
    `cluster "${record.name}" runs already, and not with this ${changed.join(", ")}: take it down first ('nodeless down --name ${record.name}'), and bring it up with it`,
  );
}

/** A start that takes longer leaves the user wondering. */
const slowStartMs = 30_000;

/** Starts the control plane of a cluster that is not running, and waits until it and its nodes are ready. */
export async function startCluster(
  context: MachineContext,
  cluster: Cluster,
  terminal: Terminal,
  timeoutSeconds = 300,
): Promise<void> {
  const limit = AbortSignal.timeout(timeoutSeconds * 1000);
  const show = stagesOn(terminal);
  const hint = setTimeout(
    () => terminal.warn(`Not ready after ${slowStartMs / 1000} s; the logs are in ${cluster.layout.logs}`),
    slowStartMs,
  );
  const { name } = cluster.record;
  const wasAlone = listPermitHolders(cluster.layout).length === 0;
  const permit = issuePermit(cluster.layout);
  try {
    const outcome = await startAndFollow(controlPlaneProcess(context, cluster, permit), show, limit);
    if (outcome.ok) return;
    // A node that lived on may have been quicker; ours has ended then, and that one is as good.
    const end = outcome.isLate ? "late" : await untilReady(cluster, show, limit);
    if (end === "ready") return;
    if (end === "late") throw await tooLate(context, cluster, timeoutSeconds);
    const wasTakenDown = !permit.isValid();
    // What it had started already would be left alone; containers that ran before run on.
    if (wasAlone) await endProcesses(cluster, "process").all();
    if (wasTakenDown) throw new UserError(`cluster "${name}" was taken down by another command while it was starting`);
    const rest = wasAlone ? "" : `\nWhat ran of it before runs on: 'nodeless status --name ${name}' shows it`;
    throw new UserError(`cluster "${name}" did not start: ${outcome.why}${rest}`);
  } finally {
    clearTimeout(hint);
    closeSync(permit.descriptor);
  }
}

function stagesOn(terminal: Terminal): (message: StageMessage) => void {
  const stages = new Map<string, Stage>();
  return (message) => {
    if (message.state === "begin") return void stages.set(message.stage, terminal.stage(message.stage));
    // What failed may be no stage of its own, and ends those that are under way: on a terminal their line is still open.
    const ending = message.state === "done" ? [message.stage] : [...stages.keys()];
    for (const title of ending) {
      if (message.state === "done") stages.get(title)?.done(message.detail);
      else stages.get(title)?.failed();
      stages.delete(title);
    }
  };
}

/** Follows a control plane that is there already. "ended": none is, or it ends before it is ready; "late": the signal aborted before. */
async function untilReady(
  { layout }: Cluster,
  onStage: (message: StageMessage) => void,
  signal: AbortSignal,
): Promise<"ready" | "ended" | "late"> {
  const { promise, resolve } = Promise.withResolvers<"ready" | "ended" | "late">();
  const giveUp = () => resolve("late");
  signal.addEventListener("abort", giveUp, { once: true });
  if (signal.aborted) giveUp();
  const peer = await watchPeer(controlPlaneSocket(layout), {
    onStage,
    onReady: () => resolve("ready"),
    onEnd: () => resolve("ended"),
  });
  if (!peer) return "ended";
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", giveUp);
    peer.leave();
  }
}

/** The start goes on, but was waited for long enough. */
class NotReadyInTime extends UserError {}

/** What is not ready yet, and where it says why. */
async function tooLate(context: MachineContext, cluster: Cluster, timeoutSeconds: number): Promise<NotReadyInTime> {
  const { record, layout } = cluster;
  const { processes } = await describeCluster(context, cluster);
  // Nobody waits for eventing.
  const late = processes.filter(({ role, isReady }) => role !== "eventing" && !isReady);
  // The control plane is ready when its nodes are.
  const awaited = late.some(({ role }) => role === "node") ? late.filter(isItself) : late;
  const lines = awaited.map((process) => {
    const { role, name, pid, isSilent } = process;
    const how = isSilent ? "does not answer" : pid === undefined ? "does not run" : `is starting (pid ${pid})`;
    const log = role === "node" ? nodeLayout(layout, name).log : controlPlaneLog(cluster);
    return `  ${role === "node" ? `node ${name}` : "the control plane"} ${how}; its log is ${log}`;
  });
  return new NotReadyInTime(
    [
      `cluster "${record.name}" is not ready after ${timeoutSeconds} s:`,
      ...lines,
      `It goes on starting: 'nodeless up --name ${record.name}' waits again, 'nodeless down --name ${record.name}' ends it`,
    ].join("\n"),
  );
}

/** Not one that only waits for others. */
function isItself({ role, pid, isSilent }: ProcessStatus): boolean {
  return role === "node" || isSilent || pid === undefined;
}

/** How the control plane of a cluster is started. */
export function controlPlaneProcess(
  context: MachineContext,
  { record, layout }: Cluster,
  permit: RunPermit | undefined,
): ProcessSpec {
  const args = ["--name", record.name, "--data-root", context.dataRoot, "--run-root", context.runRoot];
  return { entry: "control-plane", args, logFile: controlPlaneLog({ layout }), permit };
}

function controlPlaneLog({ layout }: Pick<Cluster, "layout">): string {
  return join(layout.logs, "control-plane.log");
}
