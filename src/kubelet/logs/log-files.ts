/**
 * The files of one container's log: 0.log is written to; 0.log.20260101-000000 was rotated away last; older ones end in .gz. Names as pkg/kubelet/logs.
 */
import { readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Rotated files of a log, the oldest first. */
export async function rotatedFiles(logPath: string): Promise<readonly string[]> {
  const prefix = `${basename(logPath)}.`;
  const names = await readdir(dirname(logPath)).catch(() => []);
  return names
    .filter((name) => name.startsWith(prefix) && !name.endsWith(".tmp"))
    .sort()
    .map((name) => join(dirname(logPath), name));
}

/** "20260102-150405", in UTC: ends the name of a rotated file. */
export function rotationStamp(nowMs: number): string {
  return new Date(nowMs).toISOString().slice(0, 19).replaceAll("-", "").replaceAll(":", "").replace("T", "-");
}
