/**
 * Namespaces that outlive whoever made them: pinned by bind mounts. A thread's network, IPC and UTS namespaces can be changed and changed back; done without a
 * pause on the main thread, nobody else sees it (worker threads keep their own). Process and mount namespaces cannot be changed so.
 */
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { kernelFlags, type Libc } from "./libc.ts";
import { bindMount, unmount } from "./mounts.ts";

/** A namespace that a thread may enter and leave. */
export type NamespaceType = "net" | "ipc" | "uts";

const { CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS } = kernelFlags;
const cloneFlags: Readonly<Record<NamespaceType, number>> = { net: CLONE_NEWNET, ipc: CLONE_NEWIPC, uts: CLONE_NEWUTS };

/** Makes new namespaces, pins each at its path, and runs `inside` (synchronous) in them before coming back. */
export function pinNewNamespaces<T>(
  libc: Libc,
  paths: Readonly<Partial<Record<NamespaceType, string>>>,
  inside: () => T,
): T {
  const types = Object.keys(paths) as NamespaceType[];
  return comeBackTo(libc, types, () => {
    libc.unshare(types.reduce((flags, type) => flags | cloneFlags[type], 0));
    for (const type of types) {
      const path = paths[type] as string;
      writeFileSync(path, "", { flag: "a" });
      bindMount(libc, `/proc/thread-self/ns/${type}`, path);
    }
    return inside();
  });
}

/** Runs `inside` (synchronous) in the namespaces pinned at these paths. */
export function insideNamespaces<T>(
  libc: Libc,
  paths: Readonly<Partial<Record<NamespaceType, string>>>,
  inside: () => T,
): T {
  const types = Object.keys(paths) as NamespaceType[];
  return comeBackTo(libc, types, () => {
    for (const type of types) withFile(paths[type] as string, (fd) => libc.setns(fd, cloneFlags[type]));
    return inside();
  });
}

/** Lets go of a pinned namespace: it ends with its last process. Unknown is success. */
export function unpinNamespace(libc: Libc, path: string): void {
  unmount(libc, path);
  rmSync(path, { force: true });
}

/** Sets a kernel setting ("net.ipv4.ip_forward") in the namespaces that the thread is in. */
export function writeSysctl(name: string, value: string): void {
  writeFileSync(sysctlPath(name), value);
}

export function readSysctl(name: string): string {
  return readFileSync(sysctlPath(name), "utf8").trim();
}

// Names may be written with dots or slashes; where a slash comes first, dots belong to the names of network devices.
function sysctlPath(name: string): string {
  const firstSlash = name.indexOf("/");
  const firstDot = name.indexOf(".");
  const slashed = firstSlash >= 0 && (firstDot < 0 || firstSlash < firstDot);
  if (name.split("/").includes("..")) throw new TypeError(`not a kernel setting: ${name}`);
  return `/proc/sys/${slashed ? name : name.replaceAll(/[./]/g, (mark) => (mark === "." ? "/" : "."))}`;
}

function comeBackTo<T>(libc: Libc, types: readonly NamespaceType[], away: () => T): T {
  const home = types.map((type) => ({ type, fd: openSync(`/proc/thread-self/ns/${type}`, "r") }));
  try {
    return away();
  } finally {
    // A process that cannot come back would do everything else in the wrong place: better that it ends.
    for (const { type, fd } of home) {
      try {
        libc.setns(fd, cloneFlags[type]);
      } catch {
        process.abort();
      }
      closeSync(fd);
    }
  }
}

function withFile(path: string, use: (fd: number) => void): void {
  const fd = openSync(path, "r");
  try {
    use(fd);
  } finally {
    closeSync(fd);
  }
}
