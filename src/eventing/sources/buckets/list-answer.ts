/**
 * What an S3 service answers, as XML: a page of ListObjectsV2, and errors. Services differ in what they leave out; what is needed and is not there is a BucketProblem that says so.
 */
import { parseXml, XmlElement } from "@rgrove/parse-xml";
import { BucketProblem } from "./bucket-problem.ts";

/** An object, as a list has it. */
export type ListedObject = {
  readonly key: string;
  readonly sizeBytes: number;
  /** Without its quotes. */
  readonly etag: string;
  readonly modifiedMs: number;
};

/** A page of a list. */
export type ListPage = {
  readonly objects: readonly ListedObject[];
  /** Asks for the next page; undefined on the last one. */
  readonly next: string | undefined;
};

/** What a service says of a request that it refuses. */
export type ServiceError = { readonly code: string; readonly message: string };

/** The page, out of its document. Throws BucketProblem. */
export function readListPage(xml: string): ListPage {
  const root = rootOf(xml, "ListBucketResult");
  const isEncoded = textOf(root, "EncodingType") === "url";
  const objects = childrenOf(root, "Contents").map((contents) => readObject(contents, isEncoded));
  if (textOf(root, "IsTruncated") !== "true") return { objects, next: undefined };
  const next = textOf(root, "NextContinuationToken");
  if (!next) throw odd("the list goes on, but there is no NextContinuationToken");
  return { objects, next };
}

/** The error, out of its document; undefined when it is none. */
export function findServiceError(xml: string): ServiceError | undefined {
  try {
    const root = rootOf(xml, "Error");
    return { code: textOf(root, "Code") ?? "", message: textOf(root, "Message") ?? "" };
  } catch {
    return undefined;
  }
}

function readObject(contents: XmlElement, isEncoded: boolean): ListedObject {
  const [key, etag, size] = ["Key", "ETag", "Size"].map((name) => textOf(contents, name));
  const modifiedMs = Date.parse(textOf(contents, "LastModified") ?? "");
  if (key === undefined || etag === undefined || Number.isNaN(modifiedMs) || !/^\d+$/.test(size ?? ""))
    throw odd("an object of the list has no Key, ETag, Size or LastModified that can be read");
  return {
    key: isEncoded ? decodeKey(key) : key,
    sizeBytes: Number(size),
    etag: etag.replace(/^"(.*)"$/s, "$1"),
    modifiedMs,
  };
}

/** `encoding-type=url` is that of forms: a space is a plus. */
function decodeKey(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw odd(`a key of the list is not encoded as it says: ${text.slice(0, 100)}`);
  }
}

function rootOf(xml: string, name: string): XmlElement {
  const { root } = parse(xml);
  if (root?.name === name) return root;
  throw odd(`it is <${(root?.name ?? "").slice(0, 60)}>, not <${name}>`);
}

function parse(xml: string): ReturnType<typeof parseXml> {
  try {
    return parseXml(xml);
  } catch (error) {
    // Also what is nested so deep that the stack ends.
    const [line = ""] = (error as Error).message.split("\n");
    throw odd(`it is no XML: ${line.slice(0, 200)}`, error);
  }
}

function odd(what: string, cause?: unknown): BucketProblem {
  return new BucketProblem("BadAnswer", `The answer to ListObjectsV2 cannot be read: ${what}`, { cause });
}

function childrenOf(element: XmlElement, name: string): readonly XmlElement[] {
  return element.children.filter((child) => child instanceof XmlElement && child.name === name) as XmlElement[];
}

function textOf(element: XmlElement, name: string): string | undefined {
  return childrenOf(element, name)[0]?.text;
}
