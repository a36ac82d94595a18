/**
 * What unpacking needs and Node does not have: device files and extended attributes. The C library of `linux/` has it; this room only says what it needs.
 */

/** Makes special files and reads and writes extended attributes; symbolic links are not followed. */
export interface SpecialFiles {
  mknod(path: string, mode: number, major: number, minor: number): void;
  setXattr(path: string, name: string, value: Uint8Array): void;
  getXattr(path: string, name: string): Buffer | undefined;
}
