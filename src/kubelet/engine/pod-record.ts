/**
 * A pod's spec and last status on disk, so that a restarted agent goes on with it even while the API server is away, and never runs again what has ended.
 */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Pod, PodStatus } from "#api/generated/types/core-v1.ts";
import { ifThere, isMissing } from "#component-base/missing-file.ts";
import type { KubeletFolders } from "./pod-folders.ts";
import { podFolder } from "./pod-folders.ts";

/** `status` is there once the pod has ended, `last` is what was said of it before. */
export type PodRecord = { readonly pod: Pod; readonly status?: PodStatus; readonly last?: PodStatus };

/**
 * Writes the record; a crash leaves the old one or the new one. Synchronous on purpose: three small calls into the page cache take 0.1 ms, as many trips through the
 * thread pool some milliseconds of a pod's start.
 */
export function writePodRecord(folders: KubeletFolders, record: PodRecord): void {
  const folder = podFolder(folders, record.pod.metadata?.uid ?? "");
  mkdirSync(folder, { recursive: true, mode: 0o750 });
  const temporary = join(folder, `.pod.json.${process.hrtime.bigint()}`);
  writeFileSync(temporary, JSON.stringify(record), { mode: 0o600 });
  renameSync(temporary, join(folder, "pod.json"));
}

/** All records; those that are damaged are left out (their containers are found at the runtime). Throws where one cannot be read: its pod would be begun again. */
export async function readPodRecords(folders: KubeletFolders): Promise<readonly PodRecord[]> {
  const uids = await ifThere(readdir(join(folders.root, "pods")), []);
  const records = await Promise.all(uids.map((uid) => readRecord(folders, uid)));
  return records.filter((record) => record !== undefined);
}

async function readRecord(folders: KubeletFolders, uid: string): Promise<PodRecord | undefined> {
  try {
    const record = JSON.parse(await readFile(join(podFolder(folders, uid), "pod.json"), "utf8")) as PodRecord;
    return record.pod?.metadata?.uid === uid ? record : undefined;
  } catch (error) {
    if (isMissing(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
