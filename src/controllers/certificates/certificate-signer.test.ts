import assert from "node:assert/strict";
import { generateKeyPairSync, sign, X509Certificate } from "node:crypto";
import { test } from "node:test";
import type { CertificateSigningRequest } from "#api/generated/types/certificates-v1.ts";
import {
  derBitString,
  derContext,
  derInteger,
  derObjectIdentifier,
  derSequence,
  derSet,
  derUtf8,
} from "#component-base/der.ts";
import { createCa } from "#component-base/x509.ts";
import { TestCluster } from "#controllers/testing/cluster.ts";
import { createCertificateSigner } from "./certificate-signer.ts";

const resource = { group: "certificates.k8s.io", version: "v1", resource: "certificatesigningrequests" };

/** A request for CN=ann, O=dev, PEM in base64. */
function request(): string {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const part = (id: string, text: string) => derSet(derSequence(derObjectIdentifier(id), derUtf8(text)));
  const subject = derSequence(part("2.5.4.10", "dev"), part("2.5.4.3", "ann"));
  const info = derSequence(
    derInteger(Buffer.from([0])),
    subject,
    publicKey.export({ type: "spki", format: "der" }),
    derContext(0),
  );
  const whole = derSequence(
    info,
    derSequence(derObjectIdentifier("1.2.840.10045.4.3.2")),
    derBitString(sign("sha256", info, privateKey)),
  );
  const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${whole.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;
  return Buffer.from(pem).toString("base64");
}

test("an approved request is signed, one that says what its signer forbids fails", async (context) => {
  const cluster = new TestCluster();
  context.after(() => cluster.stop());
  const now = cluster.clock.now();
  const ca = createCa({
    subject: { commonName: "ca" },
    usages: ["cert sign"],
    notBeforeMs: now - 1e6,
    notAfterMs: now + 1e12,
  });
  await cluster.start((parts) => createCertificateSigner(parts, ca));
  const approve = async (name: string, usages: readonly string[]) => {
    const spec = {
      request: request(),
      signerName: "kubernetes.io/kube-apiserver-client",
      usages,
      expirationSeconds: 3600,
    };
    const csr = await cluster.client.create<CertificateSigningRequest>({ resource }, { metadata: { name }, spec });
    const status = { conditions: [{ type: "Approved", status: "True" }] };
    await cluster.client.update({ resource, name, subresource: "status" }, {
      ...csr,
      status,
    } as CertificateSigningRequest);
    await cluster.settle();
    return (await cluster.client.get<CertificateSigningRequest>({ resource, name })).status;
  };

  const good = await approve("good", ["client auth"]);
  const bad = await approve("bad", ["server auth"]);

  const certificate = new X509Certificate(Buffer.from(good?.certificate ?? "", "base64"));
  assert.equal(certificate.subject, "O=dev\nCN=ann");
  assert.equal(certificate.validToDate.getTime(), now + 3_600_000);
  assert.ok(certificate.checkIssued(new X509Certificate(ca.certificate)));
  assert.equal(bad?.certificate, undefined);
  assert.equal(bad?.conditions?.at(-1)?.reason, "SignerValidationFailure");
});
