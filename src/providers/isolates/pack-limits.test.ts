import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { limitsOfAll } from "./pack-limits.ts";

const mib = 2 ** 20;

describe("bounds of a pack", () => {
  it("are the sum of its pods'", () => {
    const bounds = limitsOfAll(
      [
        { cpuShares: 512, cpuQuotaMicroseconds: 50_000, cpuPeriodMicroseconds: 100_000, memoryLimitBytes: 64 * mib },
        { cpuShares: 102, cpuQuotaMicroseconds: 10_000, cpuPeriodMicroseconds: 50_000, memoryLimitBytes: 32 * mib },
      ],
      { usedBytes: 0 },
    );

    assert.deepEqual(bounds, {
      cpuShares: 614,
      cpuPeriodMicroseconds: 100_000,
      cpuQuotaMicroseconds: 70_000,
      memoryLimitBytes: 96 * mib,
    });
  });

  it("are none where one of them has none, or there is none", () => {
    const bounds = limitsOfAll([{ memoryLimitBytes: mib, cpuQuotaMicroseconds: 1000 }, {}], { usedBytes: 0 });

    assert.equal(bounds.memoryLimitBytes, -1);
    assert.equal(bounds.cpuQuotaMicroseconds, -1);
    assert.equal(bounds.cpuShares, 4);
    assert.equal(limitsOfAll([], { usedBytes: 0 }).memoryLimitBytes, -1);
  });

  it("do not sink below what is used, and do not rise with it", () => {
    const one = [{ memoryLimitBytes: 32 * mib }];

    assert.equal(limitsOfAll(one, { usedBytes: 60 * mib, boundBytes: 96 * mib }).memoryLimitBytes, 75 * mib);
    assert.equal(limitsOfAll(one, { usedBytes: 90 * mib, boundBytes: 96 * mib }).memoryLimitBytes, 96 * mib);
    assert.equal(limitsOfAll(one, { usedBytes: 31 * mib, boundBytes: 32 * mib }).memoryLimitBytes, 32 * mib);
  });
});
