import assert from "node:assert/strict";
import { test } from "node:test";
import { StatisticsReader, statsSummary } from "./node-statistics.ts";

test("a node is the whole machine, unless it shares it: then it is what it uses itself", async () => {
  const machine = await new StatisticsReader("/").read([], 0);
  assert.ok(machine.memoryUsageBytes > 2 ** 20 && machine.cpuUsageNanoseconds > 0);

  let cpuUsageNanoseconds = 1e9;
  const reader = new StatisticsReader("/", () => ({
    cpuUsageNanoseconds,
    memoryUsageBytes: 20,
    memoryWorkingSetBytes: 10,
  }));
  await reader.read([], 0);
  cpuUsageNanoseconds = 2e9;
  const later = await reader.read([], 10_000);

  const { node } = statsSummary("n1", later, 10_000) as {
    readonly node: {
      readonly cpu: { readonly usageNanoCores: number };
      readonly memory: { readonly usageBytes: number };
      readonly fs: Readonly<Record<"availableBytes" | "usedBytes" | "capacityBytes", number>>;
    };
  };
  assert.ok(node.fs.availableBytes > 0 && node.fs.usedBytes <= node.fs.capacityBytes);
  assert.deepEqual([node.cpu.usageNanoCores, node.memory.usageBytes], [100_000_000, 20]);
});
