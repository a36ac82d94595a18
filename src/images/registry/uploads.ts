/**
 * Blobs that are being pushed, piece by piece. The digest is reckoned while bytes arrive; what was received is in a file of the repository, so that an upload goes on after
 * this process was started again, and is gone an hour after its last byte.
 */
import { createHash, type Hash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Clock } from "#component-base/clock.ts";
import { ifThere } from "#component-base/missing-file.ts";
import { intoFolder } from "./durable-files.ts";
import { algorithmOf, type DigestAlgorithm } from "./names.ts";
import { RegistryFault } from "./registry-fault.ts";
import { namesIn, type Repository } from "./repository.ts";

/** Bounds of what clients may begin. */
export type UploadLimits = {
  /** Uploads that are known at once; the one that was idle longest goes first. */
  readonly mostUploads: number;
  /** Bytes of one blob. */
  readonly largestBlob: number;
  /** An upload of which nothing was heard for this long is over. */
  readonly staleMs: number;
};

export const defaultLimits: UploadLimits = { mostUploads: 256, largestBlob: 64 * 2 ** 30, staleMs: 3_600_000 };

/** Where a piece is to begin and end, by its own word. Both ends belong to it. */
export type PieceRange = { readonly start: number; readonly end: number };

type Session = { readonly file: string; hash: Hash; received: number; isBusy: boolean; lastMs: number };

/** All uploads of this process. */
export class Uploads {
  readonly #clock: Clock;
  readonly #limits: UploadLimits;
  /** By file, the one that was idle longest first. */
  readonly #sessions = new Map<string, Session>();

  constructor(options: { readonly clock: Clock; readonly limits?: UploadLimits }) {
    this.#clock = options.clock;
    this.#limits = options.limits ?? defaultLimits;
  }

  /** Begins one; gives its id. Throws {@link RegistryFault} when too many are busy. */
  async begin(repository: Repository, algorithm: DigestAlgorithm = "sha256"): Promise<string> {
    await this.#makeRoom();
    const id = `${randomUUID()}-${algorithm}`;
    const file = join(repository.uploads, id);
    await intoFolder(repository.uploads, async () => (await open(file, "wx", 0o600)).close());
    this.#remember({ file, hash: createHash(algorithm), received: 0, isBusy: false, lastMs: this.#clock.now() });
    return id;
  }

  /** How many bytes are here. Throws {@link RegistryFault} for an upload that is not known. */
  async received(repository: Repository, id: string): Promise<number> {
    return (await this.#find(repository, id)).received;
  }

  /** Adds the bytes of `source`. What came before a broken connection stays. Gives how many are here now. */
  async append(repository: Repository, id: string, source: AsyncIterable<Buffer>, range?: PieceRange): Promise<number> {
    return this.#busy(await this.#find(repository, id), async (session) => {
      const before = session.received;
      if (range && range.start !== before)
        throw new RegistryFault("BLOB_UPLOAD_INVALID", `the next piece begins at ${before}, not at ${range.start}`, {
          status: 416,
        });
      await this.#write(session, source);
      const length = session.received - before;
      if (range && length !== range.end - range.start + 1)
        throw new RegistryFault(
          "SIZE_INVALID",
          `the piece has ${length} bytes, its range ${range.end - range.start + 1}`,
        );
      return session.received;
    });
  }

  /** Ends an upload whose bytes must have this digest. `keep` gets the file, which is on the disk by then. The upload is over in any case but one: that `keep` fails. */
  async commit(
    repository: Repository,
    id: string,
    digest: string,
    keep: (file: string) => Promise<void>,
  ): Promise<void> {
    await this.#busy(await this.#find(repository, id), async (session) => {
      const actual = await digestOfSession(session, algorithmOf(digest), id);
      if (actual !== digest) {
        await this.#forget(session);
        throw new RegistryFault("DIGEST_INVALID", `the blob has the digest ${actual}, not ${digest}`);
      }
      await keep(session.file);
      await this.#forget(session);
    });
  }

  /** Throws {@link RegistryFault} for an upload that is not known. */
  async cancel(repository: Repository, id: string): Promise<void> {
    await this.#forget(await this.#find(repository, id));
  }

  /** Removes uploads of the repository of which nothing was heard for long, also of processes that are gone. */
  async removeStale(repository: Repository): Promise<void> {
    for (const name of await namesIn(repository.uploads)) {
      const file = join(repository.uploads, name);
      const { mtimeMs = 0 } = (await ifThere(stat(file), undefined)) ?? {};
      const session = this.#sessions.get(file);
      const lastMs = Math.max(mtimeMs, session?.lastMs ?? 0);
      if (session?.isBusy || this.#clock.now() - lastMs < this.#limits.staleMs) continue;
      this.#sessions.delete(file);
      await rm(file, { force: true });
    }
  }

  async #find(repository: Repository, id: string): Promise<Session> {
    const file = join(repository.uploads, id);
    const known = this.#sessions.get(file);
    if (known) return known;
    const algorithm = /^[0-9a-f-]{36}-(sha256|sha512)$/.exec(id)?.[1] as DigestAlgorithm | undefined;
    const size = algorithm && (await ifThere(stat(file), undefined))?.size;
    if (algorithm === undefined || size === undefined)
      throw new RegistryFault("BLOB_UPLOAD_UNKNOWN", "the upload is not known, or it is over");
    const hash = createHash(algorithm);
    await pipeline(createReadStream(file), async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) hash.update(chunk);
    });
    const found = { file, hash, received: size, isBusy: false, lastMs: this.#clock.now() };
    // Another request may have been as quick.
    const other = this.#sessions.get(file);
    if (!other) this.#remember(found);
    return other ?? found;
  }

  async #busy<T>(session: Session, work: (session: Session) => Promise<T>): Promise<T> {
    if (session.isBusy) throw new RegistryFault("BLOB_UPLOAD_INVALID", "another request writes to the upload");
    session.isBusy = true;
    try {
      return await work(session);
    } finally {
      session.isBusy = false;
      session.lastMs = this.#clock.now();
      // To the end of the line; one that is over is not in it any more.
      if (this.#sessions.delete(session.file)) this.#remember(session);
    }
  }

  async #write(session: Session, source: AsyncIterable<Buffer>): Promise<void> {
    const handle = await open(session.file, "r+");
    try {
      for await (const chunk of source) {
        if (session.received + chunk.length > this.#limits.largestBlob)
          throw new RegistryFault("SIZE_INVALID", `blobs may have ${this.#limits.largestBlob} bytes`, { status: 413 });
        await writeAll(handle, chunk, session.received);
        session.hash.update(chunk);
        session.received += chunk.length;
      }
    } finally {
      await handle.close();
    }
  }

  async #makeRoom(): Promise<void> {
    if (this.#sessions.size < this.#limits.mostUploads) return;
    const idle = [...this.#sessions.values()].find(({ isBusy }) => !isBusy);
    if (!idle)
      throw new RegistryFault("TOOMANYREQUESTS", "too many uploads at once", { headers: { "retry-after": "5" } });
    await this.#forget(idle);
  }

  #remember(session: Session): void {
    this.#sessions.set(session.file, session);
  }

  async #forget(session: Session): Promise<void> {
    this.#sessions.delete(session.file);
    await rm(session.file, { force: true });
  }
}

async function writeAll(handle: FileHandle, chunk: Buffer, position: number): Promise<void> {
  for (let written = 0; written < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, written, chunk.length - written, position + written);
    written += bytesWritten;
  }
}

// The bytes reach the disk here, once, and not with each piece.
async function digestOfSession(session: Session, algorithm: DigestAlgorithm, id: string): Promise<string> {
  const handle = await open(session.file, "r+");
  try {
    // A write that failed half-way left bytes that nobody counts.
    await handle.truncate(session.received);
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (id.endsWith(algorithm)) return `${algorithm}:${session.hash.copy().digest("hex")}`;
  const hash = createHash(algorithm);
  await pipeline(createReadStream(session.file), async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) hash.update(chunk);
  });
  return `${algorithm}:${hash.digest("hex")}`;
}
