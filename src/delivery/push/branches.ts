/**
 * What is deployed of each branch, brought to where it should be and written down: a commit, nothing, or nothing any more when a preview's time is over.
 */
import { findDurationMs } from "#apimachinery/duration.ts";
import type { OwnerReference } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { roleOf } from "#delivery/deploy/branch-names.ts";
import type { Deployer, DeployMode } from "#delivery/deploy/deployer.ts";
import type { Git, GitView } from "#delivery/git/git.ts";
import { deliveryGroup, type DeliveryUser, type RepositoryObject } from "#delivery/kinds.ts";
import { type PendingRecord, readRecord, type RepositoryRecord, withBranch, writeRecord } from "./records.ts";

export type BranchesOptions = {
  readonly deployer: Pick<Deployer, "deploy" | "remove">;
  readonly client: Client;
  /** A client with somebody's rights. */
  readonly clientAs: (user: DeliveryUser) => Client;
  /** Called when a record has changed. */
  readonly onChange: (repository: RepositoryObject) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Aborts when this process stops: what is under way stays as it is written down. */
  readonly signal: AbortSignal;
};

const defaultTimeToLiveMs = 72 * 3_600_000;

/** For one repository only one method at a time. */
export class Branches {
  readonly #options: BranchesOptions;

  constructor(options: BranchesOptions) {
    this.#options = options;
  }

  /** Brings what is deployed of a branch to a commit. Throws DeployFailed; gives its URLs. */
  async deploy(
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
    const given = options.signal === undefined ? [] : [options.signal];
    const signal = AbortSignal.any([this.#options.signal, ...given]);
    const { metadata } = repository;
    const deployment = {
      repository,
      namespace: metadata?.namespace ?? "",
      branch,
      commit,
      isPreview: roleOf(repository, branch) === "preview",
      view,
      client: clientAs(user),
      ownClient: client,
      owner: ownerOf(repository),
      say,
      signal,
    };
    return await deployer.deploy(git, deployment, mode);
  }

  /** Takes away all that is deployed of a branch. */
  async remove(repository: RepositoryObject, branch: string): Promise<void> {
    const { client, deployer } = this.#options;
    await deployer.remove(client, { namespace: repository.metadata?.namespace ?? "", repository, branch });
  }

  /** Deploys what the branch is at, or takes it away, and writes down that this is so. */
  async bringTo(
    repository: RepositoryObject,
    git: Git,
    branch: string,
    commit: string | undefined,
    pending?: PendingRecord,
  ): Promise<void> {
    const { clock } = this.#options;
    const record = await readRecord(git.folder);
    const known = record.branches.find((one) => one.branch === branch);
    if (commit === undefined || roleOf(repository, branch) === "stored" || known?.isOver === true) {
      await this.remove(repository, branch);
      const kept = commit === undefined ? undefined : known;
      return await writeRecord(git.folder, withBranch(await readRecord(git.folder), branch, kept));
    }
    const user = known?.commit === commit ? known.user : pending?.commit === commit ? pending.user : known?.user;
    if (user === undefined) return await writeRecord(git.folder, withBranch(record, branch, undefined));
    const urls = await this.deploy(repository, git, { branch, commit, user, view: {}, say: () => {}, mode: "again" });
    const deployedAtMs = known?.commit === commit ? known.deployedAtMs : clock.now();
    await writeRecord(
      git.folder,
      withBranch(await readRecord(git.folder), branch, { branch, commit, user, urls, deployedAtMs }),
    );
  }

  /** Takes away previews whose time is over. */
  async endPreviews(repository: RepositoryObject, git: Git): Promise<void> {
    const { clock, logger, onChange } = this.#options;
    for (const one of (await readRecord(git.folder)).branches) {
      const end = expiresAtMs(repository, one);
      if (end === undefined || end > clock.now()) continue;
      const { branch } = one;
      await this.remove(repository, branch);
      const over = { ...one, urls: [], isOver: true };
      await writeRecord(git.folder, withBranch(await readRecord(git.folder), branch, over));
      logger.info("Ended a preview", {
        repository: `${repository.metadata?.namespace}/${repository.metadata?.name}`,
        branch,
      });
      onChange(repository);
    }
  }
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

/** What is deployed goes with its repository. */
export function ownerOf({ metadata }: RepositoryObject): OwnerReference {
  const { name = "", uid = "" } = metadata ?? {};
  return { apiVersion: `${deliveryGroup}/v1alpha1`, kind: "Repository", name, uid };
}
