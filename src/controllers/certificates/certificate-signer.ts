/**
 * Signs approved certificate requests of Kubernetes' own signers with the cluster's CA. Same as kube-controller-manager's certificatesigningrequest-signing-controller; what the certificate may say is
 * decided by the signer's rules, who may approve by admission.
 */
import type { CertificateSigningRequest } from "#api/generated/types/certificates-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { formatTime } from "#apimachinery/time.ts";
import {
  type CertificateRequest,
  type CertificateUsage,
  type KeyPair,
  parseCertificateRequest,
  signCertificate,
} from "#component-base/x509.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";

const resource = { group: "certificates.k8s.io", version: "v1", resource: "certificatesigningrequests" } as const;
const longestMs = 365 * 86_400_000;
/** Clocks may differ. */
const backdateMs = 300_000;
const knownUsages: readonly string[] = [
  "digital signature",
  "key encipherment",
  "cert sign",
  "server auth",
  "client auth",
];

type Rule = (request: CertificateRequest, usages: readonly string[]) => string | undefined;

/** Why a signer does not sign; undefined when it does. */
const signers: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ["kubernetes.io/kube-apiserver-client", (_request, usages) => usagesError(usages, "client auth")],
  [
    "kubernetes.io/kube-apiserver-client-kubelet",
    (request, usages) => nodeError(request) ?? noNamesError(request) ?? usagesError(usages, "client auth"),
  ],
  [
    "kubernetes.io/kubelet-serving",
    (request, usages) => nodeError(request) ?? namesError(request) ?? usagesError(usages, "server auth"),
  ],
  ["kubernetes.io/legacy-unknown", () => undefined],
]);

/** The controller. Keys are names of CertificateSigningRequests. */
export function createCertificateSigner(context: ControllerContext, ca: KeyPair): NamedController {
  const controller: KeyedController = new KeyedController(context, {
    name: "certificatesigningrequest-signing-controller",
    reconcile,
  });
  const enqueue = (csr: CertificateSigningRequest) => {
    if (isToSign(csr)) controller.queue.add(csr.metadata?.name ?? "");
  };
  const all = controller.watch(context.informers.informer<CertificateSigningRequest>({ resource }), {
    onAdd: enqueue,
    onUpdate: (_before, csr) => enqueue(csr),
  });

  async function reconcile(name: string, signal: AbortSignal): Promise<void> {
    if (all.lister.find("", name) === undefined) return;
    try {
      const csr = await context.client.get<CertificateSigningRequest>({ resource, name }, { signal });
      if (!isToSign(csr)) return;
      const status = { ...csr.status, ...sign(csr, ca, context.clock.now()) };
      await context.client.update({ resource, name, subresource: "status" }, { ...csr, status }, { signal });
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
    }
  }
  return controller;
}

/** Approved, of a signer that we are, and neither signed nor failed yet. */
function isToSign({ spec, status }: CertificateSigningRequest): boolean {
  const has = (type: string) =>
    status?.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false;
  return signers.has(spec.signerName) && !status?.certificate && has("Approved") && !has("Denied") && !has("Failed");
}

function sign(
  { spec, status }: CertificateSigningRequest,
  ca: KeyPair,
  nowMs: number,
): CertificateSigningRequest["status"] {
  const request = parseCertificateRequest(Buffer.from(spec.request, "base64").toString("utf8"));
  const usages = spec.usages ?? [];
  const error = signers.get(spec.signerName)?.(request, usages);
  if (error !== undefined) {
    const time = formatTime(nowMs);
    const failed = {
      type: "Failed",
      status: "True",
      reason: "SignerValidationFailure",
      message: error,
      lastUpdateTime: time,
      lastTransitionTime: time,
    };
    return { conditions: [...(status?.conditions ?? []), failed] };
  }
  const lifeMs = Math.min(longestMs, spec.expirationSeconds === undefined ? longestMs : spec.expirationSeconds * 1000);
  const certificate = signCertificate(
    ca,
    {
      subject: request,
      addresses: [...request.dnsNames, ...request.ipAddresses, ...request.uris],
      usages: usages.filter((usage): usage is CertificateUsage => knownUsages.includes(usage)),
      notBeforeMs: nowMs - backdateMs,
      notAfterMs: nowMs + lifeMs,
    },
    request.publicKey,
  );
  return { certificate: Buffer.from(certificate).toString("base64") };
}

function usagesError(usages: readonly string[], needed: string): string | undefined {
  const allowed = [needed, "digital signature", "key encipherment"];
  const other = usages.find((usage) => !allowed.includes(usage));
  if (other !== undefined) return `invalid usage for this signer: ${other}`;
  return usages.includes(needed) ? undefined : `usages did not include ${JSON.stringify(needed)}`;
}

function nodeError({ organizations, commonName }: CertificateRequest): string | undefined {
  if (organizations.length !== 1 || organizations[0] !== "system:nodes")
    return "subject organization is not system:nodes";
  return commonName.startsWith("system:node:") ? undefined : "subject common name does not begin with system:node:";
}

function noNamesError({ dnsNames, ipAddresses, emailAddresses, uris }: CertificateRequest): string | undefined {
  if (dnsNames.length > 0) return "DNS subjectAltNames are not allowed";
  if (emailAddresses.length > 0) return "Email subjectAltNames are not allowed";
  if (ipAddresses.length > 0) return "IP subjectAltNames are not allowed";
  return uris.length > 0 ? "URI subjectAltNames are not allowed" : undefined;
}

function namesError({ dnsNames, ipAddresses, emailAddresses, uris }: CertificateRequest): string | undefined {
  if (dnsNames.length + ipAddresses.length === 0) return "DNS or IP subjectAltName is required";
  if (emailAddresses.length > 0) return "Email subjectAltNames are not allowed";
  return uris.length > 0 ? "URI subjectAltNames are not allowed" : undefined;
}
