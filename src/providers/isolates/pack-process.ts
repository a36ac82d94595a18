/**
 * The process of a pack: one workerd in a cage, with a listening socket in the network of each of its places. It is made before anybody needs it, made again in the same places when it
 * has died, and taken over by the next agent.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, mkdirSync, readdirSync, readlinkSync, truncateSync } from "node:fs";
import { join } from "node:path";
import type { PodRef } from "#kubelet/provider.ts";
import type { ContainerSettings } from "#runtime/settings.ts";
import { RuntimeFailure } from "#runtime/settings.ts";
import { type CageParts, cageSettings } from "./cage.ts";
import { Control } from "./control.ts";
import { packLoader, placesOfPack } from "./pack-loader.ts";

/** A place for one pod: a sandbox of its own with nothing in it but a socket. It serves one pod and is gone with it. */
export type Place = {
  readonly sandboxId: string;
  readonly pod?: PodRef;
  /** Number of the process's listening socket, as the kernel counts: descriptors may have others in the process. */
  readonly socket?: number;
  /** Where it listens. */
  readonly port?: number | undefined;
  /** Its pod has gone. */
  readonly isSpent?: boolean;
};

/** What is kept on disk of a pack. */
export type PackRecord = {
  /** Of the sandbox in which the process is. */
  readonly id: string;
  /** Whose pods it takes: namespace and service account. Undefined: it waits. */
  readonly owner?: string;
  /** Text of /etc/resolv.conf, of all its pods. */
  readonly resolver?: string;
  readonly containerId: string;
  readonly controlPath: string;
  readonly places: readonly Place[];
};

/** A running process. Descriptors are this agent's own copies; where one could not be had, the place takes no more pods. */
export type PackProcess = {
  readonly containerId: string;
  readonly control: Control;
  readonly listeners: readonly (number | undefined)[];
};

const startPatienceMs = 30_000;
/** One that was just started: where it is spoken to, and the numbers of its sockets. */
export type StartedProcess = PackProcess & { readonly controlPath: string; readonly sockets: readonly number[] };

/** A sandbox for the process and one for each place. Nothing runs in them yet. Throws {@link RuntimeFailure}. */
export async function makeGround(parts: CageParts, cgroupParent: string): Promise<Pick<PackRecord, "id" | "places">> {
  const { sandboxes } = parts.engine;
  const id = `pack-${randomBytes(8).toString("hex")}`;
  const places = Array.from({ length: placesOfPack }, (_, place) => ({ sandboxId: `${id}-${place}` }));
  const settings = (sandboxId: string) => ({
    id: sandboxId,
    hostname: "isolate",
    sysctls: {},
    hostNetwork: false,
    hostPid: false,
    // Nobody shares memory in a place: without, there is less to make.
    hostIpc: sandboxId !== id,
    sharedPid: false,
    cgroupPath: `${cgroupParent}/${sandboxId}`,
    limits: {},
    attachment: undefined,
  });
  await sandboxes.ensure(settings(id));
  for (const { sandboxId } of places) await sandboxes.ensure(settings(sandboxId));
  mkdirSync(logFolder(parts, id), { mode: 0o700 });
  return { id, places };
}

/** Where the process writes. */
export function packLogPath(parts: CageParts, id: string): string {
  return join(logFolder(parts, id), "0.log");
}

/** Starts the process. Spent places have no network: it listens for nobody there. Throws {@link RuntimeFailure}; nothing is left behind then. */
export async function startProcess(
  parts: CageParts,
  { id, places }: Pick<PackRecord, "id" | "places">,
): Promise<StartedProcess> {
  const { engine, listeners, controlFolder } = parts;
  const controlPath = join(controlFolder, randomBytes(6).toString("hex"));
  const control = listeners.listenAtPath(controlPath);
  const open: number[] = [];
  try {
    for (const place of places) open.push(listenIn(parts, place.isSpent ? id : place.sandboxId));
    const signal = AbortSignal.timeout(startPatienceMs);
    const { id: containerId } = await engine.containers.start(settingsOf(parts, id), signal, [control, ...open]);
    const channel = new Control(controlPath, { isShared: true });
    await channel.waitUntilReady(signal);
    truncateSync(packLogPath(parts, id));
    return {
      containerId,
      control: channel,
      listeners: open,
      controlPath,
      sockets: open.map((fd) => fstatSync(fd).ino),
    };
  } catch (error) {
    for (const fd of open) closeSync(fd);
    throw error;
  } finally {
    closeSync(control);
  }
}

/** A process that ran when the agent started: its sockets are taken from it. */
export function adoptProcess({ engine }: CageParts, record: PackRecord): PackProcess {
  const { pid } = engine.containers.runningProcess(record.containerId);
  const descriptors = socketsOf(pid);
  const listeners = record.places.map(({ socket, isSpent }) => {
    const descriptor = isSpent ? undefined : descriptors.get(socket);
    if (descriptor === undefined) return undefined;
    try {
      return engine.libc.duplicateFrom(pid, descriptor);
    } catch {
      return undefined; // this machine lets nobody look into processes
    }
  });
  return { containerId: record.containerId, control: new Control(record.controlPath, { isShared: true }), listeners };
}

/** Descriptors of a process by the numbers of the sockets behind them. */
export function socketsOf(pid: number): ReadonlyMap<number | undefined, number> {
  const folder = `/proc/${pid}/fd`;
  return new Map(
    readdirSync(folder).flatMap((name) => {
      const socket = /^socket:\[(\d+)\]$/.exec(linkAt(join(folder, name)))?.[1];
      return socket === undefined ? [] : [[Number(socket), Number(name)] as const];
    }),
  );
}

/** Descriptors come and go while one looks. */
function linkAt(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function listenIn({ engine, listeners }: CageParts, sandboxId: string): number {
  const sandbox = engine.sandboxes.find(sandboxId);
  if (!sandbox) throw new RuntimeFailure("create", `there is no sandbox ${sandboxId}`);
  const { listen } = engine.ownAddress(sandbox);
  return engine.networks.insideNetwork(sandbox.namespaces.key, () => listeners.listenAnywhere(listen));
}

function settingsOf(parts: CageParts, id: string): ContainerSettings {
  const address = parts.engine.sandboxes.find(id)?.namespaces.address ?? "0.0.0.0";
  const settings = cageSettings(parts, id, address, "pack", packLogPath(parts, id));
  const inherited = packLoader.sockets.map(({ name }, index) => `--socket-fd=${name}=${3 + index}`);
  const [serve = "", ...rest] = settings.args.filter((argument) => !argument.startsWith("--socket-fd="));
  return { ...settings, args: [serve, ...inherited, ...rest] };
}

function logFolder(parts: CageParts, id: string): string {
  return join(parts.engine.sandboxes.folder(id), "logs");
}
