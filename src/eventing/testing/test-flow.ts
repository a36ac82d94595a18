/**
 * Objects and delivery together: Brokers, Triggers and channels as somebody writes them, on a real API server, delivered by a real dispatcher to subscribers that are real HTTP servers.
 */
import { request } from "node:http";
import type { TestContext } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { silentLogger } from "#component-base/logger.ts";
import { type House, openHouse } from "#eventing/dispatcher/testing/house.ts";
import {
  type Broker,
  brokers,
  type InMemoryChannel,
  inMemoryChannels,
  type Subscription,
  subscriptions,
  type Trigger,
  triggers,
} from "#eventing/kinds.ts";
import { compileTopology } from "#eventing/topology-source/plain-topology.ts";
import { topologyOf } from "#eventing/topology-source/topology-of.ts";
import type { TestEventing, TestNamespace } from "./test-eventing.ts";

/** What is sent. */
export type Message = {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
};

/** The attributes of some event, as headers. */
export const fullEvent: Readonly<Record<string, string>> = {
  "ce-specversion": "1.0",
  "ce-id": "full-event",
  "ce-source": "http://example.com/source",
  "ce-type": "com.example.FullEvent",
  "ce-subject": "topic",
  "ce-time": "2026-01-02T03:04:05Z",
  "ce-dataschema": "http://example.com/schema",
  "ce-exbool": "true",
  "ce-exstring": "exstring",
  "content-type": "text/json",
};

/** One namespace's objects, and who delivers for them. */
export class TestFlow {
  readonly space: TestNamespace;
  readonly house: House;

  private constructor(space: TestNamespace, house: House) {
    this.space = space;
    this.house = house;
  }

  /** A namespace of its own; all of it goes with the test. */
  static async open(t: TestContext, eventing: TestEventing, name: string): Promise<TestFlow> {
    return new TestFlow(await eventing.namespace(name), await openHouse(t));
  }

  async broker(name: string, delivery?: object): Promise<void> {
    const spec = delivery === undefined ? {} : { delivery };
    await this.space.create(brokers, {
      apiVersion: "eventing.knative.dev/v1",
      kind: "Broker",
      metadata: { name },
      spec,
    });
  }

  async trigger(name: string, spec: object): Promise<void> {
    await this.space.create(triggers, {
      apiVersion: "eventing.knative.dev/v1",
      kind: "Trigger",
      metadata: { name },
      spec: { broker: "broker", ...spec },
    });
  }

  async channel(name: string, spec: object = {}): Promise<void> {
    await this.space.create(inMemoryChannels, {
      apiVersion: "messaging.knative.dev/v1",
      kind: "InMemoryChannel",
      metadata: { name },
      spec,
    });
  }

  async subscription(name: string, spec: object): Promise<void> {
    const channel = { apiVersion: "messaging.knative.dev/v1", kind: "InMemoryChannel", name: "channel" };
    await this.space.create(subscriptions, {
      apiVersion: "messaging.knative.dev/v1",
      kind: "Subscription",
      metadata: { name },
      spec: { channel, ...spec },
    });
  }

  /** Has the dispatcher know what there is now. */
  async deliver(): Promise<void> {
    const { space, house } = this;
    const all = <T extends KubeObject>(resource: Parameters<TestNamespace["list"]>[0]) => space.list<T>(resource);
    const topology = topologyOf({
      brokers: await all<Broker>(brokers),
      triggers: await all<Trigger>(triggers),
      channels: await all<InMemoryChannel>(inMemoryChannels),
      subscriptions: await all<Subscription>(subscriptions),
    });
    await house.dispatcher.apply(compileTopology(topology, silentLogger));
  }

  /** Sends to the address of "broker" or "channel", or to a URL, and gives the answer's status. */
  async send(to: string, message: Message = {}): Promise<number> {
    const url = new URL(await this.#addressOf(to));
    const { method = "POST", headers = fullEvent, body = '{"hello":"world"}' } = message;
    return await new Promise((resolve, reject) => {
      const sending = request(`${this.house.url}${url.pathname}`, { method, headers: { ...headers, host: url.host } });
      sending.on("response", (response) => resolve(response.resume().statusCode ?? 0)).on("error", reject);
      // Node frames no body of a method that usually has none.
      sending.end(method === "GET" || method === "DELETE" ? undefined : body);
    });
  }

  async #addressOf(to: string): Promise<string> {
    if (to !== "broker" && to !== "channel") return to;
    const resource = to === "broker" ? brokers : inMemoryChannels;
    const { status } = await this.space.get<Broker>(resource, to);
    if (status?.address?.url === undefined) throw new Error(`the ${to} has no address`);
    return status.address.url;
  }
}
