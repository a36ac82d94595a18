/**
 * Death at each step of a pod's life: strace kills the node's process, or whoever it has started, at the n-th call of a kind while a pod is made or taken away. All steps are
 * system calls (a folder, a mount, a namespace, a record renamed into place, a process started), so every phase is met.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { eventually } from "../support/cluster.ts";
import { createNamespace, deleteNamespace, pods } from "./apps.ts";
import { type Fault, type FaultContext, partOf } from "./fault.ts";

const namespace = "phases";

/** Where death strikes. `follow`: also in conmon, in the OCI runtime and in the container's first process. */
type Strike = { readonly call: string; readonly nth: number; readonly follow: boolean };

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
  unlink: 3,
  sendto: 5,
};

/** Calls that conmon, crun and the container's first process make. */
const runtimeCalls: Readonly<Record<string, number>> = {
  execve: 2,
  pivot_root: 1,
  mount: 9,
  setns: 2,
  capset: 2,
  seccomp: 1,
  clone3: 1,
  clone: 2,
  mkdir: 4,
  rename: 2,
  openat: 40,
  sethostname: 1,
};

export const phaseDeaths: Fault = {
  name: "phases",
  claim:
    "the node killed at whatever step of a pod's start or end: the pod comes and goes once, and nothing of it is left",
  needs: "strace",
  run: (context) => strikeAll(context, strikesOf(nodeCalls, false), 3),
};

export const helperDeaths: Fault = {
  name: "helpers",
  claim:
    "conmon, crun or a container's first process killed at whatever step: the pod comes and goes, and nothing of it is left",
  needs: "strace",
  run: (context) => strikeAll(context, strikesOf(runtimeCalls, true), 2),
};

function strikesOf(calls: Readonly<Record<string, number>>, follow: boolean): readonly Strike[] {
  return Object.entries(calls).flatMap(([call, times]) =>
    Array.from({ length: times }, (_, index) => ({ call, nth: index + 1, follow })),
  );
}

/** All of them, or in the short form a few. */
async function strikeAll(context: FaultContext, all: readonly Strike[], few: number): Promise<void> {
  const { client, machine, log, size, random } = context;
  const before = machine.census();
  await createNamespace(client, namespace);
  const strikes = size === "long" ? partOf(all, context.part) : Array.from({ length: few }, () => random.pick(all));
  let struck = 0;
  for (const [index, strike] of strikes.entries()) {
    const startMs = performance.now();
    const said = await livePod(context, `p${index}`, strike, index % 4 === 3);
    if (said.includes("killed")) struck++;
    log(`at ${strike.call} ${strike.nth}: ${said} (${Math.round(performance.now() - startMs)} ms)`);
    if (size === "long") await machine.sameAs(before);
  }
  await deleteNamespace(client, namespace);
  await machine.sameAs(before);
  log(`${struck} of ${strikes.length} pods met a death`);
  if (size === "long") assert.ok(struck >= strikes.length / 4, "the strikes hit");
}

/** A pod's life, struck once at its start and once at its end. Gives what happened. */
async function livePod(context: FaultContext, name: string, strike: Strike, sharesProcesses: boolean): Promise<string> {
  const { client, machine } = context;
  const ref = { resource: pods, namespace, name };
  const made = await struckWhile(context, strike, async () => {
    const { metadata } = await client.create({ resource: pods, namespace }, podObject(name, sharesProcesses));
    await readyOnce(context, name, metadata?.uid ?? "");
  });
  const gone = await struckWhile(context, strike, async () => {
    await client.delete(ref);
    await eventually(`pod ${name} gone`, async () => {
      try {
        await client.get(ref);
        return false;
      } catch (error) {
        return hasReason(error, "NotFound");
      }
    });
  });
  await machine.ready();
  return `start: ${made}, end: ${gone}`;
}

function podObject(name: string, sharesProcesses: boolean): KubeObject {
  const main = {
    name: "main",
    image: "docker.io/library/busybox:latest",
    imagePullPolicy: "IfNotPresent",
    command: ["sh", "-c", "echo started >> /marks/starts; trap 'exit 0' TERM; sleep 1000000 & wait"],
    volumeMounts: [{ name: "marks", mountPath: "/marks" }],
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace },
    spec: {
      terminationGracePeriodSeconds: 1,
      shareProcessNamespace: sharesProcesses,
      containers: [main],
      volumes: [{ name: "marks", emptyDir: {} }],
    },
  } as KubeObject;
}

/** Waits until the pod is ready; there is one container of it then. A death of the runtime counts as a restart, a death of the node does not start anything again. */
async function readyOnce({ client, machine }: FaultContext, name: string, uid: string): Promise<void> {
  let seen: unknown;
  await eventually(
    `pod ${name} ready`,
    async () => {
      const { status } = await client.get<PodState>({ resource: pods, namespace, name });
      seen = status;
      return status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
    },
    40_000,
  ).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}: ${JSON.stringify(seen)}`);
  });
  assert.equal(machine.liveContainers().filter((container) => container.uid === uid).length, 1, "one live container");
  const restarts = (seen as PodState["status"])?.containerStatuses?.[0]?.restartCount ?? 0;
  const marks = join(machine.nodeFolder, "pods/pods", uid, "volumes/kubernetes.io~empty-dir/marks/starts");
  // A container that was killed while it was made may not have come so far; the last one has, a moment after it counts as ready.
  const starts = await eventually(
    `the container of ${name} to begin`,
    async () => existsSync(marks) && linesOf(marks),
    10_000,
  );
  assert.ok(starts <= restarts + 1, `${name} began ${starts} times with ${restarts} restarts`);
}

function linesOf(file: string): number {
  return readFileSync(file, "utf8").trim().split("\n").length;
}

type PodState = KubeObject & {
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
};

/** Does the work while strace lies in wait in the node's process, for one death. Says who died. */
async function struckWhile(context: FaultContext, strike: Strike, work: () => Promise<void>): Promise<string> {
  const node = context.machine.findProcess("node");
  assert.ok(node, "the node lives");
  const { call, nth, follow } = strike;
  const inject = ["-e", `trace=${call}`, "-e", `inject=${call}:signal=KILL:when=${nth}`];
  const strace = spawn("strace", ["-p", String(node.pid), ...(follow ? ["-f"] : []), ...inject], {
    stdio: ["ignore", "ignore", "pipe"],
  });
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
      // Each process counts for itself: whoever comes next would die too, for ever.
      if (said.includes("killed by SIGKILL")) letGo();
    });
  });
  try {
    await work();
  } finally {
    letGo();
    await ended;
  }
  await context.machine.ready();
  if (context.machine.findProcess("node")?.pid !== node.pid) return "killed the node";
  return said.includes("killed by SIGKILL") ? "killed a helper" : "went on";
}
