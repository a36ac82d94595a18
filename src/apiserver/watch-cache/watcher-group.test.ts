/** Watches that select the same share a queue, each with its own place in it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { StoredObject, toStoredBytes } from "#apiserver/storage/stored-object.ts";
import { createStoredResource } from "#apiserver/storage/stored-resource.ts";
import type { OutgoingEvent } from "./cache-event.ts";
import { ResourceCache } from "./resource-cache.ts";
import type { Watcher } from "./watcher.ts";

const resource = createStoredResource({
  groupResource: "configmaps",
  isNamespaced: true,
  kind: "ConfigMap",
  apiVersion: "v1",
});
const all = { prefix: resource.prefix, key: "" };
const form = { key: "json", encode: (events: readonly OutgoingEvent[]) => Buffer.from(namesOf(events).join(" ")) };

function bytesOf(name: string, padding = 0): Buffer {
  const object: KubeObject = { metadata: { name, namespace: "a", labels: { pad: "x".repeat(padding) } } };
  return toStoredBytes(resource, object);
}

function change(cache: ResourceCache, revision: number, name = `c${revision}`, bytes = bytesOf(name)): void {
  const key = `${resource.prefix}a/${name}`;
  cache.apply({ key, revision, current: new StoredObject(resource, { key, revision, bytes }) });
}

function namesOf(events: readonly OutgoingEvent[]): string[] {
  return events.map(({ object }) => object.name);
}

function taken(watcher: Watcher): string {
  return String(watcher.takeBatch(form) ?? namesOf(watcher.take()).join(" "));
}

test("watches at the same place get the very same bytes, others get theirs", () => {
  const cache = new ResourceCache(resource, 0, []);
  change(cache, 1);
  const [first, second, late] = [cache.watch(all, 1), cache.watch(all, 1), cache.watch(all, 0)];
  change(cache, 2);
  change(cache, 3);

  const batch = first.takeBatch(form);

  assert.equal(String(batch), "c2 c3");
  assert.equal(second.takeBatch(form), batch);
  assert.equal(taken(late), "c1 c2 c3");
  change(cache, 4);
  assert.deepEqual([first, second, late].map(taken), ["c4", "c4", "c4"]);
  assert.deepEqual([first, second, late].map(taken), ["", "", ""]);
});

test("a watch from a revision to come is told nothing of what is before it", () => {
  const cache = new ResourceCache(resource, 0, []);
  const watcher = cache.watch(all, 5);
  for (const revision of [3, 4, 5, 6, 7]) change(cache, revision);

  assert.equal(taken(watcher), "c6 c7");
  assert.equal(watcher.progress, 7);
});

test("each watch is told once that there is something, until it has taken it", () => {
  const cache = new ResourceCache(resource, 0, []);
  const told: string[] = [];
  const [first, second] = [cache.watch(all, 0), cache.watch({ prefix: `${resource.prefix}a/` }, 0)];
  first.onReady(() => told.push("first"));
  second.onReady(() => told.push("second"));

  change(cache, 1);
  change(cache, 2);
  assert.deepEqual(told, ["first", "second"]);
  taken(first);
  change(cache, 3);
  assert.deepEqual(told, ["first", "second", "first"]);
  cache.unwatch(first);
  taken(second);
  change(cache, 4);
  assert.deepEqual(told, ["first", "second", "first", "second"]);
});

test("a watch that takes nothing is ended, for its number of events or for their bytes; its neighbours go on", () => {
  for (const [changes, padding] of [
    [25_000, 0],
    [150, 1 << 20],
  ] as const) {
    const cache = new ResourceCache(resource, 0, []);
    const [slow, quick] = [cache.watch(all, 0), cache.watch(all, 0)];
    const bytes = bytesOf("one", padding);
    let seen = 0;
    for (let revision = 1; revision <= changes; revision++) {
      change(cache, revision, "one", bytes);
      seen += quick.take().length;
    }

    assert.deepEqual([slow.isEnded, quick.isEnded, seen], [true, false, changes]);
    assert.deepEqual([slow.hasEvents, slow.take()], [false, []]);
  }
});
