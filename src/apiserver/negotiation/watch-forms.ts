/**
 * Watch events in each form. Each event is encoded once for all watches that want the same form.
 */
import { writeWatchFrame } from "#apimachinery/codecs/protobuf-envelope.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Status } from "#apimachinery/status-error.ts";
import type { ServedResource } from "#apiserver/registry/served-resource.ts";
import { served } from "#apiserver/registry/update.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import type { OutgoingEvent } from "#apiserver/watch-cache/cache-event.ts";
import type { Watcher } from "#apiserver/watch-cache/watcher.ts";
import type { Batch } from "#apiserver/watch-cache/watcher-group.ts";
import type { MediaForm } from "./accept.ts";
import { type EncoderParts, encodePlain, encodeStored, metadataOnly } from "./object-forms.ts";
import { tableOf, type TableOptions } from "./table.ts";

/** About how much of its own a watch takes at once. */
const MAX_TAKEN_BYTES = 256 << 10;

/** Encodes the events of one watch. */
export class WatchEncoder {
  readonly #parts: EncoderParts;
  readonly #resource: ServedResource;
  readonly #form: MediaForm;
  readonly #includeObject: TableOptions["includeObject"];
  readonly #formKey: string;
  readonly #batchForm: { readonly key: string; readonly encode: (events: readonly OutgoingEvent[]) => Batch };
  #hasSentColumns = false;

  constructor(
    parts: EncoderParts,
    watch: {
      readonly resource: ServedResource;
      readonly form: MediaForm;
      readonly includeObject: TableOptions["includeObject"];
    },
  ) {
    this.#parts = parts;
    this.#resource = watch.resource;
    // A stream of YAML does not exist; upstream streams JSON then.
    this.#form = { ...watch.form, encoding: watch.form.encoding === "protobuf" ? "protobuf" : "json", isPretty: false };
    this.#includeObject = watch.includeObject;
    const { as, encoding } = this.#form;
    this.#formKey = `${encoding} ${as?.kind ?? ""} ${as?.version ?? ""} ${watch.resource.apiVersion} ${watch.includeObject}`;
    this.#batchForm = { key: this.#formKey, encode: (events) => this.#joined(events) };
  }

  get contentType(): string {
    return this.#form.encoding === "protobuf" ? "application/vnd.kubernetes.protobuf;stream=watch" : "application/json";
  }

  /** An event, encoded for the first watch that asks. */
  event(event: OutgoingEvent): Buffer | Promise<Buffer> {
    const key = this.#form.as?.kind === "Table" && !this.#hasSentColumns ? `${this.#formKey} columns` : this.#formKey;
    const there = event.encodings.get(key);
    if (there !== undefined) return this.#noted(there);
    const frame = this.object(event.type, event.object);
    if (!(frame instanceof Promise)) {
      event.encodings.set(key, frame);
      return frame;
    }
    return frame.then((bytes) => {
      event.encodings.set(key, bytes);
      return bytes;
    });
  }

  /** The next of what waits for a watch, put together once for all watches that stand at the same place; undefined for nothing. */
  take(watcher: Watcher): Buffer | Promise<Buffer> | undefined {
    // What a Table's event looks like depends on those before it.
    const shared = this.#form.as?.kind === "Table" ? undefined : watcher.takeBatch(this.#batchForm);
    if (shared !== undefined) return shared;
    const events = watcher.take(MAX_TAKEN_BYTES);
    return events.length === 0 ? undefined : this.#joined(events);
  }

  #joined(events: readonly OutgoingEvent[]): Buffer | Promise<Buffer> {
    const frames = events.map((event) => this.event(event));
    if (frames.length === 1) return frames[0] as Buffer | Promise<Buffer>;
    const isReady = (all: readonly (Buffer | Promise<Buffer>)[]): all is readonly Buffer[] =>
      all.every((frame) => !(frame instanceof Promise));
    return isReady(frames)
      ? Buffer.concat(frames)
      : Promise.all(frames.map(async (frame) => frame)).then((all) => Buffer.concat(all));
  }

  /** A stored object as an event: the initial state. */
  object(type: string, object: StoredObject): Buffer | Promise<Buffer> {
    const item = { resource: this.#resource, object };
    const { encoding, as } = this.#form;
    if (as?.kind === "Table") return this.#tableEvent(type, object);
    if (encoding === "json" && as === undefined && this.#resource.conversion === undefined)
      return this.#storedJson(type, object);
    const body = encodeStored(this.#parts, item, this.#form);
    return body instanceof Promise ? body.then((bytes) => this.#frame(type, bytes)) : this.#frame(type, body);
  }

  /** A bookmark: how far the watch has come. */
  bookmark(revision: number, annotations?: Readonly<Record<string, string>>): Buffer | Promise<Buffer> {
    const { resource } = { resource: this.#resource };
    const metadata = { resourceVersion: String(revision), ...(annotations === undefined ? {} : { annotations }) };
    const object: KubeObject = { kind: resource.kind, apiVersion: resource.apiVersion, metadata };
    const { as } = this.#form;
    if (as === undefined) return this.#plain("BOOKMARK", object);
    if (as.kind === "PartialObjectMetadata") return this.#plain("BOOKMARK", metadataOnly(object, as.version));
    const options: TableOptions = { includeObject: this.#includeObject, hasColumns: !this.#hasSentColumns };
    this.#hasSentColumns = true;
    const table = { objects: [object], version: as.version, options, nowMs: this.#parts.clock.now() };
    return tableOf(resource, table).then((shown) => this.#plain("BOOKMARK", shown));
  }

  /** The end of a watch by an error. */
  error(status: Status): Buffer | Promise<Buffer> {
    return this.#plain("ERROR", status as unknown as KubeObject);
  }

  async #tableEvent(type: string, stored: StoredObject): Promise<Buffer> {
    const object = await served(this.#resource, stored);
    const options: TableOptions = { includeObject: this.#includeObject, hasColumns: !this.#hasSentColumns };
    this.#hasSentColumns = true;
    const version = this.#form.as?.version ?? "v1";
    return this.#plain(
      type,
      await tableOf(this.#resource, { objects: [object], version, options, nowMs: this.#parts.clock.now() }),
    );
  }

  #storedJson(type: string, object: StoredObject): Buffer {
    const { head } = this.#resource;
    const prefix = `{"type":"${type}","object":`;
    const frame = Buffer.allocUnsafe(prefix.length + object.maxJsonLength(head) + 2);
    const at = object.writeJson(frame, frame.write(prefix, 0, "latin1"), head);
    frame[at] = 0x7d;
    frame[at + 1] = 0x0a;
    return frame.subarray(0, at + 2);
  }

  #plain(type: string, object: KubeObject): Buffer | Promise<Buffer> {
    const body = encodePlain(this.#parts, object, this.#form);
    return body instanceof Promise ? body.then((bytes) => this.#frame(type, bytes)) : this.#frame(type, body);
  }

  #frame(type: string, object: Buffer): Buffer {
    if (this.#form.encoding === "protobuf") return writeWatchFrame(type, object);
    // A document's own end of line would end the event in its midst.
    const json = object.at(-1) === 0x0a ? object.subarray(0, -1) : object;
    return Buffer.concat([Buffer.from(`{"type":"${type}","object":`), json, Buffer.from("}\n")]);
  }

  #noted(bytes: Buffer): Buffer {
    if (this.#form.as?.kind === "Table") this.#hasSentColumns = true;
    return bytes;
  }
}
