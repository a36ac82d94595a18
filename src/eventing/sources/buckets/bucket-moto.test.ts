/**
 * The client of buckets beside a service that others have written: moto (Python), where it is installed.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "#component-base/clock.ts";
import { freePort } from "#component-base/testing/free-port.ts";
import { BucketClient } from "./bucket-client.ts";
import { BucketProblem } from "./bucket-problem.ts";
import { bucketSettings } from "./bucket-settings.ts";

const python = "import importlib.util as u, sys; sys.exit(0 if u.find_spec('moto') and u.find_spec('flask') else 1)";
const isThere = spawnSync("python3", ["-c", python]).status === 0;
const skip = isThere ? false : "python3 has no moto with its server: pip install 'moto[server]'";

test("moto's lists and objects are read as they are", { skip, timeout: 60_000 }, async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const moto = spawn("python3", ["-m", "moto.server", "-p", String(port)], { stdio: "ignore" });
  const ended = once(moto, "exit");
  const { signal } = new AbortController();
  const secret = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_ENDPOINT_URL: url };
  const clientOf = (bucket: string) =>
    new BucketClient({ settings: bucketSettings({ bucket }, secret), clock: systemClock });
  const [client, missing] = [clientOf("uploads"), clientOf("missing")];
  try {
    for (
      let tries = 0;
      !(await fetch(url, { signal: AbortSignal.timeout(2000) }).then(
        () => true,
        () => false,
      ));
      tries++
    ) {
      assert(tries < 300 && moto.exitCode === null, "moto did not start");
      await sleep(50);
    }
    const headers = {
      authorization:
        "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
    };
    const put = async (path: string, body?: string) =>
      assert.equal(
        (await fetch(`${url}/${path}`, { method: "PUT", headers, ...(body !== undefined && { body }) })).status,
        200,
      );
    await put("uploads");
    const names = Array.from({ length: 260 }, (_, index) => `in/a b+c&ä ${index}.txt`);
    for (const name of names) await put(`uploads/${encodeURIComponent(name)}`, name);
    await put("uploads/in/deeper/x", "x");

    const first = await client.list({ prefix: "in/", isFlat: true, from: undefined }, signal);
    const second = await client.list({ prefix: "in/", isFlat: true, from: first.next }, signal);

    const objects = [...first.objects, ...second.objects];
    assert.deepEqual(objects.map(({ key }) => key).toSorted(), names.toSorted());
    assert.equal(second.next, undefined);
    const [object] = objects;
    assert(object);
    const content = await client.read(object, 1000, signal);
    assert.equal(Buffer.from(content?.bytes ?? []).toString(), object.key);
    await put(`uploads/${encodeURIComponent(object.key)}`, "other");
    assert.equal(await client.read(object, 1000, signal), undefined);
    await assert.rejects(
      missing.list({ prefix: "", isFlat: false, from: undefined }, signal),
      (error) => error instanceof BucketProblem && error.reason === "NoSuchBucket",
    );
  } finally {
    await Promise.all([client.close(), missing.close()]);
    if (moto.kill("SIGKILL")) await ended;
  }
});
