/**
 * Reads tar archives: ustar, GNU long names and numbers, pax headers. A reader of our own because extended attributes in pax headers are bytes (file
 * capabilities), which libraries decode as text and so damage.
 */
import { InvalidImage } from "./oci.ts";

/** What an entry is. */
export type TarType = "file" | "link" | "symlink" | "character-device" | "block-device" | "directory" | "fifo";

/** One entry. `content` must be read, or left alone: what was not read is skipped. */
export type TarEntry = {
  readonly name: string;
  readonly type: TarType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: Date;
  readonly linkname: string;
  readonly devmajor: number;
  readonly devminor: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  readonly content: AsyncIterable<Buffer>;
};

const block = 512;
const largestHeader = 1 << 20;
const xattrPrefix = "SCHILY.xattr.";
const types: Readonly<Record<string, TarType>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "link",
  "2": "symlink",
  "3": "character-device",
  "4": "block-device",
  "5": "directory",
  "6": "fifo",
};

/** The entries of an archive, in order. The whole source is read, also what follows the end of the archive. Throws {@link InvalidImage}. */
export async function* readTar(source: AsyncIterable<Buffer>): AsyncGenerator<TarEntry> {
  const bytes = new ByteReader(source);
  try {
    yield* readEntries(bytes);
    await bytes.drain();
  } finally {
    // Whoever stops in the middle lets go of the source.
    await bytes.close();
  }
}

async function* readEntries(bytes: ByteReader): AsyncGenerator<TarEntry> {
  let global = new Map<string, Buffer>();
  let extended = new Map<string, Buffer>();
  for (;;) {
    const header = await bytes.read(block);
    if (header === undefined || header.every((byte) => byte === 0)) return;
    checkSum(header);
    const type = String.fromCharCode(header[156] ?? 0);
    const size = sizeOf(header, extended);
    if ("xgLK".includes(type)) {
      const data = await readHeaderData(bytes, number(header, 124, 12));
      if (type === "g") global = new Map([...global, ...parsePax(data)]);
      else if (type === "x") extended = new Map([...extended, ...parsePax(data)]);
      else extended.set(type === "L" ? "path" : "linkpath", untilNul(data));
      continue;
    }
    const content = bytes.take(size);
    yield entryOf(header, type, size, new Map([...global, ...extended]), content);
    for await (const rest of content) void rest;
    await bytes.skip(padding(size));
    extended = new Map();
  }
}

function entryOf(
  header: Buffer,
  type: string,
  size: number,
  pax: ReadonlyMap<string, Buffer>,
  content: AsyncIterable<Buffer>,
): TarEntry {
  const text = (key: string) => pax.get(key)?.toString("utf8");
  const figure = (key: string, offset: number) => Number(text(key) ?? number(header, offset, 8));
  const name = text("path") ?? headerName(header);
  if ([...pax.keys()].some((key) => key.startsWith("GNU.sparse.")) || !(type in types))
    throw new InvalidImage(`a layer has an entry of an unknown type: ${JSON.stringify(name)}`);
  const plain = types[type] as TarType;
  const xattrs = [...pax].filter(([key]) => key.startsWith(xattrPrefix));
  return {
    name,
    // Before there were folders in the format, a slash at the end said so.
    type: plain === "file" && name.endsWith("/") ? "directory" : plain,
    mode: number(header, 100, 8) & 0o7777,
    uid: figure("uid", 108),
    gid: figure("gid", 116),
    size,
    mtime: new Date(1000 * Number(text("mtime") ?? number(header, 136, 12))),
    linkname: text("linkpath") ?? untilNul(header.subarray(157, 257)).toString("utf8"),
    devmajor: number(header, 329, 8),
    devminor: number(header, 337, 8),
    xattrs: new Map(xattrs.map(([key, value]) => [key.slice(xattrPrefix.length), value])),
    content,
  };
}

function headerName(header: Buffer): string {
  const name = untilNul(header.subarray(0, 100)).toString("utf8");
  // Only POSIX' own format has a prefix here; GNU's has other things in its place.
  const isPosix = header.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isPosix ? untilNul(header.subarray(345, 500)).toString("utf8") : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

function sizeOf(header: Buffer, extended: ReadonlyMap<string, Buffer>): number {
  const type = String.fromCharCode(header[156] ?? 0);
  // Links and folders may state a size that is not there.
  if ("123456".includes(type)) return 0;
  const size = Number(extended.get("size")?.toString("latin1") ?? number(header, 124, 12));
  if (!Number.isSafeInteger(size) || size < 0) throw new InvalidImage("a layer has an entry of an impossible size");
  return size;
}

// Octal digits, or with the first bit set the bytes of a big number.
function number(header: Buffer, offset: number, length: number): number {
  const field = header.subarray(offset, offset + length);
  if (((field[0] ?? 0) & 0x80) !== 0) {
    const isNegative = field[0] === 0xff;
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + (isNegative ? 255 - byte : byte), 0);
    return isNegative ? -value - 1 : value + ((field[0] ?? 0) & 0x7f) * 256 ** (length - 1);
  }
  const digits = untilNul(field).toString("latin1").trim();
  return digits === "" ? 0 : Number.parseInt(digits, 8) || 0;
}

function checkSum(header: Buffer): void {
  const stated = number(header, 148, 8);
  let sum = 8 * 32;
  for (let index = 0; index < block; index++) if (index < 148 || index >= 156) sum += header[index] ?? 0;
  if (sum !== stated) throw new InvalidImage("the layer is no tar archive, or it is damaged");
}

// Records of "LENGTH KEY=VALUE\n"; the value is bytes.
function parsePax(data: Buffer): Map<string, Buffer> {
  const result = new Map<string, Buffer>();
  for (let offset = 0; offset < data.length; ) {
    const blank = data.indexOf(32, offset);
    const length = Number(data.toString("latin1", offset, blank));
    const equals = data.indexOf(61, blank);
    const end = offset + length;
    if (!(blank > offset && equals > blank && length > 0 && end <= data.length))
      throw new InvalidImage("a layer has a damaged pax header");
    result.set(data.toString("utf8", blank + 1, equals), data.subarray(equals + 1, end - 1));
    offset = end;
  }
  return result;
}

async function readHeaderData(bytes: ByteReader, size: number): Promise<Buffer> {
  if (size > largestHeader) throw new InvalidImage(`a layer has a header of ${size} bytes`);
  const data = await bytes.read(size);
  if (data === undefined && size > 0) throw new InvalidImage("the layer ends too early");
  await bytes.skip(padding(size));
  return Buffer.from(data ?? []);
}

function padding(size: number): number {
  return (block - (size % block)) % block;
}

function untilNul(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** Hands out bytes of a stream in pieces of wanted sizes. */
class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Exactly `size` bytes; undefined at the end of the source. Throws when it ends in between. */
  async read(size: number): Promise<Buffer | undefined> {
    while (this.#rest.length < size) {
      const { done, value } = await this.#source.next();
      if (!done) this.#rest = this.#rest.length === 0 ? value : Buffer.concat([this.#rest, value]);
      else if (this.#rest.length === 0) return undefined;
      else throw new InvalidImage("the layer ends too early");
    }
    const taken = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(size);
    return taken;
  }

  /** The next `size` bytes as they come. Once only. */
  async *take(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0; ) {
      if (this.#rest.length === 0) {
        const { done, value } = await this.#source.next();
        if (done) throw new InvalidImage("the layer ends too early");
        this.#rest = value;
      }
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  async skip(size: number): Promise<void> {
    if (size > 0 && (await this.read(size)) === undefined) throw new InvalidImage("the layer ends too early");
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async drain(): Promise<void> {
    while (!(await this.#source.next()).done);
  }
}
