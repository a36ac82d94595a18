import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConfigMap } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { StatusError } from "#apimachinery/status-error.ts";
import { createInformer } from "./reflector.ts";
import { createClient } from "./rest-client.ts";
import { FakeTransport } from "./testing/fake-transport.ts";
import { settle, until } from "./testing/settle.ts";

const resource = { group: "", version: "v1", resource: "configmaps" };
const ref = { resource, namespace: "default" };

function configMap(name: string, data: Record<string, string> = {}): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data };
}

function setUp(options: { readonly hasWatchList: boolean }) {
  const clock = new FakeClock();
  const transport = new FakeTransport({ clock, hasWatchList: options.hasWatchList });
  const client = createClient(transport);
  const byColor = (object: ConfigMap) => [object.data?.["color"] ?? "none"];
  const informer = createInformer<ConfigMap>({
    client,
    clock,
    logger: silentLogger,
    resource,
    indexes: { color: byColor },
    random: () => 0.5,
  });
  const seen: string[] = [];
  informer.addHandler({
    onAdd: (object, isInInitialList) => seen.push(`${isInInitialList ? "initial" : "add"} ${object.metadata?.name}`),
    onUpdate: (_before, after) => seen.push(`update ${after.metadata?.name}`),
    onDelete: (object) => seen.push(`delete ${object.metadata?.name}`),
  });
  return { clock, transport, client, informer, seen };
}

for (const hasWatchList of [true, false]) {
  const how = hasWatchList ? "initial events" : "list and watch";

  test(`an informer follows its resource by ${how}`, async () => {
    const { client, informer, seen } = setUp({ hasWatchList });
    await client.create(ref, configMap("a"));
    await informer.start(new AbortController().signal);
    await informer.waitForSync(new AbortController().signal);

    await client.create(ref, configMap("b", { color: "red" }));
    await client.update({ ...ref, name: "b" }, configMap("b", { color: "blue" }));
    await client.delete({ ...ref, name: "a" });

    await until(() => seen.length === 4);
    assert.deepEqual(seen, ["initial a", "add b", "update b", "delete a"]);
    assert.equal(informer.lister.find("default", "b")?.data?.["color"], "blue");
    assert.equal(informer.lister.byIndex("color", "red").length, 0);
    assert.equal(informer.lister.byIndex("color", "blue").length, 1);
    assert.deepEqual(informer.lister.list("other"), []);
    await informer.stop();
  });

  test(`a broken watch goes on where it broke, with ${how}`, async () => {
    const { clock, transport, client, informer, seen } = setUp({ hasWatchList });
    await client.create(ref, configMap("a"));
    await informer.start(new AbortController().signal);
    await until(() => transport.watchCount === 1 && informer.hasSynced());

    transport.breakWatches();
    await client.create(ref, configMap("b"));
    await settle();
    await clock.advance(1000);

    await until(() => seen.includes("add b"));
    assert.equal(seen.filter((one) => one.endsWith(" a")).length, 1);
    await informer.stop();
  });

  test(`lost history is made up for by starting over, with ${how}`, async () => {
    const { clock, transport, client, informer, seen } = setUp({ hasWatchList });
    await client.create(ref, configMap("a"));
    await client.create(ref, configMap("b"));
    await informer.start(new AbortController().signal);
    await until(() => transport.watchCount === 1 && informer.hasSynced());

    transport.breakWatches();
    await client.delete({ ...ref, name: "a" });
    await client.create(ref, configMap("c"));
    transport.compact();
    await settle();
    await clock.advance(20_000);

    await until(() => seen.includes("add c"));
    assert.deepEqual(seen, ["initial a", "initial b", "delete a", "add c"]);
    await informer.stop();
  });
}

test("an object deleted and made again between two looks is a delete and an add", async () => {
  const { clock, transport, client, informer, seen } = setUp({ hasWatchList: true });
  await client.create(ref, configMap("a"));
  await informer.start(new AbortController().signal);
  await until(() => transport.watchCount === 1 && informer.hasSynced());

  transport.breakWatches();
  await client.delete({ ...ref, name: "a" });
  await client.create(ref, configMap("a"));
  transport.compact();
  await settle();
  await clock.advance(20_000);

  await until(() => seen.length === 3);
  assert.deepEqual(seen, ["initial a", "delete a", "add a"]);
  await informer.stop();
});

/** An informer whose server is away; its tries are counted. */
async function cutOff(cause: unknown) {
  const parts = setUp({ hasWatchList: true });
  const { informer, transport } = parts;
  await informer.start(new AbortController().signal);
  await until(() => transport.watchCount === 1 && informer.hasSynced());
  const watch = transport.watch.bind(transport);
  let tries = 0;
  transport.watch = async () => {
    tries += 1;
    throw new StatusError({ reason: "ServiceUnavailable", code: 503, message: "away", cause });
  };
  transport.breakWatches();
  await settle();
  return {
    ...parts,
    tries: () => tries,
    comeBack: () => void (transport.watch = watch),
  };
}

test("who knows that the server is back has an informer try again at once", async () => {
  const { clock, transport, informer, client, seen, tries, comeBack } = await cutOff(new Error("overloaded"));
  await clock.advance(60_000);
  const before = tries();
  comeBack();
  await client.create(ref, configMap("meanwhile"));
  await settle();
  assert.deepEqual([transport.watchCount, seen.length], [0, 0], "it waits");

  informer.retryNow();

  await until(() => seen.includes("add meanwhile"));
  assert.ok(before < 15, `${before} tries in a minute`);
  await informer.stop();
});

test("where nobody listens it tries again every second", async () => {
  const { clock, informer, seen, client, comeBack } = await cutOff(
    Object.assign(new Error(), { code: "ECONNREFUSED" }),
  );
  await clock.advance(60_000);
  comeBack();
  await client.create(ref, configMap("meanwhile"));
  await clock.advance(1000);

  await until(() => seen.includes("add meanwhile"));
  await informer.stop();
});

test("a watch that was open for a while makes the failures before it forgotten", async () => {
  const { clock, transport, informer } = setUp({ hasWatchList: true });
  await informer.start(new AbortController().signal);
  await until(() => transport.watchCount === 1 && informer.hasSynced());
  for (let round = 0; round < 10; round++) {
    await clock.advance(2000);
    transport.breakWatches();
    await settle();
    await clock.advance(100);
    await until(() => transport.watchCount === 1);
  }
  await informer.stop();
});
