/**
 * Which branches of a push are to be deployed, and whether it may be at all: names, sizes, what is live, and what moved meanwhile.
 */
import { quantityValue } from "#apimachinery/quantity.ts";
import { roleOf } from "#delivery/deploy/branch-names.ts";
import { branchOf, findCommit, isZero, sizeOf } from "#delivery/git/bare-repository.ts";
import type { Git } from "#delivery/git/git.ts";
import { liveBranch } from "#delivery/kinds.ts";
import type { Push } from "#delivery/server/git-server.ts";
import type { RefChange } from "./push-conversation.ts";

/** A branch with what is to be deployed of it. */
export type Change = RefChange & { readonly branch: string };

/** A push that is not taken, whatever its commits hold. */
export class PushRefused extends Error {
  readonly kind = "PushRefused";
}

const mostBranches = 10;
const defaultMostBytes = 2 * 2 ** 30;
const branchPattern = /^[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}$/;

/** What is to be deployed of it. Throws {@link PushRefused} for a push that is not taken, whatever its commits hold. */
export async function wantedChanges(git: Git, { repository, changes, voice }: Push): Promise<readonly Change[]> {
  const most = quantityValue(repository.spec?.maxSize ?? defaultMostBytes);
  if (changes.some(({ after }) => !isZero(after)) && (await sizeOf(git)) > most)
    throw new PushRefused(
      `the repository would be larger than it may be (spec.maxSize: ${repository.spec?.maxSize ?? "2Gi"})`,
    );
  const found: Change[] = [];
  for (const change of changes) {
    const branch = branchOf(change.ref);
    if (branch === undefined) {
      if (/^refs\/tags\/[^\s]{1,200}$/.test(change.ref)) continue;
      throw new PushRefused(`only branches and tags are kept here, not ${change.ref}`);
    }
    if (!branchPattern.test(branch))
      throw new PushRefused(
        `a branch cannot be called ${JSON.stringify(branch)} here: letters, digits and . _ / - only, 200 at most`,
      );
    if (isZero(change.after) && branch === liveBranch(repository))
      throw new PushRefused(`${branch} is live: it is not deleted by a push; delete the Repository`);
    const now = (await findCommit(git, branch)) ?? change.before.replaceAll(/./g, "0");
    if (now !== change.before) throw new PushRefused(`${branch} was moved meanwhile: fetch first`);
    const role = roleOf(repository, branch);
    if (role === "stored") voice.say(`${branch} is kept, not deployed: spec.previews.branches does not name it`);
    else found.push({ ...change, branch });
  }
  if (found.length > mostBranches)
    throw new PushRefused(`${found.length} branches at once are too many to deploy; push at most ${mostBranches}`);
  return found;
}
