/**
 * An Ingress as routes of the proxy. networking.k8s.io/v1: Exact is the whole path, Prefix whole elements of it; the longest path wins, Exact before Prefix; `*.` is exactly one label; what matches no
 * rule goes to the default backend, where there is one. Each Ingress also answers at NAME.NAMESPACE.localhost.
 */
import type { HTTPIngressPath, Ingress, IngressBackend, IngressRule } from "#api/generated/types/networking-v1.ts";
import type { PathMatch, RouteConfig, RouteRule } from "#proxy/config/route.ts";

/** A backend that is a Service, and the cluster that stands for it. */
export type NamedBackend = { readonly cluster: string; readonly backend: NonNullable<IngressBackend["service"]> };

/** What an Ingress wants of the proxy. */
export type IngressRoutes = { readonly routes: readonly RouteConfig[]; readonly backends: readonly NamedBackend[] };

/** Below all rules, also those of other Ingresses. */
const DEFAULT_PRIORITY = -1;

export function routesOf(ingress: Ingress, listeners: readonly string[]): IngressRoutes {
  const { namespace = "", name = "", creationTimestamp } = ingress.metadata ?? {};
  const { rules = [], defaultBackend } = ingress.spec ?? {};
  const backends = new Map<string, NamedBackend>();
  const toRule = (backend: IngressBackend, path?: PathMatch) =>
    ruleOf(`ingress/${namespace}/${name}`, backend, path, backends);
  const common = { listeners, order: Date.parse(creationTimestamp ?? "1970-01-01T00:00:00Z") };
  const routes: RouteConfig[] = [];
  const add = (host: string, kind: "rules" | "default", made: readonly RouteRule[]) => {
    if (made.length === 0) return;
    const priority = kind === "default" ? { priority: DEFAULT_PRIORITY } : {};
    routes.push({
      ...common,
      ...priority,
      name: `ingress/${namespace}/${name}/${host}/${kind}`,
      hosts: [host],
      rules: made,
    });
  };
  const own = `${name}.${namespace}.localhost`;
  const byHost = Map.groupBy(rules, ({ host = "" }) => (host === "" ? "*" : host));
  for (const [host, some] of byHost)
    add(
      host,
      "rules",
      some.flatMap((rule) => pathRules(rule, toRule)),
    );
  if (!byHost.has(own))
    add(
      own,
      "rules",
      rules.flatMap((rule) => pathRules(rule, toRule)),
    );
  if (defaultBackend !== undefined)
    for (const host of new Set([...byHost.keys(), own, "*"])) add(host, "default", [toRule(defaultBackend)]);
  return { routes, backends: [...backends.values()] };
}

/** A rule without paths says that all of its host goes to the default backend, which does so anyway. */
function pathRules(rule: IngressRule, toRule: (backend: IngressBackend, path: PathMatch) => RouteRule): RouteRule[] {
  return (rule.http?.paths ?? []).map((path) => toRule(path.backend, pathMatch(path)));
}

function pathMatch({ path = "", pathType }: HTTPIngressPath): PathMatch {
  // What ImplementationSpecific means is ours to say: as Prefix.
  return { kind: pathType === "Exact" ? "exact" : "prefix", value: path === "" ? "/" : path };
}

function ruleOf(
  ingress: string,
  { service }: IngressBackend,
  path: PathMatch | undefined,
  backends: Map<string, NamedBackend>,
): RouteRule {
  const matches = path === undefined ? {} : { matches: [{ path }] };
  // Nothing here knows what else an object might be as a backend.
  if (service === undefined)
    return { ...matches, action: { kind: "respond", status: 503, body: "the backend is no Service" } };
  const cluster = `${ingress}/${service.name}:${service.port?.name ?? service.port?.number ?? ""}`;
  backends.set(cluster, { cluster, backend: service });
  return { ...matches, action: { kind: "forward", backends: [{ cluster }] } };
}
