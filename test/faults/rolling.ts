/**
 * Deployments roll without pause while processes die at random moments: nothing is doubled, lost or leaked, and no rollout leaves its bounds.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeObject } from "#apimachinery/meta.ts";
import {
  createNamespace,
  deleteNamespace,
  deploy,
  deployments,
  idleCommand,
  pods,
  replicaSets,
  rolledOut,
} from "./apps.ts";
import type { Fault, FaultContext } from "./fault.ts";
import { hunt } from "./hunt.ts";
import { PodWatch } from "./pod-watch.ts";
import { SteadyApp } from "./steady-app.ts";

const namespace = "rolling";
const names = ["one", "two", "three"];
const replicas = 4;
/** A pod that lost its container is available again within this. */
const recoveryMs = 15_000;

type Target = "control-plane" | "node" | "conmon" | "runtime";
const targets: readonly Target[] = ["control-plane", "node", "conmon", "conmon", "runtime"];

export const rollingKills: Fault = {
  name: "rolling",
  claim: "kills at random moments while Deployments roll: none doubled, lost or leaked, no rollout leaves its bounds",
  async run(context) {
    const { client, machine, log, size } = context;
    const before = machine.census();
    const steady = await SteadyApp.start(context, 25);
    await createNamespace(client, namespace);
    await Promise.all(
      names.map((name) =>
        deploy(client, { namespace, name, replicas, command: idleCommand, maxSurge: 1, maxUnavailable: 1 }),
      ),
    );
    const watch = new PodWatch(context, namespace, { most: replicas + 1, leastAvailable: replicas - 1 });
    await watch.start();
    const stop = new AbortController();
    const doubles = new Set<string>();
    const beside = [rollWithoutPause(context, stop.signal), lookForDoubles(context, stop.signal, doubles)];
    const kills = await killAtRandom(context, size === "long" ? 200 : 8, watch).finally(() => stop.abort());
    await Promise.all(beside);
    log(`killed ${[...kills].map(([target, count]) => `${count} × ${target}`).join(", ")}`);
    await bothAlive(context);
    for (const name of names) await rolledOut(client, { resource: deployments, namespace, name }, 120_000);
    await checkEnd(context, (kills.get("conmon") ?? 0) + (kills.get("runtime") ?? 0));
    const { events, resumes } = await watch.stop();
    log(`the watch heard ${events} events and resumed ${resumes} times`);
    assert.deepEqual([...doubles], [], "containers that ran twice");
    await deleteNamespace(client, namespace);
    await steady.assertUntouched();
    await steady.stop({ lookupsMayFail: true });
    await machine.sameAs(before, 30_000);
  },
};

async function killAtRandom(
  context: FaultContext,
  count: number,
  watch: PodWatch,
): Promise<ReadonlyMap<Target, number>> {
  const { random } = context;
  const kills = new Map<Target, number>();
  for (let done = 0; done < count; ) {
    const target = random.pick(targets);
    const pid = await findTarget(context, target);
    if (pid !== undefined && killQuietly(pid)) {
      done += 1;
      kills.set(target, (kills.get(target) ?? 0) + 1);
      if (target === "conmon" || target === "runtime") watch.excuse(recoveryMs);
      if (done % 20 === 0) context.log(`${done} kills`);
    }
    await sleep(random.integer(0, 900));
    await bothAlive(context);
  }
  return kills;
}

async function findTarget({ machine, random, client }: FaultContext, target: Target): Promise<number | undefined> {
  if (target === "control-plane" || target === "node") return machine.findProcess(target)?.pid;
  if (target === "runtime")
    return await hunt((line) => /^\S*(crun|runc) /.test(line) && line.includes(machine.nodeRunFolder), 1500);
  try {
    const { items } = await client.list({ resource: pods, namespace });
    const uids = new Set(items.map(({ metadata }) => metadata?.uid));
    const monitors = machine.liveContainers().filter(({ uid }) => uids.has(uid));
    return random.pick(monitors).monitor?.pid;
  } catch {
    return undefined; // the API is away, or there is none just now
  }
}

/** Whoever of the two lives brings the other back; when both are dead only `up` does. */
async function bothAlive({ machine, cluster }: FaultContext): Promise<void> {
  for (let tries = 0; tries < 3; tries++) {
    if (machine.findProcess("control-plane") || machine.findProcess("node")) return;
    await sleep(300); // one that is being started has no name yet
  }
  await cluster.nodeless(["up", "--name", cluster.name]);
}

async function rollWithoutPause({ client, random }: FaultContext, signal: AbortSignal): Promise<void> {
  for (let version = 0; !signal.aborted; version++) {
    const ref = { resource: deployments, namespace, name: names[version % names.length] ?? "" };
    const template = { metadata: { annotations: { version: String(version) } } };
    await client.patch(ref, { type: "merge", body: { spec: { template } } }).catch(() => {}); // the API may be away
    await sleep(random.integer(200, 1500));
  }
}

/** Two containers of a pod that has but one must never run at once, not even for a moment. */
async function lookForDoubles({ machine }: FaultContext, signal: AbortSignal, doubles: Set<string>): Promise<void> {
  const hierarchy = existsSync("/sys/fs/cgroup/pids") ? "/sys/fs/cgroup/pids" : "/sys/fs/cgroup";
  const folder = join(hierarchy, machine.cgroupParent, "besteffort");
  while (!signal.aborted) {
    for (const pod of namesIn(folder).filter((name) => name.startsWith("pod"))) {
      const running = namesIn(join(folder, pod)).filter((name) => hasProcesses(join(folder, pod, name)));
      if (running.length > 1) doubles.add(`${pod}: ${running.join(" ")}`);
    }
    await sleep(25);
  }
}

function hasProcesses(group: string): boolean {
  try {
    return readFileSync(join(group, "cgroup.procs"), "latin1") !== "";
  } catch {
    return false; // no group, or gone
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function killQuietly(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false; // it was quicker
  }
}

/** API and machine agree, pod by pod and set by set. A container whose runtime died while it was started is one that failed, and the next try is a restart. */
async function checkEnd({ client, machine }: FaultContext, killedHelpers: number): Promise<void> {
  const { items } = await client.list<PodState>({ resource: pods, namespace });
  const owned = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const uids = new Set(items.map(({ metadata }) => metadata.uid));
  const live = machine.liveContainers().filter(({ uid }) => uids.has(uid));
  assert.equal(owned.length, names.length * replicas);
  for (const { metadata, status } of owned) {
    const ids = live.filter(({ uid }) => uid === metadata.uid).map(({ id }) => id);
    assert.equal(ids.length, 1, `live containers of ${metadata.name}`);
    assert.ok(status.containerStatuses[0]?.containerID.endsWith(ids[0] ?? "?"), `${metadata.name} shows what runs`);
  }
  const restarts = owned.reduce((sum, { status }) => sum + (status.containerStatuses[0]?.restartCount ?? 0), 0);
  assert.ok(restarts <= killedHelpers, `${restarts} restarts after ${killedHelpers} kills of monitors and runtimes`);
  const sets = await client.list<SetState>({ resource: replicaSets, namespace });
  const inUse = sets.items.filter(({ spec, status }) => spec.replicas + status.replicas > 0);
  assert.equal(inUse.length, names.length, "one ReplicaSet of each Deployment is in use");
}

type PodState = KubeObject & {
  readonly metadata: { readonly uid: string; readonly name: string; readonly deletionTimestamp?: string };
  readonly status: {
    readonly containerStatuses: readonly { readonly containerID: string; readonly restartCount: number }[];
  };
};

type SetState = KubeObject & {
  readonly spec: { readonly replicas: number };
  readonly status: { readonly replicas: number };
};
