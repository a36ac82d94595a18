/**
 * The program that becomes a caged process: `node cage-main.ts CAGE.json`. Made root of a user namespace by `unshare`, it shuts itself into an almost empty root, gives up
 * all that it may do, says its number to who waits, and turns into the program that is to run. Where the machine forbids user namespaces it does what is left.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readlinkSync, statSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import type { CageFile } from "./cage-file.ts";
import { restrictFiles } from "./landlock.ts";
import { type LauncherCalls, loadLauncherCalls, mountFlags } from "./launcher-calls.ts";

const devices = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

function enterCage(cage: CageFile, calls: LauncherCalls): void {
  // Seen through the machine's own /proc: the number that the machine knows it by.
  const pid = Number(readlinkSync("/proc/self"));
  const filter = readFileSync(cage.filterFile);
  if (cage.hasNamespaces) enterRoot(cage, calls);
  else restrictFiles(calls, cage.mounts);
  calls.limitResources({ processes: cage.mostProcesses });
  calls.dieWithParent();
  calls.dropCapabilities();
  calls.refuseNewPrivileges();
  calls.filterSystemCalls(filter);
  calls.replaceErrors(cage.errors);
  calls.keepOnExec(cage.keep);
  writeSync(cage.report, `${JSON.stringify({ pid })}\n`);
  closeSync(cage.report);
  calls.execute(cage.command, cage.args, cage.env);
}

function enterRoot({ rootfs, mounts, hostname }: CageFile, calls: LauncherCalls): void {
  const { bind, recursive, readOnly, noSetuid, noDevices, remount } = mountFlags;
  const remounted = bind | remount | readOnly | noSetuid | noDevices;
  calls.mount(rootfs, rootfs, bind | recursive);
  for (const { hostPath, containerPath } of mounts) {
    const target = join(rootfs, containerPath);
    makeMountPoint(hostPath, target);
    calls.mount(hostPath, target, bind);
    calls.mount("", target, remounted | calls.lockedFlags(target));
  }
  // Harmless, and programs rely on them; all but these are closed to the cage.
  for (const device of devices.filter((path) => existsSync(path))) {
    makeMountPoint(device, join(rootfs, device));
    calls.mount(device, join(rootfs, device), bind);
  }
  calls.setHostname(hostname);
  calls.pivotInto(rootfs);
  calls.mount("", "/", remounted | calls.lockedFlags("/"));
}

function makeMountPoint(hostPath: string, target: string): void {
  if (statSync(hostPath).isDirectory()) return void mkdirSync(target, { recursive: true, mode: 0o755 });
  mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
  closeSync(openSync(target, "a", 0o644));
}

const cage = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as CageFile;
try {
  enterCage(cage, await loadLauncherCalls());
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  writeSync(cage.report, `${JSON.stringify({ pid: -1, message })}\n`);
  process.exit(1);
}
