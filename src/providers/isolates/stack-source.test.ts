import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { inSourcesSource } from "./stack-source.ts";

test("stacks name the author's files and lines, leave out what is ours, and stay as they are where nothing is known", () => {
  const inSources = runInNewContext(`${inSourcesSource}; inSources`) as (text: string, lines?: string) => string;
  const lines = JSON.stringify({
    file: "index.js",
    sources: ["index.ts", "lib/b.ts"],
    runs: "3,,a;h,-1,-a;k,2,2", // 3 → index.ts:10, 20 → ours, 40 → lib/b.ts:2
  });
  const stack = [
    "Error: at index.js:5 and (index.js:41:2) it broke",
    "    at b (index.js:41:9)",
    "    at async Object.fetch (index.js:5:30)",
    "    at index.js:4:1",
    "    at async Promise.all (index 0)",
    "    at invoke (index.js:25:21)",
    "    at other (other.js:5:1)",
    "    at Object.fetch (nodeless-entry.js:39:69)",
    "    at async check (loader.js:75:24)",
  ].join("\n");

  assert.equal(
    inSources(stack, lines),
    [
      "Error: at index.js:5 and (index.js:41:2) it broke",
      "    at b (lib/b.ts:3)",
      "    at async Object.fetch (index.ts:12)",
      "    at index.ts:11",
      "    at async Promise.all (index 0)",
      "    at other (other.js:5:1)",
    ].join("\n"),
  );
  assert.equal(inSources(stack), stack);
  assert.equal(inSources(stack, "{"), stack);
});
