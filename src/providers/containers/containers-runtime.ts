/**
 * The container runtime contract on top of `runtime/`: translates pods' words into those of processes, and errors into the kubelet's.
 */
import type { Duplex } from "node:stream";
import { connect } from "node:net";
import { once } from "node:events";
import type { Service } from "#component-base/life-cycle.ts";
import type { ImageStore } from "#images/image-store.ts";
import {
  ContainerError,
  type ContainerFiles,
  type ContainerRuntime,
  type ContainerSpec,
  type ContainerState,
  type LinuxResources,
  type RuntimePodUsage,
  type Sandbox,
  type SandboxSpec,
} from "#kubelet/container-runtime.ts";
import type { ContainerUsage, PodRef, ProcessStreams } from "#kubelet/provider.ts";
import { readNetworkUsage } from "#linux/network-usage.ts";
import type { ContainerRecord } from "#runtime/container-record.ts";
import { execInContainer } from "#runtime/exec.ts";
import { findProgram, type MachineCapabilities } from "#runtime/machine.ts";
import { openRuntime, type RuntimeEngine, type RuntimeOptions } from "#runtime/runtime-engine.ts";
import { asContainerError, sandboxOf, stateOf } from "#providers/engine-words.ts";
import type { SandboxRecord } from "#runtime/sandboxes.ts";
import type { ContainerSettings, SandboxSettings } from "#runtime/settings.ts";
import { PodConnections } from "#providers/pod-connections.ts";
import { attachToContainer, connectInside } from "#runtime/streams.ts";

/** As {@link RuntimeOptions}, and where this node's control groups go: "/nodeless-default". */
export type ContainersRuntimeOptions = RuntimeOptions & { readonly images: ImageStore; readonly cgroupParent: string };

/** Runs containers on this machine with crun or runc under conmon. */
export class ContainersRuntime implements ContainerRuntime, ContainerFiles, Service {
  readonly #options: ContainersRuntimeOptions;
  #engine: RuntimeEngine | undefined;
  #listener: (state: ContainerState) => void = () => {};
  /** Sandboxes that are being made, so that two calls share the work. */
  readonly #making = new Map<string, Promise<SandboxRecord>>();

  /** Open connections into sandboxes, by pod uid: each keeps a network alive. */
  readonly #connections = new PodConnections();

  constructor(options: ContainersRuntimeOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#options.images.open();
    const engine = await openRuntime(this.#options, this.#options.images);
    this.#engine = engine;
    engine.containers.onEnd((record) => this.#listener(stateOf(record)));
    // Nobody waits for it, and what it cannot remove now it will later.
    void this.#options.images.collectGarbage().catch((error: unknown) => {
      this.#options.logger.warn("Could not collect left-over layers and blobs", { error });
    });
  }

  stop(): Promise<void> {
    this.#engine?.close();
    this.#engine = undefined;
    return Promise.resolve();
  }

  /** What the machine can do; once started. */
  get machine(): MachineCapabilities {
    return this.#running().machine;
  }

  version(): Promise<{ readonly name: string; readonly version: string }> {
    const { name = "none", version = "0" } = this.#running().machine.runtime ?? {};
    return Promise.resolve({ name, version });
  }

  async ensureSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox> {
    signal.throwIfAborted();
    const { sandboxes } = this.#running();
    this.#checkHandler(spec.runtimeClass);
    const { uid } = spec.pod;
    const making = this.#making.get(uid) ?? sandboxes.ensure(this.#sandboxSettings(spec));
    this.#making.set(uid, making);
    try {
      return sandboxOf(await making);
    } catch (error) {
      throw asContainerError(error);
    } finally {
      this.#making.delete(uid);
    }
  }

  async removeSandbox(pod: PodRef): Promise<void> {
    const { sandboxes, containers } = this.#running();
    await this.#making.get(pod.uid)?.catch(() => {}); // told to whoever made it
    sandboxes.retire(pod.uid);
    const inside = containers.list().filter((record) => record.settings.sandboxId === pod.uid);
    await Promise.all(inside.map((record) => containers.remove(record.id)));
    this.#connections.end(pod.uid);
    await sandboxes.remove(pod.uid);
  }

  listSandboxes(): Promise<readonly Sandbox[]> {
    return Promise.resolve(this.#running().sandboxes.list().map(sandboxOf));
  }

  async startContainer(spec: ContainerSpec, signal: AbortSignal): Promise<ContainerState> {
    try {
      return stateOf(await this.#running().containers.startOrKeep(this.#containerSettings(spec), signal));
    } catch (error) {
      if (signal.aborted) throw error;
      throw asContainerError(error);
    }
  }

  stopContainer(id: string, gracePeriodSeconds: number): Promise<void> {
    return this.#running().containers.stop(id, gracePeriodSeconds);
  }

  /** Kills the containers that would not notice a stop signal: waiting for those is in vain when the node is taken down. */
  stopDeaf(): Promise<void> {
    return this.#running().containers.stopDeaf();
  }

  removeContainer(id: string): Promise<void> {
    return this.#running().containers.remove(id);
  }

  listContainers(): Promise<readonly ContainerState[]> {
    return Promise.resolve(
      this.#running()
        .containers.list()
        .filter((record) => record.phase !== "making")
        .map(stateOf),
    );
  }

  onChange(listener: (state: ContainerState) => void): void {
    this.#listener = listener;
  }

  async updateSandboxResources(pod: PodRef, resources: LinuxResources): Promise<void> {
    this.#running().sandboxes.updateLimits(pod.uid, resources);
  }

  async updateResources(id: string, resources: LinuxResources): Promise<void> {
    this.#running().containers.updateLimits(id, resources);
  }

  exec(id: string, command: readonly string[], streams: ProcessStreams, signal: AbortSignal): Promise<number> {
    const { machine, containers, runtimeRoot, libc } = this.#running();
    containers.runningProcess(id);
    const target = {
      libc,
      runtime: machine.runtime?.path ?? "",
      runtimeRoot,
      id,
      bundle: containers.folder(id),
      command,
    };
    return execInContainer(target, streams, signal);
  }

  async attach(id: string, streams: ProcessStreams, signal: AbortSignal): Promise<void> {
    const { containers, libc } = this.#running();
    const { pid } = containers.runningProcess(id);
    const { settings } = containers.find(id) as ContainerRecord;
    const socat = findProgram("socat", this.#options.searchPath);
    if (settings.stdin && streams.stdin && !socat)
      throw new Error("attaching to standard input needs socat, which is not installed");
    const target = {
      libc,
      pid,
      bundle: containers.folder(id),
      logPath: settings.logPath,
      socat: socat ?? "",
      ended: containers.waitForEnd(id),
      hasStdin: settings.stdin,
    };
    await attachToContainer(target, { ...streams, tty: settings.tty }, signal);
  }

  async portForward(pod: PodRef, port: number, signal: AbortSignal): Promise<Duplex> {
    const { sandboxes, networks, libc } = this.#running();
    const record = sandboxes.find(pod.uid);
    if (!record?.isReady) throw new Error(`sandbox of pod ${pod.namespace}/${pod.name} is not ready`);
    if (!record.settings.hostNetwork) {
      const enter = <T>(inside: () => T) => networks.insideNetwork(record.namespaces.key, inside);
      return this.#connections.keep(pod.uid, await connectInside(libc, enter, port, signal));
    }
    const socket = connect({ host: "localhost", port, allowHalfOpen: true });
    await once(socket, "connect", { signal });
    return socket;
  }

  async usage(): Promise<readonly RuntimePodUsage[]> {
    const { containers, sandboxes } = this.#running();
    const pods = new Map<string, RuntimePodUsage & { readonly containers: ContainerUsage[] }>();
    for (const record of containers.list()) {
      const usage = containers.readUsage(record.id);
      if (!usage || !record.container) continue;
      const { pod, name } = record.settings.attachment as ContainerSpec;
      const isOnHostNetwork = sandboxes.find(pod.uid)?.settings.hostNetwork ?? true;
      const devices = isOnHostNetwork ? {} : { network: readNetworkUsage(record.container.pid) };
      const entry = pods.get(pod.uid) ?? { pod, containers: [], ...devices };
      entry.containers.push({ name, startTimeMs: record.startedMs ?? record.createdMs, ...usage });
      pods.set(pod.uid, entry);
    }
    return [...pods.values()];
  }

  writtenFolder(id: string): string | undefined {
    const { containers } = this.#running();
    return containers.find(id) && containers.writtenFolder(id);
  }

  async reopenLog(id: string): Promise<void> {
    this.#running().containers.reopenLog(id);
  }

  // The sentence is containerd's.
  #checkHandler(handler: string): void {
    if (["", "crun", "runc"].includes(handler)) return;
    const message = `failed to get sandbox runtime: no runtime for "${handler}" is configured`;
    throw new ContainerError("CreatePodSandboxError", message);
  }

  #running(): RuntimeEngine {
    if (!this.#engine) throw new Error("the container runtime is not started");
    return this.#engine;
  }

  #sandboxSettings(spec: SandboxSpec): SandboxSettings {
    const { cgroupParent } = this.#options;
    const classFolder = spec.qosClass === "Guaranteed" ? "" : `/${spec.qosClass.toLowerCase()}`;
    return {
      id: spec.pod.uid,
      hostname: spec.hostname,
      domainname: spec.domainname,
      sysctls: spec.sysctls,
      hostNetwork: spec.hostNetwork,
      hostPid: spec.hostPID,
      hostIpc: spec.hostIPC,
      sharedPid: spec.shareProcessNamespace,
      cgroupPath: `${cgroupParent}${classFolder}/pod${spec.pod.uid}`,
      limits: spec.resources,
      attachment: spec,
    };
  }

  #containerSettings(spec: ContainerSpec): ContainerSettings {
    const target = spec.targetContainer === undefined ? undefined : this.#findRunning(spec.pod, spec.targetContainer);
    const { pod, resources, targetContainer: _, attempt: __, ...rest } = spec;
    const about = `(pod: "${pod.name}_${pod.namespace}(${pod.uid})", container: ${spec.name})`;
    return { ...rest, about, sandboxId: pod.uid, limits: resources, targetContainer: target, attachment: spec };
  }

  #findRunning(pod: PodRef, name: string): string {
    const found = this.#running()
      .containers.list()
      .find(
        (record) =>
          record.phase === "running" && record.settings.sandboxId === pod.uid && record.settings.name === name,
      );
    if (!found) throw new ContainerError("CreateContainerError", `target container "${name}" is not running`);
    return found.id;
  }
}
