/**
 * Takes files out of a zip archive, for tests that find their tools in one: Debian without anything else has no unzip. Stored and deflated entries
 * below 4 GiB, which is what the archives at hand hold (APPNOTE.TXT of PKWARE, 4.3).
 */
import { closeSync, fstatSync, mkdirSync, openSync, readSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { inflateRawSync } from "node:zlib";

type Entry = {
  readonly name: string;
  readonly method: number;
  readonly compressedBytes: number;
  readonly headerOffset: number;
};

/** Writes the entries whose name `wanted` takes under `folder`, executable. Gives their names. */
export function unzip(archive: string, folder: string, wanted: (name: string) => boolean): readonly string[] {
  const file = openSync(archive, "r");
  try {
    const entries = readDirectory(file).filter(({ name }) => wanted(name) && !name.endsWith("/"));
    for (const entry of entries) {
      const target = join(folder, entry.name);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, readEntry(file, entry), { mode: 0o755 });
    }
    return entries.map(({ name }) => name);
  } finally {
    closeSync(file);
  }
}

function readDirectory(file: number): readonly Entry[] {
  const { size } = fstatSync(file);
  const tail = readAt(file, Math.max(0, size - 65_557), Math.min(size, 65_557));
  const end = tail.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]));
  if (end < 0) throw new Error("no zip archive: it has no end-of-directory record");
  const count = tail.readUInt16LE(end + 10);
  const directory = readAt(file, tail.readUInt32LE(end + 16), tail.readUInt32LE(end + 12));
  const entries: Entry[] = [];
  for (let at = 0; entries.length < count; ) {
    const nameBytes = directory.readUInt16LE(at + 28);
    entries.push({
      name: directory.toString("utf8", at + 46, at + 46 + nameBytes),
      method: directory.readUInt16LE(at + 10),
      compressedBytes: directory.readUInt32LE(at + 20),
      headerOffset: directory.readUInt32LE(at + 42),
    });
    at += 46 + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  return entries;
}

function readEntry(file: number, entry: Entry): Buffer {
  const header = readAt(file, entry.headerOffset, 30);
  const start = entry.headerOffset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
  const bytes = readAt(file, start, entry.compressedBytes);
  return entry.method === 0 ? bytes : inflateRawSync(bytes);
}

function readAt(file: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  readSync(file, bytes, 0, length, position);
  return bytes;
}
