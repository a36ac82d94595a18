/** What an informer's local copy holds while nobody looks at it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#component-base/clock.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { HeldObject } from "./held-object.ts";
import { ObjectStore } from "./object-store.ts";
import { RestingStore } from "./resting-store.ts";
import { TextPacker } from "./text-packer.ts";

const web: KubeObject = Object.freeze({ kind: "Service", metadata: Object.freeze({ name: "web", namespace: "a" }) });

/** Counts how often the object was had again. */
function countingSource() {
  const state = { reads: 0 };
  const source = {
    get object() {
      state.reads++;
      return structuredClone(web);
    },
  };
  return { state, source };
}

const packer = new TextPacker<KubeObject>();

function restFully(held: HeldObject<KubeObject>): void {
  held.rest(packer);
  held.rest(packer);
}

test("an object that nobody looked at is had again from its source, once", () => {
  const { state, source } = countingSource();
  const held = new HeldObject(web, source);

  restFully(held);
  assert.equal(state.reads, 0);
  const again = held.object;

  assert.deepEqual(again, web);
  assert.notEqual(again, web);
  assert.equal(held.object, again);
  assert.equal(state.reads, 1);
});

test("objects that are packed come back as they were, whatever is in them", () => {
  const one = new TextPacker<KubeObject>();
  const objects = Array.from({ length: 50 }, (_, index) => ({
    metadata: {
      name: `web-${index}`,
      annotations: { text: "\u00e9\ud83d\ude00 \u0000".repeat(index), ["__proto__x"]: "y" },
    },
  }));

  const sources = objects.map((object) => one.hold(object));

  assert.deepEqual(
    sources.map((source) => source.object),
    objects,
  );
});

test("without a source it is held as text, and comes back frozen", () => {
  const held = new HeldObject(web);

  restFully(held);

  assert.notEqual(held.object, web);
  assert.deepEqual(held.object, web);
  assert.ok(Object.isFrozen(held.object.metadata));
});

test("what is looked at between two looks stays", () => {
  const held = new HeldObject(web);
  for (let i = 0; i < 3; i++) {
    assert.equal(held.object, web);
    held.rest(packer);
  }
});

test("objects that rest are found under their indexes, and leave them when they change", () => {
  const store = new ObjectStore<KubeObject>();
  store.addIndex("color", ({ metadata }) => [metadata?.labels?.["color"] ?? ""]);
  const colored = (color: string): KubeObject => ({ metadata: { name: "web", namespace: "a", labels: { color } } });
  store.set("a/web", colored("red"));
  for (const held of store.held()) restFully(held);

  assert.equal(store.byIndex("color", "red").length, 1);
  for (const held of store.held()) restFully(held);
  assert.deepEqual(store.set("a/web", colored("blue")), colored("red"));

  assert.deepEqual(store.byIndex("color", "red"), []);
  assert.equal(store.delete("a/web")?.metadata?.labels?.["color"], "blue");
  assert.deepEqual(store.byIndex("color", "blue"), []);
});

test("a copy rests a while after it was filled, and longer where everything is looked at from time to time", async () => {
  const clock = new FakeClock();
  const { state, source } = countingSource();
  const store = new ObjectStore<KubeObject>();
  const count = 200;
  for (let i = 0; i < count; i++) store.set(`a/web-${i}`, web, source);
  store.list();
  const resting = new RestingStore(store, clock);
  resting.start();
  /** How many are parsed again for a look at all of them, so long after the last. */
  const listAfter = async (ms: number) => {
    const before = state.reads;
    await advanceInTurns(clock, ms);
    store.list();
    return state.reads - before;
  };

  assert.equal(await listAfter(25_000), count);
  assert.equal(await listAfter(50_000), 0, "within a minute of the last");
  assert.equal(await listAfter(90_000), count);
  assert.equal(await listAfter(90_000), 0, "it has learned that it is listed every one and a half minutes");
  assert.equal(await listAfter(300_000), count);
  resting.stop();
});

/** Sweeps go on between turns of the event loop. */
async function advanceInTurns(clock: FakeClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1000) {
    await clock.advance(1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
