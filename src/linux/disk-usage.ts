/**
 * How much of the disk folders take, counted by du: a program of its own, so that walking many files holds up nobody.
 */
import { spawn } from "node:child_process";

/** Most folders that one du is asked about: a command line has bounds. */
const batchSize = 500;

/** Bytes by folder, other file systems below left out. Folders that are not there are missing. */
export async function diskUsageOf(folders: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const all = new Map<string, number>();
  for (let at = 0; at < folders.length; at += batchSize) {
    for (const [folder, bytes] of parse(await du(folders.slice(at, at + batchSize)))) all.set(folder, bytes);
  }
  return all;
}

function du(folders: readonly string[]): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  // Hard links are counted where they are met first; files that go away meanwhile are no failure.
  const child = spawn("du", ["-sx", "--block-size=1", "--null", "--", ...folders], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.once("error", reject);
  child.once("close", () => resolve(Buffer.concat(chunks).toString("utf8")));
  return promise;
}

function parse(text: string): [string, number][] {
  return text.split("\0").flatMap((line): [string, number][] => {
    const tab = line.indexOf("\t");
    return tab < 0 ? [] : [[line.slice(tab + 1), Number(line.slice(0, tab))]];
  });
}
