/**
 * Nodes ask for certificates in their own name only.
 */
import type { CertificateSigningRequest } from "#api/generated/types/certificates-v1.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import { nodeUserPrefix } from "#apiserver/authentication/well-known.ts";
import { DerError } from "#component-base/der.ts";
import { parseCertificateRequest } from "#component-base/x509.ts";
import { refuse } from "./admission-tools.ts";

const signers = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];

/** Refuses a certificate request of a node for another name. */
export function checkNodeCertificateRequest(node: string, attributes: AdmissionAttributes): void {
  if (attributes.operation !== "CREATE") return;
  const { spec } = attributes.object as CertificateSigningRequest;
  if (!signers.includes(spec.signerName)) return;
  const wanted = `${nodeUserPrefix}${node}`;
  if (commonNameOf(attributes, spec.request) !== wanted)
    throw refuse(attributes, `can only create a node CSR with CN=${wanted}`);
}

function commonNameOf(attributes: AdmissionAttributes, request: string): string {
  try {
    return parseCertificateRequest(Buffer.from(request, "base64").toString("utf8")).commonName;
  } catch (error) {
    if (error instanceof DerError) throw refuse(attributes, `unable to parse csr: ${error.message}`);
    throw error;
  }
}
