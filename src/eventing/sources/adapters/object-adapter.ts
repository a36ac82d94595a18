/**
 * Sends an event for each file that is written into an ObjectSource's folder, and for each that goes. What was told of is kept file by file, so that whatever was written while nobody looked is found at the start: every file
 * arrives at least once.
 *
 * A file is written by a stranger: links are not followed, and one that is exchanged for a link while it is opened is not read.
 */
import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, readlink, realpath } from "node:fs/promises";
import { join } from "node:path";
import { compileKeyPattern } from "#eventing/sources/key-pattern.ts";
import type { ObjectSource } from "#eventing/sources/kinds.ts";
import { type FoundObject, objectEvent, type ObjectVerb } from "#eventing/sources/source-events.ts";
import type { AdapterKind } from "./adapter-set.ts";
import type { SourceAdaptersContext } from "./adapter-context.ts";
import { contentTypeOf } from "./content-type.ts";
import { deliver, targetOf, withOverrides } from "./deliver.ts";
import { FolderWatch } from "./folder-watch.ts";

/** Largest file that an event carries. Of a larger one it tells facts only. */
const maxContentBytes = 8 << 20;
/** How often a folder is looked at that cannot be watched. */
const lookMs = 10_000;

export function objectAdapter(context: SourceAdaptersContext): AdapterKind<ObjectSource> {
  return {
    name: "objectsource",
    fingerprint({ spec, status }) {
      if (targetOf(status) === undefined || status?.path === undefined) return undefined;
      return JSON.stringify([spec, targetOf(status), status.path]);
    },
    run: (source, signal) => new ObjectRun(context, source, signal).run(),
    placePrefix: "object",
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
  readonly #known: Set<string>;
  /** Paths that are to be looked at; "" is everything. */
  #waiting = new Set<string>([""]);
  #wake: () => void = () => {};

  constructor(context: SourceAdaptersContext, source: ObjectSource, signal: AbortSignal) {
    this.#context = context;
    this.#source = source;
    this.#signal = signal;
    this.#root = source.status?.path ?? "";
    this.#wants = compileKeyPattern(source.spec?.pattern ?? "");
    const prefix = this.#placeOf("");
    const places = context.places.keys().filter((place) => place.startsWith(prefix));
    this.#known = new Set(places.map((place) => place.slice(prefix.length)));
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
    await this.#context.places.flush();
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
    const below = this.#known.has(path) ? [path] : [...this.#known].filter((key) => isBelow(key, path));
    for (const key of below) if (!seen.has(key)) await this.#onGone(key);
  }

  async #visit(path: string, seen: Set<string>, onFolder: (path: string) => Promise<void>): Promise<void> {
    this.#signal.throwIfAborted();
    const found = await lstat(join(this.#root, path), { bigint: true }).catch(() => undefined);
    if (found?.isDirectory()) {
      await onFolder(path);
      const names = await readdir(join(this.#root, path)).catch(() => []);
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

  async #onFound(object: FoundObject): Promise<void> {
    const { places } = this.#context;
    const known = places.get(this.#placeOf(object.key));
    if (known !== undefined && Buffer.from(known).toString() === object.etag) return;
    await this.#send(known === undefined ? "created" : "updated", object);
    places.set(this.#placeOf(object.key), Buffer.from(object.etag));
    this.#known.add(object.key);
  }

  async #onGone(key: string): Promise<void> {
    const { places, clock } = this.#context;
    const etag = Buffer.from(places.get(this.#placeOf(key)) ?? []).toString();
    await this.#send("deleted", { key, sizeBytes: 0, etag, modifiedMs: clock.now() });
    places.delete(this.#placeOf(key));
    this.#known.delete(key);
  }

  async #send(verb: ObjectVerb, object: FoundObject): Promise<void> {
    const { spec, metadata, status } = this.#source;
    const target = targetOf(status);
    if (target === undefined) return;
    const bytes = verb === "deleted" || spec?.mode !== "Content" ? undefined : await this.#read(object);
    const source = `objectsource ${metadata?.namespace}/${metadata?.name}`;
    const send = (content?: { readonly bytes: Uint8Array; readonly type: string }) => {
      const event = withOverrides(objectEvent(this.#source, verb, object, content), spec?.ceOverrides);
      return deliver(this.#context, { event, target, source, signal: this.#signal });
    };
    const outcome = await send(bytes === undefined ? undefined : { bytes, type: contentTypeOf(object.key) });
    // Too large for the sink: it gets to know of it at least.
    if (bytes !== undefined && outcome.kind === "refused" && outcome.status === 413) await send();
  }

  /** The file's bytes; undefined when it is too large, gone, or reached by a link. */
  async #read({ key, sizeBytes }: FoundObject): Promise<Uint8Array | undefined> {
    if (sizeBytes > maxContentBytes) return undefined;
    try {
      await using file = await open(
        join(this.#root, key),
        constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
      );
      const [real, root] = await Promise.all([readlink(`/proc/self/fd/${file.fd}`), realpath(this.#root)]);
      if (real !== join(root, key)) return undefined;
      const { buffer, bytesRead } = await file.read(Buffer.alloc(sizeBytes), 0, sizeBytes, 0);
      return buffer.subarray(0, bytesRead);
    } catch {
      return undefined;
    }
  }

  #placeOf(key: string): string {
    return `${prefixOf(this.#source.metadata?.uid ?? "")}${key}`;
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

function prefixOf(uid: string): string {
  return `object/${uid}/`;
}
