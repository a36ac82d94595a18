/**
 * What a request asks for: which part of the registry, by its path.
 */
import { RegistryFault } from "./registry-fault.ts";

/** A path of the distribution specification. */
export type Target =
  | { readonly kind: "base" }
  | { readonly kind: "catalog" }
  | { readonly kind: "tags"; readonly repository: string }
  | { readonly kind: "manifest"; readonly repository: string; readonly reference: string }
  | { readonly kind: "blob"; readonly repository: string; readonly digest: string }
  | { readonly kind: "uploads"; readonly repository: string }
  | { readonly kind: "upload"; readonly repository: string; readonly id: string }
  | { readonly kind: "referrers"; readonly repository: string; readonly digest: string };

/** Undefined for a path that is none of the registry's. Throws {@link RegistryFault} for one that cannot be read. */
export function parseTarget(path: string): Target | undefined {
  const plain = decoded(path);
  if (plain === "/v2/" || plain === "/v2") return { kind: "base" };
  if (plain === "/v2/_catalog") return { kind: "catalog" };
  // Greedy: repositories may have parts that are called "blobs".
  const found = /^\/v2\/(.+)\/(tags|manifests|blobs|referrers)\/([^/]+|uploads\/[^/]*)$/.exec(plain);
  if (!found) return undefined;
  const [, repository = "", section, rest = ""] = found;
  if (section === "tags") return rest === "list" ? { kind: "tags", repository } : undefined;
  if (section === "manifests") return { kind: "manifest", repository, reference: rest };
  if (section === "referrers") return { kind: "referrers", repository, digest: rest };
  if (rest === "uploads" || rest === "uploads/") return { kind: "uploads", repository };
  if (rest.startsWith("uploads/")) return { kind: "upload", repository, id: rest.slice("uploads/".length) };
  return { kind: "blob", repository, digest: rest };
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new RegistryFault("NAME_INVALID", "the path is not encoded as it should be");
  }
}

/** Bytes that are wanted of a file, both ends included; undefined for all. Throws {@link RegistryFault} for a range that lies outside. */
export function parseRange(
  header: string | undefined,
  size: number,
): { readonly start: number; readonly end: number } | undefined {
  // Several ranges at once may be answered with everything.
  const found = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  const [, first = "", last = ""] = found ?? [];
  if (!found || (first === "" && last === "")) return undefined;
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (start < size && start <= end) return { start, end };
  throw new RegistryFault("SIZE_INVALID", `the blob has ${size} bytes`, {
    status: 416,
    headers: { "content-range": `bytes */${size}` },
  });
}

/** "0-99", as clients say which bytes a piece of an upload is. Throws {@link RegistryFault}. */
export function parsePiece(header: string): { readonly start: number; readonly end: number } {
  const [, first = "", last = ""] = /^(?:bytes )?(\d+)-(\d+)(?:\/.*)?$/.exec(header) ?? [];
  const range = { start: Number(first), end: Number(last) };
  if (first !== "" && Number.isSafeInteger(range.end) && range.start <= range.end) return range;
  throw new RegistryFault("BLOB_UPLOAD_INVALID", `invalid content range ${JSON.stringify(header.slice(0, 100))}`);
}
