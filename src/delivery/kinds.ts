/**
 * The kind Repository as TypeScript sees it: a Git repository that the cluster keeps, and what a push to it deploys. The API server knows it by its CustomResourceDefinition (`crds/`);
 * everything optional there is optional here.
 */
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";

/** Our own group. */
export const deliveryGroup = "nodeless.dev";

export const repositories: GroupVersionResource = {
  group: deliveryGroup,
  version: "v1alpha1",
  resource: "repositories",
};

/** Deployed when nothing else is said. */
export const defaultBranch = "main";

/** A key of a Secret beside the repository. */
export type SecretKey = { readonly name: string; readonly key?: string };

/** Branches besides the one that is live, each at an address of its own. */
export type Previews = {
  /** Names, `*` for any characters: "feature/*". Default: all. None in the list: no previews. */
  readonly branches?: readonly string[];
  /** How long one lives after its last push: "72h". */
  readonly timeToLive?: string;
};

/** A Git host outside that tells of pushes. */
export type Webhook = {
  readonly provider?: "github" | "gitlab" | "gitea";
  /** What is fetched when it tells. */
  readonly url?: string;
  /** What it signs with. The Secret's `username` and `password`, where it has them, are for fetching. */
  readonly secretRef?: SecretKey;
  /** Whose rights such a deployment has. Default: "default". */
  readonly serviceAccountName?: string;
};

export type RepositorySpec = {
  /** The branch that is live. */
  readonly branch?: string;
  /** The folder of the tree that is deployed; its root unless said otherwise. */
  readonly path?: string;
  readonly previews?: Previews;
  /** How long a deployment may take until it is ready. */
  readonly timeoutSeconds?: number;
  /** Largest push, as a quantity. */
  readonly maxPushSize?: string | number;
  /** Largest sum of all pushes. */
  readonly maxSize?: string | number;
  readonly webhook?: Webhook;
};

export type RepositoryCondition = {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly lastTransitionTime?: string;
  readonly reason?: string;
  readonly message?: string;
};

/** What is deployed of a branch. */
export type BranchStatus = {
  readonly name: string;
  readonly commit: string;
  /** Who pushed it. */
  readonly user?: string;
  readonly deployedAt?: string;
  readonly urls?: readonly string[];
  /** When a preview ends. */
  readonly expiresAt?: string;
};

/** The last push, also one that was refused. */
export type LastPush = {
  readonly branch: string;
  readonly commit: string;
  readonly user?: string;
  readonly time?: string;
  readonly outcome: "Deployed" | "Stored" | "Removed" | "Rejected";
  readonly message?: string;
};

/** A push that was taken. */
export type TakenPush = {
  /** Counts the pushes of a repository, from 1. */
  readonly number: number;
  readonly branch: string;
  readonly commit: string;
  /** What the branch was before; absent: it is new. */
  readonly before?: string;
  readonly user?: string;
  readonly time?: string;
};

/** What came from an outside host. */
export type WebhookCounts = {
  readonly accepted: number;
  /** Not signed as they should be, or wrong otherwise. */
  readonly refused: number;
  /** Signed well, but taken before. */
  readonly repeated: number;
  readonly lastRefusal?: string;
};

export type RepositoryStatus = {
  readonly observedGeneration?: number;
  readonly conditions?: readonly RepositoryCondition[];
  /** For `git remote add`, from this machine. */
  readonly url?: string;
  /** The same for pods; takes a token. */
  readonly podUrl?: string;
  /** Where an outside host tells of pushes. */
  readonly webhookUrl?: string;
  readonly branches?: readonly BranchStatus[];
  readonly lastPush?: LastPush;
  /** The last 50 that were taken, oldest first. */
  readonly pushes?: readonly TakenPush[];
  readonly webhook?: WebhookCounts;
};

/** A Git repository whose pushes are deployments. */
export type RepositoryObject = KubeObject & { readonly spec?: RepositorySpec; readonly status?: RepositoryStatus };

/** Somebody, as authentication knows him. */
export type DeliveryUser = { readonly name: string; readonly uid?: string; readonly groups: readonly string[] };

/** The branch that is live. */
export function liveBranch(repository: RepositoryObject): string {
  return repository.spec?.branch ?? defaultBranch;
}
