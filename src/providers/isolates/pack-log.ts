/**
 * Takes the log of a pack's process apart: each message carries the tag of the isolate that it comes from, and goes into that pod's own log, with the time and the stream that
 * it has. What has no tag is the engine's own and is left out. How far it has come is kept on disk, so that whoever comes after a crash goes on there.
 */
import {
  closeSync,
  existsSync,
  type FSWatcher,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  watch,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { tagMark } from "./worker-sources.ts";

const chunkBytes = 64 * 1024;
const newline = 0x0a;
/** Above this the file is begun anew. */
const mostBytes = 4 * 1024 * 1024;
/** "2026-01-01T00:00:00.000000000+00:00 stdout F text": as the kubelet's own format has it. */
const line = /^(\S+) (stdout|stderr) ([FP]) (.*)$/s;

/** Cuts lines into messages; for one process. */
export class TagReader {
  /** Whose message is under way, by stream. */
  readonly #open = new Map<string, string>();

  /** The tag that a line belongs to and what the pod's log gets of it; undefined for what is nobody's. */
  read(text: string): { readonly tag: string; readonly text: string } | undefined {
    const [, time = "", stream = "", part = "", content = ""] = line.exec(text) ?? [];
    if (stream === "") return undefined;
    const begun = content.startsWith(tagMark) ? /^(\w+)(?: |$)/.exec(content.slice(1)) : null;
    const tag = begun?.[1] ?? this.#open.get(stream);
    if (tag === undefined) return undefined;
    const rest = begun ? content.slice(1 + begun[0].length) : content;
    const isEnd = rest.endsWith(tagMark);
    if (isEnd) this.#open.delete(stream);
    else this.#open.set(stream, tag);
    return { tag, text: `${time} ${stream} ${part} ${isEnd ? rest.slice(0, -1).replace(/ $/, "") : rest}\n` };
  }
}

export type PackLogOptions = {
  /** What the process writes, in the format of containers' logs. */
  readonly path: string;
  /** Begins the file anew after it was renamed. */
  readonly reopen: () => void;
  readonly onFailure: (error: unknown) => void;
};

/** The log of one process, followed from where it was left. */
export class PackLog {
  readonly #options: PackLogOptions;
  readonly #reader = new TagReader();
  readonly #logs = new Map<string, { readonly path: string; fd: number | undefined }>();
  readonly #offsets: number;
  #watcher: FSWatcher | undefined;
  #file: number | undefined;
  #offset: number;
  #rest: Buffer = Buffer.alloc(0);
  #isRenamed = false;

  constructor(options: PackLogOptions) {
    this.#options = options;
    const path = offsetPath(options.path);
    const known = existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
    this.#offset = Number.isSafeInteger(known) ? known : 0;
    this.#offsets = openSync(path, "w");
    this.#noteOffset();
    // A crash between the two halves of beginning anew: what was renamed has been read.
    rmSync(oldPath(options.path), { force: true });
  }

  start(): void {
    const name = basename(this.#options.path);
    this.#watcher = watch(dirname(this.#options.path), (_, changed) => {
      if (changed === name) this.drain();
    });
    this.#watcher.on("error", (error) => this.#options.onFailure(error));
    this.drain();
  }

  /** From now on messages of this tag go there. */
  assign(tag: string, path: string): void {
    this.#logs.set(tag, { path, fd: undefined });
  }

  /** The pod's log was renamed: the next message begins a new one. */
  reopen(tag: string): void {
    const log = this.#logs.get(tag);
    if (log?.fd !== undefined) closeSync(log.fd);
    if (log) this.#logs.set(tag, { path: log.path, fd: openSync(log.path, "a", 0o640) });
  }

  /** What comes with this tag is nobody's any more. */
  forget(tag: string): void {
    const fd = this.#logs.get(tag)?.fd;
    if (fd !== undefined) closeSync(fd);
    this.#logs.delete(tag);
  }

  /** Reads all that there is. */
  drain(): void {
    try {
      this.#readOn();
      if (this.#isRenamed && existsSync(this.#options.path)) this.#changeOver();
      else if (!this.#isRenamed && this.#offset > mostBytes) this.#beginAnew();
    } catch (error) {
      this.#options.onFailure(error);
    }
  }

  stop(): void {
    this.#watcher?.close();
    for (const tag of this.#logs.keys()) this.forget(tag);
    if (this.#file !== undefined) closeSync(this.#file);
    closeSync(this.#offsets);
  }

  #readOn(): void {
    this.#file ??= openSync(this.#options.path, "r");
    const chunk = Buffer.alloc(chunkBytes);
    for (;;) {
      const count = readSync(this.#file, chunk, 0, chunkBytes, this.#offset + this.#rest.length);
      if (count === 0) return;
      const bytes = Buffer.concat([this.#rest, chunk.subarray(0, count)]);
      const end = bytes.lastIndexOf(newline) + 1;
      for (const text of bytes.subarray(0, end).toString("utf8").split("\n")) if (text !== "") this.#carry(text);
      this.#rest = Buffer.from(bytes.subarray(end));
      this.#offset += end;
      this.#noteOffset();
    }
  }

  #carry(text: string): void {
    const message = this.#reader.read(text);
    const log = message && this.#logs.get(message.tag);
    if (!log) return;
    // The pod may be on its way out, its folder gone.
    try {
      log.fd ??= openSync(log.path, "a", 0o640);
      writeSync(log.fd, message.text);
    } catch (error) {
      this.#options.onFailure(error);
    }
  }

  #beginAnew(): void {
    renameSync(this.#options.path, oldPath(this.#options.path));
    this.#isRenamed = true;
    this.#options.reopen();
  }

  // The new file is there: nothing more comes into the old one.
  #changeOver(): void {
    this.#readOn();
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
    this.#isRenamed = false;
    this.#offset = 0;
    this.#rest = Buffer.alloc(0);
    this.#noteOffset();
    rmSync(oldPath(this.#options.path), { force: true });
    this.#readOn();
  }

  #noteOffset(): void {
    writeSync(this.#offsets, String(this.#offset).padStart(16), 0);
  }
}

function offsetPath(path: string): string {
  return join(dirname(path), "offset");
}

function oldPath(path: string): string {
  return `${path}.old`;
}
