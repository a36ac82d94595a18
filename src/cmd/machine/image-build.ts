/**
 * `nodeless image build`: a folder becomes an image of this machine, by its Dockerfile or because it is a bundle of modules for isolates; with a name of the machine's own registry it
 * is in there too.
 */
import { join, resolve } from "node:path";
import { UserError } from "#cli/command.ts";
import type { ImageBuildRequest } from "#cli/machine.ts";
import { buildImage } from "#images/build/build-image.ts";
import { buildDockerfile, BuildFailed, findDockerfile } from "#images/build/dockerfile.ts";
import type { ImageStore } from "#images/image-store.ts";
import { addNamedImage, bundleSigns, bundleUser, isBundle } from "#images/load.ts";
import { formatReference, type ImageReference, InvalidReference, parseReference } from "#images/reference.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { isOwnHost } from "#images/registry/hosts.ts";
import { registrySettings } from "#cmd/node/registry-settings.ts";
import { findProgram } from "#runtime/machine.ts";
import type { MachineContext } from "./clusters.ts";
import { openStore } from "./images.ts";

/** Builds it. Throws UserError. */
export async function buildImageFromFolder(
  context: MachineContext,
  request: ImageBuildRequest,
  onLine: (line: string) => void,
): Promise<{ readonly digest: string; readonly name: string; readonly isPublished: boolean }> {
  const reference = checkedName(request.tag);
  const store = await openStore(context);
  try {
    const digest = await build(context, store, request, onLine);
    await addNamedImage(store, digest, request.tag);
    const isPublished = await isOwnHost(store.folder, reference.registry);
    if (isPublished) await new EmbeddedRegistry({ store }).publish(reference, digest);
    return { digest, name: formatReference(reference), isPublished };
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    const said =
      cause instanceof BuildFailed ? cause.message : `${request.folder} was not built: ${(cause as Error).message}`;
    throw new UserError(said, { cause });
  }
}

async function build(
  { dataRoot, environment }: MachineContext,
  store: ImageStore,
  { folder, file, target, buildArgs }: ImageBuildRequest,
  onLine: (line: string) => void,
): Promise<string> {
  const context = resolve(folder);
  const dockerfile = file ?? (await findDockerfile(context));
  if (dockerfile === undefined) return (await buildBundle(store, context)).digest;
  const searchPath = environment["PATH"] ?? "";
  const parts = {
    store,
    folder: join(dataRoot, "builds"),
    buildah: findProgram("buildah", searchPath),
    searchPath,
    settings: await registrySettings(environment),
  };
  const job = { context, dockerfile, buildArgs, onLine, ...(target !== undefined && { target }) };
  return (await buildDockerfile(parts, job, new AbortController().signal)).digest;
}

async function buildBundle(store: ImageStore, folder: string): Promise<{ readonly digest: string }> {
  if (!(await isBundle(folder)))
    throw new UserError(
      `${folder} has neither a Dockerfile nor modules for an isolate (one of ${bundleSigns.join(", ")})`,
    );
  return buildImage({ store }, { layers: [{ folder, modes: "plain" }], config: { user: bundleUser } });
}

function checkedName(tag: string): ImageReference {
  try {
    const reference = parseReference(tag);
    if (reference.digest === undefined) return reference;
    throw new InvalidReference("its digest is what comes out");
  } catch (cause) {
    if (!(cause instanceof InvalidReference)) throw cause;
    throw new UserError(`"${tag}" cannot name an image: ${cause.message}`, { exitCode: 2, cause });
  }
}
