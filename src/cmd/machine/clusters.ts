/**
 * The clusters of this machine as they are on disk: finding them, making a new one's record, saying how one is.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Terminal } from "#cli/terminal.ts";
import { UserError } from "#cli/command.ts";
import { defaultKubeconfigPath } from "#cli/kubeconfig.ts";
import type { BrokenCluster, ClusterStatus, ProcessStatus, UpOptions } from "#cli/machine.ts";
import { addressPlan, chooseSlot, maxNodes, nodeAddresses, nodeName } from "./address-plan.ts";
import {
  type ClusterRecord,
  clusterFolder,
  currentFormat,
  findClusterFolders,
  readClusterRecord,
  writeClusterRecord,
} from "./cluster-record.ts";
import { type ClusterLayout, clusterLayout, controlPlaneSocket, eventingLayout, nodeLayout } from "./layout.ts";
import { announcedHosts } from "#images/registry/hosts.ts";
import { lockFile } from "#linux/file-lock.ts";
import { findFreePort, isPortFree } from "./ports.ts";
import { askPeer, PeerSilent } from "./supervision.ts";
import { claimedSlots, claimsFolder, claimSlot, kubeletPort } from "./slot-claim.ts";
import { kubernetesVersion, nodelessVersion } from "./version.ts";

/** Where everything of this machine is, and who asks. */
export type MachineContext = {
  readonly dataRoot: string;
  readonly runRoot: string;
  readonly isRoot: boolean;
  readonly environment: NodeJS.ProcessEnv;
};

/** A cluster that exists. */
export type Cluster = { readonly record: ClusterRecord; readonly layout: ClusterLayout };

/** The cluster, or undefined when there is none of this name. */
export function findCluster(context: MachineContext, name: string): Cluster | undefined {
  const folder = findClusterFolders(context.dataRoot).get(name);
  const record = folder === undefined ? undefined : readClusterRecord(folder, name);
  if (folder === undefined || record === undefined) return undefined;
  return { record, layout: clusterLayout(name, folder, context.dataRoot, context.runRoot) };
}

/** The cluster. Throws UserError when there is none. */
export function getCluster(context: MachineContext, name: string): Cluster {
  const cluster = findCluster(context, name);
  if (cluster) return cluster;
  const others = [...findClusterFolders(context.dataRoot)]
    .filter(([, folder]) => existsSync(join(folder, "cluster.json")))
    .map(([other]) => other);
  const hint = others.length === 0 ? "no cluster exists; 'nodeless up' makes one" : `there is ${others.join(", ")}`;
  throw new UserError(`no cluster "${name}": ${hint}`);
}

/** All clusters of the data root; those whose record cannot be read with the reason. */
export async function listClusters(context: MachineContext): Promise<readonly (ClusterStatus | BrokenCluster)[]> {
  const folders = [...findClusterFolders(context.dataRoot)];
  const found = await Promise.all(
    folders.map(async ([name, dataFolder]) => {
      try {
        const cluster = findCluster(context, name);
        return cluster && (await describeCluster(context, cluster));
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        return { name, dataFolder, trouble: error.message };
      }
    }),
  );
  return found.filter((one) => one !== undefined);
}

/** Name of the kubeconfig context: "nodeless" for the default cluster. */
export function contextName(cluster: string): string {
  return cluster === "default" ? "nodeless" : `nodeless-${cluster}`;
}

/** The record for `up`: the old one with what the options change, or a new one with a slot and a port of its own. Written to disk. */
export async function ensureCluster(context: MachineContext, options: UpOptions, notes: string[]): Promise<Cluster> {
  checkNodeCount(context, options.nodes ?? 1);
  return await underMachineLock(context, async () => {
    const folder = clusterFolder(context.dataRoot, options.name, options.dataFolder);
    const layout = clusterLayout(options.name, folder, context.dataRoot, context.runRoot);
    const old = readClusterRecord(folder, options.name);
    const others = readOthers(context, options.name, notes);
    if (old) refuseOtherUser(context, old);
    const record = old === undefined ? await newRecord(context, options, others) : changedRecord(old, options);
    const apiPort = await freeApiPort(record, others);
    if (apiPort !== record.apiPort) notes.push(sayMoved(record.apiPort, apiPort, old));
    const final = { ...record, apiPort };
    if (JSON.stringify(final) !== JSON.stringify(old)) writeClusterRecord(folder, final);
    const cluster = { record: final, layout };
    if (old === undefined) await claimSlot(cluster);
    return cluster;
  });
}

/** Throws UserError for a name that no cluster can have. */
export function checkClusterName(name: string): void {
  if (/^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/.test(name)) return;
  throw new UserError(`"${name}" cannot name a cluster: use up to 32 lower-case letters, digits and dashes`, {
    exitCode: 2,
  });
}

/** Throws UserError for more nodes than can be had here. */
export function checkNodeCount({ isRoot }: MachineContext, nodes: number): void {
  if (nodes > maxNodes) throw new UserError(`--nodes may be ${maxNodes} at most`, { exitCode: 2 });
  if (!isRoot && nodes > 1)
    throw new UserError(
      "a cluster without root has one node: several need networks of their own. Leave --nodes out, or use sudo",
    );
}

/** Records of the other clusters, those that can be read. */
function readOthers({ dataRoot }: MachineContext, name: string, notes: string[]): readonly ClusterRecord[] {
  const others = [...findClusterFolders(dataRoot)].filter(([other]) => other !== name);
  return others.flatMap(([other, folder]) => {
    try {
      return readClusterRecord(folder, other) ?? [];
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      notes.push(`Cluster "${other}" was not looked at: ${error.message}.`);
      return [];
    }
  });
}

/** Root and others live on different addresses, and cannot use each other's files. */
export function refuseOtherUser({ isRoot }: MachineContext, { name, isRootless = false }: ClusterRecord): void {
  if (isRoot !== isRootless) return;
  const [made, now] = isRootless ? ["without root", "without sudo"] : ["with root", "with sudo"];
  throw new UserError(
    `cluster "${name}" was made ${made}: use it ${now}, or remove it with 'nodeless delete --name ${name}'`,
  );
}

async function newRecord(
  context: MachineContext,
  options: UpOptions,
  others: readonly ClusterRecord[],
): Promise<ClusterRecord> {
  const isRootless = !context.isRoot;
  refuseServing(options, isRootless);
  const taken = new Set([...others.map(({ slot }) => slot), ...claimedSlots()]);
  const slot = isRootless ? await chooseFreeSlot(taken) : chooseSlot(taken, routesOfMachine());
  if (slot === undefined)
    throw new UserError(
      "no address range is left for another cluster: delete one that is not needed ('nodeless list')",
    );
  return {
    formatVersion: currentFormat,
    name: options.name,
    slot,
    nodes: options.nodes ?? 1,
    apiPort: options.apiPort ?? 6443,
    kubeconfig: resolve(options.kubeconfig ?? defaultKubeconfigPath(context.environment)),
    isExposed: options.expose ?? false,
    ...(isRootless ? { isRootless } : {}),
    hasServing: options.serving ?? !isRootless,
    hasEventing: options.eventing ?? !isRootless,
    createdBy: nodelessVersion,
    createdAt: new Date().toISOString(),
  };
}

/** Their Services lead to a data plane at the node's address: a loopback address stands in no EndpointSlice. Throws UserError. */
export function refuseServing({ serving = false, eventing = false }: UpOptions, isRootless: boolean): void {
  if (serving && isRootless) throw new UserError("--serving needs root for now: use sudo, or leave it out");
  if (eventing && isRootless) throw new UserError("--eventing needs root for now: use sudo, or leave it out");
}

/** One whose addresses nobody listens at, whether or not he has claimed them. */
async function chooseFreeSlot(taken: ReadonlySet<number>): Promise<number | undefined> {
  const tried = new Set(taken);
  for (;;) {
    const slot = chooseSlot(tried, []);
    if (slot === undefined) return undefined;
    const { address } = nodeAddresses({ slot, isRootless: true }, 0);
    if (await isPortFree(kubeletPort, address)) return slot;
    tried.add(slot);
  }
}

function changedRecord(old: ClusterRecord, options: UpOptions): ClusterRecord {
  refuseServing(options, old.isRootless ?? false);
  return {
    ...old,
    ...(options.nodes === undefined ? {} : { nodes: options.nodes }),
    ...(options.apiPort === undefined ? {} : { apiPort: options.apiPort }),
    ...(options.kubeconfig === undefined ? {} : { kubeconfig: options.kubeconfig }),
    ...(options.expose === undefined ? {} : { isExposed: options.expose }),
    ...(options.serving === undefined ? {} : { hasServing: options.serving }),
    ...(options.eventing === undefined ? {} : { hasEventing: options.eventing }),
  };
}

async function freeApiPort(record: ClusterRecord, others: readonly ClusterRecord[]): Promise<number> {
  const taken = new Set(others.map(({ apiPort }) => apiPort));
  return await findFreePort(record.apiPort, { avoid: taken, host: record.isExposed ? "0.0.0.0" : "127.0.0.1" });
}

/** Those who know a cluster by its port have to hear that it is elsewhere. */
function sayMoved(wanted: number, port: number, old: ClusterRecord | undefined): string {
  if (old?.apiPort !== wanted) return `Port ${wanted} is taken; the API server is at port ${port}.`;
  const copies = `${old.kubeconfig} is renewed, copies of it have to be: they lead to whoever listens at ${wanted} now`;
  return `Warning: another program has port ${wanted}, where the API server was: it is at port ${port} from now on. ${copies}.`;
}

/** False when somebody took the port since it was chosen. */
export async function isApiPortFree({ apiPort, isExposed }: ClusterRecord): Promise<boolean> {
  return (await findFreePort(apiPort, { host: isExposed ? "0.0.0.0" : "127.0.0.1" })) === apiPort;
}

function routesOfMachine(): string[] {
  const { stdout } = spawnSync("ip", ["-4", "-o", "route", "show", "table", "all"], { encoding: "utf8" });
  return (stdout ?? "").split("\n").map((line) => line.replace(/^(local|broadcast|unicast) /, "").split(" ")[0] ?? "");
}

/** Names of the cluster's nodes. */
export function nodeNames({ name, nodes }: Pick<ClusterRecord, "name" | "nodes">): string[] {
  return Array.from({ length: nodes }, (_, index) => nodeName(name, nodes, index));
}

/** How the cluster is, asked from its processes. */
export async function describeCluster(_context: MachineContext, { record, layout }: Cluster): Promise<ClusterStatus> {
  const controlPlane = await processStatus("control-plane", record.name, controlPlaneSocket(layout));
  const nodes = await Promise.all(
    nodeNames(record).map((name) => processStatus("node", name, nodeLayout(layout, name).socket)),
  );
  const eventing = await processStatus("eventing", record.name, eventingLayout(layout).socket);
  // It is there once there is something to deliver.
  const isEventing = eventing.pid !== undefined || eventing.isSilent;
  const processes = [controlPlane, ...nodes, ...(isEventing ? [eventing] : [])];
  const plan = addressPlan(record);
  const registry = (await announcedHosts(layout.images, record.name))?.address;
  return {
    name: record.name,
    isRunning: controlPlane.pid !== undefined || controlPlane.isSilent,
    isReady: processes.every(({ isReady }) => isReady),
    hasServing: record.hasServing === true,
    version: nodelessVersion,
    kubernetesVersion,
    context: contextName(record.name),
    kubeconfig: record.kubeconfig,
    dataFolder: layout.folder,
    apiServer: `https://127.0.0.1:${record.apiPort}`,
    ports: { api: record.apiPort },
    ...(registry !== undefined && { registry }),
    addresses: {
      controlPlane: plan.controlPlane,
      nodePorts: plan.nodePortLoopback,
      podRange: plan.podRange,
      serviceRange: plan.serviceRange,
    },
    processes,
  };
}

async function processStatus(role: ProcessStatus["role"], name: string, socket: string): Promise<ProcessStatus> {
  try {
    const peer = await askPeer(socket);
    const listening = (peer?.listening?.length ?? 0) > 0 ? { listening: peer?.listening ?? [] } : {};
    return { role, name, pid: peer?.pid, isReady: peer?.isReady ?? false, isSilent: false, ...listening };
  } catch (error) {
    if (!(error instanceof PeerSilent)) throw error;
    return { role, name, pid: undefined, isReady: false, isSilent: true };
  }
}

/** One `up` at a time chooses slots and ports. Root's are the machine's, whatever the data root. */
export async function underMachineLock<T>({ dataRoot, isRoot }: MachineContext, work: () => Promise<T>): Promise<T> {
  mkdirSync(dataRoot, { recursive: true, mode: 0o711 });
  const lock = await lockFile(join(isRoot ? claimsFolder : dataRoot, "lock"));
  try {
    return await work();
  } finally {
    lock.release();
  }
}

/** One command at a time brings a cluster up, down or away; the others wait, and say for whom. */
export async function underClusterLock<T>(
  { runRoot }: MachineContext,
  { name, terminal }: { readonly name: string; readonly terminal: Terminal },
  work: () => Promise<T>,
): Promise<T> {
  const onWait = (holder: number | undefined) =>
    terminal.warn(
      `Waiting for another nodeless command on cluster "${name}"${holder === undefined ? "" : ` (pid ${holder})`}`,
    );
  const lock = await lockFile(join(runRoot, `${name}.lock`), { onWait });
  try {
    return await work();
  } finally {
    lock.release();
  }
}

/** Ends an open stage when `work` does. */
export async function inStage<T>(terminal: Terminal, title: string, work: () => Promise<T>): Promise<T> {
  const stage = terminal.stage(title);
  try {
    const result = await work();
    stage.done();
    return result;
  } catch (error) {
    stage.failed();
    throw error;
  }
}
