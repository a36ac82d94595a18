/**
 * Makes containers' processes with an OCI runtime under conmon: root file system, specification, process. conmon writes the log.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "#component-base/logger.ts";
import type { ImageStore, StoredImage } from "#images/image-store.ts";
import type { Libc } from "#linux/libc.ts";
import type { Programs } from "#linux/programs.ts";
import { mountOverlay, unmount } from "#linux/mounts.ts";
import { makeBareRoot } from "./bare-root.ts";
import { createUnderConmon, reopenConmonLog } from "./conmon.ts";
import type { ContainerRecord } from "./container-record.ts";
import type { MachineCapabilities } from "./machine.ts";
import { buildSpec, chooseArguments } from "./oci-spec.ts";
import type { CreatedProcesses, MakePlan, ProcessMaker } from "./process-maker.ts";
import { makeFolderInRoot } from "./rooted-path.ts";
import type { Sandboxes } from "./sandboxes.ts";
import { RuntimeFailure } from "./settings.ts";
import { finishStart, isUnstarted, startCreated } from "./start.ts";
import { resolveUser, verifyNonRoot } from "./user.ts";

/** What it works with. */
export type OciMakerParts = {
  readonly libc: Libc;
  readonly programs: Programs;
  readonly machine: MachineCapabilities;
  readonly images: ImageStore;
  readonly sandboxes: Sandboxes;
  /** Where the OCI runtime keeps its state. */
  readonly runtimeRoot: string;
  readonly logger: Logger;
  /** A process of the container whose process namespace others join. Throws RuntimeFailure when it does not run. */
  readonly findProcess: (containerId: string) => number;
};

/** crun or runc. */
export class OciMaker implements ProcessMaker {
  readonly #parts: OciMakerParts;

  constructor(parts: OciMakerParts) {
    this.#parts = parts;
  }

  async create(plan: MakePlan): Promise<CreatedProcesses> {
    const { libc, programs, machine, runtimeRoot } = this.#parts;
    if (!machine.conmon || !machine.runtime)
      throw new RuntimeFailure("create", "conmon or an OCI runtime is missing on this machine");
    const { record, image, folder, exitFolder, inherit } = plan;
    const { id, settings } = record;
    const rootfs = image ? this.#mountRoot(folder, image) : makeBareRoot(folder);
    const spec = await this.#buildSpec(plan, rootfs);
    writeFileSync(join(folder, "config.json"), JSON.stringify(spec), { mode: 0o600 });
    return createUnderConmon(
      { libc, programs },
      {
        conmon: machine.conmon,
        runtime: machine.runtime.path,
        runtimeRoot,
        id,
        name: settings.name,
        bundle: folder,
        exitFolder,
        logPath: settings.logPath,
        tty: settings.tty,
        stdin: settings.stdin,
        stdinOnce: settings.stdinOnce,
        inherit,
      },
    );
  }

  async start(id: string): Promise<void> {
    const { machine, runtimeRoot } = this.#parts;
    if (machine.runtime) await startCreated(machine.runtime, runtimeRoot, id);
  }

  /** conmon reads what the process says. But an agent that died right after it had written down that it would start the process may not have done so. */
  attend({ id }: ContainerRecord): void {
    const { machine, runtimeRoot, logger } = this.#parts;
    if (!machine.runtime || !isUnstarted(runtimeRoot, id)) return;
    logger.info("Started a container that was made before", { container: id });
    // One that cannot be started any more has ended, which its conmon tells.
    void finishStart(machine.runtime, runtimeRoot, id).catch((error: unknown) => {
      logger.warn("Started no container that was made before", { container: id, error });
    });
  }

  /** conmon has written all before it ends. */
  drained(): Promise<void> {
    return Promise.resolve();
  }

  reopenLog(_record: ContainerRecord, folder: string): void {
    reopenConmonLog(folder);
  }

  close(): void {
    // Nothing is held.
  }

  abort(): void {
    // All that there is of it is in its control group.
  }

  discard(id: string, folder: string): void {
    unmount(this.#parts.libc, join(folder, "rootfs"));
    rmSync(join(this.#parts.runtimeRoot, id), { recursive: true, force: true });
  }

  #mountRoot(bundle: string, image: StoredImage): string {
    const { libc, images } = this.#parts;
    const [rootfs, upper, work] = ["rootfs", "upper", "work"].map((name) => join(bundle, name)) as [
      string,
      string,
      string,
    ];
    mkdirSync(rootfs, { mode: 0o755 });
    mkdirSync(upper, { mode: 0o755 });
    mkdirSync(work, { mode: 0o700 });
    mountOverlay(libc, rootfs, { lowerFolder: images.layersFolder, lower: [...image.layers].reverse(), upper, work });
    return rootfs;
  }

  async #buildSpec({ record, sandbox, image }: MakePlan, rootfs: string): Promise<Record<string, unknown>> {
    const { machine, sandboxes, findProcess } = this.#parts;
    const { settings } = record;
    const config = image?.config.config ?? {};
    const user = resolveUser(rootfs, config.User ?? "", settings.security);
    verifyNonRoot(user, config.User ?? "", settings.security, settings.about ?? `(container: ${settings.name})`);
    const workingDir = settings.workingDir || config.WorkingDir || "/";
    const isMounted = settings.mounts.some((mount) =>
      `${workingDir}/`.startsWith(`${mount.containerPath.replace(/\/+$/, "")}/`),
    );
    if (!isMounted) makeWorkingFolder(rootfs, workingDir);
    const { seccomp } = settings.security;
    const namespaces = sandboxes.namespacePaths(sandbox);
    const target = settings.targetContainer === undefined ? undefined : findProcess(settings.targetContainer);
    return buildSpec({
      container: settings,
      sandbox: sandbox.settings,
      machine,
      rootfs,
      user,
      argv: chooseArguments(settings, config),
      imageEnv: config.Env ?? [],
      workingDir,
      cgroupPath: record.cgroupPath,
      namespaces: target === undefined ? namespaces : { ...namespaces, pid: `/proc/${target}/ns/pid` },
      shmFolder: sandboxes.shmFolder(sandbox.settings.id),
      ...(seccomp.type === "Localhost" && {
        localSeccomp: JSON.parse(await readFile(seccomp.path, "utf8")) as unknown,
      }),
    });
  }
}

/** An image where something else stands there cannot run so; whatever else is in the way may pass. */
function makeWorkingFolder(rootfs: string, path: string): void {
  try {
    makeFolderInRoot(rootfs, path);
  } catch (cause) {
    if (!["EEXIST", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "")) throw cause;
    throw new RuntimeFailure("start", `OCI runtime create failed: mkdir ${path}: not a directory`, { cause });
  }
}
