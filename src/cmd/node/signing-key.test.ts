import assert from "node:assert/strict";
import { mkdtempSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ensurePki } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { watchSigningKey } from "./signing-key.ts";

test("another key in the place of a lost one is heard of, the same one written back is not", async () => {
  const folder = mkdtempSync(join(tmpdir(), "signing-"));
  const options = { serverAddresses: ["127.0.0.1"], clock: systemClock };
  const { serviceAccountKey: signingKey } = await ensurePki(folder, options);
  const stop = new AbortController();
  let heard = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const onReplaced = () => {
    heard += 1;
    resolve();
  };
  await watchSigningKey({ folder, onReplaced, logger: silentLogger }, stop.signal);

  for (const known of [signingKey, undefined]) {
    unlinkSync(join(folder, "sa.key"));
    await ensurePki(folder, { ...options, signingKey: known });
  }
  await promise;

  stop.abort();
  rmSync(folder, { recursive: true });
  assert.equal(heard, 1);
});
