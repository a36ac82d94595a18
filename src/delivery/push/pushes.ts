/**
 * What becomes of a push: its commits are deployed before its refs count, and only then does Git take it. A commit that cannot be deployed leaves everything as it was. Ref and
 * deployment agree afterwards, whatever dies in between: what is under way is written down first, and what Git says of the ref is where a start goes on from.
 */
import { findDurationMs } from "#apimachinery/duration.ts";
import { quantityValue } from "#apimachinery/quantity.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { Client } from "#client/client.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { roleOf } from "#delivery/deploy/branch-names.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";
import type { Deployer, DeployMode } from "#delivery/deploy/deployer.ts";
import type { Git, GitView } from "#delivery/git/git.ts";
import { branchOf, findCommit, isZero, type RepositoryFolders, sizeOf, tidy } from "#delivery/git/bare-repository.ts";
import { type DeliveryUser, type LastPush, liveBranch, type RepositoryObject } from "#delivery/kinds.ts";
import type { Push, PushReceiver } from "#delivery/server/git-server.ts";
import type { RefChange } from "./push-conversation.ts";
import { type PendingRecord, readRecord, type RepositoryRecord, withBranch, writeRecord } from "./records.ts";
import { Turns } from "./turns.ts";

export type PushesOptions = {
  readonly folders: RepositoryFolders;
  readonly deployer: Pick<Deployer, "deploy" | "remove">;
  readonly client: Client;
  /** A client with somebody's rights. */
  readonly clientAs: (user: DeliveryUser) => Client;
  /** Called when a record has changed. */
  readonly onChange: (repository: RepositoryObject) => void;
  readonly events: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** A branch with what is to be deployed of it. */
type Change = RefChange & { readonly branch: string };

const mostBranches = 10;
const defaultMostBytes = 2 * 2 ** 30;
const defaultTimeoutSeconds = 300;
const defaultTimeToLiveMs = 72 * 3_600_000;
const branchPattern = /^[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}$/;

export class Pushes implements PushReceiver {
  readonly #options: PushesOptions;
  readonly #turns = new Turns();
  readonly #abort = new AbortController();
  /** By push: gives the turn back, with what came of it so far. */
  readonly #open = new Map<Push, { readonly end: () => void; readonly urls: Map<string, readonly string[]> }>();

  constructor(options: PushesOptions) {
    this.#options = options;
  }

  /** What is under way stays as it is written down, for the next start. */
  stop(): void {
    this.#abort.abort(new Error("nodeless stops"));
  }

  async receive(push: Push): Promise<boolean> {
    const { voice, repository, signal } = push;
    const uid = uidOf(repository);
    if (this.#turns.isTaken(uid)) voice.say("Waiting for the push before this one…");
    const end = await this.#turns.take(uid);
    const urls = new Map<string, readonly string[]>();
    this.#open.set(push, { end, urls });
    try {
      signal.throwIfAborted();
      const changes = await this.#changesOf(push);
      await this.#deployAll(push, changes, urls);
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
    if (isKnownFailure(error) || error instanceof PushRefused) return error.message;
    if (signal.aborted) return "whoever pushed is gone";
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
      await this.#endPreviews(repository, git);
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

  async #changesOf({ repository, changes, voice }: Push): Promise<readonly Change[]> {
    const git = this.#options.folders.git(uidOf(repository));
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
        throw new PushRefused(`a branch cannot be called ${JSON.stringify(branch)} here`);
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
        if (isZero(change.after)) continue;
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
        const found = await this.#deploy(repository, git, { ...deployment, mode: "first", signal: push.signal });
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
      await this.#bringTo(repository, git, branch, isZero(before) ? undefined : before);
    } catch (error) {
      // It stays written down as under way: it is tried again.
      voice.say(`✗ ${branch} could not be brought back yet: ${messageOf(error)}`);
      this.#options.logger.warn("A branch could not be brought back", { branch, error });
    }
  }

  async #deploy(
    repository: RepositoryObject,
    git: Git,
    options: {
      readonly branch: string;
      readonly commit: string;
      readonly user: DeliveryUser;
      readonly view: GitView;
      readonly say: (text: string) => void;
      readonly mode: DeployMode;
      readonly signal?: AbortSignal;
    },
  ): Promise<readonly string[]> {
    const { client, clientAs, deployer } = this.#options;
    const { branch, commit, view, say, user, mode } = options;
    const seconds = repository.spec?.timeoutSeconds ?? defaultTimeoutSeconds;
    const late = AbortSignal.timeout(seconds * 1000);
    const given = options.signal === undefined ? [] : [options.signal];
    const signal = AbortSignal.any([late, this.#abort.signal, ...given]);
    const { metadata } = repository;
    const owner = {
      apiVersion: "nodeless.dev/v1alpha1",
      kind: "Repository",
      name: metadata?.name ?? "",
      uid: metadata?.uid ?? "",
    };
    try {
      return await deployer.deploy(
        git,
        {
          repository,
          namespace: metadata?.namespace ?? "",
          branch,
          commit,
          isPreview: roleOf(repository, branch) === "preview",
          view,
          client: clientAs(user),
          ownClient: client,
          owner,
          say,
          signal,
        },
        mode,
      );
    } catch (error) {
      if (!late.aborted || this.#abort.signal.aborted) throw error;
      throw new DeployFailed(`it was not ready within ${seconds} s (spec.timeoutSeconds)`, { cause: error });
    }
  }

  /** What was under way when this process, or the one before it, ended. */
  async #goOn(repository: RepositoryObject, git: Git, pending: PendingRecord): Promise<void> {
    const { logger, onChange } = this.#options;
    const { branch } = pending;
    const commit = await findCommit(git, branch);
    logger.info("Went on with a deployment that was under way", { branch, commit: commit ?? "" });
    await this.#bringTo(repository, git, branch, commit, pending);
    onChange(repository);
  }

  /** Deploys what the branch is at, or takes it away, and writes down that this is so. */
  async #bringTo(
    repository: RepositoryObject,
    git: Git,
    branch: string,
    commit: string | undefined,
    pending?: PendingRecord,
  ): Promise<void> {
    const { client, deployer, clock } = this.#options;
    const record = await readRecord(git.folder);
    const known = record.branches.find((one) => one.branch === branch);
    if (commit === undefined || roleOf(repository, branch) === "stored" || known?.isOver === true) {
      await deployer.remove(client, { namespace: repository.metadata?.namespace ?? "", repository, branch });
      const kept = commit === undefined ? undefined : known;
      return await writeRecord(git.folder, withBranch(await readRecord(git.folder), branch, kept));
    }
    const user = known?.commit === commit ? known.user : pending?.commit === commit ? pending.user : known?.user;
    if (user === undefined) return await writeRecord(git.folder, withBranch(record, branch, undefined));
    const urls = await this.#deploy(repository, git, { branch, commit, user, view: {}, say: () => {}, mode: "again" });
    const deployedAtMs = known?.commit === commit ? known.deployedAtMs : clock.now();
    await writeRecord(
      git.folder,
      withBranch(await readRecord(git.folder), branch, { branch, commit, user, urls, deployedAtMs }),
    );
  }

  async #settle(push: Push, urls: ReadonlyMap<string, readonly string[]>): Promise<void> {
    const { repository, user, changes } = push;
    const { clock, client, deployer, folders } = this.#options;
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
        await deployer.remove(client, { namespace: repository.metadata?.namespace ?? "", repository, branch });
        await writeRecord(git.folder, withBranch(await readRecord(git.folder), branch, undefined));
        await this.#note(push, "Removed", "", branch);
      } else await this.#bringTo(repository, git, branch, commit);
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

  async #endPreviews(repository: RepositoryObject, git: Git): Promise<void> {
    const { client, deployer, clock, logger, onChange } = this.#options;
    for (const one of (await readRecord(git.folder)).branches) {
      const end = expiresAtMs(repository, one);
      if (end === undefined || end > clock.now()) continue;
      const { branch } = one;
      await deployer.remove(client, { namespace: repository.metadata?.namespace ?? "", repository, branch });
      const over = { ...one, urls: [], isOver: true };
      await writeRecord(git.folder, withBranch(await readRecord(git.folder), branch, over));
      logger.info("Ended a preview", {
        repository: `${repository.metadata?.namespace}/${repository.metadata?.name}`,
        branch,
      });
      onChange(repository);
    }
  }

  async #note(push: Push, outcome: LastPush["outcome"], message: string, of?: string): Promise<void> {
    const { repository, changes, user } = push;
    const git = this.#options.folders.git(uidOf(repository));
    const change = changes.find(({ ref }) => of === undefined || branchOf(ref) === of);
    if (change === undefined) return;
    const lastPush: LastPush = {
      branch: branchOf(change.ref) ?? change.ref,
      commit: change.after,
      user: user.name,
      time: formatTime(this.#options.clock.now()),
      outcome,
      ...(message === "" ? {} : { message: message.slice(0, 1000) }),
    };
    await writeRecord(git.folder, { ...(await readRecord(git.folder)), lastPush });
    const what = `${lastPush.commit.slice(0, 7)} of ${lastPush.branch}${message === "" ? "" : `: ${message}`}`;
    this.#options.events.record(repository, {
      type: outcome === "Rejected" ? "Warning" : "Normal",
      reason: outcome,
      message: what.slice(0, 1000),
    });
  }
}

/** A push that is not taken, whatever its commits hold. */
class PushRefused extends Error {
  readonly kind = "PushRefused";
}

/** When a preview's time is over. */
export function expiresAtMs(
  repository: RepositoryObject,
  { branch, deployedAtMs, isOver }: RepositoryRecord["branches"][number],
): number | undefined {
  if (isOver === true || roleOf(repository, branch) !== "preview") return undefined;
  return deployedAtMs + timeToLiveMs(repository);
}

function timeToLiveMs({ spec }: RepositoryObject): number {
  return findDurationMs(spec?.previews?.timeToLive ?? "") ?? defaultTimeToLiveMs;
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
