import assert from "node:assert/strict";
import { test } from "node:test";
import { settingsOf } from "./ingress-annotations.ts";

const nginx = "nginx.ingress.kubernetes.io/";

function read(annotations: Readonly<Record<string, string>>) {
  return settingsOf({ metadata: { annotations } });
}

test("annotations of ingress-nginx mean what they mean there, and ours come first", () => {
  const settings = read({
    [`${nginx}ssl-redirect`]: "true",
    [`${nginx}rewrite-target`]: "/$2",
    [`${nginx}use-regex`]: "true",
    [`${nginx}backend-protocol`]: "grpc",
    [`${nginx}proxy-body-size`]: "8m",
    "nodeless.dev/proxy-body-size": "1k",
    [`${nginx}proxy-connect-timeout`]: "3",
    [`${nginx}proxy-read-timeout`]: "3600",
    [`${nginx}proxy-send-timeout`]: "60",
    [`${nginx}upstream-vhost`]: "inner.example",
    [`${nginx}proxy-buffering`]: "off",
    "cert-manager.io/cluster-issuer": "letsencrypt",
  });

  assert.deepEqual(settings, {
    redirectsToTls: true,
    redirectsAllToTls: false,
    usesRegex: true,
    rewriteTarget: "/$2",
    protocol: "GRPC",
    upstreamHost: "inner.example",
    maxBodyBytes: 1024,
    connectTimeoutMs: 3000,
    idleMs: 3_600_000,
    problems: [],
    ignored: [],
  });
});

test("no annotation changes nothing, and 0 is no bound", () => {
  const nothing = { redirectsToTls: false, redirectsAllToTls: false, usesRegex: false, problems: [], ignored: [] };
  assert.deepEqual(read({}), nothing);
  assert.deepEqual(read({ [`${nginx}proxy-body-size`]: "0" }), nothing);
});

test("values that mean nothing are told, and count as not given", () => {
  const { problems, ...settings } = read({
    [`${nginx}ssl-redirect`]: "yes",
    [`${nginx}rewrite-target`]: "no path",
    [`${nginx}proxy-body-size`]: "much",
    [`${nginx}permanent-redirect`]: "javascript:alert(1)",
    [`${nginx}upstream-vhost`]: "a\r\nb",
  });

  assert.deepEqual(settings, { redirectsToTls: false, redirectsAllToTls: false, usesRegex: false, ignored: [] });
  assert.equal(problems.length, 5);
  assert.match(problems.join("\n"), /ssl-redirect: "yes" is not "true" or "false"/);
});

test("what is not followed is named; what keeps clients out, or stands beside another Ingress, stops the Ingress instead", () => {
  const harmless = read({ [`${nginx}limit-rps`]: "5", [`${nginx}configuration-snippet`]: "more_set_headers" });
  assert.deepEqual(harmless.ignored, [`${nginx}configuration-snippet`, `${nginx}limit-rps`]);
  assert.equal(harmless.refusal, undefined);

  assert.match(read({ [`${nginx}whitelist-source-range`]: "10.0.0.0/8" }).refusal ?? "", /keeps clients out/);
  assert.match(read({ [`${nginx}auth-url`]: "http://auth" }).refusal ?? "", /auth-url keeps clients out/);
  assert.match(read({ [`${nginx}canary`]: "true", [`${nginx}canary-weight`]: "10" }).refusal ?? "", /canary/);
});

test("redirects have the status of ingress-nginx", () => {
  assert.deepEqual(read({ [`${nginx}permanent-redirect`]: "https://a.example/x?y" }).redirect, {
    url: "https://a.example/x?y",
    status: 301,
  });
  assert.equal(
    read({ [`${nginx}permanent-redirect`]: "/x", [`${nginx}permanent-redirect-code`]: "308" }).redirect?.status,
    308,
  );
  assert.deepEqual(read({ [`${nginx}temporal-redirect`]: "/x" }).redirect, { url: "/x", status: 302 });
});
