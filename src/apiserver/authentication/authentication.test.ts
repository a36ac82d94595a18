import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import type { Authenticator, Credentials } from "#apiserver/request.ts";
import { issueClientCertificate, issueServerCertificate } from "#component-base/certificates.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { createCa, createKey, type KeyPair } from "#component-base/x509.ts";
import { createAuthenticator } from "./authenticators.ts";
import { BootstrapTokenAuthenticator } from "./bootstrap-token.ts";
import { ServiceAccountTokens } from "./service-account-tokens.ts";
import { anyToken } from "./token-authenticator.ts";
import { takeWebSocketBearer } from "./web-socket-bearer.ts";

const issuer = "https://kubernetes.default.svc.cluster.local";

function cluster() {
  const clock = new FakeClock();
  const newCa = (commonName: string) =>
    createCa({
      subject: { commonName },
      usages: ["cert sign"],
      notBeforeMs: clock.now() - 1000,
      notAfterMs: clock.now() + 1e12,
    });
  const ca = newCa("nodeless");
  const frontProxyCa = newCa("front-proxy-ca");
  const objects = new Map<string, KubeObject>([
    ["serviceaccounts/default/web", { metadata: { name: "web", uid: "sa-1" } }],
    ["pods/default/web-0", { metadata: { name: "web-0", uid: "pod-1" } }],
  ]);
  const findObject = (resource: string, namespace: string, name: string) =>
    objects.get(`${resource}/${namespace}/${name}`);
  const tokens = new ServiceAccountTokens({ issuer, signingKey: createKey(), findObject, clock });
  const all = anyToken([tokens, new BootstrapTokenAuthenticator(findObject, clock)]);
  const options = {
    clientCa: ca.certificate,
    frontProxyCa: frontProxyCa.certificate,
    tokens: all,
    clock,
    log: silentLogger,
  };
  const authenticator = createAuthenticator({ ...options, allowsAnonymous: true });
  return { clock, ca, frontProxyCa, objects, tokens, authenticator, options };
}

type Cluster = ReturnType<typeof cluster>;

function podToken({ tokens, clock }: Cluster, audience = issuer): string {
  const now = clock.now() / 1000;
  const kubernetes = {
    namespace: "default",
    serviceaccount: { name: "web", uid: "sa-1" },
    pod: { name: "web-0", uid: "pod-1" },
    node: { name: "n1", uid: "node-1" },
  };
  return tokens.sign({
    aud: [audience],
    iat: now,
    nbf: now,
    exp: now + 3600,
    jti: "j1",
    sub: "system:serviceaccount:default:web",
    "kubernetes.io": kubernetes,
  });
}

function certificateOf(pair: KeyPair, commonName: string, organizations: readonly string[] = []): Credentials {
  return {
    headers: {},
    clientCertificate: { commonName, organizations, der: new X509Certificate(pair.certificate).raw },
  };
}

function bearer(bearerToken: string): Credentials {
  return { headers: {}, bearerToken };
}

async function isUnauthorized(authenticator: Authenticator, credentials: Credentials): Promise<void> {
  await assert.rejects(authenticator.authenticate(credentials), (error) => hasReason(error, "Unauthorized"));
}

test("a client certificate's common name is the user and its organisations are the groups", async () => {
  const { ca, clock, authenticator } = cluster();
  const admin = issueClientCertificate(ca, { commonName: "admin", organizations: ["dev"], clock });

  const answer = await authenticator.authenticate(certificateOf(admin, "admin", ["dev"]));

  assert.equal(answer?.user.name, "admin");
  assert.deepEqual(answer?.user.groups, ["dev", "system:authenticated"]);
  assert.match(
    answer?.user.extra?.["authentication.kubernetes.io/credential-id"]?.[0] ?? "",
    /^X509SHA256=[0-9a-f]{64}$/,
  );
});

test("a server's certificate, an expired one and one of the front proxy's CA are no client certificates", async () => {
  const { ca, frontProxyCa, clock, authenticator } = cluster();
  const server = issueServerCertificate(ca, {
    commonName: "system:node:n1",
    organizations: ["system:nodes"],
    addresses: ["n1"],
    clock,
  });
  const foreign = issueClientCertificate(frontProxyCa, {
    commonName: "admin",
    organizations: ["system:masters"],
    clock,
  });
  const brief = issueClientCertificate(ca, { commonName: "admin", validDays: 1, clock });

  await isUnauthorized(authenticator, certificateOf(server, "system:node:n1", ["system:nodes"]));
  await isUnauthorized(authenticator, certificateOf(foreign, "admin", ["system:masters"]));
  await clock.advance(2 * 86_400_000);
  await isUnauthorized(authenticator, certificateOf(brief, "admin"));
});

test("a front proxy may name the user in headers, others may not", async () => {
  const { ca, frontProxyCa, clock, authenticator } = cluster();
  const headers = { "x-remote-user": "ann", "x-remote-group": ["a", "b"], "x-remote-extra-acme.com%2fteam": "blue" };
  const proxy = issueClientCertificate(frontProxyCa, { commonName: "front-proxy-client", clock });
  const user = issueClientCertificate(ca, { commonName: "bob", clock });

  const byProxy = await authenticator.authenticate({ ...certificateOf(proxy, "front-proxy-client"), headers });
  const byUser = await authenticator.authenticate({ ...certificateOf(user, "bob"), headers });

  assert.equal(byProxy?.user.name, "ann");
  assert.deepEqual(byProxy?.user.groups, ["a", "b", "system:authenticated"]);
  assert.deepEqual(byProxy?.user.extra, { "acme.com/team": ["blue"] });
  assert.equal(byUser?.user.name, "bob");
});

test("a pod's token is its service account", async () => {
  const all = cluster();

  const answer = await all.authenticator.authenticate(bearer(podToken(all)));

  assert.deepEqual(answer?.user, {
    name: "system:serviceaccount:default:web",
    uid: "sa-1",
    groups: ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
    extra: {
      "authentication.kubernetes.io/credential-id": ["JTI=j1"],
      "authentication.kubernetes.io/pod-name": ["web-0"],
      "authentication.kubernetes.io/pod-uid": ["pod-1"],
      "authentication.kubernetes.io/node-name": ["n1"],
      "authentication.kubernetes.io/node-uid": ["node-1"],
    },
  });
});

test("a token dies with its pod, with another pod of the same name, and with its time", async () => {
  const all = cluster();
  const token = podToken(all);
  await all.authenticator.authenticate(bearer(token));

  all.objects.set("pods/default/web-0", { metadata: { name: "web-0", uid: "pod-2" } });
  await isUnauthorized(all.authenticator, bearer(token));
  all.objects.delete("pods/default/web-0");
  await isUnauthorized(all.authenticator, bearer(token));
  all.objects.set("pods/default/web-0", { metadata: { name: "web-0", uid: "pod-1" } });
  await all.clock.advance(3700_000);
  await isUnauthorized(all.authenticator, bearer(token));
});

test("a token for another audience, a forged one and an unsigned one are refused", async () => {
  const all = cluster();
  const token = podToken(all);
  const [, claims] = token.split(".");
  const none = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${claims}.AA`;

  await isUnauthorized(all.authenticator, bearer(podToken(all, "vault")));
  await isUnauthorized(all.authenticator, bearer(`${token.slice(0, -8)}AAAAAAAA`));
  await isUnauthorized(all.authenticator, bearer(none));
  await isUnauthorized(all.authenticator, bearer("no token"));
});

test("the token of a Secret is good as long as the Secret holds it", async () => {
  const { tokens, objects, authenticator } = cluster();
  const token = tokens.signLegacy({ namespace: "default", name: "web", uid: "sa-1" }, "web-token");
  objects.set("secrets/default/web-token", {
    metadata: { name: "web-token" },
    data: { token: Buffer.from(token).toString("base64") },
  } as KubeObject);

  const answer = await authenticator.authenticate(bearer(token));

  assert.equal(answer?.user.name, "system:serviceaccount:default:web");
  objects.delete("secrets/default/web-token");
  await isUnauthorized(authenticator, bearer(token));
});

test("a bootstrap token is a user of its Secret's groups", async () => {
  const { objects, authenticator } = cluster();
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const data = {
    "token-id": base64("abcdef"),
    "token-secret": base64("0123456789abcdef"),
    "usage-bootstrap-authentication": base64("true"),
    "auth-extra-groups": base64("system:bootstrappers:nodes"),
  };
  objects.set("secrets/kube-system/bootstrap-token-abcdef", {
    type: "bootstrap.kubernetes.io/token",
    data,
  } as KubeObject);

  const answer = await authenticator.authenticate(bearer("abcdef.0123456789abcdef"));

  assert.equal(answer?.user.name, "system:bootstrap:abcdef");
  assert.deepEqual(answer?.user.groups, ["system:bootstrappers", "system:bootstrappers:nodes", "system:authenticated"]);
  await isUnauthorized(authenticator, bearer("abcdef.fedcba9876543210"));
});

test("a request without credentials is anonymous, or refused where anonymous is off", async () => {
  const { authenticator, options } = cluster();

  const answer = await authenticator.authenticate({ headers: {} });

  assert.deepEqual(answer?.user, { name: "system:anonymous", groups: ["system:unauthenticated"] });
  await isUnauthorized(createAuthenticator({ ...options, allowsAnonymous: false }), { headers: {} });
});

test("a browser's token comes as a WebSocket sub-protocol next to the real one", () => {
  const encoded = Buffer.from("tok.en").toString("base64url");

  const taken = takeWebSocketBearer(`base64url.bearer.authorization.k8s.io.${encoded}, v5.channel.k8s.io`);

  assert.deepEqual(taken, { bearerToken: "tok.en", protocols: ["v5.channel.k8s.io"] });
  assert.equal(takeWebSocketBearer(`base64url.bearer.authorization.k8s.io.${encoded}`), undefined);
});
