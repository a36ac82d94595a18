/**
 * Brings what is deployed of a branch to what a commit of it holds, and takes it away again.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Client } from "#client/client.ts";
import { GitFailed, type Git } from "#delivery/git/git.ts";
import { checkOut, listTree, TreeRefused } from "#delivery/git/tree.ts";
import { buildKustomization } from "#delivery/kustomize/kustomization.ts";
import { liveBranch } from "#delivery/kinds.ts";
import { ManifestDeployment, removeManifests } from "#delivery/manifests/deploy-manifests.ts";
import { type Manifest, YamlFiles, type YamlReader } from "#delivery/manifests/read-manifests.ts";
import { DeployFailed } from "./deploy-failed.ts";
import type { Deployment } from "./deployment.ts";
import { readSteps } from "#delivery/pipeline/pipeline-file.ts";
import { runSteps, type StepTools } from "#delivery/pipeline/run-steps.ts";
import { functionNames, type PublishSource } from "./function-of-folder.ts";
import { deployFunctions, pruneFunctions } from "./functions.ts";
import { type Plan, planOf } from "./plan.ts";

export type DeployerOptions = StepTools & {
  readonly publish: PublishSource;
  readonly yaml: YamlReader;
  /** For what is checked out. */
  readonly workRoot: string;
};

/** How far a deployment goes: one that is repeated was tested before. */
export type DeployMode = "first" | "again";

const shownLeftOut = 10;
const defaultTimeoutSeconds = 300;

export class Deployer {
  readonly #options: DeployerOptions;

  constructor(options: DeployerOptions) {
    this.#options = options;
  }

  /** Gives the URLs of what is deployed now. Throws {@link DeployFailed} with what whoever pushed has to know. */
  async deploy(git: Git, deployment: Deployment, mode: DeployMode): Promise<readonly string[]> {
    const { repository, commit, view, say, signal } = deployment;
    const folder = await mkdtemp(join(this.#options.workRoot, "nodeless-push-"));
    const progress = { isEarly: true };
    try {
      const { files, leftOut } = await listTree(git, commit, repository.spec?.path ?? "", view);
      for (const path of leftOut.slice(0, shownLeftOut)) say(`Left out ${path}`);
      const plan = planOf(files.map(({ path }) => path));
      await checkOut(git, files, { folder, view, signal });
      const yaml = new YamlFiles(folder, this.#options.yaml);
      if (mode === "first") await runSteps(deployment, { steps: await readSteps(yaml), folder }, this.#options);
      return await this.#inTime(deployment, (inTime) => this.#write(inTime, { plan, files: yaml, progress }));
    } catch (error) {
      const isKnown = error instanceof TreeRefused || error instanceof GitFailed || error instanceof DeployFailed;
      if (isKnown) throw new DeployFailed(error.message, { cause: error, isEarly: progress.isEarly });
      throw error;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  // Steps have times of their own, and are over by now.
  async #inTime<T>(deployment: Deployment, work: (deployment: Deployment) => Promise<T>): Promise<T> {
    const seconds = deployment.repository.spec?.timeoutSeconds ?? defaultTimeoutSeconds;
    const late = AbortSignal.timeout(seconds * 1000);
    try {
      return await work({ ...deployment, signal: AbortSignal.any([late, deployment.signal]) });
    } catch (error) {
      if (!late.aborted || deployment.signal.aborted) throw error;
      throw new DeployFailed(`it was not ready within ${seconds} s (spec.timeoutSeconds)`, { cause: error });
    }
  }

  async #write(
    deployment: Deployment,
    {
      plan,
      files,
      progress,
    }: { readonly plan: Plan; readonly files: YamlFiles; readonly progress: { isEarly: boolean } },
  ): Promise<readonly string[]> {
    const { client, say, isPreview } = deployment;
    const manifests = await this.#manifests(deployment, plan, files);
    await manifests.try();
    progress.isEarly = false;
    if (!isPreview) await manifests.apply();
    const urls = await deployFunctions(deployment, plan.functions, { files, publish: this.#options.publish });
    const names = await functionNames(deployment, plan.functions, files);
    for (const name of await pruneFunctions(client, deployment, names)) say(`Function ${name}: deleted`);
    if (!isPreview) await manifests.prune();
    return urls.filter((url) => url !== "");
  }

  /** Takes away all that is deployed of a branch. Doing it again is harmless. */
  async remove(client: Client, target: Pick<Deployment, "namespace" | "repository" | "branch">): Promise<void> {
    await pruneFunctions(client, target, []);
    if (target.branch !== liveBranch(target.repository)) return;
    await removeManifests({ ...target, ownClient: client, signal: new AbortController().signal });
  }

  /** Of a preview they are only tried: their names would be those of what is live. */
  async #manifests(deployment: Deployment, { manifests }: Plan, files: YamlFiles): Promise<ManifestDeployment> {
    const found = await readPlanned(files, manifests);
    if (deployment.isPreview && found.length > 0) deployment.say("Manifests are tried, and not applied for a preview");
    return new ManifestDeployment(deployment, found);
  }
}

async function readPlanned(files: YamlFiles, manifests: Plan["manifests"]): Promise<readonly Manifest[]> {
  if (manifests === undefined) return [];
  if (manifests.kind === "files") return await files.readManifests(manifests.files);
  return await buildKustomization(files, manifests.folder);
}
