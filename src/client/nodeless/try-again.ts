/**
 * A function that is deployed again as it was, after its revision could not be started: what stood in the way may be gone, and whoever deploys does not want to hear the old verdict.
 */
import { conditionOf, type FunctionObject } from "#api/nodeless/function.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";

const revisions = { group: "serving.knative.dev", version: "v1", resource: "revisions" };

/** Makes the failed revision anew, under its name. False when there is nothing to be tried again; one that was ever ready is left alone. */
export async function tryAgain(client: Client, before: FunctionObject, after: FunctionObject): Promise<boolean> {
  const { namespace = "", generation } = after.metadata ?? {};
  const { latestCreatedRevisionName: name, latestReadyRevisionName } = before.status ?? {};
  const hasFailed =
    before.metadata?.generation === generation &&
    before.metadata?.uid === after.metadata?.uid &&
    conditionOf(before, "Built")?.status === "True" &&
    conditionOf(before, "ServiceReady")?.status === "False";
  if (!hasFailed || name === undefined || name === latestReadyRevisionName) return false;
  try {
    // Its Deployment goes first: the next one has the same name.
    await client.delete({ resource: revisions, namespace, name }, { propagationPolicy: "Foreground" });
    return true;
  } catch (error) {
    if (hasReason(error, "NotFound")) return false;
    throw error;
  }
}
