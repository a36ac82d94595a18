/**
 * One object at one revision: the bytes that the store holds, and everything that is made of them when first asked for. The bytes are JSON without the resourceVersion, which
 * is known only after the write; it is spliced in behind `"metadata":{` whenever the object goes out.
 */
import { writeJsonSteps } from "#apimachinery/codecs/json-write-steps.ts";
import { freezeObject } from "#apimachinery/freeze.ts";
import type { KubeObject, ObjectMeta } from "#apimachinery/meta.ts";
import { parseLean } from "./lean-object.ts";
import type { PartialReader } from "./partial-reader.ts";
import type { StoredResource } from "./stored-resource.ts";

const none: Readonly<Record<string, string>> = Object.freeze({});

/** A row as text; `printer` made it. */
type CachedRow = { readonly printer: object; readonly text: string };

/** `"resourceVersion":"…",` with the longest number there is. */
const MAX_VERSION_LENGTH = 40;
/** What each head ends with. */
const METADATA = '"metadata":{';

/** Where the bytes of objects can be had again. */
export interface ByteSource {
  /** The bytes of an object that has let go of them. */
  read(object: StoredObject): Buffer;
}

/** What an object has in memory beside its key while it does not rest. */
class Awake {
  readonly bytes: Buffer;
  /** True when somebody asked for something since {@link StoredObject.rest} was called. */
  isUsed = true;
  /** What the bytes were made from, for a short while: those who follow the object ask for it at once. */
  parsed: KubeObject | undefined;
  encodings: Map<string, Buffer> | undefined;
  row: CachedRow | undefined;
  metadataEnd = 0;
  labels: Readonly<Record<string, string>> | undefined;
  fields: Readonly<Record<string, string>> | undefined;

  constructor(bytes: Buffer, parsed?: KubeObject) {
    this.bytes = bytes;
    this.parsed = parsed;
  }
}

/** An object as the store holds it. Never changes; but of what it holds in memory only the key must be there. */
export class StoredObject {
  readonly resource: StoredResource;
  readonly key: string;
  /** The object's resourceVersion. */
  readonly revision: number;
  /** What it has in memory; or, while it rests, where that is. Most objects rest, so all that they need not have then is in one place. */
  #held: Awake | ByteSource;
  /** Lives as long as somebody else holds it, an informer for instance. */
  #object: WeakRef<KubeObject> | undefined;

  /** `parsed` is the object that `bytes` were made from, when it is at hand; it may lack the resourceVersion. */
  constructor(
    resource: StoredResource,
    init: {
      readonly key: string;
      readonly revision: number;
      readonly bytes: Uint8Array;
      readonly parsed?: KubeObject | undefined;
    },
  ) {
    this.resource = resource;
    this.key = init.key;
    this.revision = init.revision;
    const { bytes } = init;
    const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#held = new Awake(buffer, init.parsed && inStoredVersion(resource, init.parsed));
  }

  /** Plain JSON (never encrypted) without resourceVersion; begins with the resource's head. */
  get bytes(): Buffer {
    return this.#used().bytes;
  }

  /** Somebody asks: it does not rest any more. */
  #used(): Awake {
    const held = this.#held;
    if (held instanceof Awake) {
      held.isUsed = true;
      return held;
    }
    const awake = new Awake(held.read(this));
    this.#held = awake;
    return awake;
  }

  get #parsed(): KubeObject | undefined {
    return this.#held instanceof Awake ? this.#held.parsed : undefined;
  }

  /** Lets go of all that `source` can give again, if nobody asked for it since the last call. False when somebody did. */
  rest(source: ByteSource): boolean {
    const held = this.#held;
    if (held instanceof Awake && held.isUsed) {
      held.isUsed = false;
      return false;
    }
    this.#held = source;
    if (this.#object?.deref() === undefined) this.#object = undefined;
    return true;
  }

  /** True while its bytes are not in memory. */
  get isResting(): boolean {
    return !(this.#held instanceof Awake);
  }

  /** Gives a resting object its bytes: from now on the store has others under its key. */
  wake(bytes: Buffer): void {
    if (this.isResting) this.#held = new Awake(bytes);
  }

  get namespace(): string {
    const { prefix, isNamespaced } = this.resource;
    return isNamespaced ? this.key.slice(prefix.length, this.key.indexOf("/", prefix.length)) : "";
  }

  get name(): string {
    return this.key.slice(this.key.lastIndexOf("/") + 1);
  }

  /** The parsed object in the version it is stored in, deeply frozen, with its resourceVersion. */
  get object(): KubeObject {
    const there = this.#object?.deref();
    if (there !== undefined) {
      if (this.#held instanceof Awake) this.#held.isUsed = true;
      return there;
    }
    const awake = this.#used();
    const made = withRevision(awake.parsed ?? (JSON.parse(awake.bytes.toString()) as KubeObject), this.revision);
    this.#object = new WeakRef(made);
    if (awake.parsed !== undefined) awake.parsed = made;
    return made;
  }

  /** The parsed object for somebody who neither keeps nor changes it: not frozen, and parsed anew each time when nobody else holds it. */
  get passing(): KubeObject {
    const there = this.#object?.deref();
    if (there !== undefined) return there;
    // What the bytes were made from may have the revision before.
    const object = this.#parsed ?? (JSON.parse(this.bytes.toString()) as KubeObject);
    if (this.revision === 0) return object;
    return { ...object, metadata: { ...object.metadata, resourceVersion: String(this.revision) } };
  }

  /** For encoders and printers: as {@link passing}, but each fieldsV1 may be a RawJson. Much less to parse. */
  get lean(): KubeObject {
    if (this.#parsed !== undefined || this.#object?.deref() !== undefined) return this.passing;
    const awake = this.#used();
    const { object, metadataEnd } = parseLean(awake.bytes, this.#headLength);
    awake.metadataEnd = metadataEnd;
    if (this.revision === 0) return object;
    return { ...object, metadata: { ...object.metadata, resourceVersion: String(this.revision) } };
  }

  /** The same, with null for fields that the reader leaves out. */
  partial(reader: PartialReader): KubeObject {
    if (this.#parsed !== undefined || this.#object?.deref() !== undefined) return this.passing;
    const awake = this.#used();
    const { object, metadataEnd } = reader.read(awake.bytes, this.#headLength);
    awake.metadataEnd = metadataEnd;
    return object;
  }

  /** Its metadata, under the same terms as {@link passing}; the rest is not even parsed. */
  get passingMetadata(): ObjectMeta {
    const there = this.#object?.deref() ?? this.#parsed;
    const text = (): string => `{${this.bytes.toString("utf8", this.#headLength, this.#endOfMetadata())}}`;
    const metadata = there?.metadata ?? (JSON.parse(text()) as ObjectMeta);
    return this.revision === 0 ? metadata : { ...metadata, resourceVersion: String(this.revision) };
  }

  /** Lets go of the parsed form; it is made again from the bytes when somebody asks. What selectors need is kept. */
  releaseParsed(): void {
    const held = this.#held;
    if (!(held instanceof Awake) || held.parsed === undefined) return;
    if (held.fields === undefined) this.#extract(held);
    held.parsed = undefined;
  }

  get labels(): Readonly<Record<string, string>> {
    const awake = this.#used();
    if (awake.labels === undefined) this.#extract(awake);
    return awake.labels ?? none;
  }

  /** Fields for selectors: metadata.name, metadata.namespace and the kind's own. */
  get fields(): Readonly<Record<string, string>> {
    const awake = this.#used();
    if (awake.fields === undefined) this.#extract(awake);
    return awake.fields ?? none;
  }

  #extract(awake: Awake): void {
    const object = awake.parsed ?? this.passing;
    awake.labels = object.metadata?.labels ?? none;
    awake.fields = Object.assign(
      Object.create(null) as Record<string, string>,
      this.resource.selectableFields(object),
      { "metadata.name": this.name, "metadata.namespace": this.namespace },
    );
  }

  /** The object's JSON with its resourceVersion; `head` is of the version that is asked for. */
  toJson(head: Buffer = this.resource.head): Buffer {
    const json = Buffer.allocUnsafe(this.maxJsonLength(head) + 1);
    const end = this.writeJson(json, 0, head);
    json[end] = 0x0a; // as Go's encoder ends each document
    return json.subarray(0, end + 1);
  }

  /** Room that {@link writeJson} needs, at most. */
  maxJsonLength(head: Buffer): number {
    return head.length + this.bytes.length - this.#headLength + MAX_VERSION_LENGTH;
  }

  /** Writes the object's JSON into `target` and gives the offset behind it. */
  writeJson(target: Buffer, offset: number, head: Buffer): number {
    target.set(head, offset);
    let at = offset + head.length;
    // A dry run's object has no revision.
    if (this.revision > 0) at += target.write(`"resourceVersion":"${this.revision}",`, at, "latin1");
    return at + this.bytes.copy(target, at, this.#headLength);
  }

  /** Writes what stands in `"metadata":{…}` with the resourceVersion, without the braces, and gives the offset behind it. Needs as much room as {@link metadataLength} says. */
  writeMetadata(target: Buffer, offset: number): number {
    let at = offset;
    if (this.revision > 0) at += target.write(`"resourceVersion":"${this.revision}",`, at, "latin1");
    return at + this.bytes.copy(target, at, this.#headLength, this.#endOfMetadata());
  }

  /** Room that {@link writeMetadata} needs, at most. */
  get metadataLength(): number {
    return this.#endOfMetadata() - this.#headLength + MAX_VERSION_LENGTH;
  }

  // What was stored in another version begins with that one's name.
  get #headLength(): number {
    const { head, keepsVersions } = this.resource;
    return keepsVersions === true ? this.bytes.indexOf(METADATA) + METADATA.length : head.length;
  }

  #endOfMetadata(): number {
    const awake = this.#used();
    if (awake.metadataEnd === 0) awake.metadataEnd = closingBrace(awake.bytes, this.#headLength);
    return awake.metadataEnd;
  }

  /** The object's row in Tables of one printer, made once. */
  rowOf(printer: object, make: () => string): string {
    const awake = this.#used();
    if (awake.row?.printer !== printer) awake.row = { printer, text: make() };
    return awake.row.text;
  }

  /** What `make` gave when it was first asked for under this name: another encoding of the object. */
  cached(name: string, make: () => Buffer): Buffer {
    const encodings = (this.#used().encodings ??= new Map<string, Buffer>());
    const there = encodings.get(name);
    if (there !== undefined) return there;
    const made = make();
    encodings.set(name, made);
    return made;
  }

  /** The same state under the revision at which it was deleted (or left a selector), as watch events show it. */
  atRevision(revision: number): StoredObject {
    return new StoredObject(this.resource, {
      key: this.key,
      revision,
      bytes: this.bytes,
      parsed: this.#object?.deref() ?? this.#parsed,
    });
  }
}

// Versions of one kind may differ in apiVersion only: what the bytes were made from then has that of the request.
function inStoredVersion({ apiVersion, keepsVersions }: StoredResource, object: KubeObject): KubeObject {
  return keepsVersions === true || object.apiVersion === apiVersion || object.apiVersion === undefined
    ? object
    : { ...object, apiVersion };
}

/** An object as it is stored: kind, apiVersion and metadata first, no resourceVersion. */
export function toStoredBytes(resource: StoredResource, object: KubeObject): Buffer {
  return bytesOf(JSON.stringify(inStoredForm(resource, object)));
}

/** {@link toStoredBytes} in steps, for large objects. */
export function* toStoredBytesSteps(resource: StoredResource, object: KubeObject): Generator<void, Buffer> {
  const pieces: Buffer[] = [];
  let text = "";
  for (const piece of writeJsonSteps(inStoredForm(resource, object))) {
    text += piece;
    // Bytes as it goes: to make one text of a hundred thousand takes a long turn.
    if (text.length > PIECE_LENGTH) pieces.push(bytesOf(text));
    if (text.length > PIECE_LENGTH) text = "";
    yield;
  }
  pieces.push(bytesOf(text));
  const bytes = Buffer.allocUnsafeSlow(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) at += piece.copy(bytes, at);
  return bytes;
}

/** Characters that become bytes at once. */
const PIECE_LENGTH = 64 * 1024;

function inStoredForm(resource: StoredResource, object: KubeObject): object {
  const { kind: _kind, apiVersion: own, metadata = {}, ...rest } = object;
  const { resourceVersion: _resourceVersion, ...meta } = metadata;
  const apiVersion = resource.keepsVersions === true ? (own ?? resource.apiVersion) : resource.apiVersion;
  return { kind: resource.kind, apiVersion, metadata: meta, ...rest };
}

// In memory of its own: a piece of Node's pool keeps 64 KB alive, with whatever else was in it.
function bytesOf(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}

/** Where the brace stands that closes the object whose inside begins at `start`. */
function closingBrace(bytes: Buffer, start: number): number {
  let depth = 0;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === 0x22) {
      at++;
      while (bytes[at] !== 0x22 && at < bytes.length) at += bytes[at] === 0x5c ? 2 : 1;
    } else if (byte === 0x7b) depth++;
    else if (byte === 0x7d && depth-- === 0) return at;
  }
  return bytes.length;
}

function withRevision(object: KubeObject, revision: number): KubeObject {
  if (revision === 0) return freezeObject(object);
  const resourceVersion = String(revision);
  return freezeObject({ ...object, metadata: { ...object.metadata, resourceVersion } });
}
