/**
 * What becomes of a push: its commits are deployed before its refs count, and only then does Git take it. A commit that cannot be deployed leaves everything as it was. Ref and
 * deployment agree afterwards, whatever dies in between: what is under way is written down first, and what Git says of the ref is where a start goes on from.
 */
import { formatTime } from "#apimachinery/time.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import { roleOf } from "#delivery/deploy/branch-names.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";
import { branchOf, findCommit, isZero, type RepositoryFolders, tidy } from "#delivery/git/bare-repository.ts";
import type { Git } from "#delivery/git/git.ts";
import type { LastPush, RepositoryObject } from "#delivery/kinds.ts";
import type { Push, PushReceiver } from "#delivery/server/git-server.ts";
import { Branches, type BranchesOptions, expiresAtMs, ownerOf } from "./branches.ts";
import { PushLog } from "./push-log.ts";
import { type PendingRecord, readRecord, type RepositoryRecord, withBranch, writeRecord } from "./records.ts";
import { Turns } from "./turns.ts";
import { type Change, PushRefused, wantedChanges } from "./wanted-changes.ts";

export type PushesOptions = Omit<BranchesOptions, "signal"> & {
  readonly folders: RepositoryFolders;
  readonly events: Pick<EventRecorder, "record">;
};

type OpenPush = { readonly end: () => void; readonly urls: Map<string, readonly string[]>; readonly log: PushLog };

export class Pushes implements PushReceiver {
  readonly #options: PushesOptions;
  readonly #branches: Branches;
  readonly #turns = new Turns();
  readonly #abort = new AbortController();
  /** By push: gives the turn back, with what came of it so far. */
  readonly #open = new Map<Push, OpenPush>();

  constructor(options: PushesOptions) {
    this.#options = options;
    this.#branches = new Branches({ ...options, signal: this.#abort.signal });
  }

  /** What is under way stays as it is written down, for the next start. */
  stop(): void {
    this.#abort.abort(new Error("nodeless stops"));
  }

  async receive(push: Push): Promise<boolean> {
    const { repository, signal } = push;
    const voice = new PushLog(push.voice);
    const heard = { ...push, voice };
    const uid = uidOf(repository);
    if (this.#turns.isTaken(uid)) voice.say("Waiting for the push before this one…");
    const end = await this.#turns.take(uid);
    const urls = new Map<string, readonly string[]>();
    this.#open.set(push, { end, urls, log: voice });
    try {
      signal.throwIfAborted();
      const changes = await wantedChanges(this.#options.folders.git(uid), heard);
      await this.#deployAll(heard, changes, urls);
      return true;
    } catch (error) {
      if (this.#abort.signal.aborted) return false;
      const message = this.#explain(error, signal);
      voice.say(`✗ ${message}`);
      const cause = (error as Error).cause;
      await this.#note(push, "Rejected", isKnownFailure(cause) ? cause.message : message);
      return false;
    }
  }

  #explain(error: unknown, signal: AbortSignal): string {
    if (signal.aborted) return "whoever pushed is gone";
    if (isKnownFailure(error) || error instanceof PushRefused) return error.message;
    this.#options.logger.error("A push could not be deployed", { error });
    return "nodeless failed; its log says more";
  }

  async settle(push: Push): Promise<void> {
    const open = this.#open.get(push);
    if (open === undefined) return;
    this.#open.delete(push);
    try {
      if (this.#abort.signal.aborted) return;
      await this.#settle(push, open.urls);
      await open.log.write(this.#options.client, push.repository, ownerOf(push.repository));
      await tidy(this.#options.folders.git(uidOf(push.repository)));
    } finally {
      open.end();
      // What could not be settled is looked at again.
      this.#options.onChange(push.repository);
    }
  }

  /** After a start, and when a preview's time is over: brings what is deployed to where its branches are. Gives when to look again. */
  async reconcile(repository: RepositoryObject): Promise<RepositoryRecord> {
    const { folders } = this.#options;
    const uid = uidOf(repository);
    const git = folders.git(uid);
    // A push that is under way sees to all this itself.
    if (this.#turns.isTaken(uid)) return await readRecord(git.folder);
    const end = await this.#turns.take(uid);
    try {
      for (const pending of (await readRecord(git.folder)).pending) await this.#goOn(repository, git, pending);
      await this.#branches.endPreviews(repository, git);
      return await readRecord(git.folder);
    } finally {
      end();
    }
  }

  /** When the next preview's time is over. */
  nextEndMs(repository: RepositoryObject, record: RepositoryRecord): number | undefined {
    const ends = record.branches.flatMap((one) => expiresAtMs(repository, one) ?? []);
    return ends.length === 0 ? undefined : Math.min(...ends);
  }

  async #deployAll(push: Push, changes: readonly Change[], urls: Map<string, readonly string[]>): Promise<void> {
    const { repository, user, view, voice } = push;
    const { folders } = this.#options;
    const git = folders.git(uidOf(repository));
    const record = await readRecord(git.folder);
    const pending = changes.map(({ branch, after: commit }) => ({ branch, commit, user }));
    if (pending.length > 0) await writeRecord(git.folder, { ...record, pending: [...record.pending, ...pending] });
    const begun: Change[] = [];
    try {
      for (const change of changes) {
        // A branch that goes takes its preview with it, once it has gone.
        if (isZero(change.after)) {
          voice.say(`The preview of ${change.branch} goes with it`);
          continue;
        }
        begun.push(change);
        const role = roleOf(repository, change.branch);
        voice.say(
          `Deploying ${change.after.slice(0, 7)} of ${change.branch}${role === "preview" ? " as a preview" : ""}`,
        );
        const deployment = {
          branch: change.branch,
          commit: change.after,
          user,
          view,
          say: (text: string) => voice.say(text),
        };
        const found = await this.#branches.deploy(repository, git, {
          ...deployment,
          mode: "first",
          signal: push.signal,
        });
        urls.set(change.branch, found);
        voice.say(`✓ ${change.branch} is ready${found.length === 0 ? "" : `: ${found.join(" ")}`}`);
      }
    } catch (error) {
      if (this.#abort.signal.aborted) throw error;
      if (isKnownFailure(error)) voice.say(`✗ ${error.message}`);
      else if (!push.signal.aborted) this.#options.logger.error("A push could not be deployed", { error });
      // What failed before anything of it was written leaves nothing behind.
      const early = isKnownFailure(error) && error.isEarly ? begun.pop() : undefined;
      if (early !== undefined) await this.#forgetPending(git, early.branch);
      for (const change of begun.toReversed()) await this.#goBack(push, git, change);
      throw new PushRefused("not deployed: nothing has changed", { cause: error });
    }
  }

  async #forgetPending(git: Git, branch: string): Promise<void> {
    const record = await readRecord(git.folder);
    await writeRecord(git.folder, { ...record, pending: record.pending.filter((one) => one.branch !== branch) });
  }

  async #goBack({ repository, voice }: Push, git: Git, { branch, before }: Change): Promise<void> {
    try {
      if (!isZero(before)) voice.say(`Going back to ${before.slice(0, 7)} of ${branch}`);
      await this.#branches.bringTo(repository, git, branch, isZero(before) ? undefined : before);
    } catch (error) {
      // It stays written down as under way: it is tried again.
      voice.say(`✗ ${branch} could not be brought back yet: ${messageOf(error)}`);
      this.#options.logger.warn("A branch could not be brought back", { branch, error });
    }
  }

  /** What was under way when this process, or the one before it, ended. */
  async #goOn(repository: RepositoryObject, git: Git, pending: PendingRecord): Promise<void> {
    const { logger, onChange } = this.#options;
    const { branch } = pending;
    const commit = await findCommit(git, branch);
    logger.info("Went on with a deployment that was under way", { branch, commit: commit ?? "" });
    await this.#branches.bringTo(repository, git, branch, commit, pending);
    await this.#noteInterrupted(repository, git, pending);
    onChange(repository);
  }

  async #settle(push: Push, urls: ReadonlyMap<string, readonly string[]>): Promise<void> {
    const { repository, user, changes } = push;
    const { clock, folders } = this.#options;
    const git = folders.git(uidOf(repository));
    for (const { branch } of (await readRecord(git.folder)).pending) {
      const change = changes.find(({ ref }) => branchOf(ref) === branch);
      const commit = await findCommit(git, branch);
      const found = urls.get(branch);
      if (commit !== undefined && commit === change?.after && found !== undefined) {
        const deployed = { branch, commit, user, urls: found, deployedAtMs: clock.now() };
        await writeRecord(git.folder, withBranch(await readRecord(git.folder), branch, deployed));
        await this.#note(push, "Deployed", found.join(" "), branch);
      } else if (commit === undefined && change !== undefined && isZero(change.after)) {
        await this.#branches.remove(repository, branch);
        await writeRecord(git.folder, withBranch(await readRecord(git.folder), branch, undefined));
        await this.#note(push, "Removed", "", branch);
      } else await this.#branches.bringTo(repository, git, branch, commit);
    }
    await this.#noteStored(push, git);
  }

  /** Branches that are only kept are written down too: who wants to know of pushes finds them in the status. */
  async #noteStored(push: Push, git: Git): Promise<void> {
    const { repository, user, changes } = push;
    for (const { ref, after } of changes) {
      const branch = branchOf(ref);
      if (branch === undefined || roleOf(repository, branch) !== "stored") continue;
      const commit = await findCommit(git, branch);
      if (commit !== (isZero(after) ? undefined : after)) continue;
      const kept = { branch, user, deployedAtMs: this.#options.clock.now(), urls: [] };
      const record = await readRecord(git.folder);
      await writeRecord(git.folder, withBranch(record, branch, commit === undefined ? undefined : { ...kept, commit }));
      await this.#note(push, commit === undefined ? "Removed" : "Stored", "", branch);
    }
  }

  /** Whoever pushed heard no verdict. What was said of it before it ended stays. */
  async #noteInterrupted(repository: RepositoryObject, git: Git, pending: PendingRecord): Promise<void> {
    const { branch, commit, user } = pending;
    const { lastPush } = await readRecord(git.folder);
    if (lastPush?.commit === commit && lastPush.branch === branch) return;
    const isTaken = (await findCommit(git, branch)) === commit;
    const message = "nodeless ended while it was deployed: push it again";
    const log = new PushLog({ say: () => {} });
    log.say(`Deploying ${commit.slice(0, 7)} of ${branch}`);
    log.say(isTaken ? `✓ ${branch} is ready` : `✗ ${message}`);
    await log.write(this.#options.client, repository, ownerOf(repository));
    await this.#noteOf(repository, {
      branch,
      commit,
      user: user.name,
      outcome: isTaken ? "Deployed" : "Rejected",
      ...(isTaken ? {} : { message }),
    });
  }

  async #note(push: Push, outcome: LastPush["outcome"], message: string, of?: string): Promise<void> {
    const { repository, changes, user } = push;
    const change = changes.find(({ ref }) => of === undefined || branchOf(ref) === of);
    if (change === undefined) return;
    await this.#noteOf(repository, {
      branch: branchOf(change.ref) ?? change.ref,
      commit: change.after,
      user: user.name,
      outcome,
      ...(message === "" ? {} : { message: message.slice(0, 1000) }),
    });
  }

  async #noteOf(repository: RepositoryObject, push: Omit<LastPush, "time">): Promise<void> {
    const { folder } = this.#options.folders.git(uidOf(repository));
    const lastPush = { ...push, time: formatTime(this.#options.clock.now()) };
    await writeRecord(folder, { ...(await readRecord(folder)), lastPush });
    const { branch, commit, message, outcome } = push;
    const whole = isZero(commit) ? branch : `${commit.slice(0, 7)} of ${branch}`;
    const what = message === undefined ? whole : `${whole}: ${message}`;
    this.#options.events.record(repository, {
      type: outcome === "Rejected" ? "Warning" : "Normal",
      reason: outcome,
      message: what.slice(0, 1000),
    });
  }
}

function isKnownFailure(error: unknown): error is DeployFailed {
  return error instanceof DeployFailed;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function uidOf({ metadata }: RepositoryObject): string {
  return metadata?.uid ?? "";
}
