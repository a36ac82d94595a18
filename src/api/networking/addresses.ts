/**
 * ServiceCIDRs and IPAddresses: the ranges that Services get addresses from, and which are taken. As pkg/apis/networking/validation.
 */
import type { IPAddress, ServiceCIDR } from "#api/generated/types/networking-v1.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { validateCidr, validateImmutable } from "#api/validation.ts";
import { type FieldError, invalid, required } from "#apimachinery/field-error.ts";
import { isIP, isIPv4 } from "node:net";

export const serviceCidrStrategy: KindStrategy<ServiceCIDR> = {
  hasNoGeneration: true,
  prepareForCreate(draft) {
    delete draft["status"];
  },
  validate: ({ spec }) => {
    const cidrs = spec?.cidrs ?? [];
    if (cidrs.length === 0) return [required("spec.cidrs", "at least one CIDR required")];
    if (cidrs.length > 2) return [invalid("spec", spec, "may only hold up to 2 values")];
    const isMixed = cidrs.length < 2 || isIPv4(cidrs[0]?.split("/")[0] ?? "") !== isIPv4(cidrs[1]?.split("/")[0] ?? "");
    return [
      ...cidrs.flatMap((cidr, index) => validateCidr(`spec.cidrs[${index}]`, cidr)),
      ...(isMixed ? [] : [invalid("spec", spec, "may specify no more than one IP for each IP family")]),
    ];
  },
  validateUpdate: ({ spec }, old) => validateImmutable("spec.cidrs", spec?.cidrs, old.spec?.cidrs),
};

export const ipAddressStrategy: KindStrategy<IPAddress> = {
  hasNoGeneration: true,
  nameRule: "path-segment",
  validate: ({ metadata, spec }) => {
    const errors: FieldError[] = [];
    const name = metadata?.name ?? "";
    if (isIP(name) === 0) errors.push(invalid("metadata.name", name, "must be a valid IP address"));
    const { parentRef } = spec ?? {};
    if (parentRef === undefined) return [...errors, required("spec.parentRef")];
    if (!parentRef.resource) errors.push(required("spec.parentRef.resource"));
    if (!parentRef.name) errors.push(required("spec.parentRef.name"));
    return errors;
  },
  validateUpdate: ({ spec }, old) => validateImmutable("spec.parentRef", spec?.parentRef, old.spec?.parentRef),
};
