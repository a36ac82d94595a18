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
  const all: string[] = [];
  do all.push(String(watcher.takeBatch(form) ?? namesOf(watcher.take()).join(" ")));
  while (watcher.hasEvents);
  return all.join(" ");
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

test("a watch that takes nothing is ended when what it waits for is dropped; its neighbours go on", () => {
  const cache = new ResourceCache(resource, 0, []);
  change(cache, 1);
  const [slow, late, quick] = [cache.watch(all, 1), cache.watch(all, 0, 1), cache.watch(all, 1)];
  for (const revision of [2, 3, 4]) change(cache, revision);
  assert.equal(taken(quick), "c2 c3 c4");

  cache.dropUpTo(1);

  // What happened before it began is as old as its beginning.
  assert.deepEqual([slow.isEnded, late.isEnded, quick.isEnded], [false, true, false]);
  cache.dropUpTo(2);
  change(cache, 5);
  assert.deepEqual([slow, late, quick].map(taken), ["", "", "c5"]);
  assert.deepEqual(
    [slow, late, quick].map(({ isEnded, hasEvents }) => [isEnded, hasEvents]),
    [
      [true, false],
      [true, false],
      [false, false],
    ],
  );
});

test("what all have taken is not kept, nor what only those waited for who left", () => {
  const cache = new ResourceCache(resource, 0, []);
  const [first, second] = [cache.watch(all, 0), cache.watch(all, 0)];
  change(cache, 1);
  taken(first);
  assert.ok(first.group.at(0));

  taken(second);
  assert.equal(first.group.at(0), undefined);
  change(cache, 2);
  taken(first);
  cache.unwatch(second);
  assert.equal(first.group.at(1), undefined);
  change(cache, 3);
  assert.equal(taken(first), "c3");
});

test("much is put together in several pieces, which watches at the same place share", () => {
  const cache = new ResourceCache(resource, 0, []);
  const [first, second] = [cache.watch(all, 0), cache.watch(all, 0)];
  for (let revision = 1; revision <= 5; revision++)
    change(cache, revision, `c${revision}`, bytesOf(`c${revision}`, 100_000));

  assert.deepEqual([first.takeBatch(form), second.takeBatch(form)].map(String), ["c1 c2 c3", "c1 c2 c3"]);
  assert.deepEqual([first.hasEvents, second.hasEvents], [true, true]);
  change(cache, 6);
  assert.deepEqual([first, second].map(taken), ["c4 c5 c6", "c4 c5 c6"]);
});
