/**
 * Sends an event for each file that is written into an ObjectSource's folder, and for each that goes (of buckets of a service `bucket-adapter.ts` does). What was told of is kept file by file, so that whatever was written while nobody looked is found at the start: every file
 * arrives at least once.
 *
 * A file is written by a stranger: links are not followed, and one that is exchanged for a link while it is opened is not read.
 */
import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, readlink, realpath } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "#component-base/missing-file.ts";
import { compileKeyPattern } from "#eventing/sources/key-pattern.ts";
import type { ObjectSource } from "#eventing/sources/kinds.ts";
import type { FoundObject, ObjectVerb } from "#eventing/sources/source-events.ts";
import type { AdapterKind } from "./adapter-set.ts";
import type { SourceAdaptersContext } from "./adapter-context.ts";
import { contentTypeOf } from "./content-type.ts";
import { targetOf } from "./deliver.ts";
import { FolderWatch } from "./folder-watch.ts";
import { objectPlacePrefix, ObjectPlaces } from "./object-places.ts";
import { type ObjectData, sendObject } from "./send-object.ts";

/** How often a folder is looked at that cannot be watched. */
const lookMs = 10_000;

export function objectAdapter(context: SourceAdaptersContext): AdapterKind<ObjectSource> {
  return {
    name: "objectsource",
    fingerprint(source) {
      const { spec, status } = source;
      const target = targetOf(source);
      if (target === undefined) return undefined;
      if (spec?.s3 !== undefined) return JSON.stringify([spec, target]);
      return status?.path === undefined ? undefined : JSON.stringify([spec, target, status.path]);
    },
    async run(source, signal) {
      if (source.spec?.s3 === undefined) return await new ObjectRun(context, source, signal).run();
      const { runBucket } = await import("./bucket-adapter.ts");
      await runBucket(context, source, signal);
    },
    placePrefix: objectPlacePrefix,
  };
}

/** One source while it is followed. */
class ObjectRun {
  readonly #context: SourceAdaptersContext;
  readonly #source: ObjectSource;
  readonly #signal: AbortSignal;
  readonly #root: string;
  readonly #wants: (key: string) => boolean;
  /** Keys that were told of. */
  readonly #known: ObjectPlaces;
  /** Paths that are to be looked at; "" is everything. */
  #waiting = new Set<string>([""]);
  #wake: () => void = () => {};

  constructor(context: SourceAdaptersContext, source: ObjectSource, signal: AbortSignal) {
    this.#context = context;
    this.#source = source;
    this.#signal = signal;
    this.#root = source.status?.path ?? "";
    this.#wants = compileKeyPattern(source.spec?.pattern ?? "");
    this.#known = new ObjectPlaces(context.places, source.metadata?.uid ?? "", `folder ${this.#root}`);
  }

  async run(): Promise<void> {
    await mkdir(this.#root, { recursive: true });
    const { clock, logger } = this.#context;
    const look = (paths: readonly string[]) => {
      for (const path of paths) this.#waiting.add(path);
      this.#wake();
    };
    const watch = new FolderWatch({ root: this.#root, clock, onQuiet: look, onGap: () => look([""]) });
    const stop = () => this.#wake();
    this.#signal.addEventListener("abort", stop, { once: true });
    try {
      const isWatched = await watch.add("").then(
        () => true,
        (error: unknown) => {
          logger.warn("Could not watch a folder, looking at it now and then", { path: this.#root, error });
          return false;
        },
      );
      while (!this.#signal.aborted) await this.#round(watch, isWatched);
    } finally {
      this.#signal.removeEventListener("abort", stop);
      watch.stop();
    }
  }

  async #round(watch: FolderWatch, isWatched: boolean): Promise<void> {
    const paths = this.#waiting;
    this.#waiting = new Set();
    for (const path of paths) await this.#look(path, watch, isWatched);
    await this.#known.flush();
    if (!isWatched) {
      await this.#context.clock.sleep(lookMs, this.#signal);
      this.#waiting.add("");
      return;
    }
    if (this.#waiting.size > 0 || this.#signal.aborted) return;
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  /** Looks at a file, or at a folder and all in it, and at what was known there and is gone. */
  async #look(path: string, watch: FolderWatch, isWatched: boolean): Promise<void> {
    const seen = new Set<string>();
    await this.#visit(path, seen, async (folder) => (isWatched ? await watch.add(folder) : undefined));
    if (seen.has(path) || isTemporary(path)) return;
    const below = this.#known.has(path) ? [path] : this.#known.keys().filter((key) => isBelow(key, path));
    for (const key of below) if (!seen.has(key)) await this.#onGone(key);
  }

  async #visit(path: string, seen: Set<string>, onFolder: (path: string) => Promise<void>): Promise<void> {
    this.#signal.throwIfAborted();
    const look = (at: string) => lstat(at, { bigint: true });
    const found = await this.#ask(path, seen, look);
    if (found?.isDirectory()) {
      await onFolder(path);
      const names = (await this.#ask(path, seen, (folder) => readdir(folder))) ?? [];
      for (const name of names.toSorted()) await this.#visit(join(path, name), seen, onFolder);
      return;
    }
    if (found?.isFile() !== true || !this.#wants(path) || isTemporary(path)) return;
    seen.add(path);
    await this.#onFound({
      key: path,
      sizeBytes: Number(found.size),
      etag: `${found.ino.toString(36)}-${found.mtimeNs.toString(36)}-${found.size.toString(36)}`,
      modifiedMs: Number(found.mtimeMs),
    });
  }

  /** Undefined where nothing is there. What is there and does not answer is told of, and what was known of it stays so: nothing of it is called deleted. */
  async #ask<T>(path: string, seen: Set<string>, call: (at: string) => Promise<T>): Promise<T | undefined> {
    try {
      return await call(join(this.#root, path));
    } catch (error) {
      if (isMissing(error)) return undefined;
      this.#context.logger.warn("Could not look at a file or folder", { path: join(this.#root, path), error });
      for (const key of this.#known.keys()) if (key === path || isBelow(key, path)) seen.add(key);
      return undefined;
    }
  }

  async #onFound(object: FoundObject): Promise<void> {
    const known = this.#known.get(object.key);
    if (known === object.etag) return;
    await this.#send(known === undefined ? "created" : "updated", object);
    this.#known.set(object.key, object.etag);
  }

  async #onGone(key: string): Promise<void> {
    const etag = this.#known.get(key) ?? "";
    await this.#send("deleted", { key, sizeBytes: 0, etag, modifiedMs: this.#context.clock.now() });
    this.#known.delete(key);
  }

  async #send(verb: ObjectVerb, object: FoundObject): Promise<void> {
    const read = () => this.#read(object);
    await sendObject(this.#context, this.#source, { verb, object }, { read, signal: this.#signal });
  }

  /** The file; undefined when it is gone, or reached by a link. */
  async #read({ key, sizeBytes }: FoundObject): Promise<ObjectData | undefined> {
    try {
      await using file = await open(
        join(this.#root, key),
        constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
      const [real, root] = await Promise.all([readlink(`/proc/self/fd/${file.fd}`), realpath(this.#root)]);
      if (real !== join(root, key)) return undefined;
      const { buffer, bytesRead } = await file.read(Buffer.alloc(sizeBytes), 0, sizeBytes, 0);
      return { bytes: buffer.subarray(0, bytesRead), type: contentTypeOf(key) };
    } catch {
      return undefined;
    }
  }
}

function isBelow(key: string, folder: string): boolean {
  return folder === "" || key.startsWith(`${folder}/`);
}

/** Names that programs write to before they rename: they come again under the name they are meant to have. */
function isTemporary(key: string): boolean {
  const name = key.slice(key.lastIndexOf("/") + 1);
  return name.startsWith(".") || /(?:~|\.part|\.tmp|\.swp|\.crdownload)$/.test(name);
}
