/**
 * Writes the Function that was asked for, or tries whether it could be written.
 */
import { join } from "node:path";
import { type FunctionObject, functionFile, functions } from "#api/nodeless/function.ts";
import { controllerOf } from "#apimachinery/owner-references.ts";
import { UserError } from "#cli/command.ts";
import type { Client } from "#client/client.ts";
import { findObject } from "#client/find-object.ts";
import type { WantedFunction } from "./function-spec.ts";

const fieldManager = "nodeless-fn";
const services = { group: "serving.knative.dev", version: "v1", resource: "services" };

/** Writes the Function; `reference` is its source where that is a folder. Throws what the API server says. */
export async function applyFunction(
  client: Client,
  wanted: WantedFunction & { readonly namespace: string; readonly reference: string; readonly dryRun: boolean },
): Promise<FunctionObject> {
  const { name, namespace, folder, reference, dryRun } = wanted;
  const spec = folder === undefined ? wanted.spec : { ...wanted.spec, source: { artifact: { reference } } };
  const metadata = { ...wanted.metadata, name, namespace };
  const body = { apiVersion: "nodeless.dev/v1alpha1", kind: "Function", metadata, spec };
  try {
    const ref = { resource: functions, namespace, name };
    return await client.patch<FunctionObject>(ref, { type: "apply", body }, { fieldManager, force: true, dryRun });
  } catch (error) {
    throw inFile(error, folder);
  }
}

/** Throws when the name is a Knative Service's that is not this function's: what is built could not run. */
export async function refuseTakenName(client: Client, namespace: string, name: string): Promise<void> {
  const service = await findObject(client, { resource: services, namespace, name });
  const owner = service && controllerOf(service);
  if (service === undefined || (owner?.kind === "Function" && owner.name === name)) return;
  throw new UserError(
    `there is a Knative Service "${name}" already that is not this function's: deploy it under another name, or delete that one ('kubectl -n ${namespace} delete ksvc ${name}')`,
  );
}

/** What the API server has against a field that no flag can say, in the words of the file that it is in. */
function inFile(error: unknown, folder: string | undefined): unknown {
  const fields =
    error instanceof Error
      ? /^failed to create typed patch object \(.*?\): (.*)$/s.exec(error.message)?.[1]
      : undefined;
  if (fields === undefined || folder === undefined) return error;
  return new UserError(`${join(folder, functionFile)}: ${fields}`, { cause: error });
}
