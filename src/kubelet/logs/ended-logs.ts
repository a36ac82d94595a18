/**
 * The last lines of pods that are gone, where somebody will want them: what is scaled to zero, or was replaced because it failed, has taken its log files with it. Kept under a name that many pods share, the last few of each.
 */
import { mkdir, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { LogFormatter } from "./log-lines.ts";

/** Where lines are kept, and of which pods. */
export type EndedLogsOptions = {
  readonly folder: string;
  /** Under which name lines of one of the pod's containers are kept: a file name. Undefined: none are. */
  readonly of: (pod: Pod) => { readonly name: string; readonly container: string } | undefined;
};

/** Of one pod. */
const mostBytes = 64 * 1024;
const mostPods = 4;
const mostNames = 200;
const newline = 0x0a;
const plain = { follow: false, previous: false, timestamps: false };

export class EndedLogs {
  readonly #options: EndedLogsOptions;

  constructor(options: EndedLogsOptions) {
    this.#options = options;
  }

  /** Keeps the end of a pod's log, which is in `podLogs` and will go. */
  async keep(pod: Pod, podLogs: string): Promise<void> {
    const { name, container } = this.#options.of(pod) ?? {};
    if (name === undefined || container === undefined) return;
    const lines = await lastBytes(join(podLogs, container));
    if (lines.length === 0) return;
    const folder = join(this.#options.folder, name);
    if ((await mkdir(folder, { recursive: true, mode: 0o700 })) !== undefined) await this.#dropOldest();
    const before = (await readdir(folder)).sort(byNumber);
    const next = Number.parseInt(before.at(-1) ?? "0", 10) + 1;
    await writeFile(join(folder, `${next}.log`), lines, { mode: 0o600 });
    for (const old of before.slice(0, Math.max(0, before.length + 1 - mostPods))) await rm(join(folder, old));
  }

  /** What is kept under a name, as text, the oldest first; undefined when there is nothing. */
  async read(name: string): Promise<Buffer | undefined> {
    const folder = join(this.#options.folder, name);
    const files = (await readdir(folder).catch(() => [])).sort(byNumber);
    if (files.length === 0) return undefined;
    const texts = await Promise.all(
      files.map(async (file) =>
        new LogFormatter(plain).push(await readFile(join(folder, file)).catch(() => Buffer.alloc(0))),
      ),
    );
    return Buffer.concat(texts);
  }

  async #dropOldest(): Promise<void> {
    const { folder } = this.#options;
    const names = await readdir(folder);
    if (names.length <= mostNames) return;
    const aged = await Promise.all(names.map(async (name) => ({ name, ms: (await stat(join(folder, name))).mtimeMs })));
    for (const { name } of aged.sort((a, b) => a.ms - b.ms).slice(0, names.length - mostNames))
      await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Whole lines from the end of a container's log, over its last attempts. */
async function lastBytes(containerLogs: string): Promise<Buffer> {
  const attempts = (await readdir(containerLogs).catch(() => [])).filter((name) => /^\d+\.log$/.test(name));
  const parts: Buffer[] = [];
  let restBytes = mostBytes;
  for (const name of attempts.sort(byNumber).toReversed()) {
    if (restBytes <= 0) break;
    const part = await endOf(join(containerLogs, name), restBytes);
    restBytes -= part.length;
    parts.unshift(part);
  }
  return Buffer.concat(parts);
}

async function endOf(path: string, mostBytesOfIt: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const from = Math.max(0, size - mostBytesOfIt);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    const bytes = buffer.subarray(0, bytesRead);
    return from === 0 ? bytes : bytes.subarray(bytes.indexOf(newline) + 1);
  } finally {
    await file.close();
  }
}

function byNumber(a: string, b: string): number {
  return Number.parseInt(a, 10) - Number.parseInt(b, 10);
}
