/**
 * TCP connections of other processes, as descriptors that were taken from them: who must end a program's connections in its place. Ends are halves of RFC 9293: a peer that is not
 * read from any more still gets what is on its way to it.
 */
import { getSystemErrorName } from "node:util";
import { SystemCallError } from "./libc.ts";

/** Looks at connections and ends them. All calls are synchronous and short; each throws {@link SystemCallError}. */
export interface Connections {
  /** Whether data went out after the last that came in, or in the same millisecond: of a protocol of questions and answers nothing is open then. */
  isAnswered(fileDescriptor: number): boolean;
  /** Whoever reads from it comes to its end after what has arrived; what it writes still goes out. */
  stopReading(fileDescriptor: number): void;
  /** Ends both directions. */
  stop(fileDescriptor: number): void;
}

const tcpLevel = 6;
const tcpInfo = 11;
/** Of struct tcp_info in linux/tcp.h: milliseconds since data was sent, and since some came. */
const lastDataSent = 44;
const lastDataReceived = 52;
/** Bytes that the other side has confirmed, its SYN perhaps among them, and bytes that came in. */
const bytesConfirmed = 120;
const bytesReceived = 128;
const infoBytes = 136;
const shutdownReading = 0;
const shutdownBoth = 2;

/** Loads the C library. Cheap to call again. */
export async function loadConnections(): Promise<Connections> {
  const koffi = (await import("koffi")).default;
  const library = koffi.load("libc.so.6");
  const call = (definition: string) => library.func(definition) as (...args: unknown[]) => number;
  const shutdown = call("int shutdown(int fd, int how)");
  const getsockopt = call("int getsockopt(int fd, int level, int name, void *value, void *length)");
  const check = (result: number, name: string): void => {
    if (result < 0) throw new SystemCallError(name, getSystemErrorName(-koffi.errno()), "a connection");
  };
  return {
    isAnswered(fd) {
      const info = Buffer.alloc(infoBytes);
      const length = Buffer.from(Uint32Array.of(infoBytes).buffer);
      check(getsockopt(fd, tcpLevel, tcpInfo, info, length), "getsockopt");
      const view = new DataView(info.buffer, info.byteOffset);
      // To the kernel a new connection has just sent something.
      if (view.getBigUint64(bytesReceived, true) > 0n && view.getBigUint64(bytesConfirmed, true) <= 1n) return false;
      return view.getUint32(lastDataSent, true) <= view.getUint32(lastDataReceived, true);
    },
    stopReading: (fd) => check(shutdown(fd, shutdownReading), "shutdown"),
    stop: (fd) => check(shutdown(fd, shutdownBoth), "shutdown"),
  };
}
