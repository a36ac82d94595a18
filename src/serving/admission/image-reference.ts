/**
 * Whether a text can be an image's name: registry, repository, tag, digest, by the rules of the distribution specification's grammar.
 */

const domain =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::\d+)?$|^\[[0-9a-fA-F:]+\](?::\d+)?$/;
const repository = /^[a-z0-9_\-./]+$/;
const tagForm = /^[\w][\w.-]{0,127}$/;
const digestForm = /^sha256:[0-9a-f]{64}$/;

/** What is wrong with it, or undefined. */
export function imageProblem(image: string): string | undefined {
  const [named = "", digest, ...more] = image.split("@");
  if (more.length > 0) return `could not parse reference: ${image}`;
  if (digest !== undefined && !digestForm.test(digest)) return `could not parse reference: ${image}`;
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  const name = colon < 0 ? named : named.slice(0, colon);
  if (colon >= 0 && !tagForm.test(named.slice(colon + 1))) return `could not parse reference: ${image}`;
  return nameProblem(image, name);
}

function nameProblem(image: string, name: string): string | undefined {
  const slash = name.indexOf("/");
  const head = slash < 0 ? "" : name.slice(0, slash);
  const hasRegistry = head.includes(".") || head.includes(":") || head === "localhost";
  const path = hasRegistry ? name.slice(slash + 1) : name;
  const isGood =
    (!hasRegistry || domain.test(head)) &&
    repository.test(path) &&
    path.length <= 255 &&
    path.split("/").every((part) => part !== "");
  return isGood ? undefined : `could not parse reference: ${image}`;
}

/** The registry's host; Docker's for short names. */
export function registryOf(image: string): string {
  const slash = image.indexOf("/");
  const head = slash < 0 ? "" : image.slice(0, slash);
  return head.includes(".") || head.includes(":") || head === "localhost" ? head : "index.docker.io";
}
