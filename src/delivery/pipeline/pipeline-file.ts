/**
 * The nodeless.yaml of a tree: steps that a commit must pass before it is deployed.
 *
 *     steps:
 *     - name: test
 *       image: node:24
 *       commands: [npm ci, npm test]
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { EnvVar, ResourceRequirements } from "#api/generated/types/core-v1.ts";
import { isJsonObject, type JsonObject } from "#apimachinery/json.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";
import { pipelineFiles } from "#delivery/deploy/plan.ts";
import type { YamlFiles } from "#delivery/manifests/read-manifests.ts";

/** One step: commands of a shell in an image, one after another, until one fails. */
export type Step = {
  readonly name: string;
  readonly image: string;
  readonly commands: readonly string[];
  /** As of a container. */
  readonly env?: readonly EnvVar[];
  readonly resources?: ResourceRequirements;
  readonly serviceAccountName?: string;
  readonly timeoutSeconds?: number;
};

const mostSteps = 20;
const stepFields = ["name", "image", "commands", "env", "resources", "serviceAccountName", "timeoutSeconds"];

/** The steps of a tree; none, where it says nothing. Throws {@link DeployFailed}. */
export async function readSteps(files: YamlFiles): Promise<readonly Step[]> {
  const file = pipelineFiles.find((name) => existsSync(join(files.root, name)));
  if (file === undefined) return [];
  const [document, ...more] = await files.mapsOf(await files.text(file), file);
  if (more.length > 0) throw new DeployFailed(`${file} holds more than one document`);
  if (document === undefined) return [];
  refuseUnknown(document, ["steps"], file);
  const { steps = [] } = document;
  if (!Array.isArray(steps) || steps.length > mostSteps)
    throw new DeployFailed(`${file}: steps must be a list of at most ${mostSteps}`);
  const found = steps.map((step, index) => stepOf(step, `${file}: steps[${index}]`));
  const twice = found.find(({ name }, index) => found.findIndex((one) => one.name === name) !== index);
  if (twice !== undefined) throw new DeployFailed(`${file}: two steps are called ${twice.name}`);
  return found;
}

function stepOf(step: unknown, where: string): Step {
  if (!isJsonObject(step)) throw new DeployFailed(`${where} must be a map`);
  refuseUnknown(step, stepFields, where);
  const { name, image, commands, timeoutSeconds } = step;
  if (typeof name !== "string" || !/^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$/.test(name))
    throw new DeployFailed(`${where}.name must be a DNS label of at most 20 characters`);
  if (typeof image !== "string" || image === "") throw new DeployFailed(`${where}.image is required`);
  const isText = Array.isArray(commands) && commands.length > 0 && commands.every((one) => typeof one === "string");
  if (!isText) throw new DeployFailed(`${where}.commands must be a list of text`);
  if (timeoutSeconds !== undefined && !(typeof timeoutSeconds === "number" && timeoutSeconds >= 1))
    throw new DeployFailed(`${where}.timeoutSeconds must be a number of seconds`);
  // What else there is, is the API server's to check: it is written into a Job as it stands.
  return step as unknown as Step;
}

function refuseUnknown(object: JsonObject, fields: readonly string[], where: string): void {
  const strange = Object.keys(object).find((key) => !fields.includes(key));
  if (strange !== undefined)
    throw new DeployFailed(`${where}: ${JSON.stringify(strange)} is not known; there is ${fields.join(", ")}`);
}
