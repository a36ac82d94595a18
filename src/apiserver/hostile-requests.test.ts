/**
 * Requests that mean harm, over real sockets to a server with its real access: each gets the status that upstream gives, and stores nothing.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { TokenRequest } from "#api/generated/types/authentication-v1.ts";
import type { FlowSchema } from "#api/generated/types/flowcontrol-v1.ts";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { strategyOf } from "#api/strategies.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { ensurePki, issueClientCertificate, type Pki } from "#component-base/certificates.ts";
import type { KeyPair } from "#component-base/x509.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createMemoryStore } from "#store/memory/memory-store.ts";
import type { Store } from "#store/store.ts";
import { type ApiServer, createApiServer, loopbackUser } from "./api-server.ts";
import { createClusterAccess } from "./cluster-access.ts";
import { createConnecters } from "./connect/connecters.ts";

const issuer = "https://kubernetes.default.svc.cluster.local";
const core = (resource: string) => ({ group: "", version: "v1", resource });
const configMaps = "/api/v1/namespaces/default/configmaps";
const json = "application/json";
const yaml = "application/yaml";

let pki: Pki;
let store: Store;
let server: ApiServer;
let client: Client;
let admin: KeyPair;
let stranger: KeyPair;

before(async () => {
  const folder = await mkdtemp(join(tmpdir(), "hostile-"));
  pki = await ensurePki(folder, { serverAddresses: ["127.0.0.1"], clock: systemClock });
  await rm(folder, { recursive: true });
  store = createMemoryStore();
  const { certificate, privateKey } = pki.server;
  const parts = { clock: systemClock, logger: silentLogger };
  server = createApiServer({
    ...parts,
    store,
    kindFacts: loadKindFacts(),
    findStrategy: (group, _version, kind) => strategyOf(group, kind),
    access: createClusterAccess({
      ...parts,
      clientCa: pki.ca.certificate,
      frontProxyCa: pki.frontProxyCa.certificate,
      serviceAccountKey: pki.serviceAccountKey.privateKey,
      issuer,
      publicAddress: "127.0.0.1",
    }),
    connecters: createConnecters({
      client: () => client,
      nodeCredentials: { certificate, key: privateKey, ca: pki.ca.certificate },
    }),
    https: {
      addresses: ["127.0.0.1"],
      port: 0,
      serving: { certificate, key: privateKey },
      clientCa: pki.ca.certificate,
    },
  });
  await server.start(new AbortController().signal);
  client = server.client(loopbackUser);
  await flowsAreStored();
  admin = issueClientCertificate(pki.ca, {
    commonName: "admin",
    organizations: ["system:masters"],
    clock: systemClock,
  });
  stranger = issueClientCertificate(pki.ca, { commonName: "mallory", organizations: [], clock: systemClock });
  const account = { metadata: { name: "default", namespace: "default" } } as KubeObject;
  await client.create({ resource: core("serviceaccounts"), namespace: "default" }, account);
  const one = { metadata: { name: "one" }, data: { a: "b" } } as KubeObject;
  await client.create({ resource: core("configmaps"), namespace: "default" }, one);
});

// What the server stores beside its start would be taken for something that a request stored.
async function flowsAreStored(): Promise<void> {
  const resource = { group: "flowcontrol.apiserver.k8s.io", version: "v1", resource: "flowschemas" };
  for (;;) {
    const { items } = await client.list<FlowSchema>({ resource });
    if (items.length >= 11 && items.every(({ status }) => status?.conditions?.length === 1)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

after(async () => {
  await client.transport.close();
  await server.stop();
  await store.close();
});

type Answer = { readonly status: number; readonly text: string; readonly message: string };
type Sent = {
  readonly method?: string;
  readonly type?: string;
  readonly body?: string | Buffer;
  readonly as?: KeyPair | undefined;
  readonly headers?: Readonly<Record<string, string>>;
};

function send(path: string, sent: Sent = {}): Promise<Answer> {
  const pair = "as" in sent ? sent.as : admin;
  const options = {
    host: "127.0.0.1",
    port: server.port,
    path,
    method: sent.method ?? (sent.body === undefined ? "GET" : "POST"),
    headers: { "content-type": sent.type ?? json, ...sent.headers },
    ca: pki.ca.certificate,
    agent: false,
    ...(pair === undefined ? {} : { cert: pair.certificate, key: pair.privateKey }),
  };
  return new Promise((resolve, reject) => {
    const request = httpsRequest(options, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text, message: messageOf(text) }));
    });
    request.on("error", reject);
    request.end(sent.body);
  });
}

function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? "";
  } catch {
    return text;
  }
}

/** Sends, and sees to it that nothing was stored. */
async function refused(path: string, sent: Sent, status: number, message: RegExp = /./): Promise<void> {
  const before = store.currentRevision();
  const answer = await send(path, sent);
  assert.equal(answer.status, status, `${path.slice(0, 100)}: ${answer.message.slice(0, 300)}`);
  assert.match(answer.message, message);
  assert.equal(store.currentRevision(), before, "something was stored");
}

test("JSON that is too large, too deep, cut off or no object is refused (CVE-2019-11253)", async () => {
  const post = (body: string, status: number, message: RegExp) => refused(configMaps, { body }, status, message);
  await post(`{"metadata":{"name":"a"},"data":{"a":"${"x".repeat(3_200_000)}"}}`, 413, /limit is 3145728/);
  await post("[".repeat(1_000_000), 400, /exceeded max depth/);
  await post(`{"a":`.repeat(100_000) + "1" + "}".repeat(100_000), 400, /exceeded max depth/);
  await post(`{"metadata":{"name":"a"}`, 400, /unexpected end of JSON input/);
  await post("null", 400, /cannot unmarshal|unrecognized/);
  await post(`{"metadata":{"name":"a"},"data":{"a":${"[".repeat(900)}${"]".repeat(900)}}}`, 400, /cannot unmarshal/);
  await post(`{"metadata":{"name":"a"},"data":{"a":"${"x".repeat(1_100_000)}"}}`, 422, /may not be more than 1048576/);
});

test("keys that stand twice are refused when asked for strictness, and told otherwise", async () => {
  const body = `{"metadata":{"name":"twice"},"data":{"a":"b","a":"c"}}`;
  await refused(`${configMaps}?fieldValidation=Strict`, { body }, 400, /duplicate field "data.a"/);
  const many = `{"metadata":{"name":"twice"},"data":{${Array(5000).fill('"a":"b"').join(",")}}}`;
  await refused(`${configMaps}?fieldValidation=Strict`, { body: many }, 400, /duplicate field "data.a"$/);
  const unknown = Array.from({ length: 50_000 }, (_, index) => `"f${index}":1`).join(",");
  const both = `{"metadata":{"name":"twice"},"data":{${Array(50_000).fill('"a":"b"').join(",")}},${unknown}}`;
  const before = process.cpuUsage();
  await refused(`${configMaps}?fieldValidation=Strict`, { body: both }, 400, /duplicate field "data.a"/);
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 2_000_000, `${user + system} µs`);
  await refused(
    `${configMaps}?fieldValidation=Strict`,
    { body: "metadata: {name: twice}\ndata: {a: b, a: c}\n", type: yaml },
    400,
    /key \\"a\\" already set in map|key "a" already set in map/,
  );
});

test("keys that JavaScript knows are keys like others, and reach no prototype", async () => {
  const body = `{"metadata":{"name":"proto"},"__proto__":{"polluted":"yes"},"constructor":{"prototype":{"polluted":"yes"}},"data":{"__proto__":"a","constructor":"b","toString":"c"}}`;
  const made = await send(configMaps, { body });
  const patch = `{"data":{"__proto__":{"polluted":"yes"}},"__proto__":{"polluted":"yes"}}`;
  const merged = await send(`${configMaps}/proto`, {
    method: "PATCH",
    type: "application/merge-patch+json",
    body: patch,
  });

  assert.equal(made.status, 201, made.message);
  assert.match(made.text, /"__proto__":"a"/);
  assert.ok(merged.status === 400 || merged.status === 422, merged.text);
  assert.equal(({} as { polluted?: string }).polluted, undefined);
  assert.equal(Object.hasOwn(Object.prototype, "polluted"), false);
});

test("bytes that are no UTF-8 are replaced, as Go replaces them", async () => {
  const parts = [
    Buffer.from(`{"metadata":{"name":"utf"},"data":{"a":"`),
    Buffer.from([0xff, 0xc0, 0x61]),
    Buffer.from(`"}}`),
  ];
  const made = await send(configMaps, { body: Buffer.concat(parts) });

  assert.equal(made.status, 201);
  assert.match(made.text, /"a":"\uFFFD\uFFFDa"/);
});

test("YAML that multiplies, nests or breaks is refused (CVE-2019-11253, CVE-2019-11254)", async () => {
  const post = (body: string, message: RegExp) => refused(configMaps, { body, type: yaml }, 400, message);
  const nine = (name: string) => `[${Array(9).fill(name).join(",")}]`;
  const laughs = [
    "a: &a [x,x,x,x,x,x,x,x,x]",
    ..."bcdefgh".split("").map((key, i) => `${key}: &${key} ${nine(`*${"abcdefg"[i]}`)}`),
  ];
  await post(laughs.join("\n"), /alias/i);
  await post("[".repeat(500_000), /max depth/);
  await post(Array.from({ length: 1500 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n"), /max depth/);
  await post('"'.repeat(50_000), /yaml: line 1/);
  await post("\t- a\n", /yaml/);
});

test("patches of very many operations are refused, and what copies itself cannot outgrow the limit (CVE-2019-1002100)", async () => {
  const type = "application/json-patch+json";
  const patch = (operations: readonly object[], status: number, message: RegExp) =>
    refused(`${configMaps}/one`, { method: "PATCH", type, body: JSON.stringify(operations) }, status, message);
  const add = { op: "add", path: "/data/a", value: "b" };
  await patch(Array(50_000).fill(add), 413, /maximum operations in a JSON patch is 10000, got 50000/);
  const copies = Array.from({ length: 60 }, (_, index) => ({ op: "copy", from: "/data", path: `/data/k${index}` }));
  await patch(copies, 422, /./);
  await patch([{ op: "add", path: "/__proto__/polluted", value: "yes" }], 422, /./);
  await patch([{ op: "add", path: "/constructor/prototype/polluted", value: "yes" }], 422, /./);
  assert.equal(({} as { polluted?: string }).polluted, undefined);
});

test("selectors of nearly a megabyte are answered, broken ones refused, and neither takes long", async () => {
  const values = Array.from({ length: 90_000 }, (_, index) => `v${index}`).join(",");
  const before = process.cpuUsage();
  const many = await send(
    `${configMaps}?labelSelector=${encodeURIComponent("a in (")}${values}${encodeURIComponent(")")}`,
  );
  const requirements = Array.from({ length: 60_000 }, (_, index) => `k${index}!=v`).join(",");
  const each = await send(`${configMaps}?labelSelector=${requirements}`);
  await refused(`${configMaps}?labelSelector=${"(".repeat(500_000)}`, {}, 400);
  await refused(`${configMaps}?fieldSelector=${"a".repeat(500_000)}`, {}, 400);
  const { user, system } = process.cpuUsage(before);

  assert.deepEqual([many.status, each.status], [200, 200], many.message.slice(0, 200));
  assert.ok(user + system < 3_000_000, `${user + system} µs`);
});

test("paths that go up or are encoded once more lead nowhere, and give nobody what is not his", async () => {
  await refused(`${configMaps}/%2e%2e`, {}, 400, /Name parameter invalid: ".."/);
  await refused(`${configMaps}/%252e%252e`, {}, 400, /may not contain '%'/);
  await refused("/api/v1/namespaces/default/../kube-system/secrets", {}, 404);
  await refused(`${configMaps}/..%2f..%2fkube-system%2fsecrets`, {}, 404);
  await refused(`${configMaps}/%zz`, {}, 400);
  await refused(`${configMaps}/a%00b`, {}, 404);
  for (const path of [
    "/api/v1/namespaces/default/../kube-system/secrets",
    "/api/v1/namespaces/default%2f..%2fkube-system/secrets",
    "//api/v1/secrets",
    "/api/v1/namespaces/kube-system/secrets/%2e",
    "/healthz/../api/v1/secrets",
    "/version%2f..%2fapi/v1/secrets",
  ]) {
    await refused(path, { as: stranger }, 403, /cannot get|cannot list|forbidden/);
  }
});

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

test("tokens that are forged, unsigned, signed with the public key, expired, or of nobody any more are refused", async () => {
  const ref = { resource: core("serviceaccounts"), namespace: "default", name: "victim" };
  await client.create({ ...ref, name: "" }, { metadata: { name: "victim" } } as KubeObject);
  const asked = { spec: { expirationSeconds: 600 } } as TokenRequest;
  const { status } = await client.create<TokenRequest>({ ...ref, subresource: "token" }, asked);
  const token = status?.token ?? "";
  const [head = "", payload = "", signature = ""] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
  const header = JSON.parse(Buffer.from(head, "base64url").toString()) as Record<string, unknown>;
  const hs = `${part({ ...header, alg: "HS256" })}.${payload}`;
  const forged = {
    none: `${part({ ...header, alg: "none" })}.${payload}.`,
    None: `${part({ ...header, alg: "None" })}.${payload}.${signature}`,
    hmac: `${hs}.${createHmac("sha256", pki.serviceAccountKey.publicKey).update(hs).digest("base64url")}`,
    another: `${head}.${part({ ...claims, sub: "system:serviceaccount:kube-system:admin" })}.${signature}`,
    later: `${head}.${part({ ...claims, exp: 4_000_000_000 })}.${signature}`,
    cut: `${head}.${payload}.${signature.slice(0, -4)}`,
    empty: "..",
    huge: `${head}.${"a".repeat(500_000)}.${signature}`,
    key: `${part({ ...header, jwk: { kty: "oct", k: "AAAA" }, kid: "../../etc/passwd" })}.${payload}.${signature}`,
  };
  const bearer = (text: string): Sent => ({ as: undefined, headers: { authorization: `Bearer ${text}` } });
  const reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

  assert.equal((await send(reviews, { ...bearer(token), body: "{}" })).status, 201);
  for (const [what, text] of Object.entries(forged)) {
    const answer = await send(configMaps, bearer(text));
    assert.deepEqual([answer.status, answer.message], [401, "Unauthorized"], what);
  }
  await client.delete(ref);
  assert.equal((await send(reviews, { ...bearer(token), body: "{}" })).status, 401);
  await refused(configMaps, { as: undefined }, 403, /system:anonymous/);
  await refused(configMaps, { ...bearer("x"), as: undefined, body: "{}" }, 401);
});

test("exec, attach, port-forward and proxy need their right before anything is opened (CVE-2018-1002105)", async () => {
  const pod = {
    metadata: { name: "p" },
    spec: { nodeName: "n1", containers: [{ name: "c", image: "i" }] },
  } as KubeObject;
  await client.create({ resource: core("pods"), namespace: "default" }, pod);
  const upgrade = { connection: "Upgrade", upgrade: "SPDY/3.1", "x-stream-protocol-version": "v4.channel.k8s.io" };
  for (const subresource of ["exec?command=sh", "attach", "portforward", "proxy/", "log"]) {
    const path = `/api/v1/namespaces/default/pods/p/${subresource}`;
    for (const as of [stranger, undefined]) {
      await refused(path, { as }, 403, /forbidden: User "(mallory|system:anonymous)" cannot/);
      await refused(path, { as, headers: upgrade }, 403, /forbidden: User/);
      if (subresource !== "log") await refused(path, { as, method: "POST", headers: upgrade }, 403, /forbidden: User/);
    }
  }
});

test("headers that make somebody else of a client count only for who may", async () => {
  const impersonate = { "impersonate-user": "system:admin", "impersonate-group": "system:masters" };
  await refused(configMaps, { as: stranger, headers: impersonate }, 403, /cannot impersonate/);
  await refused(configMaps, { as: stranger, headers: { "impersonate-group": "system:masters" } }, 500);
  await refused(
    configMaps,
    { as: stranger, headers: { "x-remote-user": "admin", "x-remote-group": "system:masters" } },
    403,
    /mallory/,
  );
});
