/** What connections bring along. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CertificateReader } from "./credentials.ts";

test("a connection that ended before its request was handled has no certificate, and is no error", () => {
  const gone = { authorized: true, getPeerCertificate: () => null };

  assert.equal(new CertificateReader().read(gone), undefined);
});

test("a connection's certificate is read once", () => {
  let reads = 0;
  const raw = Buffer.from("der");
  const getPeerCertificate = () => {
    reads++;
    return { subject: { CN: "ann", O: "admins" }, raw };
  };
  const reader = new CertificateReader();
  const socket = { authorized: true, getPeerCertificate };

  assert.deepEqual(reader.read(socket), { commonName: "ann", organizations: ["admins"], der: raw });
  assert.equal(reader.read(socket), reader.read(socket));
  assert.equal(reads, 1);
});
