import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { whenInterrupted } from "./interrupts.ts";

test("work that is not interrupted gives what it gives, and leaves no handler behind", async () => {
  const before = process.listenerCount("SIGTERM");

  assert.equal(await whenInterrupted(assert.fail, async () => 7), 7);
  await assert.rejects(
    whenInterrupted(assert.fail, () => Promise.reject(new Error("no"))),
    /no/,
  );

  assert.equal(process.listenerCount("SIGTERM"), before);
});

test("an interrupt has the last word, after it has done its part", async () => {
  const script = `import(${JSON.stringify(join(import.meta.dirname, "interrupts.ts"))}).then(({ whenInterrupted }) =>
    whenInterrupted(
      async () => { await new Promise((resolve) => setTimeout(resolve, 20)); console.log("tidied"); },
      () => { console.log("working"); return new Promise((resolve) => setTimeout(resolve, 60_000)); },
    ));`;
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said = text(child.stdout);
  await once(child.stdout, "data");

  child.kill("SIGINT");
  const [code] = await once(child, "exit");

  assert.equal(code, 130);
  assert.match(await said, /tidied/);
});
