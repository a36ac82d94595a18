/**
 * From what a Route's spec says to which revisions take which share: at the route's own host, and at that of each tag. As upstream's `pkg/reconciler/route/traffic` (v1.23).
 */
import type { Lister } from "#client/informer.ts";
import { findCondition, isFalse, isUnknown, type Mark } from "#knative/conditions.ts";
import { isReady } from "#knative/objects.ts";
import type { Configuration, Revision, Route, TrafficTarget } from "#serving/kinds.ts";
import { labels } from "#serving/names.ts";
import { protocolOf } from "#serving/revision/deployment-of.ts";

/** The route's own host, where tags are names of hosts. */
export const defaultTag = "";

/** A target whose revision is known and ready. */
export type RevisionTarget = {
  readonly tag: string;
  readonly revisionName: string;
  /** "" for a revision of no Configuration. */
  readonly configurationName: string;
  readonly isLatest: boolean;
  readonly percent: number;
  readonly protocol: "http1" | "h2c";
};

/** Where all traffic goes, or why it goes nowhere. */
export type TrafficPlan =
  | {
      readonly kind: "assigned";
      /** As in the spec, equal ones merged: for the status. */
      readonly targets: readonly RevisionTarget[];
      /** By tag, each revision once, adding up to 100. */
      readonly byTag: ReadonlyMap<string, readonly RevisionTarget[]>;
    }
  | { readonly kind: "refused"; readonly mark: Mark };

/** Where objects are looked up. */
export type TrafficListers = {
  readonly configurations: Lister<Configuration>;
  readonly revisions: Lister<Revision>;
};

type Found = { readonly target: RevisionTarget } | { readonly mark: Mark };

/** Plans a route's traffic. Of several targets that cannot be, one that never will goes before one that may yet. */
export function planTraffic(route: Route, listers: TrafficListers): TrafficPlan {
  const found = (route.spec?.traffic ?? []).map((target) => find(route, target, listers));
  const marks = found.flatMap((one) => ("mark" in one ? [one.mark] : []));
  const mark = marks.findLast(({ status }) => status === "False") ?? marks[0];
  if (mark !== undefined) return { kind: "refused", mark };
  const targets = found.flatMap((one) => ("target" in one ? [one.target] : []));
  return { kind: "assigned", targets: merged(targets), byTag: byTag(targets) };
}

function find(route: Route, target: TrafficTarget, listers: TrafficListers): Found {
  const namespace = route.metadata?.namespace ?? "";
  if (target.revisionName) return findRevision(route, target, listers);
  const name = target.configurationName ?? "";
  const configuration = listers.configurations.find(namespace, name);
  if (configuration === undefined) return { mark: missing("Configuration", name) };
  const latest = configuration.status?.latestReadyRevisionName ?? "";
  if (latest === "") return { mark: notReadyConfiguration(configuration) };
  const revision = listers.revisions.find(namespace, latest);
  if (revision === undefined) return { mark: missing("Revision", latest) };
  return isReady(revision) ? { target: targetOf(target, revision) } : { mark: notReadyRevision(revision) };
}

function findRevision(route: Route, target: TrafficTarget, listers: TrafficListers): Found {
  const name = target.revisionName ?? "";
  const revision = listers.revisions.find(route.metadata?.namespace ?? "", name);
  if (revision === undefined) return { mark: missing("Revision", name) };
  const service = route.metadata?.labels?.[labels.service] ?? "";
  const other = revision.metadata?.labels?.[labels.service] ?? "";
  if (service !== "" && service !== other) return { mark: notOwned(name, service, other) };
  return isReady(revision) ? { target: targetOf(target, revision) } : { mark: notReadyRevision(revision) };
}

function targetOf(target: TrafficTarget, revision: Revision): RevisionTarget {
  const { name = "", labels: own } = revision.metadata ?? {};
  return {
    tag: target.tag ?? defaultTag,
    revisionName: name,
    configurationName: target.configurationName || (own?.[labels.configuration] ?? ""),
    isLatest: target.latestRevision ?? !target.revisionName,
    percent: target.percent ?? 0,
    protocol: protocolOf(revision),
  };
}

function missing(kind: string, name: string): Mark {
  return isFalse(`${kind}Missing`, `${kind} ${JSON.stringify(name)} referenced in traffic not found.`);
}

function notOwned(revision: string, service: string, other: string): Mark {
  const quoted = JSON.stringify(revision);
  const why =
    other === ""
      ? `Revision ${quoted} does not belong to Service ${JSON.stringify(service)}.`
      : `Revision ${quoted} belongs to Service ${JSON.stringify(other)}, not Service ${JSON.stringify(service)}.`;
  return isFalse("RevisionNotOwned", why);
}

function notReadyConfiguration({ metadata, status }: Configuration): Mark {
  const quoted = JSON.stringify(metadata?.name);
  return findCondition(status?.conditions, "Ready")?.status === "False"
    ? isFalse("RevisionMissing", `Configuration ${quoted} does not have any ready Revision.`)
    : isUnknown("RevisionMissing", `Configuration ${quoted} is waiting for a Revision to become ready.`);
}

function notReadyRevision({ metadata, status }: Revision): Mark {
  const quoted = JSON.stringify(metadata?.name);
  return findCondition(status?.conditions, "Ready")?.status === "False"
    ? isFalse("RevisionMissing", `Revision ${quoted} failed to become ready.`)
    : isUnknown("RevisionMissing", `Revision ${quoted} is not yet ready.`);
}

function merged(targets: readonly RevisionTarget[]): readonly RevisionTarget[] {
  return sumBy(targets, ({ tag, revisionName, isLatest }) => JSON.stringify([tag, revisionName, isLatest]));
}

function byTag(targets: readonly RevisionTarget[]): ReadonlyMap<string, readonly RevisionTarget[]> {
  const tags = new Map<string, readonly RevisionTarget[]>([[defaultTag, targets]]);
  for (const { tag } of targets)
    if (tag !== defaultTag)
      tags.set(
        tag,
        targets.filter((target) => target.tag === tag),
      );
  return new Map([...tags].map(([tag, of]) => [tag, consolidated(of)]));
}

/** Each revision once. A single one takes all, whatever its share of the route is: at a tag's host there is nobody else. */
function consolidated(targets: readonly RevisionTarget[]): readonly RevisionTarget[] {
  const sums = sumBy(targets, ({ revisionName }) => revisionName);
  const [only] = sums;
  return sums.length === 1 && only !== undefined ? [{ ...only, percent: 100 }] : sums;
}

function sumBy(
  targets: readonly RevisionTarget[],
  keyOf: (target: RevisionTarget) => string,
): readonly RevisionTarget[] {
  const sums = new Map<string, RevisionTarget>();
  for (const target of targets) {
    const known = sums.get(keyOf(target));
    sums.set(keyOf(target), known === undefined ? target : { ...known, percent: known.percent + target.percent });
  }
  return [...sums.values()];
}
