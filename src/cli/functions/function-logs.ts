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
    if (request === undefined || line.startsWith(`[${request}`)) terminal.print(line);
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
