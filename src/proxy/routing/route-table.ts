/**
 * One listener's routes. The host decides first: its exact name, then `*.` one label up, then `**.` upwards, then `*`; the rules of that host decide the rest, and those of others are not asked any
 * more. A host's rules are made when it is first asked for, and let go when nobody asks any more: a thousand functions that sleep are a thousand names.
 */
import type { RequestHead } from "#proxy/message/heads.ts";
import type { RuleEntry } from "./compiled-rule.ts";
import { HostRules } from "./host-rules.ts";
import type { KnownRoute } from "./known-route.ts";
import type { RequestPath } from "./request-path.ts";

/** The routes of a host: mostly it is one, and a list for it would be larger than that. */
type RoutesOfHost = KnownRoute | readonly KnownRoute[];

/** Finds the rule of a request. */
export class RouteTable {
  readonly #routes = new Map<string, KnownRoute>();
  readonly #hosts = new Map<string, RoutesOfHost>();
  /** Of hosts that were asked for. */
  readonly #awake = new Map<string, HostRules>();
  readonly #onAwake: () => void;
  #wildcards = 0;

  /** `onAwake` is told when a host is asked for that rested: it is time to call {@link rest} in a while. */
  constructor(onAwake: () => void = () => {}) {
    this.#onAwake = onAwake;
  }

  /** Puts the route in the place of the one with its name. */
  set(route: KnownRoute): void {
    this.remove(route.name);
    this.#routes.set(route.name, route);
    for (const host of new Set(route.hosts)) {
      const there = routesOf(this.#hosts.get(host));
      if (there.length === 0 && isWildcard(host)) this.#wildcards++;
      this.#hosts.set(host, there.length === 0 ? route : [...there, route]);
      this.#awake.delete(host);
    }
  }

  /** Removing one that is not there is no error. */
  remove(name: string): void {
    const known = this.#routes.get(name);
    if (known === undefined) return;
    this.#routes.delete(name);
    for (const host of new Set(known.hosts)) {
      const [first, ...others] = routesOf(this.#hosts.get(host)).filter((route) => route !== known);
      this.#awake.delete(host);
      if (first !== undefined) this.#hosts.set(host, others.length === 0 ? first : [first, ...others]);
      else {
        this.#hosts.delete(host);
        if (isWildcard(host)) this.#wildcards--;
      }
    }
  }

  find(head: RequestHead, path: RequestPath): RuleEntry | undefined {
    return this.#findHost(hostOf(head.authority))?.find(head, path);
  }

  /** Lets go of the rules of hosts that nobody asked for since the last call. True when there are others. */
  rest(): boolean {
    for (const [host, rules] of this.#awake) {
      if (!rules.isUsed) this.#awake.delete(host);
      rules.isUsed = false;
    }
    return this.#awake.size > 0;
  }

  #findHost(host: string): HostRules | undefined {
    const exact = this.#rulesOf(host);
    if (exact !== undefined) return exact;
    return (this.#wildcards > 0 ? this.#findWildcard(host) : undefined) ?? this.#rulesOf("*");
  }

  #findWildcard(host: string): HostRules | undefined {
    let dot = host.indexOf(".");
    const oneLabel = dot > 0 ? this.#rulesOf(`*${host.slice(dot)}`) : undefined;
    if (oneLabel !== undefined) return oneLabel;
    for (; dot > 0; dot = host.indexOf(".", dot + 1)) {
      const anyLabels = this.#rulesOf(`**${host.slice(dot)}`);
      if (anyLabels !== undefined) return anyLabels;
    }
    return undefined;
  }

  #rulesOf(host: string): HostRules | undefined {
    const awake = this.#awake.get(host);
    if (awake !== undefined) {
      awake.isUsed = true;
      return awake;
    }
    const routes = routesOf(this.#hosts.get(host));
    if (routes.length === 0) return undefined;
    const rules = new HostRules(routes.flatMap((route) => route.compile()));
    this.#awake.set(host, rules);
    this.#onAwake();
    return rules;
  }
}

function routesOf(routes: RoutesOfHost | undefined): readonly KnownRoute[] {
  if (routes === undefined) return [];
  return "name" in routes ? [routes] : routes;
}

function isWildcard(host: string): boolean {
  return host.startsWith("*.") || host.startsWith("**.");
}

function hostOf(authority: string): string {
  const colon = authority.lastIndexOf(":");
  const host = colon > authority.lastIndexOf("]") ? authority.slice(0, colon) : authority;
  // A name with a dot at its end is the same name.
  return host.endsWith(".") ? host.slice(0, -1) : host;
}
