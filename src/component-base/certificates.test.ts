import assert from "node:assert/strict";
import { generateKeyPairSync, sign, X509Certificate } from "node:crypto";
import { mkdtemp, readdir, rm, stat, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import { ensureClientCertificate, ensurePki, issueClientCertificate, type Pki, PkiUnusable } from "./certificates.ts";
import { FakeClock, systemClock } from "./clock.ts";
import {
  derBitString,
  derContext,
  derInteger,
  derObjectIdentifier,
  derOctetString,
  derSequence,
  derSet,
  derUtf8,
  der,
} from "./der.ts";
import { parseCertificateRequest, signCertificate } from "./x509.ts";

const addresses = ["kubernetes", "kubernetes.default.svc.cluster.local", "10.43.0.1", "127.0.0.1", "::1"];

async function folderFor(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "pki-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test("a second call gives the same keys and certificates", async (context) => {
  const folder = await folderFor(context);

  const first = await ensurePki(folder, { serverAddresses: addresses, clock: systemClock });
  const second = await ensurePki(folder, { serverAddresses: addresses, clock: systemClock });

  assert.deepEqual(second, first);
});

test("only the owner may read the files", async (context) => {
  const folder = await folderFor(context);

  await ensurePki(folder, { serverAddresses: addresses, clock: systemClock });

  for (const name of await readdir(folder)) assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name);
});

test("a client and the server know each other by what the CA signed", async (context) => {
  const pki = await ensurePki(await folderFor(context), { serverAddresses: addresses, clock: systemClock });
  const admin = issueClientCertificate(pki.ca, {
    commonName: "admin",
    organizations: ["system:masters", "dev"],
    clock: systemClock,
  });
  const server = createServer({
    cert: pki.server.certificate,
    key: pki.server.privateKey,
    ca: pki.ca.certificate,
    requestCert: true,
    rejectUnauthorized: true,
  });
  context.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };

  const peer = new Promise<ReturnType<TLSSocket["getPeerCertificate"]>>((resolve) =>
    server.once("secureConnection", (socket) => {
      resolve(socket.getPeerCertificate());
      socket.end();
    }),
  );
  const socket = connect({
    port,
    host: "127.0.0.1",
    ca: pki.ca.certificate,
    cert: admin.certificate,
    key: admin.privateKey,
  });
  const { subject } = await peer;
  socket.destroy();

  assert.equal(subject.CN, "admin");
  assert.deepEqual([...(subject.O as unknown as string[])].sort(), ["dev", "system:masters"]);
});

test("a certificate is replaced when an address is new", async (context) => {
  const folder = await folderFor(context);
  const before = await ensurePki(folder, { serverAddresses: addresses, clock: systemClock });

  const after = await ensurePki(folder, { serverAddresses: [...addresses, "192.0.2.7"], clock: systemClock });

  assert.notEqual(after.server.certificate, before.server.certificate);
  assert.equal(new X509Certificate(after.server.certificate).checkIP("192.0.2.7"), "192.0.2.7");
  assert.equal(after.kubeletClient.certificate, before.kubeletClient.certificate);
});

test("certificates that are about to expire are replaced, and the CA keeps its key", async (context) => {
  const folder = await folderFor(context);
  const clock = new FakeClock();
  const before = await ensurePki(folder, { serverAddresses: addresses, clock });

  await clock.advance(310 * 86_400_000);
  const nextYear = await ensurePki(folder, { serverAddresses: addresses, clock });
  await clock.advance(3300 * 86_400_000);
  const muchLater = await ensurePki(folder, { serverAddresses: addresses, clock });

  assert.notEqual(nextYear.server.certificate, before.server.certificate);
  assert.equal(nextYear.ca.certificate, before.ca.certificate);
  assert.notEqual(muchLater.ca.certificate, before.ca.certificate);
  assert.equal(muchLater.ca.privateKey, before.ca.privateKey);
});

test("a CA without its key is not replaced", async (context) => {
  const folder = await folderFor(context);
  await ensurePki(folder, { serverAddresses: addresses, clock: systemClock });

  await unlink(join(folder, "ca.key"));

  await assert.rejects(ensurePki(folder, { serverAddresses: addresses, clock: systemClock }), PkiUnusable);
});

test("a CA whose certificate was lost gets one of the same key, so that old and new certificates fit each other", async (context) => {
  const folder = await folderFor(context);
  const options = { serverAddresses: addresses, isInUse: true, clock: systemClock };
  const before = await ensurePki(folder, { ...options, isInUse: false });

  await unlink(join(folder, "ca.crt"));
  const after = await ensurePki(folder, options);

  const isSignedBy = (certificate: string, ca: string) =>
    new X509Certificate(certificate).checkIssued(new X509Certificate(ca));
  assert.notEqual(after.ca.certificate, before.ca.certificate);
  assert.equal(after.server.certificate, before.server.certificate);
  assert.ok(isSignedBy(before.server.certificate, after.ca.certificate));
  assert.ok(
    isSignedBy(
      issueClientCertificate(after.ca, { commonName: "x", clock: systemClock }).certificate,
      before.ca.certificate,
    ),
  );
});

test("a cluster in use gets no second CA when its own was lost", async (context) => {
  const folder = await folderFor(context);
  await ensurePki(folder, { serverAddresses: addresses, clock: systemClock });

  await Promise.all(["ca.crt", "ca.key"].map((name) => unlink(join(folder, name))));

  const options = { serverAddresses: addresses, isInUse: true, clock: systemClock };
  await assert.rejects(ensurePki(folder, options), (error: Error) =>
    /ca.crt and .*ca.key are missing/.test(error.message),
  );
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.startsWith("ca.")),
    [],
  );
});

test("a client certificate of another CA is replaced", async (context) => {
  const [folder, other] = [await folderFor(context), await folderFor(context)];
  const [pki, foreign] = (await Promise.all(
    [folder, other].map((place) => ensurePki(place, { serverAddresses: addresses, clock: systemClock })),
  )) as [Pki, Pki];
  const options = { commonName: "admin", clock: systemClock };
  const stale = await ensureClientCertificate(folder, "admin", foreign.ca, options);

  const made = await ensureClientCertificate(folder, "admin", pki.ca, options);
  const again = await ensureClientCertificate(folder, "admin", pki.ca, options);

  assert.notEqual(made.certificate, stale.certificate);
  assert.equal(again.certificate, made.certificate);
});

test("a certificate request is read and signed", async (context) => {
  const pki = await ensurePki(await folderFor(context), { serverAddresses: addresses, clock: systemClock });
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const part = (id: string, text: string) => derSet(derSequence(derObjectIdentifier(id), derUtf8(text)));
  const names = derSequence(der(0x82, Buffer.from("node-1")), der(0x87, Buffer.from([10, 0, 0, 1])));
  const info = derSequence(
    derInteger(Buffer.from([0])),
    derSequence(part("2.5.4.10", "system:nodes"), part("2.5.4.3", "system:node:node-1")),
    publicKey.export({ type: "spki", format: "der" }),
    derContext(
      0,
      derSequence(
        derObjectIdentifier("1.2.840.113549.1.9.14"),
        derSet(derSequence(derSequence(derObjectIdentifier("2.5.29.17"), derOctetString(names)))),
      ),
    ),
  );
  const algorithm = derSequence(derObjectIdentifier("1.2.840.113549.1.1.11"), der(0x05));
  const whole = derSequence(info, algorithm, derBitString(sign("sha256", info, privateKey)));
  const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${whole.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;

  const request = parseCertificateRequest(pem);
  const certificate = new X509Certificate(
    signCertificate(
      pki.ca,
      { subject: request, usages: ["client auth"], notBeforeMs: Date.now(), notAfterMs: Date.now() + 1000 },
      request.publicKey,
    ),
  );

  assert.equal(request.commonName, "system:node:node-1");
  assert.deepEqual(request.organizations, ["system:nodes"]);
  assert.deepEqual(request.dnsNames, ["node-1"]);
  assert.deepEqual(request.ipAddresses, ["10.0.0.1"]);
  assert.equal(certificate.subject, "O=system:nodes\nCN=system:node:node-1");
  assert.ok(certificate.checkIssued(new X509Certificate(pki.ca.certificate)));
});
