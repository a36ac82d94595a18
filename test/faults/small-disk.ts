/**
 * A small ext4 in a file, and how it is filled.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Until not one byte more is taken. */
export function fill(path: string): void {
  const file = openSync(path, "w");
  try {
    for (const piece of [Buffer.alloc(1 << 20), Buffer.alloc(4096), Buffer.alloc(1)]) {
      try {
        for (;;) writeSync(file, piece);
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
      }
    }
  } finally {
    closeSync(file);
  }
}

/** A file system of its own in a file, until `remove`. */
export function makeDisk(bytes: number): { readonly folder: string; readonly remove: () => void } {
  const home = mkdtempSync(join(tmpdir(), "nodeless-disk-"));
  const folder = join(home, "disk");
  mkdirSync(folder);
  run("truncate", ["-s", String(bytes), join(home, "image")]);
  run("mkfs.ext4", ["-q", "-m", "0", join(home, "image")]);
  run("mount", ["-o", "loop", join(home, "image"), folder]);
  return {
    folder,
    remove() {
      if (existsSync(folder)) run("umount", ["--lazy", folder]);
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function run(program: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
  assert.equal(status, 0, `${program}: ${stderr}`);
}
