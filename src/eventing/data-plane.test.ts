/**
 * The data-plane scenarios of Knative Eventing's Broker and Channel conformance, and those of its control plane that need delivery (`test/rekt/features/{broker,channel}/{data_plane,control_plane}.go`, v1.22), named as
 * there. Objects are written as users write them; who delivers is the dispatcher.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { CloudEvent } from "./cloudevents/cloud-event.ts";
import { type Answerer, openSubscriber, type Subscriber, until } from "./dispatcher/testing/house.ts";
import { TestEventing } from "./testing/test-eventing.ts";
import { fullEvent, TestFlow } from "./testing/test-flow.ts";

/** Quick to try again. */
const quick = { backoffPolicy: "linear", backoffDelay: "PT0.005S" };
const exact = (type: string) => ({ filter: { attributes: { type } } });
const reply = { ...fullEvent, "ce-id": "reply", "ce-type": "com.example.ReplyEvent" };

/** Answers `count` times with 500, then with 200. */
function failing(count: number): Answerer {
  let left = count;
  return () => (left-- > 0 ? 500 : 200);
}

function typesOf({ got }: Subscriber): string[] {
  return got.map(({ event }) => String(event.attributes.get("type")));
}

/** What a producer set: when it arrived, how often it may go round and its trace are added on the way. */
function ownAttributes({ attributes }: CloudEvent): object {
  return Object.fromEntries([...attributes].filter(([name]) => !name.startsWith("knative") && name !== "traceparent"));
}

describe("Knative Broker Specification - Control Plane, delivered", () => {
  let eventing: TestEventing;
  let count = 0;
  before(async () => {
    eventing = await TestEventing.start();
  });
  after(() => eventing.stop());

  /** A trigger's filter, and what its subscriber answers. */
  type Routed = { readonly filter?: object; readonly answer?: Answerer };
  const routing: readonly {
    readonly name: string;
    readonly triggers: readonly Routed[];
    readonly types: readonly (readonly string[])[];
  }[] = [
    {
      name: "One trigger, no filter, gets event",
      triggers: [{}],
      types: [["com.example.FullEvent"]],
    },
    {
      name: "One trigger, with filter, does not get event",
      triggers: [{ filter: exact("mytype") }],
      types: [[]],
    },
    {
      name: "One trigger, with filter, gets the event",
      triggers: [{ filter: exact("com.example.FullEvent") }],
      types: [["com.example.FullEvent"]],
    },
    {
      name: "Two triggers, with filter, both get the event",
      triggers: [{ filter: exact("com.example.FullEvent") }, { filter: exact("com.example.FullEvent") }],
      types: [["com.example.FullEvent"], ["com.example.FullEvent"]],
    },
    {
      name: "Two triggers, with filter, only matching one gets the event",
      triggers: [{ filter: exact("notmytype") }, { filter: exact("com.example.FullEvent") }],
      types: [[], ["com.example.FullEvent"]],
    },
    {
      name: "Two triggers, with filter, first one matches incoming event, creates reply, which matches the second one",
      triggers: [
        {
          filter: exact("com.example.FullEvent"),
          answer: (_got, response) => void response.writeHead(200, reply).end("{}"),
        },
        { filter: exact("com.example.ReplyEvent") },
      ],
      types: [["com.example.FullEvent"], ["com.example.ReplyEvent"]],
    },
    {
      name: "Two triggers, with no filters, both get the event",
      triggers: [{}, {}],
      types: [["com.example.FullEvent"], ["com.example.FullEvent"]],
    },
  ];
  for (const { name, triggers, types } of routing) {
    it(name, async (t) => {
      const flow = await TestFlow.open(t, eventing, `routing-${count++}`);
      await flow.broker("broker");
      const subscribers: Subscriber[] = [];
      for (const [index, { filter = {}, answer }] of triggers.entries()) {
        const subscriber = await openSubscriber(t, answer);
        subscribers.push(subscriber);
        await flow.trigger(`t-${index}`, { ...filter, subscriber: { uri: subscriber.url } });
      }
      await flow.deliver();

      assert.equal(await flow.send("broker"), 202);
      await until(() => subscribers.every(({ got }, index) => got.length >= (types[index]?.length ?? 0)), "all events");
      await until(() => flow.house.dispatcher.subscriptions().every(({ lag }) => lag === 0), "nothing is left");
      assert.deepEqual(subscribers.map(typesOf), types);
    });
  }

  /** One side's options: "sink" stands for a dead-letter sink of its own. */
  type Side = { readonly retry?: number; readonly sink?: boolean };
  const deliveries: readonly {
    readonly name: string;
    readonly broker?: Side;
    readonly first: {
      readonly delivery?: Side;
      readonly fails: number;
      readonly tries: number;
      readonly dead?: string;
    };
    readonly second: {
      readonly delivery?: Side;
      readonly fails: number;
      readonly tries: number;
      readonly dead?: string;
    };
  }[] = [
    {
      name: "When `BrokerSpec.Delivery` and `TriggerSpec.Delivery` are both not configured, no delivery spec SHOULD be used.",
      first: { fails: 0, tries: 1 },
      second: { fails: 0, tries: 1 },
    },
    {
      name: "When `BrokerSpec.Delivery` is configured, but not the specific `TriggerSpec.Delivery`, then the `BrokerSpec.Delivery` SHOULD be used. (Retry)",
      broker: { retry: 3, sink: true },
      first: { fails: 3, tries: 4 },
      second: { fails: 4, tries: 4, dead: "broker" },
    },
    {
      name: "When `TriggerSpec.Delivery` is configured, then `TriggerSpec.Delivery` SHOULD be used. (Retry)",
      broker: { retry: 0 },
      first: { delivery: { retry: 3, sink: true }, fails: 3, tries: 4 },
      second: { delivery: { retry: 1 }, fails: 2, tries: 2 },
    },
    {
      name: "When both `BrokerSpec.Delivery` and `TriggerSpec.Delivery` is configured, then `TriggerSpec.Delivery` SHOULD be used. (Retry)",
      broker: { retry: 1, sink: true },
      first: { delivery: { retry: 3, sink: true }, fails: 3, tries: 4 },
      second: { fails: 2, tries: 2, dead: "broker" },
    },
    {
      name: "When both `BrokerSpec.Delivery` and `TriggerSpec.Delivery` is configured, then `TriggerSpec.Delivery` SHOULD be used. (Retry+DLQ)",
      broker: { retry: 1, sink: true },
      first: { delivery: { retry: 3, sink: true }, fails: 4, tries: 4, dead: "trigger" },
      second: { fails: 2, tries: 2, dead: "broker" },
    },
  ];
  for (const { name, broker, first, second } of deliveries) {
    it(name, async (t) => {
      const flow = await TestFlow.open(t, eventing, `delivery-${count++}`);
      const sinks = { broker: await openSubscriber(t), trigger: await openSubscriber(t) };
      const optionsOf = ({ retry, sink }: Side, whose: keyof typeof sinks) => ({
        ...quick,
        ...(retry === undefined ? {} : { retry }),
        ...(sink ? { deadLetterSink: { uri: sinks[whose].url } } : {}),
      });
      await flow.broker("broker", broker && optionsOf(broker, "broker"));
      const subscribers: Subscriber[] = [];
      for (const { delivery, fails } of [first, second]) {
        const subscriber = await openSubscriber(t, failing(fails));
        const own = delivery === undefined ? {} : { delivery: optionsOf(delivery, "trigger") };
        await flow.trigger(`t-${subscribers.length}`, { subscriber: { uri: subscriber.url }, ...own });
        subscribers.push(subscriber);
      }
      await flow.deliver();

      assert.equal(await flow.send("broker"), 202);
      await until(() => flow.house.dispatcher.subscriptions().every(({ lag }) => lag === 0), "all is done");
      assert.deepEqual(
        subscribers.map(({ got }) => got.length),
        [first.tries, second.tries],
      );
      const dead = [first, second].map((one) => one.dead);
      assert.equal(sinks.broker.got.length, dead.filter((one) => one === "broker").length);
      assert.equal(sinks.trigger.got.length, dead.filter((one) => one === "trigger").length);
    });
  }
});

describe("Knative Broker Specification - Data Plane", () => {
  let eventing: TestEventing;
  let count = 0;
  before(async () => {
    eventing = await TestEventing.start();
  });
  after(() => eventing.stop());

  /** A Broker with a Trigger for everything. */
  const open = async (
    t: Parameters<typeof TestFlow.open>[0],
    options: { readonly answer?: Answerer; readonly delivery?: object } = {},
  ) => {
    const flow = await TestFlow.open(t, eventing, `broker-${count++}`);
    const subscriber = await openSubscriber(t, options.answer);
    await flow.broker("broker", options.delivery ?? { ...quick, retry: 2 });
    await flow.trigger("all", { subscriber: { uri: subscriber.url } });
    await flow.deliver();
    return { flow, subscriber };
  };

  for (const version of ["0.3", "1.0"]) {
    it(`The ingress endpoint(s) MUST conform to at least one of the following versions of the specification: 0.3, 1.0; the Broker SHOULD NOT perform an upgrade (${version})`, async (t) => {
      const { flow, subscriber } = await open(t);
      const { "ce-dataschema": _schema, ...headers } = fullEvent;
      const status = await flow.send("broker", { headers: { ...headers, "ce-specversion": version } });
      await until(() => subscriber.got.length === 1, "the event");

      assert.equal(status, 202);
      assert.equal(subscriber.got[0]?.event.attributes.get("specversion"), version);
    });
  }

  it("Other versions MAY be rejected.", async (t) => {
    const { flow } = await open(t);
    assert.equal(await flow.send("broker", { headers: { ...fullEvent, "ce-specversion": "9000.1" } }), 400);
  });

  it("It SHOULD support Binary Content Mode; all attributes, including data and specversion, SHOULD be received identical to how they were received by the Broker.", async (t) => {
    const { flow, subscriber } = await open(t);
    const status = await flow.send("broker");
    await until(() => subscriber.got.length === 1, "the event");
    const { event } = subscriber.got[0] ?? assert.fail();

    assert.equal(status, 202);
    assert.deepEqual(ownAttributes(event), {
      specversion: "1.0",
      id: "full-event",
      source: "http://example.com/source",
      type: "com.example.FullEvent",
      subject: "topic",
      time: "2026-01-02T03:04:05Z",
      dataschema: "http://example.com/schema",
      exbool: "true",
      exstring: "exstring",
      datacontenttype: "text/json",
    });
    assert.equal(Buffer.from(event.data ?? []).toString(), '{"hello":"world"}');
  });

  it("It SHOULD support Structured Content Mode of the HTTP Protocol Binding for CloudEvents.", async (t) => {
    const { flow, subscriber } = await open(t);
    const body = JSON.stringify({ specversion: "1.0", id: "s", source: "/s", type: "t", data: { hello: "world" } });
    const headers = { "content-type": "application/cloudevents+json; charset=UTF-8" };
    const status = await flow.send("broker", { headers, body });
    await until(() => subscriber.got.length === 1, "the event");
    const { event } = subscriber.got[0] ?? assert.fail();

    assert.equal(status, 202);
    assert.deepEqual(
      [event.attributes.get("id"), JSON.parse(Buffer.from(event.data ?? []).toString())],
      ["s", { hello: "world" }],
    );
  });

  it("Brokers MUST reject all HTTP produce requests with a method other than POST responding with HTTP status code `405 Method Not Supported`.", async (t) => {
    const { flow } = await open(t);
    for (const method of ["GET", "PUT", "PATCH", "DELETE"])
      assert.equal(await flow.send("broker", { method }), 405, method);
  });

  it("If a Broker receives a produce request and is unable to parse a valid CloudEvent, then it MUST reject the request with HTTP status code `400 Bad Request`.", async (t) => {
    const { flow, subscriber } = await open(t);
    for (const missing of ["ce-specversion", "ce-id", "ce-source", "ce-type"]) {
      const headers = Object.fromEntries(Object.entries(fullEvent).filter(([name]) => name !== missing));
      assert.equal(await flow.send("broker", { headers }), 400, missing);
    }
    const headers = { "content-type": "application/cloudevents+json" };
    assert.equal(await flow.send("broker", { headers, body: "{" }), 400);
    assert.equal(subscriber.got.length, 0);
  });

  it("Events accepted by the Broker SHOULD be delivered at least once to all subscribers of all Triggers.", async (t) => {
    const { flow, subscriber } = await open(t);
    const others = [await openSubscriber(t), await openSubscriber(t)];
    for (const [index, { url }] of others.entries()) await flow.trigger(`t-${index}`, { subscriber: { uri: url } });
    await flow.deliver();
    for (let id = 0; id < 20; id++) await flow.send("broker", { headers: { ...fullEvent, "ce-id": `${id}` } });

    const all = Array.from({ length: 20 }, (_one, id) => `${id}`).toSorted();
    for (const one of [subscriber, ...others]) {
      await until(() => one.got.length >= 20, "all events");
      assert.deepEqual(one.ids().toSorted(), all);
    }
  });

  it("If no ready Trigger would match an accepted event, the Broker MAY drop that event without notifying the producer.", async (t) => {
    const flow = await TestFlow.open(t, eventing, `broker-${count++}`);
    await flow.broker("broker");
    await flow.deliver();
    assert.equal(await flow.send("broker"), 202);
  });

  it("Events contained in delivery responses SHOULD be published to the Broker ingress and processed as if the event had been produced to the Broker's addressable endpoint.", async (t) => {
    let isFirst = true;
    const { flow, subscriber } = await open(t, {
      answer: (_got, response) => {
        if (!isFirst) return 200;
        isFirst = false;
        response.writeHead(200, reply).end("{}");
        return undefined;
      },
    });
    await flow.send("broker");
    await until(() => subscriber.got.length === 2, "the reply");
    assert.deepEqual(typesOf(subscriber), ["com.example.FullEvent", "com.example.ReplyEvent"]);
  });

  it("Events contained in delivery responses that are malformed SHOULD be treated as if the event delivery had failed.", async (t) => {
    const sink = await openSubscriber(t);
    const { flow } = await open(t, {
      answer: (_got, response) => void response.writeHead(200, { "ce-specversion": "1.0" }).end("?"),
      delivery: { ...quick, retry: 1, deadLetterSink: { uri: sink.url } },
    });
    await flow.send("broker");
    await until(() => sink.got.length === 1, "the dead letter");
    assert.equal(sink.got[0]?.event.attributes.get("id"), "full-event");
  });

  it("Upon receiving an event with context attributes defined in the CloudEvents Distributed Tracing extension the Broker SHOULD preserve that trace header on delivery to subscribers.", async (t) => {
    const { flow, subscriber } = await open(t);
    const trace = "0af7651916cd43dd8448eb211c80319c";
    const traceparent = `00-${trace}-b7ad6b7169203331-01`;
    await flow.send("broker", { headers: { ...fullEvent, traceparent, "ce-traceparent": traceparent } });
    await until(() => subscriber.got.length === 1, "the event");

    assert.equal(subscriber.got[0]?.event.attributes.get("traceparent"), traceparent);
    assert.match(String(subscriber.got[0]?.headers["traceparent"]), new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`));
  });
});

describe("Knative Channel Specification - Data Plane", () => {
  let eventing: TestEventing;
  let count = 0;
  before(async () => {
    eventing = await TestEventing.start();
  });
  after(() => eventing.stop());

  const open = async (t: Parameters<typeof TestFlow.open>[0], spec: object = {}) => {
    const flow = await TestFlow.open(t, eventing, `channel-${count++}`);
    await flow.channel("channel", spec);
    return flow;
  };

  it("The Channel MUST respond with 202 Accepted; all CloudEvent attributes, including the data attribute, MUST be received at the subscriber identical, in the same version.", async (t) => {
    const flow = await open(t);
    const subscriber = await openSubscriber(t);
    await flow.subscription("s", { subscriber: { uri: subscriber.url } });
    await flow.deliver();
    const status = await flow.send("channel");
    await until(() => subscriber.got.length === 1, "the event");
    const { event } = subscriber.got[0] ?? assert.fail();

    assert.equal(status, 202);
    const sent = Object.entries(fullEvent).map(([name, value]) => [
      name === "content-type" ? "datacontenttype" : name.slice(3),
      value,
    ]);
    assert.deepEqual(ownAttributes(event), Object.fromEntries(sent));
    assert.equal(Buffer.from(event.data ?? []).toString(), '{"hello":"world"}');
  });

  it("Channels MUST send events to all subscribers which are marked with a status of ready: True in the channel's status.subscribers.", async (t) => {
    const flow = await open(t);
    const subscribers = [await openSubscriber(t), await openSubscriber(t), await openSubscriber(t)];
    for (const [index, { url }] of subscribers.entries())
      await flow.subscription(`s-${index}`, { subscriber: { uri: url } });
    await flow.deliver();
    await flow.send("channel");

    for (const subscriber of subscribers) await until(() => subscriber.got.length === 1, "the event");
  });

  it("Channels MUST reject all HTTP event queueing requests with a method other than POST responding with HTTP status code 405 Method Not Supported.", async (t) => {
    const flow = await open(t);
    await flow.deliver();
    assert.equal(await flow.send("channel", { method: "GET" }), 405);
  });

  it("If a Channel receives a request that does not correspond to a known channel, then it MUST respond with a 404 Not Found.", async (t) => {
    const flow = await open(t);
    await flow.deliver();
    assert.equal(await flow.send(`http://other-kn-channel.${flow.space.name}.svc.cluster.local/`), 404);
  });

  it("If a Channel receives an event queueing request and is unable to parse a valid CloudEvent, then it MUST respond with 400 Bad Request.", async (t) => {
    const flow = await open(t);
    await flow.deliver();
    assert.equal(await flow.send("channel", { headers: { "content-type": "text/plain" } }), 400);
  });

  it("What a subscriber answers goes to the reply of its Subscription", async (t) => {
    const flow = await open(t);
    const [next, answering] = [
      await openSubscriber(t),
      await openSubscriber(t, (_got, response) => void response.writeHead(200, reply).end("{}")),
    ];
    await flow.subscription("s", { subscriber: { uri: answering.url }, reply: { uri: next.url } });
    await flow.deliver();
    await flow.send("channel");
    await until(() => next.got.length === 1, "the reply");

    assert.deepEqual(typesOf(next), ["com.example.ReplyEvent"]);
  });

  it("Channels SHOULD retry resending CloudEvents when they fail; then they go to the Subscription's dead-letter sink, else to the channel's", async (t) => {
    const sinks = [await openSubscriber(t), await openSubscriber(t)];
    const flow = await open(t, { delivery: { ...quick, retry: 1, deadLetterSink: { uri: sinks[0]?.url } } });
    const subscribers = [await openSubscriber(t, failing(9)), await openSubscriber(t, failing(9))];
    await flow.subscription("of-channel", { subscriber: { uri: subscribers[0]?.url } });
    const delivery = { ...quick, retry: 2, deadLetterSink: { uri: sinks[1]?.url } };
    await flow.subscription("own", { subscriber: { uri: subscribers[1]?.url }, delivery });
    await flow.deliver();
    await flow.send("channel");

    for (const sink of sinks) await until(() => sink.got.length === 1, "the dead letter");
    assert.deepEqual(
      subscribers.map(({ got }) => got.length),
      [2, 3],
    );
  });
});
