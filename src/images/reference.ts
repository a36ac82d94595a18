/**
 * Image references: "nginx" means docker.io/library/nginx:latest. The grammar and the defaults are those of the distribution project that Docker and Kubernetes share.
 */

/** A reference, taken apart and with its defaults filled in. */
export type ImageReference = {
  /** Host with port: "docker.io", "localhost:5000". */
  readonly registry: string;
  /** "library/nginx". */
  readonly repository: string;
  /** Absent only where a digest is given. */
  readonly tag?: string;
  /** "sha256:…". Wins over the tag. */
  readonly digest?: string;
};

/** The text is no image reference. The message is the one that Kubernetes' users know. */
export class InvalidReference extends Error {
  readonly kind = "InvalidReference";
}

const domainPart = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const domain = new RegExp(`^(?:${domainPart}(?:\\.${domainPart})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const pathPart = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const repositoryPath = new RegExp(`^${pathPart}(?:/${pathPart})*$`);
const tagPattern = /^\w[\w.-]{0,127}$/;
const digestPattern = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const longestName = 255;

/** Parses what users write. Throws {@link InvalidReference}. */
export function parseReference(text: string): ImageReference {
  const at = text.indexOf("@");
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const rest = at < 0 ? text : text.slice(0, at);
  // A colon after the last slash begins the tag; one before it a port.
  const colon = rest.indexOf(":", rest.lastIndexOf("/") + 1);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  const { registry, repository } = splitName(colon < 0 ? rest : rest.slice(0, colon));

  if (repository !== repository.toLowerCase() && domain.test(registry))
    throw new InvalidReference(`invalid reference format: repository name (${repository}) must be lowercase`);
  const wellFormed =
    domain.test(registry) &&
    repositoryPath.test(repository) &&
    (tag === undefined || tagPattern.test(tag)) &&
    (digest === undefined || isDigest(digest));
  if (!wellFormed) throw new InvalidReference("invalid reference format");
  if (registry.length + 1 + repository.length > longestName)
    throw new InvalidReference("repository name must not be more than 255 characters");
  const chosenTag = tag ?? (digest === undefined ? "latest" : undefined);
  return {
    registry,
    repository,
    ...(chosenTag === undefined ? {} : { tag: chosenTag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The full name: "docker.io/library/nginx:latest", "docker.io/library/nginx@sha256:…". */
export function formatReference(reference: ImageReference): string {
  const name = `${reference.registry}/${reference.repository}`;
  return reference.digest ? `${name}@${reference.digest}` : `${name}:${reference.tag}`;
}

/** Whether the text has the form of a content digest that we can check. */
export function isDigest(text: string): boolean {
  return digestPattern.test(text) && (!text.startsWith("sha256:") || /^sha256:[0-9a-f]{64}$/.test(text));
}

function splitName(name: string): { readonly registry: string; readonly repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  const registry = isHost ? first : "docker.io";
  const path = isHost ? name.slice(slash + 1) : name;
  const canonical = registry === "index.docker.io" ? "docker.io" : registry;
  return {
    registry: canonical,
    repository: canonical === "docker.io" && !path.includes("/") ? `library/${path}` : path,
  };
}
