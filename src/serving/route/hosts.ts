/**
 * Under which hosts a route answers. `http://NAME.NAMESPACE.localhost` for everybody on the machine, the name of its Service within the cluster.
 */
import type { ServingConfig } from "#serving/config/config-store.ts";
import { domainFor, fillTemplate } from "#serving/config/other-configs.ts";
import type { Route } from "#serving/kinds.ts";
import { labels } from "#serving/names.ts";

const clusterDomain = "cluster.local";
/** A route under this domain is for the cluster alone. */
const clusterServices = `svc.${clusterDomain}`;

/** First part of the host of a tag, and name of the Service behind it. */
export function hostName(route: Route, tag: string, { network }: ServingConfig): string {
  const name = route.metadata?.name ?? "";
  return tag === "" ? name : fillTemplate(network.tagTemplate, { Tag: tag, Name: name });
}

/** The host for everybody. */
export function publicHost(route: Route, tag: string, config: ServingConfig): string {
  const { namespace = "", labels: own } = route.metadata ?? {};
  const domain = domainFor(config.domain, own);
  const Name = hostName(route, tag, config);
  return fillTemplate(config.network.domainTemplate, { Name, Namespace: namespace, Domain: domain });
}

/** The host within the cluster. */
export function clusterHost(route: Route, tag: string, config: ServingConfig): string {
  return `${hostName(route, tag, config)}.${route.metadata?.namespace ?? ""}.${clusterServices}`;
}

/** All ways to write the host within the cluster, the longest last. */
export function clusterHosts(route: Route, tag: string, config: ServingConfig): readonly string[] {
  const short = `${hostName(route, tag, config)}.${route.metadata?.namespace ?? ""}`;
  return [short, `${short}.svc`, `${short}.${clusterServices}`];
}

/** True for a route that says so, or whose domain is the cluster's own. */
export function isClusterLocal({ metadata }: Route, config: ServingConfig): boolean {
  const own = metadata?.labels;
  return own?.[labels.visibility] === "cluster-local" || domainFor(config.domain, own) === clusterServices;
}
