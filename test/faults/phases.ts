/**
 * Death at each step of a pod's life: strace kills the node's process at the n-th call of a kind while a pod is made or taken away. All steps are system calls (a folder, a
 * mount, a namespace, a record renamed into place, a process started), so every phase is met.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createNamespace, deleteNamespace } from "./apps.ts";
import { type Fault, type FaultContext, partOf } from "./fault.ts";
import { bringUpPod, type OnePod, takePodAway } from "./one-pod.ts";

const namespace = "phases";

/** Where death strikes: at the n-th call of this name. */
export type Strike = { readonly call: string; readonly nth: number };

/** Calls of the node's own thread, and how often a pod's start and end make them at most. */
const nodeCalls: Readonly<Record<string, number>> = {
  mkdir: 12,
  rename: 8,
  mount: 7,
  umount2: 6,
  unshare: 1,
  setns: 6,
  vfork: 2,
  mknod: 1,
  unlink: 4,
  unlinkat: 2,
  sendto: 5,
};

export const phaseDeaths: Fault = {
  name: "phases",
  claim:
    "the node killed at whatever step of a pod's start or end: the pod comes and goes once, and nothing of it is left",
  needs: "strace",
  run: (context) => strikeAll(context, { namespace, strikes: strikesOf(nodeCalls), few: 3, live: livePod }),
};

/** Each call up to its number of times. */
export function strikesOf(calls: Readonly<Record<string, number>>): readonly Strike[] {
  return Object.entries(calls).flatMap(([call, times]) =>
    Array.from({ length: times }, (_, index) => ({ call, nth: index + 1 })),
  );
}

/** What to strike, and how a pod lives through it. `few` of them in the short form. */
export type StrikePlan = {
  readonly namespace: string;
  readonly strikes: readonly Strike[];
  readonly few: number;
  /** A pod's life with one strike. Gives what happened. */
  readonly live: (context: FaultContext, pod: OnePod, strike: Strike) => Promise<string>;
};

/** A pod for each strike, one after another. */
export async function strikeAll(context: FaultContext, { namespace, strikes, few, live }: StrikePlan): Promise<void> {
  const { client, machine, log, size, random } = context;
  const before = machine.census();
  await createNamespace(client, namespace);
  const chosen =
    size === "long" ? partOf(strikes, context.part) : Array.from({ length: few }, () => random.pick(strikes));
  let struck = 0;
  for (const [index, strike] of chosen.entries()) {
    const startMs = performance.now();
    const said = await live(context, { namespace, name: `p${index}`, sharesProcesses: index % 4 === 3 }, strike);
    if (said.includes("killed")) struck++;
    log(`at ${strike.call} ${strike.nth}: ${said} (${Math.round(performance.now() - startMs)} ms)`);
    if (size === "long") await machine.sameAs(before);
  }
  await deleteNamespace(client, namespace);
  await machine.sameAs(before);
  log(`${struck} of ${chosen.length} pods met a death`);
  if (size === "long") assert.ok(struck >= chosen.length / 4, "the strikes hit");
}

/** A pod's life, struck once at its start and once at its end. */
async function livePod(context: FaultContext, pod: OnePod, strike: Strike): Promise<string> {
  const made = await struckWhile(context, strike, () => bringUpPod(context, pod));
  const gone = await struckWhile(context, strike, () => takePodAway(context, pod));
  await context.machine.ready();
  return `start: ${made}, end: ${gone}`;
}

/** Does the work while strace lies in wait in the node's process, for one death. Says who died. */
async function struckWhile(context: FaultContext, strike: Strike, work: () => Promise<void>): Promise<string> {
  const node = context.machine.findProcess("node");
  assert.ok(node, "the node lives");
  const { call, nth } = strike;
  const inject = ["-e", `trace=${call}`, "-e", `inject=${call}:signal=KILL:when=${nth}`];
  const strace = spawn("strace", ["-p", String(node.pid), ...inject], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) => strace.once("exit", () => resolve()));
  let said = "";
  const letGo = () => {
    strace.kill("SIGTERM");
    // It may wait for somebody who is dead, and hold the others meanwhile.
    setTimeout(() => strace.kill("SIGKILL"), 1000).unref();
  };
  await new Promise<void>((resolve) => {
    strace.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk;
      if (said.includes("attached")) resolve();
    });
  });
  try {
    await work();
  } finally {
    letGo();
    await ended;
  }
  await context.machine.ready();
  return context.machine.findProcess("node")?.pid === node.pid ? "went on" : "killed the node";
}
