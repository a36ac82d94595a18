/**
 * A pod of one container that counts its own starts, and what must be true of it however often somebody died while it was made.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { eventually } from "../support/cluster.ts";
import { pods } from "./apps.ts";
import type { FaultContext } from "./fault.ts";

/** Which pod. `sharesProcesses`: its containers see each other's processes. */
export type OnePod = { readonly namespace: string; readonly name: string; readonly sharesProcesses: boolean };

/** Creates it and waits until it is what it should be. */
export async function bringUpPod(context: FaultContext, pod: OnePod): Promise<void> {
  const { namespace } = pod;
  const { metadata } = await context.client.create({ resource: pods, namespace }, podObject(pod));
  await readyOnce(context, pod, metadata?.uid ?? "");
}

/** Deletes it and waits until it has gone. */
export async function takePodAway({ client }: FaultContext, { namespace, name }: OnePod): Promise<void> {
  const ref = { resource: pods, namespace, name };
  await client.delete(ref);
  await eventually(`pod ${name} gone`, async () => {
    try {
      await client.get(ref);
      return false;
    } catch (error) {
      return hasReason(error, "NotFound");
    }
  });
}

function podObject({ namespace, name, sharesProcesses }: OnePod): KubeObject {
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

/** Waits until the pod is ready; there is one container of it then, which began no oftener than the API says. A death of the runtime counts as a restart, a death of the node does not start anything again. */
async function readyOnce({ client, machine }: FaultContext, { namespace, name }: OnePod, uid: string): Promise<void> {
  let seen: PodState["status"];
  await eventually(
    `pod ${name} ready`,
    async () => {
      const { status } = await client.get<PodState>({ resource: pods, namespace, name });
      seen = status;
      return status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
    },
    180_000,
  ).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}: ${JSON.stringify(seen)}`);
  });
  assert.equal(machine.liveContainers().filter((container) => container.uid === uid).length, 1, "one live container");
  const marks = join(machine.nodeFolder, "pods/pods", uid, "volumes/kubernetes.io~empty-dir/marks/starts");
  // A container that was killed while it was made may not have come so far; the last one has, a moment after it counts as ready.
  const begun = async () => existsSync(marks) && linesOf(marks);
  const starts = await eventually(`the container of ${name} to begin`, begun, 10_000);
  const restarts = seen?.containerStatuses?.[0]?.restartCount ?? 0;
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
