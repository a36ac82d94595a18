/**
 * The scenarios of kubernetes-sigs/ingress-controller-conformance, through a real proxy: default_backend, host_rules, path_rules, ingress_class and load_balancing.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import { createServer as createH2c } from "node:http2";
import { createServer as createTls, request as requestTls } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { type TestContext, test } from "node:test";
import type { Secret, Service } from "#api/generated/types/core-v1.ts";
import type { EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import type { Ingress, IngressBackend, IngressClass } from "#api/generated/types/networking-v1.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { FakeInformer } from "#client/testing/fake-informer.ts";
import { issueServerCertificate } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createCa } from "#component-base/x509.ts";
import { ProxyEngine } from "#proxy/engine.ts";
import type { Followed } from "#client/followed.ts";
import { ingressController } from "./ingress-class.ts";
import { IngressSource } from "./ingress-source.ts";

const validity = { notBeforeMs: Date.now() - 1000, notAfterMs: Date.now() + 3_600_000 };
const ca = createCa({ subject: { commonName: "test" }, usages: [], ...validity });
const ourClass: IngressClass = { metadata: { name: "nodeless" }, spec: { controller: ingressController } };

function pair(host: string) {
  return issueServerCertificate(ca, { commonName: host, addresses: [host], clock: systemClock });
}

function tlsOptions({ certificate, privateKey }: ReturnType<typeof pair>) {
  return { cert: certificate, key: privateKey };
}

type Asked = { readonly host: string; readonly path?: string; readonly method?: string; readonly tls?: boolean };
type Answer = {
  readonly status: number;
  readonly body: string;
  readonly headers: IncomingMessage["headers"];
  readonly subject: string;
};

/** Secrets by name, out of all. */
function following(informer: FakeInformer<Secret>): Followed<Secret> {
  const find = (key: string) => informer.lister.find(splitKey(key).namespace, splitKey(key).name);
  return {
    want() {},
    find,
    settled: async () => {},
    onChange(listener) {
      const tell = (secret: Secret) => listener(keyOf(secret));
      return informer.addHandler({ onAdd: tell, onUpdate: (_before, after) => tell(after), onDelete: tell });
    },
  };
}

/** Names that mean what the test says. */
class Names implements Followed<readonly string[]> {
  readonly wanted = new Set<string>();
  readonly #addresses = new Map<string, readonly string[]>();
  readonly #listeners = new Set<(name: string) => void>();

  set(name: string, addresses: readonly string[]): void {
    this.#addresses.set(name, addresses);
    for (const listener of this.#listeners) listener(name);
  }

  want(keys: ReadonlySet<string>): void {
    this.wanted.clear();
    for (const key of keys) this.wanted.add(key);
  }

  find(key: string): readonly string[] | undefined {
    return this.#addresses.get(key);
  }

  async settled(): Promise<void> {}

  onChange(listener: (name: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** A cluster's objects, a proxy that follows them, and pods that say who they are. */
class House {
  readonly ingresses = new FakeInformer<Ingress>();
  readonly classes = new FakeInformer<IngressClass>([ourClass]);
  readonly services = new FakeInformer<Service>();
  readonly slices = new FakeInformer<EndpointSlice>();
  readonly secrets = new FakeInformer<Secret>();
  readonly engine = new ProxyEngine({ clock: systemClock });
  readonly externalNames = new Names();
  /** A pod that was asked for /slow answers when it is told to. */
  readonly slow = Promise.withResolvers<{ readonly index: number; readonly answer: () => void }>();
  /** How many Ingresses were served, whenever that changed. */
  readonly served: number[] = [];
  source: IngressSource | undefined;
  readonly #test: TestContext;

  constructor(test: TestContext) {
    this.#test = test;
  }

  static async start(test: TestContext): Promise<House> {
    const house = new House(test);
    const abort = new AbortController();
    test.after(() => {
      abort.abort();
      return house.engine.stop(0);
    });
    const { ingresses, classes, services, slices, secrets, externalNames } = house;
    const source = new IngressSource({
      ingresses,
      classes,
      services,
      slices,
      secrets: following(secrets),
      externalNames,
      listeners: { http: "http", https: "https" },
      onServed: (count) => house.served.push(count),
      logger: silentLogger,
    });
    house.source = source;
    await source.start(house.engine, abort.signal);
    const address = { host: "127.0.0.1", port: 0 };
    const tls = { certificates: ["default"], showsAll: true };
    await house.engine.apply([
      { set: { kind: "certificate", config: { name: "default", ...pair("default") } } },
      { set: { kind: "listener", config: { name: "http", address } } },
      { set: { kind: "listener", config: { name: "https", address, tls } } },
    ]);
    return house;
  }

  /** A Service with so many pods, each of which answers with its name. */
  async serve(name: string, pods = 1): Promise<IngressBackend> {
    const ports = await Promise.all(Array.from({ length: pods }, (_, index) => this.#startPod(`${name}-${index}`)));
    this.services.put({ metadata: { namespace: "default", name }, spec: { ports: [{ name: "http", port: 8080 }] } });
    ports.forEach((port, index) => this.slices.put(this.slice(name, index, port)));
    return { service: { name, port: { number: 8080 } } };
  }

  slice(service: string, index: number, port: number): EndpointSlice {
    const metadata = {
      namespace: "default",
      name: `${service}-${index}`,
      labels: { "kubernetes.io/service-name": service },
    };
    const endpoints = [{ addresses: ["127.0.0.1"], conditions: { ready: true, serving: true } }];
    return { metadata, addressType: "IPv4", ports: [{ name: "http", port }], endpoints };
  }

  ingress(name: string, spec: Ingress["spec"], more: Partial<NonNullable<Ingress["metadata"]>> = {}): Ingress {
    return { metadata: { namespace: "default", name, ...more }, spec: { ingressClassName: "nodeless", ...spec } };
  }

  /** Objects that are put are in force when the turn is over. */
  async ask({ host, path = "/", method = "GET", tls = false }: Asked): Promise<Answer> {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    const port = this.engine.portOf(tls ? "https" : "http");
    const options = { host: "127.0.0.1", port, path, method, headers: { host }, agent: false };
    const sent = tls ? requestTls({ ...options, servername: host, rejectUnauthorized: false }) : request(options);
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    let body = "";
    for await (const piece of response) body += String(piece);
    const { socket } = response;
    const subject = tls
      ? String(
          (socket as unknown as { getPeerCertificate(): { subject?: { CN?: string } } }).getPeerCertificate?.().subject
            ?.CN ?? "",
        )
      : "";
    return { status: response.statusCode ?? 0, body, headers: response.headers, subject };
  }

  /** Which Service answered; the status where none did. */
  async who(host: string, path = "/"): Promise<string | number> {
    const { status, body } = await this.ask({ host, path });
    return status === 200 ? (JSON.parse(body) as { name: string }).name.replace(/-\d+$/, "") : status;
  }

  async #startPod(name: string): Promise<number> {
    const server = createServer((asked, response) => {
      const answer = () =>
        response.end(JSON.stringify({ name, method: asked.method, url: asked.url, headers: asked.headers }));
      if (asked.url === "/slow") this.slow.resolve({ index: Number(name.split("-")[1]), answer });
      else answer();
    });
    server.on("upgrade", (_asked, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
      socket.pipe(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.#test.after(() => {
      server.closeAllConnections();
      server.close();
    });
    return (server.address() as AddressInfo).port;
  }
}

function rule(
  host: string | undefined,
  paths: readonly (readonly [path: string, pathType: string, backend: IngressBackend])[],
) {
  const http = { paths: paths.map(([path, pathType, backend]) => ({ path, pathType, backend })) };
  return host === undefined ? { http } : { host, http };
}

test("default_backend: an Ingress without rules sends requests of any host, path and method to its default backend", async (t) => {
  const house = await House.start(t);
  house.ingresses.put(house.ingress("only", { defaultBackend: await house.serve("echo") }));

  for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
    const answer = await house.ask({ host: "my-host", path: "/sub?x=1", method });
    assert.equal(answer.status, 200);
    const seen = JSON.parse(answer.body) as { method: string; url: string; headers: Record<string, string> };
    assert.deepEqual([seen.method, seen.url, seen.headers["host"]], [method, "/sub?x=1", "my-host"]);
    assert.match(seen.headers["user-agent"] ?? "none", /none/);
  }
});

test("host_rules: exact hosts, wildcards of one label, and 404 for all others", async (t) => {
  const house = await House.start(t);
  const [wild, exact] = [await house.serve("wild"), await house.serve("exact")];
  house.ingresses.put(
    house.ingress("hosts", {
      rules: [rule("*.foo.com", [["/", "Prefix", wild]]), rule("foo.bar.com", [["/", "Prefix", exact]])],
    }),
  );

  assert.equal(await house.who("bar.foo.com"), "wild");
  assert.equal(await house.who("baz.bar.foo.com"), 404);
  assert.equal(await house.who("foo.com"), 404);
  assert.equal(await house.who("foo.bar.com"), "exact");
  assert.equal(await house.who("FOO.bar.com:80"), "exact");
  assert.equal(await house.who("subdomain.bar.com"), 404);
});

test("host_rules: the certificate of the Secret is shown to who asks for its host, and follows the Secret", async (t) => {
  const house = await House.start(t);
  const backend = await house.serve("echo");
  const secret = (host: string): Secret => {
    const { certificate, privateKey } = pair(host);
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    return {
      metadata: { namespace: "default", name: "cert" },
      type: "kubernetes.io/tls",
      data: { "tls.crt": base64(certificate), "tls.key": base64(privateKey) },
    };
  };
  house.ingresses.put(
    house.ingress("tls", {
      tls: [{ hosts: ["foo.bar.com"], secretName: "cert" }],
      rules: [rule("foo.bar.com", [["/", "Prefix", backend]])],
    }),
  );
  assert.equal((await house.ask({ host: "foo.bar.com", tls: true })).subject, "default");
  house.secrets.put(secret("foo.bar.com"));

  const answer = await house.ask({ host: "foo.bar.com", tls: true });
  assert.deepEqual([answer.status, answer.subject], [200, "foo.bar.com"]);
  assert.match(answer.body, /"x-forwarded-proto":"https"/);
  house.secrets.remove(secret("foo.bar.com"));
  assert.equal((await house.ask({ host: "foo.bar.com", tls: true })).subject, "default");
});

test("path_rules: Exact is case- and slash-sensitive", async (t) => {
  const house = await House.start(t);
  house.ingresses.put(
    house.ingress("exact", { rules: [rule("exact", [["/foo", "Exact", await house.serve("foo-exact")]])] }),
  );

  assert.equal(await house.who("exact", "/foo"), "foo-exact");
  for (const path of ["/", "/foo/", "/FOO", "/bar", "/foo/bar", "/foobar"])
    assert.equal(await house.who("exact", path), 404, path);
});

test("path_rules: Prefix goes by whole elements, and a slash at the end does not count", async (t) => {
  const house = await House.start(t);
  const [foo, bar, abc] = [await house.serve("foo"), await house.serve("aaa-bbb"), await house.serve("aaa")];
  house.ingresses.put(
    house.ingress("prefix", {
      rules: [
        rule("prefix", [["/foo", "Prefix", foo]]),
        rule("slash", [["/aaa/bbb/", "Prefix", bar]]),
        rule("longest", [
          ["/aaa", "Prefix", abc],
          ["/aaa/bbb", "Prefix", bar],
          ["/foo", "Prefix", foo],
        ]),
      ],
    }),
  );

  for (const path of ["/foo", "/foo/", "/foo/bar"]) assert.equal(await house.who("prefix", path), "foo", path);
  for (const path of ["/", "/foobar", "/FOO", "/bar"]) assert.equal(await house.who("prefix", path), 404, path);
  for (const path of ["/aaa/bbb", "/aaa/bbb/", "/aaa/bbb/ccc"])
    assert.equal(await house.who("slash", path), "aaa-bbb", path);
  assert.equal(await house.who("slash", "/aaa/bbbxyz"), 404);
  assert.equal(await house.who("longest", "/aaa/bbb/ccc"), "aaa-bbb");
  assert.equal(await house.who("longest", "/aaa/ccc"), "aaa");
  assert.equal(await house.who("longest", "/ccc"), 404);
});

test("path_rules: Exact comes before Prefix, and what matches no path goes to the default backend", async (t) => {
  const house = await House.start(t);
  const [exact, prefix, rest] = [await house.serve("exact"), await house.serve("prefix"), await house.serve("rest")];
  house.ingresses.put(
    house.ingress("mixed", {
      defaultBackend: rest,
      rules: [
        rule("mixed", [
          ["/foo", "Prefix", prefix],
          ["/foo", "Exact", exact],
        ]),
        { host: "no-paths" },
      ],
    }),
  );

  assert.equal(await house.who("mixed", "/foo"), "exact");
  assert.equal(await house.who("mixed", "/foo/"), "prefix");
  assert.equal(await house.who("mixed", "/bar"), "rest");
  assert.equal(await house.who("no-paths", "/bar"), "rest");
  assert.equal(await house.who("elsewhere", "/bar"), "rest");
});

test("ingress_class: only Ingresses of our classes are served, as soon as they are", async (t) => {
  const house = await House.start(t);
  const spec = { rules: [rule("h", [["/", "Prefix", await house.serve("echo")]])] };
  house.ingresses.put(house.ingress("i", { ...spec, ingressClassName: "unknown" }));
  assert.equal(await house.who("h"), 404);
  house.classes.put({ metadata: { name: "unknown" }, spec: { controller: "somebody.else/ingress" } });
  assert.equal(await house.who("h"), 404);
  house.classes.put({ metadata: { name: "unknown" }, spec: { controller: ingressController } });
  assert.equal(await house.who("h"), "echo");

  const legacy = {
    metadata: { namespace: "default", name: "i", annotations: { "kubernetes.io/ingress.class": "nodeless" } },
    spec,
  };
  house.ingresses.put(legacy);
  assert.equal(await house.who("h"), "echo");
  house.ingresses.put({ metadata: { namespace: "default", name: "i" }, spec });
  assert.equal(await house.who("h"), 404);
});

test("load_balancing: a hundred requests reach ten pods", async (t) => {
  const house = await House.start(t);
  house.ingresses.put(house.ingress("i", { rules: [rule("h", [["/", "Prefix", await house.serve("echo", 10)]])] }));
  const seen = new Set<string>();
  for (let asked = 0; asked < 100; asked++)
    seen.add((JSON.parse((await house.ask({ host: "h" })).body) as { name: string }).name);

  assert.equal(seen.size, 10);
});

test("an Ingress answers at its own name under localhost, and is gone with its object", async (t) => {
  const house = await House.start(t);
  const ingress = house.ingress("web", { rules: [rule("a.example", [["/x", "Prefix", await house.serve("echo")]])] });
  house.ingresses.put(ingress);
  assert.equal(await house.who("web.default.localhost", "/x"), "echo");
  assert.equal(await house.who("web.default.localhost", "/y"), 404);
  house.ingresses.remove(ingress);

  assert.equal(await house.who("web.default.localhost", "/x"), 404);
  assert.equal(await house.who("a.example", "/x"), 404);
});

test("ports go by name or number; without Service, port or pods it is 503, until there are some", async (t) => {
  const house = await House.start(t);
  const backend = await house.serve("echo");
  const named = { service: { name: "echo", port: { name: "http" } } };
  const wrong = { service: { name: "echo", port: { name: "nope" } } };
  const object = { resource: { kind: "Bucket", name: "b", apiGroup: "example.com" } };
  house.ingresses.put(
    house.ingress("i", {
      rules: [
        rule("h", [
          ["/named", "Prefix", named],
          ["/number", "Prefix", backend],
          ["/wrong", "Prefix", wrong],
          ["/object", "Prefix", object],
          ["/late", "ImplementationSpecific", { service: { name: "late", port: { number: 8080 } } }],
        ]),
      ],
    }),
  );

  assert.deepEqual([await house.who("h", "/named"), await house.who("h", "/number")], ["echo", "echo"]);
  for (const path of ["/wrong", "/object", "/late"]) assert.equal(await house.who("h", path), 503, path);
  await house.serve("late");
  assert.equal(await house.who("h", "/late"), "late");
});

test("of two Ingresses that say different things about one path the older one counts", async (t) => {
  const house = await House.start(t);
  const [older, newer] = [await house.serve("older"), await house.serve("newer")];
  const at = (day: string) => ({ creationTimestamp: `2026-01-${day}T00:00:00Z` });
  house.ingresses.put(house.ingress("a", { rules: [rule("h", [["/", "Prefix", newer]])] }, at("02")));
  house.ingresses.put(house.ingress("b", { rules: [rule("h", [["/", "Prefix", older]])] }, at("01")));

  assert.equal(await house.who("h"), "older");
});

const nginx = "nginx.ingress.kubernetes.io/";

test("path_rules: what ImplementationSpecific means is said: whole elements, and a star at the end", async (t) => {
  const house = await House.start(t);
  const backend = await house.serve("echo");
  const paths = [
    ["/a", "ImplementationSpecific", backend] as const,
    ["/b/*", "ImplementationSpecific", backend] as const,
  ];
  house.ingresses.put(house.ingress("i", { rules: [rule("h", paths)] }));

  for (const path of ["/a", "/a/x", "/b/x"]) assert.equal(await house.who("h", path), "echo", path);
  for (const path of ["/ax", "/c"]) assert.equal(await house.who("h", path), 404, path);
});

test("rewrite-target puts what the path's expression found in the path's place", async (t) => {
  const house = await House.start(t);
  const backend = await house.serve("echo");
  const seen = async (path: string) => (JSON.parse((await house.ask({ host: "h", path })).body) as { url: string }).url;
  const annotate = (target: string, path: string) =>
    house.ingresses.put(
      house.ingress(
        "i",
        { rules: [rule("h", [[path, "ImplementationSpecific", backend]])] },
        { annotations: { [`${nginx}rewrite-target`]: target } },
      ),
    );
  annotate("/$2", "/something(/|$)(.*)");
  assert.equal(await seen("/something/new?q=1"), "/new?q=1");
  assert.equal(await seen("/Something"), "/");
  annotate("/", "/app");
  assert.equal(await seen("/app/x"), "/");
  annotate("/app", "/app");
  assert.equal(await seen("/app/x"), "/app/x");
});

test("ssl-redirect sends cleartext requests for hosts with TLS to where TLS is taken", async (t) => {
  const house = await House.start(t);
  const backend = await house.serve("echo");
  house.ingresses.put(
    house.ingress(
      "i",
      {
        tls: [{ hosts: ["*.secure.example"], secretName: "none" }],
        rules: [
          rule("a.secure.example", [["/x", "Prefix", backend]]),
          rule("open.example", [["/", "Prefix", backend]]),
        ],
      },
      { annotations: { "nodeless.dev/ssl-redirect": "true" } },
    ),
  );
  const redirected = async () => {
    const { status, headers } = await house.ask({ host: "a.secure.example", path: "/x?q" });
    return [status, headers.location];
  };

  assert.deepEqual(await redirected(), [308, "https://a.secure.example/x?q"]);
  house.source?.useHttpsPort(8443);
  await house.who("h");
  assert.deepEqual(await redirected(), [308, "https://a.secure.example:8443/x?q"]);
  assert.equal((await house.ask({ host: "a.secure.example", path: "/x", tls: true })).status, 200);
  assert.equal(await house.who("a.secure.example", "/y"), 404);
  assert.equal(await house.who("open.example"), "echo");
});

test("bodies that are longer than proxy-body-size get 413, also when nobody said how long they are", async (t) => {
  const house = await House.start(t);
  const rules = [rule("h", [["/", "Prefix", await house.serve("echo")]])];
  house.ingresses.put(house.ingress("i", { rules }, { annotations: { [`${nginx}proxy-body-size`]: "1k" } }));
  await house.who("h");
  const post = async (body: string, isChunked: boolean) => {
    const url = `http://127.0.0.1:${house.engine.portOf("http")}/`;
    const sent = request(url, { method: "POST", headers: { host: "h" }, agent: false });
    if (!isChunked) sent.setHeader("content-length", body.length);
    sent.on("error", () => {}); // the answer came before the end of the request
    sent.write(body);
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    response.resume();
    return response.statusCode;
  };

  for (const isChunked of [false, true]) {
    assert.equal(await post("x".repeat(1024), isChunked), 200);
    assert.equal(await post("x".repeat(1025), isChunked), 413);
  }
});

test("an Ingress that asks for a guard which is not there is not served, rather than served to all", async (t) => {
  const house = await House.start(t);
  const rules = [rule("h", [["/", "Prefix", await house.serve("echo")]])];
  house.ingresses.put(house.ingress("i", { rules }, { annotations: { [`${nginx}auth-type`]: "basic" } }));

  const { status, body } = await house.ask({ host: "h" });
  assert.equal(status, 503);
  assert.match(body, /auth-type keeps clients out/);
});

test("a Service of type ExternalName is where its name leads, as long as an Ingress names it", async (t) => {
  const house = await House.start(t);
  const backend = await house.serve("echo");
  const port = house.slices.lister.list()[0]?.ports?.[0]?.port ?? 0;
  const external = { service: { name: "outside", port: { number: port } } };
  house.services.put({
    metadata: { namespace: "default", name: "outside" },
    spec: { type: "ExternalName", externalName: "Outside.example." },
  });
  const ingress = house.ingress("i", {
    rules: [rule("h", [["/out", "Prefix", external]]), rule("in", [["/", "Prefix", backend]])],
  });
  house.ingresses.put(ingress);
  assert.equal(await house.who("h", "/out"), 503);
  assert.deepEqual([...house.externalNames.wanted], ["outside.example"]);
  house.externalNames.set("outside.example", ["127.0.0.1"]);

  assert.equal(await house.who("h", "/out"), "echo");
  house.ingresses.remove(ingress);
  await house.who("h");
  assert.deepEqual([...house.externalNames.wanted], []);
});

test("a pod that is about to end gets nothing new and answers what it has; the only one goes on", async (t) => {
  const house = await House.start(t);
  const backend = await house.serve("echo", 2);
  const uids = ["one", "two"];
  for (const [index, slice] of house.slices.lister.list().entries())
    house.slices.put({
      ...slice,
      endpoints: (slice.endpoints ?? []).map((each) => ({ ...each, targetRef: { uid: uids[index] ?? "" } })),
    });
  house.ingresses.put(house.ingress("i", { rules: [rule("h", [["/", "Prefix", backend]])] }));
  const pods = async () => {
    const names = await Promise.all(Array.from({ length: 20 }, () => house.ask({ host: "h" })));
    return [...new Set(names.map(({ body }) => (JSON.parse(body) as { name: string }).name))].toSorted();
  };
  assert.deepEqual(await pods(), ["echo-0", "echo-1"]);
  const slow = house.ask({ host: "h", path: "/slow" });
  const slowPod = await house.slow.promise;
  const pod = (index: number) => ({ metadata: { namespace: "default", uid: uids[index] ?? "" } });
  let isIdle = false;
  const drained = house.source?.drain(pod(slowPod.index)).then(() => (isIdle = true));

  assert.deepEqual(await pods(), [`echo-${1 - slowPod.index}`]);
  assert.equal(isIdle, false);
  slowPod.answer();
  await drained;
  assert.equal((await slow).status, 200);
  await house.source?.drain(pod(1 - slowPod.index));
  assert.equal((await pods()).length > 0, true);
});

test("backend-protocol GRPC and appProtocol h2c speak HTTP/2 to the pods, HTTPS speaks TLS", async (t) => {
  const house = await House.start(t);
  const pods = [
    { name: "h2c", server: createH2c((_asked, response) => void response.end("over h2c")) },
    { name: "tls", server: createTls(tlsOptions(pair("pod")), (_asked, response) => void response.end("over tls")) },
  ];
  for (const { name, server } of pods) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => void server.close());
    house.slices.put(house.slice(name, 0, (server.address() as AddressInfo).port));
  }
  const service = (name: string, appProtocol?: string): Service => ({
    metadata: { namespace: "default", name },
    spec: { ports: [{ name: "http", port: 80, ...(appProtocol === undefined ? {} : { appProtocol }) }] },
  });
  house.services.put(service("h2c"));
  house.services.put(service("tls", "https"));
  const ingress = (name: string, annotations: Record<string, string>) =>
    house.ingress(
      name,
      { rules: [rule(name, [["/", "Prefix", { service: { name, port: { number: 80 } } }]])] },
      { annotations },
    );
  house.ingresses.put(ingress("h2c", { [`${nginx}backend-protocol`]: "GRPC" }));
  house.ingresses.put(ingress("tls", {}));
  assert.equal((await house.ask({ host: "h2c" })).body, "over h2c");
  assert.equal((await house.ask({ host: "tls" })).body, "over tls");
  house.services.put(service("h2c", "kubernetes.io/h2c"));
  house.ingresses.put(ingress("h2c", {}));

  assert.equal((await house.ask({ host: "h2c" })).body, "over h2c");
});

test("WebSockets pass", async (t) => {
  const house = await House.start(t);
  const backend = await house.serve("echo");
  house.ingresses.put(house.ingress("i", { rules: [rule("h", [["/", "Prefix", backend]])] }));
  await house.who("h");
  const headers = { host: "h", connection: "Upgrade", upgrade: "websocket" };
  const sent = request({ host: "127.0.0.1", port: house.engine.portOf("http"), headers, agent: false });
  sent.end();
  const [response, socket] = (await once(sent, "upgrade")) as [IncomingMessage, Socket];
  socket.write("frame");
  const [echo] = (await once(socket, "data")) as [Buffer];

  assert.deepEqual([response.statusCode, String(echo)], [101, "frame"]);
  socket.destroy();
});

test("how many are served is told when it changes", async (t) => {
  const house = await House.start(t);
  const backend = await house.serve("echo");
  const ingress = (name: string) => house.ingress(name, { defaultBackend: backend });
  house.ingresses.put(ingress("a"));
  await house.who("h");
  house.ingresses.put(ingress("b"));
  house.ingresses.put(house.ingress("c", { ingressClassName: "somebody-elses", defaultBackend: backend }));
  await house.who("h");
  for (const name of ["a", "b"]) house.ingresses.remove(ingress(name));
  await house.who("h");

  assert.deepEqual(house.served, [1, 2, 0]);
});

test("a written host comes before one that follows from a name, and before defaults, however old they are", async (t) => {
  const house = await House.start(t);
  const [written, implied] = [await house.serve("written"), await house.serve("implied")];
  const at = (day: string) => ({ creationTimestamp: `2026-01-${day}T00:00:00Z` });
  house.ingresses.put(
    house.ingress("web", { defaultBackend: implied, rules: [rule("w.example", [["/", "Prefix", implied]])] }, at("01")),
  );
  house.ingresses.put(
    house.ingress("x", { rules: [rule("web.default.localhost", [["/", "Prefix", written]])] }, at("02")),
  );

  assert.equal(await house.who("web.default.localhost"), "written");
});
