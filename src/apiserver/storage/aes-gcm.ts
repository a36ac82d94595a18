/**
 * Encryption at rest with AES-256-GCM, in upstream's form of values: `k8s:enc:aesgcm:v1:KEYNAME:` and then nonce, ciphertext and tag. The store's key is authenticated along, so that a value
 * cannot be moved to another object.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import type { ValueTransformer } from "./object-codec.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const ANY_PREFIX = "k8s:enc:";

/** A key with its name: 32 bytes. */
export type EncryptionKey = { readonly name: string; readonly secret: Uint8Array };

/** Seals with the first key, opens with any. Values that were stored in the clear are given back as they are. */
export function createAesGcm(keys: readonly EncryptionKey[]): ValueTransformer {
  const [current] = keys;
  if (current === undefined) throw new Error("encryption at rest needs a key");
  const prefixes = keys.map((key) => ({ key, prefix: Buffer.from(`k8s:enc:aesgcm:v1:${key.name}:`) }));
  return {
    seal(key, plain) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", current.secret, nonce);
      cipher.setAAD(Buffer.from(key));
      const prefix = prefixes[0]?.prefix ?? Buffer.alloc(0);
      return Buffer.concat([prefix, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open(key, stored) {
      if (!stored.subarray(0, ANY_PREFIX.length).equals(Buffer.from(ANY_PREFIX))) return stored;
      const found = prefixes.find(({ prefix }) => stored.subarray(0, prefix.length).equals(prefix));
      if (found === undefined) throw new Error("no key fits the encrypted value");
      const body = stored.subarray(found.prefix.length);
      const decipher = createDecipheriv("aes-256-gcm", found.key.secret, body.subarray(0, NONCE_BYTES));
      decipher.setAAD(Buffer.from(key));
      decipher.setAuthTag(body.subarray(body.length - TAG_BYTES));
      return Buffer.concat([decipher.update(body.subarray(NONCE_BYTES, body.length - TAG_BYTES)), decipher.final()]);
    },
  };
}
