/**
 * Who is at the other end of a TCP connection within this machine: the kernel's table of sockets has the user of each.
 */
import { readFile } from "node:fs/promises";

/** One end of a connection over IPv4, as seen from the other. */
export type ConnectionEnds = {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
};

const established = "01";

/** The user whose socket the remote end is; undefined when it is not of this network namespace, or closed already. */
export async function findPeerUser(ends: ConnectionEnds): Promise<number | undefined> {
  const own = [ends.remoteAddress, ends.remotePort] as const;
  const other = [ends.localAddress, ends.localPort] as const;
  // A socket that speaks both protocols stands in the second table.
  for (const { file, prefix } of [
    { file: "/proc/net/tcp", prefix: "" },
    { file: "/proc/net/tcp6", prefix: "0000000000000000FFFF0000" },
  ]) {
    const wanted = `${prefix}${endOf(...own)} ${prefix}${endOf(...other)} ${established} `;
    const table = await readFile(file, "latin1").catch(() => "");
    const line = table.split("\n").find((candidate) => candidate.includes(wanted));
    const [uid, , inode] = line?.trim().split(/\s+/).slice(7, 10) ?? [];
    // A socket that nobody holds any more is said to be root's.
    if (uid !== undefined && inode !== "0") return Number(uid);
  }
  return undefined;
}

// As the kernel prints it: the address as a number of the processor, the port as it is.
function endOf(address: string, port: number): string {
  const bytes = address
    .replace(/^::ffff:/, "")
    .split(".")
    .map(Number)
    .toReversed();
  const hex = (value: number, digits: number) => value.toString(16).toUpperCase().padStart(digits, "0");
  return `${bytes.map((byte) => hex(byte, 2)).join("")}:${hex(port, 4)}`;
}
