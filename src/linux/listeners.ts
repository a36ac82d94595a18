/**
 * Listening sockets as bare descriptors, to be inherited by programs that take them (`--socket-fd`, LISTEN_FDS). Node's own servers accept connections themselves, so
 * these come from the C library.
 */
import { closeSync, rmSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import { SystemCallError } from "./libc.ts";

/** Makes and moves listening sockets. All calls are synchronous and short; each throws {@link SystemCallError}. */
export interface Listeners {
  /** A Unix stream socket at `path` (107 bytes at most), which must not exist or is replaced. The caller closes it. */
  listenAtPath(path: string): number;
  /** A TCP socket over IPv4 at any free port of this address, in the network namespace that the thread is in. The caller closes it. */
  listenAnywhere(address: string): number;
  /** Makes a socket of {@link Listeners.listenAnywhere} listen at this port of the address instead. Whoever accepts on it must not do so meanwhile. */
  moveToPort(fileDescriptor: number, address: string, port: number): void;
  /** Refuses connections from now on, whoever has the socket. */
  stopListening(fileDescriptor: number): void;
}

const unixFamily = 1;
const internetFamily = 2;
const streamCloseOnExec = 1 | 0o2000000;
const solSocket = 1;
const reuseAddress = 2;
const shutdownBoth = 2;
const backlog = 511;
const longestPath = 107;

/** Loads the C library. Cheap to call again. */
export async function loadListeners(): Promise<Listeners> {
  const koffi = (await import("koffi")).default;
  const library = koffi.load("libc.so.6");
  const call = (definition: string) => library.func(definition) as (...args: unknown[]) => number;
  const socket = call("int socket(int domain, int type, int protocol)");
  const bind = call("int bind(int fd, const void *address, uint length)");
  const listen = call("int listen(int fd, int backlog)");
  const shutdown = call("int shutdown(int fd, int how)");
  const setsockopt = call("int setsockopt(int fd, int level, int name, const void *value, uint length)");

  const check = (result: number, name: string, about: string): number => {
    if (result < 0) throw new SystemCallError(name, getSystemErrorName(-koffi.errno()), about);
    return result;
  };
  const open = (family: number, about: string): number => check(socket(family, streamCloseOnExec, 0), "socket", about);
  const orClosed = (fd: number, work: () => void): number => {
    try {
      work();
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  };

  return {
    listenAtPath(path) {
      const address = unixAddress(path);
      rmSync(path, { force: true });
      const fd = open(unixFamily, path);
      return orClosed(fd, () => {
        check(bind(fd, address, address.length), "bind", path);
        check(listen(fd, backlog), "listen", path);
      });
    },
    listenAnywhere(host) {
      // Only a port that the kernel chose can be given up for another one.
      const address = internetAddress(host, 0);
      const fd = open(internetFamily, "TCP");
      return orClosed(fd, () => {
        check(bind(fd, address, address.length), "bind", host);
        check(listen(fd, backlog), "listen", `at any port of ${host}`);
      });
    },
    stopListening(fd) {
      check(shutdown(fd, shutdownBoth), "shutdown", "a listener");
    },
    moveToPort(fd, host, port) {
      const address = internetAddress(host, port);
      const one = Buffer.from(Uint32Array.of(1).buffer);
      check(shutdown(fd, shutdownBoth), "shutdown", `listener for port ${port}`);
      check(setsockopt(fd, solSocket, reuseAddress, one, one.length), "setsockopt", "SO_REUSEADDR");
      check(bind(fd, address, address.length), "bind", `port ${port}`);
      check(listen(fd, backlog), "listen", `at port ${port}`);
    },
  };
}

function unixAddress(path: string): Buffer {
  const bytes = Buffer.from(path);
  if (bytes.length > longestPath) throw new SystemCallError("bind", "ENAMETOOLONG", path);
  return Buffer.concat([Buffer.from(Uint16Array.of(unixFamily).buffer), bytes, Buffer.alloc(1)]);
}

// sockaddr_in: family as the machine has it, port and address as the network has them.
function internetAddress(host: string, port: number): Buffer {
  const address = Buffer.alloc(16);
  Buffer.from(Uint16Array.of(internetFamily).buffer).copy(address);
  address.writeUInt16BE(port, 2);
  address.set(host.split(".").map(Number), 4);
  return address;
}
