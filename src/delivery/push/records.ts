/**
 * What is deployed of each branch, and what was under way when the last word was written: a file beside the repository, whole or as it was before. A start after a crash reads there
 * which branches may be half.
 */
import { open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { DeliveryUser, LastPush } from "#delivery/kinds.ts";

/** A branch that is deployed. */
export type BranchRecord = {
  readonly branch: string;
  readonly commit: string;
  /** With whose rights it was deployed, and is again if need be. */
  readonly user: DeliveryUser;
  readonly deployedAtMs: number;
  readonly urls: readonly string[];
  /** The preview's time was over: nothing of it is deployed. */
  readonly isOver?: boolean;
};

/** A branch on its way to another commit. What it ends at is what Git says. */
export type PendingRecord = { readonly branch: string; readonly commit: string; readonly user: DeliveryUser };

/** A branch that has come to another commit, whoever moved it. */
export type PushRecord = {
  /** Counts the pushes of a repository, from 1. */
  readonly number: number;
  readonly branch: string;
  readonly commit: string;
  /** Absent: the branch is new. */
  readonly before?: string;
  readonly user: string;
  readonly atMs: number;
};

export type RepositoryRecord = {
  readonly branches: readonly BranchRecord[];
  readonly pending: readonly PendingRecord[];
  readonly lastPush?: LastPush;
  /** The last ones, oldest first. */
  readonly pushes?: readonly PushRecord[];
};

/** Who was away for more of them has missed some. */
export const mostPushes = 50;

const fileName = "deployments.json";
const nothing: RepositoryRecord = { branches: [], pending: [] };

/** What was written last; nothing, where nothing was. */
export async function readRecord(folder: string): Promise<RepositoryRecord> {
  try {
    return JSON.parse(await readFile(join(folder, fileName), "utf8")) as RepositoryRecord;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return nothing;
    throw error;
  }
}

/** Is on the disk when it resolves. */
export async function writeRecord(folder: string, record: RepositoryRecord): Promise<void> {
  await writeDurably(join(folder, fileName), JSON.stringify(record));
}

/** Whole or as it was before; on the disk when it resolves. One at a time for each path. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(`${path}.new`, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  const parent = await open(dirname(path), "r");
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}

/** The record with this branch as it is now; without a commit it is gone. Another commit than before is a push. */
export function withBranch(
  record: RepositoryRecord,
  branch: string,
  deployed: BranchRecord | undefined,
): RepositoryRecord {
  const others = record.branches.filter((one) => one.branch !== branch);
  const branches = deployed === undefined ? others : [...others, deployed];
  return {
    ...record,
    ...withPush(record, deployed),
    branches: branches.toSorted((one, other) => (one.branch < other.branch ? -1 : 1)),
    pending: record.pending.filter((one) => one.branch !== branch),
  };
}

function withPush(
  { branches, pushes = [] }: RepositoryRecord,
  deployed: BranchRecord | undefined,
): Pick<RepositoryRecord, "pushes"> {
  const before = branches.find(({ branch }) => branch === deployed?.branch)?.commit;
  if (deployed === undefined || deployed.commit === before) return {};
  const push: PushRecord = {
    number: (pushes.at(-1)?.number ?? 0) + 1,
    branch: deployed.branch,
    commit: deployed.commit,
    ...(before === undefined ? {} : { before }),
    user: deployed.user.name,
    atMs: deployed.deployedAtMs,
  };
  return { pushes: [...pushes, push].slice(-mostPushes) };
}
