/**
 * The permit under which the processes of a cluster run: a file that `up` makes and that each of them is given open, from process to process. Removing the file withdraws it: whoever is
 * being started at that moment sees so as soon as it listens, and ends again; nobody restarts anybody. And since each process holds the file open all its life, those that are left
 * can be found, whatever they are busy with.
 */
import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { ClusterLayout } from "./layout.ts";

/** Names the variable with the descriptor of the permit. */
export const permitVariable = "NODELESS_PERMIT";

const fileName = "permit";

/** A permit as a process holds it. */
export type RunPermit = {
  readonly descriptor: number;
  /** False once it is withdrawn. */
  readonly isValid: () => boolean;
};

/** The cluster's permit, made when there is none. The caller closes the descriptor once its processes have it. */
export function issuePermit(layout: ClusterLayout): RunPermit {
  const path = permitPath(layout);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return permitOf(openSync(path, "a", 0o600));
}

/** The permit that this process was started with; undefined for one that was started by hand. */
export function inheritedPermit(environment: NodeJS.ProcessEnv): RunPermit | undefined {
  const descriptor = environment[permitVariable];
  delete environment[permitVariable]; // given on by name only
  return descriptor === undefined ? undefined : permitOf(Number(descriptor));
}

/** Whether the cluster's processes may run: false when a `down` was begun. */
export function isPermitted(layout: ClusterLayout): boolean {
  try {
    closeSync(openSync(permitPath(layout), "r"));
    return true;
  } catch {
    return false;
  }
}

/** From now on no process of the cluster starts, or starts another. */
export function withdrawPermit(layout: ClusterLayout): void {
  rmSync(permitPath(layout), { force: true });
}

/** Numbers of the processes that hold a permit of this cluster, withdrawn ones included. */
export function listPermitHolders(layout: ClusterLayout): number[] {
  const path = join(realPath(dirname(layout.run)), basename(layout.run), fileName);
  const links = new Set([path, `${path} (deleted)`]);
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && openFiles(pid).some((link) => links.has(link)));
}

function permitPath(layout: ClusterLayout): string {
  return join(layout.run, fileName);
}

function permitOf(descriptor: number): RunPermit {
  return { descriptor, isValid: () => fstatSync(descriptor).nlink > 0 };
}

function openFiles(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).map((name) => linkOf(join(folder, name)));
  } catch {
    return []; // ended, or somebody else's
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // not there: nothing in it is open either
  }
}
