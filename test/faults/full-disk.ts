/**
 * The disk under the data root fills: what runs goes on, reads and deletes work, what needs room is refused in clear words, processes that die come back, and with room
 * again everything works. On a cluster of its own, on a small ext4 in a file.
 */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { StatusError } from "#apimachinery/status-error.ts";
import { eventually } from "../support/cluster.ts";
import { createNamespace, deleteNamespace, deploy, deployments, idleCommand, pods, rolledOut } from "./apps.ts";
import { killProcess, revived } from "./deaths.ts";
import { startFaultCluster } from "./fault-cluster.ts";
import { fill, makeDisk } from "./small-disk.ts";
import type { Fault, FaultContext } from "./fault.ts";
import { SteadyApp } from "./steady-app.ts";

const namespace = "full";
const configMaps = { group: "", version: "v1", resource: "configmaps" };
const diskBytes = 400 << 20;

export const fullDisk: Fault = {
  name: "full-disk",
  claim:
    "on a full disk what runs goes on, reads and deletes work, what needs room is refused clearly, and with room all is well",
  needs: "mkfs.ext4",
  async run(shared) {
    const disk = makeDisk(diskBytes);
    try {
      const own = await startFaultCluster(`${shared.cluster.name}-full`, { dataRoot: join(disk.folder, "data") });
      try {
        await tryIt({ ...shared, ...own }, disk.folder).catch(async (error: unknown) => {
          // As upstream's, a node whose disk stays full ends pods at its next look, after ten seconds: on a machine with much else to do it comes to that.
          if (await hasEvicted(own.client))
            return shared.log(`not tried to its end, since the node evicted pods: ${(error as Error).message}`);
          const { stdout } = await own.cluster.kubectl(["get", "all,events", "-A"], { mayFail: true });
          shared.log(stdout);
          throw error;
        });
      } finally {
        await own.remove();
      }
    } finally {
      disk.remove();
    }
  },
};

async function hasEvicted(client: FaultContext["client"]): Promise<boolean> {
  const { items } = await client.list<EventState>({ resource: { group: "", version: "v1", resource: "events" } });
  return items.some(({ reason }) => reason === "Evicted");
}

async function tryIt(context: FaultContext, disk: string): Promise<void> {
  const app = await SteadyApp.start(context, 25);
  try {
    await fillAndDie(context, app, disk);
  } finally {
    await app.abandon();
  }
}

async function fillAndDie(context: FaultContext, app: SteadyApp, disk: string): Promise<void> {
  const { client, log, machine, size } = context;
  await createNamespace(client, namespace);
  await deploy(client, { namespace, name: "before", replicas: 2, command: idleCommand });
  for (let round = 0; round < (size === "long" ? 3 : 1); round++) {
    const made = await createUntilRefused(context, join(disk, "filler"));
    log(`the disk is full: ${made} objects were taken before one was refused`);
    assert.equal((await listNotes(context)).length, made, "reads work");
    await app.assertUntouched();
    for (const role of ["control-plane", "node"] as const) {
      const tookMs = await revived(context, role, killProcess(context, role));
      log(`${role} back after ${tookMs} ms on a full disk`);
    }
    await app.assertUntouched();
    for (const name of await listNotes(context)) await client.delete({ resource: configMaps, namespace, name });
    assert.deepEqual(await listNotes(context), [], "deletes work");
    await podsGoAway(context);
    rmSync(join(disk, "filler"));
    await eventually("writes with room again", async () => {
      await client.create({ resource: configMaps, namespace }, note("after"));
      return true;
    });
    await client.delete({ resource: configMaps, namespace, name: "after" });
    const ref = { resource: deployments, namespace, name: "before" };
    await client.patch(ref, { type: "merge", body: { spec: { replicas: 2 } } });
    await eventually("new pods", async () => (await client.list({ resource: pods, namespace })).items.length === 2);
    // As upstream, a node that was short of disk takes no pods for five minutes more.
    if (size === "long") await rolledOut(client, ref, 420_000);
    const { items } = await client.list<NodeState>({ resource: { group: "", version: "v1", resource: "nodes" } });
    const ready = items[0]?.status.conditions.find(({ type }) => type === "Ready");
    assert.equal(ready?.status, "True", "the node is Ready");
  }
  await deleteNamespace(client, namespace);
  await app.assertUntouched();
  await app.stop();
  assert.equal(machine.liveContainers().length, 0);
}

/** Creates objects, fills the disk with a file, and goes on until one is refused for want of room; gives how many were taken. */
async function createUntilRefused({ client }: FaultContext, filler: string): Promise<number> {
  for (let made = 0; made < 2000; made++) {
    if (made === 20) fill(filler);
    try {
      await client.create({ resource: configMaps, namespace }, note(`note-${made}`));
    } catch (error) {
      const { code, message } = error as StatusError;
      assert.ok(code === 507 || code === 500, `${code}: ${message}`);
      assert.match(message, /room|space|full/i);
      return made;
    }
  }
  throw new Error("the disk took everything");
}

function note(name: string): KubeObject {
  const data = { filling: "x".repeat(100_000) };
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data } as KubeObject;
}

async function listNotes({ client }: FaultContext): Promise<readonly string[]> {
  const { items } = await client.list({ resource: configMaps, namespace });
  return items.map(({ metadata }) => metadata?.name ?? "").filter((name) => name.startsWith("note-"));
}

/** Pods are deleted on a full disk, and their containers end. */
async function podsGoAway({ client, machine }: FaultContext): Promise<void> {
  const ref = { resource: deployments, namespace, name: "before" };
  const { items } = await client.list({ resource: pods, namespace });
  const uids = new Set(items.map(({ metadata }) => metadata?.uid));
  await eventually("the Deployment scaled down", () =>
    client.patch(ref, { type: "merge", body: { spec: { replicas: 0 } } }),
  );
  await eventually("no pods", async () => (await client.list({ resource: pods, namespace })).items.length === 0);
  assert.ok(machine.liveContainers().every(({ uid }) => !uids.has(uid)));
}

type EventState = KubeObject & { readonly reason?: string };

type NodeState = KubeObject & {
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
};
