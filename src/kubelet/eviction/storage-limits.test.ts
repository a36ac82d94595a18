import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { silentEvents } from "#kubelet/events.ts";
import type { PodDiskUsage } from "#kubelet/provider.ts";
import { podOf } from "#kubelet/testing/engine-house.ts";
import { StorageLimits } from "./storage-limits.ts";

const mebibyte = 2 ** 20;

async function evicted(
  pods: readonly Pod[],
  uses: Readonly<Record<string, Omit<PodDiskUsage, "ref">>>,
  tookMs = 0,
): Promise<{ readonly messages: Record<string, string>; readonly asked: readonly string[] }> {
  const clock = new FakeClock();
  const messages: Record<string, string> = {};
  const asked: string[] = [];
  const limits = new StorageLimits({
    pods: () => pods,
    disk: async (refs) => {
      await clock.advance(tookMs);
      asked.push(...refs.map(({ name }) => name));
      return refs.flatMap((ref) => (uses[ref.name] ? [{ ref, ...(uses[ref.name] as Omit<PodDiskUsage, "ref">) }] : []));
    },
    evict: async (ref, status) => void (messages[ref.name] = status.message),
    events: silentEvents,
    clock,
    logger: silentLogger,
  });
  await limits.check();
  await limits.check();
  return { messages, asked };
}

const bounded = (storage: string) => [{ resources: { limits: { "ephemeral-storage": storage } } }];
const volume = { name: "scratch", emptyDir: { sizeLimit: "1Mi" } };
const wrote = (bytes: number) => ({
  volumes: new Map<string, number>(),
  containers: [{ name: "main", logBytes: 0, rootBytes: bytes }],
});

test("pods go that write more than they may, each with what it did", async () => {
  const pods = [
    podOf("modest", bounded("2Mi")),
    podOf("log", [...bounded("1Mi"), ...bounded("9Mi")]),
    podOf("whole", bounded("1024Ki"), { volumes: [{ name: "scratch", emptyDir: {} }] }),
    podOf("volume", [{}], { volumes: [volume] }),
    podOf("system", bounded("1Mi"), { priority: 2_000_001_000 }),
  ];
  const { messages } = await evicted(pods, {
    modest: wrote(mebibyte),
    log: { volumes: new Map(), containers: [{ name: "main", logBytes: 2 * mebibyte, rootBytes: 0 }] },
    whole: { ...wrote(mebibyte / 2), volumes: new Map([["scratch", mebibyte]]) },
    volume: { ...wrote(0), volumes: new Map([["scratch", mebibyte + 1]]) },
    system: wrote(9 * mebibyte),
  });

  assert.deepEqual(messages, {
    log: 'Container main exceeded its local ephemeral storage limit "1Mi". ',
    whole: "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
    volume: 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". ',
  });
});

test("pods without limits are not looked at, and long looks are followed by long rests", async () => {
  const inMemory = { name: "scratch", emptyDir: { sizeLimit: "1Mi", medium: "Memory" } };
  const pods = [podOf("free", [{}], { volumes: [inMemory] }), podOf("bounded", bounded("1Mi"))];

  assert.deepEqual((await evicted(pods, {})).asked, ["bounded", "bounded"]);
  assert.deepEqual((await evicted(pods, {}, 1_000)).asked, ["bounded"]);
});
