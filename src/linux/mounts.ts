/**
 * Mounts: bind, overlay and tmpfs, and finding out what is mounted. Targets are made by the caller.
 */
import { readFileSync } from "node:fs";
import { kernelFlags, type Libc, SystemCallError } from "./libc.ts";

const { MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_NOSUID, MS_NODEV, MS_NOEXEC, MNT_DETACH } = kernelFlags;

/** A line of /proc/self/mountinfo. `propagation` has "shared:N" and "master:N" where they apply. */
export type MountEntry = {
  readonly root: string;
  readonly target: string;
  readonly type: string;
  readonly source: string;
  readonly propagation: readonly string[];
  /** Options of the file system itself: "rw", "memory", … */
  readonly options: readonly string[];
};

/** All mounts of this process's mount namespace, in the order they were made. */
export function listMounts(file = "/proc/self/mountinfo"): MountEntry[] {
  return readFileSync(file, "utf8").split("\n").filter(Boolean).map(parseMountLine);
}

/** Makes `source` (file or folder) appear at `target`. */
export function bindMount(
  libc: Libc,
  source: string,
  target: string,
  options: { readonly recursive?: boolean } = {},
): void {
  libc.mount(source, target, "", MS_BIND | (options.recursive ? MS_REC : 0), "");
}

/** Sets how mounts below `target` travel to and from other mount namespaces. */
export function setPropagation(libc: Libc, target: string, propagation: "private" | "shared" | "slave"): void {
  const flag = { private: MS_PRIVATE, shared: MS_SHARED, slave: MS_SLAVE }[propagation];
  libc.mount("none", target, "", flag | MS_REC, "");
}

/** A file system in memory. Default 64 MiB for anyone to write, as containers have at /dev/shm. */
export function mountTmpfs(libc: Libc, target: string, options = "mode=1777,size=67108864"): void {
  libc.mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
}

/**
 * Mounts layers over each other. `lower` are names of folders inside `lowerFolder`, topmost first: relative, because the kernel reads the options from one page of
 * 4,096 bytes, and long names would leave room for some 30 layers only.
 */
export function mountOverlay(
  libc: Libc,
  target: string,
  layers: {
    readonly lowerFolder: string;
    readonly lower: readonly string[];
    readonly upper: string;
    readonly work: string;
  },
): void {
  const options = `lowerdir=${layers.lower.join(":")},upperdir=${layers.upper},workdir=${layers.work}`;
  if (Buffer.byteLength(options) > 4095)
    throw new SystemCallError("mount", "E2BIG", `overlay of ${layers.lower.length} layers`);
  const before = process.cwd();
  // Everything up to the way back happens in one go, so no other code sees the changed folder.
  process.chdir(layers.lowerFolder);
  try {
    libc.mount("overlay", target, "overlay", 0, options);
  } finally {
    process.chdir(before);
  }
}

/** Takes a mount away, even a busy one. Not mounted is success. */
export function unmount(libc: Libc, target: string): void {
  try {
    libc.unmount(target, MNT_DETACH);
  } catch (error) {
    if (!(error instanceof SystemCallError) || !["EINVAL", "ENOENT"].includes(error.code)) throw error;
  }
}

/** Takes away all mounts at and below a folder, the last made first. */
export function unmountBelow(libc: Libc, folder: string): void {
  const inside = listMounts().filter((entry) => entry.target === folder || entry.target.startsWith(`${folder}/`));
  for (const entry of inside.reverse()) unmount(libc, entry.target);
}

function parseMountLine(line: string): MountEntry {
  const [before = "", after = ""] = line.split(" - ");
  const fields = before.split(" ");
  const [type = "", source = "", options = ""] = after.split(" ");
  return {
    root: unescapeField(fields[3] ?? ""),
    target: unescapeField(fields[4] ?? ""),
    type,
    source: unescapeField(source),
    propagation: fields.slice(6),
    options: options.split(","),
  };
}

// The kernel writes blanks, tabs, line ends and backslashes as three octal digits.
function unescapeField(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
