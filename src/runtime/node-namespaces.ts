/**
 * The namespaces in which a node's process and all that it starts live. A mount namespace of its own, pinned as a file: mounts of containers are seen by the node
 * alone, and letting go of the pin removes them all at once. crun also refuses a version 2 mount beside version 1 control groups, which is not there inside. And, where several
 * nodes share a machine, a network namespace with one link to the machine's.
 *
 * A process cannot enter a mount namespace later on, so whoever starts the node starts it with the prefix that is given here.
 */
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findHybridMount } from "#linux/cgroups/open-cgroups.ts";
import { addAddress, addRoute, addVeth, deleteLink, linkIndex, setLinkUp } from "#linux/ip.ts";
import { type Libc, loadLibc } from "#linux/libc.ts";
import { bindMount, listMounts, setPropagation, unmount } from "#linux/mounts.ts";
import { pinNewNamespaces, unpinNamespace, writeSysctl } from "#linux/namespaces.ts";
import { exchange } from "#linux/netlink.ts";
import { findProgram } from "./machine.ts";
import { runProgram } from "./run-program.ts";

// Another one than that of sandboxes: a node has that as its own address, and would drop what comes from it over the link as forged.
const machineGateway = "169.254.1.2";

/** A network for one of several nodes. */
export type OwnNetwork = {
  /** The machine's side of the link, at most 15 characters. */
  readonly linkName: string;
  readonly nodeAddress: string;
  /** The node's pods: the machine sends them through the link. */
  readonly podCidr: string;
  /** What else it sends there: CIDRs. Default none. */
  readonly moreRanges?: readonly string[];
  /** Address that the machine itself has towards the node: the control plane's. */
  readonly machineAddress?: string | undefined;
  readonly mtu?: number | undefined;
};

/** What a node's namespaces are made of. `runFolder` is that node's alone. */
export type NodeNamespaceOptions = {
  readonly runFolder: string;
  readonly searchPath: string;
  readonly ownNetwork?: OwnNetwork | undefined;
};

/** Makes the namespaces, or finds those that are there; gives the words to put before the node's command line. */
export async function prepareNodeNamespaces(options: NodeNamespaceOptions): Promise<readonly string[]> {
  const libc = await loadLibc();
  const pins = pinFolder(options.runFolder);
  preparePinFolder(libc, pins);
  const mountPin = join(pins, "mnt");
  const networkPin = join(pins, "net");
  if (options.ownNetwork && !isPinned(networkPin)) makeNetwork(libc, networkPin, options.ownNetwork);
  if (!isPinned(mountPin)) await makeMountNamespace(mountPin, options.searchPath);
  const network = options.ownNetwork ? [`--net=${networkPin}`] : [];
  return [needProgram("nsenter", options.searchPath), `--mount=${mountPin}`, ...network, "--"];
}

/** Lets go of the namespaces and the link. Everything in them ends with its last process, so the node and its containers must have ended. Unknown is success. */
export async function removeNodeNamespaces(options: {
  readonly runFolder: string;
  readonly linkName?: string;
}): Promise<void> {
  const libc = await loadLibc();
  const pins = pinFolder(options.runFolder);
  if (options.linkName !== undefined)
    withNodeSocket(libc, (socket) => exchange(libc, socket, [deleteLink(options.linkName ?? "")]));
  for (const name of ["mnt", "net"]) if (existsSync(join(pins, name))) unpinNamespace(libc, join(pins, name));
  unmount(libc, pins);
  rmSync(pins, { recursive: true, force: true });
}

function pinFolder(runFolder: string): string {
  return join(runFolder, "pins");
}

// A mount namespace can be pinned only on a mount that is private: else the pin would show up inside of itself.
function preparePinFolder(libc: Libc, pins: string): void {
  mkdirSync(pins, { recursive: true, mode: 0o700 });
  if (isMounted(pins)) return;
  bindMount(libc, pins, pins);
  setPropagation(libc, pins, "private");
}

async function makeMountNamespace(pin: string, searchPath: string): Promise<void> {
  writeFileSync(pin, "");
  const [sh, unshare] = [needProgram("sh", searchPath), needProgram("unshare", searchPath)];
  const hybrid = findHybridMount();
  // Mounts of the machine come in, none goes out; inside they are shared again, for volumes whose mounts travel between containers.
  const script = 'mount --make-rshared / && if [ -n "$1" ]; then umount -l "$1"; fi';
  await runProgram(unshare, [`--mount=${pin}`, "--propagation", "slave", "--", sh, "-c", script, "sh", hybrid ?? ""]);
}

function makeNetwork(libc: Libc, pin: string, network: OwnNetwork): void {
  const { linkName: name, nodeAddress, podCidr, moreRanges = [], machineAddress, mtu = 1500 } = network;
  const inner = pinNewNamespaces(libc, { net: pin }, () => {
    writeSysctl("net.ipv4.ip_forward", "1");
    return libc.openNetlink();
  });
  const namespace = openSync(pin, "r");
  writeSysctl("net.ipv4.ip_forward", "1");
  try {
    withNodeSocket(libc, (outer) => {
      exchange(libc, outer, [deleteLink(name), addVeth({ name, peerName: "eth0", peerNamespace: namespace, mtu })]);
      const device = linkIndex(libc, outer, name);
      const peer = linkIndex(libc, inner, "eth0");
      exchange(libc, inner, [
        setLinkUp(1),
        setLinkUp(peer),
        addAddress(peer, nodeAddress),
        addRoute({ destination: `${machineGateway}/32`, device: peer }),
        addRoute({ destination: "default", device: peer, gateway: machineGateway }),
      ]);
      const source = machineAddress === undefined ? {} : { source: machineAddress };
      exchange(libc, outer, [
        setLinkUp(device),
        addAddress(device, machineGateway, 32, "link"),
        addRoute({ destination: `${nodeAddress}/32`, device, ...source }),
        ...[podCidr, ...moreRanges].map((destination) =>
          addRoute({ destination, device, gateway: nodeAddress, ...source }),
        ),
      ]);
    });
  } catch (error) {
    unpinNamespace(libc, pin);
    throw error;
  } finally {
    closeSync(inner);
    closeSync(namespace);
  }
}

function withNodeSocket(libc: Libc, use: (socket: number) => void): void {
  const socket = libc.openNetlink();
  try {
    use(socket);
  } finally {
    closeSync(socket);
  }
}

function isPinned(path: string): boolean {
  return existsSync(path) && isMounted(path);
}

function isMounted(path: string): boolean {
  return listMounts().some((mount) => mount.target === path);
}

function needProgram(name: string, searchPath: string): string {
  const path = findProgram(name, searchPath);
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}
