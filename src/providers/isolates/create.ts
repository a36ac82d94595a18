/**
 * Makes the isolates provider of a node from its settings. Loaded with the first isolate.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import type { ImageStore } from "#images/image-store.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { openRootlessEngine, type RootlessEngineOptions } from "#runtime/rootless/rootless-engine.ts";
import { type CagingEngine, openRuntime, type RuntimeOptions } from "#runtime/runtime-engine.ts";
import { RecordFolder } from "#runtime/records.ts";
import type { CageParts, NameFiles } from "./cage.ts";
import { IsolatesRuntime } from "./isolates-runtime.ts";
import { compileConfiguration, type LoaderProgram, loneLoader, reachableFromOwnNetwork } from "./loader.ts";
import { packLoader } from "./pack-loader.ts";
import type { PackRecord } from "./pack-process.ts";
import { type PackedContainer, PackedIsolates } from "./packed-isolates.ts";
import { findWorkerd } from "./workerd-program.ts";

/** What isolates need, whatever cages them. `runFolder` is theirs alone, and short. */
export type IsolatesOptions = {
  readonly runFolder: string;
  readonly images: ImageStore;
  readonly cgroupParent: string;
  /** Authorities that isolates trust beside the usual ones: PEM files, such as the cluster's own. */
  readonly certificateFiles: readonly string[];
  /** How many processes wait for pods once isolates are in use. Default 4. */
  readonly poolSize?: number;
  /** Absent: isolates ask the resolvers of their pod. */
  readonly names?: NameFiles;
  readonly clock: Clock;
  readonly logger: Logger;
};

const defaultPoolSize = 4;

/** Isolates that are caged as containers are. Nothing runs yet. */
export function createIsolatesProvider(options: IsolatesOptions & RuntimeOptions): IsolatesRuntime {
  return createRuntime(options, reachableFromOwnNetwork, () => openRuntime(options, options.images));
}

/** Isolates of who is not root. `ranges` are the cluster's own: of the machine's loopback addresses code may connect to these only. Nothing runs yet. */
export function createRootlessIsolatesProvider(
  options: IsolatesOptions & RootlessEngineOptions & { readonly ranges: readonly string[] },
): IsolatesRuntime {
  return createRuntime(options, ["public", "private", ...options.ranges], () => openRootlessEngine(options));
}

function createRuntime(
  options: IsolatesOptions,
  reachable: readonly string[],
  openEngine: () => Promise<CagingEngine>,
): IsolatesRuntime {
  const { images, cgroupParent, clock, logger, runFolder, certificateFiles } = options;
  return new IsolatesRuntime({
    images,
    cgroupParent,
    clock,
    logger,
    openEngine,
    names: options.names,
    poolSize: options.poolSize ?? defaultPoolSize,
    prepare: () => {
      // Of processes that waited for the agent before: they are gone.
      rmSync(join(runFolder, "c"), { recursive: true, force: true });
      return prepare(loneLoader, { runFolder, certificateFiles, reachable });
    },
  });
}

/** Isolates that share processes; needs root. Its folders are its own too. Nothing runs yet. */
export function createPackedIsolates(options: IsolatesOptions & RuntimeOptions): PackedIsolates {
  const { images, cgroupParent, clock, logger } = options;
  const records = <T>(name: string) => {
    const folder = new RecordFolder<T>(join(options.stateFolder, name));
    folder.open();
    return folder;
  };
  return new PackedIsolates({
    images,
    cgroupParent,
    clock,
    logger,
    openEngine: () => openRuntime(options, images),
    packs: records<PackRecord>("packs"),
    containers: records<PackedContainer>("packed"),
    prepare: () => prepare(packLoader, { ...options, reachable: reachableFromOwnNetwork }),
  });
}

async function prepare(
  program: LoaderProgram,
  options: Pick<IsolatesOptions, "runFolder" | "certificateFiles"> & { readonly reachable: readonly string[] },
): Promise<Omit<CageParts, "engine" | "listeners">> {
  const { runFolder, certificateFiles, reachable } = options;
  const workerd = findWorkerd();
  const controlFolder = join(runFolder, "c");
  mkdirSync(controlFolder, { recursive: true, mode: 0o700 });
  const { path, compatibilityDate } = workerd;
  const [configuration] = await Promise.all([
    compileConfiguration({ program, workerd: path, compatibilityDate, folder: runFolder, reachable }),
    bringIntoMemory(path),
  ]);
  const authorities = writeAuthorities(runFolder, certificateFiles);
  return { workerd, configuration, authorities, controlFolder };
}

/** Debian's, then Fedora's. */
const systemAuthorities = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

// The machine's, for an administrator may have added his own; Node's where it has none.
function writeAuthorities(folder: string, more: readonly string[]): string {
  const system = systemAuthorities.find((file) => existsSync(file));
  const usual = system === undefined ? rootCertificates.join("\n") : readFileSync(system, "utf8");
  const path = join(folder, "authorities.pem");
  writeFileSync(path, [usual, ...more.map((file) => readFileSync(file, "utf8"))].join("\n"), { mode: 0o644 });
  return path;
}

const chunkBytes = 4 * 1024 * 1024;

// Pages of a file are charged to the control group that touches them first: not to the first pod's.
async function bringIntoMemory(path: string): Promise<void> {
  const file = await open(path);
  const buffer = Buffer.alloc(chunkBytes);
  try {
    while ((await file.read(buffer, 0, chunkBytes)).bytesRead > 0);
  } finally {
    await file.close();
  }
}
