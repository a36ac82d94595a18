/**
 * Sockets that outlive the process which answers on them: a small process beside it holds them open, so that while nobody answers the kernel keeps questions and connections
 * waiting instead of refusing them. Whoever comes next takes duplicates of the same sockets and finds what waits.
 */
import { spawn } from "node:child_process";
import { closeSync, readdirSync, readFileSync } from "node:fs";
import { type Libc, SystemCallError } from "./libc.ts";
import { identifyProcess, signalProcess } from "./processes.ts";

/** Where to listen. `name` tells the holders of a machine apart. */
export type HeldSocketsOptions = { readonly name: string; readonly address: string; readonly port: number };

/** Descriptors of this process, bound to the address; the TCP one listens. */
export type HeldSockets = { readonly udp: number; readonly tcp: number };

/** Where connections may be taken: the first of the ports that can be had. `name` tells the holders of a machine apart; one below another, `A/B`, is released with it. */
export type HeldListenerOptions = {
  readonly name: string;
  readonly address: string;
  readonly ports: readonly number[];
};

/** A descriptor of this process that listens, and its port. */
export type HeldListener = { readonly fileDescriptor: number; readonly port: number };

/** Descriptors of the holder. */
const heldUdp = 3;
const heldTcp = 4;
/** Of a holder of a listener alone. */
const heldListener = 3;

/** How long a killed holder is waited for. */
const longestEndMs = 200;

/** How much may wait in the UDP socket, in bytes. The kernel counts 768 for a question; its own default is full after 277. */
const waitingBytes = 4 << 20;

/** The sockets of this name: those that are held already, else new ones with a new holder. Throws SystemCallError when the address cannot be had. */
export function openHeldSockets(libc: Libc, options: HeldSocketsOptions): HeldSockets {
  const sockets = findOrHold(libc, options);
  libc.growReceiveBuffer(sockets.udp, waitingBytes);
  return sockets;
}

/**
 * The listener of this name at this address: the one that is held already, whatever port it has, else a new one at the first port that nobody has and we may have. Undefined when there is none.
 * Throws SystemCallError when the address is not there.
 */
export function openHeldListener(libc: Libc, options: HeldListenerOptions): HeldListener | undefined {
  const place = `${options.name} ${options.address}:`;
  for (const [pid, command] of commandsStarting(titleOf(place))) {
    const port = Number.parseInt(command.slice(titleOf(place).length), 10);
    try {
      return { fileDescriptor: libc.duplicateFrom(pid, heldListener), port };
    } catch {
      endHolder(pid);
      awaitEnd(pid);
    }
  }
  for (const port of options.ports) {
    const fileDescriptor = tryListen(libc, options.address, port);
    if (fileDescriptor === undefined) continue;
    startHolder(titleOf(`${place}${port}`), [fileDescriptor]);
    return { fileDescriptor, port };
  }
  return undefined;
}

/** Undefined when somebody else has the port, or when it is only for the privileged. */
function tryListen(libc: Libc, address: string, port: number): number | undefined {
  try {
    return libc.bindSocket("tcp", address, port, true);
  } catch (error) {
    if (error instanceof SystemCallError && (error.code === "EADDRINUSE" || error.code === "EACCES")) return undefined;
    throw error;
  }
}

function findOrHold(libc: Libc, options: HeldSocketsOptions): HeldSockets {
  try {
    // Without sharing the address: whether a holder has it shows in the failure, and all of /proc need not be read.
    return hold(libc, options, false);
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.code !== "EADDRINUSE") throw error;
  }
  for (const pid of findHolders(options.name)) {
    try {
      return { udp: libc.duplicateFrom(pid, heldUdp), tcp: libc.duplicateFrom(pid, heldTcp) };
    } catch {
      endHolder(pid); // half-made, or this machine lets nobody look into processes
    }
  }
  // Somebody else has the port at all addresses; a socket of this very address takes precedence over it.
  return hold(libc, options, true);
}

/** Ends the holders of this name and of those below it. None is success. */
export function releaseHeldSockets(name: string): void {
  for (const pid of findHolders(name)) endHolder(pid);
  for (const [pid] of commandsStarting(`${titleOf(name)}/`)) endHolder(pid);
}

/** Ends the holders of the listeners of this name, at all addresses. Their ports are free when it returns: who wants them again in the same moment must not find them taken. */
export function releaseHeldListeners(name: string): void {
  const pids = commandsStarting(`${titleOf(name)} `).map(([pid]) => pid);
  for (const pid of pids) endHolder(pid);
  for (const pid of pids) awaitEnd(pid);
}

function hold(libc: Libc, { name, address, port }: HeldSocketsOptions, shared: boolean): HeldSockets {
  const udp = libc.bindSocket("udp", address, port, shared);
  let tcp: number;
  try {
    tcp = libc.bindSocket("tcp", address, port, true); // closed connections of before must not be in the way
  } catch (error) {
    closeSync(udp);
    throw error;
  }
  startHolder(titleOf(name), [udp, tcp]);
  return { udp, tcp };
}

function startHolder(title: string, descriptors: readonly number[]): void {
  spawn("sleep", ["infinity"], {
    argv0: title,
    detached: true,
    cwd: "/",
    env: {},
    stdio: ["ignore", "ignore", "ignore", ...descriptors],
  })
    .on("error", () => {}) // nobody holds them then: what is asked while this process is away is refused
    .unref();
}

function titleOf(name: string): string {
  return `nodeless sockets ${name}`;
}

function findHolders(name: string): number[] {
  return commandsStarting(`${titleOf(name)}\0`).map(([pid]) => pid);
}

/** Processes whose command begins so. */
function commandsStarting(start: string): (readonly [pid: number, command: string])[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0)
    .map((pid) => [pid, readCommand(pid)] as const)
    .filter(([, command]) => command.startsWith(start));
}

function readCommand(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return ""; // gone
  }
}

function endHolder(pid: number): void {
  const identity = identifyProcess(pid);
  if (identity) signalProcess(identity, "SIGKILL");
}

/** A killed process has its descriptors for a moment longer, and none once it is a zombie. */
function awaitEnd(pid: number): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let ms = 0; ms < longestEndMs && isAlive(pid); ms++) Atomics.wait(pause, 0, 0, 1);
}

function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat[stat.lastIndexOf(")") + 2] !== "Z";
  } catch {
    return false;
  }
}
