/**
 * Makes X.509 certificates (RFC 5280) with nothing but node:crypto: a CA's own, and what a CA signs for servers, clients and certificate requests (PKCS #10).
 * Reading certificates is node:crypto's `X509Certificate`.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomBytes,
  sign,
  verify,
  X509Certificate,
} from "node:crypto";
import { isIP } from "node:net";
import {
  DerError,
  type DerElement,
  der,
  derBitString,
  derBoolean,
  derContext,
  derInteger,
  derObjectIdentifier,
  derOctetString,
  derSequence,
  derSet,
  derTime,
  derUtf8,
  readDer,
  readDerAll,
  readObjectIdentifier,
} from "./der.ts";
import { addressBytes } from "./ip-bytes.ts";

/** A certificate and its private key, both PEM. */
export type KeyPair = { readonly certificate: string; readonly privateKey: string };

/** Whom a certificate names. For clients the user's name and groups. */
export type CertificateSubject = { readonly commonName: string; readonly organizations?: readonly string[] };

/** What a certificate may be used for. */
export type CertificateUsage = "digital signature" | "key encipherment" | "cert sign" | "server auth" | "client auth";

/** What goes into a certificate. Host names and IP addresses stand together in `addresses`. Times are ms since 1970. */
export type CertificateContent = {
  readonly subject: CertificateSubject;
  readonly addresses?: readonly string[];
  readonly usages: readonly CertificateUsage[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
};

/** A certificate request (PKCS #10) whose signature was checked. `subject` is its DER as it came. */
export type CertificateRequest = {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly emailAddresses: readonly string[];
  readonly uris: readonly string[];
  readonly publicKey: KeyObject;
};

const oid = {
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAlternativeName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  extensionRequest: "1.2.840.113549.1.9.14",
} as const;

const keyUsageBits: Partial<Record<CertificateUsage, number>> = {
  "digital signature": 0x80,
  "key encipherment": 0x20,
  "cert sign": 0x04,
};

const extendedKeyUsages: Partial<Record<CertificateUsage, string>> = {
  "server auth": "1.3.6.1.5.5.7.3.1",
  "client auth": "1.3.6.1.5.5.7.3.2",
};

/** A new key on the curve P-256, as PKCS #8 PEM. */
export function createKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "pem" }) as string;
}

/** A CA's own certificate. With the key of an older one it replaces that: what the old one signed stays valid. */
export function createCa(content: CertificateContent, privateKey: string = createKey()): KeyPair {
  const key = createPrivateKey(privateKey);
  const publicKey = createPublicKey(key);
  const name = nameOf(content.subject);
  const extensions = [keyIdentifier(oid.subjectKeyIdentifier, publicKey), ...extensionsOf(content, true)];
  return { certificate: signed({ content, subject: name, issuer: name, publicKey, extensions, key }), privateKey };
}

/** A certificate with a new key, signed by `ca`. */
export function issueCertificate(ca: KeyPair, content: CertificateContent): KeyPair {
  const privateKey = createKey();
  return { certificate: signCertificate(ca, content, createPublicKey(privateKey)), privateKey };
}

/** A certificate (PEM) for somebody else's key, signed by `ca`. */
export function signCertificate(ca: KeyPair, content: CertificateContent, publicKey: KeyObject): string {
  const issuer = subjectDer(new X509Certificate(ca.certificate).raw);
  const key = createPrivateKey(ca.privateKey);
  const authority = keyIdentifier(oid.authorityKeyIdentifier, createPublicKey(key));
  const extensions = [...extensionsOf(content, false), authority];
  return signed({ content, subject: nameOf(content.subject), issuer, publicKey, extensions, key });
}

/** Reads a certificate request (PEM) and checks that it is signed with its own key. Throws {@link DerError}. */
export function parseCertificateRequest(pem: string): CertificateRequest {
  const block = /-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([^-]+)-----END (?:NEW )?CERTIFICATE REQUEST-----/.exec(
    pem,
  );
  if (!block?.[1]) throw new DerError("PEM block type must be CERTIFICATE REQUEST");
  const [info, , signature] = readDerAll(readDer(Buffer.from(block[1], "base64")).content);
  if (!info || !signature) throw new DerError("certificate request is not complete");
  const [, subject, spki, attributes] = readDerAll(info.content);
  if (!subject || !spki) throw new DerError("certificate request is not complete");
  const publicKey = createPublicKey({ key: spki.raw, format: "der", type: "spki" });
  const algorithm = publicKey.asymmetricKeyType?.startsWith("ed") ? null : "sha256";
  if (!verify(algorithm, info.raw, publicKey, signature.content.subarray(1)))
    throw new DerError("signature of the certificate request is wrong");
  return { ...readName(subject), ...readAlternativeNames(attributes), publicKey };
}

type Unsigned = {
  readonly content: CertificateContent;
  readonly subject: Buffer;
  readonly issuer: Buffer;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Buffer[];
  readonly key: KeyObject;
};

function signed(unsigned: Unsigned): string {
  const { content, key } = unsigned;
  const algorithm = signatureAlgorithm(key);
  const serial = randomBytes(16);
  serial[0] = (serial[0] ?? 0) & 0x7f;
  const body = derSequence(
    derContext(0, derInteger(Buffer.from([2]))),
    derInteger(serial),
    algorithm,
    unsigned.issuer,
    derSequence(derTime(content.notBeforeMs), derTime(content.notAfterMs)),
    unsigned.subject,
    unsigned.publicKey.export({ type: "spki", format: "der" }),
    derContext(3, derSequence(...unsigned.extensions)),
  );
  const signature = sign(key.asymmetricKeyType === "ed25519" ? null : "sha256", body, key);
  return toPem("CERTIFICATE", derSequence(body, algorithm, derBitString(signature)));
}

function signatureAlgorithm(key: KeyObject): Buffer {
  if (key.asymmetricKeyType === "ec") return derSequence(derObjectIdentifier("1.2.840.10045.4.3.2"));
  if (key.asymmetricKeyType === "ed25519") return derSequence(derObjectIdentifier("1.3.101.112"));
  return derSequence(derObjectIdentifier("1.2.840.113549.1.1.11"), der(0x05));
}

function extensionsOf(content: CertificateContent, isCa: boolean): readonly Buffer[] {
  const bits = content.usages.reduce((sum, usage) => sum | (keyUsageBits[usage] ?? 0), 0);
  const purposes = content.usages.flatMap((usage) => extendedKeyUsages[usage] ?? []);
  const addresses = content.addresses ?? [];
  return [
    extension(oid.basicConstraints, true, derSequence(...(isCa ? [derBoolean(true)] : []))),
    ...(bits === 0 ? [] : [extension(oid.keyUsage, true, derBitString(Buffer.from([bits]), trailingZeroBits(bits)))]),
    ...(purposes.length === 0
      ? []
      : [extension(oid.extendedKeyUsage, false, derSequence(...purposes.map(derObjectIdentifier)))]),
    ...(addresses.length === 0
      ? []
      : [extension(oid.subjectAlternativeName, false, derSequence(...addresses.map(generalName)))]),
  ];
}

function extension(id: string, isCritical: boolean, value: Buffer): Buffer {
  return derSequence(derObjectIdentifier(id), ...(isCritical ? [derBoolean(true)] : []), derOctetString(value));
}

function keyIdentifier(id: string, publicKey: KeyObject): Buffer {
  const [, bits] = readDerAll(readDer(publicKey.export({ type: "spki", format: "der" })).content);
  const digest = hash("sha1", (bits as DerElement).content.subarray(1), "buffer");
  return extension(
    id,
    false,
    id === oid.subjectKeyIdentifier ? derOctetString(digest) : derSequence(der(0x80, digest)),
  );
}

function generalName(address: string): Buffer {
  if (address.includes("://")) return der(0x86, Buffer.from(address));
  return isIP(address) === 0 ? der(0x82, Buffer.from(address)) : der(0x87, addressBytes(address));
}

function nameOf(subject: CertificateSubject): Buffer {
  const part = (id: string, text: string) => derSequence(derObjectIdentifier(id), derUtf8(text));
  const organizations = (subject.organizations ?? []).map((text) => part(oid.organization, text));
  return derSequence(
    ...(organizations.length > 0 ? [derSet(...organizations)] : []),
    derSet(part(oid.commonName, subject.commonName)),
  );
}

function subjectDer(certificate: Uint8Array): Buffer {
  const [body] = readDerAll(readDer(certificate).content);
  const fields = readDerAll((body as DerElement).content);
  // version [0], serial, algorithm, issuer, validity, subject
  return (fields[5] as DerElement).raw;
}

function readName(name: DerElement): { readonly commonName: string; readonly organizations: readonly string[] } {
  const parts = readDerAll(name.content)
    .flatMap((set) => readDerAll(set.content))
    .map((part) => readDerAll(part.content))
    .map(([id, value]) => ({
      id: readObjectIdentifier(id?.content ?? Buffer.alloc(0)),
      text: value?.content.toString("utf8") ?? "",
    }));
  return {
    commonName: parts.findLast((part) => part.id === oid.commonName)?.text ?? "",
    organizations: parts.filter((part) => part.id === oid.organization).map((part) => part.text),
  };
}

function readAlternativeNames(
  attributes: DerElement | undefined,
): Pick<CertificateRequest, "dnsNames" | "ipAddresses" | "emailAddresses" | "uris"> {
  const names = attributes === undefined ? [] : alternativeNames(attributes);
  const text = (tag: number) => names.filter((name) => name.tag === tag).map((name) => name.content.toString("latin1"));
  const ipAddresses = names.filter((name) => name.tag === 0x87).map((name) => addressText(name.content));
  return { dnsNames: text(0x82), emailAddresses: text(0x81), uris: text(0x86), ipAddresses };
}

function alternativeNames(attributes: DerElement): readonly DerElement[] {
  for (const attribute of readDerAll(attributes.content)) {
    const [id, values] = readDerAll(attribute.content);
    if (!id || !values || readObjectIdentifier(id.content) !== oid.extensionRequest) continue;
    for (const item of readDerAll(readDer(values.content).content)) {
      const parts = readDerAll(item.content);
      if (!parts[0] || readObjectIdentifier(parts[0].content) !== oid.subjectAlternativeName) continue;
      return readDerAll(readDer((parts.at(-1) as DerElement).content).content);
    }
  }
  return [];
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join(".");
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

function trailingZeroBits(byte: number): number {
  return 31 - Math.clz32(byte & -byte);
}

function toPem(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
