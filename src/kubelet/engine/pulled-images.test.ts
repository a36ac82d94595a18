import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { silentLogger } from "#component-base/logger.ts";
import type { ImageInfo, RegistryCredential } from "#kubelet/container-runtime.ts";
import { PulledImages } from "./pulled-images.ts";

describe("pulled images", () => {
  const image: ImageInfo = { id: "sha256:1", tags: [], digests: [], sizeBytes: 1, user: "" };
  const reference = "reg:5000/team/app:v1";
  let folder: string;
  let pulled: PulledImages;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "nodeless-pulled-"));
    pulled = open();
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function open(present: readonly string[] = [image.id]): PulledImages {
    const made = new PulledImages(folder, silentLogger);
    made.open(new Set(present));
    return made;
  }

  function credentialOf(name: string, password = "pw"): RegistryCredential {
    return {
      registry: "reg:5000",
      username: "me",
      password,
      secret: { uid: `uid-${name}`, namespace: "default", name },
    };
  }

  function pull(credential?: RegistryCredential, of = reference): void {
    pulled.begun(of);
    pulled.ended(of, credential ? { ...image, credential } : image);
  }

  const mustPull = (credentials: readonly RegistryCredential[], of = reference) =>
    pulled.mustPull(of, image, async () => credentials);

  test("an image that was here before is for everybody, and so is one that the registry gave to anybody", async () => {
    assert.equal(await mustPull([]), false);
    pull();
    assert.equal(await mustPull([]), false);
    pull(credentialOf("later"));
    assert.equal(await mustPull([]), false);
  });

  test("an image that a secret opened is for pods with that secret, or with the same credentials", async () => {
    pull(credentialOf("own"));

    assert.equal(await mustPull([]), true);
    assert.equal(await mustPull([credentialOf("other", "guess")]), true);
    assert.equal(await mustPull([credentialOf("own", "renewed")]), false);
    assert.equal(await mustPull([credentialOf("copy", "renewed")]), false);
    assert.equal(await mustPull([credentialOf("copy", "renewed"), credentialOf("x")], "reg:5000/team/other:v1"), true);
  });

  test("credentials of the node itself open an image for all its pods", async () => {
    pull({ registry: "reg:5000", username: "node", password: "pw" });
    assert.equal(await mustPull([]), false);
  });

  test("the next agent remembers, as long as the image is here", async () => {
    pull(credentialOf("own"));

    pulled = open();
    assert.equal(await mustPull([]), true);
    pulled = open([]);
    assert.equal(await mustPull([]), false);
    assert.deepEqual(readdirSync(join(folder, "pulled")), []);
  });

  test("an image whose pull a crash cut off must be pulled: nobody knows what opened it", async () => {
    pulled.begun(reference);
    pulled = open();
    assert.equal(await mustPull([]), true);
    pull();
    assert.equal(await mustPull([]), false);
    assert.deepEqual(readdirSync(join(folder, "pulling")), []);
  });

  test("an image that was loaded by hand is for everybody", async () => {
    pull(credentialOf("own"));
    assert.equal(await pulled.mustPull(reference, { ...image, isLoaded: true }, async () => []), false);
  });
});
