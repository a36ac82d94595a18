/**
 * Content-addressed files: blobs/sha256/HEX holds bytes whose SHA-256 is HEX. A blob appears whole or not at all: written elsewhere, checked, then renamed. Several
 * processes may share the folder; two that write one blob write the same.
 */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { link, mkdir, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ifThere } from "#component-base/missing-file.ts";
import { InvalidImage } from "./oci.ts";

/** `folder` holds `blobs/`; `temporary` must be on the same file system. */
export class BlobStore {
  readonly #folder: string;
  readonly #temporary: string;

  constructor(options: { readonly folder: string; readonly temporary: string }) {
    this.#folder = options.folder;
    this.#temporary = options.temporary;
  }

  path(digest: string): string {
    const [algorithm = "", hex = ""] = digest.split(":");
    if (!/^sha(256|512)$/.test(algorithm) || !/^[0-9a-f]+$/.test(hex))
      throw new InvalidImage(`not a digest: ${digest}`);
    return join(this.#folder, algorithm, hex);
  }

  /** Size in bytes, or undefined where the blob is not here. */
  async find(digest: string): Promise<number | undefined> {
    return (await ifThere(stat(this.path(digest)), undefined))?.size;
  }

  /** Whether the blob is here; if so, it counts as just come and is not collected as garbage for a while. */
  async touch(digest: string): Promise<boolean> {
    const now = new Date();
    return utimes(this.path(digest), now, now).then(
      () => true,
      () => false,
    );
  }

  read(digest: string): Promise<Buffer> {
    return readFile(this.path(digest));
  }

  open(digest: string): Readable {
    return createReadStream(this.path(digest), { highWaterMark: 1 << 18 });
  }

  /** Stores the stream's bytes if they have the digest. Throws {@link InvalidImage} when they do not; nothing is left behind then, nor after an abort. */
  async write(
    digest: string,
    source: Readable,
    options: {
      readonly size?: number;
      readonly signal?: AbortSignal /** What it is, for messages. */;
      readonly name?: string;
    } = {},
  ): Promise<void> {
    const target = this.path(digest);
    const part = join(this.#temporary, `blob-${randomBytes(8).toString("hex")}`);
    const [algorithm = "sha256"] = digest.split(":");
    const hash = createHash(algorithm);
    let seen = 0;
    const check = new Transform({
      transform(chunk: Buffer, _, done) {
        hash.update(chunk);
        seen += chunk.length;
        const tooLong = options.size !== undefined && seen > options.size;
        done(tooLong ? new InvalidImage(`blob ${digest} is longer than ${options.size} bytes`) : null, chunk);
      },
    });
    try {
      await pipeline(source, check, createWriteStream(part, { flags: "wx", flush: true }), { signal: options.signal });
      const actual = `${algorithm}:${hash.digest("hex")}`;
      if (actual !== digest) throw wrongDigest(options.name ?? "blob", digest, actual);
      await mkdir(join(this.#folder, algorithm), { recursive: true });
      await rename(part, target);
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
  }

  async writeBytes(digest: string, bytes: Uint8Array): Promise<void> {
    await this.write(digest, Readable.from([Buffer.from(bytes)]), { size: bytes.length });
  }

  /** As {@link BlobStore.write} from a file; a link instead of a copy is not taken, because the file may be changed by its owner later. */
  async addFile(digest: string, file: string): Promise<void> {
    if ((await this.find(digest)) === undefined)
      await this.write(digest, createReadStream(file, { highWaterMark: 1 << 18 }));
  }

  /** Makes a file of ours part of the store without copying; its digest was computed by the caller. */
  async adoptFile(digest: string, file: string): Promise<void> {
    await mkdir(join(this.#folder, digest.split(":")[0] ?? ""), { recursive: true });
    await link(file, this.path(digest)).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
      await this.touch(digest);
    });
  }

  async list(): Promise<string[]> {
    const all = ["sha256", "sha512"].map(async (algorithm) => {
      const names = await ifThere(readdir(join(this.#folder, algorithm)), []);
      return names.map((name) => `${algorithm}:${name}`);
    });
    return (await Promise.all(all)).flat();
  }

  /** Whether the blob's file has another name: a repository of the registry needs it. */
  async isLinked(digest: string): Promise<boolean> {
    return ((await ifThere(stat(this.path(digest)), undefined))?.nlink ?? 1) > 1;
  }

  /** Unknown is success. */
  async remove(digest: string): Promise<void> {
    await rm(this.path(digest), { force: true });
  }
}

/** Bytes are not what their digest says; the words are containerd's. */
export function wrongDigest(what: string, expected: string, actual: string): InvalidImage {
  return new InvalidImage(
    `failed commit on ref "${what}-${expected}": unexpected commit digest ${actual}, expected ${expected}: failed precondition`,
  );
}

/** The digest of bytes. */
export function digestOf(bytes: Uint8Array, algorithm: "sha256" | "sha512" = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}
