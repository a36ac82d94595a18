/**
 * Puts a function's folder into the registry of its cluster. The registry is a folder that this machine's processes share: nothing is sent.
 */
import { UserError } from "#cli/command.ts";
import type { PushedSource } from "#cli/functions/function-tools.ts";
import type { Cluster } from "#cmd/machine/clusters.ts";
import { systemClock } from "#component-base/clock.ts";
import { sourceArtifact } from "#functions/source/artifact.ts";
import { listSourceFiles, SourceTooLarge } from "#functions/source/list-files.ts";
import { defaultMostSourceBytes } from "#functions/source/source-bounds.ts";
import { packFiles } from "#functions/source/tar.ts";
import { ImageStore } from "#images/image-store.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { announcedHosts } from "#images/registry/hosts.ts";
import { loadLibc } from "#linux/libc.ts";

const registryPatienceMs = 10_000;
const lookAgainMs = 100;

/** Throws UserError for a folder that is too large, has no files, or a cluster without a registry. */
export async function pushSource(
  { record, layout }: Cluster,
  { folder, namespace, name }: { readonly folder: string; readonly namespace: string; readonly name: string },
): Promise<PushedSource> {
  const files = filesOf(folder);
  const archive = await packFiles(folder, files);
  const store = new ImageStore({
    folder: layout.images,
    clock: systemClock,
    specialFiles: await loadLibc(),
  });
  await store.open();
  const host = await registryHost(store.folder, record.name);
  const repository = `functions/${record.name}/${namespace}/${name}/source`;
  const digest = await sourceArtifact(store.blobs, archive);
  await new EmbeddedRegistry({ store }).publish({ repository, tag: "latest" }, digest);
  return {
    reference: `${host}/${repository}@${digest}`,
    fileCount: files.length,
    sizeBytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

/** It comes a moment after the cluster. */
async function registryHost(imagesFolder: string, cluster: string): Promise<string> {
  for (let waitedMs = 0; waitedMs < registryPatienceMs; waitedMs += lookAgainMs) {
    const found = await announcedHosts(imagesFolder, cluster);
    if (found !== undefined) return found.address;
    await systemClock.sleep(lookAgainMs);
  }
  throw new UserError(`cluster "${cluster}" has no registry: its control plane's log says why`);
}

function filesOf(folder: string): ReturnType<typeof listSourceFiles> {
  try {
    const files = listSourceFiles(folder, { mostBytes: defaultMostSourceBytes });
    if (files.length === 0) throw new UserError(`${folder} has no files`);
    return files;
  } catch (cause) {
    if (!(cause instanceof SourceTooLarge)) throw cause;
    throw new UserError(cause.message, { cause });
  }
}
