/**
 * A function's folder as an archive: the same files give the same bytes. Unpacking takes files and folders only, within bounds: archives come from strangers.
 */
import { createReadStream } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { extract, pack } from "tar-stream";
import type { SourceFile } from "./list-files.ts";
import { mostSourceFiles } from "./source-bounds.ts";

/** The archive is larger than it may be, or is none. */
export class SourceArchiveError extends Error {
  readonly kind = "SourceArchiveError";
}

/** Packs files (sorted as they come) as tar and gzip. */
export async function packFiles(folder: string, files: readonly SourceFile[]): Promise<Buffer> {
  const archive = pack();
  const gzip = createGzip({ level: 6 });
  const chunks: Buffer[] = [];
  const reading = pipeline(archive as unknown as Readable, gzip, async (source) => {
    for await (const chunk of source as AsyncIterable<Buffer>) chunks.push(chunk);
  });
  for (const { path, sizeBytes, isExecutable } of files) {
    const header = { name: path, size: sizeBytes, mode: isExecutable ? 0o755 : 0o644, mtime: new Date(0) };
    const entry = archive.entry(header);
    await pipeline(
      createReadStream(join(folder, path), { end: Math.max(0, sizeBytes - 1) }),
      entry as unknown as NodeJS.WritableStream,
    );
  }
  archive.finalize();
  await reading;
  return Buffer.concat(chunks);
}

/** Unpacks into an empty folder. Throws {@link SourceArchiveError}. Links and devices are left out; their names are given. */
export async function unpackFiles(
  archive: Readable,
  folder: string,
  bounds: { readonly mostBytes: number },
): Promise<{ readonly leftOut: readonly string[] }> {
  const reader = extract();
  const leftOut: string[] = [];
  let bytes = 0;
  let files = 0;
  const writing = (async () => {
    for await (const entry of reader) {
      const { name, type, mode } = entry.header;
      if (type === "directory" || name === "./") entry.resume();
      else if (type !== "file") {
        leftOut.push(name);
        entry.resume();
      } else {
        bytes += entry.header.size ?? 0;
        if (bytes > bounds.mostBytes)
          throw new SourceArchiveError(`its files have more than ${bounds.mostBytes} bytes`);
        if (++files > mostSourceFiles) throw new SourceArchiveError(`it has more than ${mostSourceFiles} files`);
        const path = join(folder, insidePath(name));
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, entry as unknown as AsyncIterable<Buffer>, {
          mode: (mode & 0o100) === 0 ? 0o644 : 0o755,
        });
      }
    }
  })();
  try {
    await Promise.all([pipeline(archive, createGunzip(), reader as unknown as NodeJS.WritableStream), writing]);
  } catch (cause) {
    await rm(folder, { recursive: true, force: true });
    if (cause instanceof SourceArchiveError) throw cause;
    throw new SourceArchiveError(`it is no archive: ${(cause as Error).message}`, { cause });
  }
  return { leftOut };
}

/** The name as a path below the folder. Throws {@link SourceArchiveError} for one that leads elsewhere. */
export function insidePath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.length === 0 || parts.includes("..") || name.startsWith("/") || name.includes("\0"))
    throw new SourceArchiveError(`it names a file outside of itself: ${JSON.stringify(name)}`);
  return parts.join("/");
}
