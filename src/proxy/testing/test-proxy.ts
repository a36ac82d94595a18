/**
 * An engine with one listener for tests, and what belongs to it, ended together.
 */
import { systemClock } from "#component-base/clock.ts";
import { metricText } from "#component-base/metrics.ts";
import type { ClusterConfig } from "#proxy/config/cluster.ts";
import type { ListenerConfig } from "#proxy/config/listener.ts";
import type { RouteConfig, RouteRule } from "#proxy/config/route.ts";
import type { ConfigProblem, Resource } from "#proxy/config/route-source.ts";
import { type EngineOptions, ProxyEngine } from "#proxy/engine.ts";
import type { AccessEntry } from "#proxy/observe/access-log.ts";
import { RawClient } from "./raw-client.ts";
import { type Answering, TestUpstream } from "./upstream.ts";

export class TestProxy {
  readonly engine: ProxyEngine;
  readonly entries: AccessEntry[] = [];
  readonly #clients: RawClient[] = [];
  readonly #upstreams: TestUpstream[] = [];

  constructor(options: Partial<EngineOptions> = {}) {
    const accessLog = { record: (entry: AccessEntry) => void this.entries.push(entry) };
    this.engine = new ProxyEngine({ clock: systemClock, accessLog, ...options });
  }

  /** Ends with the test. */
  static async start(
    test: { readonly after: (end: () => Promise<void>) => void },
    options: { readonly engine?: Partial<EngineOptions>; readonly listener?: Partial<ListenerConfig> } = {},
  ): Promise<TestProxy> {
    const proxy = new TestProxy(options.engine);
    test.after(() => proxy.stop());
    await proxy.set({
      kind: "listener",
      config: { name: "l", address: { host: "127.0.0.1", port: 0 }, ...options.listener },
    });
    return proxy;
  }

  get port(): number {
    return this.engine.portOf("l");
  }

  set(...resources: readonly Resource[]): Promise<readonly ConfigProblem[]> {
    return this.engine.apply(resources.map((resource) => ({ set: resource })));
  }

  /** A route for all requests to one cluster with these endpoints. */
  async route(
    upstreams: readonly TestUpstream[],
    more: {
      readonly rule?: Partial<RouteRule>;
      readonly cluster?: Partial<ClusterConfig>;
      readonly hold?: string;
      readonly holds?: "unserved";
    } = {},
  ): Promise<void> {
    const holds = more.holds === undefined ? {} : { holds: more.holds };
    const hold = more.hold === undefined ? {} : { hold: more.hold, ...holds };
    const action = { kind: "forward", backends: [{ cluster: "c", ...hold }] } as const;
    const route: RouteConfig = { name: "r", listeners: ["l"], hosts: ["*"], rules: [{ action, ...more.rule }] };
    const endpoints = upstreams.map(({ endpoint }) => endpoint);
    const problems = await this.set(
      { kind: "cluster", config: { name: "c", endpoints, ...more.cluster } },
      { kind: "route", config: route },
    );
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
  }

  async upstream(response: string | Answering): Promise<TestUpstream> {
    const upstream = await TestUpstream.answering(response);
    this.#upstreams.push(upstream);
    return upstream;
  }

  async client(): Promise<RawClient> {
    const client = await RawClient.open(this.port);
    this.#clients.push(client);
    return client;
  }

  /** Sends one request on a connection of its own, and gives all that comes back until the end. */
  async ask(request: string): Promise<string> {
    const client = await this.client();
    client.send(request);
    return client.until("end");
  }

  metrics(): string {
    return metricText(this.engine.metrics());
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.engine.stop(0);
    await Promise.all(this.#upstreams.map((upstream) => upstream.stop()));
  }
}

/** Waits until it holds; what is waited for is never further than a few turns of the event loop. */
export async function until(holds: () => boolean): Promise<void> {
  const startedMs = performance.now();
  while (!holds()) {
    if (performance.now() - startedMs > 20_000) throw new Error(`never came true: ${String(holds)}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
