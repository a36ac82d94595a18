/**
 * Keeps Repositories on disk, and says in their status where they are, what is deployed of them, and what came of the last push. Ends previews when their time is over.
 */
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import { type ControllerContext, KeyedController, type NamedController } from "#client/controller.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import type { RepositoryFolders } from "#delivery/git/bare-repository.ts";
import { GitFailed, GitMissing } from "#delivery/git/git.ts";
import {
  type BranchStatus,
  liveBranch,
  repositories,
  type RepositoryCondition,
  type RepositoryObject,
  type RepositoryStatus,
  type TakenPush,
} from "#delivery/kinds.ts";
import { expiresAtMs } from "#delivery/push/branches.ts";
import type { Pushes } from "#delivery/push/pushes.ts";
import type { PushRecord, RepositoryRecord } from "#delivery/push/records.ts";
import type { WebhookCounter } from "#delivery/webhooks/webhook-counter.ts";

/** Where the Git server listens: "http://127.0.0.1:5080". */
export type GitAddresses = { readonly machine: string; readonly pods?: string };

export type RepositoryControllerContext = ControllerContext & {
  readonly folders: RepositoryFolders;
  readonly pushes: Pushes;
  readonly addresses: GitAddresses;
  readonly webhooks: WebhookCounter;
};

/** Timers do not go far beyond three weeks. */
const longestWaitMs = 86_400_000;
/** Somebody installs Git meanwhile, or makes room. */
const lookAgainMs = 30_000;

export function createRepositoryController(
  context: RepositoryControllerContext,
): NamedController & { readonly lookAt: (repository: RepositoryObject) => void } {
  return new RepositoryController(context);
}

class RepositoryController implements NamedController {
  readonly name = "repositories";
  readonly #context: RepositoryControllerContext;
  readonly #frame: KeyedController;
  readonly #repositories: Informer<RepositoryObject>;

  constructor(context: RepositoryControllerContext) {
    this.#context = context;
    this.#frame = new KeyedController(context, {
      name: this.name,
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    const look = (repository: RepositoryObject) => this.lookAt(repository);
    this.#repositories = this.#frame.watch(context.informers.informer<RepositoryObject>({ resource: repositories }), {
      onAdd: look,
      onUpdate: (_before, repository) => look(repository),
      onDelete: look,
    });
  }

  get isIdle(): boolean {
    return this.#frame.isIdle;
  }

  lookAt(repository: RepositoryObject): void {
    this.#frame.queue.add(keyOf(repository));
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#frame.start(signal);
    await this.#sweep();
  }

  async stop(): Promise<void> {
    await this.#frame.stop();
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const repository = this.#repositories.lister.find(namespace, name);
    if (repository === undefined) return await this.#sweep();
    if (repository.metadata?.deletionTimestamp !== undefined) return;
    const { folders, pushes, clock } = this.#context;
    try {
      await folders.ensure(repository.metadata?.uid ?? "", liveBranch(repository));
    } catch (error) {
      if (!(error instanceof GitMissing || error instanceof GitFailed)) throw error;
      const reason = error instanceof GitMissing ? "GitMissing" : "GitFailed";
      await this.#writeStatus(repository, undefined, { status: "False", reason, message: error.message }, signal);
      return lookAgainMs;
    }
    const record = await pushes.reconcile(repository);
    await this.#writeStatus(repository, record, { status: "True" }, signal);
    const nextMs = pushes.nextEndMs(repository, record);
    if (nextMs !== undefined) return Math.min(Math.max(nextMs - clock.now(), 1000), longestWaitMs);
  }

  /** Removes from the disk what has no object any more. */
  async #sweep(): Promise<void> {
    const { folders, logger } = this.#context;
    const known = new Set(this.#repositories.lister.list().map(({ metadata }) => metadata?.uid ?? ""));
    for (const uid of await folders.list()) {
      if (known.has(uid)) continue;
      await folders.remove(uid);
      logger.info("Removed a repository whose object is gone", { uid });
    }
  }

  async #writeStatus(
    repository: RepositoryObject,
    record: RepositoryRecord | undefined,
    ready: Pick<RepositoryCondition, "status" | "reason" | "message">,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, addresses, clock, webhooks } = this.#context;
    const webhook = webhooks.of(repository);
    const { namespace = "", name = "", generation } = repository.metadata ?? {};
    const path = `/${namespace}/${name}.git`;
    const status: RepositoryStatus = {
      ...repository.status,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      conditions: [this.#condition(repository, ready, clock.now())],
      url: `${addresses.machine}${path}`,
      ...(addresses.pods === undefined ? {} : { podUrl: `${addresses.pods}${path}` }),
      ...(repository.spec?.webhook === undefined
        ? {}
        : { webhookUrl: `${addresses.machine}/hooks/${namespace}/${name}` }),
      ...(record === undefined ? {} : { branches: branchesOf(repository, record) }),
      ...(webhook === undefined ? {} : { webhook }),
      ...(record?.lastPush === undefined ? {} : { lastPush: record.lastPush }),
      ...(record?.pushes === undefined ? {} : { pushes: record.pushes.map(pushOf) }),
    };
    if (semanticEqual(repository.status, status)) return;
    const ref = { resource: repositories, namespace, name, subresource: "status" };
    try {
      await client.update<RepositoryObject>(ref, { ...repository, status }, { signal });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }

  #condition(
    { status }: RepositoryObject,
    ready: Pick<RepositoryCondition, "status" | "reason" | "message">,
    nowMs: number,
  ): RepositoryCondition {
    const before = status?.conditions?.find(({ type }) => type === "Ready");
    const isSame =
      before?.status === ready.status && before.reason === ready.reason && before.message === ready.message;
    return isSame ? before : { type: "Ready", ...ready, lastTransitionTime: formatTime(nowMs) };
  }
}

function pushOf({ atMs, ...push }: PushRecord): TakenPush {
  return { ...push, time: formatTime(atMs) };
}

function branchesOf(repository: RepositoryObject, { branches }: RepositoryRecord): readonly BranchStatus[] {
  return branches
    .filter(({ isOver }) => isOver !== true)
    .map((one) => {
      const end = expiresAtMs(repository, one);
      return {
        name: one.branch,
        commit: one.commit,
        user: one.user.name,
        deployedAt: formatTime(one.deployedAtMs),
        urls: one.urls,
        ...(end === undefined ? {} : { expiresAt: formatTime(end) }),
      };
    });
}
