/**
 * The machine's own side of a cluster: the control plane's address, and where nodes have networks of their own, the ways between them, out of them, and to their node ports.
 */
import { existsSync, writeFileSync } from "node:fs";
import { runIp } from "#linux/ip-program.ts";
import { applyNft } from "#linux/nft.ts";
import { addressPlan, nodeAddresses } from "./address-plan.ts";
import type { Cluster } from "./clusters.ts";
import { deleteTables, machineTableName } from "./kernel-names.ts";

/** Sets it up. May be called again. */
export async function setUpMachineNetwork({ record }: Cluster): Promise<void> {
  const plan = addressPlan(record);
  await runIp(["link set lo up", `address replace ${plan.controlPlane}/32 dev lo`]);
  if (record.nodes > 1) {
    writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
    writeFileSync("/proc/sys/net/ipv4/conf/all/route_localnet", "1");
    const firstNode = nodeAddresses(record, 0).address;
    await applyNft(machineTable({ table: machineTableName(record), plan, firstNode }));
  }
  await acceptForwarding(plan.podRange);
}

/** Takes it away. What is not there is success. */
export async function tearDownMachineNetwork({ record }: Cluster): Promise<void> {
  const plan = addressPlan(record);
  await runIp([`address delete ${plan.controlPlane}/32 dev lo`], { force: true });
  await deleteTables(record);
}

type MachineTable = {
  readonly table: string;
  readonly plan: ReturnType<typeof addressPlan>;
  readonly firstNode: string;
};

/** Node ports of the loopback address go to the first node; what leaves the machine is made to come from it. */
function machineTable({ table, plan, firstNode }: MachineTable): string {
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain martians {
    type filter hook prerouting priority -300; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }
  chain output {
    type nat hook output priority -100; policy accept;
    ip daddr ${plan.nodePortLoopback} tcp dport 30000-32767 dnat to ${firstNode}
    ip daddr ${plan.nodePortLoopback} udp dport 30000-32767 dnat to ${firstNode}
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ip saddr 127.0.0.0/8 ip daddr ${firstNode} snat to ${plan.controlPlane}
    ip saddr ${plan.podRange} ip daddr != { ${plan.podRange}, ${plan.serviceRange} } masquerade
  }
}
`;
}

/** Where Docker runs, its chain drops what is forwarded: ours has to be accepted there. */
async function acceptForwarding(range: string): Promise<void> {
  if (!existsSync("/var/run/docker.sock")) return;
  const chain = "ip filter DOCKER-USER";
  // Without such a chain there is nothing to accept in: nft refuses, and that is well.
  await applyNft(
    `insert rule ${chain} ip saddr ${range} accept\ninsert rule ${chain} ip daddr ${range} accept\n`,
  ).catch(() => {});
}
