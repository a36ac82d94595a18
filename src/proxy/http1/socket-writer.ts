/**
 * Gathers what is to be written to a socket in one turn, so that a head and its small body are one system call and one segment.
 */
import type { Socket } from "node:net";

/** Pieces up to this many bytes together are copied into one; larger ones are handed over as they are. */
const COPIED_BYTES = 32 * 1024;

export class SocketWriter {
  readonly #socket: Socket;
  #parts: (string | Buffer)[] = [];
  #bytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Text is Latin-1, as everything in a head. */
  add(part: string | Buffer): void {
    this.#parts.push(part);
    this.#bytes += part.length;
  }

  /** Writes it. False: more is unsent than should be, and the socket will emit `drain`. */
  flush(): boolean {
    const parts = this.#parts;
    if (parts.length === 0) return !this.#socket.writableNeedDrain;
    const bytes = this.#bytes;
    this.#parts = [];
    this.#bytes = 0;
    if (parts.length === 1) return this.#writeOne(parts[0] as string | Buffer);
    if (bytes <= COPIED_BYTES) return this.#socket.write(joined(parts, bytes));
    this.#socket.cork();
    let isFine = true;
    for (const part of parts) isFine = this.#writeOne(part);
    this.#socket.uncork();
    return isFine;
  }

  #writeOne(part: string | Buffer): boolean {
    return typeof part === "string" ? this.#socket.write(part, "latin1") : this.#socket.write(part);
  }
}

function joined(parts: readonly (string | Buffer)[], bytes: number): Buffer {
  const all = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const part of parts) {
    if (typeof part === "string") all.write(part, at, "latin1");
    else all.set(part, at);
    at += part.length;
  }
  return all;
}
