/**
 * Endpoints, the old form of EndpointSlices. As ValidateEndpoints of pkg/apis/core/validation.
 */
import type { EndpointAddress, EndpointPort, Endpoints } from "#api/generated/types/core-v1.ts";
import { itemsOf, setTextDefault } from "#api/defaults.ts";
import {
  dnsLabel,
  dnsSubdomain,
  endpointIp,
  type Errors,
  portNumber,
  qualifiedName,
  requiredOneOf,
} from "#api/field-rules.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { required } from "#apimachinery/field-error.ts";

export const endpointsStrategy: KindStrategy<Endpoints> = {
  applyDefaults(draft) {
    for (const subset of itemsOf(draft["subsets"]))
      for (const port of itemsOf(subset["ports"])) setTextDefault(port, "protocol", "TCP");
  },
  allowsCreateOnUpdate: true,
  hasNoGeneration: true,
  deprecationWarning: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
  validate,
  validateUpdate: validate,
};

function validate({ subsets }: Endpoints): Errors {
  return (subsets ?? []).flatMap(({ addresses = [], notReadyAddresses = [], ports = [] }, index) => {
    const field = `subsets[${index}]`;
    const isEmpty = addresses.length + notReadyAddresses.length === 0;
    return [
      ...(isEmpty ? [required(field, "must specify `addresses` or `notReadyAddresses`")] : []),
      ...addresses.flatMap((address, at) => validateAddress(`${field}.addresses[${at}]`, address)),
      ...notReadyAddresses.flatMap((address, at) => validateAddress(`${field}.notReadyAddresses[${at}]`, address)),
      ...ports.flatMap((port, at) => validatePort(`${field}.ports[${at}]`, port, ports.length > 1)),
    ];
  });
}

function validateAddress(field: string, { ip, hostname, nodeName }: EndpointAddress): Errors {
  return [
    ...endpointIp(`${field}.ip`, ip ?? ""),
    ...(hostname ? dnsLabel(`${field}.hostname`, hostname) : []),
    ...(nodeName === undefined ? [] : dnsSubdomain(`${field}.nodeName`, nodeName)),
  ];
}

function validatePort(field: string, { name, port, protocol, appProtocol }: EndpointPort, needsName: boolean): Errors {
  return [
    ...(name ? dnsLabel(`${field}.name`, name) : needsName ? [required(`${field}.name`)] : []),
    ...portNumber(`${field}.port`, port ?? 0),
    ...requiredOneOf(`${field}.protocol`, protocol, ["SCTP", "TCP", "UDP"]),
    ...(appProtocol === undefined ? [] : qualifiedName(`${field}.appProtocol`, appProtocol)),
  ];
}
