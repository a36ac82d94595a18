/**
 * From API objects to the engine's configuration, pure: an Ingress becomes a route per rule, each revision that some Ingress names becomes a cluster. Requests for a revision without a pod are held.
 */
import type { ClusterConfig, EndpointConfig } from "#proxy/config/cluster.ts";
import type { Backend, FieldPair, RedirectAction, RouteConfig, RouteRule, Timeouts } from "#proxy/config/route.ts";
import type { Ingress, IngressPath, IngressRule, IngressSplit, Revision } from "#serving/kinds.ts";
import { protocolOf } from "#serving/revision/deployment-of.ts";

/** Name of the hold that waits for a revision's first endpoint. */
export const revisionHold = "serving";

/** Where routes are served: to everybody on the machine, with TLS and without, to the cluster, and to other nodes' data planes. */
export type ServingListeners = {
  readonly open: string;
  readonly secure: string;
  /** Where clients reach the listener with TLS, when it is not the usual port: redirects lead there. */
  readonly securePort?: number;
  readonly local: string;
  readonly peer?: string;
};

/** What is known of a revision. */
export type RevisionView = {
  readonly revision: Revision | undefined;
  readonly endpoints: readonly EndpointConfig[];
};

/** Requests that may wait for a place in a pod, or for a pod. */
const maxWaiting = 10_000;
const defaultTimeoutSeconds = 300;
/** Tries on other pods after the first, where that is safe. */
const retries = 5;

/** With what the names of revisions' clusters begin. */
export const clusterPrefix = "serving/";

/** The same of the clusters of this node's own pods, where there are several nodes. */
export const ownPrefix = "serving-own/";

/** Name of a revision's cluster. */
export function clusterName(namespace: string, revision: string): string {
  return `${clusterPrefix}${namespace}/${revision}`;
}

/** Revisions to which an Ingress leads, as "namespace/name". */
export function revisionsOf({ spec }: Ingress): readonly string[] {
  const splits = (spec?.rules ?? []).flatMap(({ http }) => http.paths.flatMap((path) => path.splits));
  return [...new Set(splits.map(({ serviceNamespace, serviceName }) => `${serviceNamespace}/${serviceName}`))];
}

/** A revision's cluster: its endpoints, and as many requests at once in each as its containerConcurrency allows. */
export function clusterOf(namespace: string, name: string, { revision, endpoints }: RevisionView): ClusterConfig {
  const limit = revision?.spec?.containerConcurrency ?? 0;
  const isH2c = revision !== undefined && protocolOf(revision) === "h2c";
  return {
    name: clusterName(namespace, name),
    endpoints,
    protocol: isH2c ? "http2" : "http1",
    maxWaiting,
    waitTimeoutMs: timeoutSeconds(revision) * 1000,
    ...(limit > 0 ? { maxRequestsPerEndpoint: limit } : {}),
  };
}

/** The pods of this node alone, each with as many requests at once as it may have: whoever wants one of them comes by here, so the count is whole. */
export function ownClusterOf(namespace: string, name: string, view: RevisionView): ClusterConfig {
  return { ...clusterOf(namespace, name, view), name: `${ownPrefix}${namespace}/${name}` };
}

/** What other data planes bring: the revision is in the fields that the first one has set. */
export function peerRouteOf(namespace: string, name: string, listener: string, revision: Revision): RouteConfig {
  const field = (field: string, value: string) => ({ name: `knative-serving-${field}`, kind: "exact" as const, value });
  const backend: Backend = { cluster: `${ownPrefix}${namespace}/${name}`, hold: revisionHold, holds: "unserved" };
  const rule: RouteRule = {
    matches: [{ fields: [field("namespace", namespace), field("revision", name)] }],
    action: { kind: "forward", backends: [backend] },
    timeouts: { requestMs: timeoutSeconds(revision) * 1000 },
    retry: { attempts: retries },
  };
  return { name: `serving-peer/${namespace}/${name}`, listeners: [listener], hosts: ["*"], rules: [rule] };
}

/** The routes of an Ingress. `view` tells of the revisions it names. */
export function routesOf(
  ingress: Ingress,
  listeners: ServingListeners,
  find: (key: string) => Revision | undefined,
): readonly RouteConfig[] {
  const { namespace = "", name = "" } = ingress.metadata ?? {};
  // Where others say the same about a host the older one counts.
  const order = Date.parse(ingress.metadata?.creationTimestamp ?? "1970-01-01T00:00:00Z");
  const certified = new Set((ingress.spec?.tls ?? []).flatMap(({ hosts }) => hosts).map((host) => host.toLowerCase()));
  const { open, secure, local } = listeners;
  return (ingress.spec?.rules ?? []).flatMap((rule, index) => {
    const rules = rulesOf(rule, find);
    const route = (suffix: string, of: { readonly listeners: readonly string[]; readonly hosts: readonly string[] }) =>
      of.hosts.length === 0 ? [] : [{ name: `serving/${namespace}/${name}/${index}${suffix}`, ...of, order, rules }];
    const hosts = rule.hosts.map((host) => host.toLowerCase());
    if (rule.visibility === "ClusterLocal") return route("", { listeners: [local], hosts });
    const withTls = hosts.filter((host) => certified.has(host));
    const plain = route("", { listeners: [open, local], hosts: hosts.filter((host) => !certified.has(host)) });
    if (ingress.spec?.httpOption !== "Redirected")
      return [...plain, ...route("/tls", { listeners: [open, secure, local], hosts: withTls })];
    const redirects = route("/redirect", { listeners: [open], hosts: withTls });
    return [
      ...plain,
      ...route("/tls", { listeners: [secure, local], hosts: withTls }),
      ...redirects.map((one) => ({ ...one, rules: [{ action: redirectTo(listeners.securePort) }] })),
    ];
  });
}

/** As upstream's data planes do it. */
function redirectTo(port: number | undefined): RedirectAction {
  return { kind: "redirect", scheme: "https", status: 301, ...(port === undefined ? {} : { port }) };
}

function rulesOf({ http }: IngressRule, find: (key: string) => Revision | undefined): readonly RouteRule[] {
  return http.paths.map((path) => {
    const fields = Object.entries(path.headers ?? {}).map(([name, { exact }]) => ({
      name: name.toLowerCase(),
      kind: "exact" as const,
      value: exact,
    }));
    const prefix =
      path.path === undefined || path.path === "" ? {} : { path: { kind: "prefix" as const, value: path.path } };
    return {
      ...(fields.length === 0 && path.path === undefined
        ? {}
        : { matches: [{ ...prefix, ...(fields.length === 0 ? {} : { fields }) }] }),
      action: { kind: "forward", backends: path.splits.map(backendOf) },
      ...changes(path.appendHeaders),
      ...(path.rewriteHost === undefined ? {} : { rewrite: { authority: path.rewriteHost } }),
      timeouts: timeoutsOf(path, find),
      retry: { attempts: retries },
      saysForwarded: true,
    };
  });
}

/** Whether there is a pod is the cluster's affair: routes are the same asleep and awake. */
function backendOf({ serviceNamespace, serviceName, percent = 100, appendHeaders }: IngressSplit): Backend {
  return {
    cluster: clusterName(serviceNamespace, serviceName),
    weight: percent,
    ...changes(appendHeaders),
    hold: revisionHold,
    holds: "unserved",
  };
}

function changes(headers: Readonly<Record<string, string>> | undefined): {
  readonly requestFields?: { readonly set: readonly FieldPair[] };
} {
  const set = Object.entries(headers ?? {}).map(([name, value]): FieldPair => [name.toLowerCase(), value]);
  return set.length === 0 ? {} : { requestFields: { set } };
}

/** A rule's splits share its times: the longest of their revisions'. */
function timeoutsOf({ splits }: IngressPath, find: (key: string) => Revision | undefined): Timeouts {
  const all = splits.map(({ serviceNamespace, serviceName }) => find(`${serviceNamespace}/${serviceName}`));
  const longest = (of: (revision: Revision | undefined) => number | undefined) => {
    const given = all.map(of);
    return given.length === 0 || given.some((seconds) => !seconds)
      ? undefined
      : Math.max(...given.map((seconds) => seconds ?? 0)) * 1000;
  };
  const start = longest((revision) => revision?.spec?.responseStartTimeoutSeconds);
  const idle = longest((revision) => revision?.spec?.idleTimeoutSeconds);
  return {
    requestMs: (all.length === 0 ? defaultTimeoutSeconds : Math.max(...all.map(timeoutSeconds))) * 1000,
    ...(start === undefined ? {} : { responseStartMs: start }),
    ...(idle === undefined ? {} : { idleMs: idle }),
  };
}

function timeoutSeconds(revision: Revision | undefined): number {
  return revision?.spec?.timeoutSeconds || defaultTimeoutSeconds;
}
