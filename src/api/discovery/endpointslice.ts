/**
 * EndpointSlices. As pkg/apis/discovery/{v1/defaults.go,validation}.
 */
import type { Endpoint, EndpointPort, EndpointSlice } from "#api/generated/types/discovery-v1.ts";
import { itemsOf, setDefault } from "#api/defaults.ts";
import { endpointIp } from "#api/field-rules.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { messagesAt, validateImmutable, validateIp, validateSupported } from "#api/validation.ts";
import { duplicate, type FieldError, invalid, required, tooMany } from "#apimachinery/field-error.ts";
import { isDns1123Label, isDns1123Subdomain, isQualifiedName } from "#apimachinery/names.ts";
import { isIPv4, isIPv6 } from "node:net";

const maxAddresses = 100;
const maxPorts = 20_000;
const maxEndpoints = 1000;

export const endpointSliceStrategy: KindStrategy<EndpointSlice> = {
  hasGeneration: true,
  applyDefaults(draft) {
    for (const port of itemsOf(draft["ports"])) {
      setDefault(port, "name", "");
      setDefault(port, "protocol", "TCP");
    }
  },
  validate,
  validateUpdate: (slice, old) => [
    ...validate(slice),
    ...validateImmutable("addressType", slice.addressType, old.addressType),
  ],
};

function validate({ addressType, ports, endpoints }: EndpointSlice): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (!addressType) errors.push(required("addressType"));
  else errors.push(...validateSupported("addressType", addressType, ["FQDN", "IPv4", "IPv6"]));
  errors.push(...validatePorts(ports ?? []));
  if ((endpoints?.length ?? 0) > maxEndpoints)
    return [...errors, tooMany("endpoints", endpoints?.length ?? 0, maxEndpoints)];
  endpoints?.forEach((endpoint, index) =>
    errors.push(...validateEndpoint(endpoint, addressType, `endpoints[${index}]`)),
  );
  return errors;
}

function validatePorts(ports: readonly EndpointPort[]): readonly FieldError[] {
  if (ports.length > maxPorts) return [tooMany("ports", ports.length, maxPorts)];
  const names = new Set<string>();
  return ports.flatMap(({ name = "", protocol, appProtocol }, index) => {
    const field = `ports[${index}]`;
    const isRepeated = names.has(name);
    names.add(name);
    return [
      ...(name === "" ? [] : messagesAt(`${field}.name`, name, isDns1123Label(name))),
      ...(isRepeated ? [duplicate(`${field}.name`, name)] : []),
      ...validateSupported(`${field}.protocol`, protocol, ["SCTP", "TCP", "UDP"]),
      ...(appProtocol === undefined
        ? []
        : messagesAt(`${field}.appProtocol`, appProtocol, isQualifiedName(appProtocol))),
    ];
  });
}

function validateEndpoint(endpoint: Endpoint, addressType: string, field: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { addresses, nodeName, hostname } = endpoint;
  if (!addresses?.length) errors.push(required(`${field}.addresses`, "must contain at least 1 address"));
  else if (addresses.length > maxAddresses) errors.push(tooMany(`${field}.addresses`, addresses.length, maxAddresses));
  addresses?.forEach((address, index) =>
    errors.push(...validateAddress(address, addressType, `${field}.addresses`, index)),
  );
  if (nodeName !== undefined) errors.push(...messagesAt(`${field}.nodeName`, nodeName, isDns1123Subdomain(nodeName)));
  if (hostname !== undefined) errors.push(...messagesAt(`${field}.hostname`, hostname, isDns1123Label(hostname)));
  return errors;
}

function validateAddress(address: string, type: string, field: string, index: number): readonly FieldError[] {
  if (type === "FQDN") return messagesAt(`${field}[${index}]`, address, isDns1123Subdomain(address));
  if (type !== "IPv4" && type !== "IPv6") return [];
  const wrong = validateIp(`${field}[${index}]`, address);
  if (wrong.length > 0) return wrong;
  const fits = type === "IPv4" ? isIPv4(address) : isIPv6(address);
  return [
    ...(fits ? [] : [invalid(field, address, `must be an ${type} address`)]),
    ...endpointIp(`${field}[${index}]`, address),
  ];
}
