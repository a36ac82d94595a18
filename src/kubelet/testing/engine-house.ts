/**
 * An engine on the memory runtime with a clock that tests turn, and what tests ask of it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConfigMap, Container, Pod, PodStatus, Secret, Service } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { PodEngine } from "#kubelet/engine/pod-engine.ts";
import type { KubeletEvents } from "#kubelet/events.ts";
import type { PodDrain } from "#kubelet/pod-drain.ts";
import type { PodObjects } from "#kubelet/pod-objects.ts";
import type { PodVolumes } from "#kubelet/volumes/pod-volumes.ts";
import { MemoryRuntime } from "./memory-runtime.ts";

/** API objects that a test puts there. */
export class MemoryObjects implements PodObjects {
  readonly configMaps: Map<string, ConfigMap> = new Map();
  readonly secrets: Map<string, Secret> = new Map();
  readonly allServices: Service[] = [];
  readonly #listeners = new Map<string, () => void>();

  register(pod: Pod, onChange: () => void): void {
    this.#listeners.set(pod.metadata?.uid ?? "", onChange);
  }

  unregister(uid: string): void {
    this.#listeners.delete(uid);
  }

  /** Tells all pods that something changed. */
  changed(): void {
    for (const listener of this.#listeners.values()) listener();
  }

  async configMap(_namespace: string, name: string): Promise<ConfigMap | undefined> {
    return this.configMaps.get(name);
  }

  async secret(_namespace: string, name: string): Promise<Secret | undefined> {
    return this.secrets.get(name);
  }

  async services(): Promise<readonly Service[]> {
    return this.allServices;
  }

  async serviceAccountToken(pod: Pod): ReturnType<PodObjects["serviceAccountToken"]> {
    return { token: `token-of-${pod.metadata?.name}`, expiresMs: Number.MAX_SAFE_INTEGER };
  }

  async runtimeHandler(name: string): Promise<string> {
    if (name !== "known")
      throw new Error(`failed to get sandbox runtime: RuntimeClass ${JSON.stringify(name)} not found`);
    return "handler";
  }

  async clusterTrustBundles(): ReturnType<PodObjects["clusterTrustBundles"]> {
    return [];
  }
}

/** No volumes at all. */
export const noVolumes: PodVolumes = {
  mount: async () => {},
  containerMounts: async () => [],
  readFile: async () => "",
  unmount: async () => {},
};

/** The engine and everything around it. */
export class EngineHouse {
  readonly clock: FakeClock = new FakeClock();
  readonly runtime: MemoryRuntime = new MemoryRuntime(this.clock);
  readonly objects: MemoryObjects = new MemoryObjects();
  readonly events: string[] = [];
  readonly statuses: Map<string, PodStatus> = new Map();
  volumes: PodVolumes = noVolumes;
  drain: PodDrain | undefined;
  folder = "";
  engine!: PodEngine;

  static async open(): Promise<EngineHouse> {
    const house = new EngineHouse();
    house.folder = await mkdtemp(join(tmpdir(), "engine-"));
    await house.restart();
    return house;
  }

  /** Stops the engine and starts another one over what is left. */
  async restart(): Promise<void> {
    if (this.engine) await this.engine.stop();
    const say: KubeletEvents["pod"] = (_pod, type, reason, message) => this.events.push(`${type} ${reason} ${message}`);
    this.engine = new PodEngine({
      runtime: this.runtime,
      images: this.runtime,
      objects: this.objects,
      volumes: this.volumes,
      events: { pod: say, node() {} },
      folders: { root: join(this.folder, "root"), logs: join(this.folder, "logs") },
      node: {
        hostIPs: ["10.0.0.1"],
        clusterDns: ["10.43.0.10"],
        clusterDomain: "cluster.local",
        memoryBytes: 8 * 2 ** 30,
        allocatable: () => ({ cpu: "4", memory: "8Gi" }),
        pidsLimit: undefined,
        resolvConf: "/dev/null",
        seccompFolder: "/nowhere",
      },
      drain: { drain: async (pod, signal) => this.drain?.drain(pod, signal) },
      clock: this.clock,
      logger: silentLogger,
    });
    this.engine.onStatus((ref, status) => this.statuses.set(ref.uid, status));
    await this.engine.start(never);
  }

  async close(): Promise<void> {
    await this.engine.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  async run(pod: Pod): Promise<void> {
    await this.engine.createPod(pod, never);
  }

  status(name: string): PodStatus {
    return this.statuses.get(`uid-${name}`) ?? {};
  }

  /** Waits until the status of the pod holds; time stands still. */
  async until(name: string, holds: (status: PodStatus) => boolean): Promise<PodStatus> {
    return this.untilTrue(
      () => holds(this.status(name)),
      () => JSON.stringify(this.status(name), null, 1),
    ).then(() => this.status(name));
  }

  /** Waits until something is true, letting promises and files settle. */
  async untilTrue(holds: () => boolean, show: () => string = () => this.runtime.log.join("\n")): Promise<void> {
    const endMs = Date.now() + 2000;
    while (!holds()) {
      if (Date.now() > endMs) throw new Error(`waited in vain: ${show()}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** A pod of these containers; uid is "uid-NAME". */
export function podOf(
  name: string,
  containers: readonly Partial<Container>[],
  spec: Partial<NonNullable<Pod["spec"]>> = {},
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid: `uid-${name}`, generation: 1 },
    spec: {
      containers: containers.map((it, index) => ({ name: index === 0 ? "main" : `c${index}`, image: "app:1", ...it })),
      restartPolicy: "Always",
      terminationGracePeriodSeconds: 30,
      ...spec,
    },
    status: { phase: "Pending" },
  };
}

/** True when the pod runs and is ready. */
export function isReady(status: PodStatus): boolean {
  return (
    status.phase === "Running" &&
    (status.conditions?.some((it) => it.type === "Ready" && it.status === "True") ?? false)
  );
}

/** A signal that never aborts. */
export const never: AbortSignal = new AbortController().signal;
