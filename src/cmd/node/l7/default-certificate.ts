/**
 * The certificate for those who ask for a host for which nobody has brought one. It is made at each start, and nobody signs it: a browser says so, as it should.
 */
import type { Clock } from "#component-base/clock.ts";
import { createKey, createCa, issueCertificate } from "#component-base/x509.ts";
import type { CertificateConfig } from "#proxy/config/listener.ts";

const yearMs = 365 * 86_400_000;
const dayMs = 86_400_000;

/** A new one. The key of the CA that has signed it is thrown away. */
export function defaultCertificate(clock: Clock): CertificateConfig {
  const validity = { notBeforeMs: clock.now() - dayMs, notAfterMs: clock.now() + 10 * yearMs };
  const ca = createCa({ subject: { commonName: "nodeless default" }, usages: [], ...validity }, createKey());
  const pair = issueCertificate(ca, {
    subject: { commonName: "nodeless default certificate" },
    addresses: ["default.invalid"],
    usages: ["digital signature", "server auth"],
    ...validity,
  });
  return { name: "default", ...pair };
}
