/**
 * One listener's routes. The host decides first: its exact name, then `*.` one label up, then `**.` upwards, then `*`; the rules of that host decide the rest, and those of others are not asked any
 * more. Changing a route rebuilds the hosts that it names and no other.
 */
import type { RouteConfig } from "#proxy/config/route.ts";
import type { RequestHead } from "#proxy/message/heads.ts";
import { compileRoute, type RuleEntry } from "./compiled-rule.ts";
import { HostRules } from "./host-rules.ts";
import type { RequestPath } from "./request-path.ts";

type KnownRoute = { readonly route: RouteConfig; readonly entries: readonly RuleEntry[] };

/** Finds the rule of a request. */
export class RouteTable {
  readonly #routes = new Map<string, KnownRoute>();
  readonly #namesByHost = new Map<string, Set<string>>();
  readonly #hosts = new Map<string, HostRules>();
  #hasWildcards = false;

  /** Puts the route in the place of the one with its name. */
  set(route: RouteConfig): void {
    const before = this.#routes.get(route.name)?.route.hosts ?? [];
    this.#routes.set(route.name, { route, entries: compileRoute(route) });
    for (const host of before) this.#namesByHost.get(host)?.delete(route.name);
    for (const host of route.hosts) {
      const names = this.#namesByHost.get(host) ?? new Set();
      this.#namesByHost.set(host, names.add(route.name));
    }
    this.#rebuild(new Set([...before, ...route.hosts]));
  }

  /** Removing one that is not there is no error. */
  remove(name: string): void {
    const known = this.#routes.get(name);
    if (known === undefined) return;
    this.#routes.delete(name);
    for (const host of known.route.hosts) this.#namesByHost.get(host)?.delete(name);
    this.#rebuild(new Set(known.route.hosts));
  }

  find(head: RequestHead, path: RequestPath): RuleEntry | undefined {
    return this.#findHost(hostOf(head.authority))?.find(head, path);
  }

  #rebuild(hosts: ReadonlySet<string>): void {
    for (const host of hosts) {
      const names = [...(this.#namesByHost.get(host) ?? [])];
      if (names.length === 0) {
        this.#namesByHost.delete(host);
        this.#hosts.delete(host);
      } else this.#hosts.set(host, new HostRules(names.flatMap((name) => this.#routes.get(name)?.entries ?? [])));
    }
    this.#hasWildcards = [...this.#hosts.keys()].some((host) => host.startsWith("*.") || host.startsWith("**."));
  }

  #findHost(host: string): HostRules | undefined {
    const exact = this.#hosts.get(host);
    if (exact !== undefined) return exact;
    return (this.#hasWildcards ? this.#findWildcard(host) : undefined) ?? this.#hosts.get("*");
  }

  #findWildcard(host: string): HostRules | undefined {
    let dot = host.indexOf(".");
    const oneLabel = dot > 0 ? this.#hosts.get(`*${host.slice(dot)}`) : undefined;
    if (oneLabel !== undefined) return oneLabel;
    for (; dot > 0; dot = host.indexOf(".", dot + 1)) {
      const anyLabels = this.#hosts.get(`**${host.slice(dot)}`);
      if (anyLabels !== undefined) return anyLabels;
    }
    return undefined;
  }
}

function hostOf(authority: string): string {
  const colon = authority.lastIndexOf(":");
  const host = colon > authority.lastIndexOf("]") ? authority.slice(0, colon) : authority;
  // A name with a dot at its end is the same name.
  return host.endsWith(".") ? host.slice(0, -1) : host;
}
