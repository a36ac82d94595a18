/**
 * Destinations: somebody who takes requests or events, named by a reference to an object that has an address, by a URI, or by both (the URI is then relative to the address). As upstream's
 * `duckv1.Destination` and `duckv1.KReference`.
 */
import { X509Certificate } from "node:crypto";
import {
  disallowedFields,
  type FieldError,
  generic,
  invalidValue,
  missingField,
  viaField,
} from "./admission/field-error.ts";

/** A reference to an object, in the same namespace when it says none. */
export type KReference = {
  readonly kind?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly apiVersion?: string;
  /** Instead of `apiVersion`: whichever version is served. A feature that is off by default. */
  readonly group?: string;
  /** Name of one of the object's addresses. */
  readonly address?: string;
};

export type Destination = {
  readonly ref?: KReference;
  readonly uri?: string;
  /** PEM. */
  readonly CACerts?: string;
  readonly audience?: string;
};

/** What validation of a reference goes by. */
export type ReferenceRules = {
  readonly isGroupAllowed?: boolean;
  /** The namespace that it must be in; absent: any. */
  readonly onlyNamespace?: string;
};

/** The reference in the namespace it means. */
export function withReferenceDefaults(reference: KReference, namespace: string): KReference {
  return reference.namespace ? reference : { ...reference, namespace };
}

/** The destination with its reference in the namespace it means. */
export function withDestinationDefaults<T extends Destination>(destination: T, namespace: string): T {
  const { ref } = destination;
  return ref === undefined ? destination : { ...destination, ref: withReferenceDefaults(ref, namespace) };
}

/** True for a destination that says nothing. */
export function isEmptyDestination(destination: Destination | undefined): boolean {
  return destination === undefined || Object.values(destination).every((value) => value === undefined);
}

/** What is wrong with a destination; an absent one is not looked at. */
export function validateDestination(
  destination: Destination | undefined,
  rules: ReferenceRules = {},
): readonly FieldError[] {
  if (destination === undefined) return [];
  const { ref, uri, CACerts } = destination;
  if (ref === undefined && uri === undefined) return [generic("expected at least one, got none", "ref", "uri")];
  if (ref !== undefined && uri !== undefined && hasScheme(uri))
    return [
      generic(
        "Absolute URI is not allowed when Ref or [apiVersion, kind, name] is present",
        "[apiVersion, kind, name]",
        "ref",
        "uri",
      ),
    ];
  if (ref === undefined && uri !== undefined && !isAbsolute(uri))
    return [invalidValue("Relative URI is not allowed when Ref and [apiVersion, kind, name] is absent", "uri")];
  if (ref !== undefined && uri === undefined) return viaField("ref", validateReference(ref, rules));
  return CACerts === undefined ? [] : validateCaCerts(CACerts);
}

/** What is wrong with a reference. */
export function validateReference(reference: KReference, rules: ReferenceRules = {}): readonly FieldError[] {
  const { name, kind, namespace } = reference;
  const { onlyNamespace } = rules;
  const isElsewhere = namespace && onlyNamespace && namespace !== onlyNamespace;
  return [
    ...(name ? [] : [missingField("name")]),
    ...validateVersion(reference, rules),
    ...(kind ? [] : [missingField("kind")]),
    ...(isElsewhere
      ? [
          {
            message: "mismatched namespaces",
            paths: ["namespace"],
            details: `parent namespace: ${JSON.stringify(onlyNamespace)} does not match ref: ${JSON.stringify(namespace)}`,
          },
        ]
      : []),
  ];
}

function validateVersion(
  { apiVersion = "", group = "" }: KReference,
  { isGroupAllowed }: ReferenceRules,
): readonly FieldError[] {
  if (!isGroupAllowed)
    return [
      ...(group === "" ? [] : [disallowedFields("group")]),
      ...(apiVersion === "" ? [missingField("apiVersion")] : []),
    ];
  if (apiVersion === "" && group === "") return [missingField("apiVersion", "group")];
  if (apiVersion === "" || group === "" || apiVersion.startsWith(group)) return [];
  return [
    {
      message: "both apiVersion and group are specified and they refer to different API groups",
      paths: ["apiVersion", "group"],
      details: "Only one of them must be specified",
    },
  ];
}

function validateCaCerts(text: string): readonly FieldError[] {
  if (!/-----BEGIN [A-Z ]+-----/.test(text)) return [invalidValue("CA Cert provided is invalid", "caCert")];
  if (!text.includes("-----BEGIN CERTIFICATE-----"))
    return [invalidValue("CA Cert provided is not a certificate", "caCert")];
  try {
    new X509Certificate(text);
    return [];
  } catch {
    return [invalidValue("CA Cert provided is invalid", "caCert")];
  }
}

function hasScheme(uri: string): boolean {
  return /^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(uri);
}

/** True for a URI with a scheme and a host. */
export function isAbsolute(uri: string): boolean {
  return hasScheme(uri) && (URL.parse(uri)?.host ?? "") !== "";
}
