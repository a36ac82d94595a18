/**
 * Volumes of the pods on this node: made, kept up to date, taken away. Folders as upstream's: pods/UID/volumes/kubernetes.io~configmap/NAME. Contents of configMap,
 * secret, downwardAPI and projected volumes follow their sources; tokens are renewed before they end.
 */
import { chmodSync, mkdirSync } from "node:fs";
import { chmod, mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Container, ImageVolumeSource, Pod, Volume, VolumeMount } from "#api/generated/types/core-v1.ts";
import { quantityValue } from "#apimachinery/quantity.ts";
import type { Clock, Timer } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { ContainerError } from "#kubelet/container-runtime.ts";
import type { ContainerMount, ImageInfo, ImageVolumes } from "#kubelet/container-runtime.ts";
import type { KubeletFolders } from "#kubelet/engine/pod-folders.ts";
import { podFolder, volumesFolder } from "#kubelet/engine/pod-folders.ts";
import { expand } from "#kubelet/env/expansion.ts";
import type { PodFacts } from "#kubelet/env/fields.ts";
import type { PodObjects } from "#kubelet/pod-objects.ts";
import { podKey, refOf } from "#kubelet/pod-object.ts";
import type { PodRef } from "#kubelet/provider.ts";
import { writeAtomically } from "./atomic-writer.ts";
import type { Payload } from "./atomic-writer.ts";
import { prepareHostPath } from "./host-path.ts";
import type { Mounts } from "./mounts.ts";
import { giveToGroup } from "./ownership.ts";
import { configMapPayload, downwardPayload, projectionPayload, secretPayload } from "./payload.ts";
import type { PodVolumes } from "./pod-volumes.ts";
import { VolumeError } from "./pod-volumes.ts";
import { openInside, openOrMakeInside, readInside } from "./safe-path.ts";

const defaultMode = 0o644;
const retryRenewalMs = 30_000;
/** When the token that the pod has is refused already. */
const urgentRetryMs = 1000;

export type VolumeManagerOptions = {
  readonly folders: KubeletFolders;
  readonly objects: PodObjects;
  readonly mounts: Mounts;
  readonly hostIPs: readonly string[];
  readonly allocatable: () => Readonly<Record<string, string>>;
  readonly images?: ImageVolumes & {
    /** The image, pulled if need be and if the pod may have it. */
    ensureImage(pod: Pod, source: ImageVolumeSource, signal: AbortSignal): Promise<ImageInfo>;
  };
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Makes volumes. */
export class VolumeManager implements PodVolumes {
  readonly #options: VolumeManagerOptions;
  /** Folders with a file system in memory: saves reading the kernel's table of mounts at each look. */
  readonly #mounted = new Set<string>();
  readonly #renewals = new Map<string, { readonly pod: Pod; readonly timer: Timer }>();
  readonly #lines = new Map<string, Promise<void>>();

  constructor(options: VolumeManagerOptions) {
    this.#options = options;
  }

  async mount(pod: Pod, signal: AbortSignal): Promise<void> {
    const { uid } = refOf(pod);
    // One at a time for a pod: two writers of one volume would trip over each other.
    const turn = (this.#lines.get(uid) ?? Promise.resolve())
      .catch(() => undefined) // told to the one before
      .then(() => this.#mountAll(pod, signal));
    this.#lines.set(uid, turn);
    await turn;
  }

  async containerMounts(
    pod: Pod,
    container: Container,
    lookup: (name: string) => string | undefined,
  ): Promise<readonly ContainerMount[]> {
    const mounts = (container.volumeMounts ?? []).map((mount, index) =>
      this.#containerMount(pod, container, mount, index, lookup),
    );
    return Promise.all(mounts);
  }

  async readFile(pod: Pod, volumeName: string, path: string): Promise<string> {
    const volume = pod.spec?.volumes?.find((it) => it.name === volumeName);
    if (!volume) throw new Error(`cannot find the volume ${JSON.stringify(volumeName)} referenced by FileKeyRef`);
    return readInside(this.#hostPath(pod, volume), path);
  }

  async unmount(ref: PodRef): Promise<void> {
    this.#renewals.get(ref.uid)?.timer.clear();
    this.#renewals.delete(ref.uid);
    await this.#lines.get(ref.uid)?.catch(() => undefined); // told to whoever mounts
    this.#lines.delete(ref.uid);
    const folder = podFolder(this.#options.folders, ref.uid);
    this.#options.mounts.unmountBelow(folder);
    for (const path of this.#mounted) if (path.startsWith(`${folder}/`)) this.#mounted.delete(path);
  }

  /** Asks for new tokens for all pods that have one, at once; where that fails it is tried again. Gives their number as soon as the first pod has its own. */
  async renewTokens(): Promise<number> {
    const all = [...this.#renewals.values()];
    const first = Promise.withResolvers<void>();
    for (const { pod, timer } of all) {
      timer.clear();
      this.#setRenewal(pod, 0, { retryMs: urgentRetryMs, onRenewed: first.resolve });
    }
    if (all.length > 0) await first.promise;
    return all.length;
  }

  async #mountAll(pod: Pod, signal: AbortSignal): Promise<void> {
    const results = await Promise.allSettled(
      (pod.spec?.volumes ?? []).map((volume) => this.#mountOne(pod, volume, signal)),
    );
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }

  async #mountOne(pod: Pod, volume: Volume, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    try {
      await this.#make(pod, volume, signal);
    } catch (cause) {
      if (cause instanceof VolumeError) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      const message = `MountVolume.SetUp failed for volume ${JSON.stringify(volume.name)} : ${why}`;
      throw new VolumeError("FailedMount", message, { cause });
    }
  }

  async #make(pod: Pod, volume: Volume, signal: AbortSignal): Promise<void> {
    if (volume.hostPath) return prepareHostPath(volume.hostPath);
    const folder = this.#hostPath(pod, volume);
    if (volume.emptyDir || isEmptySource(volume)) return this.#makeEmptyDir(pod, volume, folder);
    if (volume.image) return this.#makeImage(pod, volume, folder, signal);
    const payload = await this.#payloadOf(pod, volume);
    if (!payload) throw unsupported(volume);
    mkdirSync(folder, { recursive: true, mode: 0o750 });
    // Secrets and tokens stay off the disk.
    if (!volume.configMap) this.#ensureTmpfs(folder, undefined);
    const gid = pod.spec?.securityContext?.fsGroup;
    chmodSync(folder, gid === undefined ? 0o777 : 0o2777);
    await writeAtomically(folder, payload, gid);
  }

  async #payloadOf(pod: Pod, volume: Volume): Promise<Payload | undefined> {
    const { objects } = this.#options;
    const sources = { objects, facts: this.#facts(pod) };
    const { configMap, secret, downwardAPI, projected } = volume;
    if (configMap) return configMapPayload(pod, configMap, configMap.defaultMode ?? defaultMode, sources);
    if (secret) {
      const { secretName, ...rest } = secret;
      const source = secretName === undefined ? rest : { ...rest, name: secretName };
      return secretPayload(pod, source, secret.defaultMode ?? defaultMode, sources);
    }
    if (downwardAPI)
      return downwardPayload(pod, downwardAPI.items ?? [], downwardAPI.defaultMode ?? defaultMode, sources);
    if (!projected) return undefined;
    const mode = projected.defaultMode ?? defaultMode;
    const onToken = (expiresMs: number) => this.#renewBefore(pod, expiresMs);
    const parts = (projected.sources ?? []).map((source) => projectionPayload(pod, source, mode, sources, onToken));
    return new Map((await Promise.all(parts)).flatMap((part) => [...part]));
  }

  async #makeEmptyDir(pod: Pod, volume: Volume, folder: string): Promise<void> {
    const { medium = "", sizeLimit } = volume.emptyDir ?? {};
    if (medium !== "" && medium !== "Memory")
      throw new Error(`storage medium ${JSON.stringify(medium)} is not supported on this node`);
    const made = await mkdir(folder, { recursive: true, mode: 0o777 });
    const limit = sizeLimit === undefined || sizeLimit === "0" ? undefined : quantityValue(sizeLimit);
    const isNewTmpfs = medium === "Memory" && this.#ensureTmpfs(folder, limit);
    // Only when it is new: what containers did to it since is theirs.
    if (made === undefined && !isNewTmpfs) return;
    await chmod(folder, 0o777);
    const { fsGroup, fsGroupChangePolicy } = pod.spec?.securityContext ?? {};
    if (fsGroup !== undefined) await giveToGroup(folder, fsGroup, fsGroupChangePolicy);
  }

  /** True when it was not there before. */
  #ensureTmpfs(folder: string, sizeBytes: number | undefined): boolean {
    if (this.#mounted.has(folder)) return false;
    this.#mounted.add(folder);
    if (this.#options.mounts.isMounted(folder)) return false;
    this.#options.mounts.tmpfs(folder, sizeBytes);
    return true;
  }

  async #makeImage(pod: Pod, volume: Volume, folder: string, signal: AbortSignal): Promise<void> {
    const { images, mounts } = this.#options;
    if (!images) throw unsupported(volume);
    if (this.#mounted.has(folder)) return;
    await mkdir(folder, { recursive: true, mode: 0o750 });
    if (!mounts.isMounted(folder)) {
      const { id: imageId } = await images.ensureImage(pod, volume.image ?? {}, signal);
      await images.mountImage({ imageId, target: folder, key: `volume-${refOf(pod).uid}-${volume.name}` });
    }
    this.#mounted.add(folder);
  }

  async #containerMount(
    pod: Pod,
    container: Container,
    mount: VolumeMount,
    index: number,
    lookup: (name: string) => string | undefined,
  ): Promise<ContainerMount> {
    const volume = pod.spec?.volumes?.find((it) => it.name === mount.name);
    if (!volume)
      throw refused(
        `cannot find volume ${JSON.stringify(mount.name)} to mount into container ${JSON.stringify(container.name)}`,
      );
    const root = this.#hostPath(pod, volume);
    const subPath = mount.subPathExpr ? expandAll(mount.subPathExpr, lookup) : (mount.subPath ?? "");
    const hostPath = subPath === "" ? root : await this.#subPath(pod, container, volume, root, subPath, index);
    if (volume.hostPath && subPath === "") await makeHostPathIfMissing(root);
    const isReadOnlySource = Boolean(
      volume.configMap || volume.secret || volume.downwardAPI || volume.projected || volume.image,
    );
    return {
      hostPath,
      containerPath: mount.mountPath.startsWith("/") ? mount.mountPath : `/${mount.mountPath}`,
      readOnly: mount.readOnly === true || isReadOnlySource,
      propagation: propagationOf(mount.mountPropagation),
    };
  }

  /** A bind mount of the sub-path, by descriptor, so that what the container gets is what was checked. */
  async #subPath(
    pod: Pod,
    container: Container,
    volume: Volume,
    root: string,
    subPath: string,
    index: number,
  ): Promise<string> {
    const { folders, mounts } = this.#options;
    if (subPath.startsWith("/") || subPath.split("/").includes("..")) {
      throw refused(
        `failed to create subPath directory for volumeMount ${JSON.stringify(volume.name)} of container ${JSON.stringify(container.name)}`,
      );
    }
    const target = join(
      podFolder(folders, refOf(pod).uid),
      "volume-subpaths",
      volume.name,
      container.name,
      String(index),
    );
    try {
      const isWritable = Boolean(volume.emptyDir || volume.hostPath || isEmptySource(volume));
      const opened = isWritable
        ? await openOrMakeInside(root, subPath, (await stat(root)).mode & 0o7777)
        : await openInside(root, subPath);
      try {
        const isFolder = (await opened.stat()).isDirectory();
        mounts.unmountBelow(target);
        if (isFolder) await mkdir(target, { recursive: true, mode: 0o750 });
        else
          await mkdir(join(target, ".."), { recursive: true, mode: 0o750 }).then(() =>
            writeFile(target, "", { mode: 0o640 }),
          );
        mounts.bindDescriptor(opened.fd, target);
      } finally {
        await opened.close();
      }
      return target;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw refused(
        `failed to prepare subPath for volumeMount ${JSON.stringify(volume.name)} of container ${JSON.stringify(container.name)}: ${why}`,
        cause,
      );
    }
  }

  #hostPath(pod: Pod, volume: Volume): string {
    if (volume.hostPath) return volume.hostPath.path;
    return join(volumesFolder(this.#options.folders, refOf(pod).uid), `kubernetes.io~${pluginOf(volume)}`, volume.name);
  }

  #facts(pod: Pod): PodFacts {
    const podIPs = pod.status?.podIPs?.map((it) => it.ip) ?? [];
    return { podIPs, hostIPs: this.#options.hostIPs, allocatable: this.#options.allocatable() };
  }

  /** Looks at the volumes again when 80 % of a token's life is over. */
  #renewBefore(pod: Pod, expiresMs: number): void {
    const { clock } = this.#options;
    const { uid } = refOf(pod);
    this.#renewals.get(uid)?.timer.clear();
    this.#setRenewal(pod, Math.max((expiresMs - clock.now()) * 0.8 + 1000, 1000), { retryMs: retryRenewalMs });
  }

  #setRenewal(pod: Pod, delayMs: number, how: { readonly retryMs: number; readonly onRenewed?: () => void }): void {
    const { clock, logger } = this.#options;
    const { uid } = refOf(pod);
    // Timers hold 24 days at most; nobody's token lives on unchanged for that long (a day, see token-cache.ts).
    const timer = clock.setTimer(Math.min(delayMs, 24 * 3_600_000), () => {
      this.mount(pod, new AbortController().signal).then(how.onRenewed, (error: unknown) => {
        logger.warn("Could not renew tokens of pod", { pod: podKey(refOf(pod)), error });
        if (this.#lines.has(uid)) this.#setRenewal(pod, how.retryMs, how);
      });
    });
    this.#renewals.set(uid, { pod, timer });
  }
}

/** Kinds of volumes as upstream's plugins are named on disk. */
function pluginOf(volume: Volume): string {
  if (volume.configMap) return "configmap";
  if (volume.secret) return "secret";
  if (volume.downwardAPI) return "downward-api";
  if (volume.projected) return "projected";
  if (volume.image) return "image";
  return "empty-dir";
}

function isEmptySource(volume: Volume): boolean {
  return Object.keys(volume).every((key) => key === "name");
}

function unsupported(volume: Volume): VolumeError {
  const kind = Object.keys(volume).find((key) => key !== "name") ?? "unknown";
  const words: Readonly<Record<string, string>> = {
    persistentVolumeClaim: "PersistentVolumeClaims",
    csi: "CSI volumes",
  };
  const message = `MountVolume.SetUp failed for volume ${JSON.stringify(volume.name)} : ${words[kind] ?? `${kind} volumes`} are not supported on this node yet`;
  return new VolumeError("FailedMount", message);
}

function expandAll(expression: string, lookup: (name: string) => string | undefined): string {
  const missing: string[] = [];
  const expanded = expand(expression, (name) => {
    const value = lookup(name);
    if (value === undefined) missing.push(name);
    return value;
  });
  if (missing.length > 0) throw refused(`missing value for ${JSON.stringify(missing[0])}`);
  return expanded;
}

function propagationOf(propagation: string | undefined): ContainerMount["propagation"] {
  return propagation === "HostToContainer" || propagation === "Bidirectional" ? propagation : "None";
}

// As container runtimes have always done it for hostPath without a type.
async function makeHostPathIfMissing(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o755 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST" && error.code !== "ENOTDIR") throw error;
  });
}

function refused(message: string, cause?: unknown): ContainerError {
  return new ContainerError("CreateContainerConfigError", message, cause === undefined ? undefined : { cause });
}
