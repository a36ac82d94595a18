/**
 * Builds a folder with a Dockerfile, by Debian's buildah: its steps run in a chroot, and all of it in namespaces in which its root is nobody (sealed-program.ts).
 */
import { join } from "node:path";
import type { Credential } from "#images/credentials.ts";
import type { ImageStore } from "#images/image-store.ts";
import { storeLayout } from "#images/load.ts";
import { InvalidImage, isIndex, parseDocument } from "#images/oci.ts";
import { ownHosts } from "#images/registry/hosts.ts";
import type { RegistrySettings } from "#images/registry-client.ts";
import { type BuiltImage, builtImage } from "./build-image.ts";
import {
  type BuildStorage,
  copyContext,
  exists,
  prepareStorage,
  removeFrom,
  underBuildLock,
  writeSettings,
} from "./buildah-storage.ts";
import { withLoadedBases } from "./loaded-bases.ts";
import { runSealed } from "./sealed-program.ts";

/** What is to be built. */
export type DockerfileBuild = {
  /** The folder that COPY and ADD take files from. */
  readonly context: string;
  /** Path in it. Default: Dockerfile, else Containerfile. */
  readonly dockerfile?: string;
  /** The stage to build. Default: the last one. */
  readonly target?: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  /** Default 15 minutes, waiting for other builds included. */
  readonly timeoutMs?: number;
  /** Hears each line that the build says. */
  readonly onLine?: (line: string) => void;
};

/** What is needed for it. */
export type DockerfileParts = {
  readonly store: ImageStore;
  /** Its own, kept between builds: "<data>/builds". One build at a time works in it, others wait. */
  readonly folder: string;
  /** Path of buildah; undefined where it was not found. */
  readonly buildah: string | undefined;
  readonly searchPath: string;
  /** How bases are pulled. The machine's own registry is known. */
  readonly settings?: RegistrySettings;
  readonly credentials?: readonly Credential[];
};

/** There is no image: the Dockerfile or a step of it is wrong, the time is over, or buildah is missing. */
export class BuildFailed extends Error {
  readonly kind = "BuildFailed";
  readonly reason: "failed" | "timeout" | "missing-tool";
  constructor(reason: BuildFailed["reason"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

class DamagedStorage extends Error {}

const noHistory = /history lists \d+ non-empty layers, but we have \d+ layers on disk/;

const defaultTimeoutMs = 900_000;
const dockerfileNames = ["Dockerfile", "Containerfile"];
const lastLines = 20;

/** The Dockerfile of a folder, or undefined where it has none. */
export async function findDockerfile(folder: string): Promise<string | undefined> {
  for (const name of dockerfileNames) if (await exists(join(folder, name))) return name;
  return undefined;
}

/** Builds it; the image's blobs are in the store then, as after buildImage. Throws {@link BuildFailed}. */
export async function buildDockerfile(
  parts: DockerfileParts,
  build: DockerfileBuild,
  signal: AbortSignal,
): Promise<BuiltImage> {
  const { timeoutMs = defaultTimeoutMs } = build;
  const { buildah } = parts;
  if (buildah === undefined)
    throw new BuildFailed(
      "missing-tool",
      "buildah is not installed, which builds folders with a Dockerfile: sudo apt-get install -y buildah",
    );
  const timeout = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, timeout]);
  try {
    return await underBuildLock(parts.folder, either, () => buildTwice({ ...parts, buildah }, build, either));
  } catch (cause) {
    if (signal.aborted || !timeout.aborted) throw cause;
    throw new BuildFailed("timeout", `the build took longer than ${timeoutMs / 1000} s`, { cause });
  }
}

type Parts = DockerfileParts & { readonly buildah: string };

// What is kept between builds can be had again; and a base that says nothing of how it was made can be laid upon only without keeping layers.
async function buildTwice(parts: Parts, build: DockerfileBuild, signal: AbortSignal): Promise<BuiltImage> {
  try {
    return await buildWith(parts, { ...build, keepsLayers: true }, signal);
  } catch (error) {
    const isDamaged = error instanceof DamagedStorage;
    if (isDamaged) await removeFrom(parts.folder, ["storage"], parts.searchPath);
    else if (!(error instanceof BuildFailed) || !noHistory.test(error.message)) throw error;
    return buildWith(parts, { ...build, keepsLayers: isDamaged }, signal);
  }
}

type Attempt = DockerfileBuild & { readonly keepsLayers: boolean };

async function buildWith(parts: Parts, build: Attempt, signal: AbortSignal): Promise<BuiltImage> {
  const { store, folder, settings = {}, credentials = [] } = parts;
  const dockerfile = build.dockerfile ?? (await findDockerfile(build.context));
  if (dockerfile === undefined || !(await exists(join(build.context, dockerfile))))
    throw new BuildFailed("failed", `${build.context} has no ${dockerfile ?? dockerfileNames.join(" and no ")}`);
  const storage = await prepareStorage(folder, parts, signal);
  try {
    await copyContext(build.context, join(storage.work, "context"), signal);
    const plainHttp = [...(settings.plainHttp ?? []), ...(await ownHosts(store.folder))];
    const allCredentials = [...(settings.credentials ?? []), ...credentials];
    const reach = { ...settings, plainHttp, credentials: allCredentials };
    await withLoadedBases(store, async (loaded) => {
      await writeSettings(folder, storage, { ...reach, loaded }, signal);
      await runBuildah(parts, { ...build, dockerfile, storage }, signal);
    });
    const digest = await storeLayout(store, join(storage.work, "layout"));
    const manifest = parseDocument(await store.blobs.read(digest), digest);
    if (isIndex(manifest)) throw new InvalidImage(`${digest} is an index, not a manifest`);
    return builtImage(digest, manifest);
  } finally {
    await removeFrom(folder, ["work"], parts.searchPath);
  }
}

type Job = Attempt & { readonly dockerfile: string; readonly storage: BuildStorage };

/** Exit code for a storage that a killed build left in pieces. */
const damagedStorage = 97;

// One entry into the namespaces for both: building, and giving the image out as a layout. What a killed build left goes first.
// For a base such as "node:24" buildah locks a table in /var/cache, which is root's: it gets an empty one.
const script = `
tool="$1" driver="$2"; shift 2
buildah() { "$tool" --root "/mnt/storage/$driver" --runroot /mnt/run --storage-driver "$driver" "$@"; }
if [ -d /var/cache ]; then mount -t tmpfs -o size=1m,mode=700 tmpfs /var/cache; fi
buildah rm --all >/dev/null || exit ${damagedStorage}
buildah build --signature-policy /mnt/policy.json --isolation chroot --network host --iidfile /mnt/work/id "$@"
buildah push --signature-policy /mnt/policy.json --quiet --format oci "$(cat /mnt/work/id)" oci:/mnt/work/layout:built`;

async function runBuildah(parts: Parts, job: Job, signal: AbortSignal): Promise<void> {
  const { driver } = job.storage;
  const flags = [
    `--layers=${job.keepsLayers}`,
    "--file",
    `/mnt/work/context/${job.dockerfile}`,
    ...Object.entries(job.buildArgs ?? {}).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]),
    ...(job.target === undefined ? [] : ["--target", job.target]),
  ];
  const last: string[] = [];
  const onLine = (line: string) => {
    last.push(line);
    if (last.length > lastLines) last.shift();
    job.onLine?.(line);
  };
  const args = [parts.buildah, driver, ...flags, "/mnt/work/context"];
  const program = { script, arguments: args, folder: parts.folder, environment: environmentOf(parts), onLine };
  const code = await runSealed(program, signal);
  if (code === damagedStorage) throw new DamagedStorage(reasonIn(last));
  if (code !== 0) throw new BuildFailed("failed", reasonIn(last));
}

function environmentOf({ searchPath, settings }: Parts): NodeJS.ProcessEnv {
  const { http, https, no } = settings?.proxy ?? {};
  return {
    PATH: searchPath,
    HOME: "/mnt/home",
    TMPDIR: "/mnt/tmp",
    XDG_RUNTIME_DIR: "/mnt/run",
    CONTAINERS_REGISTRIES_CONF: "/mnt/registries.conf",
    CONTAINERS_STORAGE_CONF: "/mnt/storage.conf",
    REGISTRY_AUTH_FILE: "/mnt/auth.json",
    // It has a user namespace already.
    _CONTAINERS_USERNS_CONFIGURED: "done",
    ...(http && { HTTP_PROXY: http }),
    ...(https && { HTTPS_PROXY: https }),
    ...(no && { NO_PROXY: no }),
  };
}

function reasonIn(lines: readonly string[]): string {
  const said = lines.findLast((line) => /^error:/i.test(line)) ?? lines.at(-1) ?? "it said nothing";
  return `the build failed: ${said.replace(/^Error: /, "")}`;
}
