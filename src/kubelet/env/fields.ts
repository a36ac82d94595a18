/**
 * The downward API: fields of the pod and figures of its containers as text, for variables and for files. As pkg/fieldpath and pkg/api/v1/resource.
 */
import type { Container, ObjectFieldSelector, Pod, ResourceFieldSelector } from "#api/generated/types/core-v1.ts";
import { milliValue, quantityValue } from "#apimachinery/quantity.ts";

/** What the node knows of a pod beyond its object. */
export type PodFacts = {
  readonly podIPs: readonly string[];
  readonly hostIPs: readonly string[];
  /** The node's allocatable quantities: limits of a container that has none. */
  readonly allocatable: Readonly<Record<string, string>>;
};

/** The value of a fieldRef. Throws an Error with upstream's message for a field that cannot be had. */
export function podFieldValue(pod: Pod, selector: ObjectFieldSelector, facts: PodFacts): string {
  const { fieldPath } = selector;
  const subscript = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/.exec(fieldPath);
  if (subscript) {
    const map = subscript[1] === "metadata.labels" ? pod.metadata?.labels : pod.metadata?.annotations;
    return map?.[subscript[2] as string] ?? "";
  }
  switch (fieldPath) {
    case "metadata.name":
      return pod.metadata?.name ?? "";
    case "metadata.namespace":
      return pod.metadata?.namespace ?? "";
    case "metadata.uid":
      return pod.metadata?.uid ?? "";
    case "metadata.labels":
      return formatMap(pod.metadata?.labels);
    case "metadata.annotations":
      return formatMap(pod.metadata?.annotations);
    case "spec.nodeName":
      return pod.spec?.nodeName ?? "";
    case "spec.serviceAccountName":
      return pod.spec?.serviceAccountName ?? "";
    case "spec.restartPolicy":
      return pod.spec?.restartPolicy ?? "";
    case "spec.schedulerName":
      return pod.spec?.schedulerName ?? "";
    case "status.phase":
      return pod.status?.phase ?? "";
    case "status.hostIP":
      return facts.hostIPs[0] ?? "";
    case "status.hostIPs":
      return facts.hostIPs.join(",");
    case "status.podIP":
      return facts.podIPs[0] ?? "";
    case "status.podIPs":
      return facts.podIPs.join(",");
    default:
      throw new Error(`unsupported fieldPath: ${fieldPath}`);
  }
}

/** The value of a resourceFieldRef of `container` (or of the one that it names), in units of its divisor, rounded up. */
export function resourceFieldValue(
  pod: Pod,
  container: Container | undefined,
  selector: ResourceFieldSelector,
  facts: PodFacts,
): string {
  const named = selector.containerName
    ? [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find(
        (it) => it.name === selector.containerName,
      )
    : container;
  if (!named) throw new Error(`container ${selector.containerName ?? ""} not found`);
  const [kind, name = ""] = splitOnce(selector.resource, ".");
  const isKnown = ["cpu", "memory", "ephemeral-storage"].includes(name) || name.startsWith("hugepages-");
  if (!isKnown || (kind !== "limits" && kind !== "requests")) {
    throw new Error(`unsupported container resource : ${selector.resource}`);
  }
  const own = named.resources?.[kind]?.[name];
  const quantity =
    own ?? (kind === "limits" && !name.startsWith("hugepages-") ? facts.allocatable[name] : undefined) ?? "0";
  const divisor = selector.divisor && selector.divisor !== "0" ? selector.divisor : "1";
  const amount =
    name === "cpu" ? milliValue(quantity) / milliValue(divisor) : quantityValue(quantity) / quantityValue(divisor);
  return String(Math.ceil(amount));
}

/** `key="value"` lines, sorted by key; values are quoted as Go quotes strings. */
function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${quoteGo(value)}`)
    .join("\n");
}

const escapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\v": "\\v",
};

/** As Go's %q: control characters escaped, everything printable as it is. */
function quoteGo(text: string): string {
  const body = text.replace(
    /["\\\p{C}\u2028\u2029]/gu,
    (char) => escapes[char] ?? escapeCode(char.codePointAt(0) ?? 0),
  );
  return `"${body}"`;
}

function escapeCode(code: number): string {
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, "0")}`;
  return `\\U${code.toString(16).padStart(8, "0")}`;
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
