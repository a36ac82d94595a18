/**
 * What a cluster costs, sample by sample: memory and descriptors of its two processes, the store's file, and what it has in the kernel. And the verdict: whether anything grew that
 * should not.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ClusterMachine } from "./machine.ts";

/** One look. Memory is proportional set size in MB. */
export type Sample = {
  readonly minute: number;
  readonly controlPlaneMB: number;
  readonly nodeMB: number;
  readonly controlPlaneFiles: number;
  readonly nodeFiles: number;
  readonly storeMB: number;
  readonly helpers: number;
  readonly groups: number;
  readonly mounts: number;
  readonly links: number;
  readonly elements: number;
  readonly done: number;
};

const columns: readonly (keyof Sample)[] = [
  "minute",
  "controlPlaneMB",
  "nodeMB",
  "controlPlaneFiles",
  "nodeFiles",
  "storeMB",
  "helpers",
  "groups",
  "mounts",
  "links",
  "elements",
  "done",
];

export const tableHead: string = columns.map((name) => name.padStart(Math.max(8, name.length))).join("  ");

export function tableRow(sample: Sample): string {
  return columns
    .map((name) =>
      sample[name].toFixed(name.endsWith("MB") || name === "minute" ? 1 : 0).padStart(Math.max(8, name.length)),
    )
    .join("  ");
}

export function takeSample(machine: ClusterMachine, minute: number, done: number): Sample {
  const [controlPlane, node] = (["control-plane", "node"] as const).map((role) => machine.findProcess(role)?.pid ?? 0);
  const census = machine.census();
  const count = (category: string) => census.get(category)?.length ?? 0;
  return {
    minute,
    controlPlaneMB: memoryOf(controlPlane ?? 0),
    nodeMB: memoryOf(node ?? 0),
    controlPlaneFiles: descriptorsOf(controlPlane ?? 0),
    nodeFiles: descriptorsOf(node ?? 0),
    storeMB: statSync(join(machine.dataFolder, "store/data.mdb")).size / 2 ** 20,
    helpers: count("helpers"),
    groups: count("control groups"),
    mounts: count("mounts"),
    links: count("links"),
    elements: count("nftables elements"),
    done,
  };
}

/** In minutes. */
const shortestForMemory = 5;

/**
 * What grew, in words; empty when nothing did. `start` and `end` were taken at rest, before and after the load; `during` under load. Caches fill up at first: growth is looked for
 * between the middle and the last third, and only in runs that are long enough for it.
 */
export function findGrowth(start: Sample, during: readonly Sample[], end: Sample): string[] {
  const problems: string[] = [];
  for (const name of ["controlPlaneFiles", "nodeFiles"] as const)
    if (end[name] > start[name] + 6) problems.push(`${name}: ${start[name]} before, ${end[name]} after`);
  if ((during.at(-1)?.minute ?? 0) < shortestForMemory) return problems;
  const third = Math.floor(during.length / 3);
  for (const [name, spare] of [
    ["controlPlaneMB", 12],
    ["nodeMB", 12],
    ["storeMB", 8],
  ] as const) {
    const [middle, last] = [during.slice(third, 2 * third), during.slice(2 * third)].map((part) =>
      median(part.map((sample) => sample[name])),
    );
    if (middle === undefined || last === undefined) continue;
    if (last > middle * 1.15 + spare)
      problems.push(`${name} under load: ${middle.toFixed(1)}, later ${last.toFixed(1)}`);
    if (name !== "storeMB" && end[name] > last * 1.1 + spare)
      problems.push(`${name}: ${last.toFixed(1)} under load, ${end[name].toFixed(1)} at rest afterwards`);
  }
  return problems;
}

function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function memoryOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
