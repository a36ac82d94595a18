import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ensurePki } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";
import { addressPlan } from "./address-plan.ts";
import {
  type ClusterRecord,
  clusterFolder,
  DamagedRecord,
  defaultRunRoot,
  readClusterRecord,
  writeClusterRecord,
} from "./cluster-record.ts";
import { listClusters, type MachineContext } from "./clusters.ts";
import { getRemovable } from "./removable.ts";

const record: ClusterRecord = {
  formatVersion: 1,
  name: "c",
  slot: 7,
  nodes: 2,
  apiPort: 6443,
  kubeconfig: "/root/.kube/config",
  isExposed: false,
  createdBy: "0.1.0",
  createdAt: "2026-01-01T00:00:00Z",
};

function contextOf(test: TestContext): MachineContext & { readonly home: string } {
  const dataRoot = mkdtempSync(join(tmpdir(), "record-"));
  test.after(() => rmSync(dataRoot, { recursive: true, force: true }));
  const home = join(dataRoot, "clusters", "c");
  return { dataRoot, runRoot: join(dataRoot, "run"), isRoot: false, environment: { HOME: dataRoot }, home };
}

test("a record that is not whole is damaged, names delete, and no new one is begun over it", (context) => {
  const { home } = contextOf(context);
  writeClusterRecord(home, record);
  const path = join(home, "cluster.json");
  const whole = JSON.stringify(record);
  const bad = [
    whole.slice(0, 40),
    "",
    "null",
    "[]",
    "{}",
    JSON.stringify({ ...record, slot: "7" }),
    whole.replace("6443", "0"),
  ];

  for (const text of bad) {
    writeFileSync(path, text);
    assert.throws(
      () => readClusterRecord(home, "c"),
      (error) => error instanceof DamagedRecord && /is damaged .* 'nodeless delete --name c'/.test(error.message),
      text,
    );
  }
  writeFileSync(path, whole);
  assert.deepEqual(readClusterRecord(home, "c"), record);
  assert.throws(() => readClusterRecord(home, "d"), /it is of a cluster "c"/);
});

test("a record that is gone while data is there is damaged too", (context) => {
  const { home } = contextOf(context);
  assert.equal(readClusterRecord(home, "c"), undefined);

  mkdirSync(join(home, "store"), { recursive: true });

  assert.throws(() => readClusterRecord(home, "c"), /cluster.json is damaged \(it is missing/);
});

test("a record of a newer version is for the newer version, also for delete", (context) => {
  const machine = contextOf(context);
  writeClusterRecord(machine.home, { ...record, formatVersion: 99 as 1 });
  mkdirSync(join(machine.runRoot, "c"), { recursive: true }); // it runs

  assert.throws(() => readClusterRecord(machine.home, "c"), /written by a newer nodeless/);
  assert.throws(() => getRemovable(machine, "c"), /written by a newer nodeless/);
});

test("a broken cluster is listed with what to do", async (context) => {
  const machine = contextOf(context);
  writeClusterRecord(machine.home, record);
  writeClusterRecord(join(machine.dataRoot, "clusters", "d"), { ...record, name: "d" });
  writeFileSync(join(machine.home, "cluster.json"), "{");

  const [broken, whole] = await listClusters(machine);

  assert.equal(broken !== undefined && "trouble" in broken && /nodeless delete --name c/.test(broken.trouble), true);
  assert.equal(whole?.name, "d");
});

test("of a damaged cluster delete finds out slot and nodes from its certificates", async (context) => {
  const machine = contextOf(context);
  const { home } = machine;
  writeClusterRecord(home, record);
  await ensurePki(join(home, "pki"), {
    serverAddresses: ["127.0.0.1", addressPlan({ slot: 7 }).controlPlane],
    clock: systemClock,
  });
  mkdirSync(join(home, "pki/nodes"));
  for (const file of ["c-1.crt", "c-1-server.crt", "c-2.crt", "c-2-server.crt"])
    writeFileSync(join(home, "pki/nodes", file), "");
  writeFileSync(join(home, "cluster.json"), "{");

  const { record: guessed, layout } = getRemovable(machine, "c");

  assert.deepEqual([guessed.name, guessed.slot, guessed.nodes, layout.folder], ["c", 7, 2, home]);
});

test("a cluster whose folder is gone can be removed while its run folder is there", (context) => {
  const machine = contextOf(context);
  assert.throws(() => getRemovable(machine, "c"), /no cluster "c"/);

  for (const node of ["c-1", "c-2"]) mkdirSync(join(machine.runRoot, "c", "nodes", node), { recursive: true });

  assert.equal(getRemovable(machine, "c").record.nodes, 2);
});

test("another --data-dir for a cluster that has one is refused, also when its record is damaged", (context) => {
  const { dataRoot, home } = contextOf(context);
  const elsewhere = join(dataRoot, "elsewhere");
  assert.equal(clusterFolder(dataRoot, "c", elsewhere), elsewhere);
  writeClusterRecord(elsewhere, record);

  assert.equal(clusterFolder(dataRoot, "c", undefined), elsewhere);
  assert.throws(() => clusterFolder(dataRoot, "c", home), /has its data in .*elsewhere/);
  writeFileSync(join(elsewhere, "cluster.json"), "{");
  assert.throws(() => clusterFolder(dataRoot, "c", home), DamagedRecord);
});

test("each data root has a run folder of its own", () => {
  const [standard, other] = ["/var/lib/nodeless", "/srv/nodeless"].map((root) => defaultRunRoot({}, root, true));

  assert.equal(standard, "/run/nodeless");
  assert.match(other ?? "", /^\/run\/nodeless-[0-9a-f]{8}$/);
  assert.equal(defaultRunRoot({ NODELESS_RUN_ROOT: "/run/x" }, "/srv/nodeless", true), "/run/x");
});
