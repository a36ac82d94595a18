/**
 * NetworkPolicies. As pkg/apis/networking/{v1/defaults.go,validation}.
 */
import type {
  IPBlock,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from "#api/generated/types/networking-v1.ts";
import { itemsOf, setDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";
import { messagesAt, parseCidr, validateCidr, validateSupported } from "#api/validation.ts";
import { type FieldError, forbiddenField, invalid, required } from "#apimachinery/field-error.ts";
import { validateLabelSelector } from "#apimachinery/label-selector.ts";
import { isValidPortName, isValidPortNumber } from "#apimachinery/names.ts";

export const networkPolicyStrategy: KindStrategy<NetworkPolicy> = {
  applyDefaults(draft) {
    const spec = draft["spec"] as Draft | undefined;
    if (!spec) return;
    for (const rule of [...itemsOf(spec["ingress"]), ...itemsOf(spec["egress"])]) {
      for (const port of itemsOf(rule["ports"])) setDefault(port, "protocol", "TCP");
    }
    if (spec["policyTypes"]?.length) return;
    spec["policyTypes"] = spec["egress"]?.length ? ["Ingress", "Egress"] : ["Ingress"];
  },
  validate,
  validateUpdate: validate,
};

function validate({ spec }: NetworkPolicy): readonly FieldError[] {
  const errors = [...validateLabelSelector(spec?.podSelector, "spec.podSelector")];
  const rules = [
    ...(spec?.ingress ?? []).map(({ ports, from }, index) => ({
      field: `spec.ingress[${index}]`,
      side: "from",
      ports,
      peers: from,
    })),
    ...(spec?.egress ?? []).map(({ ports, to }, index) => ({
      field: `spec.egress[${index}]`,
      side: "to",
      ports,
      peers: to,
    })),
  ];
  for (const { field, side, ports, peers } of rules) {
    ports?.forEach((port, index) => errors.push(...validatePort(port, `${field}.ports[${index}]`)));
    peers?.forEach((peer, index) => errors.push(...validatePeer(peer, `${field}.${side}[${index}]`)));
  }
  const types = spec?.policyTypes ?? [];
  if (types.length > 2)
    return [...errors, invalid("spec.policyTypes", types, "may not specify more than two policyTypes")];
  types.forEach((type, index) =>
    errors.push(...validateSupported(`spec.policyTypes[${index}]`, type, ["Ingress", "Egress"])),
  );
  return errors;
}

function validatePort({ protocol, port, endPort }: NetworkPolicyPort, field: string): readonly FieldError[] {
  const errors = [...validateSupported(`${field}.protocol`, protocol, ["TCP", "UDP", "SCTP"])];
  if (typeof port === "number") {
    errors.push(...messagesAt(`${field}.port`, port, isValidPortNumber(port)));
    if (endPort === undefined) return errors;
    if (endPort < port) errors.push(invalid(`${field}.endPort`, port, "must be greater than or equal to `port`"));
    return [...errors, ...messagesAt(`${field}.endPort`, endPort, isValidPortNumber(endPort))];
  }
  if (endPort !== undefined) {
    const why =
      port === undefined
        ? "may not be specified when `port` is not specified"
        : "may not be specified when `port` is non-numeric";
    errors.push(invalid(`${field}.endPort`, endPort, why));
  }
  return port === undefined ? errors : [...errors, ...messagesAt(`${field}.port`, port, isValidPortName(port))];
}

function validatePeer(
  { podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeer,
  field: string,
): readonly FieldError[] {
  const errors = [
    ...validateLabelSelector(podSelector, `${field}.podSelector`),
    ...validateLabelSelector(namespaceSelector, `${field}.namespaceSelector`),
    ...(ipBlock === undefined ? [] : validateIpBlock(ipBlock, `${field}.ipBlock`)),
  ];
  const hasSelector = podSelector !== undefined || namespaceSelector !== undefined;
  if (!hasSelector && ipBlock === undefined) errors.push(required(field, "must specify a peer"));
  if (hasSelector && ipBlock !== undefined) {
    errors.push(forbiddenField(field, "may not specify both ipBlock and another peer"));
  }
  return errors;
}

function validateIpBlock({ cidr, except }: IPBlock, field: string): readonly FieldError[] {
  if (!cidr) return [required(`${field}.cidr`)];
  const errors = [...validateCidr(`${field}.cidr`, cidr)];
  const outer = parseCidr(cidr);
  if (outer === undefined) return errors;
  except?.forEach((text, index) => {
    const inner = parseCidr(text);
    const at = `${field}.except[${index}]`;
    if (inner === undefined) errors.push(...validateCidr(at, text));
    else if (!isStrictSubset(inner, outer)) errors.push(invalid(at, text, "must be a strict subset of `cidr`"));
  });
  return errors;
}

type Cidr = NonNullable<ReturnType<typeof parseCidr>>;

function isStrictSubset(inner: Cidr, outer: Cidr): boolean {
  if (inner.isV4 !== outer.isV4 || inner.prefix <= outer.prefix) return false;
  const host = BigInt((inner.isV4 ? 32 : 128) - outer.prefix);
  return inner.network >> host === outer.network >> host;
}
