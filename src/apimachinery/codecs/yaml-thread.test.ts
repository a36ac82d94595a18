/** YAML in a thread of its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { parseYaml } from "./yaml-text.ts";
import { YamlThread } from "./yaml-thread.ts";

const padding = `# ${"x".repeat(2000)}\n`;

test("the thread reads what is read here, says the same of what is wrong, and several texts at once come out apart", async () => {
  const thread = new YamlThread(systemClock);
  const texts = ["a: 0644\nb: yes\nc: [1.5, ~]\n", "a: 1\na: 2\n", "a: [\n", "a: &x {b: c}\nd: *x\n---\ne: f\n", ""];
  const outcome = (read: Promise<unknown>) => read.catch((error: unknown) => (error as Error).message);

  const here = await Promise.all(texts.map((text) => outcome(parseYaml(Buffer.from(padding + text)))));
  const there = await Promise.all(texts.map((text) => outcome(thread.parse(Buffer.from(padding + text)))));

  assert.deepEqual(there, here);
  assert.deepEqual(here[0], { value: { a: 420, b: true, c: [1.5, null] }, duplicates: undefined });
  assert.match(String(here[2]), /^yaml: line \d: /);
  thread.stop();
});

test("JSON that is sent as YAML needs no parser for YAML; a key that stands twice in it is still seen", async () => {
  const thread = new YamlThread(systemClock);

  assert.deepEqual((await thread.parse(Buffer.from('{"a": {"b": [1, "x"]}}'))).value, { a: { b: [1, "x"] } });
  assert.match((await thread.parse(Buffer.from('{"a": 1, "a": 2}'))).duplicates ?? "", /key "a" already set in map/);
  assert.deepEqual((await thread.parse(Buffer.from("{a: b}"))).value, { a: "b" });
  thread.stop();
});

test("texts that were made to be slow hold up nobody here", async () => {
  const thread = new YamlThread(systemClock);
  await thread.parse(Buffer.from(`${padding}warm: up`));
  const hostile = ['"'.repeat(20_000), `[${",".repeat(8000)}`, "? ".repeat(20_000), "!a ".repeat(10_000)];
  const before = process.threadCpuUsage();

  for (const text of hostile) await assert.rejects(thread.parse(Buffer.from(text)), { code: 400 });

  const { user, system } = process.threadCpuUsage(before);
  assert.ok(user + system < 20_000, `${user + system} µs in this thread`);
  thread.stop();
});

test("large texts, YAML or JSON, are the same when they come back in steps", async () => {
  let steps = 0;
  const thread = new YamlThread(systemClock, async (work) => {
    for (;;) {
      const { done, value } = work.next();
      if (done === true) return value;
      steps++;
    }
  });
  const data = Object.fromEntries(Array.from({ length: 9000 }, (_, index) => [`key-${index}`, `value of ${index}`]));
  const lines = Object.entries(data).map(([key, value]) => `  ${key}: ${value}`);

  assert.deepEqual((await thread.parse(Buffer.from(`data:\n${lines.join("\n")}\n`))).value, { data });
  assert.deepEqual((await thread.parse(Buffer.from(JSON.stringify({ data })))).value, { data });
  assert.ok(steps > 10);
  thread.stop();
});
