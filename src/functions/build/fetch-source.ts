/**
 * Brings a function's source into a folder: from the object itself, from Git, or from an OCI artifact.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { createReadStream, existsSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import type { FunctionSource } from "#api/nodeless/function.ts";
import { insidePath, SourceArchiveError, unpackFiles } from "#functions/source/tar.ts";
import { openArtifact } from "#functions/source/artifact.ts";
import { BuildError } from "./build-error.ts";
import { type LineSink, runTool, toolEnvironment, ToolFailed, ToolMissing } from "./tool.ts";

/** Where the source is now. */
export type FetchedSource = { readonly folder: string; readonly commit?: string };

export type FetchOptions = {
  readonly source: FunctionSource;
  /** A folder to put it in; not there yet. */
  readonly folder: string;
  /** The artifact, where this machine's registry has it. */
  readonly archive: string | undefined;
  /** For the tools' own files. */
  readonly home: string;
  readonly mostBytes: number;
  readonly user: number | undefined;
  readonly say: LineSink;
  readonly signal: AbortSignal;
};

/** Fetches it. Throws {@link BuildError}. */
export async function fetchSource(options: FetchOptions): Promise<FetchedSource> {
  const { inline, git, artifact } = options.source;
  await mkdir(options.folder, { recursive: true });
  if (inline !== undefined) return await writeInline(options, inline.files ?? {});
  if (git !== undefined) return await fetchGit(options, git);
  if (artifact !== undefined) return await fetchArtifact(options, artifact.reference ?? "");
  throw failed("SourceMissing", "exactly one of inline, git, artifact and image is required");
}

async function writeInline({ folder }: FetchOptions, files: Readonly<Record<string, string>>): Promise<FetchedSource> {
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, insidePath(name));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  return { folder };
}

/** Without hooks, submodules, prompts and protocols that run something. */
const gitSettings = ["-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false", "-c", "core.symlinks=false"];

async function fetchGit(options: FetchOptions, git: NonNullable<FunctionSource["git"]>): Promise<FetchedSource> {
  const { folder, home, user, say } = options;
  const { url = "", revision = "HEAD", path = "" } = git;
  const environment = {
    ...toolEnvironment(home),
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_ALLOW_PROTOCOL: "https:http:git:ssh",
    GIT_SSH_COMMAND: "ssh -oBatchMode=yes",
  };
  const run = (...args: readonly string[]) =>
    runTool(["git", ...gitSettings, ...args], { cwd: folder, environment, user, say });
  try {
    say(`Fetching ${revision} of ${url}`);
    await run("init", "--quiet");
    await run("fetch", "--quiet", "--depth=1", "--no-tags", "--", url, revision);
    await run("checkout", "--quiet", "FETCH_HEAD");
    const [commit = ""] = await run("rev-parse", "HEAD");
    const inner = normalize(join(folder, path));
    const isFolder = existsSync(inner) && statSync(inner).isDirectory();
    if (!isFolder || !`${inner}/`.startsWith(`${folder}/`))
      throw failed("PathMissing", `the repository has no folder ${path} at ${revision}`);
    say(`Commit ${commit}`);
    return { folder: inner.replace(/\/$/, ""), commit };
  } catch (error) {
    if (error instanceof ToolMissing) throw failed("GitMissing", `${error.message}: apt-get install git`);
    if (error instanceof ToolFailed)
      throw failed("GitFailed", `${revision} of ${url} was not fetched: ${error.lines.at(-1) ?? error.message}`, {
        // Names that are not there stay so; networks come back.
        isPassing: error.lines.some((line) =>
          /could not resolve host|timed out|unable to (access|connect)|connection (refused|reset)/i.test(line),
        ),
        cause: error,
      });
    throw error;
  }
}

async function fetchArtifact(options: FetchOptions, reference: string): Promise<FetchedSource> {
  const { folder, mostBytes, say, signal } = options;
  const opening = options.archive === undefined ? openArtifact(reference, signal) : createReadStream(options.archive);
  const archive = await Promise.resolve(opening).catch((cause: Error) => {
    throw failed("ArtifactFailed", `the source ${reference} was not fetched: ${cause.message}`, {
      isPassing: "reason" in cause && cause.reason === "unavailable",
      cause,
    });
  });
  try {
    const { leftOut } = await unpackFiles(archive, folder, { mostBytes });
    for (const name of leftOut.slice(0, 10)) say(`Left out ${name}: it is neither a file nor a folder`);
    return { folder };
  } catch (cause) {
    if (!(cause instanceof SourceArchiveError)) throw cause;
    throw failed("ArtifactInvalid", `the source ${reference} was not unpacked: ${cause.message}`, { cause });
  }
}

function failed(
  reason: string,
  message: string,
  { isPassing = false, cause }: { readonly isPassing?: boolean; readonly cause?: unknown } = {},
): BuildError {
  return new BuildError({ stage: "source", reason, message, isPassing }, cause === undefined ? undefined : { cause });
}
