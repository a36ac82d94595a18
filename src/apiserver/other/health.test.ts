import assert from "node:assert/strict";
import { test } from "node:test";
import type { ApiResult, RequestContext } from "#apiserver/api-request.ts";
import { createHealthHandler, type HealthCheck } from "./health.ts";

const all = ["healthz", "livez", "readyz"] as const;
const checks: readonly HealthCheck[] = [
  { name: "ping", endpoints: all, check: () => undefined },
  { name: "poststarthook/rbac/bootstrap-roles", endpoints: all, check: () => "not finished" },
  { name: "shutdown", endpoints: ["readyz"], check: () => undefined },
];

async function ask(path: string, query = ""): Promise<readonly [status: number, body: string]> {
  const context = { info: { path }, request: { query: new URLSearchParams(query) } } as unknown as RequestContext;
  const asMap = new URLSearchParams(query);
  const request = {
    query: { get: (name: string) => asMap.get(name) ?? undefined, getAll: (name: string) => asMap.getAll(name) },
  };
  const result = (await createHealthHandler(checks).handle({ ...context, request } as unknown as RequestContext)) as
    | Extract<ApiResult, { type: "bytes" }>
    | undefined;
  return [result?.status ?? 404, String(result?.body ?? "")];
}

test("a check that fails is named, and why is withheld; with verbose all are shown", async () => {
  const body = "[+]ping ok\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nlivez check failed\n";

  assert.deepEqual(await ask("/livez"), [500, body]);
  assert.deepEqual(await ask("/readyz", "verbose&exclude=poststarthook/rbac/bootstrap-roles"), [
    200,
    "[+]ping ok\n[+]poststarthook/rbac/bootstrap-roles excluded: ok\n[+]shutdown ok\nreadyz check passed\n",
  ]);
});

test("excluding what is not checked is warned of", async () => {
  const [status, body] = await ask(
    "/livez",
    "verbose&exclude=poststarthook/rbac/bootstrap-roles&exclude=shutdown&exclude=a",
  );

  assert.equal(status, 200);
  assert.match(
    body,
    /\nwarn: some health checks cannot be excluded: no matches for "a","shutdown"\nlivez check passed\n$/,
  );
});

test("one check is asked by its name, and says why it fails", async () => {
  assert.deepEqual(await ask("/livez/ping", "exclude=ping"), [200, "ok"]);
  assert.deepEqual(await ask("/livez/poststarthook/rbac/bootstrap-roles"), [
    500,
    "internal server error: not finished\n",
  ]);
  assert.equal((await ask("/livez/shutdown"))[0], 404);
});
