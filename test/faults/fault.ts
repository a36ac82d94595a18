/**
 * What a fault test is: something that is done to a running cluster, and what must hold during and after it. Long by itself (`npm run faults`), short among the end-to-end
 * tests (test/e2e/crashes.e2e.ts).
 */
import { spawnSync } from "node:child_process";
import type { Client } from "#client/client.ts";
import type { TestCluster } from "../support/cluster.ts";
import type { ClusterMachine } from "./machine.ts";
import type { Random } from "./random.ts";

/** How much of it: minutes by itself, seconds among the tests. */
export type FaultSize = "long" | "short";

/** `{ number: 2, of: 3 }` is the second third. */
export type Part = { readonly number: number; readonly of: number };

/** What a fault works with. */
export type FaultContext = {
  readonly cluster: TestCluster;
  /** The administrator's; each call fails while the control plane is dead. */
  readonly client: Client;
  readonly machine: ClusterMachine;
  readonly random: Random;
  readonly size: FaultSize;
  /** Of what is tried one by one, only the k-th of every n: a long form in several runs. */
  readonly part?: Part;
  /** Says what is done. */
  readonly log: (line: string) => void;
};

/** One fault. `run` throws when something did not hold. It leaves the cluster as it found it. */
export type Fault = {
  readonly name: string;
  /** What holds, as a sentence. */
  readonly claim: string;
  /** A program that it cannot do without; skipped where that is missing. */
  readonly needs?: string;
  readonly run: (context: FaultContext) => Promise<void>;
};

/** Why a fault cannot be tried on this machine, or undefined. */
export function reasonToSkip({ needs }: Fault): string | undefined {
  if (needs === undefined || spawnSync("sh", ["-c", `command -v ${needs}`]).status === 0) return undefined;
  return `${needs} is not installed`;
}

/** The items of this part, or all. */
export function partOf<T>(items: readonly T[], part: Part | undefined): readonly T[] {
  return part === undefined ? items : items.filter((_, index) => index % part.of === part.number - 1);
}
