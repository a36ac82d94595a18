/**
 * Where things of pods lie on disk: names as upstream's /var/lib/kubelet and /var/log/pods, so that tools that read them find their way.
 */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { PodRef } from "#kubelet/provider.ts";

/** `root` holds pods' own folders, `logs` their log files. */
export type KubeletFolders = { readonly root: string; readonly logs: string };

/** <root>/pods/UID */
export function podFolder(folders: KubeletFolders, uid: string): string {
  return join(folders.root, "pods", uid);
}

/** <root>/pods/UID/volumes */
export function volumesFolder(folders: KubeletFolders, uid: string): string {
  return join(podFolder(folders, uid), "volumes");
}

/** Folder of an emptyDir volume. */
export function emptyDirFolder(folders: KubeletFolders, uid: string, volume: string): string {
  return join(volumesFolder(folders, uid), "kubernetes.io~empty-dir", volume);
}

/** <logs>/NAMESPACE_NAME_UID */
export function podLogFolder(folders: KubeletFolders, ref: PodRef): string {
  return join(folders.logs, `${ref.namespace}_${ref.name}_${ref.uid}`);
}

/** <logs>/NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log */
export function containerLogPath(folders: KubeletFolders, ref: PodRef, container: string, attempt: number): string {
  return join(podLogFolder(folders, ref), container, `${attempt}.log`);
}

/** The file that appears in the container as its termination message. */
export function terminationMessagePath(
  folders: KubeletFolders,
  uid: string,
  container: string,
  attempt: number,
): string {
  return join(podFolder(folders, uid), "containers", container, `${attempt}.termination`);
}

/** How many attempts of a container have left a termination message file: the number of the next one. */
export function attemptsOnDisk(folders: KubeletFolders, uid: string, container: string): number {
  try {
    const names = readdirSync(dirname(terminationMessagePath(folders, uid, container, 0)));
    return Math.max(-1, ...names.map((name) => Number.parseInt(name, 10))) + 1;
  } catch {
    return 0;
  }
}
