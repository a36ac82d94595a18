/**
 * The second phase of a pod: the process that waits in its sandbox gets its code, its port, its log and its bounds, and is the pod's from then on.
 */
import { writeFileSync } from "node:fs";
import type { ContainerSpec, LinuxResources } from "#kubelet/container-runtime.ts";
import type { Listeners } from "#linux/listeners.ts";
import { signalProcess } from "#linux/processes.ts";
import type { ContainerRecord } from "#runtime/container-record.ts";
import { RuntimeFailure } from "#runtime/settings.ts";
import { type Cage, writeNames } from "./cage.ts";
import { CodeReader, portOf } from "./code-reader.ts";
import { appendLog, LoadFailure, LoadTimeout, outcomeOf } from "./control.ts";
import { inlineImage } from "./inline-image.ts";
import { boundMemory, setOutOfMemoryScore } from "./isolate-bounds.ts";
import { type IsolateGround, letGo } from "./isolate-ground.ts";
import type { IsolateParts } from "./isolate-parts.ts";
import type { IsolateCode } from "./loader.ts";
import { terminationFile } from "./refusals.ts";

/** How long a pod that has just begun has the processor as if it had asked for one: its first request is as much of its start as its code is. */
const beginnerMs = 1000;
/** As of a program that ends because it throws. */
const faultExitCode = 1;

/** Starts isolates. */
export class IsolateStarts {
  readonly #parts: IsolateParts;
  readonly #ground: IsolateGround;
  readonly #code: CodeReader;

  constructor(parts: IsolateParts, ground: IsolateGround) {
    this.#parts = parts;
    this.#ground = ground;
    this.#code = new CodeReader(parts.options.images);
  }

  /** Hands the container's code to a process. Resolves when it runs, or has run and failed. */
  async start(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerRecord> {
    this.#ground.postpone();
    const code = await this.#code.read(spec, (await this.#parts.cageParts()).workerd.compatibilityDate);
    const cage = await this.#ground.takeCage(spec, code);
    return await this.#load(cage, spec, code, signal);
  }

  /** Sets the bounds that are written down, of a process and of its pod: all of them, or some. The pod may be gone again. */
  bound(container: string, pick: (limits: LinuxResources) => LinuxResources = (limits) => limits): void {
    const engine = this.#parts.findEngine();
    const settings = engine?.containers.find(container)?.settings;
    const sandbox = engine?.sandboxes.find(settings?.sandboxId ?? "");
    if (!engine || !settings || !sandbox) return;
    try {
      engine.containers.setLimits(container, pick(settings.limits));
      engine.sandboxes.setLimits(settings.sandboxId, pick(sandbox.settings.limits));
    } catch (error) {
      this.#parts.options.logger.warn("Could not set the bounds of an isolate", { container, error });
    }
  }

  async #load(cage: Cage, spec: ContainerSpec, code: IsolateCode, signal: AbortSignal): Promise<ContainerRecord> {
    const { engine, listeners } = await this.#parts.cageParts();
    const { containers } = engine;
    const { containerId: id } = cage;
    try {
      boundMemory(spec.resources, (bounds) => containers.setLimits(id, bounds));
      const sent = Promise.withResolvers<void>();
      const begun = this.#ground.ahead.loading(cage);
      const loading = begun ?? outcomeOf(cage.control.load(code, sent.resolve, signal));
      // While the engine works on it, so do we. Who comes to the port before it has the code waits for it.
      if (begun === undefined) await Promise.race([sent.promise, loading]);
      try {
        containers.moveLog(id, spec.logPath);
        writeNames(engine, id, spec, this.#parts.options.names);
        setOutOfMemoryScore(containers.runningProcess(id).pid, spec.oomScoreAdj, engine.machine.sysResource);
        this.#listenAt(listeners, cage, portOf(spec));
      } catch (error) {
        // One that died of its code has run; that is told below. One without a port dies of that.
        if (error instanceof PortFailure || (await loading) === undefined) throw error;
      }
      const [outcome] = await Promise.all([loading, this.#hold(spec.imageId, id)]);
      // Its process ends in a moment: until then no probe is to find it ready.
      if (outcome !== undefined) listeners.stopListening(cage.listener);
      if (outcome instanceof LoadTimeout) appendLog(spec.logPath, outcome.message);
      if (outcome === undefined) this.#ground.ahead.remember(spec.pod, code, spec.resources);
      return this.#assign(id, spec, outcome);
    } catch (error) {
      await containers.remove(id);
      throw error;
    } finally {
      letGo(cage);
    }
  }

  async #hold(imageId: string, id: string): Promise<void> {
    if (imageId === inlineImage.id) return;
    await this.#parts.options.images.hold(imageId, id, this.#parts.engine().containers.folder(id));
  }

  /** The process is the pod's from now on. One whose code did not load ends at once, as a program does that throws; one that died of it has ended already. */
  #assign(id: string, spec: ContainerSpec, fault: unknown): ContainerRecord {
    const { containers } = this.#parts.engine();
    const { name, imageId, logPath, resources: limits, stopSignal } = spec;
    const pidsLimit = containers.find(id)?.settings.limits.pidsLimit;
    const assignment = {
      name,
      imageId,
      logPath,
      limits: { ...(pidsLimit !== undefined && { pidsLimit }), ...limits },
      ...(stopSignal !== undefined && { stopSignal }),
      attachment: spec,
    };
    const record = containers.assign(id, assignment);
    // Not on the way of saying that it runs.
    setImmediate(() => this.bound(id, withoutShare));
    this.#parts.options.clock.setTimer(beginnerMs, () => this.bound(id, shareAlone));
    if (fault === undefined) return record;
    const file = terminationFile(spec.mounts);
    if (file !== undefined) writeFileSync(file, (fault as Error).message);
    // Not waited for: that it ended is told like any other end.
    void containers.endWith(id, fault instanceof LoadFailure ? faultExitCode : undefined);
    return record;
  }

  // While it is stopped it does not look at its sockets, so it never sees the moment in which this one does not listen.
  #listenAt(listeners: Listeners, cage: Cage, port: number): void {
    const { networks, sandboxes, containers, ownAddress } = this.#parts.engine();
    const sandbox = sandboxes.find(cage.sandboxId);
    if (!sandbox) throw new RuntimeFailure("start", `the sandbox ${cage.sandboxId} is gone`);
    const { listen } = ownAddress(sandbox);
    const process = containers.runningProcess(cage.containerId);
    signalProcess(process, "SIGSTOP");
    try {
      networks.insideNetwork(sandbox.namespaces.key, () => listeners.moveToPort(cage.listener, listen, port));
    } catch (cause) {
      throw new PortFailure("start", `cannot listen at port ${port}: ${(cause as Error).message}`, { cause });
    } finally {
      signalProcess(process, "SIGCONT");
    }
  }
}

function withoutShare(limits: LinuxResources): LinuxResources {
  const { cpuShares: _, ...others } = limits;
  return others;
}

function shareAlone({ cpuShares }: LinuxResources): LinuxResources {
  return cpuShares === undefined ? {} : { cpuShares };
}

/** The port cannot be had. */
class PortFailure extends RuntimeFailure {}
