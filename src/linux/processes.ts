/**
 * Processes by number, safe against the number being used again: a process is its number together with its start time.
 */
import { readFileSync } from "node:fs";

/** Names a process for good, until the next boot. `startTicks` is field 22 of /proc/PID/stat. */
export type ProcessIdentity = { readonly pid: number; readonly startTicks: string };

/** The identity of what runs with this number now; undefined for nothing. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat && { pid, startTicks: stat.startTicks };
}

/** Whether the process still runs; a zombie does not. */
export function isRunning(identity: ProcessIdentity): boolean {
  const stat = readStat(identity.pid);
  return stat !== undefined && stat.startTicks === identity.startTicks && stat.state !== "Z" && stat.state !== "X";
}

/** What a process does, by its first thread: the one that answers. */
export type ProcessActivity = {
  /** "R": runs or waits for a processor, "S": sleeps, "D": waits for a disk, "T": was stopped by a signal. */
  readonly state: string;
  /** Processor time that the thread has used so far, in ms. */
  readonly cpuMs: number;
  /** A debugger or tracer holds it. */
  readonly isTraced: boolean;
};

/** The kernel counts processor time in hundredths of a second. */
const tickMs = 10;

/** What the process does now; undefined when it is gone. */
export function readActivity({ pid, startTicks }: ProcessIdentity): ProcessActivity | undefined {
  const stat = readStat(pid, `${pid}/task/${pid}`);
  if (!stat || stat.startTicks !== startTicks || stat.state === "Z" || stat.state === "X") return undefined;
  const isTraced = !/^TracerPid:\s*0$/m.test(readText(`/proc/${pid}/status`) ?? "TracerPid: 0");
  return { state: stat.state, cpuMs: stat.cpuTicks * tickMs, isTraced };
}

/** Sends a signal; false when the process is gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals | number): boolean {
  if (!isRunning(identity)) return false;
  try {
    return process.kill(identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/**
 * Whether a signal would do anything to the process: end it, or be taken by it. The first process of a process namespace gets no signal from inside or outside that it has not asked for
 * (SIGKILL from outside apart), so waiting for it to heed one is in vain. True where it cannot be known.
 */
export function heedsSignal({ pid }: ProcessIdentity, signal: number): boolean {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, "latin1");
  } catch {
    return true;
  }
  const has = (field: string) => {
    const mask = BigInt(`0x${new RegExp(`^${field}:\\s*([0-9a-f]+)`, "m").exec(status)?.[1] ?? "0"}`);
    return ((mask >> BigInt(signal - 1)) & 1n) === 1n;
  };
  if (has("SigCgt") || has("SigBlk")) return true; // blocked: it may wait for it by signalfd
  const isInit = /^NSpid:.*\t\d+\t1$/m.test(status);
  return !isInit && !has("SigIgn");
}

/** Changes with each boot of the machine: what was recorded under another one is gone. */
export function readBootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

type Stat = { readonly state: string; readonly startTicks: string; readonly cpuTicks: number };

/** `folder` below /proc: that of the process, or of one of its threads. */
function readStat(pid: number, folder: string = String(pid)): Stat | undefined {
  const text = readText(`/proc/${folder}/stat`);
  if (text === undefined) return undefined;
  // The command's name stands in brackets and may hold blanks and brackets itself.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    state: fields[0] ?? "",
    startTicks: fields[19] ?? "",
    cpuTicks: Number(fields[11]) + Number(fields[12]),
  };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined; // gone
  }
}
