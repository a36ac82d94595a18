/**
 * Reads a container's log with all of PodLogOptions, and follows it: woken by the kernel when the file grows, going on in the next file when it is rotated away, until the
 * container has ended and everything is read.
 */
import { watch } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import type { LogOptions } from "#kubelet/provider.ts";
import { rotatedFiles } from "./log-files.ts";
import { LogFormatter } from "./log-lines.ts";

const blockBytes = 64 * 1024;
const newline = 10;

/** Where a log is, and whether more may come. */
export type LogSource = {
  readonly path: string;
  /** True while the container runs. */
  readonly isRunning: () => boolean;
  /** Aborts when the container has ended. No promise: one that stays open for weeks would keep all who ever waited for it. */
  readonly ended: AbortSignal;
};

/** The log's text in pieces. Ends as the options say; with follow when the container has ended or the signal aborts. */
export async function* readLog(
  source: LogSource,
  options: LogOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const formatter = new LogFormatter(options);
  let file = await openFirst(source.path, options);
  try {
    let position = file.offset;
    // What is written from now on belongs to those who follow: a tail has as many lines as were asked for, and a log that grows fast has an end.
    const end = options.follow ? Number.POSITIVE_INFINITY : file.size;
    for (const older of file.before) yield* readWhole(older, formatter, signal);
    const watcher = options.follow ? new GrowthWatcher(source, signal) : undefined;
    try {
      while (!signal.aborted && !formatter.isFull) {
        const wasRunning = source.isRunning();
        const growth = watcher?.next();
        const read = await readOn(file.handle, position, end);
        position += read.length;
        const text = formatter.push(read);
        if (text.length > 0) yield text;
        if (read.length > 0) continue;
        if (!options.follow) return;
        const next = await nextFile(file.handle, source.path);
        if (next) {
          await file.handle.close();
          file = { ...file, handle: next };
          position = 0;
        } else if (wasRunning) await growth;
        else return;
      }
    } finally {
      watcher?.close();
    }
  } finally {
    await file.handle.close();
  }
}

type OpenLog = {
  readonly handle: FileHandle;
  readonly offset: number;
  /** When it was opened. */
  readonly size: number;
  readonly before: readonly Excerpt[];
};
type Excerpt = { readonly path: string; readonly offset: number };

/** The current file, where to begin in it, and what of the file rotated away last belongs to the answer. */
async function openFirst(path: string, { tailLines }: LogOptions): Promise<OpenLog> {
  const handle = await open(path, "r");
  const previous = (await rotatedFiles(path)).findLast((name) => !name.endsWith(".gz"));
  const { size } = await handle.stat();
  if (tailLines === undefined) {
    return { handle, size, offset: 0, before: previous === undefined ? [] : [{ path: previous, offset: 0 }] };
  }
  const tail = await tailOf(handle, size, tailLines);
  if (tail.missing === 0 || previous === undefined) return { handle, size, offset: tail.offset, before: [] };
  const older = await open(previous, "r");
  try {
    const { offset } = await tailOf(older, (await older.stat()).size, tail.missing);
    return { handle, size, offset: 0, before: [{ path: previous, offset }] };
  } finally {
    await older.close();
  }
}

/** Where the last `lines` lines begin, and how many of them the file lacks. */
async function tailOf(
  handle: FileHandle,
  size: number,
  lines: number,
): Promise<{ readonly offset: number; readonly missing: number }> {
  if (lines === 0) return { offset: size, missing: 0 };
  const block = Buffer.alloc(blockBytes);
  let found = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - blockBytes);
    await handle.read(block, 0, end - start, start);
    for (let at = end - start - 1; at >= 0; at -= 1) {
      // The newline that ends the last line does not count.
      if (block[at] !== newline || start + at === size - 1) continue;
      found += 1;
      if (found === lines) return { offset: start + at + 1, missing: 0 };
    }
    end = start;
  }
  return { offset: 0, missing: size === 0 ? lines : lines - found - 1 };
}

async function* readWhole(excerpt: Excerpt, formatter: LogFormatter, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const handle = await open(excerpt.path, "r").catch(() => undefined);
  if (!handle) return; // rotated away in this moment
  try {
    for (let position = excerpt.offset; !formatter.isFull && !signal.aborted; ) {
      const read = await readOn(handle, position);
      if (read.length === 0) return;
      position += read.length;
      const text = formatter.push(read);
      if (text.length > 0) yield text;
    }
  } finally {
    await handle.close();
  }
}

async function readOn(handle: FileHandle, position: number, end = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const block = Buffer.allocUnsafe(Math.min(blockBytes, Math.max(0, end - position)));
  if (block.length === 0) return block;
  const { bytesRead } = await handle.read(block, 0, block.length, position);
  return block.subarray(0, bytesRead);
}

/** The file that has taken this one's name, if it was rotated away. */
async function nextFile(current: FileHandle, path: string): Promise<FileHandle | undefined> {
  const next = await open(path, "r").catch(() => undefined);
  if (!next) return undefined;
  const [a, b] = await Promise.all([current.stat(), next.stat()]);
  if (a.ino !== b.ino) return next;
  await next.close();
  return undefined;
}

/** Tells when it is worth to look at the log again. */
class GrowthWatcher {
  readonly #watcher: ReturnType<typeof watch>;
  readonly #ends: readonly AbortSignal[];
  #grown: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(source: LogSource, signal: AbortSignal) {
    this.#watcher = watch(dirname(source.path), this.#wake);
    this.#watcher.on("error", this.#wake);
    this.#ends = [source.ended, signal];
    for (const end of this.#ends) end.addEventListener("abort", this.#wake, { once: true });
  }

  /** Resolves at the next change after this call. */
  next(): Promise<void> {
    this.#grown = Promise.withResolvers();
    return this.#grown.promise;
  }

  close(): void {
    this.#watcher.close();
    for (const end of this.#ends) end.removeEventListener("abort", this.#wake);
  }

  readonly #wake = (): void => this.#grown.resolve();
}
