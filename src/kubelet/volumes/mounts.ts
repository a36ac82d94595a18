/**
 * The few mounts that volumes need. `systemMounts` are the kernel's.
 */
import { kernelFlags, loadLibc } from "#linux/libc.ts";
import { bindMount, listMounts, unmountBelow } from "#linux/mounts.ts";

/** Mounts in this process's mount namespace. */
export interface Mounts {
  /** A file system in memory of at most `sizeBytes` (undefined: half of the machine's memory, the kernel's own bound). */
  tmpfs(target: string, sizeBytes: number | undefined): void;
  /** Makes an open file or folder appear at `target`, whatever its path leads to by now. */
  bindDescriptor(descriptor: number, target: string): void;
  /** True when something is mounted exactly there. */
  isMounted(target: string): boolean;
  /** Takes away all mounts at and below the folder. */
  unmountBelow(folder: string): void;
}

/** The kernel's mounts. Loads the C library. */
export async function systemMounts(): Promise<Mounts> {
  const libc = await loadLibc();
  return {
    tmpfs: (target, sizeBytes) =>
      libc.mount("tmpfs", target, "tmpfs", 0, `mode=0777${sizeBytes === undefined ? "" : `,size=${sizeBytes}`}`),
    bindDescriptor(descriptor, target) {
      bindMount(libc, `/proc/self/fd/${descriptor}`, target, { recursive: true });
      // What happens in the volume reaches the container, what happens here does not go back.
      libc.mount("none", target, "", kernelFlags.MS_SLAVE, "");
    },
    isMounted: (target) => listMounts().some((entry) => entry.target === target),
    unmountBelow: (folder) => unmountBelow(libc, folder),
  };
}
