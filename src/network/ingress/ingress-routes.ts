/**
 * An Ingress as routes of the proxy. networking.k8s.io/v1: Exact is the whole path, Prefix whole elements of it; the longest path wins, Exact before Prefix; `*.` is exactly one label; what matches no
 * rule goes to the default backend, where there is one. Each Ingress also answers at NAME.NAMESPACE.localhost, unless somebody wrote that host down for something else.
 */
import type { HTTPIngressPath, Ingress, IngressBackend, IngressRule } from "#api/generated/types/networking-v1.ts";
import type { PathChange, PathMatch, RouteAction, RouteConfig, RouteRule } from "#proxy/config/route.ts";
import { isSafeRegex } from "#proxy/routing/regex.ts";
import type { IngressSettings } from "./ingress-annotations.ts";

/** A backend that is a Service, and the cluster that stands for it. */
export type NamedBackend = { readonly cluster: string; readonly backend: NonNullable<IngressBackend["service"]> };

/** What an Ingress wants of the proxy. */
export type IngressRoutes = { readonly routes: readonly RouteConfig[]; readonly backends: readonly NamedBackend[] };

/** Where routes are served. */
export type IngressListeners = {
  /** Names of listeners. */
  readonly http: string;
  readonly https: string;
  /** Where clients reach the second; undefined while it is not open, or at the usual port. */
  readonly httpsPort?: number | undefined;
};

/** What follows from a name comes after what was written down; default backends come after all rules, also those of other Ingresses. */
const priorities = { rules: {}, implied: { priority: -1 }, default: { priority: -2 } } as const;
/** As ingress-nginx: 308 keeps the method. */
const redirectStatus = 308;

export function routesOf(ingress: Ingress, settings: IngressSettings, listeners: IngressListeners): IngressRoutes {
  const writer = new RouteWriter(ingress, settings, listeners);
  const { rules = [], defaultBackend } = ingress.spec ?? {};
  const { namespace = "", name = "" } = ingress.metadata ?? {};
  const own = `${name}.${namespace}.localhost`;
  const byHost = Map.groupBy(rules, ({ host = "" }) => (host === "" ? "*" : host));
  for (const [host, some] of byHost) writer.add(host, "rules", some);
  if (!byHost.has(own)) writer.add(own, "implied", rules);
  if (defaultBackend !== undefined)
    for (const host of new Set([...byHost.keys(), own, "*"])) writer.add(host, "default", defaultBackend);
  return { routes: writer.routes, backends: [...writer.backends.values()] };
}

class RouteWriter {
  readonly routes: RouteConfig[] = [];
  readonly backends = new Map<string, NamedBackend>();
  readonly #prefix: string;
  readonly #order: number;
  readonly #ingress: Ingress;
  readonly #settings: IngressSettings;
  readonly #listeners: IngressListeners;

  constructor(ingress: Ingress, settings: IngressSettings, listeners: IngressListeners) {
    const { namespace = "", name = "", creationTimestamp } = ingress.metadata ?? {};
    this.#prefix = `ingress/${namespace}/${name}`;
    this.#order = Date.parse(creationTimestamp ?? "1970-01-01T00:00:00Z");
    this.#ingress = ingress;
    this.#settings = settings;
    this.#listeners = listeners;
  }

  add(host: string, kind: keyof typeof priorities, what: readonly IngressRule[] | IngressBackend): void {
    const { http, https } = this.#listeners;
    const made = isRules(what) ? what.flatMap((rule) => this.#rules(rule)) : [this.#rule(what, undefined)];
    if (made.length === 0) return;
    const common = { hosts: [host], order: this.#order, ...priorities[kind] };
    const name = `${this.#prefix}/${host}/${kind}`;
    if (!this.#redirectsToTls(host))
      return void this.routes.push({ ...common, name, listeners: [http, https], rules: made });
    const action = { kind: "redirect", scheme: "https", status: redirectStatus, ...this.#tlsPort() } as const;
    const redirects = made.map(({ matches }) => (matches === undefined ? { action } : { matches, action }));
    this.routes.push({ ...common, name: `${name}/redirect`, listeners: [http], rules: redirects });
    this.routes.push({ ...common, name, listeners: [https], rules: made });
  }

  #tlsPort(): { readonly port?: number } {
    const { httpsPort } = this.#listeners;
    return httpsPort === undefined ? {} : { port: httpsPort };
  }

  #redirectsToTls(host: string): boolean {
    const { redirectsToTls, redirectsAllToTls } = this.#settings;
    if (redirectsAllToTls) return true;
    return (
      redirectsToTls &&
      (this.#ingress.spec?.tls ?? []).some(
        ({ hosts = [] }) => hosts.length === 0 || hosts.some((one) => covers(one, host)),
      )
    );
  }

  /** A rule without paths says that all of its host goes to the default backend, which does so anyway. */
  #rules(rule: IngressRule): RouteRule[] {
    const { appRoot } = this.#settings;
    const paths = (rule.http?.paths ?? []).map((path) => ({ path: this.#pathMatch(path), backend: path.backend }));
    const rules = paths
      // One that cannot be read is told of, and the others are served.
      .filter(({ path }) => path.kind !== "regex" || isSafeRegex(path.value))
      .map(({ path, backend }) => this.#rule(backend, path));
    if (appRoot === undefined || rules.length === 0) return rules;
    const action = { kind: "redirect", path: { kind: "full", value: appRoot } } as const;
    return [{ matches: [{ path: { kind: "exact", value: "/" } }], action }, ...rules];
  }

  #pathMatch({ path = "", pathType }: HTTPIngressPath): PathMatch {
    const value = path === "" ? "/" : path;
    if (pathType === "Exact") return { kind: "exact", value };
    if (wantsRegex(value, this.#settings)) return { kind: "regex", value: pathExpression(value) };
    // What ImplementationSpecific means is ours to say: as Prefix, with the star that others want at its end.
    if (pathType === "ImplementationSpecific" && value.endsWith("/*"))
      return { kind: "prefix", value: value.slice(0, -1) };
    return { kind: "prefix", value };
  }

  #rule(backend: IngressBackend, path: PathMatch | undefined): RouteRule {
    const { maxBodyBytes, idleMs } = this.#settings;
    return {
      ...(path === undefined ? {} : { matches: [{ path }] }),
      action: this.#action(backend),
      ...this.#rewrite(path),
      ...(maxBodyBytes === undefined ? {} : { maxBodyBytes }),
      ...(idleMs === undefined ? {} : { timeouts: { idleMs } }),
    };
  }

  #action({ service }: IngressBackend): RouteAction {
    const { refusal, redirect } = this.#settings;
    if (refusal !== undefined) return { kind: "respond", status: 503, body: refusal };
    if (redirect !== undefined)
      return { kind: "respond", status: redirect.status, fields: [["location", redirect.url]] };
    // Nothing here knows what else an object might be as a backend.
    if (service === undefined) return { kind: "respond", status: 503, body: "the backend is no Service" };
    const cluster = `${this.#prefix}/${service.name}:${service.port?.name || (service.port?.number ?? "")}`;
    this.backends.set(cluster, { cluster, backend: service });
    return { kind: "forward", backends: [{ cluster }] };
  }

  #rewrite(path: PathMatch | undefined): Pick<RouteRule, "rewrite"> {
    const { rewriteTarget, upstreamHost } = this.#settings;
    if (rewriteTarget === undefined && upstreamHost === undefined) return {};
    const change = path === undefined ? undefined : pathChange(path, rewriteTarget);
    return {
      rewrite: {
        ...(upstreamHost === undefined ? {} : { authority: upstreamHost }),
        ...(change === undefined ? {} : { path: change }),
      },
    };
  }
}

/** The regular expression for a path of ingress-nginx: its beginning, whatever the case. */
export function pathExpression(path: string): string {
  return `(?i:${path})(?s:.*)`;
}

/** As ingress-nginx: the target is the whole path, and one that is the rule's own path changes nothing. */
function pathChange(path: PathMatch, target: string | undefined): PathChange | undefined {
  if (target === undefined || target === path.value) return undefined;
  if (path.kind === "regex") return { kind: "captures", value: target };
  return { kind: "full", value: target.replaceAll(/\$[0-9]/g, "") };
}

/** As ingress-nginx: whoever rewrites means an expression. A path that can be read as it stands stays whole elements. */
export function wantsRegex(path: string, settings: Pick<IngressSettings, "usesRegex" | "rewriteTarget">): boolean {
  const { usesRegex, rewriteTarget } = settings;
  return (usesRegex || rewriteTarget !== undefined) && !/^[A-Za-z0-9/._~%-]*$/.test(path);
}

function isRules(what: readonly IngressRule[] | IngressBackend): what is readonly IngressRule[] {
  return Array.isArray(what);
}

/** A wildcard stands for one label. */
function covers(certified: string, host: string): boolean {
  return certified === host || (certified.startsWith("*.") && host.slice(host.indexOf(".")) === certified.slice(1));
}
