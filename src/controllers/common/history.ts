/**
 * Revisions of pod templates, kept as ControllerRevisions: what StatefulSets and DaemonSets roll out, and what `kubectl rollout history|undo` reads.
 */
import type { ControllerRevision } from "#api/generated/types/apps-v1.ts";
import type { PodTemplateSpec } from "#api/generated/types/core-v1.ts";
import type { Json, KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { ensureDeleted } from "#client/find-object.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { templateHash } from "./hash.ts";
import { controllerReference } from "#apimachinery/owner-references.ts";
import { controllerRevisions } from "./resources.ts";

/** What {@link ensureRevision} needs. */
export type RevisionOptions = {
  readonly client: Client;
  readonly owner: KubeObject;
  readonly template: PodTemplateSpec | undefined;
  /** The owner's revisions so far, in any order. */
  readonly existing: readonly ControllerRevision[];
  /** Label of a revision that holds its hash. */
  readonly hashLabel: string;
  readonly collisionCount: number;
  readonly signal: AbortSignal;
};

/** The revision of the owner's template; its number is the highest. `collisionCount` may have grown. */
export async function ensureRevision(
  options: RevisionOptions,
): Promise<{ readonly revision: ControllerRevision; readonly collisionCount: number }> {
  const { client, existing, signal, collisionCount } = options;
  const data = dataOf(options.template);
  const highest = Math.max(0, ...existing.map((one) => one.revision));
  const equal = byNumber(existing).findLast((one) => semanticEqual(one.data, data));
  if (equal === undefined) return await createRevision(options, data, highest + 1);
  if (equal.revision === highest) return { revision: equal, collisionCount };
  // Going back to an old template makes its revision the newest again.
  const { namespace = "", name = "" } = equal.metadata ?? {};
  const ref = { resource: controllerRevisions, namespace, name };
  const revision = await client.update<ControllerRevision>(ref, { ...equal, revision: highest + 1 }, { signal });
  return { revision, collisionCount };
}

/** Revisions by number, lowest first. */
export function byNumber(revisions: readonly ControllerRevision[]): readonly ControllerRevision[] {
  return [...revisions].sort((a, b) => a.revision - b.revision);
}

/** The template that a revision holds. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec {
  const data = revision.data as { readonly spec?: { readonly template?: object } } | undefined;
  const { $patch: _, ...template } = (data?.spec?.template ?? {}) as Record<string, unknown>;
  return template as PodTemplateSpec;
}

/** Deletes the oldest revisions beyond `limit` that are not in use. */
export async function pruneRevisions(
  client: Client,
  revisions: readonly ControllerRevision[],
  options: { readonly limit: number; readonly inUse: ReadonlySet<string>; readonly signal: AbortSignal },
): Promise<void> {
  const unused = byNumber(revisions).filter((one) => !options.inUse.has(one.metadata?.name ?? ""));
  for (const { metadata } of unused.slice(0, Math.max(0, unused.length - options.limit))) {
    const ref = { resource: controllerRevisions, namespace: metadata?.namespace ?? "", name: metadata?.name ?? "" };
    await ensureDeleted(client, ref, { signal: options.signal });
  }
}

async function createRevision(
  options: RevisionOptions,
  data: Json,
  number: number,
): Promise<{ readonly revision: ControllerRevision; readonly collisionCount: number }> {
  const { client, owner, signal } = options;
  const namespace = owner.metadata?.namespace ?? "";
  let { collisionCount } = options;
  for (;;) {
    const wanted = revisionFor(options, data, number, collisionCount);
    try {
      const revision = await client.create<ControllerRevision>({ resource: controllerRevisions, namespace }, wanted, {
        signal,
      });
      return { revision, collisionCount };
    } catch (error) {
      if (!hasReason(error, "AlreadyExists")) throw error;
      const ref = { resource: controllerRevisions, namespace, name: wanted.metadata?.name ?? "" };
      const taken = await client.get<ControllerRevision>(ref, { signal });
      if (semanticEqual(taken.data, data)) return { revision: taken, collisionCount };
      collisionCount++;
    }
  }
}

function revisionFor(options: RevisionOptions, data: Json, number: number, collisionCount: number): ControllerRevision {
  const { owner, template, hashLabel } = options;
  const hash = templateHash(data, collisionCount);
  return {
    apiVersion: "apps/v1",
    kind: "ControllerRevision",
    metadata: {
      name: `${(owner.metadata?.name ?? "").slice(0, 223)}-${hash}`,
      namespace: owner.metadata?.namespace ?? "",
      labels: { ...template?.metadata?.labels, [hashLabel]: hash },
      annotations: owner.metadata?.annotations ?? {},
      ownerReferences: [controllerReference(owner)],
    },
    data,
    revision: number,
  };
}

/** A strategic merge patch that brings the template back. */
function dataOf(template: PodTemplateSpec | undefined): Json {
  return { spec: { template: { ...(template as { readonly [key: string]: Json }), $patch: "replace" } } };
}
