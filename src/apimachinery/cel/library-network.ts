/**
 * Kubernetes' functions on URLs, IP addresses and CIDRs.
 */
import { instanceArg, stringArg } from "./arguments.ts";
import { type CelFunction, fn, type FunctionTable } from "./functions.ts";
import {
  type Address,
  type Block,
  blockOf,
  formatAddress,
  formatBlock,
  parseAddress,
  parseBlock,
} from "./addresses.ts";
import { CelError, type CelValue, Opaque, ValueMap } from "./values.ts";

class UrlValue extends Opaque {
  readonly typeName = "kubernetes.URL";
  readonly url: UrlParts;

  constructor(url: UrlParts) {
    super();
    this.url = url;
  }

  equals(other: Opaque): boolean {
    return other instanceof UrlValue && other.url.text === this.url.text;
  }

  override toString(): string {
    return this.url.text;
  }
}

class IpValue extends Opaque {
  readonly typeName = "net.IP";
  readonly address: Address;

  constructor(address: Address) {
    super();
    this.address = address;
  }

  equals(other: Opaque): boolean {
    return other instanceof IpValue && formatAddress(other.address) === formatAddress(this.address);
  }

  override toString(): string {
    return formatAddress(this.address);
  }
}

class CidrValue extends Opaque {
  readonly typeName = "net.CIDR";
  readonly block: Block;

  constructor(block: Block) {
    super();
    this.block = block;
  }

  equals(other: Opaque): boolean {
    return other instanceof CidrValue && String(other) === String(this);
  }

  override toString(): string {
    return formatBlock(this.block);
  }
}

export const NETWORK_FUNCTIONS: FunctionTable = {
  url: fn(1, "opaque", (text) => {
    const parts = urlParts(stringArg(text));
    if (parts === undefined)
      throw new CelError(
        `URL parse error during conversion from string: parse "${String(text)}": invalid URI for request`,
      );
    return new UrlValue(parts);
  }),
  isURL: fn(1, "bool", (text) => urlParts(stringArg(text)) !== undefined),
  ip: fn(1, "opaque", (text) => ipFrom(stringArg(text))),
  isIP: fn(1, "bool", (text) => parseAddress(stringArg(text)) !== undefined),
  "ip.isCanonical": fn(1, "bool", (text) => String(ipFrom(stringArg(text))) === text),
  cidr: fn(1, "opaque", (text) => cidrFrom(stringArg(text))),
  isCIDR: fn(1, "bool", (text) => parseBlock(stringArg(text)) !== undefined),
};

export const NETWORK_MEMBERS: FunctionTable = {
  getScheme: urlPart(({ scheme }) => scheme),
  getHost: urlPart(({ host }) => host),
  getHostname: urlPart(({ host }) => host.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1")),
  getPort: urlPart(({ host }) => /:(\d*)$/.exec(host)?.[1] ?? ""),
  getEscapedPath: urlPart(({ path }) => path),
  getQuery: fn(1, "dyn", (value) => {
    const query = new Map<string, string[]>();
    for (const [key, text] of new URLSearchParams(instanceArg(value, UrlValue).url.query)) {
      query.set(key, [...(query.get(key) ?? []), text]);
    }
    return new ValueMap(query);
  }),
  family: ipFact("int", ({ bits }) => (bits === 32 ? 4n : 6n)),
  isUnspecified: ipFact("bool", ({ value }) => value === 0n),
  isLoopback: ipFact("bool", ({ value, bits }) => (bits === 32 ? value >> 24n === 127n : value === 1n)),
  isLinkLocalMulticast: ipFact("bool", isLinkLocalMulticast),
  isLinkLocalUnicast: ipFact("bool", isLinkLocalUnicast),
  isGlobalUnicast: ipFact("bool", isGlobalUnicast),
  containsIP: fn(2, "bool", (cidr, ip) => {
    const address = typeof ip === "string" ? ipFrom(ip).address : instanceArg(ip, IpValue).address;
    return contains(instanceArg(cidr, CidrValue).block, { address, prefix: address.bits });
  }),
  containsCIDR: fn(2, "bool", (cidr, other) => {
    const block = typeof other === "string" ? cidrFrom(other).block : instanceArg(other, CidrValue).block;
    return contains(instanceArg(cidr, CidrValue).block, block);
  }),
  ip: fn(1, "opaque", (cidr) => new IpValue(instanceArg(cidr, CidrValue).block.address)),
  prefixLength: fn(1, "int", (cidr) => BigInt(instanceArg(cidr, CidrValue).block.prefix)),
  masked: fn(1, "opaque", (cidr) => {
    const { address, prefix } = instanceArg(cidr, CidrValue).block;
    return new CidrValue(blockOf(address, prefix));
  }),
};

type UrlParts = {
  readonly text: string;
  readonly scheme: string;
  readonly host: string;
  readonly path: string;
  readonly query: string;
};

/** A URL with a scheme, or a path: what Go takes for the address of a request. */
function urlParts(text: string): UrlParts | undefined {
  const match = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/(?:[^/?#@]*@)?([^/?#]*))?([^?#]*)(?:\?(.*))?$/s.exec(text);
  if (match === null || /\p{Cc}/u.test(text) || /%(?![0-9a-fA-F]{2})/.test(text)) return undefined;
  const [, scheme = "", host = "", path = "", query = ""] = match;
  if (scheme === "" && !path.startsWith("/") && host === "") return undefined;
  if (scheme === "" && text.startsWith("//") === false && !text.startsWith("/")) return undefined;
  if (host !== "" && !/^(?:\[[0-9a-fA-F:.%]+\]|[^:[\]<>" ]*)(?::\d*)?$/.test(host)) return undefined;
  return {
    text,
    scheme: scheme.toLowerCase(),
    host,
    path: encodeURI(path).replace(/%25(?=[0-9a-fA-F]{2})/g, "%"),
    query,
  };
}

function urlPart(of: (url: UrlParts) => string): CelFunction {
  return fn(1, "string", (value) => of(instanceArg(value, UrlValue).url));
}

function ipFact(result: CelFunction["result"], of: (address: Address) => CelValue): CelFunction {
  return fn(1, result, (value) => of(instanceArg(value, IpValue).address));
}

function isLinkLocalMulticast({ value, bits }: Address): boolean {
  return bits === 32 ? value >> 8n === 0xe00000n : value >> 112n === 0xff02n;
}

function isLinkLocalUnicast({ value, bits }: Address): boolean {
  return bits === 32 ? value >> 16n === 0xa9fen : value >> 118n === 0xfe80n >> 6n;
}

function isGlobalUnicast(address: Address): boolean {
  const { value, bits } = address;
  if (value === 0n || isLinkLocalUnicast(address)) return false;
  if (bits === 32) return value !== 0xffffffffn && value >> 24n !== 127n && value >> 28n !== 0xen;
  return value !== 1n && value >> 120n !== 0xffn;
}

function contains(outer: Block, inner: Block): boolean {
  if (outer.address.bits !== inner.address.bits || inner.prefix < outer.prefix) return false;
  const masked = (address: Address): bigint => blockOf(address, outer.prefix).address.value;
  return masked(outer.address) === masked(inner.address);
}

function ipFrom(text: string): IpValue {
  const address = parseAddress(text);
  if (address === undefined)
    throw new CelError(
      `IP Address "${text}" parse error during conversion from string: ParseAddr("${text}"): unable to parse IP`,
    );
  return new IpValue(address);
}

function cidrFrom(text: string): CidrValue {
  const block = parseBlock(text);
  if (block === undefined)
    throw new CelError(
      `network address parse error during conversion from string: netip.ParsePrefix("${text}"): no '/'`,
    );
  return new CidrValue(block);
}
