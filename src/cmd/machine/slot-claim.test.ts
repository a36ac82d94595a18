import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { clusterLayout, controlPlaneSocket } from "./layout.ts";
import {
  abandonedClaims,
  type Claim,
  type Claimant,
  claimedSlots,
  claimSlot,
  findClaim,
  ownsSlot,
  releaseSlot,
} from "./slot-claim.ts";
import { SupervisionServer } from "./supervision.ts";

const folder = mkdtempSync(join(tmpdir(), "claims-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A cluster with a record on disk, of a data root of its own. */
function clusterIn(root: string, slot: number): Claimant {
  const home = join(folder, root, "clusters", "same-name");
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, "cluster.json"), "{}");
  const layout = clusterLayout("same-name", home, join(folder, root), join(folder, root, "run"));
  return { record: { name: "same-name", slot }, layout };
}

/** Its control plane, as far as others see it. */
async function listening({ layout }: Claimant): Promise<SupervisionServer> {
  const server = new SupervisionServer(controlPlaneSocket(layout), { role: "control-plane", name: "x" }, () => {});
  await server.listen();
  return server;
}

test("a slot belongs to its cluster until that is removed, running or not", async () => {
  const claims = join(folder, "one");
  const cluster = clusterIn("a", 3);
  await claimSlot(cluster, claims);
  assert.deepEqual([claimedSlots([claims]), findClaim(cluster.layout.folder, [claims])?.slot], [[3], 3]);

  releaseSlot(cluster, claims);

  assert.deepEqual(claimedSlots([claims]), []);
});

test("a claim of a cluster whose folder was removed is abandoned, unless it still runs", async () => {
  const claims = join(folder, "two");
  const cluster = clusterIn("b", 3);
  await claimSlot(cluster, claims);
  assert.deepEqual(await abandonedClaims(claims), []);

  rmSync(cluster.layout.folder, { recursive: true });

  const [abandoned] = await abandonedClaims(claims);
  assert.deepEqual([abandoned?.slot, abandoned?.claim.folder], [3, cluster.layout.folder]);
  const running = await listening(cluster);
  assert.deepEqual(await abandonedClaims(claims), []);
  await running.close();
});

test("a claim of a cluster whose file system is not mounted stays", async () => {
  const claims = join(folder, "four");
  const cluster = clusterIn("e", 3);
  await claimSlot(cluster, claims);
  const file = join(claims, "3");
  const claim = JSON.parse(readFileSync(file, "utf8")) as Claim;
  // As if the folder had been on another one than what is found at its path now.
  writeFileSync(file, JSON.stringify({ ...claim, device: (claim.device ?? 0) + 1 }));

  rmSync(cluster.layout.folder, { recursive: true });

  assert.deepEqual([await abandonedClaims(claims), claimedSlots([claims])], [[], [3]]);
});

test("of two clusters with one slot, the second is refused while the first one runs and has it afterwards", async () => {
  const claims = join(folder, "three");
  const [first, second] = [clusterIn("c", 3), clusterIn("d", 3)];
  await claimSlot(first, claims);
  const running = await listening(first);
  await assert.rejects(claimSlot(second, claims), /in use by cluster "same-name" with its data in .*c\/clusters/);
  await running.close();

  await claimSlot(second, claims);

  assert.deepEqual([ownsSlot(first, claims), ownsSlot(second, claims)], [false, true]);
  releaseSlot(first, claims);
  assert.deepEqual(claimedSlots([claims]), [3]);
});
