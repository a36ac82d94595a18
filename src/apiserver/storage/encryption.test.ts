import assert from "node:assert/strict";
import { createDecipheriv, randomBytes } from "node:crypto";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { aesGcmTransformer, DecryptionFailed, EncryptionKeysLost, loadEncryptionKeys } from "./encryption.ts";

const key1 = { name: "key1", secret: randomBytes(32) };
const key2 = { name: "key2", secret: randomBytes(32) };
const plain = Buffer.from(JSON.stringify({ kind: "Secret", data: { password: "aHVudGVyMg==" } }));
const where = "/registry/secrets/default/db";

test("a sealed value opens again, shows nothing, and is different each time", () => {
  const transformer = aesGcmTransformer([key1]);

  const sealed = transformer.seal(where, plain);

  assert.ok(transformer.open(where, sealed).equals(plain));
  assert.ok(!sealed.includes("password"));
  assert.ok(!sealed.equals(transformer.seal(where, plain)));
  assert.ok(transformer.open(where, transformer.seal(where, Buffer.alloc(0))).equals(Buffer.alloc(0)));
});

test("a sealed value has upstream's form: prefix, nonce, ciphertext and tag, with the store's key authenticated", () => {
  const sealed = aesGcmTransformer([key1]).seal(where, plain);

  const header = "k8s:enc:aesgcm:v1:key1:";
  assert.equal(sealed.toString("latin1", 0, header.length), header);
  assert.equal(sealed.length, header.length + 12 + plain.length + 16);
  const nonce = sealed.subarray(header.length, header.length + 12);
  const decipher = createDecipheriv("aes-256-gcm", key1.secret, nonce).setAAD(Buffer.from(where));
  decipher.setAuthTag(sealed.subarray(-16));
  const opened = Buffer.concat([decipher.update(sealed.subarray(header.length + 12, -16)), decipher.final()]);
  assert.ok(opened.equals(plain));
});

test("a value from before encryption is read as it is", () => {
  assert.equal(aesGcmTransformer([key1]).open(where, plain), plain);
});

test("a value opens with an older key, and is sealed with the first", () => {
  const old = aesGcmTransformer([key1]).seal(where, plain);
  const rotated = aesGcmTransformer([key2, key1]);

  assert.ok(rotated.open(where, old).equals(plain));
  assert.ok(rotated.seal(where, plain).toString("latin1").startsWith("k8s:enc:aesgcm:v1:key2:"));
  assert.throws(() => aesGcmTransformer([key2]).open(where, old), DecryptionFailed);
});

test("a value that was changed, cut off, or moved to another object does not open", () => {
  const transformer = aesGcmTransformer([key1]);
  const sealed = transformer.seal(where, plain);

  for (let at = "k8s:enc:".length; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed[at]! ^= 1;
    assert.throws(() => transformer.open(where, changed), DecryptionFailed);
    assert.throws(() => transformer.open(where, sealed.subarray(0, at)), DecryptionFailed);
  }
  assert.throws(() => transformer.open("/registry/secrets/default/other", sealed), DecryptionFailed);
});

test("a key file is made once, for its owner only, and read after that; a bad one is refused", async () => {
  const folder = await mkdtemp(join(tmpdir(), "nodeless-keys-"));
  const path = join(folder, "encryption.json");

  const made = await loadEncryptionKeys(path);
  const read = await loadEncryptionKeys(path);
  assert.deepEqual(read, made);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  await writeFile(path, JSON.stringify({ keys: [{ name: "a", secret: "c2hvcnQ=" }] }));
  await assert.rejects(loadEncryptionKeys(`${path}.lost`, { isInUse: true }), EncryptionKeysLost);
  await assert.rejects(loadEncryptionKeys(path), /the key a has 5 bytes, not 32/);

  await rm(folder, { recursive: true });
});
