/**
 * One deployment of one commit of a branch, as the parts that carry it out see it.
 */
import type { OwnerReference } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import type { GitView } from "#delivery/git/git.ts";
import type { RepositoryObject } from "#delivery/kinds.ts";

export type Deployment = {
  readonly repository: RepositoryObject;
  readonly namespace: string;
  readonly branch: string;
  readonly commit: string;
  readonly isPreview: boolean;
  /** Lets Git see objects of a push that is not taken yet. */
  readonly view: GitView;
  /** Has the rights of whoever pushed. */
  readonly client: Client;
  /** Has our own: for following what is written. */
  readonly ownClient: Client;
  /** What is deployed goes with its repository. */
  readonly owner: OwnerReference;
  /** Lines for whoever pushed. */
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
};
