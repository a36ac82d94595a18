/**
 * Death of what stands between the node and its containers: conmon, and the OCI runtime in the middle of its work.
 */
import assert from "node:assert/strict";
import type { KubeObject } from "#apimachinery/meta.ts";
import { eventually } from "../support/cluster.ts";
import { createNamespace, deleteNamespace, deploy, deployments, idleCommand, pods, rolledOut } from "./apps.ts";
import { ended, killProcess, revived } from "./deaths.ts";
import type { Fault, FaultContext } from "./fault.ts";
import { hunt } from "./hunt.ts";
import type { LiveContainer } from "./machine.ts";

const namespace = "monitors";
const ref = { resource: deployments, namespace, name: "watched" };

export const monitorDeaths: Fault = {
  name: "monitors",
  claim:
    "a container whose conmon is killed is restarted and says why, whether the node lives or not; its neighbours go on",
  async run(context) {
    const { client, machine, size, random } = context;
    const before = machine.census();
    await createNamespace(client, namespace);
    await deploy(client, { ...ref, replicas: 3, command: idleCommand });
    for (let round = 0; round < (size === "long" ? 10 : 2); round++) {
      const victim = random.pick(await watched(context));
      const others = (await watched(context)).filter(({ id }) => id !== victim.id);
      const dead = round % 2 === 1 ? killProcess(context, "node") : undefined;
      assert.ok(victim.monitor);
      process.kill(victim.monitor.pid, "SIGKILL");
      if (dead) await revived(context, "node", dead);
      await restartedAndExplained(context, victim);
      await ended(victim.process);
      const ids = (await watched(context)).map(({ id }) => id);
      assert.ok(
        others.every(({ id }) => ids.includes(id)),
        "the neighbours are untouched",
      );
      assert.equal(ids.length, 3);
    }
    await deleteNamespace(client, namespace);
    await machine.sameAs(before);
  },
};

export const runtimeDeaths: Fault = {
  name: "runtimes",
  claim:
    "when the OCI runtime is killed while it makes containers they are made all the same, and nothing is left of the first try",
  async run(context) {
    const { client, machine, size, log } = context;
    const before = machine.census();
    await createNamespace(client, namespace);
    await deploy(client, { ...ref, replicas: 1, command: idleCommand });
    let killed = 0;
    const rounds = size === "long" ? 15 : 2;
    for (let round = 0; round < rounds; round++) {
      const prey = hunt((command) => /^\S*(crun|runc) /.test(command) && command.includes(machine.nodeRunFolder), 3000);
      await scale(context, round % 2 === 0 ? 5 : 1);
      if (round % 2 === 0) killed += killQuietly(await prey);
      await rolledOut(client, ref);
      await prey;
    }
    log(`killed ${killed} runtimes`);
    assert.ok(killed > 0, "a runtime was met");
    await deleteNamespace(client, namespace);
    await machine.sameAs(before);
  },
};

async function scale({ client }: FaultContext, replicas: number): Promise<void> {
  await client.patch(ref, { type: "merge", body: { spec: { replicas } } });
}

function killQuietly(pid: number | undefined): number {
  if (pid === undefined) return 0;
  try {
    process.kill(pid, "SIGKILL");
    return 1;
  } catch {
    return 0; // it was quicker
  }
}

async function watched({ client, machine }: FaultContext): Promise<readonly LiveContainer[]> {
  const { items } = await client.list({ resource: pods, namespace });
  const uids = new Set(items.map(({ metadata }) => metadata?.uid));
  return machine.liveContainers().filter(({ uid }) => uids.has(uid));
}

async function restartedAndExplained({ client }: FaultContext, victim: LiveContainer): Promise<void> {
  await eventually("the restart of a container without its conmon", async () => {
    const { items } = await client.list<PodState>({ resource: pods, namespace });
    const [status] = items.find(({ metadata }) => metadata?.uid === victim.uid)?.status.containerStatuses ?? [];
    const last = status?.lastState.terminated;
    if (!status?.ready || !last?.containerID.endsWith(victim.id)) return false;
    assert.equal(last.exitCode, 137);
    assert.match(last.message ?? "", /monitor of the container died/);
    return true;
  });
}

type PodState = KubeObject & {
  readonly status: {
    readonly containerStatuses: readonly {
      readonly ready: boolean;
      readonly lastState: {
        readonly terminated?: { readonly exitCode: number; readonly message?: string; readonly containerID: string };
      };
    }[];
  };
};
