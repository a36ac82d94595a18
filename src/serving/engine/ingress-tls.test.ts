/**
 * The scenarios `tls` and `httpoption` of Knative networking's ingress conformance, through a node's data plane: Secrets as certificates, and what becomes of requests without TLS.
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import { request as requestTls } from "node:https";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import type { Pod } from "#api/generated/types/core-v1.ts";
import type { Client } from "#client/client.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { until } from "#client/testing/settle.ts";
import { issueServerCertificate } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createCa, type KeyPair } from "#component-base/x509.ts";
import { ProxyEngine } from "#proxy/engine.ts";
import { type Ingress, ingresses } from "#serving/kinds.ts";
import { annotations, labels } from "#serving/names.ts";
import { ingressClass } from "#serving/route/ingress-of.ts";
import { dataPlanes } from "./data-plane-object.ts";
import { revisionHold } from "./engine-config.ts";
import { NodeEngine } from "./node-engine.ts";

const namespace = "serving-tests";
const secrets = { group: "", version: "v1", resource: "secrets" };
const validity = { notBeforeMs: Date.now() - 1000, notAfterMs: Date.now() + 3_600_000 };
const ca = createCa({ subject: { commonName: "test" }, usages: [], ...validity });

type House = {
  readonly client: Client;
  readonly node: NodeEngine;
  readonly engine: ProxyEngine;
  /** How many Ingresses had certificates, as it was told. */
  readonly secured: number[];
};
type Answer = { readonly status: number; readonly location: string | undefined; readonly subject: string | undefined };

function pairFor(host: string): KeyPair {
  return issueServerCertificate(ca, { commonName: host, addresses: [host], clock: systemClock });
}

function secretOf(name: string, { certificate, privateKey }: KeyPair): object {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  return {
    metadata: { name },
    type: "kubernetes.io/tls",
    data: { "tls.crt": base64(certificate), "tls.key": base64(privateKey) },
  };
}

function ingressOf(host: string, httpOption: "Enabled" | "Redirected"): Ingress {
  const split = { serviceName: "app", serviceNamespace: namespace, servicePort: 80, percent: 100 };
  return {
    metadata: { name: host, namespace, annotations: { [annotations.ingressClass]: ingressClass } },
    spec: {
      httpOption,
      rules: [{ hosts: [host], visibility: "ExternalIP", http: { paths: [{ splits: [split] }] } }],
      tls: [{ hosts: [host], secretName: host, secretNamespace: namespace }],
    },
  };
}

function fingerprintOf({ certificate }: KeyPair): string {
  return new X509Certificate(certificate).fingerprint256;
}

async function fingerprintAt({ engine }: House, servername: string): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port: engine.portOf("secure"), servername, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

/** A data plane with a program behind revision `app`. */
async function start(t: TestContext): Promise<House> {
  const client = createClient(new FakeTransport({ clock: systemClock }));
  await client.create({ resource: dataPlanes }, { metadata: { name: "n1" } });
  const informers = createInformerFactory({ client, clock: systemClock, logger: silentLogger });
  const secured: number[] = [];
  const node = new NodeEngine({
    nodeName: "n1",
    client,
    informers,
    listeners: { open: "open", secure: "secure", local: "local" },
    addresses: [],
    httpPort: 80,
    onSecured: (count) => secured.push(count),
    clock: systemClock,
    logger: silentLogger,
  });
  const engine = new ProxyEngine({ clock: systemClock, holds: new Map([[revisionHold, node.hold]]) });
  const address = { host: "127.0.0.1", port: 0 };
  const tls = { certificates: ["default"], showsAll: true };
  await engine.apply([
    { set: { kind: "certificate", config: { name: "default", ...pairFor("default.invalid") } } },
    { set: { kind: "listener", config: { name: "open", address } } },
    { set: { kind: "listener", config: { name: "secure", address, tls } } },
    { set: { kind: "listener", config: { name: "local", address } } },
  ]);
  const program = createServer((_asked, response) => response.end("hello"));
  program.listen(0, "127.0.0.1");
  await once(program, "listening");
  await informers.start(new AbortController().signal);
  await node.start(engine);
  t.after(async () => {
    program.close();
    await Promise.all([node.stop(), informers.stop(), engine.stop(0)]);
  });
  const pod = {
    metadata: { name: "app", namespace, uid: "1", labels: { [labels.revision]: "app" } },
    spec: {
      nodeName: "n1",
      containers: [
        { name: "user", ports: [{ name: "user-port", containerPort: (program.address() as AddressInfo).port }] },
      ],
    },
    status: {
      podIP: "127.0.0.1",
      conditions: [{ type: "Ready", status: "True" }],
      containerStatuses: [{ name: "user", state: { running: {} } }],
    },
  };
  node.onLocalPod(pod as unknown as Pod);
  return { client, node, engine, secured };
}

/** As curl would with this CA; `subject` is whose certificate was shown. */
async function ask({ engine }: House, url: string): Promise<Answer> {
  const { protocol, hostname, pathname: path } = new URL(url);
  const isTls = protocol === "https:";
  const place = { host: "127.0.0.1", port: engine.portOf(isTls ? "secure" : "open"), path, agent: false } as const;
  const options = { ...place, headers: { host: hostname } };
  const sent = isTls ? requestTls({ ...options, servername: hostname, rejectUnauthorized: false }) : request(options);
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  response.resume();
  const subject = isTls ? (response.socket as TLSSocket).getPeerCertificate().subject.CN : undefined;
  return { status: response.statusCode ?? 0, location: response.headers.location, subject };
}

test("tls: a host with a certificate answers with it, and without TLS as well", async (t) => {
  const house = await start(t);
  await house.client.create({ resource: secrets, namespace }, secretOf("a.example", pairFor("a.example")));
  await house.client.create<Ingress>({ resource: ingresses, namespace }, ingressOf("a.example", "Enabled"));
  await until(async () => (await ask(house, "https://a.example/")).subject === "a.example", "the certificate");

  assert.equal((await ask(house, "https://a.example/")).status, 200);
  assert.equal((await ask(house, "http://a.example/")).status, 200);
  assert.deepEqual(house.secured, [1]);
});

test("httpoption: where it is Redirected, requests without TLS are sent to where there is", async (t) => {
  const house = await start(t);
  for (const [host, option] of [
    ["open.example", "Enabled"],
    ["closed.example", "Redirected"],
  ] as const) {
    await house.client.create({ resource: secrets, namespace }, secretOf(host, pairFor(host)));
    await house.client.create<Ingress>({ resource: ingresses, namespace }, ingressOf(host, option));
  }
  await until(
    async () => (await ask(house, "https://closed.example/")).subject === "closed.example",
    "the certificate",
  );

  assert.equal((await ask(house, "http://open.example/x")).status, 200);
  const sent = await ask(house, "http://closed.example/x");
  assert.deepEqual([sent.status, sent.location], [301, "https://closed.example/x"]);
  house.node.useSecurePort(8443);
  await until(
    async () => (await ask(house, "http://closed.example/x")).location === "https://closed.example:8443/x",
    "the port where TLS is taken",
  );
});

test("a certificate may come later, be replaced, and go", async (t) => {
  const house = await start(t);
  const [ref, host] = [{ resource: secrets, namespace }, "late.example"];
  await house.client.create<Ingress>({ resource: ingresses, namespace }, ingressOf(host, "Enabled"));
  await until(() => Promise.resolve(house.secured.length === 1), "the route");
  assert.equal((await ask(house, `https://${host}/`)).subject, "default.invalid");

  await house.client.create(ref, secretOf(host, pairFor(host)));
  await until(async () => (await ask(house, `https://${host}/`)).subject === host, "the certificate");
  const other = { ...pairFor(host) };
  await house.client.patch({ ...ref, name: host }, { type: "merge", body: secretOf(host, other) });
  await until(async () => (await fingerprintAt(house, host)) === fingerprintOf(other), "the new one");
  await house.client.delete({ resource: ingresses, namespace, name: host });
  await until(async () => (await ask(house, `https://${host}/`)).subject === "default.invalid", "its end");
  assert.deepEqual(house.secured, [1, 0]);
});
