/**
 * Looks at configuration before it is in force, so that the path of a request need not: names that are tokens, values that cannot break a head, numbers within their ranges.
 */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { isAuthority, isFieldValue, isTarget, isToken } from "#proxy/http1/characters.ts";
import { isSafeRegex } from "#proxy/routing/regex.ts";
import type { ClusterConfig } from "./cluster.ts";
import type { CertificateConfig, ListenerConfig } from "./listener.ts";
import type { FieldChanges, FieldPair, PathChange, RouteAction, RouteConfig, RouteMatch, RouteRule } from "./route.ts";
import type { Resource } from "./route-source.ts";

/** Fields that say how a message is framed, where it goes or what becomes of the connection: not for filters. */
const ownFields = new Set(
  "connection content-length expect host http2-settings keep-alive proxy-connection te transfer-encoding upgrade".split(
    " ",
  ),
);

/** What is wrong; undefined when nothing is. */
export function findProblem(resource: Resource): string | undefined {
  if (resource.config.name === "") return "the name is empty";
  switch (resource.kind) {
    case "listener":
      return problemOfListener(resource.config);
    case "certificate":
      return problemOfCertificate(resource.config);
    case "cluster":
      return problemOfCluster(resource.config);
    default:
      return problemOfRoute(resource.config);
  }
}

function problemOfListener({ address, tls }: ListenerConfig): string | undefined {
  if ("host" in address) {
    if (isIP(address.host) === 0) return `${address.host} is no IP address`;
    if (!isPort(address.port, 0)) return `${address.port} is no port`;
  } else if (!Number.isInteger(address.fileDescriptor) || address.fileDescriptor < 0)
    return "the file descriptor is no number";
  if (tls?.alpn?.length === 0) return "alpn is empty";
  return tls?.clientCa === undefined ? undefined : problemOfTls({ ca: tls.clientCa });
}

function problemOfCertificate({ certificate, privateKey }: CertificateConfig): string | undefined {
  if (!certificate.includes("-----BEGIN CERTIFICATE-----")) return "the certificate is no PEM";
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(privateKey)) return "the key is no PEM";
  return problemOfTls({ cert: certificate, key: privateKey });
}

/** What TLS would throw at the first connection. */
function problemOfTls(options: SecureContextOptions): string | undefined {
  try {
    createSecureContext(options);
    // Node passes over a CA that it cannot read.
    if (typeof options.ca === "string") new X509Certificate(options.ca);
    return undefined;
  } catch (error) {
    return `TLS does not take it: ${(error as Error).message}`;
  }
}

function problemOfCluster(cluster: ClusterConfig): string | undefined {
  for (const { address, port, weight = 1 } of cluster.endpoints) {
    if (isIP(address) === 0) return `${address} is no IP address`;
    if (!isPort(port, 1)) return `${port} is no port`;
    if (!(weight >= 0)) return `the weight ${weight} is negative`;
  }
  if (cluster.tls === undefined) return undefined;
  const { ca, certificate, privateKey } = cluster.tls;
  return problemOfTls({
    ...(ca === undefined ? {} : { ca }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(privateKey === undefined ? {} : { key: privateKey }),
  });
}

function problemOfRoute(route: RouteConfig): string | undefined {
  const badHost = route.hosts.find((host) => !/^(\*|(\*\*?\.)?[a-z0-9._-]+|\[[0-9a-f:.]+\])$/.test(host));
  if (badHost !== undefined) return `${badHost} is no host`;
  return firstOf(route.rules, problemOfRule);
}

function problemOfRule(rule: RouteRule): string | undefined {
  const { rewrite, action } = rule;
  if (rewrite?.authority !== undefined && (rewrite.authority === "" || !isAuthority(rewrite.authority)))
    return `${rewrite.authority} is no host`;
  if (rule.maxBodyBytes !== undefined && !(rule.maxBodyBytes >= 0)) return `${rule.maxBodyBytes} is no length`;
  return (
    firstOf(rule.matches ?? [], problemOfMatch) ??
    problemOfChanges(rule.requestFields) ??
    problemOfChanges(rule.responseFields) ??
    problemOfPath(rewrite?.path) ??
    problemOfAction(action)
  );
}

function problemOfMatch({ path, fields = [], query = [] }: RouteMatch): string | undefined {
  if (path !== undefined && path.kind !== "regex" && !path.value.startsWith("/"))
    return `the path ${path.value} does not begin with /`;
  const patterns = [...fields, ...query].filter(({ kind }) => kind === "regex").map(({ value }) => value ?? "");
  if (path?.kind === "regex") patterns.push(path.value);
  const bad = patterns.find((pattern) => !isSafeRegex(pattern));
  return bad === undefined ? undefined : `${bad} is no regular expression of RE2`;
}

function problemOfAction(action: RouteAction): string | undefined {
  switch (action.kind) {
    case "forward":
      return firstOf(action.backends, ({ weight = 1, requestFields, responseFields }) =>
        weight >= 0
          ? (problemOfChanges(requestFields) ?? problemOfChanges(responseFields))
          : `the weight ${weight} is negative`,
      );
    case "redirect":
      if (action.host !== undefined && (action.host === "" || !isAuthority(action.host)))
        return `${action.host} is no host`;
      return problemOfPath(action.path);
    default:
      if (!(action.status >= 200 && action.status <= 599)) return `${action.status} is no final status`;
      return firstOf(action.fields ?? [], problemOfField);
  }
}

function problemOfPath(path: PathChange | undefined): string | undefined {
  if (path === undefined || path.value === "") return undefined;
  return path.value.startsWith("/") && isTarget(path.value) ? undefined : `${path.value} is no path`;
}

function problemOfChanges(changes: FieldChanges | undefined): string | undefined {
  const removed = (changes?.remove ?? []).map((name): FieldPair => [name, ""]);
  return firstOf([...removed, ...(changes?.set ?? []), ...(changes?.add ?? [])], problemOfField);
}

function problemOfField([name, value]: FieldPair): string | undefined {
  if (!isToken(name) || name !== name.toLowerCase()) return `${JSON.stringify(name)} is no field's name in lower case`;
  if (ownFields.has(name)) return `the field ${name} belongs to the connection`;
  return isFieldValue(value) ? undefined : `the value of ${name} contains control characters`;
}

function isPort(port: number, least: number): boolean {
  return Number.isInteger(port) && port >= least && port <= 65_535;
}

function firstOf<T>(items: readonly T[], find: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const problem = find(item);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
