/**
 * Deletes Jobs some time after they have finished, where they ask for it by ttlSecondsAfterFinished.
 */
import type { Job } from "#api/generated/types/batch-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { jobs } from "#controllers/common/resources.ts";

/** The controller. Keys are Jobs. */
export function createTtlAfterFinishedController(context: ControllerContext): NamedController {
  const controller: KeyedController = new KeyedController(context, {
    name: "ttl-after-finished-controller",
    reconcile,
  });
  const enqueue = (job: Job) => {
    if (expiresAtMs(job) !== undefined) controller.queue.add(keyOf(job));
  };
  const all = controller.watch(context.informers.informer<Job>({ resource: jobs }), {
    onAdd: enqueue,
    onUpdate: (_before, job) => enqueue(job),
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const seen = all.lister.find(namespace, name);
    if (seen === undefined || msLeft(seen) === undefined) return;
    if (msLeft(seen)! > 0) return msLeft(seen)!;
    const ref = { resource: jobs, namespace, name };
    try {
      // Its time may have been prolonged, and a deletion is not taken back.
      const job = await context.client.get<Job>(ref, { signal });
      const leftMs = msLeft(job);
      if (leftMs === undefined || leftMs > 0) return leftMs;
      const { uid = "" } = job.metadata ?? {};
      await context.client.delete(ref, { propagationPolicy: "Foreground", preconditions: { uid }, signal });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }

  function msLeft(job: Job): number | undefined {
    const atMs = expiresAtMs(job);
    return atMs === undefined ? undefined : atMs - context.clock.now();
  }
  return controller;
}

/** When the Job is to go; undefined when it has not finished, does not ask for it, or is going already. */
function expiresAtMs(job: Job): number | undefined {
  const ttlSeconds = job.spec?.ttlSecondsAfterFinished;
  if (ttlSeconds === undefined || ttlSeconds === null || job.metadata?.deletionTimestamp !== undefined)
    return undefined;
  const isEnd = (type: string) => type === "Complete" || type === "Failed";
  const end = job.status?.conditions?.find(({ type, status }) => isEnd(type) && status === "True");
  return end?.lastTransitionTime ? Date.parse(end.lastTransitionTime) + ttlSeconds * 1000 : undefined;
}
