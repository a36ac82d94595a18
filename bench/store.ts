/**
 * The durable store: writes by one writer and by 64, gets, a range of 10,000, opening; beside them the disk's own limit in the same run.
 * Alone: `node tools/node24.mjs bench/store.ts [FOLDER]` prints a table, then JSON. FOLDER says which disk; default is the current folder's.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { openLmdbStore } from "#store/lmdb/lmdb-store.ts";
import type { Store } from "#store/store.ts";

/** One measured figure. */
export type Measurement = {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What we aim at: at least, or at most, this. */
  readonly goal?: { readonly atLeast: number } | { readonly atMost: number };
};

const VALUE: Buffer = Buffer.alloc(1024, "v");
const RUN_MS = 3000;

/** Runs the bench in a new folder under `parent` and removes it afterwards. */
export async function benchStore(parent: string): Promise<readonly Measurement[]> {
  const folder = mkdtempSync(join(parent, "bench-store-"));
  const measurements: Measurement[] = [];
  try {
    measurements.push(...disk(folder));
    const store = await openLmdbStore({ folder });
    measurements.push(...(await writes(store, 1, { p50: { atMost: 0.6 } })));
    measurements.push(...(await writes(store, 64, { perSecond: { atLeast: 25_000 } })));
    measurements.push(...(await reads(store)));
    await store.compact(store.currentRevision());
    await store.close();
    measurements.push(await opening(folder));
    return measurements;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What the disk can do at best: a 4 KiB append and an fdatasync, one after another. */
function disk(folder: string): readonly Measurement[] {
  const path = join(folder, "..", `bench-disk-${process.pid}`);
  const file = openSync(path, "w");
  const times: number[] = [];
  for (const end = performance.now() + 1000; performance.now() < end; ) {
    const start = performance.now();
    writeSync(file, Buffer.alloc(4096));
    fdatasyncSync(file);
    times.push(performance.now() - start);
  }
  closeSync(file);
  rmSync(path);
  return [{ name: "disk: fdatasync of a 4 KiB append, p50", value: quantile(times, 0.5), unit: "ms" }];
}

type WriteGoals = { readonly p50?: Measurement["goal"]; readonly perSecond?: Measurement["goal"] };

/** Closed loop: each writer writes again as soon as its last write is durable. Nine of ten writes change an object, one makes a new one. */
async function writes(store: Store, writers: number, goals: WriteGoals): Promise<readonly Measurement[]> {
  const times: number[] = [];
  const start = performance.now();
  const run = async (writer: number): Promise<void> => {
    for (let i = 0; performance.now() < start + RUN_MS; i++) {
      const name = i % 10 === 0 ? `${writer}-${i}` : `${writer}-${i % 100}`;
      const before = performance.now();
      await store.write([{ key: `/registry/pods/default/${name}`, value: VALUE, expectedRevision: undefined }]);
      times.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, writer) => run(writer)));
  const perSecond = (times.length / (performance.now() - start)) * 1000;
  const label = `durable puts, ${writers} ${writers === 1 ? "writer" : "writers"}`;
  return [
    { name: label, value: perSecond, unit: "/s", ...(goals.perSecond && { goal: goals.perSecond }) },
    { name: `${label}, p50`, value: quantile(times, 0.5), unit: "ms", ...(goals.p50 && { goal: goals.p50 }) },
    { name: `${label}, p99`, value: quantile(times, 0.99), unit: "ms" },
  ];
}

async function reads(store: Store): Promise<readonly Measurement[]> {
  const keys = Array.from({ length: 10_000 }, (_, i) => `/registry/things/default/thing-${i}`);
  await Promise.all(keys.map((key) => store.write([{ key, value: VALUE, expectedRevision: undefined }])));
  let gets = 0;
  const start = performance.now();
  while (performance.now() < start + 1000) await store.get(keys[gets++ % keys.length]!);
  const perSecond = (gets / (performance.now() - start)) * 1000;
  const times: number[] = [];
  for (let i = 0; i < 20; i++) {
    const before = performance.now();
    await store.range({ prefix: "/registry/things/" });
    times.push(performance.now() - before);
  }
  return [
    { name: "gets, one after another", value: perSecond, unit: "/s" },
    { name: "range of 10,000, p50", value: quantile(times, 0.5), unit: "ms" },
  ];
}

async function opening(folder: string): Promise<Measurement> {
  const times: number[] = [];
  for (let i = 0; i < 10; i++) {
    const before = performance.now();
    const store = await openLmdbStore({ folder });
    times.push(performance.now() - before);
    await store.close();
  }
  return { name: "open after a clean close, p50", value: quantile(times, 0.5), unit: "ms", goal: { atMost: 30 } };
}

function quantile(times: readonly number[], share: number): number {
  return times.toSorted((a, b) => a - b)[Math.floor((times.length - 1) * share)]!;
}

function row({ name, value, unit, goal }: Measurement): Readonly<Record<string, string>> {
  const shown = value < 10 ? value.toFixed(3) : Math.round(value).toLocaleString("en");
  if (!goal) return { what: name, measured: `${shown} ${unit}`, goal: "" };
  const isMet = "atLeast" in goal ? value >= goal.atLeast : value <= goal.atMost;
  const aim = "atLeast" in goal ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`;
  return { what: name, measured: `${shown} ${unit}`, goal: `${aim} ${isMet ? "✓" : "✗"}` };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const measurements = await benchStore(resolve(process.argv[2] ?? "."));
  console.table(measurements.map(row));
  console.log(JSON.stringify(measurements));
}
