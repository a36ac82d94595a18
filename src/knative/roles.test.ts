import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { FakeClock } from "#component-base/clock.ts";
import { aggregatingRole, clusterRole, ensureClusterRoles } from "./roles.ts";

const resource = { group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterroles" };
const never = new AbortController().signal;

test("roles of an earlier edition get the rules of this one; those that aggregate keep what the server wrote", async () => {
  const client = createClient(new FakeTransport({ clock: new FakeClock() }));
  const role = (resources: readonly string[]) =>
    clusterRole("part-reader", { labels: {}, rules: [{ apiGroups: ["x"], resources, verbs: ["get"] }] });
  const all = aggregatingRole("part", { labels: {}, aggregates: "part" });
  await ensureClusterRoles(client, [role(["a"]), all], never);
  const written = [{ apiGroups: ["x"], resources: ["a"], verbs: ["get"] }];
  await client.patch({ resource, name: "part" }, { type: "merge", body: { rules: written } });

  await ensureClusterRoles(client, [role(["a", "b"]), all], never);

  const rulesOf = async (name: string) =>
    (await client.get<KubeObject & { readonly rules: unknown }>({ resource, name })).rules;
  assert.deepEqual(await rulesOf("part-reader"), [{ apiGroups: ["x"], resources: ["a", "b"], verbs: ["get"] }]);
  assert.deepEqual(await rulesOf("part"), written);
});
