/**
 * The store's file is damaged in a thousand ways: each is refused with what is damaged named, or changes nothing that is read. None ends the reader's process.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import { repository } from "../support/cluster.ts";
import type { Fault, FaultContext } from "./fault.ts";
import type { Random } from "./random.ts";

const pageBytes = 4096;
const atOnce = 2;

type Answer = { readonly digest?: string; readonly refused?: string; readonly why?: string };

export const storeDamage: Fault = {
  name: "damage",
  claim: "of random damages to the store's file each is refused with what is damaged named, or harmless",
  async run(context) {
    const folder = mkdtempSync(join(tmpdir(), "nodeless-damage-"));
    try {
      await damage(context, folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function damage({ random, size, log }: FaultContext, folder: string): Promise<void> {
  const original = join(folder, "original");
  await fill(original);
  const { digest } = await readAll(original);
  const file = readFileSync(join(original, "data.mdb"));
  const counts = new Map<string, number>();
  const kinds = Object.entries(damages);
  const one = async (index: number, copy: string): Promise<void> => {
    const [name, make] = kinds[index % kinds.length] as (typeof kinds)[number];
    rmSync(copy, { recursive: true, force: true });
    cpSync(original, copy, { recursive: true });
    writeFileSync(join(copy, "data.mdb"), make(file, random));
    const answer = await readAll(copy).catch((error: unknown) => {
      copyFileSync(join(copy, "data.mdb"), join(tmpdir(), "nodeless-damaged.mdb"));
      throw new Error(`${name} (kept as ${join(tmpdir(), "nodeless-damaged.mdb")}): ${(error as Error).message}`);
    });
    if (answer.refused === undefined) assert.equal(answer.digest, digest, `${name} changed what is read`);
    else {
      assert.equal(answer.why, "damaged", answer.refused);
      assert.match(answer.refused, /record|page|meta|entry|key|bytes|revision|log/i, "what is damaged is named");
    }
    const outcome = `${name} ${answer.refused === undefined ? "harmless" : "refused"}`;
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  };
  const total = size === "long" ? 1000 : 6;
  let next = 0;
  const worker = async (copy: string) => {
    while (next < total) {
      await one(next++, copy);
      if (next % 100 === 0) log(`${next} damages`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, (_, index) => worker(join(folder, `copy-${index}`))));
  log(
    [...counts]
      .map(([outcome, count]) => `${outcome}: ${count}`)
      .sort()
      .join(", "),
  );
}

const damages: Readonly<Record<string, (file: Buffer, random: Random) => Buffer>> = {
  "a flipped bit": (file, random) => changed(file, (copy) => flip(copy, random)),
  "eight flipped bits": (file, random) =>
    changed(file, (copy) => {
      for (let i = 0; i < 8; i++) flip(copy, random);
    }),
  "a zeroed page": (file, random) => changed(file, (copy) => copy.fill(0, ...pageOf(copy, random))),
  "a page of noise": (file, random) =>
    changed(file, (copy) => {
      const [start, end] = pageOf(copy, random);
      for (let at = start; at < end; at++) copy[at] = random.integer(0, 255);
    }),
  "a page over another": (file, random) =>
    changed(file, (copy) => {
      const [from, to] = [pageOf(copy, random), pageOf(copy, random)];
      copy.copyWithin(to[0], from[0], from[1]);
    }),
  truncation: (file, random) => file.subarray(0, random.integer(0, file.length - 1)),
};

function changed(file: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(file);
  change(copy);
  return copy;
}

function flip(copy: Buffer, random: Random): void {
  const at = random.integer(0, copy.length - 1);
  copy[at] = (copy[at] ?? 0) ^ (1 << random.integer(0, 7));
}

function pageOf(file: Buffer, random: Random): [start: number, end: number] {
  const page = random.integer(0, file.length / pageBytes - 1);
  return [page * pageBytes, (page + 1) * pageBytes];
}

/** Something of everything: entries small and large, changes, deletes, history, free pages. */
async function fill(folder: string): Promise<void> {
  const store = await openLmdbStore({ folder, reserveBytes: 0 });
  for (let round = 0; round < 6; round++) {
    await Promise.all(
      Array.from({ length: 60 }, (_, i) => {
        const value = i % 7 === round ? undefined : Buffer.from(`${round} ${"v".repeat((i * 97) % 9000)}`);
        return store.write([{ key: `/things/number-${i}`, value, expectedRevision: undefined }]);
      }),
    );
    if (round === 2) await store.compact(store.currentRevision());
  }
  await store.close();
}

/** In a process of its own. Throws when that ends otherwise than by saying something. */
function readAll(folder: string): Promise<Answer> {
  const program = join(repository, "src/store/lmdb/testing/read-all.ts");
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [program, folder], { timeout: 60_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`the reader ended with ${error.signal ?? error.code}: ${stderr}`));
      else resolve(JSON.parse(stdout) as Answer);
    });
  });
}
