/**
 * The keys and certificates of a cluster, as files: two CAs, what the API server shows and uses, and the key that signs service account tokens. Names of the files as kubeadm's.
 * What is missing or about to expire is made anew; all else is only read.
 */
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import type { Clock } from "./clock.ts";
import {
  type CertificateContent,
  type CertificateSubject,
  createCa,
  createKey,
  issueCertificate,
  type KeyPair,
} from "./x509.ts";

/** Key that signs service account tokens (P-256, for ES256), PEM. */
export type SigningKey = { readonly privateKey: string; readonly publicKey: string };

/** All keys and certificates of a cluster. */
export type Pki = {
  /** Signs server and client certificates; clients trust it (`certificate-authority-data`). */
  readonly ca: KeyPair;
  /** What the API server shows. */
  readonly server: KeyPair;
  /** What the API server shows to nodes (CN kube-apiserver-kubelet-client, O system:masters). */
  readonly kubeletClient: KeyPair;
  /** Signs what the API server shows to aggregated API servers; `requestheader-client-ca-file`. */
  readonly frontProxyCa: KeyPair;
  /** What the API server shows to aggregated API servers (CN front-proxy-client). */
  readonly frontProxyClient: KeyPair;
  readonly serviceAccountKey: SigningKey;
};

/** What the cluster's certificates must say. */
export type PkiOptions = {
  /** Host names and IP addresses under which the API server is reached. A certificate that lacks one is replaced. */
  readonly serverAddresses: readonly string[];
  /** The cluster has been used: others trust its CA by now, so that a lost one is not replaced. Default false. */
  readonly isInUse?: boolean;
  /** The key that tokens are signed with now: written back when its file is gone. */
  readonly signingKey?: SigningKey | undefined;
  readonly clock: Clock;
};

/** The files on disk do not fit together, and making new ones would lock out those who trust the old. */
export class PkiUnusable extends Error {
  readonly kind = "PkiUnusable";
}

const dayMs = 86_400_000;
const caDays = 3650;
const leafDays = 365;
/** Certificates with less than this ahead are replaced. */
export const renewBeforeMs: number = 60 * dayMs;

/** Reads the cluster's keys and certificates from `folder`, and makes what is missing, expiring, or does not name all addresses. Throws {@link PkiUnusable}. */
export async function ensurePki(folder: string, options: PkiOptions): Promise<Pki> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { clock } = options;
  const [ca, frontProxyCa, serviceAccountKey] = await Promise.all([
    ensureCa(folder, "ca", { commonName: "nodeless", mayBegin: options.isInUse !== true, clock }),
    // Trusted by nobody but those who read it out of the cluster at their start.
    ensureCa(folder, "front-proxy-ca", { commonName: "front-proxy-ca", mayBegin: true, clock }),
    ensureSigningKey(folder, options.signingKey),
  ]);
  const leaf = (authority: KeyPair, name: string, content: Omit<CertificateContent, "notBeforeMs" | "notAfterMs">) =>
    ensureLeaf(folder, name, authority, { ...content, ...validity(clock, leafDays) }, clock);
  const [server, kubeletClient, frontProxyClient] = await Promise.all([
    leaf(ca, "apiserver", {
      subject: { commonName: "kube-apiserver" },
      addresses: [...new Set(options.serverAddresses)],
      usages: ["digital signature", "server auth"],
    }),
    leaf(ca, "apiserver-kubelet-client", {
      subject: { commonName: "kube-apiserver-kubelet-client", organizations: ["system:masters"] },
      usages: ["digital signature", "client auth"],
    }),
    leaf(frontProxyCa, "front-proxy-client", {
      subject: { commonName: "front-proxy-client" },
      usages: ["digital signature", "client auth"],
    }),
  ]);
  return { ca, server, kubeletClient, frontProxyCa, frontProxyClient, serviceAccountKey };
}

/** How a certificate is to be issued. */
export type IssueOptions = CertificateSubject & { readonly clock: Clock; readonly validDays?: number };

/** A certificate with which a client is `commonName` in the groups `organizations`. Valid for a year unless said otherwise. */
export function issueClientCertificate(ca: KeyPair, options: IssueOptions): KeyPair {
  return issueCertificate(ca, contentOf(options, "client auth"));
}

/** A certificate for a server that is reached under `addresses`, for instance a node's API. */
export function issueServerCertificate(
  ca: KeyPair,
  options: IssueOptions & { readonly addresses: readonly string[] },
): KeyPair {
  return issueCertificate(ca, { ...contentOf(options, "server auth"), addresses: options.addresses });
}

/** Reads the client certificate NAME of `folder`; makes one where it is missing, expiring, or of another CA. */
export function ensureClientCertificate(
  folder: string,
  name: string,
  ca: KeyPair,
  options: IssueOptions,
): Promise<KeyPair> {
  return ensureLeaf(folder, name, ca, contentOf(options, "client auth"), options.clock);
}

/** As {@link ensureClientCertificate} for a server; one that does not name all addresses is replaced too. */
export function ensureServerCertificate(
  folder: string,
  name: string,
  ca: KeyPair,
  options: IssueOptions & { readonly addresses: readonly string[] },
): Promise<KeyPair> {
  const content = { ...contentOf(options, "server auth"), addresses: options.addresses };
  return ensureLeaf(folder, name, ca, content, options.clock);
}

function contentOf(options: IssueOptions, usage: "client auth" | "server auth"): CertificateContent {
  return {
    subject: options,
    usages: ["digital signature", usage],
    ...validity(options.clock, options.validDays ?? leafDays),
  };
}

/** When a certificate (PEM) should be replaced, in ms since 1970: 60 days before its end, but not before two thirds of its life. */
export function renewalDueMs(certificate: string): number {
  const { validFromDate, validToDate } = new X509Certificate(certificate);
  const lifeMs = validToDate.getTime() - validFromDate.getTime();
  return validToDate.getTime() - Math.min(renewBeforeMs, lifeMs / 3);
}

/** Reads a key pair that {@link writeKeyPair} wrote; undefined when it is not there or the two do not belong together. */
export async function findKeyPair(folder: string, name: string): Promise<KeyPair | undefined> {
  const [certificate, privateKey] = await Promise.all([
    findFile(join(folder, `${name}.crt`)),
    findFile(join(folder, `${name}.key`)),
  ]);
  if (certificate === undefined || privateKey === undefined) return undefined;
  return belongTogether(certificate, privateKey) ? { certificate, privateKey } : undefined;
}

/** Writes NAME.key and NAME.crt, both 0600 and durable. The certificate comes last: a key without it is no key pair. */
export async function writeKeyPair(folder: string, name: string, pair: KeyPair): Promise<void> {
  await writePrivateFile(join(folder, `${name}.key`), pair.privateKey);
  await writePrivateFile(join(folder, `${name}.crt`), pair.certificate);
}

/** Writes a file that only its owner may read: whole and durable, or not at all. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  const file = await open(temporary, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

type CaOptions = { readonly commonName: string; readonly mayBegin: boolean; readonly clock: Clock };

async function ensureCa(folder: string, name: string, { commonName, mayBegin, clock }: CaOptions): Promise<KeyPair> {
  const found = await findKeyPair(folder, name);
  if (found && clock.now() < renewalDueMs(found.certificate)) return found;
  const [crt, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  const [certificate, privateKey] = await Promise.all([findFile(crt), findFile(key)]);
  if (!found && certificate !== undefined) throw new PkiUnusable(`${crt} has no private key that fits in ${key}`);
  if (privateKey === undefined && !mayBegin) throw new PkiUnusable(`${crt} and ${key} are missing`);
  const content: CertificateContent = {
    subject: { commonName },
    usages: ["digital signature", "key encipherment", "cert sign"],
    ...validity(clock, caDays),
  };
  // With the old key, what was signed stays valid, and who trusts the old certificate trusts this one.
  const pair = createCaWith(content, privateKey, key);
  await writeKeyPair(folder, name, pair);
  return pair;
}

function createCaWith(content: CertificateContent, privateKey: string | undefined, path: string): KeyPair {
  try {
    return createCa(content, privateKey);
  } catch (cause) {
    throw new PkiUnusable(`${path} is no private key: ${(cause as Error).message}`, { cause });
  }
}

async function ensureLeaf(
  folder: string,
  name: string,
  ca: KeyPair,
  content: CertificateContent,
  clock: Clock,
): Promise<KeyPair> {
  const found = await findKeyPair(folder, name);
  if (found && clock.now() < renewalDueMs(found.certificate) && isFor(found.certificate, ca, content)) return found;
  const pair = issueCertificate(ca, content);
  await writeKeyPair(folder, name, pair);
  return pair;
}

async function ensureSigningKey(folder: string, inUse: SigningKey | undefined): Promise<SigningKey> {
  const found = await findFile(join(folder, "sa.key"));
  const privateKey = found ?? inUse?.privateKey ?? createKey();
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "pem" }) as string;
  if (found === undefined) await writePrivateFile(join(folder, "sa.key"), privateKey);
  return { privateKey, publicKey };
}

function isFor(certificate: string, ca: KeyPair, content: CertificateContent): boolean {
  const found = new X509Certificate(certificate);
  const names = (content.addresses ?? []).every((address) =>
    isIP(address) === 0 ? found.checkHost(address) : found.checkIP(address),
  );
  return names && found.verify(createPublicKey(ca.certificate));
}

function belongTogether(certificate: string, privateKey: string): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(privateKey));
  } catch {
    // Not PEM at all: a file that was damaged or written by hand.
    return false;
  }
}

/** Five minutes into the past, for clocks that differ. */
function validity(clock: Clock, days: number): { readonly notBeforeMs: number; readonly notAfterMs: number } {
  const now = clock.now();
  return { notBeforeMs: now - 300_000, notAfterMs: now + days * dayMs };
}

async function findFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
