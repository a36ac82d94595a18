/**
 * The first phase of a pod: a sandbox with a process in it that waits for code. Both were made ahead where that was possible, and may have the code of the pod's predecessor already.
 */
import { randomBytes } from "node:crypto";
import { closeSync, mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import type { ContainerSpec, LinuxResources, SandboxSpec } from "#kubelet/container-runtime.ts";
import type { PodRef } from "#kubelet/provider.ts";
import type { SandboxRecord } from "#runtime/sandboxes.ts";
import { RuntimeFailure } from "#runtime/settings.ts";
import { type Cage, makeCage } from "./cage.ts";
import { outcomeOf } from "./control.ts";
import { boundMemory } from "./isolate-bounds.ts";
import type { IsolateParts } from "./isolate-parts.ts";
import type { IsolateCode } from "./loader.ts";
import { LoadedAhead } from "./loaded-ahead.ts";
import { ReadyPool } from "./ready-pool.ts";

/** Name of the log of a container's first attempt, for which processes are started ahead. */
const firstLog = "0.log";

/** Sandboxes by their pods, and the processes that wait in them. */
export class IsolateGround {
  readonly #parts: IsolateParts;
  /** Ids of sandboxes by pod uid. */
  readonly #sandboxIds = new Map<string, string>();
  /** Processes that have no code yet, by sandbox id. */
  readonly #fresh = new Map<string, Cage>();
  readonly #making = new Map<string, Promise<SandboxRecord>>();
  readonly #pool: ReadyPool<Cage>;
  readonly ahead: LoadedAhead;

  constructor(parts: IsolateParts) {
    this.#parts = parts;
    const { clock, logger, poolSize } = parts.options;
    this.#pool = new ReadyPool({
      size: poolSize,
      make: () => this.#makeReady(),
      isInUse: () => this.#sandboxIds.size > 0,
      isBusy: () => this.ahead.isWaiting,
      isAlive: (cage) => this.#isWaiting(cage),
      discard: (cage) => this.#discard(cage),
      clock,
      logger,
    });
    this.ahead = new LoadedAhead({
      take: () => this.#pool.take(),
      load: (cage, code, resources, signal) => this.#loadAhead(cage, code, resources, signal),
      discard: (cage) => this.#discard(cage),
      clock,
      logger,
    });
  }

  /** A sandbox from before is a pod's. */
  adopt(uid: string, sandboxId: string): void {
    this.#sandboxIds.set(uid, sandboxId);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#pool.stop(), this.ahead.stop()]);
  }

  /** Whether the pod's sandbox is here, or on its way. */
  hasPod(uid: string): boolean {
    return this.#sandboxIds.has(uid) || this.#making.has(uid);
  }

  /** The id of the pod's sandbox. */
  find(uid: string): string | undefined {
    return this.#sandboxIds.get(uid);
  }

  /** A pod is being started: nothing is made beside it. */
  postpone(): void {
    this.#pool.postpone();
  }

  /** The pod's sandbox, made unless it is there. */
  async ensure(spec: SandboxSpec): Promise<SandboxRecord> {
    const { uid } = spec.pod;
    const making = this.#making.get(uid) ?? this.#takeSandbox(spec);
    this.#making.set(uid, making);
    try {
      return await making;
    } finally {
      this.#making.delete(uid);
    }
  }

  /** Takes the pod's sandbox away with all that is in it. */
  async remove({ uid }: PodRef): Promise<void> {
    await this.#making.get(uid)?.catch(() => {});
    const id = this.#sandboxIds.get(uid);
    if (id === undefined) return;
    await this.#removeAll(id);
    this.#sandboxIds.delete(uid);
  }

  /** The process that waits in the pod's sandbox, or a new one: for further containers, and after an end. */
  async takeCage(spec: ContainerSpec, code: IsolateCode): Promise<Cage> {
    const sandboxId = this.#sandboxIds.get(spec.pod.uid);
    if (sandboxId === undefined) throw new RuntimeFailure("create", `the pod ${spec.pod.name} has no sandbox`);
    const fresh = this.#fresh.get(sandboxId);
    this.#fresh.delete(sandboxId);
    const isFit = fresh !== undefined && this.ahead.fits(fresh, code);
    if (isFit && basename(spec.logPath) === firstLog && this.#isWaiting(fresh)) return fresh;
    if (fresh) {
      letGo(fresh);
      await this.#parts.engine().containers.remove(fresh.containerId);
    }
    return makeCage(await this.#parts.cageParts(), sandboxId, `${spec.name}-${spec.attempt}`, spec.logPath);
  }

  async #takeSandbox(spec: SandboxSpec): Promise<SandboxRecord> {
    const { sandboxes } = this.#parts.engine();
    const known = this.#sandboxIds.get(spec.pod.uid);
    const present = known === undefined ? undefined : sandboxes.find(known);
    if (present) return sandboxes.ensure(present.settings);
    const cage = this.ahead.take(spec.pod) ?? this.#pool.take() ?? (await this.#makeReady());
    const { hostname, domainname, sysctls, resources: limits } = spec;
    const record = sandboxes.assign(cage.sandboxId, { hostname, domainname, sysctls, limits, attachment: spec });
    this.#fresh.set(cage.sandboxId, cage);
    try {
      boundMemory(limits, (bounds) => sandboxes.setLimits(cage.sandboxId, bounds));
    } catch (error) {
      await this.#removeAll(cage.sandboxId);
      throw error;
    }
    this.#sandboxIds.set(spec.pod.uid, cage.sandboxId);
    return record;
  }

  /** A sandbox of nobody yet, with a process in it that waits for code. */
  async #makeReady(): Promise<Cage> {
    const { sandboxes } = this.#parts.engine();
    const parts = await this.#parts.cageParts();
    const id = `isolate-${randomBytes(8).toString("hex")}`;
    await sandboxes.ensure({
      id,
      hostname: "isolate",
      sysctls: {},
      hostNetwork: false,
      hostPid: false,
      hostIpc: false,
      sharedPid: false,
      cgroupPath: `${this.#parts.options.cgroupParent}/${id}`,
      limits: {},
      attachment: undefined,
    });
    try {
      const logs = join(sandboxes.folder(id), "logs");
      mkdirSync(logs, { mode: 0o700 });
      return await makeCage(parts, id, "ready", join(logs, firstLog));
    } catch (error) {
      await this.#removeAll(id);
      throw error;
    }
  }

  /** For a pod that is not there yet. */
  async #loadAhead(cage: Cage, code: IsolateCode, resources: LinuxResources, signal: AbortSignal): Promise<unknown> {
    try {
      boundMemory(resources, (bounds) => this.#parts.engine().containers.setLimits(cage.containerId, bounds));
    } catch (error) {
      return error;
    }
    return await outcomeOf(cage.control.load(code, () => {}, signal));
  }

  #discard(cage: Cage): Promise<void> {
    letGo(cage);
    return this.#removeAll(cage.sandboxId);
  }

  #isWaiting(cage: Cage): boolean {
    return this.#parts.engine().containers.find(cage.containerId)?.phase === "running";
  }

  async #removeAll(sandboxId: string): Promise<void> {
    const { sandboxes, containers } = this.#parts.engine();
    const fresh = this.#fresh.get(sandboxId);
    if (fresh) letGo(fresh);
    this.#fresh.delete(sandboxId);
    sandboxes.retire(sandboxId);
    const inside = containers.list().filter(({ settings }) => settings.sandboxId === sandboxId);
    await Promise.all(inside.map(({ id }) => containers.remove(id)));
    await sandboxes.remove(sandboxId);
  }
}

/** Nobody hands code to it any more; the process keeps both sockets. */
export function letGo(cage: Cage): void {
  closeSync(cage.listener);
  cage.control.close();
}
