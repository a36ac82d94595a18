/**
 * What a cluster costs, sample by sample: memory and descriptors of its two processes, the store's file, and what it has in the kernel.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ClusterMachine } from "./machine.ts";

/** One look. Memory is what each process has for itself, in MB: pages of files, the store's among them, belong to the kernel's cache, and count by who else happens to map them. */
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
  const [controlPlane, node] = [livingProcess(machine, "control-plane"), livingProcess(machine, "node")];
  const census = machine.census();
  const count = (category: string) => census.get(category)?.length ?? 0;
  return {
    minute,
    controlPlaneMB: memoryOf(controlPlane),
    nodeMB: memoryOf(node),
    controlPlaneFiles: descriptorsOf(controlPlane),
    nodeFiles: descriptorsOf(node),
    storeMB: statSync(join(machine.dataFolder, "store/data.mdb")).size / 2 ** 20,
    helpers: count("helpers"),
    groups: count("control groups"),
    mounts: count("mounts"),
    links: count("links"),
    elements: count("nftables elements"),
    done,
  };
}

function livingProcess(machine: ClusterMachine, role: "control-plane" | "node"): number {
  const pid = machine.findProcess(role)?.pid;
  if (pid === undefined) throw new Error(`the process of the ${role} is gone`);
  return pid;
}

function memoryOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss_Anon:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
