/**
 * What form of an answer a client accepts: encoding, and whether it wants the object itself, its metadata or a Table. As apiserver's negotiation: the first acceptable clause by weight wins.
 */
import { StatusError } from "#apimachinery/status-error.ts";

export type Encoding = "json" | "yaml" | "protobuf";

/** The form of an answer. */
export type MediaForm = {
  readonly encoding: Encoding;
  /** Absent: the object itself. */
  readonly as?: { readonly kind: "Table" | "PartialObjectMetadata"; readonly version: "v1" | "v1beta1" };
  readonly isPretty: boolean;
};

/** What can be had for a request. */
export type Offer = { readonly hasProtobuf: boolean; readonly hasTransforms: boolean };

type Clause = { readonly type: string; readonly weight: number; readonly parameters: ReadonlyMap<string, string> };

const PLAIN_JSON: MediaForm = { encoding: "json", isPretty: false };

/** Chooses the form. Throws NotAcceptable (406). */
export function negotiate(accept: string | undefined, offer: Offer): MediaForm {
  if (accept === undefined || accept === "" || accept === "*/*" || accept === "application/json") return PLAIN_JSON;
  for (const clause of parseAccept(accept)) {
    const encoding = encodingOf(clause.type, offer);
    if (encoding === undefined) continue;
    const isPretty = clause.parameters.get("pretty") === "1";
    const as = clause.parameters.get("as");
    if (as === undefined) return { encoding, isPretty };
    const kind = transformOf(clause, offer);
    if (kind !== undefined) return { encoding, as: kind, isPretty };
  }
  throw notAcceptable(offer);
}

/** 406: which media types could be had. */
export function notAcceptable(offer: Offer): StatusError {
  const types = [
    "application/json",
    "application/yaml",
    ...(offer.hasProtobuf ? ["application/vnd.kubernetes.protobuf"] : []),
  ];
  return new StatusError({
    reason: "NotAcceptable",
    code: 406,
    message: `only the following media types are accepted: ${types.join(", ")}`,
  });
}

/** The Content-Type of a form. */
export function contentTypeOf(form: MediaForm): string {
  switch (form.encoding) {
    case "json":
      return "application/json";
    case "yaml":
      return "application/yaml";
    case "protobuf":
      return "application/vnd.kubernetes.protobuf";
  }
}

function encodingOf(type: string, offer: Offer): Encoding | undefined {
  switch (type) {
    case "application/json":
    case "application/*":
    case "*/*":
      return "json";
    case "application/yaml":
      return "yaml";
    case "application/vnd.kubernetes.protobuf":
      return offer.hasProtobuf ? "protobuf" : undefined;
    default:
      return undefined;
  }
}

function transformOf({ parameters }: Clause, offer: Offer): MediaForm["as"] {
  const group = parameters.get("g");
  const version = parameters.get("v");
  if (!offer.hasTransforms || group !== "meta.k8s.io" || (version !== "v1" && version !== "v1beta1")) return undefined;
  switch (parameters.get("as")) {
    case "Table":
      return { kind: "Table", version };
    case "PartialObjectMetadata":
    case "PartialObjectMetadataList":
      return { kind: "PartialObjectMetadata", version };
    default:
      return undefined;
  }
}

function parseAccept(accept: string): readonly Clause[] {
  const clauses = accept.slice(0, 4096).split(",").map(parseClause);
  return clauses.sort((a, b) => b.weight - a.weight);
}

function parseClause(text: string): Clause {
  const [type = "", ...rest] = text.split(";").map((part) => part.trim());
  const parameters = new Map(
    rest.map((part) => {
      const equals = part.indexOf("=");
      return equals < 0
        ? ([part, ""] as const)
        : ([part.slice(0, equals), part.slice(equals + 1).replaceAll('"', "")] as const);
    }),
  );
  const weight = Number(parameters.get("q") ?? 1);
  return { type: type.toLowerCase(), weight: Number.isFinite(weight) ? weight : 1, parameters };
}
