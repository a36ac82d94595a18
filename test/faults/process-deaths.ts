/**
 * kill -9 of the control plane, of the node's process, and of both, under an application that must not notice.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeObject } from "#apimachinery/meta.ts";
import { eventually } from "../support/cluster.ts";
import { deleteNamespace, createNamespace, deploy, idleCommand, pods } from "./apps.ts";
import { ended, killBoth, killProcess, revived } from "./deaths.ts";
import type { Fault, FaultContext } from "./fault.ts";
import { timeoutMs } from "./load.ts";
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
    let longestOutageMs = 0;
    for (let round = 0; round < (size === "long" ? 10 : 1); round++) {
      await withVictims(context, async ({ victim, last }) => {
        const killedMs = performance.now();
        await ended(...killBoth(context));
        await sleep(context.random.integer(0, 1000));
        assert.equal(machine.findProcess("node"), undefined, "nobody is left to revive them");
        process.kill(victim.process.pid, "SIGKILL"); // the API must learn of this
        process.kill(last.process.pid, "SIGTERM"); // and that this has done its work
        await cluster.nodeless(["up", "--name", cluster.name]);
        const upMs = performance.now();
        longestOutageMs = Math.max(longestOutageMs, upMs - killedMs);
        await truthIsShown(context, { victim: victim.uid, last: last.uid });
        const tookMs = Math.round(performance.now() - upMs);
        log(`round ${round}: the truth ${tookMs} ms after up`);
        assert.ok(tookMs <= truthMs, `the truth was shown only after ${tookMs} ms`);
      });
      await app.assertUntouched();
    }
    // Who asks waits for so long; on a machine with much else to do an `up` takes longer.
    await app.stop({ lookupsMayFail: longestOutageMs > timeoutMs - 500 });
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

/** Two containers that will end while nobody looks: one that is to be started again, and one for which that is the end. */
async function withVictims(
  context: FaultContext,
  body: (victims: { readonly victim: Victim; readonly last: Victim }) => Promise<void>,
): Promise<void> {
  const { client, machine } = context;
  const namespace = "victims";
  await createNamespace(client, namespace);
  await client.create({ resource: pods, namespace }, onceOnly(namespace));
  await deploy(client, { namespace, name: "victim", replicas: 1, command: idleCommand });
  const find = async (isIt: (name: string) => boolean): Promise<Victim> => {
    const { items } = await client.list({ resource: pods, namespace });
    const uid = items.find(({ metadata }) => isIt(metadata?.name ?? ""))?.metadata?.uid;
    return await eventually("the victim's container", async () =>
      machine.liveContainers().find((container) => container.uid === uid),
    );
  };
  await body({ victim: await find((name) => name !== "once"), last: await find((name) => name === "once") });
  await deleteNamespace(client, namespace);
}

/** Ends with 7 when it is told to, and is not started again. */
function onceOnly(namespace: string): KubeObject {
  const command = ["sh", "-c", "trap 'exit 7' TERM; sleep 1000000 & wait"];
  const container = {
    name: "main",
    image: "docker.io/library/busybox:latest",
    imagePullPolicy: "IfNotPresent",
    command,
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "once", namespace },
    spec: { restartPolicy: "Never", containers: [container] },
  } as KubeObject;
}

/** The killed container is started again and says why, the one that ended says how and stays so, all others run as the API says, and the node is Ready. */
async function truthIsShown(
  { client, machine }: FaultContext,
  uids: { readonly victim: string; readonly last: string },
): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  for (;;) {
    const { items } = await client.list<PodState>({ resource: pods });
    const nodes = await client.list<NodeState>({ resource: { group: "", version: "v1", resource: "nodes" } });
    const find = (uid: string) => items.find(({ metadata }) => metadata.uid === uid)?.status;
    const [victim] = find(uids.victim)?.containerStatuses ?? [];
    const last = find(uids.last);
    const live = new Set(machine.liveContainers().map(({ id }) => id));
    const others = items.filter(({ metadata }) => metadata.uid !== uids.last);
    const areTrue = others.every(({ status }) =>
      status.containerStatuses.every(({ ready, containerID }) => ready && live.has(containerID.replace(/^.*\/\//, ""))),
    );
    const isVictimTrue = victim?.restartCount === 1 && victim.lastState.terminated?.exitCode === 137;
    const isLastTrue = last?.phase === "Failed" && last.containerStatuses[0]?.state?.terminated?.exitCode === 7;
    const isNodeReady = nodes.items.every(({ status }) =>
      status.conditions.some((condition) => condition.type === "Ready" && condition.status === "True"),
    );
    if (areTrue && isVictimTrue && isLastTrue && isNodeReady) return;
    const shown = JSON.stringify(items.map(({ status }) => status));
    assert.ok(performance.now() < deadlineMs, `not the truth, the node ${isNodeReady ? "" : "not "}Ready: ${shown}`);
    await sleep(10);
  }
}

type PodState = {
  readonly metadata: { readonly uid: string };
  readonly status: { readonly phase: string; readonly containerStatuses: readonly ContainerStatus[] };
};

type NodeState = KubeObject & {
  readonly status: { readonly conditions: readonly { readonly type: string; readonly status: string }[] };
};

type ContainerStatus = {
  readonly ready: boolean;
  readonly restartCount: number;
  readonly containerID: string;
  readonly state?: { readonly terminated?: { readonly exitCode: number } };
  readonly lastState: { readonly terminated?: { readonly exitCode: number } };
};
