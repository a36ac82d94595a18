/**
 * The Ingress that tells data planes of a Route: hosts, revisions with their weights, and the headers that say which it was. As upstream's
 * `pkg/reconciler/route/resources/ingress.go` (v1.23).
 */
import { lastApplied, ownedMeta, without } from "#knative/objects.ts";
import type { ServingConfig } from "#serving/config/config-store.ts";
import type { Ingress, IngressPath, IngressRule, IngressSplit, Route } from "#serving/kinds.ts";
import { annotations as keys, labels } from "#serving/names.ts";
import { clusterHosts, publicHost } from "./hosts.ts";
import type { ConfigurationRollout, Rollout } from "./rollout.ts";
import { defaultTag, type RevisionTarget } from "./traffic.ts";

/** The class of Ingresses that nodeless' own data plane follows. */
export const ingressClass = "nodeless.ingress.networking.knative.dev";

/** Headers on every request to a revision. */
const revisionHeader = "Knative-Serving-Revision";
const namespaceHeader = "Knative-Serving-Namespace";
/** With tag-header-based-routing: which tag is asked for, and that it was the default. */
const tagHeader = "Knative-Serving-Tag";
const defaultRouteHeader = "Knative-Serving-Default-Route";
const httpPort = 80;

/** What an Ingress is made of, beside its Route. */
export type IngressParts = {
  readonly byTag: ReadonlyMap<string, readonly RevisionTarget[]>;
  /** Tags that are for the cluster alone. */
  readonly clusterLocal: ReadonlySet<string>;
  readonly rollout: Rollout;
  readonly config: ServingConfig;
};

/** The Ingress of a route. */
export function ingressOf(route: Route, parts: IngressParts): Ingress {
  const { name = "", namespace = "", labels: own, annotations } = route.metadata ?? {};
  return {
    apiVersion: "networking.internal.knative.dev/v1alpha1",
    kind: "Ingress",
    metadata: ownedMeta(route, {
      name,
      labels: { ...own, [labels.route]: name, [labels.routeNamespace]: namespace },
      annotations: {
        [keys.ingressClass]: ingressClass,
        ...without(annotations, (key) => key === lastApplied),
        [keys.rollout]: JSON.stringify(parts.rollout),
      },
    }),
    spec: { httpOption: "Enabled", rules: rulesOf(route, parts) },
  };
}

function rulesOf(route: Route, parts: IngressParts): readonly IngressRule[] {
  return [...parts.byTag.keys()].toSorted().flatMap((tag) => {
    const inside: IngressRule = {
      hosts: clusterHosts(route, tag, parts.config),
      visibility: "ClusterLocal",
      http: { paths: pathsOf(route, tag, parts) },
    };
    if (parts.clusterLocal.has(tag)) return [inside];
    return [inside, { ...inside, hosts: [publicHost(route, tag, parts.config)], visibility: "ExternalIP" }];
  });
}

function pathsOf(route: Route, tag: string, parts: IngressParts): readonly IngressPath[] {
  const splits = splitsOf(route, tag, parts);
  if (parts.config.features["tag-header-based-routing"] !== "Enabled") return [{ splits }];
  if (tag !== defaultTag) return [{ splits, appendHeaders: { [tagHeader]: tag } }];
  const tagged = [...parts.byTag.keys()]
    .filter((other) => other !== defaultTag)
    .toSorted()
    .map((other) => ({ splits: splitsOf(route, other, parts), headers: { [tagHeader]: { exact: other } } }));
  return [...tagged, { splits, appendHeaders: { [defaultRouteHeader]: "true" } }];
}

function splitsOf({ metadata }: Route, tag: string, { byTag, rollout }: IngressParts): readonly IngressSplit[] {
  const namespace = metadata?.namespace ?? "";
  const split = (revision: string, percent: number): IngressSplit => ({
    serviceName: revision,
    serviceNamespace: namespace,
    servicePort: httpPort,
    percent,
    appendHeaders: { [revisionHeader]: revision, [namespaceHeader]: namespace },
  });
  return (byTag.get(tag) ?? [])
    .filter(({ percent }) => percent > 0)
    .flatMap((target) => {
      const shares = sharesOf(target, tag, rollout);
      return shares === undefined
        ? [split(target.revisionName, target.percent)]
        : shares.revisions.map(({ revisionName, percent }) => split(revisionName, percent));
    });
}

/** How a target's share is divided while its latest revision is rolled out. */
export function sharesOf(target: RevisionTarget, tag: string, rollout: Rollout): ConfigurationRollout | undefined {
  if (!target.isLatest) return undefined;
  const found = rollout.find((one) => one.tag === tag && one.configurationName === target.configurationName);
  return found === undefined || found.revisions.length < 2 ? undefined : found;
}

/** The rollout without steps: every latest revision has all of its Configuration's share. */
export function goalOf(byTag: ReadonlyMap<string, readonly RevisionTarget[]>): Rollout {
  return [...byTag.keys()].toSorted().flatMap((tag) =>
    (byTag.get(tag) ?? [])
      .filter(({ isLatest, percent }) => isLatest && percent > 0)
      .map(({ configurationName, revisionName, percent }) => ({
        configurationName,
        tag,
        percent,
        revisions: [{ revisionName, percent }],
      }))
      .toSorted((a, b) => (a.configurationName < b.configurationName ? -1 : 1)),
  );
}
