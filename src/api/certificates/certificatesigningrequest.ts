/**
 * CertificateSigningRequests. Who asks is written in by the server, not by the client. As pkg/apis/certificates/validation and its registry strategy.
 */
import type { CertificateSigningRequest, CertificateSigningRequestSpec } from "#api/generated/types/certificates-v1.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { type FieldError, invalid, notSupported, required } from "#apimachinery/field-error.ts";

/** What every signer understands. */
const knownUsages = [
  "any",
  "cert sign",
  "client auth",
  "code signing",
  "content commitment",
  "crl sign",
  "data encipherment",
  "decipher only",
  "digital signature",
  "email protection",
  "encipher only",
  "ipsec end system",
  "ipsec tunnel",
  "ipsec user",
  "key agreement",
  "key encipherment",
  "microsoft sgc",
  "netscape sgc",
  "ocsp signing",
  "s/mime",
  "server auth",
  "signing",
  "timestamping",
];

export const certificateSigningRequestStrategy: KindStrategy<CertificateSigningRequest> = {
  hasNoGeneration: true,
  prepareForCreate(draft) {
    draft["status"] = {};
  },
  prepareForUpdate(draft, old) {
    draft["spec"] = old.spec;
  },
  selectableFields: ({ spec }) => ({ "spec.signerName": spec?.signerName ?? "" }),
  validate,
};

function validate({ spec }: CertificateSigningRequest): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { request, signerName, usages = [], expirationSeconds }: Partial<CertificateSigningRequestSpec> = spec ?? {};
  const text = Buffer.from(request ?? "", "base64").toString("latin1");
  if (!text.includes("-----BEGIN CERTIFICATE REQUEST-----")) {
    errors.push(invalid("spec.request", request ?? "", "PEM block type must be CERTIFICATE REQUEST"));
  }
  if (usages.length === 0) errors.push(required("spec.usages"));
  usages.forEach((usage, index) => {
    if (!knownUsages.includes(usage)) errors.push(notSupported(`spec.usages[${index}]`, usage, knownUsages));
  });
  if (!signerName) errors.push(required("spec.signerName"));
  else if (!/^[a-z0-9.-]+\.[a-z0-9.-]+\/.+$/.test(signerName)) {
    const message = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    errors.push(invalid("spec.signerName", signerName, message));
  }
  if (expirationSeconds !== undefined && expirationSeconds < 600) {
    errors.push(
      invalid(
        "spec.expirationSeconds",
        expirationSeconds,
        "may not specify a duration less than 600 seconds (10 minutes)",
      ),
    );
  }
  return errors;
}
