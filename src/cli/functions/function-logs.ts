/**
 * The logs of all instances of a function, those that come while they are followed too. Each line begins with the identifier of its request.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { pathOf } from "#client/resource-path.ts";
import type { Machine } from "#cli/machine.ts";
import type { Terminal } from "#cli/terminal.ts";

export type LogOptions = {
  readonly client: Client;
  readonly machine: Machine;
  readonly terminal: Terminal;
  readonly cluster: string;
  readonly namespace: string;
  readonly name: string;
  readonly follow: boolean;
  readonly tail: string | undefined;
  /** Only lines of this request. */
  readonly request: string | undefined;
  readonly revision: string | undefined;
};

type Pod = KubeObject & {
  readonly status?: { readonly phase?: string; readonly containerStatuses?: readonly ContainerStatus[] };
};

type ContainerStatus = {
  readonly name: string;
  readonly restartCount?: number;
  readonly lastState?: {
    readonly terminated?: { readonly exitCode?: number; readonly reason?: string; readonly finishedAt?: string };
  };
};

const container = "user-container";
const nodes = { group: "", version: "v1", resource: "nodes" };

const pods = { group: "", version: "v1", resource: "pods" };

/** Prints them; resolves when all have ended, or never when they are followed. Gives how many instances there were. */
export async function printFunctionLogs(options: LogOptions): Promise<number> {
  const { client, namespace, name, revision, follow } = options;
  const labels = [
    `serving.knative.dev/service=${name}`,
    ...(revision === undefined ? [] : [`serving.knative.dev/revision=${revision}`]),
  ];
  const labelSelector = labels.join(",");
  const begun = new Map<string, Promise<void>>();
  const begin = (pod: Pod, tail: string | undefined) => {
    const key = pod.metadata?.uid ?? "";
    // Before it runs there is nothing to read.
    if (begun.has(key) || !["Running", "Succeeded", "Failed"].includes(pod.status?.phase ?? "")) return;
    begun.set(key, printPod(options, pod, tail));
  };
  const { items, metadata } = await client.list<Pod>({ resource: pods, namespace }, { labelSelector });
  for (const pod of items) begin(pod, options.tail);
  if (!follow) {
    await Promise.all(begun.values());
    return begun.size;
  }
  const from = metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion };
  for await (const event of await client.watch<Pod>({ resource: pods, namespace }, { labelSelector, ...from }))
    if (event.type === "ADDED" || event.type === "MODIFIED") begin(event.object, undefined);
  await Promise.all(begun.values());
  return begun.size;
}

/** The last lines of instances that are gone, as their nodes kept them by revision; nodes that are away are left out. Gives how many lines there were. */
export async function printEndedLogs(
  { client, machine, terminal, cluster, tail, request }: LogOptions,
  revisions: readonly KubeObject[],
): Promise<number> {
  const { items } = await client.list({ resource: nodes }, { metadataOnly: true });
  const kept: string[] = [];
  for (const revision of revisions)
    for (const { metadata } of items) {
      const path = `/api/v1/nodes/${metadata?.name}/proxy/logs/ended/${revision.metadata?.uid}`;
      kept.push(...(await linesAt(() => machine.readStream(cluster, path))));
    }
  const wanted = kept.filter((line) => isOf(request, line));
  const lines = tail === undefined ? wanted : wanted.slice(wanted.length - Math.min(Number(tail), wanted.length));
  if (lines.length > 0) terminal.warn("-- the last lines of instances that are gone --");
  for (const line of lines) terminal.print(line);
  return lines.length;
}

async function linesAt(read: () => Promise<AsyncIterable<Uint8Array>>): Promise<readonly string[]> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of await read()) chunks.push(chunk);
  } catch (error) {
    if (error instanceof Error && "code" in error && typeof error.code === "number") return [];
    throw error;
  }
  return Buffer.concat(chunks)
    .toString()
    .split("\n")
    .filter((line) => line !== "");
}

function isOf(request: string | undefined, line: string): boolean {
  return request === undefined || line.startsWith(`[${request}`);
}

/** What its program said, before it was last started anew too. */
async function printPod(options: LogOptions, { metadata, status }: Pod, tail: string | undefined): Promise<void> {
  const name = metadata?.name ?? "";
  const own = status?.containerStatuses?.find((one) => one.name === container);
  const end = own?.lastState?.terminated;
  if (end !== undefined) {
    await printLog(options, name, { tail, isPrevious: true });
    const why = `${end.reason ?? "Error"}, exit code ${end.exitCode}`;
    const how = `was started anew ${own?.restartCount ?? 1} times, last after ${end.finishedAt}`;
    options.terminal.warn(`-- ${name} ${how}: ${why} --`);
  }
  await printLog(options, name, { tail, isPrevious: false });
}

async function printLog(
  { machine, terminal, cluster, namespace, follow, request }: LogOptions,
  pod: string,
  { tail, isPrevious }: { readonly tail: string | undefined; readonly isPrevious: boolean },
): Promise<void> {
  const query = new URLSearchParams({ container });
  if (isPrevious) query.set("previous", "true");
  else if (follow) query.set("follow", "true");
  if (tail !== undefined) query.set("tailLines", tail);
  const path = pathOf({ resource: pods, namespace, name: pod, subresource: "log" });
  let rest = "";
  const decoder = new TextDecoder();
  const take = (line: string) => {
    if (isOf(request, line)) terminal.print(line);
  };
  try {
    for await (const chunk of await machine.readStream(cluster, `${path}?${query}`)) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) take(line);
    }
    if (rest !== "") take(rest);
  } catch (error) {
    // It went to sleep while we looked; of a previous one nothing may be left, and one that waits has said nothing yet.
    const mayBe = isPrevious ? [400, 404] : [404];
    const isWaiting = error instanceof Error && / is waiting to start/.test(error.message);
    if (!isWaiting && !(error instanceof Error && "code" in error && mayBe.includes(error.code as number))) throw error;
  }
}
