/** Objects whose bytes lie in the store alone are what they were, whoever asks for them, and whatever happens to them meanwhile. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "#component-base/clock.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { createMemoryStore } from "#store/memory/memory-store.ts";
import { aesGcmTransformer } from "#apiserver/storage/encryption.ts";
import { ObjectCodec } from "#apiserver/storage/object-codec.ts";
import { ObjectStorage } from "#apiserver/storage/object-storage.ts";
import type { StoredObject } from "#apiserver/storage/stored-object.ts";
import { createStoredResource } from "#apiserver/storage/stored-resource.ts";
import { WatchCache } from "./watch-cache.ts";

const resource = createStoredResource({
  groupResource: "secrets",
  isNamespaced: true,
  kind: "Secret",
  apiVersion: "v1",
  selectableFields: (object) => ({ type: typeOf(object) }),
});
/** Two looks: what was used before the first of them rests after the second. */
const longEnoughMs = 31_000;
const isRed = (object: StoredObject): boolean => object.labels["color"] === "red";

/** What is to rest is laid to rest between turns of the event loop, on a busy machine in several. */
async function rest(clock: FakeClock): Promise<void> {
  await clock.advance(longEnoughMs);
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function setUp(clock: Clock = new FakeClock(), isSealed = false) {
  const store = createMemoryStore();
  const transformers = new Map([["secrets", aesGcmTransformer([{ name: "k", secret: Buffer.alloc(32, 7) }])]]);
  const codec = new ObjectCodec(isSealed ? transformers : undefined);
  const cache = new WatchCache({ store, codec, clock, logger: silentLogger });
  await cache.start();
  const storage = new ObjectStorage(resource, { store, cache, codec });
  const create = (name: string, color: string) => storage.create("a", name, secret(name, color));
  const find = async (name: string) => (await storage.find("a", name)) as StoredObject;
  await storage.fresh();
  return { cache, storage, create, find, objects: await storage.fresh() };
}

function typeOf(object: KubeObject): string {
  return (object as { readonly type?: string }).type ?? "";
}

function secret(name: string, color: string): KubeObject {
  return { metadata: { name, namespace: "a", labels: { color } }, type: `of-${color}` } as KubeObject;
}

for (const isSealed of [false, true]) {
  test(`an object that nobody asks for rests, and is as before when somebody does${isSealed ? ", also where it is encrypted" : ""}`, async () => {
    const clock = new FakeClock();
    const { create, find } = await setUp(clock, isSealed);
    const made = await create("one", "red");
    const before = made.toJson().toString();
    await rest(clock);

    const object = await find("one");

    assert.ok(object.isResting);
    assert.deepEqual(object.labels, { color: "red" });
    assert.equal(object.fields["type"], "of-red");
    assert.equal(object.object.metadata?.resourceVersion, String(made.revision));
    assert.equal(object.toJson().toString(), before);
  });
}

test("what is asked for again and again stays in memory", async () => {
  const clock = new FakeClock();
  const { create, find } = await setUp(clock);
  await create("one", "red");
  for (let i = 0; i < 10; i++) {
    await clock.advance(10_000);
    const object = await find("one");
    assert.equal(object.isResting, false);
    assert.equal(object.name, object.object.metadata?.name);
  }
});

test("who looks at a list of before sees objects as they were then, though they were overwritten or deleted while they rested", async () => {
  const clock = new FakeClock();
  const { create, find, storage, objects } = await setUp(clock);
  for (const name of ["one", "two", "three"]) await create(name, "red");
  await rest(clock);
  const before = objects.snapshot();

  await storage.update(await find("one"), secret("one", "blue"));
  const two = await find("two");
  assert.ok(two.isResting);
  await storage.delete(two);
  await rest(clock);

  const colors = [...before.from(resource.prefix)].map(({ name, labels }) => `${name} ${labels["color"]}`);
  assert.deepEqual(colors, ["one red", "three red", "two red"]);
});

test("watches with selectors are told what left them, in its last state", async () => {
  const clock = new FakeClock();
  const { create, find, storage, objects, cache } = await setUp(clock);
  for (const name of ["one", "two", "three"]) await create(name, "red");
  await rest(clock);
  const watcher = objects.watch({ prefix: resource.prefix, filter: isRed }, cache.revision);

  await storage.update(await find("one"), secret("one", "blue"));
  await storage.delete(await find("two"));
  await storage.update(await find("three"), { ...secret("three", "red"), data: { a: "Yg==" } } as KubeObject);

  const seen = watcher.take().map(({ type, object }) => `${type} ${object.name} ${typeOf(object.object)}`);
  assert.deepEqual(seen, ["DELETED one of-red", "DELETED two of-red", "MODIFIED three of-red"]);
});

test("changes of a while ago are let go of, and read from the store's log when a watch begins there", async () => {
  const clock = new FakeClock();
  const { create, objects, cache } = await setUp(clock);
  const first = await create("one", "red");
  await create("two", "red");
  assert.equal(objects.historyRevision < first.revision, true);
  await rest(clock);

  assert.equal(objects.historyRevision, cache.revision);
  await cache.reachBack(objects, first.revision);
  const watcher = objects.watch({ prefix: resource.prefix }, first.revision, cache.revision);

  assert.deepEqual(
    watcher.take().map(({ type, object }) => `${type} ${object.name}`),
    ["ADDED two"],
  );
});

test("objects of a resource that is no longer served stay readable for who holds them", async () => {
  const clock = new FakeClock();
  const { create, find, cache, storage } = await setUp(clock);
  await create("one", "red");
  await rest(clock);
  const held = await find("one");
  assert.ok(held.isResting);

  cache.forget(resource);
  await storage.update(await find("one"), secret("one", "blue"));

  assert.equal(held.labels["color"], "red");
});

test("whatever is written, deleted and laid to rest in between, reads give what was written last", async () => {
  const clock = new FakeClock();
  const { create, find, storage } = await setUp(clock);
  const expected = new Map<string, string>();
  // A row of numbers that is the same in each run.
  let seed = 7;
  const next = (below: number): number => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
  for (let round = 0; round < 400; round++) {
    const name = `n${next(12)}`;
    const color = `c${round}`;
    const there = await find(name);
    const what = next(4);
    if (what === 0 && there !== undefined) {
      await storage.delete(there);
      expected.delete(name);
    } else if (what !== 3) {
      await (there === undefined ? create(name, color) : storage.update(there, secret(name, color)));
      expected.set(name, color);
    }
    if (next(3) === 0) await clock.advance(16_000);
    const looked = `n${next(12)}`;
    assert.equal((await find(looked))?.labels["color"], expected.get(looked));
  }
});
