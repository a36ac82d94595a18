import assert from "node:assert/strict";
import type { NetworkInterfaceInfo } from "node:os";
import { test } from "node:test";
import { interfaceOfDefaultRoute, machineAddresses } from "./machine-addresses.ts";

const one = (address: string, more: Partial<NetworkInterfaceInfo> = {}) => [
  { address, family: "IPv4", internal: false, ...more } as NetworkInterfaceInfo,
];

test("addresses of loopback, of links to pods and of single links are not the machine's", () => {
  const found = machineAddresses({
    lo: one("127.0.0.1", { internal: true }),
    eth0: one("192.0.2.2"),
    nl3p1a2b: one("169.254.1.1"),
    nl3n0: one("10.0.0.1"),
    wlan0: one("169.254.9.9"),
    vpn: one("fd00::1", { family: "IPv6" } as Partial<NetworkInterfaceInfo>),
  });

  assert.deepEqual(found, ["192.0.2.2"]);
});

test("the address on the way out of the machine comes first", () => {
  const interfaces = { docker0: one("172.17.0.1"), eth1: one("192.0.2.9"), eth0: one("192.0.2.2") };

  assert.deepEqual(machineAddresses(interfaces, "eth0"), ["192.0.2.2", "172.17.0.1", "192.0.2.9"]);
  assert.deepEqual(machineAddresses(interfaces, "none")[0], "172.17.0.1");
});

test("of several default routes the one with the lowest metric is taken", () => {
  const routes = [
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
    "wlan0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0",
    "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0",
    "lo2\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
  ].join("\n");

  assert.equal(interfaceOfDefaultRoute(routes), "eth0");
  assert.equal(interfaceOfDefaultRoute(""), undefined);
});
