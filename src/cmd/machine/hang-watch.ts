/**
 * Notices a process that lives and does nothing any more: stopped by a signal, its event loop stuck or asleep for good. Every few seconds it is asked over its socket who it is; one that
 * owes the answer for too long is killed, and whoever watches over it sees a death and starts it again.
 *
 * A machine that slept, or has too much to do, must not cost a process its life. So it is not the clock that decides but what the other did with its time: how long it was stopped or
 * slept without using the processor at all, which counts only in turns to which this process itself came in time; and the processor time that it did get without coming round to an
 * answer. A process that waits for a processor, for a disk or under a debugger owes nothing.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import {
  identifyProcess,
  type ProcessActivity,
  type ProcessIdentity,
  readActivity,
  signalProcess,
} from "#linux/processes.ts";
import { type Probe, probePeer } from "./supervision.ts";

/** Whom to watch, and for how long silence is borne. */
export type HangWatchOptions = {
  /** Where the process answers. */
  readonly socket: string;
  /** In ms; 0 means for ever. See {@link hangPatienceMs}. */
  readonly patienceMs: number;
  /** Asked before a process is killed. */
  readonly isWanted: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default: what /proc says. */
  readonly processes?: WatchedProcesses;
};

/** What is known of processes. {@link machineProcesses} is the real one. */
export interface WatchedProcesses {
  /** The process that listens at the path, or undefined. */
  findListener(path: string): ProcessIdentity | undefined;
  /** What it does; undefined when it is gone. */
  activity(process: ProcessIdentity): ProcessActivity | undefined;
  /** Ends it by force. */
  kill(process: ProcessIdentity): void;
}

/** Names the variable with the patience in seconds; 0 switches the watch off, as for debugging with breakpoints. */
const patienceVariable = "NODELESS_HANG_SECONDS";
/** With the start of another process this is well before a node's lease of 40 s runs out, after which its pods would count as lost. */
const defaultPatienceSeconds = 20;

/** How long a process may hang before it is killed, in ms. */
export function hangPatienceMs(environment: NodeJS.ProcessEnv): number {
  const given = Number(environment[patienceVariable] ?? defaultPatienceSeconds);
  return (Number.isFinite(given) && given >= 0 ? given : defaultPatienceSeconds) * 1000;
}

/** A quarter of the patience lies between two turns, but no more than this. */
const longestTurnMs = 5000;

/** What a silent process has done so far. */
type Suspect = { readonly process: ProcessIdentity; activity: ProcessActivity; hungMs: number };

/** The watch over one socket, whoever answers there. */
export class HangWatch {
  readonly #options: HangWatchOptions;
  readonly #processes: WatchedProcesses;
  readonly #turnMs: number;
  #timer: Timer | undefined;
  #lastTurnMs = 0;
  #probe: Probe | undefined;
  #suspect: Suspect | undefined;

  constructor(options: HangWatchOptions) {
    this.#options = options;
    this.#processes = options.processes ?? machineProcesses;
    this.#turnMs = Math.min(longestTurnMs, options.patienceMs / 4);
  }

  /** Begins; harmless when it has begun. */
  start(): void {
    const { patienceMs, clock } = this.#options;
    if (patienceMs === 0 || this.#timer) return;
    this.#lastTurnMs = clock.now();
    this.#schedule();
  }

  stop(): void {
    this.#timer?.clear();
    this.#timer = undefined;
    this.#forget();
  }

  #schedule(): void {
    this.#timer = this.#options.clock.setTimer(this.#turnMs, () => {
      this.#turn();
      this.#schedule();
    });
  }

  #turn(): void {
    const nowMs = this.#options.clock.now();
    const passedMs = nowMs - this.#lastTurnMs;
    this.#lastTurnMs = nowMs;
    if (!this.#probe) this.#ask();
    else if (!this.#suspect) this.#suspectListener();
    else {
      // Else this process did not run either, or the clock was set; and an answer may be there that was not read yet.
      const isInTime = passedMs > 0 && passedMs < 1.5 * this.#turnMs;
      this.#judge(this.#suspect, isInTime ? passedMs : 0);
    }
  }

  #ask(): void {
    const probe = probePeer(this.#options.socket);
    this.#probe = probe;
    // Never rejects. Nobody there: a death, which others see, or a start that has not come so far.
    void probe.answered.then(() => {
      if (this.#probe === probe) this.#forget();
    });
  }

  #forget(): void {
    this.#probe?.cancel();
    this.#probe = undefined;
    this.#suspect = undefined;
  }

  #suspectListener(): void {
    const process = this.#processes.findListener(this.#options.socket);
    const activity = process && this.#processes.activity(process);
    if (process && activity) this.#suspect = { process, activity, hungMs: 0 };
    else this.#forget();
  }

  /** `awakeMs`: how much of the time this process could watch; 0 for a turn that came late. */
  #judge(suspect: Suspect, awakeMs: number): void {
    const { socket, patienceMs, isWanted, logger } = this.#options;
    const activity = this.#processes.activity(suspect.process);
    if (!activity) return this.#forget();
    suspect.hungMs += hungMs(suspect.activity, activity, awakeMs);
    suspect.activity = activity;
    if (awakeMs === 0 || suspect.hungMs < patienceMs - this.#turnMs || !isWanted()) return;
    logger.error("Killed a process that hung", { socket, pid: suspect.process.pid, state: activity.state });
    this.#forget();
    this.#processes.kill(suspect.process);
  }
}

/** How much of the time a silent process has only itself to blame for. */
export function hungMs(before: ProcessActivity, now: ProcessActivity, awakeMs: number): number {
  if (now.isTraced) return 0;
  if (now.state === "T") return awakeMs;
  const usedMs = now.cpuMs - before.cpuMs;
  return now.state === "S" && before.state === "S" && usedMs === 0 ? awakeMs : usedMs;
}

const machineProcesses: WatchedProcesses = {
  findListener: findUnixListener,
  activity: readActivity,
  kill: (process) => void signalProcess(process, "SIGKILL"),
};

/** The cluster's process that listens at this path. Looks at processes of ours only, each in its own network namespace. */
export function findUnixListener(path: string): ProcessIdentity | undefined {
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!(pid > 0) || !readQuietly(`/proc/${pid}/cmdline`).startsWith("nodeless ")) continue;
    const inode = listeningInode(readQuietly(`/proc/${pid}/net/unix`), path);
    if (inode !== undefined && hasSocket(pid, inode)) return identifyProcess(pid);
  }
  return undefined;
}

/** From the kernel's table: number, references, protocol, flags, type, state, inode, path. */
function listeningInode(table: string, path: string): string | undefined {
  const acceptsConnections = "00010000";
  const fields = table
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .find((line) => line[3] === acceptsConnections && line.slice(7).join(" ") === path);
  return fields?.[6];
}

function hasSocket(pid: number, inode: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some(
      (name) => readlinkSync(`/proc/${pid}/fd/${name}`) === `socket:[${inode}]`,
    );
  } catch {
    return false; // gone, or a descriptor was closed meanwhile: the next turn looks again
  }
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // gone
  }
}
