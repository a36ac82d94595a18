/**
 * kill -9 of the control plane, of the node's process, and of both, under an application that must not notice.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { deleteNamespace, createNamespace, deploy, idleCommand, pods } from "./apps.ts";
import { ended, killBoth, killProcess, revived } from "./deaths.ts";
import type { Fault, FaultContext } from "./fault.ts";
import { SteadyApp } from "./steady-app.ts";

/** After a revival the API must tell the truth within this. */
const truthMs = 2000;

export const controlPlaneDeath: Fault = {
  name: "control-plane",
  claim: "when the control plane is killed no request and no lookup fails, and the node revives it",
  run: (context) => killRepeatedly(context, "control-plane"),
};

export const nodeDeath: Fault = {
  name: "node",
  claim: "when the node's process is killed no request and no lookup fails, and containers stay the same processes",
  run: (context) => killRepeatedly(context, "node"),
};

export const bothDeaths: Fault = {
  name: "both",
  claim: "when both processes are killed containers go on, and after `up` the API shows within 2 s what is true",
  async run(context) {
    const { log, size, machine, cluster } = context;
    const before = machine.census();
    const app = await SteadyApp.start(context);
    for (let round = 0; round < (size === "long" ? 10 : 1); round++) {
      await withVictim(context, async (victim) => {
        await ended(...killBoth(context));
        await sleep(context.random.integer(0, 1000));
        assert.equal(machine.findProcess("node"), undefined, "nobody is left to revive them");
        process.kill(victim.process.pid, "SIGKILL"); // the API must learn of this
        await cluster.nodeless(["up", "--name", cluster.name]);
        const upMs = performance.now();
        await truthIsShown(context, victim.uid);
        const tookMs = Math.round(performance.now() - upMs);
        log(`round ${round}: the truth ${tookMs} ms after up`);
        assert.ok(tookMs <= truthMs, `the truth was shown only after ${tookMs} ms`);
      });
      await app.assertUntouched();
    }
    await app.stop();
    await machine.sameAs(before);
  },
};

async function killRepeatedly(context: FaultContext, role: "control-plane" | "node"): Promise<void> {
  const { machine, log, size, random } = context;
  const before = machine.census();
  const app = await SteadyApp.start(context);
  for (let round = 0; round < (size === "long" ? 20 : 2); round++) {
    const tookMs = await revived(context, role, killProcess(context, role));
    log(`round ${round}: ready again after ${tookMs} ms`);
    await app.assertUntouched();
    await sleep(random.integer(0, 500));
  }
  await app.stop();
  await machine.sameAs(before);
}

type Victim = { readonly uid: string; readonly process: { readonly pid: number } };

async function withVictim(context: FaultContext, body: (victim: Victim) => Promise<void>): Promise<void> {
  const { client, machine } = context;
  const namespace = "victims";
  await createNamespace(client, namespace);
  await deploy(client, { namespace, name: "victim", replicas: 1, command: idleCommand });
  const { items } = await client.list({ resource: pods, namespace });
  const uid = items[0]?.metadata?.uid ?? "";
  const victim = machine.liveContainers().find((container) => container.uid === uid);
  assert.ok(victim);
  await body(victim);
  await deleteNamespace(client, namespace);
}

/** The killed container is started again and says why, all nodes and pods are Ready. */
async function truthIsShown({ client, machine }: FaultContext, uid: string): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  for (;;) {
    const { items } = await client.list<PodState>({ resource: pods });
    const victim = items.find(({ metadata }) => metadata.uid === uid);
    const [status] = victim?.status.containerStatuses ?? [];
    const live = new Set(machine.liveContainers().map(({ id }) => id));
    const areTrue = items.every(({ status }) =>
      status.containerStatuses.every(({ ready, containerID }) => ready && live.has(containerID.replace(/^.*\/\//, ""))),
    );
    if (status?.restartCount === 1 && status.lastState.terminated?.exitCode === 137 && areTrue) return;
    assert.ok(performance.now() < deadlineMs, `not the truth: ${JSON.stringify(items.map(({ status }) => status))}`);
    await sleep(10);
  }
}

type PodState = {
  readonly metadata: { readonly uid: string };
  readonly status: { readonly containerStatuses: readonly ContainerStatus[] };
};

type ContainerStatus = {
  readonly ready: boolean;
  readonly restartCount: number;
  readonly containerID: string;
  readonly lastState: { readonly terminated?: { readonly exitCode: number } };
};
