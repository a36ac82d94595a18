import assert from "node:assert/strict";
import { test } from "node:test";
import type { GroupVersionResource, KubeObject } from "#apimachinery/meta.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { UserError } from "#cli/command.ts";
import type { Client } from "#client/client.ts";
import { createClient } from "#client/rest-client.ts";
import { FakeTransport } from "#client/testing/fake-transport.ts";
import { FakeClock } from "#component-base/clock.ts";
import { applyTriggers, checkTriggers, findTriggers, parseTriggers, triggerLines } from "./function-triggers.ts";

const fn = {
  apiVersion: "nodeless.dev/v1alpha1",
  kind: "Function",
  metadata: { name: "thumbs", namespace: "default", uid: "f-1" },
};

function specOf(words: string): unknown {
  const [trigger] = parseTriggers([words]) ?? [];
  return [trigger?.kind.kind, trigger?.spec];
}

test("words stand for sources and Triggers", () => {
  assert.deepEqual(specOf("cron: */5 * * * *"), ["PingSource", { schedule: "*/5 * * * *" }]);
  assert.deepEqual(specOf("cron: TZ=Europe/Berlin 0 3 * * *"), [
    "PingSource",
    { schedule: "TZ=Europe/Berlin 0 3 * * *" },
  ]);
  assert.deepEqual(specOf("push"), ["GitSource", {}]);
  assert.deepEqual(specOf("push: site@main,feature/*"), [
    "GitSource",
    { repository: "site", branches: ["main", "feature/*"] },
  ]);
  assert.deepEqual(specOf("object: uploads/2026/*.png"), [
    "ObjectSource",
    { bucket: "uploads", mode: "Content", pattern: "2026/*.png" },
  ]);
  assert.deepEqual(specOf("object: uploads"), ["ObjectSource", { bucket: "uploads", mode: "Content" }]);
  assert.deepEqual(specOf("object: s3://uploads/in/*.png"), [
    "ObjectSource",
    { s3: { bucket: "uploads", secretRef: { name: "s3-credentials" } }, mode: "Content", pattern: "in/*.png" },
  ]);
  assert.deepEqual(specOf("object: s3://minio@my.uploads"), [
    "ObjectSource",
    { s3: { bucket: "my.uploads", secretRef: { name: "minio" } }, mode: "Content" },
  ]);
  const filter = { attributes: { type: "order.created", region: "eu" } };
  assert.deepEqual(specOf("type = order.created and region=eu"), ["Trigger", { broker: "default", filter }]);
  const cesql = "type LIKE 'order.%' AND NOT region = 'eu'";
  assert.deepEqual(specOf(cesql), ["Trigger", { broker: "default", filters: [{ cesql }] }]);
});

test("words that stand for nothing are told, with what to say instead", () => {
  for (const words of [
    "cron:",
    "push: two words",
    "object:",
    "object: ../etc",
    "object: s3://",
    "object: s3://../etc",
    "whenever",
  ])
    assert.throws(
      () => parseTriggers([words]),
      (error) => error instanceof UserError && error.exitCode === 2 && error.message.includes(words),
    );
});

test("what is not said at all stays, none is none, and the same twice is once", () => {
  assert.equal(parseTriggers(undefined), undefined);
  assert.deepEqual(parseTriggers(["none"]), []);
  assert.equal(parseTriggers(["push", " push "])?.length, 1);
});

test("a deployment's objects belong to the Function, and go when a later one does not name them", async () => {
  const client = readyClient();
  const named = async () =>
    (await findTriggers(client, fn)).map(({ found }) => found.metadata?.annotations?.["nodeless.dev/on"]).toSorted();

  const lines = await applyTriggers(
    client,
    fn,
    parseTriggers(["cron: 0 3 * * *", "type = a", "object: uploads/*"]) ?? [],
  );
  assert.deepEqual(await named(), ["cron: 0 3 * * *", "object: uploads/*", "type = a"]);
  assert.match(lines[0] ?? "", /^cron: 0 3 \* \* \*  \(pingsources\/thumbs-cron-[0-9a-f]{8}\)$/);
  const [{ found } = { found: undefined }] = await findTriggers(client, fn);
  assert.deepEqual(
    found?.metadata?.ownerReferences?.map(({ kind, uid }) => [kind, uid]),
    [["Function", "f-1"]],
  );

  await applyTriggers(client, fn, parseTriggers(["type = a", "push"]) ?? []);
  assert.deepEqual(await named(), ["push", "type = a"]);
  assert.equal((await triggerLines(client, fn)).length, 4);

  await applyTriggers(client, fn, parseTriggers(["none"]) ?? []);
  assert.deepEqual(await triggerLines(client, fn), []);
});

test("what the cluster refuses of them is said in its own words before anything is made", async () => {
  const message = 'admission webhook "a.b.c" denied the request: validation failed: expected 5 fields: spec.schedule';
  const asked: unknown[] = [];
  const patch = (_: unknown, __: unknown, options: unknown) => {
    asked.push(options);
    return Promise.reject(new StatusError({ reason: "BadRequest", code: 400, message }));
  };
  const refusing = { patch } as unknown as Client;

  const checking = checkTriggers(refusing, fn, parseTriggers(["cron: * * *"]) ?? []);

  await assert.rejects(checking, { message: '--on "cron: * * *": expected 5 fields: spec.schedule' });
  assert.deepEqual(asked, [{ fieldManager: "nodeless-fn", force: true, dryRun: true }]);
});

/** A cluster in memory, where everything that is applied is ready at once. */
function readyClient(): Client {
  const client = createClient(new FakeTransport({ clock: new FakeClock() }));
  const status = { conditions: [{ type: "Ready", status: "True" }] };
  const patch = async (
    ref: { readonly resource: GroupVersionResource; readonly namespace?: string; readonly name?: string },
    { body }: { readonly body: unknown },
  ) => {
    const { name = "", ...at } = ref;
    try {
      return await client.create(at, { ...(body as KubeObject), status } as KubeObject);
    } catch {
      return await client.get({ ...at, name });
    }
  };
  return { ...client, patch: patch as Client["patch"] };
}
