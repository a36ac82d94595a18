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
import { RegistryFault } from "./registry-fault.ts";

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

  it("keeps every manifest whole while others push, delete and clean up", async () => {
    const [one, two] = [await open("busy"), await open("busy")];
    const shared = Array.from({ length: 6 }, (_, index) => Buffer.from(`shared ${index}`));
    const push = async (registry: EmbeddedRegistry, turn: number): Promise<void> => {
      const repository = registry.repository(`team/app${turn % 3}`);
      const config = shared[turn % shared.length] as Buffer;
      const layer = shared[(turn + 1) % shared.length] as Buffer;
      for (const bytes of [config, layer]) {
        const id = await registry.uploads.begin(repository);
        await registry.uploads.append(repository, id, chunksOf(bytes));
        await registry.uploads.commit(repository, id, digestOf(bytes), (file) =>
          registry.keepBlob(repository, digestOf(bytes), file),
        );
      }
      const part = (bytes: Buffer) => ({ mediaType: mediaTypes.layer, digest: digestOf(bytes), size: bytes.length });
      const manifest = Buffer.from(
        JSON.stringify({ schemaVersion: 2, config: part(config), layers: [part(layer)], turn: turn % 4 }),
      );
      try {
        await registry.putManifest(repository, { digest: digestOf(manifest), bytes: manifest, tag: `t${turn % 2}` });
      } catch (error) {
        // Its parts were old enough to be cleaned up: the client pushes them again.
        assert.ok(error instanceof RegistryFault && error.code === "MANIFEST_BLOB_UNKNOWN", String(error));
      }
    };
    const spoil = async (registry: EmbeddedRegistry, turn: number): Promise<void> => {
      const repository = registry.repository(`team/app${turn % 3}`);
      const [first] = await repository.manifests();
      if (first !== undefined && turn % 2 === 0) await registry.removeManifest(repository, first);
      for (const blob of await repository.blobs()) makeOld(repository.blobPath(blob));
      await registry.collectGarbage();
    };

    const turns = Array.from({ length: 16 }, (_, turn) => turn);
    await Promise.all([
      inTurns(turns, (turn) => push(one, turn)),
      inTurns(turns, (turn) => push(two, turn + 7)),
      inTurns(turns.slice(0, 8), (turn) => spoil(turn % 2 === 0 ? one : two, turn)),
    ]);

    await assertWhole(one);
    assert.deepEqual(readdirSync(join(folder, "busy/tmp")), []);
  });
});

async function* chunksOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

async function inTurns(turns: readonly number[], work: (turn: number) => Promise<void>): Promise<void> {
  for (const turn of turns) await work(turn);
}

function makeOld(file: string): void {
  try {
    utimesSync(file, 1000, 1000);
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ENOENT");
  }
}
