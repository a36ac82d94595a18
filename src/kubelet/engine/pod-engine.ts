/**
 * Makes whole pods out of single containers: lifts a {@link ContainerRuntime} with its {@link ImageService} to a {@link PodProvider}. A worker per pod does the work
 * (pod-worker.ts); this file finds the right one, and those of before a restart.
 */
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { ImageVolumeSource, Pod, PodStatus } from "#api/generated/types/core-v1.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Service } from "#component-base/life-cycle.ts";
import type { Logger } from "#component-base/logger.ts";
import type {
  ContainerFiles,
  ContainerRuntime,
  ContainerState,
  ImageInfo,
  ImageService,
  Sandbox,
} from "#kubelet/container-runtime.ts";
import type { KubeletEvents } from "#kubelet/events.ts";
import type { EndedLogs } from "#kubelet/logs/ended-logs.ts";
import type { PodDrain } from "#kubelet/pod-drain.ts";
import type { PodObjects } from "#kubelet/pod-objects.ts";
import { podKey, refOf } from "#kubelet/pod-object.ts";
import { LogRotator } from "#kubelet/logs/log-rotator.ts";
import { ProbeMetrics } from "#kubelet/probes/probe-metrics.ts";
import type {
  LogOptions,
  PodDisk,
  PodDiskUsage,
  PodProvider,
  PodRef,
  PodStats,
  PodStreams,
  ProcessStreams,
  ProviderPod,
} from "#kubelet/provider.ts";
import type { PodVolumes } from "#kubelet/volumes/pod-volumes.ts";
import { Backoff } from "./backoff.ts";
import type { EngineNode, EngineParts } from "./engine-parts.ts";
import { ImagePuller } from "./image-puller.ts";
import type { KubeletFolders } from "./pod-folders.ts";
import { removeLeftovers } from "./leftovers.ts";
import { measurePods } from "./pod-disk-usage.ts";
import { readPodRecords } from "./pod-record.ts";
import { pullCredentials } from "./pull-credentials.ts";
import { PulledImages } from "./pulled-images.ts";
import { EngineStreams } from "./pod-streams.ts";
import { PodWorker } from "./pod-worker.ts";

/** What an engine is made of. */
export type PodEngineOptions = {
  readonly runtime: ContainerRuntime & Partial<ContainerFiles>;
  readonly images: ImageService;
  readonly objects: PodObjects;
  readonly volumes: PodVolumes;
  readonly events: KubeletEvents;
  readonly folders: KubeletFolders;
  readonly node: EngineNode;
  readonly drain?: PodDrain;
  readonly endedLogs?: EndedLogs;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Pods out of containers. `start` adopts what runs already; `stop` leaves it running. */
export class PodEngine implements PodProvider, PodStreams, PodStats, PodDisk, Service {
  readonly probeMetrics: ProbeMetrics = new ProbeMetrics();
  readonly #options: PodEngineOptions;
  readonly #streams: EngineStreams;
  readonly #rotator: LogRotator;
  readonly #workers = new Map<string, PodWorker>();
  /** News of containers whose pod is not known yet, until adoption has taken them in. */
  #early: ContainerState[] | undefined = [];
  #parts: EngineParts | undefined;
  #listener: (ref: PodRef, status: PodStatus) => void = () => {};

  constructor(options: PodEngineOptions) {
    this.#options = options;
    this.#streams = new EngineStreams({ ...options, findWorker: (uid) => this.#workers.get(uid) });
    this.#rotator = new LogRotator({ ...options, running: () => this.#logsBeingWritten() });
  }

  async start(signal: AbortSignal): Promise<void> {
    const { runtime, images, clock } = this.#options;
    runtime.onChange((state) => this.#onContainer(state));
    const [{ name }, known] = await Promise.all([runtime.version(), images.listImages()]);
    const { events, folders, logger } = this.#options;
    const pulled = new PulledImages(join(folders.root, "image_manager"), logger);
    pulled.open(new Set(known.map(({ id }) => id)));
    this.#parts = {
      ...this.#options,
      runtimeName: name,
      images: new ImagePuller({ images, pulled, events, backoff: new Backoff(clock), clock }),
      probeMetrics: this.probeMetrics,
      crashBackoff: new Backoff(clock),
      imageIDs: new Map(known.map((image) => [image.id, image.digests[0] ?? image.id])),
      onStatus: (ref, status) => this.#listener(ref, status),
    };
    await this.#adopt(this.#parts);
    await this.#rotator.start(signal);
    const { volumes } = this.#parts;
    // Before anything new begins: nothing of a pod that starts now may be taken for a leftover.
    await removeLeftovers(folders, volumes, new Set(this.#workers.keys())).catch((error: unknown) => {
      logger.warn("Could not remove what was left of old pods", { error });
    });
  }

  async stop(): Promise<void> {
    await this.#rotator.stop();
    const workers = [...this.#workers.values()];
    this.#workers.clear();
    await Promise.all(workers.map((worker) => worker.release()));
  }

  onStatus(listener: (ref: PodRef, status: PodStatus) => void): void {
    this.#listener = listener;
  }

  async createPod(pod: Pod, _signal: AbortSignal): Promise<void> {
    const known = this.#workers.get(refOf(pod).uid);
    if (known) {
      known.update(pod);
      if (known.status) this.#listener(known.ref, known.status);
      return;
    }
    const worker = new PodWorker(this.#ready(), pod);
    this.#workers.set(worker.ref.uid, worker);
    await worker.start();
  }

  async updatePod(pod: Pod, signal: AbortSignal): Promise<void> {
    const known = this.#workers.get(refOf(pod).uid);
    if (known) known.update(pod);
    else await this.createPod(pod, signal);
  }

  async deletePod(ref: PodRef, gracePeriodSeconds: number, _signal: AbortSignal): Promise<void> {
    const worker = this.#workers.get(ref.uid);
    if (!worker) return;
    await worker.delete(gracePeriodSeconds);
    this.#workers.delete(ref.uid);
  }

  async listPods(): Promise<readonly ProviderPod[]> {
    return [...this.#workers.values()].map((worker) => ({
      ref: worker.ref,
      pod: worker.pod,
      status: worker.status ?? {},
    }));
  }

  async podUsage(): ReturnType<PodStats["podUsage"]> {
    const usage = await this.#options.runtime.usage();
    return usage.map(({ pod, ...rest }) => ({ ref: pod, ...rest }));
  }

  podDisk(refs: readonly PodRef[]): Promise<readonly PodDiskUsage[]> {
    const { folders, runtime } = this.#options;
    const pods = refs.flatMap(({ uid }) => {
      const worker = this.#workers.get(uid);
      return worker ? [{ ref: worker.ref, pod: worker.pod, containers: worker.containers() }] : [];
    });
    return measurePods(pods, folders, runtime);
  }

  /** The image of a volume, pulled if need be and if the pod may have it. Throws as the puller does. */
  ensureVolumeImage(
    pod: Pod,
    { reference = "", pullPolicy = "" }: ImageVolumeSource,
    signal: AbortSignal,
  ): Promise<ImageInfo> {
    const { images, objects, events } = this.#ready();
    const asContainer = { name: "", image: reference, imagePullPolicy: pullPolicy };
    return images.ensureImage(pod, asContainer, () => pullCredentials(pod, objects, events), signal);
  }

  /** Ids of the images that containers here are made of, the ended ones included. */
  imagesInUse(): ReadonlySet<string> {
    return new Set(
      [...this.#workers.values()].flatMap((worker) => worker.containers().map((state) => state.spec.imageId)),
    );
  }

  logs(ref: PodRef, container: string, options: LogOptions, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    return this.#streams.logs(ref, container, options, signal);
  }

  exec(
    ref: PodRef,
    container: string,
    command: readonly string[],
    streams: ProcessStreams,
    signal: AbortSignal,
  ): Promise<number> {
    return this.#streams.exec(ref, container, command, streams, signal);
  }

  attach(ref: PodRef, container: string, streams: ProcessStreams, signal: AbortSignal): Promise<void> {
    return this.#streams.attach(ref, container, streams, signal);
  }

  portForward(ref: PodRef, port: number, signal: AbortSignal): Promise<Duplex> {
    return this.#streams.portForward(ref, port, signal);
  }

  #logsBeingWritten(): readonly { readonly path: string; readonly reopen: () => Promise<void> }[] {
    const { runtime } = this.#options;
    return [...this.#workers.values()].flatMap((worker) =>
      worker
        .runningContainers()
        .map((state) => ({ path: state.spec.logPath, reopen: () => runtime.reopenLog(state.id) })),
    );
  }

  #ready(): EngineParts {
    if (!this.#parts) throw new Error("the pod engine has not been started");
    return this.#parts;
  }

  #onContainer(state: ContainerState): void {
    const worker = this.#workers.get(state.pod.uid);
    if (worker) worker.onContainer(state);
    else this.#early?.push(state);
  }

  async #adopt(parts: EngineParts): Promise<void> {
    const [records, sandboxes, containers] = await Promise.all([
      readPodRecords(parts.folders),
      parts.runtime.listSandboxes(),
      parts.runtime.listContainers(),
    ]);
    // What happened since the list was made comes later, and counts. From here to the last worker nothing else runs.
    const byUid = Map.groupBy([...containers, ...(this.#early ?? [])], (state) => state.pod.uid);
    this.#early = undefined;
    const sandboxByUid = new Map(sandboxes.map((sandbox) => [sandbox.pod.uid, sandbox]));
    for (const { pod, status, last } of records) {
      const { uid } = refOf(pod);
      // What was last said of the pod: a container that was ready stays so until a probe says otherwise.
      this.#take(
        parts,
        last === undefined ? pod : { ...pod, status: last },
        sandboxByUid.get(uid),
        byUid.get(uid) ?? [],
        status,
      );
    }
    for (const uid of new Set([...sandboxByUid.keys(), ...byUid.keys()])) {
      if (this.#workers.has(uid)) continue;
      const ref = sandboxByUid.get(uid)?.pod ?? byUid.get(uid)?.[0]?.pod;
      if (ref) this.#takeUnknown(parts, ref, sandboxByUid.get(uid), byUid.get(uid) ?? []);
    }
    await Promise.all([...this.#workers.values()].map((worker) => worker.start()));
  }

  #take(
    parts: EngineParts,
    pod: Pod,
    sandbox: Sandbox | undefined,
    containers: readonly ContainerState[],
    finalStatus: PodStatus | undefined,
    isGuess = false,
  ): void {
    const worker = new PodWorker(parts, pod, { sandbox, containers, finalStatus, isGuess });
    this.#workers.set(worker.ref.uid, worker);
    parts.logger.info("Adopted pod", { pod: podKey(worker.ref), containers: containers.length });
  }

  /** Containers without a record: the pod's spec is made from theirs, so that it can be listed and removed; nothing is done with it before the API gives the true one. */
  #takeUnknown(
    parts: EngineParts,
    ref: PodRef,
    sandbox: Sandbox | undefined,
    containers: readonly ContainerState[],
  ): void {
    const names = [...new Set(containers.map((state) => state.name))];
    const pod: Pod = {
      metadata: { ...ref },
      spec: { containers: names.map((name) => ({ name })), restartPolicy: "Never" },
    };
    this.#take(parts, pod, sandbox, containers, undefined, true);
  }
}
