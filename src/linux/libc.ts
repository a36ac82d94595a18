/**
 * The C library's calls that Node itself does not have: mount, setns, unshare, mknod, extended attributes, window sizes and raw netlink sockets. A call costs microseconds,
 * where spawning `mount` or `ip` costs 3–5 ms. Loaded with koffi when first asked for, so that a process that needs none of it does not pay for it.
 */
import { closeSync, readlinkSync } from "node:fs";
import { getSystemErrorName } from "node:util";

/** A system call failed. `code` is the errno's name, as in Node's own errors. */
export class SystemCallError extends Error {
  readonly kind = "SystemCallError";
  readonly code: string;
  readonly systemCall: string;
  constructor(systemCall: string, code: string, about: string) {
    super(`${systemCall} ${about}: ${code}`);
    this.systemCall = systemCall;
    this.code = code;
  }
}

/** The calls. Each throws {@link SystemCallError}. All are synchronous and short, except those marked as run on another thread. */
export interface Libc {
  /** mount(2). An empty source, type or data is none. */
  mount(source: string, target: string, type: string, flags: number, data: string): void;
  /** umount2(2). */
  unmount(target: string, flags: number): void;
  /** As {@link Libc.unmount}, on another thread: freeing a large mount takes time. */
  unmountInBackground(target: string, flags: number): Promise<void>;
  /** unshare(2), for the calling thread. */
  unshare(flags: number): void;
  /** setns(2), for the calling thread. */
  setns(fileDescriptor: number, type: number): void;
  /** sethostname(2), in the thread's UTS namespace. */
  setHostname(name: string): void;
  /** setdomainname(2), in the thread's UTS namespace. */
  setDomainname(name: string): void;
  /** mknod(2); the type of the file is part of `mode`. */
  mknod(path: string, mode: number, major: number, minor: number): void;
  /** lsetxattr(2): does not follow symbolic links. */
  setXattr(path: string, name: string, value: Uint8Array): void;
  /** The attribute's value, or undefined where there is none. Does not follow symbolic links. */
  getXattr(path: string, name: string): Buffer | undefined;
  /** mkfifo(3). */
  mkfifo(path: string, mode: number): void;
  /** Takes an exclusive lock on an open file without waiting; false when another process has it. The lock ends with the descriptor. */
  tryLock(fileDescriptor: number): boolean;
  /** Sets the size of an open terminal's window; its processes hear of it when it differs. */
  setWindowSize(fileDescriptor: number, rows: number, columns: number): void;
  /** A netlink socket for routes and links in the network namespace that the thread is in right now. */
  openNetlink(): number;
  /** A TCP socket, not yet connected, in the network namespace that the thread is in right now. */
  openTcpSocket(family: "IPv4" | "IPv6"): number;
  /** A socket bound to an IPv4 address, the TCP one listening. `shared`: although somebody else may have the port at all addresses, or had it a moment ago. */
  bindSocket(type: "udp" | "tcp", address: string, port: number, shared: boolean): number;
  /** Lets more wait in a socket than the machine's usual 208 KiB: so many bytes, where this process has the right to it. */
  growReceiveBuffer(fileDescriptor: number, bytes: number): void;
  /** A duplicate of another process' descriptor. */
  duplicateFrom(pid: number, descriptor: number): number;
  /** Sends all of `data` on a socket. */
  send(fileDescriptor: number, data: Uint8Array): void;
  /** Reads what a socket has, and waits for it; gives the number of bytes. */
  receive(fileDescriptor: number, into: Uint8Array): number;
}

type KernelFlag =
  | `MS_${"RDONLY" | "NOSUID" | "NODEV" | "NOEXEC" | "REMOUNT" | "NOATIME" | "BIND" | "REC" | "PRIVATE" | "SLAVE" | "SHARED"}`
  | "MNT_DETACH"
  | `CLONE_NEW${"UTS" | "IPC" | "NET"}`;

/** Flags of mount(2), umount2(2), unshare(2) and setns(2) as <linux/mount.h> and <linux/sched.h> number them. */
export const kernelFlags: Readonly<Record<KernelFlag, number>> = {
  MS_RDONLY: 1,
  MS_NOSUID: 2,
  MS_NODEV: 4,
  MS_NOEXEC: 8,
  MS_REMOUNT: 32,
  MS_NOATIME: 1024,
  MS_BIND: 4096,
  MS_REC: 16384,
  MS_PRIVATE: 1 << 18,
  MS_SLAVE: 1 << 19,
  MS_SHARED: 1 << 20,
  MNT_DETACH: 2,
  CLONE_NEWUTS: 0x04000000,
  CLONE_NEWIPC: 0x08000000,
  CLONE_NEWNET: 0x40000000,
};

const addressFamilyNetlink = 16;
const socketRawCloseOnExec = 3 | 0o2000000;
const socketStreamCloseOnExec = 1 | 0o2000000;
const socketDatagramCloseOnExec = 2 | 0o2000000;
const listenBacklog = 128;
/** Level and name of the socket option that shares an address. */
const reuseAddress = [1, 2] as const;
const receiveBuffer = [1, 8] as const;
const forceReceiveBuffer = [1, 33] as const;
/** Numbers of system calls that the C library may not know by name; the same on all architectures. */
const newCalls = { pidfdOpen: 434, pidfdGetfd: 438 };
const lockExclusiveNoWait = 2 | 4;
const setWindowSizeRequest = 0x5414; // TIOCSWINSZ

/** Loads the C library. Cheap to call again. */
export async function loadLibc(): Promise<Libc> {
  const koffi = (await import("koffi")).default;
  const library = koffi.load("libc.so.6");
  const call = (definition: string) => library.func(definition) as ((...args: unknown[]) => number) & AsyncCall;

  const mount = call(
    "int mount(const char *source, const char *target, const char *type, ulong flags, const char *data)",
  );
  const umount2 = call("int umount2(const char *target, int flags)");
  const unshare = call("int unshare(int flags)");
  const setns = call("int setns(int fd, int type)");
  const sethostname = call("int sethostname(const char *name, size_t length)");
  const setdomainname = call("int setdomainname(const char *name, size_t length)");
  const mknod = call("int mknod(const char *path, uint mode, uint64 device)");
  const mkfifo = call("int mkfifo(const char *path, uint mode)");
  const lsetxattr = call(
    "int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)",
  );
  const lgetxattr = call("int64 lgetxattr(const char *path, const char *name, void *value, size_t size)");
  const flock = call("int flock(int fd, int operation)");
  const ioctl = call("int ioctl(int fd, ulong request, const void *argument)");
  const socket = call("int socket(int domain, int type, int protocol)");
  const bind = call("int bind(int fd, const void *address, uint length)");
  const listen = call("int listen(int fd, int backlog)");
  const setsockopt = call("int setsockopt(int fd, int level, int name, const void *value, uint length)");
  const syscall = call("long syscall(long number, long first, long second, long third)");
  const send = call("int64 send(int fd, const void *data, size_t length, int flags)");
  const recv = call("int64 recv(int fd, void *data, size_t length, int flags)");

  const errorName = () => getSystemErrorName(-koffi.errno());
  const check = (result: number, name: string, about: string): number => {
    if (Number(result) < 0) throw new SystemCallError(name, errorName(), about);
    return Number(result);
  };

  return {
    mount: (source, target, type, flags, data) =>
      void check(mount(source, target, type, flags, data), "mount", `${type || source} at ${target}`),
    unmount: (target, flags) => void check(umount2(target, flags), "umount2", target),
    unmountInBackground: (target, flags) =>
      new Promise((resolve, reject) =>
        umount2.async(target, flags, (error, result) => {
          if (error ?? result !== 0) reject(error ?? new SystemCallError("umount2", "EUNKNOWN", target));
          else resolve();
        }),
      ),
    unshare: (flags) => void check(unshare(flags), "unshare", `0x${flags.toString(16)}`),
    setns: (fd, type) => void check(setns(fd, type), "setns", readableLink(fd)),
    setHostname: (name) => void check(sethostname(name, Buffer.byteLength(name)), "sethostname", name),
    setDomainname: (name) => void check(setdomainname(name, Buffer.byteLength(name)), "setdomainname", name),
    mknod: (path, mode, major, minor) => void check(mknod(path, mode, deviceNumber(major, minor)), "mknod", path),
    mkfifo: (path, mode) => void check(mkfifo(path, mode), "mkfifo", path),
    setXattr: (path, name, value) =>
      void check(lsetxattr(path, name, value, value.length, 0), "lsetxattr", `${name} of ${path}`),
    getXattr(path, name) {
      const value = Buffer.alloc(65536);
      const size = Number(lgetxattr(path, name, value, value.length));
      if (size >= 0) return Buffer.from(value.subarray(0, size));
      if (errorName() === "ENODATA") return undefined;
      throw new SystemCallError("lgetxattr", errorName(), `${name} of ${path}`);
    },
    tryLock(fd) {
      if (flock(fd, lockExclusiveNoWait) === 0) return true;
      if (errorName() === "EAGAIN") return false;
      throw new SystemCallError("flock", errorName(), readableLink(fd));
    },
    setWindowSize: (fd, rows, columns) =>
      void check(ioctl(fd, setWindowSizeRequest, Uint16Array.of(rows, columns, 0, 0)), "ioctl", "TIOCSWINSZ"),
    openNetlink: () => check(socket(addressFamilyNetlink, socketRawCloseOnExec, 0), "socket", "netlink"),
    openTcpSocket: (family) =>
      check(socket(family === "IPv4" ? 2 : 10, socketStreamCloseOnExec, 0), "socket", `TCP over ${family}`),
    bindSocket(type, address, port, shared) {
      const kind = type === "udp" ? socketDatagramCloseOnExec : socketStreamCloseOnExec;
      const fd = check(socket(2, kind, 0), "socket", type);
      try {
        if (shared) check(setsockopt(fd, ...reuseAddress, Buffer.from(Int32Array.of(1).buffer), 4), "setsockopt", type);
        check(bind(fd, socketAddress(address, port), 16), "bind", `${address}:${port}/${type}`);
        if (type === "tcp") check(listen(fd, listenBacklog), "listen", `${address}:${port}`);
        return fd;
      } catch (error) {
        closeSync(fd);
        throw error;
      }
    },
    growReceiveBuffer(fd, bytes) {
      const value = Buffer.from(Int32Array.of(bytes).buffer);
      // Without CAP_NET_ADMIN up to net.core.rmem_max.
      if (setsockopt(fd, ...forceReceiveBuffer, value, 4) !== 0) setsockopt(fd, ...receiveBuffer, value, 4);
    },
    duplicateFrom(pid, descriptor) {
      const process = check(syscall(newCalls.pidfdOpen, pid, 0, 0), "pidfd_open", String(pid));
      try {
        return check(syscall(newCalls.pidfdGetfd, process, descriptor, 0), "pidfd_getfd", `${descriptor} of ${pid}`);
      } finally {
        closeSync(process);
      }
    },
    send: (fd, data) => void check(send(fd, data, data.length, 0), "send", "netlink"),
    receive: (fd, into) => check(recv(fd, into, into.length, 0), "recv", "netlink"),
  };
}

type AsyncCall = { async(...args: [...unknown[], (error: Error | null, result: number) => void]): void };

/** struct sockaddr_in. */
function socketAddress(address: string, port: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(2, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address.split(".").map(Number), 4);
  return bytes;
}

// As makedev(3): the kernel spreads both numbers over 64 bits.
function deviceNumber(major: number, minor: number): number {
  return (minor & 0xff) + (major & 0xfff) * 0x100 + (minor & 0xfff00) * 0x1000;
}

function readableLink(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return `descriptor ${fd}`;
  }
}
