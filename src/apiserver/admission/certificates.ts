/**
 * Who may approve and sign certificate requests, by signer, and what a client certificate may never say. As plugin/pkg/admission/certificates/{approval,signing,subjectrestriction}.
 */
import type { CertificateSigningRequest } from "#api/generated/types/certificates-v1.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import type { Authorizer, User } from "#apiserver/request.ts";
import { DerError } from "#component-base/der.ts";
import { parseCertificateRequest } from "#component-base/x509.ts";
import { isWriteTo, refuse } from "./admission-tools.ts";

const group = "certificates.k8s.io";
const resource = "certificatesigningrequests";

export class CertificateApprovalPlugin implements AdmissionPlugin {
  readonly name = "CertificateApproval";
  readonly #authorizer: Authorizer;

  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }

  handles(attributes: AdmissionAttributes): boolean {
    return attributes.operation === "UPDATE" && isWriteTo(attributes, group, resource, "approval");
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const signer = signerOf(attributes.oldObject);
    if (await maySigner(this.#authorizer, attributes.user, "approve", signer)) return;
    throw refuse(attributes, `user not permitted to approve requests with signerName ${JSON.stringify(signer)}`);
  }
}

export class CertificateSigningPlugin implements AdmissionPlugin {
  readonly name = "CertificateSigning";
  readonly #authorizer: Authorizer;

  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }

  handles(attributes: AdmissionAttributes): boolean {
    return attributes.operation === "UPDATE" && isWriteTo(attributes, group, resource, "status");
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const [before, after] = [statusOf(attributes.oldObject), statusOf(attributes.object)];
    const failed = (status: typeof before) =>
      status?.conditions?.some((condition) => condition.type === "Failed") ?? false;
    if ((before?.certificate ?? "") === (after?.certificate ?? "") && failed(before) === failed(after)) return;
    const signer = signerOf(attributes.oldObject);
    if (await maySigner(this.#authorizer, attributes.user, "sign", signer)) return;
    throw refuse(attributes, `user not permitted to sign requests with signerName ${JSON.stringify(signer)}`);
  }
}

export class CertificateSubjectRestrictionPlugin implements AdmissionPlugin {
  readonly name = "CertificateSubjectRestriction";

  handles(attributes: AdmissionAttributes): boolean {
    const isCreate = attributes.operation === "CREATE" && isWriteTo(attributes, group, resource);
    return isCreate && signerOf(attributes.object) === "kubernetes.io/kube-apiserver-client";
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const { spec } = attributes.object as CertificateSigningRequest;
    if (!organizationsOf(attributes, spec.request).includes("system:masters")) return;
    throw refuse(attributes, `use of ${spec.signerName} signer with system:masters group is not allowed`);
  }
}

function organizationsOf(attributes: AdmissionAttributes, request: string): readonly string[] {
  try {
    return parseCertificateRequest(Buffer.from(request, "base64").toString("utf8")).organizations;
  } catch (error) {
    if (error instanceof DerError) throw refuse(attributes, `failed to parse CSR: ${error.message}`);
    throw error;
  }
}

/** Signers are allowed by name, or all of a domain as "example.com/*". */
async function maySigner(authorizer: Authorizer, user: User, verb: string, signer: string): Promise<boolean> {
  for (const name of [signer, `${signer.split("/")[0]}/*`]) {
    const request = {
      verb,
      name,
      apiGroup: group,
      apiVersion: "*",
      resource: "signers",
      subresource: "",
      namespace: "",
      path: "",
      isResourceRequest: true,
    };
    if ((await authorizer.authorize(user, request)).allowed) return true;
  }
  return false;
}

function signerOf(object: AdmissionAttributes["object"]): string {
  return (object as CertificateSigningRequest | undefined)?.spec?.signerName ?? "";
}

function statusOf(object: AdmissionAttributes["object"]): CertificateSigningRequest["status"] {
  return (object as CertificateSigningRequest | undefined)?.status;
}
