/**
 * JSON Web Tokens in compact form (RFC 7515, 7519), signed with ES256 or RS256 by node:crypto; and their public keys as JWKs. Key ids as kube-apiserver derives them.
 */
import { createPublicKey, hash, type KeyObject, sign, verify } from "node:crypto";

/** A key that verifies tokens. */
export type VerificationKey = {
  readonly keyId: string;
  readonly algorithm: "ES256" | "RS256";
  readonly publicKey: KeyObject;
};

/** A token taken apart; nothing of it is verified. */
export type DecodedJwt = {
  readonly header: { readonly alg?: unknown; readonly kid?: unknown };
  readonly claims: Readonly<Record<string, unknown>>;
  readonly signedText: string;
  readonly signature: Buffer;
};

/** A verification key of a public (or private) key, PEM or KeyObject. Its id is the SHA-256 of the public key, base64url. */
export function verificationKey(key: string | KeyObject): VerificationKey {
  const publicKey = typeof key !== "string" && key.type === "public" ? key : createPublicKey(key as string);
  const keyId = hash("sha256", publicKey.export({ type: "spki", format: "der" }), "base64url");
  return { keyId, algorithm: publicKey.asymmetricKeyType === "rsa" ? "RS256" : "ES256", publicKey };
}

/** The key as an entry of a JWK set (RFC 7517). */
export function toJwk(key: VerificationKey): Readonly<Record<string, unknown>> {
  return { use: "sig", ...key.publicKey.export({ format: "jwk" }), kid: key.keyId, alg: key.algorithm };
}

/** Signs `claims`. `key` is the private key's public half, for algorithm and key id. */
export function signJwt(claims: object, privateKey: KeyObject, key: VerificationKey): string {
  const text = `${encode({ alg: key.algorithm, kid: key.keyId })}.${encode(claims)}`;
  return `${text}.${sign("sha256", Buffer.from(text), withEncoding(privateKey)).toString("base64url")}`;
}

/** Takes a token apart; undefined when it is none. */
export function decodeJwt(token: string): DecodedJwt | undefined {
  const parts = token.split(".");
  const [header, claims, signature] = parts;
  if (parts.length !== 3 || !header || !claims || !signature) return undefined;
  const decoded = { header: decodeObject(header), claims: decodeObject(claims) };
  if (!decoded.header || !decoded.claims) return undefined;
  return {
    header: decoded.header,
    claims: decoded.claims,
    signedText: `${header}.${claims}`,
    signature: Buffer.from(signature, "base64url"),
  };
}

/** True when `token` was signed with one of `keys`. The algorithm is the key's: what the token's header says only has to agree. */
export function isSignedBy(token: DecodedJwt, keys: readonly VerificationKey[]): boolean {
  const candidates = token.header.kid === undefined ? keys : keys.filter((key) => key.keyId === token.header.kid);
  return candidates.some(
    (key) =>
      key.algorithm === token.header.alg &&
      verify("sha256", Buffer.from(token.signedText), withEncoding(key.publicKey), token.signature),
  );
}

/** JOSE writes an ECDSA signature as r and s side by side, not as DER. */
function withEncoding(key: KeyObject): { readonly key: KeyObject; readonly dsaEncoding: "ieee-p1363" } {
  return { key, dsaEncoding: "ieee-p1363" };
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decodeObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
