/**
 * The scenarios of Knative networking's ingress conformance (test/conformance/ingress), named after them, through the engine: Ingresses of networking.internal.knative.dev as routes, programs as pods.
 * `tls` and `httpoption` are in ingress-tls.test.ts. Not there: `headers/probe` (a hash in place of `K-Network-Hash: override`), for nodes follow Ingresses themselves and nobody probes.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type Server } from "node:http";
import { connect, createServer as createHttp2, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { silentLogger } from "#component-base/logger.ts";
import { ProxyEngine } from "#proxy/engine.ts";
import {
  type Ingress,
  type IngressPath,
  type IngressRule,
  type IngressSplit,
  ingresses,
  type Revision,
} from "#serving/kinds.ts";
import { annotations } from "#serving/names.ts";
import { ingressClass } from "#serving/route/ingress-of.ts";
import { dataPlanes } from "./data-plane-object.ts";
import { clusterOf, revisionHold, routesOf } from "./engine-config.ts";
import { NodeEngine } from "./node-engine.ts";

const listeners = { open: "open", secure: "secure", local: "local" };
const namespace = "serving-tests";

type Rules = NonNullable<NonNullable<Ingress["spec"]>["rules"]>;
type Answer = { readonly status: number; readonly body: string; readonly headers: IncomingHttpHeaders };
/** What a program saw. */
type Seen = {
  readonly name: string;
  readonly headers: IncomingHttpHeaders;
  readonly httpVersion: string;
  readonly body: string;
};

/** An engine with its two listeners, and programs behind it. */
class House {
  readonly engine: ProxyEngine;
  readonly #test: TestContext;

  constructor(t: TestContext) {
    this.#test = t;
    const hold = { admit: () => Promise.resolve({ kind: "refuse", status: 503, message: "nobody is there" } as const) };
    this.engine = new ProxyEngine({ clock: systemClock, holds: new Map([[revisionHold, hold]]) });
    t.after(() => this.engine.stop(0));
  }

  static async start(t: TestContext): Promise<House> {
    const house = new House(t);
    const address = { host: "127.0.0.1", port: 0 };
    for (const name of Object.values(listeners))
      await house.engine.apply([{ set: { kind: "listener", config: { name, address } } }]);
    return house;
  }

  /** A program under this name, that says what it saw unless `answer` says something else. */
  async serve(name: string, answer?: (seen: Seen) => Promise<number> | number): Promise<void> {
    await this.#listen(
      name,
      createServer((asked, response) => void reply(name, asked, response, answer)),
      undefined,
    );
  }

  /** One that speaks HTTP/2 without TLS; `onStream` may take its streams. */
  async serveHttp2(name: string, onStream: (stream: ServerHttp2Stream) => void): Promise<void> {
    const server = createHttp2();
    server.on("stream", onStream);
    await this.#listen(name, server as unknown as Server, { name: "h2c", containerPort: 1 });
  }

  /** One that says back what comes over a WebSocket, with its name in front. */
  async serveWebSocket(name: string): Promise<void> {
    const server = createServer();
    server.on("upgrade", (_asked, socket: Socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
      socket.on("data", (piece: Buffer) => socket.write(`${name} ${String(piece)}`));
      socket.on("end", () => socket.end());
    });
    await this.#listen(name, server, undefined);
  }

  async #listen(
    name: string,
    server: Server,
    port: { readonly name: string; readonly containerPort: number } | undefined,
  ): Promise<void> {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.#test.after(() => void server.close());
    const endpoints = [{ address: "127.0.0.1", port: (server.address() as AddressInfo).port }];
    const revision: Revision = {
      spec: { containers: [{ name: "c", ...(port === undefined ? {} : { ports: [port] }) }] },
    };
    await this.engine.apply([
      { set: { kind: "cluster", config: clusterOf(namespace, name, { revision, endpoints }) } },
    ]);
  }

  async put(rules: Rules, name = "ingress"): Promise<void> {
    const routes = routesOf({ metadata: { namespace, name }, spec: { rules } }, listeners, () => undefined);
    assert.deepEqual(await this.engine.apply(routes.map((config) => ({ set: { kind: "route", config } }))), []);
  }

  async ask(
    host: string,
    more: {
      readonly path?: string;
      readonly headers?: Record<string, string>;
      readonly on?: string;
      readonly body?: string;
    } = {},
  ): Promise<Answer> {
    const { path = "/", headers = {}, on = listeners.open, body } = more;
    const port = this.engine.portOf(on);
    const method = body === undefined ? "GET" : "POST";
    const sent = request({ host: "127.0.0.1", port, path, method, headers: { host, ...headers }, agent: false });
    sent.end(body);
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return { status: response.statusCode ?? 0, body: await textOf(response), headers: response.headers };
  }

  async seen(...asked: Parameters<House["ask"]>): Promise<Seen> {
    const { status, body } = await this.ask(...asked);
    assert.equal(status, 200, body);
    return JSON.parse(body) as Seen;
  }

  /** How many of so many requests each program got. */
  async shares(host: string, count: number, path = "/"): Promise<ReadonlyMap<string, number>> {
    const shares = new Map<string, number>();
    for (let asked = 0; asked < count; asked++) {
      const { name } = await this.seen(host, { path });
      shares.set(name, (shares.get(name) ?? 0) + 1);
    }
    return shares;
  }
}

async function reply(
  name: string,
  asked: IncomingMessage,
  response: import("node:http").ServerResponse,
  answer?: (seen: Seen) => Promise<number> | number,
) {
  const { headers, httpVersion } = asked;
  const seen = { name, headers, httpVersion, body: await textOf(asked) };
  response.statusCode = (await answer?.(seen)) ?? 200;
  response.end(JSON.stringify(seen));
}

async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  let text = "";
  for await (const piece of stream) text += String(piece);
  return text;
}

function to(serviceName: string, percent = 100, appendHeaders?: Record<string, string>): IngressSplit {
  const headers = appendHeaders === undefined ? {} : { appendHeaders };
  return { serviceName, serviceNamespace: namespace, servicePort: 80, percent, ...headers };
}

function rule(
  hosts: readonly string[],
  paths: readonly IngressPath[],
  visibility: IngressRule["visibility"] = "ExternalIP",
): IngressRule {
  return { hosts, visibility, http: { paths } };
}

function near(share: number | undefined, percent: number): void {
  assert.ok(Math.abs((share ?? 0) - percent) < 15, `${share} is not near ${percent}`);
}

async function grpc(house: House, host: string): Promise<string> {
  const client = connect(`http://127.0.0.1:${house.engine.portOf("open")}`);
  const headers = {
    ":method": "POST",
    ":path": "/ping.Ping/Stream",
    ":authority": host,
    "content-type": "application/grpc",
    te: "trailers",
  };
  const stream = client.request(headers);
  const trailers = once(stream, "trailers") as Promise<[IncomingHttpHeaders]>;
  let text = "";
  for (const message of ["one", "two"]) {
    stream.write(message);
    const [piece] = (await once(stream, "data")) as [Buffer];
    text += String(piece);
  }
  stream.end();
  stream.resume();
  assert.equal((await trailers)[0]["grpc-status"], "0");
  client.close();
  return text;
}

/** Says each message back with its name, and OK in the end. */
function pingServer(name: string): (stream: ServerHttp2Stream) => void {
  return (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.on("data", (piece: Buffer) => stream.write(`${name} ${String(piece)} `));
    stream.on("end", () => stream.end());
    stream.on("error", () => {}); // a client that has what it wanted
  };
}

async function webSocket(house: House, host: string): Promise<string> {
  const headers = { host, connection: "Upgrade", upgrade: "websocket" };
  const sent = request({ host: "127.0.0.1", port: house.engine.portOf("open"), headers, agent: false });
  sent.end();
  const [, socket] = (await once(sent, "upgrade")) as [IncomingMessage, Socket];
  socket.write("hello");
  const [piece] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return String(piece);
}

describe("Knative's ingress conformance", () => {
  test("basics", async (t) => {
    const house = await House.start(t);
    await house.serve("app");
    await house.put([rule(["a.example.com"], [{ splits: [to("app")] }])]);

    assert.equal((await house.seen("a.example.com")).name, "app");
    assert.equal((await house.ask("b.example.com")).status, 404);
  });

  test("basics/http2", async (t) => {
    const house = await House.start(t);
    await house.serveHttp2("app", (stream) => {
      stream.respond({ ":status": 200 });
      stream.end("HTTP/2.0");
    });
    await house.put([rule(["a.example.com"], [{ splits: [to("app")] }])]);

    assert.equal((await house.ask("a.example.com")).body, "HTTP/2.0");
  });

  test("grpc", async (t) => {
    const house = await House.start(t);
    await house.serveHttp2("ping", pingServer("ping"));
    await house.put([rule(["a.example.com"], [{ splits: [to("ping")] }])]);

    assert.equal(await grpc(house, "a.example.com"), "ping one ping two ");
  });

  test("grpc/split", async (t) => {
    const house = await House.start(t);
    for (const name of ["blue", "green"]) await house.serveHttp2(name, pingServer(name));
    await house.put([rule(["a.example.com"], [{ splits: [to("blue", 50), to("green", 50)] }])]);
    const seen = new Set<string>();
    for (let asked = 0; asked < 100 && seen.size < 2; asked++) seen.add(await grpc(house, "a.example.com"));

    // One stream is one pod's, from beginning to end.
    assert.deepEqual([...seen].toSorted(), ["blue one blue two ", "green one green two "]);
  });

  test("headers/pre-split", async (t) => {
    const house = await House.start(t);
    await house.serve("app");
    await house.put([rule(["a.example.com"], [{ appendHeaders: { Foo: "bar" }, splits: [to("app")] }])]);

    assert.equal((await house.seen("a.example.com")).headers["foo"], "bar");
    assert.equal((await house.seen("a.example.com", { headers: { foo: "not bar" } })).headers["foo"], "bar");
  });

  test("headers/post-split", async (t) => {
    const house = await House.start(t);
    const names = ["one", "two", "three"];
    for (const name of names) await house.serve(name);
    await house.put([rule(["a.example.com"], [{ splits: names.map((name) => to(name, 33, { "Foo-Bar": name })) }])]);
    const seen = new Set<string>();
    for (let asked = 0; asked < 200 && seen.size < 3; asked++) {
      const { name, headers } = await house.seen("a.example.com", { headers: { "foo-bar": "mine" } });
      assert.equal(headers["foo-bar"], name);
      seen.add(name);
    }
    assert.equal(seen.size, 3);
  });

  test("headers/tags", async (t) => {
    const house = await House.start(t);
    for (const name of ["tagged", "other"]) await house.serve(name);
    await house.put([
      rule(
        ["a.example.com"],
        [
          { headers: { "Knative-Serving-Tag": { exact: "the-tag" } }, splits: [to("tagged")] },
          { splits: [to("other")] },
        ],
      ),
    ]);
    const who = async (headers: Record<string, string>) => (await house.seen("a.example.com", { headers })).name;

    assert.deepEqual(
      [await who({ "knative-serving-tag": "the-tag" }), await who({ "knative-serving-tag": "another" }), await who({})],
      ["tagged", "other", "other"],
    );
  });

  test("hosts/multiple", async (t) => {
    const house = await House.start(t);
    await house.serve("app");
    const hosts = ["foo.com", "foo.bar.com", "Upper.example.com"];
    await house.put([rule(hosts, [{ splits: [to("app")] }])]);

    for (const host of hosts) assert.equal((await house.seen(host)).name, "app");
    assert.equal((await house.ask("bar.com")).status, 404);
  });

  test("dispatch/path", async (t) => {
    const house = await House.start(t);
    for (const name of ["foo", "bar", "baz", "root"]) await house.serve(name);
    const under = (path: string, name: string) => ({ path, splits: [to(name)] });
    await house.put([
      rule(
        ["a.example.com"],
        [under("/foo", "foo"), under("/bar", "bar"), under("/baz", "baz"), { splits: [to("root")] }],
      ),
    ]);

    for (const name of ["foo", "bar", "baz"]) {
      assert.equal((await house.seen("a.example.com", { path: `/${name}` })).name, name);
      assert.equal((await house.seen("a.example.com", { path: `/${name}/asdf` })).name, name);
    }
    for (const path of ["/", "/asdf"]) assert.equal((await house.seen("a.example.com", { path })).name, "root");
  });

  test("dispatch/percentage", async (t) => {
    const house = await House.start(t);
    for (const name of ["one", "two", "never"]) await house.serve(name);
    await house.put([rule(["a.example.com"], [{ splits: [to("one", 60), to("two", 40), to("never", 0)] }])]);
    const shares = await house.shares("a.example.com", 150);

    near(((shares.get("one") ?? 0) * 100) / 150, 60);
    near(((shares.get("two") ?? 0) * 100) / 150, 40);
    assert.equal(shares.get("never"), undefined);
  });

  test("dispatch/path_and_percentage", async (t) => {
    const house = await House.start(t);
    for (const name of ["foo", "bar", "rest"]) await house.serve(name);
    await house.put([
      rule(["a.example.com"], [{ path: "/foo", splits: [to("foo", 50), to("bar", 50)] }, { splits: [to("rest")] }]),
    ]);
    const shares = await house.shares("a.example.com", 100, "/foo");

    near(shares.get("foo"), 50);
    assert.equal(shares.get("rest"), undefined);
    assert.deepEqual([...(await house.shares("a.example.com", 5)).keys()], ["rest"]);
  });

  test("dispatch/rule", async (t) => {
    const house = await House.start(t);
    for (const name of ["foo", "bar"]) await house.serve(name);
    await house.put([rule(["foo.com"], [{ splits: [to("foo")] }]), rule(["bar.com"], [{ splits: [to("bar")] }])]);

    assert.deepEqual([(await house.seen("foo.com")).name, (await house.seen("bar.com")).name], ["foo", "bar"]);
  });

  test("retry: an answer is an answer, also when it is an error", async (t) => {
    const house = await House.start(t);
    let asked = 0;
    await house.serve("app", () => (++asked === 1 ? 503 : 200));
    await house.put([rule(["a.example.com"], [{ splits: [to("app")] }])]);

    assert.equal((await house.ask("a.example.com")).status, 503);
    assert.equal((await house.ask("a.example.com")).status, 200);
    assert.equal(asked, 2);
  });

  test("timeout: what takes its time before and within the answer is waited for", async (t) => {
    const house = await House.start(t);
    const wait = () => new Promise((resolve) => setTimeout(resolve, 50));
    await house.serve("late", () => wait().then(() => 200));
    await house.serveHttp2("slow", (stream) => {
      stream.respond({ ":status": 200 });
      stream.write("a");
      void wait().then(() => stream.end("b"));
    });
    await house.put([rule(["late.com"], [{ splits: [to("late")] }]), rule(["slow.com"], [{ splits: [to("slow")] }])]);

    assert.equal((await house.ask("late.com")).status, 200);
    assert.equal((await house.ask("slow.com")).body, "ab");
  });

  test("update: hosts and revisions change, and no request is lost", async (t) => {
    const house = await House.start(t);
    for (const name of ["first", "second"]) await house.serve(name);
    await house.put([rule(["a.example.com"], [{ splits: [to("first")] }])]);
    let isOver = false;
    const load = Promise.all(
      [1, 2, 3].map(async () => {
        while (!isOver) assert.equal((await house.ask("a.example.com")).status, 200);
      }),
    );
    for (let round = 0; round < 10; round++) {
      const name = round % 2 === 0 ? "second" : "first";
      await house.put([rule(["a.example.com"], [{ appendHeaders: { round: String(round) }, splits: [to(name)] }])]);
      const { headers, name: who } = await house.seen("a.example.com");
      assert.deepEqual([who, headers["round"]], [name, String(round)]);
    }
    isOver = true;
    await load;
  });

  test("visibility", async (t) => {
    const house = await House.start(t);
    await house.serve("app");
    const hosts = ["app.serving-tests.svc.cluster.local", "app.serving-tests.svc", "app.serving-tests"];
    await house.put([rule(hosts, [{ splits: [to("app")] }], "ClusterLocal")]);

    for (const host of hosts) {
      assert.equal((await house.seen(host, { on: listeners.local })).name, "app");
      assert.equal((await house.ask(host)).status, 404);
    }
  });

  test("visibility/split", async (t) => {
    const house = await House.start(t);
    const names = ["one", "two"];
    for (const name of names) await house.serve(name);
    await house.put([rule(["app.serving-tests"], [{ splits: names.map((name) => to(name, 50)) }], "ClusterLocal")]);
    const seen = new Set<string>();
    for (let asked = 0; asked < 100 && seen.size < 2; asked++)
      seen.add((await house.seen("app.serving-tests", { on: listeners.local })).name);

    assert.equal(seen.size, 2);
    assert.equal((await house.ask("app.serving-tests")).status, 404);
  });

  test("visibility/path", async (t) => {
    const house = await House.start(t);
    for (const name of ["foo", "root"]) await house.serve(name);
    await house.put([
      rule(["app.serving-tests"], [{ path: "/foo", splits: [to("foo")] }, { splits: [to("root")] }], "ClusterLocal"),
    ]);
    const who = async (path: string) => (await house.seen("app.serving-tests", { path, on: listeners.local })).name;

    assert.deepEqual([await who("/foo/x"), await who("/x")], ["foo", "root"]);
    assert.equal((await house.ask("app.serving-tests", { path: "/foo" })).status, 404);
  });

  test("websocket", async (t) => {
    const house = await House.start(t);
    await house.serveWebSocket("app");
    await house.put([rule(["a.example.com"], [{ splits: [to("app")] }])]);

    assert.equal(await webSocket(house, "a.example.com"), "app hello");
  });

  test("websocket/split", async (t) => {
    const house = await House.start(t);
    for (const name of ["blue", "green"]) await house.serveWebSocket(name);
    await house.put([rule(["a.example.com"], [{ splits: [to("blue", 50), to("green", 50)] }])]);
    const seen = new Set<string>();
    for (let asked = 0; asked < 100 && seen.size < 2; asked++) seen.add(await webSocket(house, "a.example.com"));

    assert.deepEqual([...seen].toSorted(), ["blue hello", "green hello"]);
  });

  test("ingressclass: Ingresses of other classes are left alone", async (t) => {
    const house = await House.start(t);
    const client = createClient(new FakeTransport({ clock: systemClock }));
    await client.create({ resource: dataPlanes }, { metadata: { name: "n1" } });
    const informers = createInformerFactory({ client, clock: systemClock, logger: silentLogger });
    const node = new NodeEngine({
      nodeName: "n1",
      client,
      informers,
      listeners,
      addresses: [],
      httpPort: 80,
      clock: systemClock,
      logger: silentLogger,
    });
    t.after(() => Promise.all([node.stop(), informers.stop()]));
    for (const [name, className] of [
      ["theirs", "another.ingress.networking.knative.dev"],
      ["ours", ingressClass],
    ] as const) {
      const metadata = { name, annotations: { [annotations.ingressClass]: className } };
      const spec = { rules: [rule([`${name}.com`], [{ splits: [to("app")] }])] };
      await client.create<Ingress>({ resource: ingresses, namespace }, { metadata, spec });
    }
    await informers.start(new AbortController().signal);
    await node.start(house.engine);

    // Nobody serves the revision of ours; that of theirs nobody even knows.
    assert.deepEqual([(await house.ask("ours.com")).status, (await house.ask("theirs.com")).status], [503, 404]);
  });

  test("host-rewrite", async (t) => {
    const house = await House.start(t);
    await house.serve("app");
    await house.put([rule(["vanity.ismy.name"], [{ rewriteHost: "app.serving-tests", splits: [to("app")] }])]);

    assert.equal((await house.seen("vanity.ismy.name")).headers["host"], "app.serving-tests");
  });
});
