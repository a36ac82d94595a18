/**
 * Calls of the C library that Node does not have: a lock that the kernel frees when its process dies, disk space that is taken without
 * being written, keeping files of other libraries from child processes, and letting go of mapped memory.
 */
import { createRequire } from "node:module";

/** What came of trying to lock a file. */
export type LockOutcome = "locked" | "held by another" | { readonly errno: number };

/** The calls. */
export interface Libc {
  /** flock(2), exclusive, without waiting. Held until the descriptor is closed, in whatever way. */
  lockFile(fileDescriptor: number): LockOutcome;
  /** posix_fallocate(3). False when there is no room, or the file system cannot. */
  allocate(fileDescriptor: number, bytes: number): boolean;
  /** fcntl(2) with FD_CLOEXEC: programs that this process starts do not get the file. */
  closeOnExec(fileDescriptor: number): void;
  /** madvise(2) with MADV_DONTNEED. Only for shared maps of files: other memory would lose its content. */
  letGoOfMap(address: bigint, bytes: bigint): void;
}

const LOCK_EX_NB = 2 | 4;
const EWOULDBLOCK = 11;
const MADV_DONTNEED = 4;
const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** Loads the C library. */
export function loadLibc(): Libc {
  const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
  const library = koffi.load(null);
  const flock = library.func("int flock(int fd, int operation)") as (fd: number, operation: number) => number;
  const fallocate = library.func("int posix_fallocate(int fd, int64 offset, int64 length)") as (
    fd: number,
    offset: number,
    length: number,
  ) => number;
  const fcntl = library.func("int fcntl(int fd, int command, ...)") as (...args: readonly unknown[]) => number;
  const madvise = library.func("int madvise(uint64 address, uint64 length, int advice)") as (
    address: bigint,
    length: bigint,
    advice: number,
  ) => number;
  return {
    letGoOfMap: (address, bytes) => void madvise(address, bytes, MADV_DONTNEED),
    lockFile(fileDescriptor) {
      if (flock(fileDescriptor, LOCK_EX_NB) === 0) return "locked";
      const errno = koffi.errno();
      return errno === EWOULDBLOCK ? "held by another" : { errno };
    },
    closeOnExec: (fileDescriptor) => void fcntl(fileDescriptor, F_SETFD, "int", FD_CLOEXEC),
    allocate: (fileDescriptor, bytes) => fallocate(fileDescriptor, 0, bytes) === 0,
  };
}
