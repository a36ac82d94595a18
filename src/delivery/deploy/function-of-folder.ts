/**
 * The Function that a folder of a tree asks for: what its function.yaml says, with the folder as its source, named and marked as the branch's own.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import {
  type FunctionObject,
  functionFile,
  functionIn,
  functions,
  type FunctionSpec,
  isNoFunction,
} from "#api/nodeless/function.ts";
import { guessRuntime } from "#api/nodeless/function-runtime.ts";
import type { YamlFiles } from "#delivery/manifests/read-manifests.ts";
import { branchLabel, commitAnnotation, previewName, repositoryLabel, slugOf } from "./branch-names.ts";
import { DeployFailed } from "./deploy-failed.ts";
import type { Deployment } from "./deployment.ts";
import type { FunctionFolder } from "./plan.ts";

/** Puts a folder where builds find it; gives its reference. Throws an Error that says what is wrong with it. */
export type PublishSource = (source: {
  readonly folder: string;
  readonly namespace: string;
  readonly name: string;
}) => Promise<string>;

/** Its source is published by then. Throws {@link DeployFailed}. */
export async function functionOfFolder(
  deployment: Deployment,
  folder: FunctionFolder,
  { files, publish }: { readonly files: YamlFiles; readonly publish: PublishSource },
): Promise<FunctionObject> {
  const { repository, namespace, branch, commit, isPreview } = deployment;
  const path = join(files.root, folder.folder);
  const file = await readFunctionFile(files, folder.folder);
  const name = nameFor(deployment, folder, file);
  const { labels, annotations } = file.metadata ?? {};
  const reference = await publish({ folder: path, namespace, name });
  const spec = {
    ...file.spec,
    runtime: file.spec?.runtime ?? guessRuntime((name) => existsSync(join(path, name))),
    source: { artifact: { reference } },
  };
  return {
    apiVersion: `${functions.group}/${functions.version}`,
    kind: "Function",
    metadata: {
      name,
      namespace,
      labels: {
        ...labels,
        [repositoryLabel]: repository.metadata?.name ?? "",
        [branchLabel]: slugOf(branch),
      },
      annotations: { ...annotations, [commitAnnotation]: commit },
      ownerReferences: [deployment.owner],
    },
    spec: isPreview ? asleep(spec) : spec,
  };
}

/** Names that functions of these folders have. */
export async function functionNames(
  deployment: Deployment,
  folders: readonly FunctionFolder[],
  files: YamlFiles,
): Promise<readonly string[]> {
  return await Promise.all(
    folders.map(async (folder) => nameFor(deployment, folder, await readFunctionFile(files, folder.folder))),
  );
}

/** A preview costs nothing while nobody looks at it. */
function asleep({ scale, traffic: _traffic, ...rest }: FunctionSpec): FunctionSpec {
  if (scale === undefined) return rest;
  const { min: _min, ...bounds } = scale;
  return { ...rest, scale: bounds };
}

function nameFor(
  { repository, branch, isPreview }: Deployment,
  { folder, isOnly }: FunctionFolder,
  file: FunctionObject,
): string {
  const given = file.metadata?.name ?? (isOnly ? (repository.metadata?.name ?? "") : basename(folder).toLowerCase());
  return isPreview ? previewName(given, branch) : given;
}

async function readFunctionFile(files: YamlFiles, folder: string): Promise<FunctionObject> {
  const file = join(folder, functionFile);
  if (!existsSync(join(files.root, file))) return {};
  const found = functionIn(await files.mapsOf(await files.text(file), file));
  if (found === undefined) throw new DeployFailed(`${file} ${isNoFunction}`);
  return found;
}
