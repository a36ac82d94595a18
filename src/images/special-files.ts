/**
 * What the store needs and Node does not have: device files, extended attributes and locks between processes. The C library of `linux/` has it; this room only says what it needs.
 */

/** Symbolic links are not followed. */
export interface SpecialFiles {
  /** Makes a device or another special file. Throws when the file exists. */
  mknod(path: string, mode: number, major: number, minor: number): void;
  /** Sets an extended attribute; does not follow symbolic links. */
  setXattr(path: string, name: string, value: Uint8Array): void;
  /** The attribute's value, or undefined where there is none. Does not follow symbolic links. */
  getXattr(path: string, name: string): Buffer | undefined;
  /** Takes an exclusive lock on an open file without waiting; false when another process has it. It ends with the descriptor. */
  tryLock(fileDescriptor: number): boolean;
}
