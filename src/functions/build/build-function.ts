/**
 * Builds a function: fetches its source, bundles and installs, makes an image, pushes it. The source is read without root's rights; the image, which is made of its files and runs nothing of them, with them.
 */
import { chmod, chown, copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "#component-base/clock.ts";
import { buildImage } from "#images/build/build-image.ts";
import { BuildFailed, buildDockerfile } from "#images/build/dockerfile.ts";
import { ImageStore } from "#images/image-store.ts";
import { ImagePuller } from "#images/pull.ts";
import { parseReference } from "#images/reference.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { announcedHosts, isOwnHost } from "#images/registry/hosts.ts";
import type { SpecialFiles } from "#images/special-files.ts";
import { artifactLayer } from "#functions/source/artifact.ts";
import { BuildError, type BuildFailure } from "./build-error.ts";
import { findEsbuild, loadEsbuild } from "./esbuild.ts";
import { type FetchedSource, fetchSource } from "./fetch-source.ts";
import { type ImageContent, imageContent } from "./image-content.ts";
import type { BuildJob, BuildMessage, BuildOutcome } from "./job.ts";

export type BuildParts = {
  readonly clock: Clock;
  /** For unpacking what images are laid onto. */
  readonly specialFiles: SpecialFiles;
  readonly tell: (message: BuildMessage) => void;
};

/** Runs the job to its end. Never rejects. */
export async function buildFunction(job: BuildJob, parts: BuildParts): Promise<BuildOutcome> {
  const { signal } = new AbortController();
  try {
    const archive = await ownArtifact(job, parts);
    const { content, source } = await asUser(job.user, job.work, () => prepare(job, archive, parts, signal));
    const image = await makeImage(job, content ?? source.folder, parts, signal);
    return { image, ...(source.commit === undefined ? {} : { commit: source.commit }) };
  } catch (error) {
    return { failure: failureOf(error) };
  }
}

/** Without content: a folder with a Dockerfile, which says itself what the image is made of. */
type Prepared = { readonly content?: ImageContent; readonly source: FetchedSource };

/** The source's artifact as a file, where this machine's own registry has it: nobody else may read there. */
async function ownArtifact({ source, imageStore, work }: BuildJob, { clock }: BuildParts): Promise<string | undefined> {
  const name = source.artifact?.reference;
  if (name === undefined) return undefined;
  const { registry, repository, digest, tag = "latest" } = parseReference(name);
  if (!(await isOwnHost(imageStore, registry))) return undefined;
  const own = new EmbeddedRegistry({ store: new ImageStore({ folder: imageStore, clock }) });
  const found = await own.findManifest(own.repository(repository), digest ?? tag);
  if (found === undefined)
    throw new BuildError({
      stage: "source",
      reason: "ArtifactFailed",
      message: `the registry of this machine has no ${name}`,
    });
  const file = join(work, "source.tar.gz");
  await copyFile(own.repository(repository).blobPath(artifactLayer(found.bytes, name)), file);
  await chmod(file, 0o644);
  return file;
}

async function prepare(
  job: BuildJob,
  archive: string | undefined,
  { tell }: BuildParts,
  signal: AbortSignal,
): Promise<Prepared> {
  const say = (line: string) => tell({ line });
  const [home, scratch] = [join(job.work, "home"), join(job.work, "scratch")];
  for (const folder of [home, scratch]) await mkdir(folder);
  const fetching = { source: job.source, folder: join(job.work, "source"), archive, home, user: job.user, say, signal };
  const source = await fetchSource({ ...fetching, mostBytes: job.mostSourceBytes });
  tell({ stage: "fetched" });
  if (job.runtime === "container") return { source };
  const esbuild = () => loadEsbuild(join(job.work, "esbuild"));
  return { source, content: await imageContent({ job, folder: source.folder, scratch, home, esbuild, say }) };
}

/**
 * Does the work as a user who has nothing but the work folder. Everything that is loaded is loaded before: our own files may not be his to read.
 */
async function asUser<T>(user: number | undefined, folder: string, work: () => Promise<T>): Promise<T> {
  // A copy that he may run, wherever the package is.
  await copyFile(findEsbuild(), join(folder, "esbuild"));
  await Promise.all([loadEsbuild(join(folder, "esbuild")), import("undici")]);
  if (user === undefined || process.geteuid?.() !== 0) return await work();
  await chown(folder, user, user);
  process.setgroups?.([]);
  process.setegid?.(user);
  process.seteuid?.(user);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

/** Of files that were prepared, or of a folder with a Dockerfile. Gives its name, by digest. */
async function makeImage(
  job: BuildJob,
  from: ImageContent | string,
  { clock, specialFiles, tell }: BuildParts,
  signal: AbortSignal,
): Promise<string> {
  const { imageStore, cluster, repository } = job;
  const store = new ImageStore({ folder: imageStore, clock, specialFiles });
  await store.open();
  const host = (await announcedHosts(imageStore, cluster))?.address;
  if (host === undefined) throw withoutRegistry(cluster);
  const say = (line: string) => tell({ line });
  try {
    const digest =
      typeof from === "string"
        ? await buildFolder(job, from, { store, say, signal })
        : await layOntoBase(store, from, { name: `${host}/${repository}:latest`, say, signal });
    await new EmbeddedRegistry({ store }).publish({ repository, tag: "latest" }, digest);
    const pinned = `${host}/${repository}@${digest}`;
    say(`Pushed ${pinned}`);
    return pinned;
  } catch (cause) {
    if (cause instanceof BuildError) throw cause;
    const message = `the image was not made: ${(cause as Error).message}`;
    const isPassing = "reason" in (cause as object) && (cause as { reason: unknown }).reason === "unavailable";
    throw new BuildError({ stage: "push", reason: "ImageFailed", message, isPassing }, { cause });
  }
}

type MakeOptions = { readonly say: (line: string) => void; readonly signal: AbortSignal };

async function layOntoBase(
  store: ImageStore,
  content: ImageContent,
  { name, say, signal }: MakeOptions & { readonly name: string },
): Promise<string> {
  if (content.base !== undefined) say(`Laying onto ${content.base}`);
  const puller = new ImagePuller({ store, settings: {} });
  // Under its name it is on this machine already: the first pod pulls nothing.
  return (await buildImage({ store, puller }, { ...content, name }, signal)).digest;
}

/** By buildah, which is sealed off by itself. */
async function buildFolder(
  { entrypoint, buildah: tools }: BuildJob,
  context: string,
  { store, say, signal }: MakeOptions & { readonly store: ImageStore },
): Promise<string> {
  const { program: buildah, folder, searchPath } = tools;
  try {
    const wanted = { context, onLine: say, ...(entrypoint === undefined ? {} : { dockerfile: entrypoint }) };
    return (await buildDockerfile({ store, folder, buildah, searchPath }, wanted, signal)).digest;
  } catch (cause) {
    if (!(cause instanceof BuildFailed)) throw cause;
    const reason = { failed: "DockerfileFailed", timeout: "BuildTimedOut", "missing-tool": "BuildahMissing" }[
      cause.reason
    ];
    throw new BuildError({ stage: "build", reason, message: cause.message }, { cause });
  }
}

function withoutRegistry(cluster: string): BuildError {
  const message = `cluster "${cluster}" has no registry yet`;
  return new BuildError({ stage: "push", reason: "RegistryMissing", message, isPassing: true });
}

function failureOf(error: unknown): BuildFailure {
  if (error instanceof BuildError) return error.failure;
  const message = error instanceof Error ? error.message : String(error);
  return { stage: "build", reason: "BuildFailed", message, isPassing: false };
}
