/** `npm run guest`: installs QEMU and debootstrap where root and apt allow it, and runs the tests that need a machine of their own: control groups v2, systemd, a reboot. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ensureBundle, ensureNpmPackages, ensureSystemTools, root } from "./setup.mjs";

const guestTools = [
  { command: "qemu-system-x86_64", debian: "qemu-system-x86", why: "runs the guest" },
  { command: "debootstrap", debian: "debootstrap", why: "makes the guest's system" },
  { command: "mkfs.ext4", debian: "e2fsprogs", why: "makes the guest's disks" },
];

ensureNpmPackages();
ensureSystemTools();
if (!ensureSystemTools(guestTools)) process.exit(1);
await ensureBundle();
const args = [join(root, "tools/node24.mjs"), join(root, "tools/run-tests.ts"), "test/guest"];
const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
process.exit(status ?? 1);
