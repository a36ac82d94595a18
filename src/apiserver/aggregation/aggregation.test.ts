/** Another server behind this one, as clients see it. The other one is real: HTTPS, and it asks for the front proxy's certificate. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { TLSSocket } from "node:tls";
import type { APIService } from "#api/generated/types/apiregistration-v1.ts";
import type { CustomResourceDefinition } from "#api/generated/types/apiextensions-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { startTestApiServer, type TestApiServer } from "#apiserver/testing/test-api-server.ts";
import { discoverResources } from "#client/discovery.ts";
import { ensurePki, type Pki } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";

const apiServices = { group: "apiregistration.k8s.io", version: "v1", resource: "apiservices" } as const;
const flunders = { group: "wardle.example.com", version: "v1", resource: "flunders" } as const;
const resourceList = {
  kind: "APIResourceList",
  groupVersion: "wardle.example.com/v1",
  resources: [
    { name: "flunders", singularName: "flunder", kind: "Flunder", namespaced: true, verbs: ["get", "list", "watch"] },
    { name: "flunders/status", singularName: "", kind: "Flunder", namespaced: true, verbs: ["get"] },
  ],
};

type Seen = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
};
type Other = { readonly pki: Pki; readonly port: number; readonly seen: Seen[]; isBroken: boolean };

/** A server that lets in nobody but the front proxy. */
async function startOther(context: TestContext): Promise<Other> {
  const folder = await mkdtemp(join(tmpdir(), "aggregation-"));
  const pki = await ensurePki(folder, { serverAddresses: ["wardle.default.svc"], clock: systemClock });
  await rm(folder, { recursive: true });
  const server = createServer(
    {
      cert: pki.server.certificate,
      key: pki.server.privateKey,
      ca: pki.frontProxyCa.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    },
    (request, response) => void answer(request, response),
  );
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = "";
    for await (const part of request) body += String(part);
    const { method = "", url = "", headers } = request;
    assert.equal((request.socket as TLSSocket).getPeerCertificate().subject.CN, "front-proxy-client");
    other.seen.push({ method, url, headers, body });
    const send = (value: unknown, code = 200): void => {
      response.writeHead(code, { "content-type": "application/json" });
      response.end(JSON.stringify(value));
    };
    const flunder = {
      apiVersion: "wardle.example.com/v1",
      kind: "Flunder",
      metadata: { name: "a", namespace: "default" },
    };
    if (other.isBroken) return send({}, 500);
    if (url === "/apis/wardle.example.com/v1") return send(resourceList);
    if (url.startsWith("/openapi/v3/apis/")) return send({ openapi: "3.0.0", info: { title: "wardle" } });
    if (url === "/openapi/v2") return send(openApiV2);
    if (url === "/openapi/v3") {
      const serverRelativeURL = "/openapi/v3/apis/wardle.example.com/v1?hash=ABC";
      return send({ paths: { "apis/wardle.example.com/v1": { serverRelativeURL } } });
    }
    if (url.includes("watch=")) {
      response.writeHead(200, { "content-type": "application/json" });
      response.write(`${JSON.stringify({ type: "ADDED", object: flunder })}\n`);
      response.end(`${JSON.stringify({ type: "DELETED", object: flunder })}\n`);
      return;
    }
    if (url.endsWith("/flunders/none")) {
      const status = { kind: "Status", status: "Failure", reason: "NotFound", code: 404, message: "no flunder" };
      return send(status, 404);
    }
    if (url.endsWith("/namespaces/empty/flunders")) return send({ kind: "FlunderList", metadata: {}, items: null });
    if (url.endsWith("/flunders") && method === "GET")
      return send({ kind: "FlunderList", metadata: {}, items: [flunder] });
    if (/\/flunders\/a(\?|$)/.test(url)) return send(flunder);
    send({}, 404);
  };
  server.on("upgrade", (_request, socket) => {
    socket.end("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: test\r\n\r\nhello");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const other: Other = { pki, port, seen: [], isBroken: false };
  return other;
}

async function start(context: TestContext): Promise<TestApiServer & { readonly other: Other }> {
  const other = await startOther(context);
  const setup = await startTestApiServer({
    https: true,
    aggregation: {
      certificate: other.pki.frontProxyClient.certificate,
      key: other.pki.frontProxyClient.privateKey,
      findEndpoint: async () => ({ host: "127.0.0.1", port: other.port }),
    },
  });
  context.after(() => setup.stop());
  return { ...setup, other };
}

function apiService(other: Other): APIService {
  return {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: { name: "v1.wardle.example.com" },
    spec: {
      group: "wardle.example.com",
      version: "v1",
      groupPriorityMinimum: 1000,
      versionPriority: 15,
      service: { namespace: "default", name: "wardle", port: 443 },
      caBundle: Buffer.from(other.pki.ca.certificate).toString("base64"),
    },
  };
}

const flunderDefinition = {
  type: "object",
  properties: { metadata: { $ref: "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" } },
  "x-kubernetes-group-version-kind": [{ group: "wardle.example.com", version: "v1", kind: "Flunder" }],
};
const listFlunders = {
  get: { responses: { 200: { schema: { $ref: "#/definitions/com.example.wardle.v1.Flunder" } } } },
};
const openApiV2 = {
  swagger: "2.0",
  paths: {
    "/apis/wardle.example.com/v1/namespaces/{namespace}/flunders": listFlunders,
    "/apis/somebody.else/v1/things": listFlunders,
  },
  definitions: { "com.example.wardle.v1.Flunder": flunderDefinition },
};

const service: KubeObject & { readonly spec: object } = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "wardle", namespace: "default" },
  spec: { ports: [{ port: 443, protocol: "TCP" }] },
};

function slice(ready: boolean): KubeObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "wardle-1", namespace: "default", labels: { "kubernetes.io/service-name": "wardle" } },
    addressType: "IPv4",
    ports: [{ name: "", port: 443, protocol: "TCP" }],
    endpoints: [{ addresses: ["10.0.0.1"], conditions: { ready } }],
  } as KubeObject;
}

const services = { resource: { group: "", version: "v1", resource: "services" }, namespace: "default" } as const;
const slices = {
  resource: { group: "discovery.k8s.io", version: "v1", resource: "endpointslices" },
  namespace: "default",
} as const;

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < 1000; attempt++) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  throw new Error(`it did not happen: ${what}`);
}

async function reason({ client }: TestApiServer, wanted: string): Promise<string> {
  return until(wanted, async () => {
    const { status } = await client.get<APIService>({ resource: apiServices, name: "v1.wardle.example.com" });
    const found = status?.conditions?.find(({ type }) => type === "Available");
    return found?.reason === wanted ? `${found.status}: ${found.message}` : undefined;
  });
}

/** The other server behind its Service, and available. */
async function register(setup: TestApiServer & { readonly other: Other }): Promise<void> {
  const { client, other } = setup;
  await client.create(services, service);
  await client.create(slices, slice(true));
  await client.create({ resource: apiServices }, apiService(other));
  await reason(setup, "Passed");
  other.seen.length = 0;
}

test("the condition Available says what is missing, until nothing is", async (context) => {
  const setup = await start(context);
  const { client, other } = setup;

  other.isBroken = true;
  await client.create({ resource: apiServices }, apiService(other));
  assert.equal(await reason(setup, "ServiceNotFound"), 'False: service/wardle in "default" is not present');
  await client.create(services, { ...service, spec: { ports: [{ port: 80, protocol: "TCP" }] } });
  assert.equal(
    await reason(setup, "ServicePortError"),
    'False: service/wardle in "default" is not listening on port 443',
  );
  await client.patch({ ...services, name: "wardle" }, { type: "merge", body: { spec: service.spec } });
  assert.match(await reason(setup, "EndpointsNotFound"), /cannot find endpointslices for service\/wardle in "default"/);
  await client.create(slices, slice(false));
  assert.match(await reason(setup, "MissingEndpoints"), /have no addresses with port name ""/);
  await client.update({ ...slices, name: "wardle-1" }, slice(true));
  assert.match(await reason(setup, "FailedDiscoveryCheck"), /bad status from \/apis\/wardle.example.com\/v1: 500/);
  other.isBroken = false;
  assert.equal(await reason(setup, "Passed"), "True: all checks passed");
});

test("discovery shows what the other server has, and that it is stale while it does not answer", async (context) => {
  const setup = await start(context);
  await register(setup);
  const { client, other } = setup;
  const signal = new AbortController().signal;
  const found = async () => (await discoverResources(client, signal)).resources.find(({ kind }) => kind === "Flunder");

  assert.deepEqual(await found(), {
    ...flunders,
    kind: "Flunder",
    isNamespaced: true,
    verbs: ["get", "list", "watch"],
  });
  const group = await client.transport.request({ method: "GET", path: "/apis/wardle.example.com" });
  assert.equal(
    (group.body as { readonly preferredVersion: { readonly version: string } }).preferredVersion.version,
    "v1",
  );
  const list = await client.transport.request({ method: "GET", path: "/apis/wardle.example.com/v1" });
  assert.deepEqual(list.body, resourceList);
  const index = await client.transport.request({ method: "GET", path: "/openapi/v3" });
  assert.match(JSON.stringify(index.body), /"\/openapi\/v3\/apis\/wardle.example.com\/v1\?hash=ABC"/);

  other.isBroken = true;
  await client.patch(
    { ...slices, name: "wardle-1" },
    { type: "merge", body: { metadata: { labels: { look: "again" } } } },
  );
  await reason(setup, "FailedDiscoveryCheck");
  assert.deepEqual((await discoverResources(client, signal)).failed, ["wardle.example.com/v1"]);
  await assert.rejects(client.list({ resource: flunders }), { code: 503 });
});

test("what the other server has is in /openapi/v2 as well, asked for once a minute at most, and stays while it does not answer", async (context) => {
  const setup = await start(context);
  await register(setup);
  const { client, other } = setup;
  const get = async (): Promise<{ readonly paths: object; readonly definitions: Record<string, unknown> }> =>
    (await client.transport.request({ method: "GET", path: "/openapi/v2" })).body as never;

  const { paths, definitions } = await get();
  await get();
  other.isBroken = true;

  assert.ok(Object.hasOwn(paths, "/apis/wardle.example.com/v1/namespaces/{namespace}/flunders"));
  assert.ok(!Object.hasOwn(paths, "/apis/somebody.else/v1/things"));
  assert.deepEqual(definitions["com.example.wardle.v1.Flunder"], flunderDefinition);
  assert.ok(Object.hasOwn((await get()).definitions, "com.example.wardle.v1.Flunder"));
  assert.equal(other.seen.filter(({ url }) => url === "/openapi/v2").length, 1);
});

test("requests reach the other server in the user's name, and only in that", async (context) => {
  const setup = await start(context);
  await register(setup);
  const { other, url, pki } = setup;

  const answer = await get(`${url}/apis/wardle.example.com/v1/namespaces/default/flunders/a?pretty=1`, pki, {
    authorization: "Bearer secret",
    "x-remote-user": "somebody else",
    "x-remote-extra-scopes": "all",
    accept: "application/json",
  });

  assert.equal(answer.status, 200);
  assert.match(answer.body, /"kind":"Flunder"/);
  const seen = other.seen.find(({ url: asked }) => asked.includes("/flunders/"));
  assert.equal(seen?.url, "/apis/wardle.example.com/v1/namespaces/default/flunders/a?pretty=1");
  assert.equal(seen?.headers["x-remote-user"], "admin");
  assert.equal(seen?.headers["x-remote-group"], "system:masters, system:authenticated");
  assert.equal(seen?.headers["x-remote-extra-scopes"], undefined);
  assert.equal(seen?.headers["authorization"], undefined);
  assert.equal(seen?.headers["host"], "wardle.default.svc");
});

test("parts in this process get objects, lists, watches and failures from it", async (context) => {
  const setup = await start(context);
  await register(setup);
  const { client, clientAs, other } = setup;
  const inDefault = { resource: flunders, namespace: "default" };
  const signal = new AbortController().signal;

  const list = await client.list<KubeObject>({ resource: flunders }, { signal });
  const types: string[] = [];
  for await (const event of await client.watch(inDefault, { resourceVersion: "0", signal })) types.push(event.type);
  const ann = clientAs({ name: "ann", groups: ["a", "b"], extra: { "example.com/x": ["1"] } });
  await ann.delete({ ...inDefault, name: "a" });

  assert.equal(list.items[0]?.metadata?.name, "a");
  assert.deepEqual((await client.list({ resource: flunders, namespace: "empty" })).items, []);
  assert.deepEqual(types, ["ADDED", "DELETED"]);
  await assert.rejects(client.get({ ...inDefault, name: "none" }), { code: 404, message: "no flunder" });
  const deletion = other.seen.find(({ method }) => method === "DELETE");
  assert.equal(deletion?.headers["x-remote-user"], "ann");
  assert.equal(deletion?.headers["x-remote-extra-example.com%2fx"], "1");
});

test("upgraded connections are passed on", async (context) => {
  const setup = await start(context);
  await register(setup);

  const greeting = await new Promise<string>((resolve, reject) => {
    const request = httpsRequest(`${setup.url}/apis/wardle.example.com/v1/namespaces/default/flunders/a/attach`, {
      ca: setup.pki?.ca.certificate ?? "",
      headers: { connection: "upgrade", upgrade: "test" },
    });
    request.on("upgrade", (_response, socket, head) => {
      let text = String(head);
      socket.on("data", (part: Buffer) => (text += String(part)));
      socket.on("end", () => {
        resolve(text);
        socket.destroy();
      });
    });
    request.on("error", reject);
    request.end();
  });

  assert.equal(greeting, "hello");
});

test("when the APIService goes, so does what it served", async (context) => {
  const setup = await start(context);
  await register(setup);
  const { client } = setup;

  await client.delete({ resource: apiServices, name: "v1.wardle.example.com" });

  await until("gone", async () =>
    client.list({ resource: flunders }).then(
      () => undefined,
      (error: { readonly code: number }) => (error.code === 404 ? true : undefined),
    ),
  );
});

test("what the server serves itself is listed, custom resources as long as they are served", async (context) => {
  const setup = await start(context);
  const { client } = setup;
  const find = (name: string) =>
    client.get<APIService>({ resource: apiServices, name }).catch((error: { readonly code: number }) => {
      if (error.code !== 404) throw error;
    });

  const apps = await until("apps", async () => (await find("v1.apps")) ?? undefined);
  assert.deepEqual(apps.spec, { group: "apps", version: "v1", groupPriorityMinimum: 17_800, versionPriority: 15 });
  assert.equal(apps.status?.conditions?.[0]?.reason, "Local");
  assert.ok(await until("core", async () => (await find("v1.")) ?? undefined));

  const definitions = { group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions" } as const;
  const definition: CustomResourceDefinition = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "bulbs.example.com" },
    spec: {
      group: "example.com",
      scope: "Cluster",
      names: { plural: "bulbs", kind: "Bulb" },
      versions: [{ name: "v1beta1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
    },
  };
  await client.create({ resource: definitions }, definition as KubeObject);
  const custom = await until("custom", async () => (await find("v1beta1.example.com")) ?? undefined);
  assert.equal(custom.spec?.groupPriorityMinimum, 1000);
  await client.delete({ resource: definitions, name: "bulbs.example.com" });
  await until("custom gone", async () => ((await find("v1beta1.example.com")) === undefined ? true : undefined));
});

type Got = { readonly status: number; readonly body: string };

function get(url: string, pki: Pki | undefined, headers: Readonly<Record<string, string>>): Promise<Got> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(url, { ca: pki?.ca.certificate ?? "", headers, agent: false }, (response) => {
      let body = "";
      response.on("data", (part: Buffer) => (body += String(part)));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.on("error", reject);
    request.end();
  });
}
