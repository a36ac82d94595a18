/**
 * What the control plane does for Ingresses: statuses, events, and the right to read certificates; against an API in memory.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Event } from "#api/generated/types/core-v1.ts";
import type { Ingress, IngressSpec } from "#api/generated/types/networking-v1.ts";
import type { Role, RoleBinding } from "#api/generated/types/rbac-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import type { ControllerContext } from "#client/controller.ts";
import { createEventRecorder } from "#client/event-recorder.ts";
import { createInformerFactory } from "#client/informer-factory.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { settle, until } from "#client/testing/settle.ts";
import { issueServerCertificate } from "#component-base/certificates.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createCa } from "#component-base/x509.ts";
import { createIngressController } from "./ingress-controller.ts";
import { createIngressSecretRoles } from "./ingress-secret-roles.ts";
import { NamedSecrets } from "#client/named-secrets.ts";

const core = (resource: string) => ({ group: "", version: "v1", resource });
const networking = (resource: string) => ({ group: "networking.k8s.io", version: "v1", resource });
const rbac = (resource: string) => ({ group: "rbac.authorization.k8s.io", version: "v1", resource });
const namespace = "default";
const annotation = "nodeless.dev/http-listeners";

class House {
  readonly clock = new FakeClock();
  readonly client: Client;

  constructor(client: Client) {
    this.client = client;
  }

  static async start(t: TestContext): Promise<House> {
    const clock = new FakeClock();
    const house = Object.assign(new House(createClient(new FakeTransport({ clock }))), { clock });
    const { client } = house;
    await client.create({ resource: networking("ingressclasses") }, {
      metadata: { name: "nodeless" },
      spec: { controller: "nodeless.dev/ingress" },
    } as KubeObject);
    const informers = createInformerFactory({ client, clock, logger: silentLogger });
    const recorder = createEventRecorder({ client, component: "c", clock, logger: silentLogger });
    const context: ControllerContext = { client, informers, recorderFor: () => recorder, clock, logger: silentLogger };
    const secrets = new NamedSecrets(context);
    const controllers = [
      createIngressSecretRoles({ ...context, readers: "nodes" }),
      createIngressController({ ...context, secrets }),
    ];
    const { signal } = new AbortController();
    await Promise.all([informers.start(signal), recorder.start(signal)]);
    await Promise.all(controllers.map((controller) => controller.start(signal)));
    t.after(async () => {
      await Promise.all([...controllers, recorder, informers].map((part) => part.stop()));
      secrets.want(new Set());
    });
    return house;
  }

  async node(name: string, listeners: readonly object[] | undefined): Promise<void> {
    const annotations = { [annotation]: listeners === undefined ? null : JSON.stringify(listeners) };
    const body = { metadata: { name, annotations } };
    try {
      await this.client.patch({ resource: core("nodes"), name }, { type: "merge", body });
    } catch {
      await this.client.create({ resource: core("nodes") }, body as KubeObject);
    }
  }

  async ingress(name: string, spec: IngressSpec, annotations: Record<string, string> = {}): Promise<void> {
    const object = { metadata: { name, annotations }, spec: { ingressClassName: "nodeless", ...spec } };
    await this.client.create({ resource: networking("ingresses"), namespace }, object as KubeObject);
  }

  service(name: string): Promise<KubeObject> {
    const object = { metadata: { name }, spec: { ports: [{ name: "http", port: 80 }] } };
    return this.client.create({ resource: core("services"), namespace }, object as KubeObject);
  }

  secret(name: string, data: Readonly<Record<string, string>>): Promise<KubeObject> {
    const encoded = Object.fromEntries(
      Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
    );
    const object = { metadata: { name }, type: "kubernetes.io/tls", data: encoded };
    return this.client.create({ resource: core("secrets"), namespace }, object as KubeObject);
  }

  async addresses(name: string): Promise<unknown> {
    const { status } = await this.client.get<Ingress>({ resource: networking("ingresses"), namespace, name });
    return status?.loadBalancer?.ingress;
  }

  /** "Reason: message" of those that were recorded about the Ingress. */
  async events(name: string): Promise<readonly string[]> {
    const { items } = await this.client.list<Event>({ resource: core("events"), namespace });
    return items
      .filter(({ involvedObject }) => involvedObject.name === name)
      .map(({ reason, message }) => `${reason}: ${message}`)
      .toSorted();
  }

  /** Lets what is under way happen, and so much time pass. */
  async pass(ms = 20): Promise<void> {
    await settle(60);
    await this.clock.advance(ms);
    await settle(60);
  }

  async role(): Promise<readonly [readonly string[] | undefined, string | undefined]> {
    const ref = (resource: string) => ({ resource: rbac(resource), namespace, name: "nodeless:ingress-secrets" });
    const role = await this.client.get<Role>(ref("roles")).catch(() => undefined);
    const binding = await this.client.get<RoleBinding>(ref("rolebindings")).catch(() => undefined);
    return [role?.rules?.[0]?.resourceNames, binding?.subjects?.[0]?.name];
  }
}

const to = (name: string, port = 80): IngressSpec => ({
  defaultBackend: { service: { name, port: { number: port } } },
});
const validity = { notBeforeMs: Date.UTC(2025, 11, 1), notAfterMs: Date.UTC(2030, 0, 1) };

test("the status has all places where nodes take requests, and follows them", async (t) => {
  const house = await House.start(t);
  await house.service("web");
  await house.node("b", [{ address: "10.0.0.3", httpPort: 8080 }]);
  await house.node("a", [{ address: "10.0.0.2", httpPort: 80, httpsPort: 443 }]);
  await house.ingress("i", to("web"));
  const ports = (...numbers: readonly number[]) => numbers.map((port) => ({ port, protocol: "TCP" }));
  await until(async () => (await house.addresses("i")) !== undefined);
  assert.deepEqual(await house.addresses("i"), [
    { ip: "10.0.0.2", ports: ports(80, 443) },
    { ip: "10.0.0.3", ports: ports(8080) },
  ]);
  await house.node("a", undefined);
  await house.pass();
  assert.deepEqual(await house.addresses("i"), [{ ip: "10.0.0.3", ports: ports(8080) }]);
  await house.node("b", undefined);
  await house.pass();

  assert.deepEqual(await house.addresses("i"), [{ ip: "10.0.0.3", ports: ports(8080) }]);
});

test("other classes' Ingresses are left alone", async (t) => {
  const house = await House.start(t);
  await house.node("a", [{ address: "10.0.0.2", httpPort: 80 }]);
  const tls = [{ secretName: "s" }];
  await house.ingress("theirs", { ...to("none"), tls, ingressClassName: "nginx" });
  await house.pass(10_000);

  assert.deepEqual(
    [await house.addresses("theirs"), await house.events("theirs"), await house.role()],
    [undefined, [], [undefined, undefined]],
  );
});

test("an Ingress is told Sync for each change, and once what is wrong with it", async (t) => {
  const house = await House.start(t);
  const nginx = "nginx.ingress.kubernetes.io/";
  await house.service("web");
  await house.ingress(
    "i",
    {
      ...to("web", 81),
      rules: [
        { http: { paths: [{ path: "/", pathType: "Prefix", backend: { resource: { kind: "Bucket", name: "b" } } }] } },
      ],
    },
    { [`${nginx}limit-rps`]: "5", [`${nginx}ssl-redirect`]: "sure" },
  );
  await house.pass();
  const atOnce = [
    `InvalidAnnotation: ${nginx}ssl-redirect: "sure" is not "true" or "false"`,
    "Sync: Scheduled for sync",
    'UnsupportedBackend: backend Bucket "b" is no Service: requests get 503',
    `UnsupportedAnnotations: not followed: ${nginx}limit-rps`,
  ].toSorted();
  assert.deepEqual(await house.events("i"), atOnce);
  await house.pass(10_000);
  await house.node("a", [{ address: "10.0.0.2", httpPort: 80 }]);
  await house.pass(10_000);

  assert.deepEqual(await house.events("i"), [...atOnce, 'PortNotFound: service "web" has no port 81'].toSorted());
});

test("what comes a moment after the Ingress is not missed", async (t) => {
  const house = await House.start(t);
  await house.ingress("i", { ...to("late"), tls: [{ secretName: "late" }] });
  await house.pass(1000);
  await house.service("late");
  const ca = createCa({ subject: { commonName: "ca" }, usages: [], ...validity });
  const { certificate, privateKey } = issueServerCertificate(ca, {
    commonName: "a",
    addresses: ["a"],
    clock: house.clock,
  });
  await house.secret("late", { "tls.crt": certificate, "tls.key": privateKey });
  await house.pass(10_000);

  assert.deepEqual(await house.events("i"), ["Sync: Scheduled for sync"]);
});

test("what never comes is told after a while, and so are certificates that are no good", async (t) => {
  const house = await House.start(t);
  await house.service("web");
  const ca = createCa({ subject: { commonName: "ca" }, usages: [], ...validity });
  const pair = (host: string) =>
    issueServerCertificate(ca, { commonName: host, addresses: [host], clock: house.clock });
  const { certificate, privateKey } = pair("a.example");
  await house.secret("good", { "tls.crt": certificate, "tls.key": privateKey });
  await house.secret("mixed", { "tls.crt": certificate, "tls.key": pair("b").privateKey });
  await house.secret("empty", { "tls.crt": certificate });
  const tls = ["good", "mixed", "empty", "none"].map((secretName) => ({
    secretName,
    hosts: ["a.example", "b.example"],
  }));
  await house.ingress("i", { ...to("none"), tls });
  await house.pass(10_000);
  await house.pass(10_000);

  assert.deepEqual(await house.events("i"), [
    'CertificateMismatch: the certificate of secret "good" is not for b.example: the default certificate is shown there',
    'InvalidSecret: secret "empty": it has no tls.key: the default certificate is shown',
    'InvalidSecret: secret "mixed": tls.key is not the key of tls.crt: the default certificate is shown',
    'SecretNotFound: secret "none" not found: the default certificate is shown',
    'ServiceNotFound: service "none" not found',
    "Sync: Scheduled for sync",
  ]);
});

test("nodes may read the Secrets that Ingresses name, as long as they do, and no others", async (t) => {
  const house = await House.start(t);
  await house.ingress("a", { ...to("web"), tls: [{ secretName: "one" }, { hosts: ["no-secret"] }] });
  await house.ingress("b", { ...to("web"), tls: [{ secretName: "two" }, { secretName: "one" }] });
  await house.pass();
  assert.deepEqual(await house.role(), [["one", "two"], "nodes"]);
  const remove = (name: string) => house.client.delete({ resource: networking("ingresses"), namespace, name });
  await remove("b");
  await house.pass();
  assert.deepEqual(await house.role(), [["one"], "nodes"]);
  await remove("a");
  await house.pass();

  assert.deepEqual(await house.role(), [undefined, undefined]);
});
