import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ensurePki, issueServerCertificate, writeKeyPair } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { watchKeyPair } from "./renewed-pair.ts";

test("a key pair that is written anew is heard of, whole", async () => {
  const folder = mkdtempSync(join(tmpdir(), "renewed-"));
  const { ca } = await ensurePki(join(folder, "ca"), { serverAddresses: ["127.0.0.1"], clock: systemClock });
  const issue = () => issueServerCertificate(ca, { commonName: "n", addresses: ["127.0.0.1"], clock: systemClock });
  await writeKeyPair(folder, "n-server", issue());
  const stop = new AbortController();
  const { promise, resolve } = Promise.withResolvers<{ readonly certificate: string; readonly key: string }>();
  watchKeyPair({ folder, name: "n-server", onRenewed: resolve, logger: silentLogger }, stop.signal);

  const renewed = issue();
  await writeKeyPair(folder, "n-server", renewed);
  const heard = await promise;

  stop.abort();
  rmSync(folder, { recursive: true });
  assert.deepEqual(heard, { certificate: renewed.certificate, key: renewed.privateKey });
});
