/**
 * The folder in which buildah works, kept from build to build: layers for later builds, settings, and a folder for the build that is under way. All of it belongs to whom root is
 * in the build's namespaces.
 */
import { execFile } from "node:child_process";
import { access, chown, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Credential } from "#images/credentials.ts";
import type { RegistrySettings } from "#images/registry-client.ts";
import { lockFile } from "#linux/file-lock.ts";
import type { LoadedBases } from "./loaded-bases.ts";
import { runSealed, sealedUser } from "./sealed-program.ts";

/** Where a build works. */
export type BuildStorage = {
  readonly driver: "overlay" | "vfs";
  /** For this build alone, removed at its end. */
  readonly work: string;
};

/** Layers that are kept for later builds; when there are more, all of them go. */
const mostLayers = 200;

/** Makes it ready. What builds left that were killed is removed, so only one may be under way. */
export async function prepareStorage(
  folder: string,
  { buildah, searchPath }: { readonly buildah: string; readonly searchPath: string },
  signal: AbortSignal,
): Promise<BuildStorage> {
  const storage = join(folder, "storage");
  const isFull = (await countLayers(storage)) > mostLayers;
  await removeFrom(folder, ["work", "run", "tmp", ...(isFull ? ["storage"] : [])], searchPath);
  const isNew = !(await exists(storage));
  const work = join(folder, "work");
  for (const path of [
    work,
    join(folder, "run"),
    join(folder, "tmp"),
    join(folder, "home/.config/containers/registries.d"),
  ])
    await mkdir(path, { recursive: true });
  await mkdir(storage, { recursive: true });
  await giveAway(
    [...(isNew ? [storage] : []), ...["work", "run", "tmp", "home"].map((name) => join(folder, name))],
    signal,
  );
  if (process.geteuid?.() === 0) await chown(folder, sealedUser, sealedUser);
  const [known] = await readdir(storage);
  if (known === "overlay" || known === "vfs") return { driver: known, work };
  const script = 'exec "$1" --root /mnt/storage/overlay --runroot /mnt/run --storage-driver overlay images';
  const environment = { PATH: searchPath, HOME: "/mnt/home", _CONTAINERS_USERNS_CONFIGURED: "done" };
  const code = await runSealed({ script, arguments: [buildah], folder, environment, onLine: () => {} }, signal);
  if (code === 0) return { driver: "overlay", work };
  await removeFrom(folder, ["storage"], searchPath);
  await mkdir(storage);
  await giveAway([storage], signal);
  return { driver: "vfs", work };
}

/** Removes parts of the folder: "storage" is what is kept for later builds, "work" is the build's own. */
export async function removeFrom(folder: string, names: readonly string[], searchPath: string): Promise<void> {
  const found = (await readdir(folder).catch(() => [])).filter((name) => names.includes(name));
  if (found.length === 0) return;
  if (process.geteuid?.() === 0) {
    for (const name of found) await rm(join(folder, name), { recursive: true, force: true });
    return;
  }
  // Files of its other users are only theirs to remove.
  const environment = { PATH: searchPath };
  const program = { script: 'cd /mnt; rm -rf -- "$@"', arguments: found, folder, environment, onLine: () => {} };
  await runSealed(program, new AbortController().signal);
}

/** Copies the files of a build into its folder: whom root is in there may not read them where they are. */
export async function copyContext(from: string, to: string, signal: AbortSignal): Promise<void> {
  await run("cp", ["-a", "--reflink=auto", "--", from, to], signal);
  await giveAway([to], signal);
}

type ReachSettings = RegistrySettings & {
  readonly credentials: readonly Credential[];
  /** Asked before anybody else. */
  readonly loaded: LoadedBases;
};

/** How buildah reaches registries, and whom it trusts. `plainHttp` speak in the clear. */
export async function writeSettings(
  folder: string,
  { driver }: BuildStorage,
  settings: ReachSettings,
  signal: AbortSignal,
): Promise<void> {
  const auths = settings.credentials.map(({ registry, username = "", password = "" }) => [
    registry,
    { auth: Buffer.from(`${username}:${password}`).toString("base64") },
  ]);
  const files = {
    "registries.conf": registriesConf(settings),
    "auth.json": JSON.stringify({ auths: Object.fromEntries(auths) }),
    "policy.json": JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }),
    "storage.conf": `[storage]\ndriver = "${driver}"\n`,
  };
  for (const [name, text] of Object.entries(files)) {
    await rm(join(folder, name), { force: true });
    await writeFile(join(folder, name), text, { mode: 0o600 });
  }
  await giveAway(
    Object.keys(files).map((name) => join(folder, name)),
    signal,
  );
}

/** One build at a time in a folder, of all processes. */
export async function underBuildLock<T>(folder: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const locking = lockFile(join(folder, "lock"));
  const { promise: left, reject } = Promise.withResolvers<never>();
  const leave = () => reject(signal.reason as Error);
  signal.addEventListener("abort", leave, { once: true });
  let isOurs = false;
  try {
    const lock = await Promise.race([locking, left]);
    isOurs = true;
    try {
      return await work();
    } finally {
      lock.release();
    }
  } finally {
    signal.removeEventListener("abort", leave);
    // Who does not wait any more gives it back as soon as he gets it.
    if (!isOurs) void locking.then((lock) => lock.release());
  }
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function registriesConf({ mirrors = {}, plainHttp = [], loaded }: ReachSettings): string {
  const table = (head: string, location: string, isPlain: boolean) =>
    `[[${head}]]\nlocation = ${JSON.stringify(location)}\ninsecure = ${isPlain}\n`;
  // The rest of the name comes after the mirror's own address, as it comes after the registry's.
  const registry = (host: string, path: string, first: readonly string[]) => {
    const ends = (mirrors[host] ?? []).map((end) => new URL(end));
    const mirrored = ends.map(({ host: location, protocol }) =>
      table("registry.mirror", `${location}${path}`, protocol === "http:"),
    );
    return [table("registry", `${host}${path}`, plainHttp.includes(host)), ...first, ...mirrored].join("");
  };
  const hosts = new Set([...plainHttp, ...Object.keys(mirrors).filter((name) => name !== "*")]);
  const here = loaded.repositories.map((name) => {
    const slash = name.indexOf("/");
    return registry(name.slice(0, slash), name.slice(slash), [
      table("registry.mirror", `${loaded.mirror}/${name}`, true),
    ]);
  });
  const parts = [...[...hosts].map((host) => registry(host, "", [])), ...here];
  // "node:24" is Docker Hub's, as everywhere.
  const shortNames = 'unqualified-search-registries = ["docker.io"]\nshort-name-mode = "disabled"\n';
  return [shortNames, ...parts].join("\n");
}

async function countLayers(storage: string): Promise<number> {
  const folders = ["overlay/overlay", "vfs/vfs/dir"].map((name) => readdir(join(storage, name)).catch(() => []));
  return Math.max(...(await Promise.all(folders)).map(({ length }) => length));
}

// Without root all of it is ours, and so is root in there.
async function giveAway(paths: readonly string[], signal: AbortSignal): Promise<void> {
  if (process.geteuid?.() !== 0) return;
  await run("chown", ["-R", "--no-dereference", `${sealedUser}:${sealedUser}`, "--", ...paths], signal);
}

async function run(command: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  await promisify(execFile)(command, args, { signal });
}
