/**
 * Folders of pods that nobody knows any more: a crash came between the steps of a removal.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { ifThere } from "#component-base/missing-file.ts";
import type { PodVolumes } from "#kubelet/volumes/pod-volumes.ts";
import type { KubeletFolders } from "./pod-folders.ts";
import { podFolder } from "./pod-folders.ts";

/** Unmounts and removes folders and logs of all pods but those with these uids. */
export async function removeLeftovers(
  folders: KubeletFolders,
  volumes: PodVolumes,
  known: ReadonlySet<string>,
): Promise<void> {
  for (const uid of await namesIn(join(folders.root, "pods"))) {
    if (known.has(uid)) continue;
    await volumes.unmount({ namespace: "", name: "", uid });
    await rm(podFolder(folders, uid), { recursive: true, force: true });
  }
  for (const name of await namesIn(folders.logs)) {
    // NAMESPACE_NAME_UID; none of the three contains an underscore.
    const uid = name.split("_")[2];
    if (uid !== undefined && !known.has(uid)) await rm(join(folders.logs, name), { recursive: true, force: true });
  }
}

function namesIn(folder: string): Promise<string[]> {
  return ifThere(readdir(folder), []);
}
