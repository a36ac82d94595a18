/**
 * Runs the steps of a pipeline, each an ordinary Job with the rights of whoever pushed: `kubectl get jobs` shows them, `kubectl logs` has what they said, for an hour. The tree is an
 * image volume; each step works on a copy of its own.
 */
import type { Job } from "#api/generated/types/batch-v1.ts";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { hasReason, StatusError } from "#apimachinery/status-error.ts";
import { followObject } from "#client/follow-object.ts";
import { branchLabel, repositoryLabel, slugOf } from "#delivery/deploy/branch-names.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";
import type { Deployment } from "#delivery/deploy/deployment.ts";
import type { Step } from "./pipeline-file.ts";

const jobs = { group: "batch", version: "v1", resource: "jobs" };
const pods = { group: "", version: "v1", resource: "pods" };
const stepLabel = "nodeless.dev/step";
const keptSeconds = 3600;
const defaultTimeoutSeconds = 600;
const containerName = "step";

/** A tree as an image, as long as it is wanted. */
export type PublishedTree = { readonly reference: string; readonly remove: () => Promise<void> };

/** Steps' way to the machine. */
export type StepTools = {
  /** Makes an image of a folder. */
  readonly publishTree: (tree: {
    readonly folder: string;
    readonly namespace: string;
    readonly name: string;
  }) => Promise<PublishedTree>;
  /** What a container says, until it ends. */
  readonly followLog: (
    place: { readonly namespace: string; readonly pod: string; readonly container: string },
    signal: AbortSignal,
  ) => Promise<AsyncIterable<Uint8Array>>;
};

/** Throws {@link DeployFailed} for the first that fails. */
export async function runSteps(
  deployment: Deployment,
  { steps, folder }: { readonly steps: readonly Step[]; readonly folder: string },
  tools: StepTools,
): Promise<void> {
  if (steps.length === 0) return;
  const { namespace, repository } = deployment;
  const tree = await tools.publishTree({ folder, namespace, name: repository.metadata?.name ?? "" });
  try {
    for (const step of steps) await runStep(deployment, step, { tree, tools });
  } finally {
    await tree.remove();
  }
}

async function runStep(
  deployment: Deployment,
  step: Step,
  { tree, tools }: { readonly tree: PublishedTree; readonly tools: StepTools },
): Promise<void> {
  const { client, ownClient, namespace, say, signal } = deployment;
  say(`Step ${step.name}: ${step.image}`);
  const name = await createJob(deployment, step, tree.reference);
  const ended = new AbortController();
  const reading = followPod(deployment, name, tools, AbortSignal.any([signal, ended.signal]));
  reading.catch(() => {}); // awaited below
  try {
    const ref = { resource: jobs, namespace, name };
    const failure = await followObject<Job, string>(ownClient, ref, { decide: endOf, signal });
    // A pod that never began has nothing to say.
    const patience = setTimeout(() => ended.abort(new Error("the step is over")), 2000);
    await reading.catch(() => {}); // the step's own end says it
    clearTimeout(patience);
    if (failure === "") return;
    // The Job's own words do where its pod cannot be asked.
    const why = (await exitOf(ownClient, namespace, name).catch(() => undefined)) ?? failure;
    throw new DeployFailed(`step ${step.name} failed: ${why}; kubectl logs -n ${namespace} job/${name}`);
  } finally {
    ended.abort(new Error("the step is over"));
    // One that is left ends by its deadline, and goes with its repository.
    if (signal.aborted)
      await client.delete({ resource: jobs, namespace, name }, { propagationPolicy: "Background" }).catch(() => {});
  }
}

async function createJob(deployment: Deployment, step: Step, image: string): Promise<string> {
  const { client, namespace, signal } = deployment;
  try {
    const created = await client.create<Job>({ resource: jobs, namespace }, jobOf(deployment, step, image), { signal });
    return created.metadata?.name ?? "";
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    throw new DeployFailed(`step ${step.name}: ${error.message}`, { cause: error });
  }
}

function jobOf({ repository, branch, commit, owner }: Deployment, step: Step, image: string): Job {
  const name = repository.metadata?.name ?? "";
  const labels = { [repositoryLabel]: name, [branchLabel]: slugOf(branch), [stepLabel]: step.name };
  const given = { NODELESS_REPOSITORY: name, NODELESS_BRANCH: branch, NODELESS_COMMIT: commit, CI: "true" };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { generateName: `${name}-${commit.slice(0, 7)}-${step.name}-`, labels, ownerReferences: [owner] },
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: step.timeoutSeconds ?? defaultTimeoutSeconds,
      ttlSecondsAfterFinished: keptSeconds,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: "Never",
          // Code of a branch that nobody has looked at yet: it has no rights unless the step names somebody's.
          automountServiceAccountToken: step.serviceAccountName !== undefined,
          ...(step.serviceAccountName === undefined ? {} : { serviceAccountName: step.serviceAccountName }),
          containers: [
            {
              name: containerName,
              image: step.image,
              command: ["sh", "-ec", `cp -R /source/. .\n${step.commands.join("\n")}`],
              workingDir: "/workspace",
              env: [...Object.entries(given).map(([key, value]) => ({ name: key, value })), ...(step.env ?? [])],
              ...(step.resources === undefined ? {} : { resources: step.resources }),
              volumeMounts: [
                { name: "source", mountPath: "/source", readOnly: true },
                { name: "workspace", mountPath: "/workspace" },
              ],
            },
          ],
          volumes: [
            { name: "source", image: { reference: image, pullPolicy: "IfNotPresent" } },
            { name: "workspace", emptyDir: {} },
          ],
        },
      },
    },
  } as Job;
}

/** "" when it went well. */
function endOf({ status, metadata }: Job): string | undefined {
  if (metadata?.deletionTimestamp !== undefined) return "it was deleted";
  const of = (type: string) => status?.conditions?.find((one) => one.type === type && one.status === "True");
  if (of("Complete") !== undefined) return "";
  const failed = of("Failed");
  return failed && [failed.reason, failed.message].filter(Boolean).join(": ");
}

/** "exit code 3": what the Job does not say. */
async function exitOf(client: Deployment["ownClient"], namespace: string, job: string): Promise<string | undefined> {
  const labelSelector = `batch.kubernetes.io/job-name=${job}`;
  const { items } = await client.list<Pod>({ resource: pods, namespace }, { labelSelector });
  const { exitCode, reason } = items[0]?.status?.containerStatuses?.[0]?.state?.terminated ?? {};
  if (exitCode === undefined || exitCode === 0) return undefined;
  return reason === undefined || reason === "Error" ? `exit code ${exitCode}` : `exit code ${exitCode}, ${reason}`;
}

/** Says what the step's pod says. */
async function followPod(
  { ownClient, namespace, say }: Deployment,
  job: string,
  { followLog }: StepTools,
  signal: AbortSignal,
): Promise<void> {
  const pod = await startedPod(ownClient, { namespace, job, say }, signal);
  const log = await followLog({ namespace, pod, container: containerName }, signal);
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of log) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(-10_000);
    for (const line of lines) say(`  ${line}`);
  }
  if (rest !== "") say(`  ${rest}`);
}

/** The step's pod, once its container has begun. */
async function startedPod(
  client: Deployment["ownClient"],
  { namespace, job, say }: { readonly namespace: string; readonly job: string; readonly say: (text: string) => void },
  signal: AbortSignal,
): Promise<string> {
  const labelSelector = `batch.kubernetes.io/job-name=${job}`;
  const ref = { resource: pods, namespace };
  const told = new Set<string>();
  const look = (pod: Pod): string | undefined => {
    const [container] = pod.status?.containerStatuses ?? [];
    const { running, terminated, waiting } = container?.state ?? {};
    if (running !== undefined || terminated !== undefined) return pod.metadata?.name;
    const trouble = /Err|BackOff|Invalid/.test(waiting?.reason ?? "") ? `${waiting?.reason}: ${waiting?.message}` : "";
    // They take turns, as long as it is tried again.
    if (trouble !== "" && !told.has(trouble)) say(`  ${trouble}`);
    told.add(trouble);
    return undefined;
  };
  for (;;) {
    signal.throwIfAborted();
    const { items, metadata } = await client.list<Pod>(ref, { labelSelector, signal });
    const found = items.map(look).find((name) => name !== undefined);
    if (found !== undefined) return found;
    const from = metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion };
    try {
      for await (const { type, object } of await client.watch<Pod>(ref, { labelSelector, ...from, signal })) {
        const name = type === "ADDED" || type === "MODIFIED" ? look(object) : undefined;
        if (name !== undefined) return name;
      }
    } catch (error) {
      if (!hasReason(error, "Expired") && !hasReason(error, "Gone")) throw error;
    }
  }
}
