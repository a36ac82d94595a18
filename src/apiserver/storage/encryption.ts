/**
 * Encryption at rest in upstream's form (`aesgcm` of EncryptionConfiguration, apiserver's pkg/storage/value/encrypt/aes): a prefix that names the
 * provider and the key, a random nonce of 12 bytes, AES-256-GCM with its tag of 16. The store's key is authenticated with it, so that a value cannot
 * be moved to another object. Values without a prefix were stored before encryption and are read as they are.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { writePrivateFile } from "#component-base/certificates.ts";
import type { ValueTransformer } from "./object-codec.ts";

/** One key: 32 bytes under a name that is stored with each value. */
export type EncryptionKey = { readonly name: string; readonly secret: Buffer };

/** A stored value cannot be opened: its key is unknown, or it was changed or moved. */
export class DecryptionFailed extends Error {
  readonly kind = "DecryptionFailed";
}

const PREFIX = "k8s:enc:aesgcm:v1:";
const PREFIX_BYTES: Buffer = Buffer.from(PREFIX);
/** What all of upstream's providers begin with. */
const ANY_PROVIDER: Buffer = Buffer.from("k8s:enc:");
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/**
 * Seals with the first key, opens with any of them. To change keys, put a new one first, let every object be written again, and only then take the
 * old one away. Random nonces are safe for 2^32 values under one key.
 */
export function aesGcmTransformer(keys: readonly EncryptionKey[]): ValueTransformer {
  const [first] = keys;
  if (!first) throw new RangeError("encryption needs at least one key");
  for (const key of keys) checkKey(key);
  const byName = new Map(keys.map((key) => [key.name, key]));
  const header = Buffer.from(`${PREFIX}${first.name}:`);
  return {
    seal: (key, plain) => seal(first, header, key, plain),
    open: (key, stored) => (isSealed(stored) ? open(byName, key, stored) : stored),
  };
}

/** The file of keys is not there although something may be sealed with them. */
export class EncryptionKeysLost extends Error {
  readonly kind = "EncryptionKeysLost";
}

/**
 * The keys in a file. Text: JSON with upstream's names, `{"keys":[{"name","secret"}]}`. Where there is none it is made with one new key, unless `isInUse`: then this throws
 * {@link EncryptionKeysLost}, since what is sealed could not be opened any more.
 */
export async function loadEncryptionKeys(
  path: string,
  { isInUse = false }: { readonly isInUse?: boolean } = {},
): Promise<readonly EncryptionKey[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    if (isInUse) throw new EncryptionKeysLost(`${path} is missing, and Secrets are encrypted with what was in it`);
    text = `${JSON.stringify({ keys: [{ name: "key1", secret: randomBytes(KEY_BYTES).toString("base64") }] })}\n`;
    await writePrivateFile(path, text);
  }
  return parseKeys(text, path);
}

function parseKeys(text: string, path: string): readonly EncryptionKey[] {
  try {
    const { keys } = JSON.parse(text) as { keys: readonly { name: string; secret: string }[] };
    const parsed = keys.map(({ name, secret }) => ({ name, secret: Buffer.from(secret, "base64") }));
    for (const key of parsed) checkKey(key);
    return parsed;
  } catch (cause) {
    throw new Error(`the encryption keys in ${path} cannot be used: ${(cause as Error).message}`, { cause });
  }
}

function checkKey({ name, secret }: EncryptionKey): void {
  if (!/^[A-Za-z0-9._-]{1,63}$/.test(name))
    throw new RangeError(`the key's name ${JSON.stringify(name)} is not usable`);
  if (secret.length !== KEY_BYTES) throw new RangeError(`the key ${name} has ${secret.length} bytes, not ${KEY_BYTES}`);
}

function isSealed(stored: Buffer): boolean {
  return (
    stored.length >= ANY_PROVIDER.length &&
    stored.compare(ANY_PROVIDER, 0, ANY_PROVIDER.length, 0, ANY_PROVIDER.length) === 0
  );
}

function seal({ secret }: EncryptionKey, header: Buffer, key: string, plain: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", secret, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(key));
  return Buffer.concat([header, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function open(byName: ReadonlyMap<string, EncryptionKey>, key: string, stored: Buffer): Buffer {
  const nameEnd = stored.indexOf(":", PREFIX_BYTES.length);
  const name = stored.toString("latin1", PREFIX_BYTES.length, Math.max(nameEnd, PREFIX_BYTES.length));
  const isOurs = stored.indexOf(PREFIX_BYTES) === 0 && nameEnd > 0;
  const known = isOurs ? byName.get(name) : undefined;
  if (!known) throw new DecryptionFailed(`${key} is encrypted with a key that is not at hand`);
  const nonceEnd = nameEnd + 1 + NONCE_BYTES;
  const tagStart = stored.length - TAG_BYTES;
  if (tagStart < nonceEnd) throw new DecryptionFailed(`${key} is too short for what it claims to be`);
  const nonce = stored.subarray(nameEnd + 1, nonceEnd);
  const decipher = createDecipheriv("aes-256-gcm", known.secret, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(key));
  decipher.setAuthTag(stored.subarray(tagStart));
  const plain = decipher.update(stored.subarray(nonceEnd, tagStart));
  try {
    decipher.final();
  } catch (cause) {
    throw new DecryptionFailed(`${key} was changed, or moved from another key, after it was encrypted`, { cause });
  }
  return plain;
}
