/**
 * Which of many credentials fit an image: by registry, with a path and with `*` for a part of the host, as imagePullSecrets have them. The most exact come first.
 */
import type { ImageReference } from "./reference.ts";

/** How a pull may prove who it is. */
export type Credential = {
  readonly registry: string;
  readonly username?: string;
  readonly password?: string;
  readonly identityToken?: string;
};

/** The credentials for an image's registry and repository, the most exact first. */
export function matchCredentials<T extends Credential>(reference: ImageReference, credentials: readonly T[]): T[] {
  const target = `${reference.registry}/${reference.repository}`;
  const fitting = credentials.filter((credential) => matches(normalize(credential.registry), target));
  return fitting.sort((a, b) => normalize(b.registry).length - normalize(a.registry).length);
}

// "https://index.docker.io/v1/" is how Docker's own file calls docker.io.
function normalize(registry: string): string {
  const bare = registry
    .replace(/^https?:\/\//, "")
    .replace(/\/v[12]\/?$/, "")
    .replace(/\/+$/, "");
  return bare.replace(/^(index|registry-1)\.docker\.io(?=\/|$)/, "docker.io");
}

function matches(pattern: string, target: string): boolean {
  const [patternHost = "", ...patternPath] = pattern.split("/");
  const [host = "", ...path] = target.split("/");
  const isPathPrefix = patternPath.every((part, index) => path[index] === part);
  return isPathPrefix && hostMatches(patternHost, host);
}

function hostMatches(pattern: string, host: string): boolean {
  const [patternName, patternPort] = splitPort(pattern);
  const [name, port] = splitPort(host);
  const patternParts = patternName.split(".");
  const parts = name.split(".");
  if (patternPort !== port || patternParts.length !== parts.length) return false;
  return patternParts.every((part, index) => globMatches(part, parts[index] ?? ""));
}

function globMatches(pattern: string, text: string): boolean {
  const pieces = pattern.split("*").map((piece) => piece.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${pieces.join(".*")}$`).test(text);
}

function splitPort(host: string): [string, string | undefined] {
  const colon = host.lastIndexOf(":");
  return colon < 0 ? [host, undefined] : [host.slice(0, colon), host.slice(colon + 1)];
}
