import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { forbidsOwnMachine, type Lookup } from "#eventing/dispatcher/reach.ts";
import type { S3Spec } from "#eventing/sources/kinds.ts";
import { TestS3, type TestS3Options } from "#eventing/sources/testing/s3-server.ts";
import { BucketClient } from "./bucket-client.ts";
import { BucketProblem } from "./bucket-problem.ts";
import { bucketSettings } from "./bucket-settings.ts";
import { findServiceError, readListPage } from "./list-answer.ts";
import { listingScope } from "./listing-scope.ts";

const secret = { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
const keys = new Map([[secret.AWS_ACCESS_KEY_ID, secret.AWS_SECRET_ACCESS_KEY]]);
const all = { prefix: "", isFlat: false, from: undefined };

/** Names under .test are this machine, as a bucket's own host is the service's. */
const here: Lookup = (_host, options, callback) =>
  options.all ? callback(null, [{ address: "127.0.0.1", family: 4 }]) : callback(null, "127.0.0.1", 4);

describe("a client of a bucket", { timeout: 60_000 }, () => {
  const { signal } = new AbortController();
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0).toReversed()) await one.close();
  });

  async function service(options: TestS3Options = {}): Promise<TestS3> {
    const s3 = await TestS3.start({ keys, ...options });
    open.push(s3);
    s3.makeBucket("uploads");
    return s3;
  }

  function clientOf(spec: S3Spec, given: Readonly<Record<string, string>> | undefined = secret): BucketClient {
    const settings = bucketSettings({ bucket: "uploads", ...spec }, given);
    const client = new BucketClient({ settings, clock: systemClock, lookup: here });
    open.push(client);
    return client;
  }

  const problem = (reason: string, message: RegExp) => (error: unknown) => {
    assert(error instanceof BucketProblem, String(error));
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, message);
    return true;
  };

  it("lists page by page, with signatures that the service has worked out by itself, whatever the keys are called", async () => {
    const s3 = await service({ pageKeys: 2 });
    const names = ["a b+c.png", "ä/é&<>.png", "plain", "q?x=1#y%20", "z'()*!~.txt"];
    for (const name of names) s3.put("uploads", name, name);
    const client = clientOf({ endpoint: s3.url });

    const found: string[] = [];
    for (let from: string | undefined; ; ) {
      const page = await client.list({ ...all, from }, signal);
      found.push(...page.objects.map(({ key }) => key));
      from = page.next;
      if (from === undefined) break;
    }

    assert.deepEqual(found.toSorted(), names.toSorted());
    assert.equal(s3.asked.length, 3);
    const { objects } = await client.list({ ...all, prefix: "z'()*" }, signal);
    const [object] = objects;
    assert(object);
    assert.equal(object.sizeBytes, 11);
    for (const name of names) {
      const [one] = (await client.list({ ...all, prefix: name }, signal)).objects;
      assert.equal(Buffer.from((await client.read(one ?? object, 100, signal))?.bytes ?? []).toString(), name);
    }
  });

  it("finds the bucket in the path or in the host", async () => {
    const s3 = await service({ host: "s3.test" });
    s3.put("uploads", "dir/a", "a");

    for (const pathStyle of [true, false]) {
      const client = clientOf({ endpoint: s3.url, pathStyle });
      const [object] = (await client.list(all, signal)).objects;
      assert.equal((await client.read(object ?? { key: "", etag: "" }, 10, signal))?.bytes.length, 1);
    }

    assert.match(s3.asked[0] ?? "", /^GET \/uploads\/\?/);
    assert.match(s3.asked[2] ?? "", /^GET \/\?/);
    const amazon = bucketSettings({ bucket: "uploads", region: "eu-west-1" }, undefined);
    assert.equal(amazon.base, "https://uploads.s3.eu-west-1.amazonaws.com");
    assert.equal(bucketSettings({ bucket: "a.b" }, undefined).base, "https://s3.us-east-1.amazonaws.com/a.b");
  });

  it("takes address and region out of the Secret, and signs nothing without one", async () => {
    const s3 = await service({ region: "eu-north-1" });
    const given = { ...secret, AWS_ENDPOINT_URL: `${s3.url}/`, AWS_REGION: "eu-north-1" };
    assert.deepEqual((await clientOf({}, given).list(all, signal)).objects, []);

    const open = await service({ keys: new Map() });
    assert.deepEqual((await clientOf({ endpoint: open.url }, undefined).list(all, signal)).objects, []);
  });

  it("reads an object as long as it is the one that was listed, and no more of it than is wanted", async () => {
    const s3 = await service();
    s3.put("uploads", "a", "12345", "text/plain");
    const client = clientOf({ endpoint: s3.url });
    const [object] = (await client.list(all, signal)).objects;
    assert(object);

    assert.equal((await client.read(object, 5, signal))?.type, "text/plain");
    assert.equal(await client.read(object, 4, signal), undefined);
    assert.equal(await client.read({ key: "a/../b", etag: "" }, 4, signal), undefined);
    s3.put("uploads", "a", "other");
    assert.equal(await client.read(object, 5, signal), undefined);
    s3.delete("uploads", "a");
    assert.equal(await client.read(object, 5, signal), undefined);
  });

  it("says what is wrong with keys, bucket, region and address", async () => {
    const s3 = await service();
    const list = (spec: S3Spec, given?: Readonly<Record<string, string>>) =>
      clientOf({ endpoint: s3.url, ...spec }, given).list(all, signal);

    const wrong = { ...secret, AWS_SECRET_ACCESS_KEY: "wrong" };
    await assert.rejects(list({}, wrong), problem("AccessDenied", /403 .*SignatureDoesNotMatch/));
    const unknown = { ...secret, AWS_ACCESS_KEY_ID: "nobody" };
    await assert.rejects(list({}, unknown), problem("AccessDenied", /InvalidAccessKeyId/));
    await assert.rejects(list({ bucket: "missing" }), problem("NoSuchBucket", /404 .*"missing"/));
    await assert.rejects(list({ region: "mars" }), problem("WrongRegion", /expecting 'us-east-1'/));
    await assert.rejects(
      list({ endpoint: "http://127.0.0.1:9" }),
      problem("Unreachable", /^http:\/\/127\.0\.0\.1:9 does not answer: .*ECONNREFUSED/),
    );
    assert.throws(() => list({}, { AWS_ACCESS_KEY_ID: "a" }).catch(() => {}), problem("SecretIncomplete", /has no/));
    s3.fault = () => ({ status: 301, body: "", headers: { "x-amz-bucket-region": "eu-1" } });
    await assert.rejects(list({}), problem("WrongRegion", /the bucket is in eu-1/));
    s3.fault = () => ({ status: 503, body: "<Error><Code>SlowDown</Code><Message>Reduce</Message></Error>" });
    await assert.rejects(list({}), problem("ServiceError", /503 .*SlowDown: Reduce/));
  });

  it("says that an answer is odd, in bounded time and memory", async () => {
    const s3 = await service();
    const client = clientOf({ endpoint: s3.url });
    const answers: readonly (readonly [string, RegExp])[] = [
      ["", /no XML/],
      ["{}", /no XML/],
      ["<html><body>hello</body></html>", /<html>/],
      [`${"<a>".repeat(100_000)}`, /no XML/],
      ["<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>", /no Key, ETag/],
      ["<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", /NextContinuationToken/],
      ['<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult>&a;</ListBucketResult>', /no XML/],
      ["x".repeat(6 << 20), /more than/],
    ];
    for (const [body, message] of answers) {
      s3.fault = () => ({ status: 200, body });
      await assert.rejects(client.list(all, signal), problem("BadAnswer", message));
    }
  });

  it("leaves addresses alone that are forbidden, by number and by name", async () => {
    const s3 = await service({ host: "s3.test" });
    for (const endpoint of [s3.url, s3.url.replace("s3.test", "127.0.0.1")]) {
      const settings = bucketSettings({ bucket: "uploads", endpoint }, secret);
      const client = new BucketClient({ settings, clock: systemClock, lookup: here, forbids: forbidsOwnMachine });
      open.push(client);
      await assert.rejects(client.list(all, signal), problem("Unreachable", /is an address of the machine itself/));
    }
    assert.deepEqual(s3.asked, []);
  });

  it("is left at once when its source goes", async () => {
    const s3 = await service();
    const abort = new AbortController();
    const reason = new Error("gone");
    s3.fault = () => {
      abort.abort(reason);
      return undefined;
    };

    await assert.rejects(clientOf({ endpoint: s3.url }).list(all, abort.signal), reason);
  });
});

it("lists no more of a bucket than its pattern needs", () => {
  const scope = (pattern: string | undefined, prefix?: string) => {
    const { wants, ...rest } = listingScope({
      s3: { bucket: "b", ...(prefix !== undefined && { prefix }) },
      ...(pattern !== undefined && { pattern }),
    });
    return { ...rest, wants: ["a.png", "in/a.png", "in/x/a.png", "in/", "a.txt"].filter(wants) };
  };

  assert.deepEqual(scope(undefined), {
    prefix: "",
    isFlat: false,
    wants: ["a.png", "in/a.png", "in/x/a.png", "a.txt"],
  });
  assert.deepEqual(scope("*.png"), { prefix: "", isFlat: true, wants: ["a.png"] });
  assert.deepEqual(scope("in/*.png"), { prefix: "in/", isFlat: true, wants: ["in/a.png"] });
  assert.deepEqual(scope("in/**"), { prefix: "in/", isFlat: false, wants: ["in/a.png", "in/x/a.png"] });
  assert.deepEqual(scope("in/*/a.png"), { prefix: "in/", isFlat: false, wants: ["in/x/a.png"] });
  assert.deepEqual(scope("*.png", "in/"), { prefix: "in/", isFlat: true, wants: ["in/a.png"] });
});

it("reads what services leave out or write in their own way", () => {
  const page = readListPage(
    "<?xml version='1.0'?><ListBucketResult><Contents><Size>1</Size><ETag>abc-2</ETag><Key>a&amp;b c</Key><LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>",
  );

  assert.deepEqual(page.objects[0], { key: "a&b c", etag: "abc-2", sizeBytes: 1, modifiedMs: Date.UTC(2026, 0, 1) });
  assert.equal(page.next, undefined);
  assert.equal(findServiceError("gone"), undefined);
});
