/**
 * Connections of one pod in the process of a pack, ended before their pod is: those that clients keep open would find their pod gone, and later its network. The process itself
 * cannot end them, it has no words for it; so its descriptors are taken from it.
 */
import { closeSync } from "node:fs";
import type { Connections } from "#linux/connections.ts";
import type { Libc } from "#linux/libc.ts";

export type PackConnectionsParts = {
  readonly libc: Pick<Libc, "duplicateFrom">;
  readonly connections: Connections;
  /** Descriptors of a process by the numbers of the sockets behind them. */
  readonly socketsOf: (pid: number) => ReadonlyMap<number | undefined, number>;
};

/** What is to end: those that wait for the next request, or all. */
export type Ending = "idle" | "all";

/**
 * Ends connections of a process that `table`, the text of /proc/net/tcp in the pod's network, names. Gives how many it had: those that it ends now may have one more request, which the
 * process has yet to read.
 */
export function endConnections(parts: PackConnectionsParts, pid: number, table: string, which: Ending): number {
  const inodes = connectedInodes(table);
  if (inodes.length === 0) return 0;
  const descriptors = descriptorsOf(parts, pid);
  const own = inodes.flatMap((inode) => descriptors.get(inode) ?? []);
  for (const descriptor of own) end(parts, pid, descriptor, which);
  return own.length;
}

function descriptorsOf({ socketsOf }: PackConnectionsParts, pid: number): ReadonlyMap<number | undefined, number> {
  try {
    return socketsOf(pid);
  } catch {
    return new Map(); // the process has ended
  }
}

function end({ libc, connections }: PackConnectionsParts, pid: number, descriptor: number, which: Ending): void {
  let fd: number | undefined;
  try {
    fd = libc.duplicateFrom(pid, descriptor);
    if (which === "all") connections.stop(fd);
    // One that waits is read from once more, finds the end, and is closed; an answer that is being written is finished before.
    else if (connections.isAnswered(fd)) connections.stopReading(fd);
  } catch {
    // It has ended by itself, or this machine lets nobody look into processes.
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Numbers of the sockets that are connected: all but those that listen, and those that nobody has any more. */
export function connectedInodes(table: string): readonly number[] {
  const established = "01";
  return table.split("\n").flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const inode = Number(fields[9]);
    return fields[3] === established && inode > 0 ? [inode] : [];
  });
}
