/**
 * What pods have written to the node's disk: volumes, logs, and what containers changed in their own roots.
 */
import { dirname } from "node:path";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { ContainerFiles, ContainerState } from "#kubelet/container-runtime.ts";
import { refOf } from "#kubelet/pod-object.ts";
import type { PodDiskUsage, PodRef } from "#kubelet/provider.ts";
import { diskUsageOf } from "#linux/disk-usage.ts";
import { emptyDirFolder, type KubeletFolders } from "./pod-folders.ts";

/** A pod and the containers of it that are remembered. */
export type PodOnDisk = { readonly ref: PodRef; readonly pod: Pod; readonly containers: readonly ContainerState[] };

type Place = { readonly kind: "volume" | "log" | "root"; readonly name: string; readonly folder: string };

/** Looks at the files of these pods, of all together in one go. */
export async function measurePods(
  pods: readonly PodOnDisk[],
  folders: KubeletFolders,
  files: Partial<ContainerFiles>,
): Promise<readonly PodDiskUsage[]> {
  const placesOf = pods.map((pod) => ({ ref: pod.ref, places: places(pod, folders, files) }));
  const usage = await diskUsageOf([...new Set(placesOf.flatMap((it) => it.places.map(({ folder }) => folder)))]);
  return placesOf.map((it) => summary(it.ref, it.places, usage));
}

function places({ pod, containers }: PodOnDisk, folders: KubeletFolders, files: Partial<ContainerFiles>): Place[] {
  const volumes = (pod.spec?.volumes ?? []).filter(({ emptyDir }) => emptyDir && emptyDir.medium !== "Memory");
  return [
    ...volumes.map(({ name }): Place => {
      const { uid } = refOf(pod);
      return { kind: "volume", name, folder: emptyDirFolder(folders, uid, name) };
    }),
    ...containers.flatMap(({ id, name, spec }): Place[] => {
      const root = files.writtenFolder?.(id);
      const log: Place = { kind: "log", name, folder: dirname(spec.logPath) };
      return root === undefined ? [log] : [log, { kind: "root", name, folder: root }];
    }),
  ];
}

function summary(ref: PodRef, all: readonly Place[], usage: ReadonlyMap<string, number>): PodDiskUsage {
  const of = (kind: Place["kind"], name: string) => {
    const own = new Set(all.filter((it) => it.kind === kind && it.name === name).map(({ folder }) => folder));
    return [...own].reduce((total, folder) => total + (usage.get(folder) ?? 0), 0);
  };
  const names = (kind: Place["kind"]) => [...new Set(all.filter((it) => it.kind === kind).map(({ name }) => name))];
  return {
    ref,
    volumes: new Map(names("volume").map((name) => [name, of("volume", name)])),
    containers: names("log").map((name) => ({ name, logBytes: of("log", name), rootBytes: of("root", name) })),
  };
}
