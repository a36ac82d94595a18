import assert from "node:assert/strict";
import { test } from "node:test";
import { parseQuery } from "#apiserver/server/query.ts";
import { parseRequestInfo, pathBehindSubresource } from "./request-info.ts";

test("what stands behind a proxy subresource is the path to proxy to, as it was sent", () => {
  const behind = (path: string) => pathBehindSubresource(parseRequestInfo("GET", path, parseQuery("")));

  assert.equal(behind("/api/v1/nodes/n1/proxy/metrics/resource"), "/metrics/resource");
  assert.equal(behind("/api/v1/nodes/n1/proxy"), "");
  assert.equal(behind("/api/v1/nodes/n1/proxy/"), "/");
  assert.equal(behind("/api/v1/namespaces/default/pods/web:80/proxy/a%2Fb/c"), "/a%2Fb/c");
  assert.equal(behind("/api/v1/namespaces/default/services/https:web:/proxy/"), "/");
});
