import assert from "node:assert/strict";
import { createPublicKey, type JsonWebKey } from "node:crypto";
import { test } from "node:test";
import type { TokenRequest, TokenReview } from "#api/generated/types/authentication-v1.ts";
import type { SelfSubjectRulesReview, SubjectAccessReview } from "#api/generated/types/authorization-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { decodeJwt, isSignedBy, verificationKey } from "#apiserver/authentication/jwt.ts";
import { ServiceAccountTokens } from "#apiserver/authentication/service-account-tokens.ts";
import { createAuthorizer } from "#apiserver/authorization/authorizers.ts";
import { bootstrapRbacObjects } from "#apiserver/authorization/bootstrap-policy.ts";
import { RbacAuthorizer } from "#apiserver/authorization/rbac-authorizer.ts";
import { RbacIndex } from "#apiserver/authorization/rbac-index.ts";
import type { RequestInfo, User } from "#apiserver/request.ts";
import { FakeInformer } from "#client/testing/fake-informer.ts";
import { FakeClock } from "#component-base/clock.ts";
import { createKey } from "#component-base/x509.ts";
import { openIdDocuments } from "./openid-metadata.ts";
import { createVirtualResources } from "./virtual-resources.ts";

const issuer = "https://kubernetes.default.svc.cluster.local";
const ann: User = { name: "ann", groups: ["system:authenticated"] };

async function cluster() {
  const objects: Readonly<Record<string, object>> = {
    "serviceaccounts/default/web": { metadata: { name: "web", namespace: "default", uid: "sa-1" } },
    "pods/default/web-0": {
      metadata: { name: "web-0", uid: "pod-1" },
      spec: { serviceAccountName: "web", nodeName: "n1" },
    },
    "nodes//n1": { metadata: { name: "n1", uid: "node-1" } },
  };
  const findObject = (resource: string, namespace: string, name: string) =>
    objects[`${resource}/${namespace}/${name}`] as KubeObject | undefined;
  const clock = new FakeClock();
  const tokens = new ServiceAccountTokens({ issuer, signingKey: createKey(), findObject, clock });
  const of = async (kind: string) =>
    new FakeInformer(
      (await bootstrapRbacObjects()).filter((object) => object.kind === kind),
    ) as unknown as FakeInformer<never>;
  const index = new RbacIndex({
    roles: await of("Role"),
    roleBindings: await of("RoleBinding"),
    clusterRoles: await of("ClusterRole"),
    clusterRoleBindings: await of("ClusterRoleBinding"),
  });
  index.follow();
  const rbac = new RbacAuthorizer(index);
  const handlers = createVirtualResources({
    serviceAccountTokens: tokens,
    tokens,
    authorizer: createAuthorizer([rbac]),
    rbac,
    findObject,
    clock,
  });
  const create = async <T>(key: string, object: object, request: Partial<RequestInfo> = {}): Promise<T> =>
    (await handlers.get(key)?.({
      user: ann,
      request: request as RequestInfo,
      object: object as KubeObject,
      warn() {},
    })) as T;
  const requestToken = (spec: object) =>
    create<TokenRequest>("/serviceaccounts/token", { spec }, { name: "web", namespace: "default" });
  return { tokens, clock, create, requestToken };
}

const podRef = { apiVersion: "v1", kind: "Pod", name: "web-0" };

test("a token request gives a token with upstream's claims", async () => {
  const { requestToken, clock } = await cluster();

  const { status } = await requestToken({ boundObjectRef: podRef, expirationSeconds: 600 });

  const now = clock.now() / 1000;
  const { jti, ...claims } = decodeJwt(status?.token ?? "")?.claims ?? {};
  assert.match(String(jti), /^[0-9a-f-]{36}$/);
  assert.deepEqual(claims, {
    aud: [issuer],
    exp: now + 600,
    iat: now,
    iss: issuer,
    "kubernetes.io": {
      namespace: "default",
      serviceaccount: { name: "web", uid: "sa-1" },
      pod: { name: "web-0", uid: "pod-1" },
      node: { name: "n1", uid: "node-1" },
    },
    nbf: now,
    sub: "system:serviceaccount:default:web",
  });
  assert.equal(status?.expirationTimestamp, "2026-01-01T00:10:00Z");
});

test("a pod's projected token lives a year and is noted after an hour", async () => {
  const { requestToken, clock } = await cluster();

  const { status } = await requestToken({ boundObjectRef: podRef, expirationSeconds: 3607 });

  const claims = decodeJwt(status?.token ?? "")?.claims as { exp: number; "kubernetes.io": { warnafter: number } };
  assert.equal(claims.exp, clock.now() / 1000 + 365 * 86_400);
  assert.equal(claims["kubernetes.io"].warnafter, clock.now() / 1000 + 3607);
  assert.equal(status?.expirationTimestamp, "2026-01-01T01:00:07Z");
});

test("a token request that cannot be met is refused in upstream's words", async () => {
  const { requestToken, create } = await cluster();

  await assert.rejects(requestToken({ expirationSeconds: 10 }), {
    message:
      'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes',
  });
  await assert.rejects(requestToken({ boundObjectRef: { ...podRef, uid: "other" } }), {
    reason: "Conflict",
    message: /the UID in the bound object reference \(other\) does not match the UID in record/,
  });
  await assert.rejects(requestToken({ boundObjectRef: { ...podRef, kind: "ConfigMap" } }), {
    message: "cannot bind token to object of type /v1, Kind=ConfigMap",
  });
  await assert.rejects(create("/serviceaccounts/token", {}, { name: "gone", namespace: "default" }), {
    message: 'serviceaccounts "gone" not found',
  });
});

test("a token review tells whom a token stands for, and why another is wrong", async () => {
  const { requestToken, create } = await cluster();
  const { status } = await requestToken({ audiences: ["vault"] });
  const review = (spec: object) => create<TokenReview>("authentication.k8s.io/tokenreviews", { spec });

  const good = await review({ token: status?.token, audiences: ["vault", "other"] });
  const bad = await review({ token: status?.token });

  assert.equal(good.status?.authenticated, true);
  assert.deepEqual(good.status?.audiences, ["vault"]);
  assert.equal(good.status?.user?.username, "system:serviceaccount:default:web");
  assert.equal(bad.status?.authenticated, false);
  assert.equal(bad.status?.error, `token audiences ["vault"] is invalid for the target audiences ["${issuer}"]`);
});

test("the published keys verify tokens", async () => {
  const { requestToken, tokens } = await cluster();
  const documents = openIdDocuments(tokens, "10.42.255.1:6443");
  const configuration = JSON.parse(documents.get("/.well-known/openid-configuration")?.body ?? "");
  const { keys } = JSON.parse(documents.get("/openid/v1/jwks")?.body ?? "") as {
    keys: (JsonWebKey & { kid: string })[];
  };

  const token = decodeJwt((await requestToken({})).status?.token ?? "");

  assert.deepEqual(configuration, {
    issuer,
    jwks_uri: "https://10.42.255.1:6443/openid/v1/jwks",
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["ES256"],
  });
  const key = createPublicKey({ key: keys[0] as JsonWebKey, format: "jwk" });
  assert.ok(token && isSignedBy(token, [verificationKey(key)]));
  assert.equal(token?.header.kid, keys[0]?.kid);
});

test("access reviews answer for anybody and for oneself", async () => {
  const { create } = await cluster();
  const resourceAttributes = { verb: "list", resource: "pods", namespace: "default" };
  const review = (key: string, spec: object) =>
    create<SubjectAccessReview>(`authorization.k8s.io/${key}`, { kind: "SubjectAccessReview", spec });

  const other = await review("subjectaccessreviews", { user: "root", groups: ["system:masters"], resourceAttributes });
  const self = await review("selfsubjectaccessreviews", { resourceAttributes });

  assert.equal(other.status?.allowed, true);
  assert.equal(self.status?.allowed, false);
  await assert.rejects(review("subjectaccessreviews", { resourceAttributes }), {
    message: /spec\.user: Invalid value: "": at least one of user or group must be specified/,
  });
});

test("a rules review lists what every user may", async () => {
  const { create } = await cluster();

  const { status } = await create<SelfSubjectRulesReview>("authorization.k8s.io/selfsubjectrulesreviews", {
    spec: { namespace: "default" },
  });

  assert.ok(status?.resourceRules.some((rule) => rule.resources?.includes("selfsubjectaccessreviews")));
  assert.ok(status?.nonResourceRules.some((rule) => rule.nonResourceURLs?.includes("/openapi/*")));
  assert.equal(status?.incomplete, false);
});
