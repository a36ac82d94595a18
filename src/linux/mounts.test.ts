import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { listMounts } from "./mounts.ts";

test("mounts are read with their propagation, options and strange names", () => {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-mounts-"));
  const file = join(folder, "mountinfo");
  writeFileSync(
    file,
    "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n37 35 0:5 / /x rw - cgroup cgroup rw,cpu,cpuacct\n",
  );

  const [first, second] = listMounts(file);
  rmSync(folder, { recursive: true });

  assert.deepEqual(first, {
    root: "/mnt1",
    target: "/mnt 2",
    type: "ext3",
    source: "/dev/root",
    propagation: ["master:1", "shared:2"],
    options: ["rw", "errors=continue"],
  });
  assert.deepEqual(second?.options, ["rw", "cpu", "cpuacct"]);
});
