/**
 * Links, addresses and routes, as `ip link`, `ip address` and `ip route` set them. Each function gives messages for `exchange` in netlink.ts, so that callers send
 * many at once. IPv4 for now.
 */
import {
  attribute,
  findAttribute,
  type NetlinkMessage,
  netlinkFlags,
  netlinkTypes,
  uint32,
  exchange,
} from "./netlink.ts";
import type { Libc } from "./libc.ts";

const { RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE } = netlinkTypes;
const { CREATE, EXCL, REPLACE } = netlinkFlags;
const familyIPv4 = 2;
const interfaceUp = 1;
const scopeUniverse = 0;
const scopeLink = 253;
const mainTable = 254;
const protocolStatic = 4;
const unicast = 1;

/** A pair of linked devices; the peer appears in the network namespace of `peerNamespace` (an open descriptor). */
export function addVeth(options: {
  readonly name: string;
  readonly peerName: string;
  readonly peerNamespace: number;
  readonly mtu: number;
}): NetlinkMessage {
  const peer = Buffer.concat([
    linkHeader(0, 0, 0),
    attribute(3, options.peerName),
    attribute(4, options.mtu),
    attribute(28, options.peerNamespace),
  ]);
  const linkInfo = Buffer.concat([attribute(1, "veth"), attribute(2, attribute(1, peer))]);
  const payload = Buffer.concat([
    linkHeader(0, 0, 0),
    attribute(3, options.name),
    attribute(4, options.mtu),
    attribute(18, linkInfo),
  ]);
  return { type: RTM_NEWLINK, flags: CREATE | EXCL, payload, about: `add veth ${options.name}` };
}

/** Removes a link. Unknown is success. */
export function deleteLink(name: string): NetlinkMessage {
  const payload = Buffer.concat([linkHeader(0, 0, 0), attribute(3, name)]);
  return { type: RTM_DELLINK, flags: 0, payload, about: `delete link ${name}`, tolerate: ["ENODEV"] };
}

/** Switches a link on. */
export function setLinkUp(index: number): NetlinkMessage {
  return {
    type: RTM_NEWLINK,
    flags: 0,
    payload: linkHeader(index, interfaceUp, interfaceUp),
    about: `link ${index} up`,
  };
}

/** Gives a link an address with a prefix. One that is there already is success. */
export function addAddress(
  index: number,
  address: string,
  prefix = 32,
  scope: "global" | "link" = "global",
): NetlinkMessage {
  const payload = addressPayload(index, address, prefix, scope === "link" ? scopeLink : scopeUniverse);
  return { type: RTM_NEWADDR, flags: CREATE | EXCL, payload, about: `address ${address}`, tolerate: ["EEXIST"] };
}

/** Takes an address from a link. Unknown is success. */
export function deleteAddress(index: number, address: string, prefix = 32): NetlinkMessage {
  const payload = addressPayload(index, address, prefix, scopeUniverse);
  return {
    type: RTM_DELADDR,
    flags: 0,
    payload,
    about: `no address ${address}`,
    tolerate: ["EADDRNOTAVAIL", "ENODEV"],
  };
}

/** A route; `destination` "default" or an address with a prefix. Replaces one to the same destination. */
export type Route = {
  readonly destination: string;
  readonly device: number;
  readonly gateway?: string;
  readonly source?: string;
};

export function addRoute(route: Route): NetlinkMessage {
  return {
    type: RTM_NEWROUTE,
    flags: CREATE | REPLACE,
    payload: routePayload(route),
    about: `route ${route.destination}`,
  };
}

/** Removes a route. Unknown is success. */
export function deleteRoute(route: Route): NetlinkMessage {
  const payload = routePayload(route);
  return {
    type: RTM_DELROUTE,
    flags: 0,
    payload,
    about: `no route ${route.destination}`,
    tolerate: ["ESRCH", "ENODEV"],
  };
}

/** The number of a link, in the namespace of the socket. Throws ENODEV. */
export function linkIndex(libc: Libc, socket: number, name: string): number {
  const payload = Buffer.concat([linkHeader(0, 0, 0), attribute(3, name)]);
  const [answer] = exchange(libc, socket, [{ type: RTM_GETLINK, flags: 0, payload, about: `link ${name}` }]);
  return answer?.readInt32LE(4) ?? 0;
}

/** Largest packet of a link, in bytes. */
export function linkMtu(libc: Libc, socket: number, name: string): number {
  const payload = Buffer.concat([linkHeader(0, 0, 0), attribute(3, name)]);
  const [answer] = exchange(libc, socket, [{ type: RTM_GETLINK, flags: 0, payload, about: `link ${name}` }]);
  return (answer && findAttribute(answer, 16, 4)?.readUInt32LE(0)) ?? 1500;
}

/** The four bytes of an IPv4 address. */
export function ipv4Bytes(address: string): Buffer {
  const parts = address.split(".").map(Number);
  if (parts.length !== 4 || parts.some((part) => !(part >= 0 && part <= 255)))
    throw new TypeError(`not an IPv4 address: ${address}`);
  return Buffer.from(parts);
}

function linkHeader(index: number, flags: number, change: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  header.writeUInt32LE(flags, 8);
  header.writeUInt32LE(change, 12);
  return header;
}

function addressPayload(index: number, address: string, prefix: number, scope: number): Buffer {
  const header = Buffer.from([familyIPv4, prefix, 0, scope]);
  return Buffer.concat([header, uint32(index), attribute(2, ipv4Bytes(address)), attribute(1, ipv4Bytes(address))]);
}

function routePayload(route: Route): Buffer {
  const [network = "", bits = "32"] = route.destination.split("/");
  const isDefault = route.destination === "default";
  const scope = route.gateway ? scopeUniverse : scopeLink;
  const header = Buffer.alloc(12);
  header.set([familyIPv4, isDefault ? 0 : Number(bits), 0, 0, mainTable, protocolStatic, scope, unicast]);
  const parts = [header, attribute(4, route.device)];
  if (!isDefault) parts.push(attribute(1, ipv4Bytes(network)));
  if (route.gateway) parts.push(attribute(5, ipv4Bytes(route.gateway)));
  if (route.source) parts.push(attribute(7, ipv4Bytes(route.source)));
  return Buffer.concat(parts);
}
