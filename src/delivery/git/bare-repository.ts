/**
 * A repository on disk: `repo.git`, which belongs to whom Git runs as, and `hooks` beside it, which belongs to us.
 */
import { chmod, mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ifThere } from "#component-base/missing-file.ts";
import { hookScript } from "#delivery/push/hook-script.ts";
import { Git } from "./git.ts";
import type { GitCage } from "./git-cage.ts";
import { hooksFolder, repositoryFolder } from "./git-settings.ts";

/** A branch and what it is at. */
export type BranchRef = { readonly branch: string; readonly commit: string };

const heads = "refs/heads/";
const commitPattern = /^[0-9a-f]{40}([0-9a-f]{24})?$/;

/** What Git says where there is nothing. */
export function isZero(commit: string): boolean {
  return /^0+$/.test(commit);
}

/** "refs/heads/main" → "main"; undefined for what is no branch. */
export function branchOf(ref: string): string | undefined {
  return ref.startsWith(heads) ? ref.slice(heads.length) : undefined;
}

/** All repositories of a cluster, each under its object's uid: one that is made anew under the same name is another. */
export class RepositoryFolders {
  readonly #root: string;
  readonly #cage: GitCage;

  constructor(root: string, cage: GitCage) {
    this.#root = root;
    this.#cage = cage;
  }

  /** Git for this repository; its folder may not be there yet. */
  git(uid: string): Git {
    if (!/^[0-9a-zA-Z-]+$/.test(uid)) throw new Error(`${JSON.stringify(uid)} is no uid`);
    return new Git(join(this.#root, uid), this.#cage);
  }

  /** Makes what is missing. HEAD is the branch that is live, so that a clone has it. */
  async ensure(uid: string, branch: string): Promise<Git> {
    const git = this.git(uid);
    if (!existsSync(git.folder)) await this.#create(git);
    const head = await ifThere(readFile(join(git.folder, repositoryFolder, "HEAD"), "utf8"), "");
    if (head !== `ref: ${heads}${branch}\n`) await git.run(["symbolic-ref", "HEAD", `${heads}${branch}`]);
    return git;
  }

  /** Uids of all that are on the disk. */
  async list(): Promise<readonly string[]> {
    const names = await ifThere(readdir(this.#root), []);
    return names.filter((name) => !name.includes("."));
  }

  /** Of the disk that they are on. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#root);
    return bavail * bsize;
  }

  /** Removes what pushes that were killed have left. None may be under way. */
  async removeQuarantines(uid: string): Promise<void> {
    const objects = join(this.git(uid).folder, repositoryFolder, "objects");
    const names = await ifThere(readdir(objects), []);
    const left = names.filter((name) => name.startsWith("tmp_objdir-"));
    await Promise.all(left.map((name) => rm(join(objects, name), { recursive: true, force: true })));
  }

  async remove(uid: string): Promise<void> {
    await rm(this.git(uid).folder, { recursive: true, force: true });
  }

  // Beside its place, and then moved there whole.
  async #create(git: Git): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    const making = `${git.folder}.new`;
    await rm(making, { recursive: true, force: true });
    for (const folder of [making, join(making, hooksFolder), join(making, repositoryFolder)]) await mkdir(folder);
    for (const name of ["pre-receive"]) {
      const file = join(making, hooksFolder, name);
      await writeFile(file, hookScript);
      await chmod(file, 0o755);
    }
    await this.#cage.adopt(join(making, repositoryFolder));
    const maker = new Git(making, this.#cage);
    await maker.run(["init", "--quiet", "--bare", "--template=", maker.inside + `/${repositoryFolder}`]);
    await rename(making, git.folder);
  }
}

/** All branches. */
export async function branchesOf(git: Git): Promise<readonly BranchRef[]> {
  const text = await git.run(["for-each-ref", "--format=%(objectname) %(refname)", heads]);
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const space = line.indexOf(" ");
      return { commit: line.slice(0, space), branch: branchOf(line.slice(space + 1)) ?? "" };
    });
}

/** What a branch is at now. */
export async function findCommit(git: Git, branch: string): Promise<string | undefined> {
  const text = await git.run(["for-each-ref", "--format=%(objectname)", `${heads}${branch}`]);
  const [commit = ""] = text.split("\n");
  return commitPattern.test(commit) ? commit : undefined;
}

/** Packs are many when pushes are: this many are made one. */
const mostPacks = 30;
const tidyTimeoutMs = 300_000;

/** Bytes of all that is pushed so far, with what is in quarantine. */
export async function sizeOf(git: Git): Promise<number> {
  const objects = join(git.folder, repositoryFolder, "objects");
  const names = await readdir(objects, { recursive: true });
  const sizes = names.map(async (name) => (await ifThere(stat(join(objects, name)), undefined))?.size ?? 0);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Makes one pack of many; what nothing leads to any more goes after two weeks. Somebody else's turn must not be under way. */
export async function tidy(git: Git): Promise<void> {
  const packs = await ifThere(readdir(join(git.folder, repositoryFolder, "objects/pack")), []);
  if (packs.filter((name) => name.endsWith(".pack")).length <= mostPacks) return;
  await git.run(["gc", "--quiet", "--prune=2.weeks.ago"], { timeoutMs: tidyTimeoutMs });
}
