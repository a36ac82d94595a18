/**
 * What several processes do to one registry at once.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { digestOf } from "#images/blobs.ts";
import { ImageStore } from "#images/image-store.ts";
import { mediaTypes } from "#images/oci.ts";
import { EmbeddedRegistry } from "./embedded-registry.ts";

describe("a registry that several processes have", () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "nl-shared-registry-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  async function open(name: string): Promise<EmbeddedRegistry> {
    const store = new ImageStore({ folder: join(folder, name), clock: systemClock });
    await store.open();
    return new EmbeddedRegistry({ store });
  }

  /** Every tag means a manifest that is there, and every manifest has its blobs, with the right bytes. */
  async function assertWhole(registry: EmbeddedRegistry): Promise<void> {
    for (const name of await registry.catalog()) {
      const repository = registry.repository(name);
      const tagged = await Promise.all((await repository.tags()).map((tag) => repository.findTag(tag)));
      for (const digest of [...(await repository.manifests()), ...tagged]) {
        const bytes = await repository.readManifest(digest ?? "");
        assert.ok(bytes, `${name} has no ${digest}`);
        assert.equal(digestOf(bytes), digest);
        const { config, layers } = JSON.parse(bytes.toString()) as {
          config: { digest: string };
          layers: { digest: string }[];
        };
        for (const part of [config, ...layers])
          assert.equal(digestOf(readFileSync(repository.blobPath(part.digest))), part.digest);
      }
    }
  }

  it("keeps every manifest whole: one whose parts another process is cleaning up is refused or kept with all of them", async () => {
    const [one, two] = [await open("busy"), await open("busy")];
    const repository = one.repository("team/app");
    const part = (bytes: Buffer) => ({ mediaType: mediaTypes.layer, digest: digestOf(bytes), size: bytes.length });
    const pushBlob = async (bytes: Buffer): Promise<void> => {
      const id = await one.uploads.begin(repository);
      const digest = digestOf(bytes);
      await one.uploads.append(repository, id, chunksOf(bytes));
      await one.uploads.commit(repository, id, digest, (file) => one.keepBlob(repository, digest, file));
    };
    /** As if their manifest came an hour after them. */
    const pushOld = async (name: string) => {
      const blobs = Array.from({ length: 3 }, (_, index) => Buffer.from(`${name} ${index}`));
      for (const bytes of blobs) await pushBlob(bytes);
      for (const bytes of blobs) makeOld(repository.blobPath(digestOf(bytes)));
      const [config, ...layers] = blobs.map(part);
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers }));
      return () => one.putManifest(repository, { digest: digestOf(bytes), bytes, tag: name });
    };

    for (const name of ["t1", "t2", "t3", "t4"]) {
      const put = await pushOld(name);
      await Promise.allSettled([put(), two.collectGarbage()]);
      await assertWhole(one);
    }
    const tooLate = await pushOld("t5");
    await two.collectGarbage();

    await assert.rejects(tooLate(), { code: "MANIFEST_BLOB_UNKNOWN" });
    await assertWhole(one);
    assert.deepEqual(await repository.findTag("t5"), undefined);
    assert.deepEqual(readdirSync(join(folder, "busy/tmp")), []);
  });

  it("lets others push into a repository whose empty folders are being removed", async () => {
    const [one, two] = [await open("empty"), await open("empty")];
    let isOver = false;
    const cleaning = (async () => {
      while (!isOver) await two.collectGarbage();
    })();
    try {
      for (let turn = 0; turn < 30; turn++) {
        const repository = one.repository("a/b/c/d");
        await one.uploads.cancel(repository, await one.uploads.begin(repository));
      }
    } finally {
      isOver = true;
      await cleaning;
    }

    await two.collectGarbage();
    assert.deepEqual(readdirSync(join(folder, "empty/registry/repositories")), []);
  });
});

async function* chunksOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

function makeOld(file: string): void {
  try {
    utimesSync(file, 1000, 1000);
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ENOENT");
  }
}
