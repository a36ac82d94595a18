import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { clusterLayout } from "./layout.ts";
import {
  inheritedPermit,
  isPermitted,
  issuePermit,
  listPermitHolders,
  permitVariable,
  withdrawPermit,
} from "./run-permit.ts";

const folder = mkdtempSync(join(tmpdir(), "permit-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const layoutOf = (name: string) => clusterLayout(name, join(folder, name), folder, join(folder, "run"));

test("a permit is one for all until it is withdrawn, and the next one is another", () => {
  const layout = layoutOf("one");
  const first = issuePermit(layout);
  const second = issuePermit(layout);
  assert.deepEqual([first.isValid(), second.isValid(), isPermitted(layout)], [true, true, true]);

  withdrawPermit(layout);
  assert.deepEqual([first.isValid(), second.isValid(), isPermitted(layout)], [false, false, false]);

  const third = issuePermit(layout);
  assert.deepEqual([first.isValid(), third.isValid(), isPermitted(layout)], [false, true, true]);
  for (const { descriptor } of [first, second, third]) closeSync(descriptor);
});

test("those who hold a permit are found, also when it and its folder are gone", async () => {
  const layout = layoutOf("held");
  const permit = issuePermit(layout);
  const child = spawn("sleep", ["60"], { stdio: ["ignore", "ignore", "ignore", permit.descriptor] });
  closeSync(permit.descriptor);
  await once(child, "spawn");

  const before = listPermitHolders(layout);
  withdrawPermit(layout);
  rmSync(layout.run, { recursive: true });
  const afterwards = listPermitHolders(layout);
  child.kill("SIGKILL");
  await once(child, "exit");

  assert.deepEqual({ before, afterwards }, { before: [child.pid], afterwards: [child.pid] });
  assert.deepEqual(listPermitHolders(layout), []);
});

test("a process takes its permit out of the environment, so that what it starts has none by accident", () => {
  const permit = issuePermit(layoutOf("taken"));
  const environment = { [permitVariable]: String(permit.descriptor) };

  const inherited = inheritedPermit(environment);

  assert.equal(inherited?.isValid(), true);
  assert.deepEqual(environment, {});
  closeSync(permit.descriptor);
});
