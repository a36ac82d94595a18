import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { TokenRequest } from "#api/generated/types/authentication-v1.ts";
import type { SelfSubjectAccessReview } from "#api/generated/types/authorization-v1.ts";
import type { ConfigMap, Pod, Secret } from "#api/generated/types/core-v1.ts";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { strategyOf } from "#api/strategies.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import { createHttpTransport } from "#client/http-transport.ts";
import { createClient } from "#client/rest-client.ts";
import { ensurePki, issueClientCertificate } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createMemoryStore } from "#store/memory/memory-store.ts";
import { createApiServer } from "./api-server.ts";
import { createClusterAccess } from "./cluster-access.ts";

const core = (resource: string) => ({ group: "", version: "v1", resource });

async function cluster(context: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "access-"));
  const pki = await ensurePki(folder, { serverAddresses: ["127.0.0.1"], clock: systemClock });
  await rm(folder, { recursive: true });
  const kindFacts = loadKindFacts();
  const store = createMemoryStore();
  const server = createApiServer({
    clock: systemClock,
    logger: silentLogger,
    kindFacts,
    store,
    findStrategy: (group, _version, kind) => strategyOf(group, kind),
    access: createClusterAccess({
      clientCa: pki.ca.certificate,
      frontProxyCa: pki.frontProxyCa.certificate,
      serviceAccountKey: pki.serviceAccountKey.privateKey,
      issuer: "https://kubernetes.default.svc.cluster.local",
      publicAddress: "127.0.0.1",
      clock: systemClock,
      logger: silentLogger,
    }),
    https: {
      addresses: ["127.0.0.1"],
      port: 0,
      serving: { certificate: pki.server.certificate, key: pki.server.privateKey },
      clientCa: pki.ca.certificate + pki.frontProxyCa.certificate,
    },
  });
  const clients: Client[] = [];
  context.after(async () => {
    await Promise.all(clients.map((client) => client.transport.close()));
    await server.stop();
    await store.close();
  });
  const { signal } = new AbortController();
  await server.start(signal);
  const as = (options: { commonName?: string; organizations?: readonly string[]; bearerToken?: string }): Client => {
    const { commonName, organizations = [], bearerToken } = options;
    const pair =
      commonName === undefined
        ? undefined
        : issueClientCertificate(pki.ca, { commonName, organizations, clock: systemClock });
    const client = createClient(
      createHttpTransport({
        server: `https://127.0.0.1:${server.port}`,
        ca: pki.ca.certificate,
        ...(pair ? { clientCertificate: { certificate: pair.certificate, key: pair.privateKey } } : {}),
        ...(bearerToken === undefined ? {} : { bearerToken }),
      }),
    );
    clients.push(client);
    return client;
  };
  return { as, admin: as({ commonName: "admin", organizations: ["system:masters"] }) };
}

test("a cluster lets in whom it knows, allows what roles say, and gives pods tokens that work until they are gone", async (context) => {
  const { as, admin } = await cluster(context);
  const account = { metadata: { name: "default", namespace: "default" } };
  await admin.create({ resource: core("serviceaccounts"), namespace: "default" }, account as KubeObject);

  const stranger = as({ commonName: "ann" });
  await assert.rejects(stranger.list({ resource: core("pods"), namespace: "default" }), {
    reason: "Forbidden",
    message: 'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default"',
  });
  await assert.rejects(as({}).list({ resource: core("pods"), namespace: "default" }), {
    reason: "Forbidden",
    message: /User "system:anonymous" cannot list/,
  });
  await assert.rejects(as({ bearerToken: "nonsense" }).list({ resource: core("pods"), namespace: "default" }), {
    reason: "Unauthorized",
  });
  const review: SelfSubjectAccessReview = {
    spec: { resourceAttributes: { verb: "list", resource: "pods", namespace: "default" } },
  };
  const reviews = { resource: { group: "authorization.k8s.io", version: "v1", resource: "selfsubjectaccessreviews" } };
  assert.equal((await stranger.create<SelfSubjectAccessReview>(reviews, review)).status?.allowed, false);
  assert.equal((await admin.create<SelfSubjectAccessReview>(reviews, review)).status?.allowed, true);

  const pod = {
    metadata: { name: "web" },
    spec: { nodeName: "n1", terminationGracePeriodSeconds: 0, containers: [{ name: "c", image: "nginx" }] },
  } as KubeObject;
  const made = await admin.create<Pod>({ resource: core("pods"), namespace: "default" }, pod as Pod);
  assert.equal(made.spec?.serviceAccountName, "default");
  assert.equal(made.spec?.priority, 0);
  assert.match(made.spec?.volumes?.[0]?.name ?? "", /^kube-api-access-/);

  const node = as({ commonName: "system:node:n1", organizations: ["system:nodes"] });
  const boundObjectRef = { apiVersion: "v1", kind: "Pod", name: "web", uid: made.metadata?.uid as string };
  const tokenRef = { resource: core("serviceaccounts"), namespace: "default", name: "default", subresource: "token" };
  const { status } = await node.create<TokenRequest>(tokenRef, {
    spec: { boundObjectRef, expirationSeconds: 3607 },
  } as TokenRequest);
  const inPod = as({ bearerToken: status?.token ?? "" });
  await assert.rejects(inPod.list({ resource: core("pods"), namespace: "default" }), {
    message: /User "system:serviceaccount:default:default" cannot list resource "pods"/,
  });
  await assert.rejects(
    as({ commonName: "system:node:n2", organizations: ["system:nodes"] }).create(tokenRef, {
      spec: { boundObjectRef },
    } as TokenRequest),
    {
      reason: "Forbidden",
      message: /no relationship found between node 'n2' and this object/,
    },
  );

  const annotations = { "kubernetes.io/service-account.name": "default" };
  const kept = await admin.create<Secret>({ resource: core("secrets"), namespace: "default" }, {
    metadata: { name: "long", annotations },
    type: "kubernetes.io/service-account-token",
  } as Secret);
  const longToken = Buffer.from(kept.data?.["token"] ?? "", "base64").toString();
  await assert.rejects(as({ bearerToken: longToken }).list({ resource: core("pods"), namespace: "default" }), {
    message: /User "system:serviceaccount:default:default" cannot list resource "pods"/,
  });

  const published = {
    resource: core("configmaps"),
    namespace: "kube-system",
    name: "extension-apiserver-authentication",
  };
  const { data } = await admin.get<ConfigMap>(published);
  assert.equal(data?.["requestheader-username-headers"], '["X-Remote-User"]');
  assert.match(data?.["client-ca-file"] ?? "", /BEGIN CERTIFICATE/);

  await admin.delete({ resource: core("pods"), namespace: "default", name: "web" }, { gracePeriodSeconds: 0 });
  await assert.rejects(inPod.list({ resource: core("pods"), namespace: "default" }), { reason: "Unauthorized" });
});

test("a policy in CEL refuses writes once it is seen, and says that it is", async (context) => {
  const { admin } = await cluster(context);
  const registration = (resource: string) => ({ group: "admissionregistration.k8s.io", version: "v1", resource });
  const policies = registration("validatingadmissionpolicies");
  const rule = { apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"], operations: ["CREATE"] };
  const policy = {
    metadata: { name: "named" },
    spec: { matchConstraints: { resourceRules: [rule] }, validations: [{ expression: "object.data.name != 'bad'" }] },
  };
  await admin.create({ resource: policies }, policy as KubeObject);
  const binding = { metadata: { name: "named" }, spec: { policyName: "named", validationActions: ["Deny"] } };
  await admin.create({ resource: registration("validatingadmissionpolicybindings") }, binding as KubeObject);
  const create = (name: string, data: string): Promise<KubeObject> =>
    admin.create({ resource: core("configmaps"), namespace: "default" }, {
      metadata: { name },
      data: { name: data },
    } as KubeObject);

  const why = "ValidatingAdmissionPolicy 'named' with binding 'named' denied request: failed expression";
  const refused = { reason: "Invalid", code: 422, message: new RegExp(`configmaps "b\\d+" is forbidden: ${why}`) };
  await assert.rejects(async () => {
    // The server hears of the policy a moment after the client.
    for (let attempt = 0; attempt < 500; attempt++) await create(`b${attempt}`, "bad");
  }, refused);
  await create("good", "good");

  type Seen = KubeObject & {
    readonly status?: { readonly typeChecking?: object; readonly observedGeneration?: number };
  };
  let seen = await admin.get<Seen>({ resource: policies, name: "named" });
  for (let attempt = 0; attempt < 500 && seen.status?.typeChecking === undefined; attempt++) {
    seen = await admin.get<Seen>({ resource: policies, name: "named" });
  }
  assert.equal(seen.status?.observedGeneration, 1);
});
