/**
 * Where the pods of this node run: a provider of whole pods, or a container runtime that the pod engine makes pods of.
 */
import type { NodeStatus, Service as KubeService } from "#api/generated/types/core-v1.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import type { ContainerFiles, ContainerRuntime, ImageInfo, ImageService, ImageVolumes } from "./container-runtime.ts";
import { ImageGc } from "./image-gc.ts";
import type { KubeletEvents } from "./events.ts";
import type { EndedLogs } from "#kubelet/logs/ended-logs.ts";
import type { PodDrain } from "./pod-drain.ts";
import type { PodDisk, PodProvider, PodStats, PodStreams } from "./provider.ts";
import type { EngineNode } from "#kubelet/engine/engine-parts.ts";

/** Most images that a Node lists; the largest are kept. As upstream's nodeStatusMaxImages. */
const maxImages = 50;

/** What `cmd` gives the kubelet. */
export type PodPlace =
  | {
      readonly provider: PodProvider & Partial<PodStreams> & Partial<PodStats> & Partial<PodDisk>;
      /** For nodeInfo: "fake://1". */
      readonly version: string;
    }
  | {
      readonly runtime: ContainerRuntime & Partial<ContainerFiles>;
      readonly images: ImageService;
      /** For volumes of type image, where the runtime can. */
      readonly imageVolumes?: ImageVolumes;
    };

/** What a place is opened with. */
export type PlaceParts = {
  readonly client: Client;
  readonly services: Informer<KubeService>;
  readonly events: KubeletEvents;
  readonly folders: { readonly root: string; readonly logs: string };
  readonly node: EngineNode;
  /** Removing images did not make enough room. */
  readonly onDiskFull: (message: string) => void;
  readonly drain?: PodDrain;
  readonly endedLogs?: EndedLogs;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A place in use. `stop` leaves pods running. */
export type OpenPlace = {
  readonly provider: PodProvider & Partial<PodStreams> & Partial<PodStats> & Partial<PodDisk>;
  readonly version: string;
  /** For node.status.images. */
  readonly images: () => Promise<NodeStatus["images"]>;
  /** For /metrics/probes; "" where the provider probes by itself. */
  readonly probeMetrics: () => string;
  /** Makes room on the disk if it fills up. Cheap while there is room. */
  readonly freeDisk: () => Promise<void>;
  /** Tokens that pods have are refused from now on: they get others. Gives the number of such pods once the first has its own. */
  readonly renewTokens: () => Promise<number>;
  readonly stop: () => Promise<void>;
};

/** Opens the place: what runs there already is adopted. */
export async function openPlace(place: PodPlace, parts: PlaceParts, signal: AbortSignal): Promise<OpenPlace> {
  if ("provider" in place) {
    const { provider, version } = place;
    return {
      provider,
      version,
      images: async () => undefined,
      probeMetrics: () => "",
      freeDisk: async () => {},
      renewTokens: async () => 0,
      stop: async () => {},
    };
  }
  const { runtime, images, imageVolumes } = place;
  // Providers of whole pods need none of this.
  const [{ PodEngine }, { VolumeManager }, { systemMounts }, { ObjectCache }] = await Promise.all([
    import("#kubelet/engine/pod-engine.ts"),
    import("#kubelet/volumes/volume-manager.ts"),
    import("#kubelet/volumes/mounts.ts"),
    import("./object-cache.ts"),
  ]);
  const objects = new ObjectCache(parts);
  const { node, folders, clock, logger } = parts;
  const volumes = new VolumeManager({
    folders,
    objects,
    mounts: await systemMounts(),
    hostIPs: node.hostIPs,
    allocatable: node.allocatable,
    ...(imageVolumes === undefined
      ? {}
      : {
          images: {
            mountImage: (volume) => imageVolumes.mountImage(volume),
            ensureImage: (...image): Promise<ImageInfo> => engine.ensureVolumeImage(...image),
          },
        }),
    clock,
    logger,
  });
  const engine = new PodEngine({ ...parts, runtime, images, objects, volumes });
  const gc = new ImageGc({
    images,
    inUse: () => engine.imagesInUse(),
    folder: folders.root,
    onFailure: parts.onDiskFull,
    clock,
    logger,
  });
  const { name, version } = await runtime.version();
  await engine.start(signal);
  return {
    provider: engine,
    version: `${name}://${version}`,
    images: () => nodeImages(images),
    probeMetrics: () => engine.probeMetrics.text(),
    freeDisk: () => gc.run(),
    renewTokens() {
      objects.forgetTokens();
      return volumes.renewTokens();
    },
    async stop() {
      await engine.stop();
      await objects.stop();
    },
  };
}

async function nodeImages(images: ImageService): Promise<NodeStatus["images"]> {
  const all = [...(await images.listImages())].sort((a, b) => b.sizeBytes - a.sizeBytes);
  return all.slice(0, maxImages).map(({ digests, tags, sizeBytes }) => ({ names: [...digests, ...tags], sizeBytes }));
}
