/**
 * The root of a container without an image: an empty folder, in which only mounts appear.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";

/** Makes it in the container's folder; gives its path. Nobody writes there but the agent, from outside. */
export function makeBareRoot(folder: string): string {
  const rootfs = join(folder, "rootfs");
  // OCI runtimes put null, zero and the like there, whatever the specification says.
  mkdirSync(join(rootfs, "dev"), { recursive: true, mode: 0o755 });
  return rootfs;
}
