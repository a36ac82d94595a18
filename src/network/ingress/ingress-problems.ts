/**
 * What is wrong with an Ingress, in words for its owner: what it names is not there, a certificate that cannot be used or is for somebody else, annotations that are not followed.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Secret, Service } from "#api/generated/types/core-v1.ts";
import type { Ingress, IngressBackend, IngressTLS } from "#api/generated/types/networking-v1.ts";
import { isSafeRegex } from "#proxy/routing/regex.ts";
import { settingsOf } from "./ingress-annotations.ts";
import { findPort } from "./ingress-clusters.ts";
import { pathExpression, wantsRegex } from "./ingress-routes.ts";

/** One thing. */
export type IngressProblem = {
  /** One word in CamelCase, for an event. */
  readonly reason: string;
  readonly message: string;
  /** It may be on its way: objects that are applied together come one after the other. */
  readonly mayPass: boolean;
};

/** What is known of the objects that it names, in its own namespace. */
export type IngressNeighbours = {
  readonly findService: (name: string) => Service | undefined;
  readonly findSecret: (name: string) => Secret | undefined;
  readonly nowMs: number;
};

const defaultIsShown = "the default certificate is shown";

export function problemsOf(ingress: Ingress, neighbours: IngressNeighbours): readonly IngressProblem[] {
  return [
    ...annotationProblems(ingress),
    ...backendsOf(ingress).flatMap((backend) => backendProblems(backend, neighbours)),
    ...(ingress.spec?.tls ?? []).flatMap((tls) => tlsProblems(tls, neighbours)),
  ];
}

function annotationProblems(ingress: Ingress): IngressProblem[] {
  const settings = settingsOf(ingress);
  const { refusal, problems, ignored } = settings;
  const paths = (ingress.spec?.rules ?? []).flatMap(({ http }) => http?.paths ?? []);
  const badPaths = paths
    .filter(({ path = "", pathType }) => pathType !== "Exact" && wantsRegex(path, settings))
    .filter(({ path = "" }) => !isSafeRegex(pathExpression(path)));
  return [
    ...(refusal === undefined ? [] : [problem("NotServed", refusal)]),
    ...problems.map((message) => problem("InvalidAnnotation", message)),
    ...badPaths.map(({ path = "" }) =>
      problem("InvalidPath", `path ${path} is no regular expression of RE2, and is left out`),
    ),
    ...(ignored.length === 0 ? [] : [problem("UnsupportedAnnotations", `not followed: ${ignored.join(", ")}`)]),
  ];
}

function backendsOf({ spec }: Ingress): readonly IngressBackend[] {
  const paths = (spec?.rules ?? []).flatMap(({ http }) => http?.paths ?? []);
  const all = [
    ...(spec?.defaultBackend === undefined ? [] : [spec.defaultBackend]),
    ...paths.map(({ backend }) => backend),
  ];
  return [...new Map(all.map((backend) => [JSON.stringify(backend), backend])).values()];
}

function backendProblems(
  { service: wanted, resource }: IngressBackend,
  { findService }: IngressNeighbours,
): IngressProblem[] {
  if (resource !== undefined) {
    const message = `backend ${resource.kind} ${JSON.stringify(resource.name)} is no Service: requests get 503`;
    return [problem("UnsupportedBackend", message)];
  }
  if (wanted === undefined) return [];
  const service = findService(wanted.name);
  if (service === undefined)
    return [problem("ServiceNotFound", `service ${JSON.stringify(wanted.name)} not found`, true)];
  const { name: portName, number } = wanted.port ?? {};
  const isExternal = service.spec?.type === "ExternalName" && number !== undefined;
  if (isExternal || findPort(service, wanted) !== undefined) return [];
  return [problem("PortNotFound", `service ${JSON.stringify(wanted.name)} has no port ${portName || number}`, true)];
}

function tlsProblems(
  { secretName = "", hosts = [] }: IngressTLS,
  { findSecret, nowMs }: IngressNeighbours,
): IngressProblem[] {
  if (secretName === "") return []; // it asks for the default certificate
  const about = `secret ${JSON.stringify(secretName)}`;
  const secret = findSecret(secretName);
  if (secret === undefined) return [problem("SecretNotFound", `${about} not found: ${defaultIsShown}`, true)];
  const text = (key: string) => Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
  const certificate = readCertificate(text("tls.crt"), text("tls.key"));
  if (typeof certificate === "string") return [problem("InvalidSecret", `${about}: ${certificate}: ${defaultIsShown}`)];
  const uncovered = hosts.filter((host) => !isFor(certificate, host));
  const isOver = Date.parse(certificate.validTo) < nowMs;
  return [
    ...(isOver
      ? [problem("CertificateExpired", `the certificate of ${about} has expired on ${certificate.validTo}`)]
      : []),
    ...(uncovered.length === 0
      ? []
      : [
          problem(
            "CertificateMismatch",
            `the certificate of ${about} is not for ${uncovered.join(", ")}: ${defaultIsShown} there`,
          ),
        ]),
  ];
}

/** The certificate, or why there is none. */
function readCertificate(certificate: string, privateKey: string): X509Certificate | string {
  if (certificate === "") return "it has no tls.crt";
  if (privateKey === "") return "it has no tls.key";
  try {
    const read = new X509Certificate(certificate);
    return read.checkPrivateKey(createPrivateKey(privateKey)) ? read : "tls.key is not the key of tls.crt";
  } catch (error) {
    return `tls.crt or tls.key cannot be read (${(error as Error).message})`;
  }
}

function isFor(certificate: X509Certificate, host: string): boolean {
  if (!host.startsWith("*.")) return certificate.checkHost(host) !== undefined;
  return (certificate.subjectAltName ?? "").toLowerCase().split(", ").includes(`dns:${host.toLowerCase()}`);
}

function problem(reason: string, message: string, mayPass = false): IngressProblem {
  return { reason, message, mayPass };
}
