/** Encryption at rest. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createAesGcm } from "./aes-gcm.ts";

test("a sealed value opens under its own key only, and values in the clear stay readable", () => {
  const old = { name: "k1", secret: randomBytes(32) };
  const sealed = createAesGcm([old]).seal("/registry/secrets/a/b", Buffer.from("text"));
  const rotated = createAesGcm([{ name: "k2", secret: randomBytes(32) }, old]);

  assert.ok(sealed.toString("latin1").startsWith("k8s:enc:aesgcm:v1:k1:"));
  assert.equal(rotated.open("/registry/secrets/a/b", sealed).toString(), "text");
  assert.throws(() => rotated.open("/registry/secrets/a/other", sealed));
  assert.equal(rotated.open("/x", Buffer.from("{}")).toString(), "{}");
});
