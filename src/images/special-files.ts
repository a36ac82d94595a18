/**
 * What the store needs and Node does not have: device files, extended attributes and locks between processes. The C library of `linux/` has it; this room only says what it needs.
 */

/** Symbolic links are not followed. */
export interface SpecialFiles {
  mknod(path: string, mode: number, major: number, minor: number): void;
  setXattr(path: string, name: string, value: Uint8Array): void;
  getXattr(path: string, name: string): Buffer | undefined;
  /** Takes an exclusive lock on an open file without waiting; false when another process has it. It ends with the descriptor. */
  tryLock(fileDescriptor: number): boolean;
}
