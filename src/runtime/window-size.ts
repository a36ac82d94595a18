/**
 * The size of a terminal's window inside a container, set where the process sees it. Neither go-between can be left to it: crun does not hand on a change of size
 * to the terminal of its exec, and conmon 2.1 takes the first of two sizes that arrive together for both.
 */
import { closeSync, constants, openSync } from "node:fs";
import type { Libc } from "#linux/libc.ts";

export type WindowSize = { readonly columns: number; readonly rows: number };

/** Sets the size of the terminal that is the process's standard input. False while there is no such process, or when its input is no terminal. */
export function resizeInputOf(libc: Libc, pid: number, size: WindowSize): boolean {
  return resizeTerminal(libc, `/proc/${pid}/fd/0`, size);
}

/** Sets the size of the terminal of a container, given its first process; whatever that has made of its input, the terminal is its console. */
export function resizeConsoleOf(libc: Libc, pid: number, size: WindowSize): boolean {
  return resizeTerminal(libc, `/proc/${pid}/root/dev/console`, size);
}

function resizeTerminal(libc: Libc, path: string, { columns, rows }: WindowSize): boolean {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch {
    return false; // it is gone
  }
  try {
    libc.setWindowSize(fd, Math.max(1, rows), Math.max(1, columns));
    return true;
  } catch {
    return false; // no terminal
  } finally {
    closeSync(fd);
  }
}
