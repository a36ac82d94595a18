/**
 * The images that tests and examples use, and what they are made of.
 */
import { execFile } from "node:child_process";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { LayoutContent } from "#images/layout-writer.ts";
import { unpackPackages } from "./debian.ts";

/** Fills `root` and says how the image is run. `cache` is for what was fetched. */
export type Recipe = {
  readonly name: string;
  prepare(root: string, cache: string): Promise<Pick<LayoutContent, "config" | "owners">>;
};

const commonPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** busybox with all its commands, statically linked; about 2 MB. */
export const busybox: Recipe = {
  name: "docker.io/library/busybox:latest",
  async prepare(root, cache) {
    await unpackPackages(["busybox-static"], join(cache, "busybox"), cache);
    await makeBase(root, { nobody: 65534, "www-data": 33 });
    const binary = join(cache, "busybox", "bin", "busybox");
    await promisify(execFile)("cp", [binary, join(root, "bin", "busybox")]);
    const { stdout } = await promisify(execFile)(binary, ["--list"]);
    for (const command of stdout.split("\n").filter((name) => name !== "" && name !== "busybox"))
      await symlink("busybox", join(root, "bin", command));
    return { config: { Env: [commonPath], Cmd: ["sh"] } };
  },
};

export const recipes: readonly Recipe[] = [busybox];

/** Folders and users that programs expect. */
export async function makeBase(root: string, users: Readonly<Record<string, number>>): Promise<void> {
  for (const folder of ["bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var/tmp"])
    await mkdir(join(root, folder), { recursive: true });
  await chmod(join(root, "tmp"), 0o1777);
  await chmod(join(root, "var/tmp"), 0o1777);
  await chmod(join(root, "root"), 0o700);
  const names = Object.entries(users);
  const passwd = names.map(([name, id]) => `${name}:x:${id}:${id}:${name}:/nonexistent:/bin/false\n`);
  await writeFile(join(root, "etc/passwd"), `root:x:0:0:root:/root:/bin/sh\n${passwd.join("")}`);
  await writeFile(join(root, "etc/group"), `root:x:0:\n${names.map(([name, id]) => `${name}:x:${id}:\n`).join("")}`);
  await writeFile(join(root, "etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n");
}
