/**
 * A route as the engine keeps it: as text. Most routes are not asked for most of the time, and their objects would be five times the text; what a request needs of them is made when one comes.
 */
import type { RouteConfig } from "#proxy/config/route.ts";
import { compileRoute, type RuleEntry } from "./compiled-rule.ts";

/** One route, in all tables of its listeners. Never changes. */
export class KnownRoute {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly listeners: readonly string[];
  readonly #text: string;

  constructor(config: RouteConfig) {
    this.#text = JSON.stringify(config);
    this.name = config.name;
    this.hosts = config.hosts;
    this.listeners = config.listeners;
  }

  /** True when it says just this. */
  says(config: RouteConfig): boolean {
    return this.#text === JSON.stringify(config);
  }

  /** Its rules, made anew each time. */
  compile(): readonly RuleEntry[] {
    return compileRoute(JSON.parse(this.#text) as RouteConfig);
  }
}
