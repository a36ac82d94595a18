/**
 * Landlock: a process gives up all files but those named. Needs no privilege and no namespace; used where the machine forbids user namespaces. A kernel without it is no error.
 */
import { closeSync, existsSync, openSync } from "node:fs";
import { SystemCallError } from "#linux/libc.ts";
import type { CageFile } from "./cage-file.ts";
import type { LauncherCalls } from "./launcher-calls.ts";

const createRuleset = 444;
const addRule = 445;
const restrictSelf = 446;
const pathBeneath = 1;
/** All rights of the first version of Landlock: execute, write, read, list, remove and make. */
const allRights = 0x1fffn;
const executeAndRead = 0b101n;
const openPath = 0o10000000;

/** Files that the C library looks at. */
const always = ["hosts", "resolv.conf", "nsswitch.conf", "host.conf", "gai.conf", "ld.so.cache"].map(
  (name) => `/etc/${name}`,
);

/** From now on this process, and what it becomes, opens these mounts' files only. False where the kernel does not know of such rules. */
export function restrictFiles(calls: LauncherCalls, mounts: CageFile["mounts"]): boolean {
  const attributes = Buffer.alloc(8);
  attributes.writeBigUInt64LE(allRights);
  let ruleset: number;
  try {
    ruleset = calls.callByNumber(createRuleset, "landlock_create_ruleset", attributes, attributes.length);
  } catch (error) {
    if (error instanceof SystemCallError && ["ENOSYS", "EOPNOTSUPP"].includes(error.code)) return false;
    throw error;
  }
  const paths = mounts.flatMap(({ hostPath, containerPath }) => [hostPath, containerPath]);
  for (const path of [...paths, ...always]) if (existsSync(path)) allowReading(calls, ruleset, path);
  calls.refuseNewPrivileges();
  calls.callByNumber(restrictSelf, "landlock_restrict_self", ruleset, 0);
  closeSync(ruleset);
  return true;
}

function allowReading(calls: LauncherCalls, ruleset: number, path: string): void {
  const file = openSync(path, openPath);
  const rule = Buffer.alloc(12);
  rule.writeBigUInt64LE(executeAndRead, 0);
  rule.writeInt32LE(file, 8);
  calls.callByNumber(addRule, "landlock_add_rule", ruleset, pathBeneath, rule);
  closeSync(file);
}
