/**
 * What users do to a cluster all day, each of it over and over: rolling updates, creating and deleting, exec, logs, watches that are abandoned, port-forwards.
 */
import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import type { KubeObject } from "#apimachinery/meta.ts";
import { eventually } from "../support/cluster.ts";
import {
  createNamespace,
  deleteNamespace,
  deploy,
  deployments,
  exposeWeb,
  idleCommand,
  pods,
  rolledOut,
  webCommand,
  webPort,
} from "./apps.ts";
import type { FaultContext } from "./fault.ts";

export const workNamespace = "soak";

/** Counts what was done, and remembers what failed. */
export type Tally = { done: number; readonly failures: string[] };

type Work = (context: FaultContext, round: number) => Promise<void>;

const ref = { resource: deployments, namespace: workNamespace };

/** Makes what all of it works on. */
export async function prepareWork({ client }: FaultContext): Promise<void> {
  await createNamespace(client, workNamespace);
  await exposeWeb(client, workNamespace);
  await deploy(client, { ...ref, name: "web", replicas: 3, command: webCommand, probePort: webPort });
  await deploy(client, {
    ...ref,
    name: "talker",
    replicas: 1,
    command: `while true; do date; sleep 0.1; done & ${webCommand}`,
  });
}

/** Works until the signal aborts; each kind in a line of its own, at its own pace: rounds can be compared only if as much was done in each, whatever else the machine does. */
export async function work(context: FaultContext, tally: Tally, signal: AbortSignal): Promise<void> {
  await Promise.all(Object.entries(kinds).map(([name, { everyMs, once }]) => repeat(name, everyMs, once)));

  async function repeat(name: string, everyMs: number, once: Work): Promise<void> {
    const startMs = Date.now();
    for (let round = 0; !signal.aborted; round++) {
      try {
        await once(context, round);
        tally.done += 1;
      } catch (error) {
        if (!signal.aborted) tally.failures.push(`${name}: ${(error as Error).message.slice(0, 300)}`);
      }
      // What a slow moment kept from being done is not made up for.
      await sleep(everyMs - ((Date.now() - startMs) % everyMs));
    }
  }
}

const kinds: Readonly<Record<string, { readonly everyMs: number; readonly once: Work }>> = {
  roll: { everyMs: 6000, once: roll },
  scale: { everyMs: 4000, once: scale },
  churn: { everyMs: 500, once: churnObjects },
  namespace: { everyMs: 4000, once: wholeNamespace },
  exec: { everyMs: 1500, once: exec },
  logs: { everyMs: 1500, once: followLogs },
  watch: { everyMs: 1000, once: abandonWatches },
  forward: { everyMs: 3000, once: forward },
};

async function roll({ client }: FaultContext, round: number): Promise<void> {
  const template = { metadata: { annotations: { round: String(round) } } };
  await client.patch({ ...ref, name: "web" }, { type: "merge", body: { spec: { template } } });
  await rolledOut(client, { ...ref, name: "web" });
}

async function scale({ client }: FaultContext, round: number): Promise<void> {
  const name = `burst-${round % 2}`;
  await deploy(client, { ...ref, name, replicas: 4, command: idleCommand });
  await client.delete({ ...ref, name }, { propagationPolicy: "Foreground" });
  await eventually(`${name} gone`, async () => {
    const { items } = await client.list({ ...ref }, { fieldSelector: `metadata.name=${name}` });
    return items.length === 0;
  });
}

async function churnObjects({ client }: FaultContext, round: number): Promise<void> {
  const configMaps = { resource: { group: "", version: "v1", resource: "configmaps" }, namespace: workNamespace };
  const name = `note-${round % 20}`;
  const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { filling: "x".repeat(20_000) } };
  await client.create(configMaps, object as KubeObject);
  await client.patch({ ...configMaps, name }, { type: "merge", body: { data: { round: String(round) } } });
  await client.delete({ ...configMaps, name });
}

async function wholeNamespace(context: FaultContext, round: number): Promise<void> {
  const namespace = `soak-${round % 3}`;
  await createNamespace(context.client, namespace);
  await exposeWeb(context.client, namespace);
  await deploy(context.client, { namespace, name: "web", replicas: 1, command: webCommand });
  await deleteNamespace(context.client, namespace);
}

async function exec({ cluster }: FaultContext): Promise<void> {
  const { stdout } = await cluster.kubectl(["-n", workNamespace, "exec", "deployment/talker", "--", "echo", "here"]);
  if (stdout !== "here\n") throw new Error(`exec said ${stdout}`);
}

/** Follows a log until it says something, and goes away without a word. */
async function followLogs({ cluster }: FaultContext): Promise<void> {
  const child = cluster.startKubectl(["-n", workNamespace, "logs", "-f", "deployment/talker", "--tail=5"]);
  const heard = await Promise.race([
    new Promise<true>((resolve) => child.stdout?.once("data", () => resolve(true))),
    sleep(20_000).then(() => false),
  ]);
  await killed(child);
  if (!heard) throw new Error("the log was silent");
}

async function abandonWatches({ client }: FaultContext): Promise<void> {
  const stop = new AbortController();
  const options = {
    sendInitialEvents: true,
    resourceVersionMatch: "NotOlderThan",
    allowWatchBookmarks: true,
    signal: stop.signal,
  } as const;
  const watching = Promise.allSettled(
    Array.from({ length: 5 }, async () => {
      for await (const event of await client.watch({ resource: pods }, options)) void event;
    }),
  );
  await sleep(400);
  stop.abort(new Error("enough"));
  const failed = (await watching).find(
    (outcome) => outcome.status === "rejected" && outcome.reason !== stop.signal.reason,
  );
  if (failed?.status === "rejected") throw failed.reason;
}

async function forward({ cluster }: FaultContext): Promise<void> {
  const child = cluster.startKubectl(["-n", workNamespace, "port-forward", "deployment/talker", `0:${webPort}`]);
  try {
    const port = await Promise.race([
      new Promise<string>((resolve) =>
        child.stdout?.on("data", (chunk: Buffer) => {
          const found = /127\.0\.0\.1:(\d+)/.exec(chunk.toString())?.[1];
          if (found !== undefined) resolve(found);
        }),
      ),
      sleep(20_000).then(() => undefined),
    ]);
    if (port === undefined) throw new Error("port-forward did not begin");
    const answer = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(10_000) });
    if ((await answer.text()) !== "ok\n") throw new Error("another answer than the pod's");
  } finally {
    await killed(child);
  }
}

async function killed(child: ChildProcess): Promise<void> {
  const exit = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await exit;
}
