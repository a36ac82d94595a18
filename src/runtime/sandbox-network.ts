/**
 * The namespaces of a sandbox: network, IPC and UTS, pinned as files. Its network is one device whose only neighbour is the node: the node side has 169.254.1.1,
 * which is the sandbox's gateway, and a route to its single address. No bridge, no helper programs; about 2 ms.
 */
import { closeSync, openSync, readdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { addAddress, addRoute, addVeth, deleteLink, deleteRoute, linkIndex, setLinkUp } from "#linux/ip.ts";
import type { Libc } from "#linux/libc.ts";
import {
  insideNamespaces,
  type NamespaceType,
  pinNewNamespaces,
  unpinNamespace,
  writeSysctl,
} from "#linux/namespaces.ts";
import { exchange } from "#linux/netlink.ts";

/** What sandboxes' devices point to on the node's side. */
export const gatewayAddress = "169.254.1.1";

/** Namespaces that exist, with their network set up. `address` is absent where only IPC and UTS are its own. */
export type SandboxNamespaces = {
  readonly key: string;
  readonly address?: string;
  readonly types: readonly NamespaceType[];
};

/** Makes and removes them. `folder` is for the pins, and must be in a mount namespace that all processes of this node share. */
export class SandboxNetworks {
  readonly #libc: Libc;
  readonly #folder: string;
  readonly #nodeAddress: string | undefined;
  readonly #mtu: number;
  readonly #linkPrefix: string;
  #nodeSocket = -1;

  constructor(options: {
    readonly libc: Libc;
    readonly folder: string;
    readonly nodeAddress: string | undefined;
    readonly mtu: number;
    /** Node-side devices are called PREFIX + four letters of the address: 11 characters at most. */
    readonly linkPrefix: string;
  }) {
    this.#libc = options.libc;
    this.#folder = options.folder;
    this.#nodeAddress = options.nodeAddress;
    this.#mtu = options.mtu;
    this.#linkPrefix = options.linkPrefix;
  }

  open(): void {
    this.#nodeSocket = this.#libc.openNetlink();
    writeSysctl("net.ipv4.ip_forward", "1");
  }

  close(): void {
    if (this.#nodeSocket >= 0) closeSync(this.#nodeSocket);
    this.#nodeSocket = -1;
  }

  path(key: string, type: NamespaceType): string {
    return join(this.#folder, `${key}.${type}`);
  }

  /** Whether all namespaces are still pinned: `nodeless down` lets go of them without removing the records. */
  areThere({ key, types }: SandboxNamespaces): boolean {
    return types.every((type) => isNamespace(this.path(key, type)));
  }

  /** Keys of all pins on disk, whoever made them. */
  listKeys(): string[] {
    const names = readdirSync(this.#folder).map((name) => name.slice(0, name.lastIndexOf(".")));
    return [...new Set(names)];
  }

  /** Makes namespaces of these types; with "net", the device and the routes for `address`. */
  make(key: string, types: readonly NamespaceType[], address?: string): SandboxNamespaces {
    const paths = Object.fromEntries(types.map((type) => [type, this.path(key, type)]));
    try {
      const socket = pinNewNamespaces(this.#libc, paths, () => {
        if (!types.includes("net")) return undefined;
        withoutLinkLocal("default");
        return this.#libc.openNetlink();
      });
      if (socket !== undefined) this.#connect(key, socket, address ?? "");
    } catch (error) {
      this.remove(key);
      throw error;
    }
    return { key, types, ...(address !== undefined && { address }) };
  }

  /** Host name and kernel settings, of the namespaces that the sandbox has as its own. */
  configure(
    namespaces: SandboxNamespaces,
    settings: {
      readonly hostname: string;
      readonly domainname?: string | undefined;
      readonly sysctls: Readonly<Record<string, string>>;
    },
  ): void {
    const paths = Object.fromEntries(namespaces.types.map((type) => [type, this.path(namespaces.key, type)]));
    insideNamespaces(this.#libc, paths, () => {
      if (namespaces.types.includes("uts")) {
        this.#libc.setHostname(settings.hostname);
        if (settings.domainname) this.#libc.setDomainname(settings.domainname);
      }
      for (const [name, value] of Object.entries(settings.sysctls)) writeSysctl(name, value);
    });
  }

  /** Runs something short and synchronous in the sandbox's network. */
  insideNetwork<T>(key: string, inside: () => T): T {
    return insideNamespaces(this.#libc, { net: this.path(key, "net") }, inside);
  }

  /**
   * Lets go of everything; may be called for half-made ones and again. The kernel takes the device and its route away by itself, soon after the namespace's last process is
   * gone, many at a time; asked to do so at once it would hold us up for 10 ms and more.
   */
  remove(key: string): void {
    for (const type of ["net", "ipc", "uts"] as const) unpinNamespace(this.#libc, this.path(key, type));
  }

  /** Nobody reaches this address any more, even if a process goes on to hold the network in which it is. */
  disconnect(address: string): void {
    let device: number;
    try {
      device = linkIndex(this.#libc, this.#nodeSocket, this.linkName(address));
    } catch {
      return; // its device is gone, and the route with it
    }
    exchange(this.#libc, this.#nodeSocket, [deleteRoute({ destination: `${address}/32`, device })]);
  }

  /** The node's side of the device of an address. */
  linkName(address: string): string {
    const [, , third = "0", fourth = "0"] = address.split(".");
    return this.#linkPrefix + (Number(third) * 256 + Number(fourth)).toString(16).padStart(4, "0");
  }

  #connect(key: string, inner: number, address: string): void {
    const name = this.linkName(address);
    const namespace = openSync(this.path(key, "net"), "r");
    try {
      const veth = addVeth({ name, peerName: "eth0", peerNamespace: namespace, mtu: this.#mtu });
      exchange(this.#libc, this.#nodeSocket, [deleteLink(name), veth]);
      withoutLinkLocal(name);
      const device = linkIndex(this.#libc, this.#nodeSocket, name);
      const peer = linkIndex(this.#libc, inner, "eth0");
      exchange(this.#libc, inner, [
        setLinkUp(1),
        setLinkUp(peer),
        addAddress(peer, address),
        addRoute({ destination: `${gatewayAddress}/32`, device: peer }),
        addRoute({ destination: "default", device: peer, gateway: gatewayAddress }),
      ]);
      exchange(this.#libc, this.#nodeSocket, [
        setLinkUp(device),
        addAddress(device, gatewayAddress, 32, "link"),
        addRoute({ destination: `${address}/32`, device, ...(this.#nodeAddress && { source: this.#nodeAddress }) }),
      ]);
    } finally {
      closeSync(namespace);
      closeSync(inner);
    }
  }
}

// No link-local IPv6 addresses: their duplicate detection and router solicitations cost time and wake-ups for nothing.
function withoutLinkLocal(device: string): void {
  try {
    writeSysctl(`net/ipv6/conf/${device}/addr_gen_mode`, "1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** What statfs says of a file that is a namespace (NSFS_MAGIC in linux/magic.h). */
const namespaceFilesystem = 0x6e736673;

function isNamespace(path: string): boolean {
  try {
    return statfsSync(path).type === namespaceFilesystem;
  } catch {
    return false;
  }
}
