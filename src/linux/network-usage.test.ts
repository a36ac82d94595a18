import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readNetworkUsage } from "./network-usage.ts";

test("devices' counters are read, the loopback's left out, and of nobody there are none", () => {
  const folder = mkdtempSync(join(tmpdir(), "nodeless-net-"));
  try {
    mkdirSync(join(folder, "7/net"), { recursive: true });
    const head =
      "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs\n";
    const rows = "    lo:     100 1 0 0 0 0 0 0     100 1 0 0 0 0 0 0\n  eth0:12345 10 2 0 0 0 0 0 678 9 1 0 0 0 0 0\n";
    writeFileSync(join(folder, "7/net/dev"), head + rows);

    const eth0 = { name: "eth0", rxBytes: 12345, rxErrors: 2, txBytes: 678, txErrors: 1 };
    assert.deepEqual(readNetworkUsage(7, folder), [eth0]);
    assert.deepEqual(readNetworkUsage(8, folder), []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
