/**
 * The Revision that a Configuration's template stands for, and whether a name that the user gave it is free.
 */
import type { Lister } from "#client/informer.ts";
import { isControlledBy } from "#apimachinery/owner-references.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { formatTime } from "#apimachinery/time.ts";
import { childName } from "#knative/names.ts";
import { ownedMeta } from "#knative/objects.ts";
import type { Configuration, Revision } from "#serving/kinds.ts";
import { annotations as keys, labels } from "#serving/names.ts";

/** How a revision is used: by a route, by none yet, by none any more. */
export type RoutingState = "pending" | "active" | "reserve";

/** The Revision of the Configuration's present generation. */
export function revisionOf(configuration: Configuration, nowMs: number): Revision {
  const { name = "", generation = 0, uid = "", labels: own, annotations } = configuration.metadata ?? {};
  const { metadata, spec } = configuration.spec?.template ?? {};
  const routes = annotations?.[keys.routes];
  const creator = annotations?.[keys.lastModifier];
  const state: RoutingState = routes === undefined ? "pending" : "active";
  const [service, serviceUid] = [own?.[labels.service], own?.[labels.serviceUid]];
  return {
    apiVersion: "serving.knative.dev/v1",
    kind: "Revision",
    metadata: ownedMeta(configuration, {
      name: metadata?.name || childName(name, `-${String(generation).padStart(5, "0")}`),
      labels: {
        ...metadata?.labels,
        [labels.configuration]: name,
        [labels.configurationGeneration]: String(generation),
        [labels.configurationUid]: uid,
        ...(service === undefined ? {} : { [labels.service]: service }),
        ...(serviceUid === undefined ? {} : { [labels.serviceUid]: serviceUid }),
        [labels.routingState]: state,
      },
      annotations: {
        ...metadata?.annotations,
        ...(creator === undefined ? {} : { [keys.creator]: creator }),
        ...(routes === undefined ? {} : { [keys.routes]: routes }),
        [keys.routingStateModified]: formatTime(nowMs),
      },
    }),
    ...(spec === undefined ? {} : { spec }),
  };
}

/** Which Revision has the name that the template gives: none, the right one, or one that is in the way. */
export function findNamed(
  configuration: Configuration,
  revisions: Lister<Revision>,
): { readonly kind: "unnamed" | "free" | "taken" } | { readonly kind: "found"; readonly revision: Revision } {
  const { template } = configuration.spec ?? {};
  const name = template?.metadata?.name ?? "";
  if (name === "") return { kind: "unnamed" };
  const revision = revisions.find(configuration.metadata?.namespace ?? "", name);
  if (revision === undefined) return { kind: "free" };
  if (!isControlledBy(revision, configuration)) return { kind: "taken" };
  const generation = revision.metadata?.labels?.[labels.configurationGeneration];
  if (generation === String(configuration.metadata?.generation)) return { kind: "found", revision };
  // A roll-back to the template of an older revision finds that.
  return semanticEqual(template?.spec, revision.spec) ? { kind: "found", revision } : { kind: "taken" };
}

/** True when another Revision has the template's name. */
export function isRevisionNameTaken(configuration: Configuration, revisions: Lister<Revision>): boolean {
  return findNamed(configuration, revisions).kind === "taken";
}

/** The Configuration's generation that a revision was made of. */
export function generationOf(revision: Revision): number {
  return Number(revision.metadata?.labels?.[labels.configurationGeneration] ?? Number.NaN);
}
