import assert from "node:assert/strict";
import { test } from "node:test";
import { parseResourceText } from "./resource-text.ts";
import { nodeUsage, podUsage } from "./usage-rates.ts";

const text = (facts: {
  cpu: number;
  memory: number;
  startedS: number;
  atMs: number;
}) => `# HELP container_cpu_usage_seconds_total …
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="main",namespace="default",pod="web"} ${facts.cpu} ${facts.atMs}
container_memory_working_set_bytes{container="main",namespace="default",pod="web"} ${facts.memory} ${facts.atMs}
container_start_time_seconds{container="main",namespace="default",pod="web"} ${facts.startedS} ${facts.atMs}
node_cpu_usage_seconds_total ${facts.cpu * 2} ${facts.atMs}
node_memory_working_set_bytes 1e+09 ${facts.atMs}
resource_scrape_error 0
`;

test("CPU is what was used between two readings, memory what is used at the second", () => {
  const first = parseResourceText(text({ cpu: 10, memory: 5, startedS: 1, atMs: 100_000 }), 0);
  const second = parseResourceText(text({ cpu: 13, memory: 7, startedS: 1, atMs: 115_000 }), 0);

  assert.deepEqual(podUsage(first, second, "default/web")?.get("main"), {
    atMs: 115_000,
    windowMs: 15_000,
    nanoCores: 200_000_000n,
    memoryBytes: 7,
  });
  assert.equal(nodeUsage(first, second)?.nanoCores, 400_000_000n);
  assert.equal(podUsage(first, second, "default/other"), undefined);
});

test("a container that began anew is measured from its start, and not at all before it has run for a moment", () => {
  const first = parseResourceText(text({ cpu: 10, memory: 5, startedS: 1, atMs: 100_000 }), 0);
  const restarted = (atMs: number) => parseResourceText(text({ cpu: 1, memory: 5, startedS: 110, atMs }), 0);

  assert.equal(podUsage(first, restarted(114_000), "default/web")?.get("main")?.nanoCores, 250_000_000n);
  assert.equal(podUsage(undefined, restarted(114_000), "default/web")?.get("main")?.windowMs, 4_000);
  assert.equal(podUsage(first, restarted(110_100), "default/web"), undefined);
  assert.equal(nodeUsage(undefined, first), undefined);
});
