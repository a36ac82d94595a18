/**
 * Writes what a process says into its log, in the format of the container runtime interface. The process writes into two FIFOs, which its monitor holds open: while nobody
 * reads, the kernel keeps some 64 KiB of each.
 */
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";

/** Names of the FIFOs in a container's folder. */
export const outputFifos = { stdout: "out", stderr: "err" } as const;

/** Longest piece of a line that is written as one, as conmon's. */
const longestPiece = 8192;
const newline = 10;

/** Two streams on their way into one file. */
export class LogWriter {
  #file: number;
  readonly #sockets: Socket[] = [];
  readonly #drained: Promise<unknown>;
  readonly #onFailure: (error: unknown) => void;
  #isClosed = false;
  #isFailing = false;

  /** Begins at once. What cannot be written is lost, as conmon does on a full disk; `onFailure` is told of the first of such writes. */
  constructor(folder: string, logPath: string, onFailure: (error: unknown) => void) {
    this.#file = openLog(logPath);
    this.#onFailure = onFailure;
    this.#drained = Promise.all([this.#copy(folder, "stdout"), this.#copy(folder, "stderr")]);
  }

  /** Resolves when the last writer is gone and all that it said is in the log. */
  async drained(): Promise<void> {
    await this.#drained;
  }

  /** Writes on into a new file at this path. */
  reopen(logPath: string): void {
    closeSync(this.#file);
    this.#file = openLog(logPath);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const socket of this.#sockets) socket.destroy();
    closeSync(this.#file);
  }

  #copy(folder: string, stream: "stdout" | "stderr"): Promise<void> {
    const fd = openSync(join(folder, outputFifos[stream]), constants.O_RDONLY | constants.O_NONBLOCK);
    const socket = new Socket({ fd, readable: true, writable: false });
    this.#sockets.push(socket);
    let rest: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      const found = criLines(stream, Buffer.concat([rest, chunk]), new Date().toISOString());
      rest = found.rest;
      this.#write(found.lines);
    });
    socket.on("error", () => {}); // "close" follows
    return new Promise((resolve) => {
      socket.once("close", () => {
        if (rest.length > 0) this.#write(piece(stream, rest, new Date().toISOString(), "P"));
        resolve();
      });
    });
  }

  #write(bytes: Buffer): void {
    if (this.#isClosed) return;
    try {
      for (let rest = bytes; rest.length > 0; ) rest = rest.subarray(writeSync(this.#file, rest));
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#onFailure(error);
      this.#isFailing = true;
    }
  }
}

/** Whole lines, and pieces of one that is too long, as "TIME STREAM F|P TEXT"; and what is no whole line yet. */
export function criLines(
  stream: "stdout" | "stderr",
  bytes: Buffer,
  time: string,
): { readonly lines: Buffer; readonly rest: Buffer } {
  const lines: Buffer[] = [];
  for (let begin = 0; ; ) {
    const end = bytes.indexOf(newline, begin);
    const stop = end < 0 ? bytes.length : end;
    if (stop - begin > longestPiece) {
      lines.push(piece(stream, bytes.subarray(begin, begin + longestPiece), time, "P"));
      begin += longestPiece;
    } else if (end >= 0) {
      lines.push(piece(stream, bytes.subarray(begin, end), time, "F"));
      begin = end + 1;
    } else return { lines: Buffer.concat(lines), rest: Buffer.from(bytes.subarray(begin)) };
  }
}

function piece(stream: string, text: Buffer, time: string, tag: "F" | "P"): Buffer {
  return Buffer.concat([Buffer.from(`${time} ${stream} ${tag} `), text, Buffer.of(newline)]);
}

function openLog(path: string): number {
  return openSync(path, "a", 0o640);
}
