import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { settle } from "#client/testing/settle.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import type { Cage } from "./cage.ts";
import { LoadedAhead } from "./loaded-ahead.ts";
import type { IsolateCode } from "./loader.ts";

const pod = (name: string, namespace = "default") => ({ namespace, name });
const codeOf = (js: string): IsolateCode => ({
  compatibilityDate: "2026-01-01",
  compatibilityFlags: [],
  lazyTimers: false,
  mainModule: "index.js",
  modules: { "index.js": { js } },
  env: {},
});

function setUp(processes = 5) {
  const clock = new FakeClock();
  const loaded: string[] = [];
  const discarded: Cage[] = [];
  const ahead = new LoadedAhead({
    take: () => (processes-- > 0 ? ({ containerId: `c${processes}` } as Cage) : undefined),
    load: async (_cage, { modules }) => {
      loaded.push(JSON.stringify(modules));
      return undefined;
    },
    discard: async (cage) => void discarded.push(cage),
    mostText: 1000,
    clock,
    logger: silentLogger,
  });
  return { ahead, clock, loaded, discarded };
}

describe("code that is loaded ahead", () => {
  it("is what the last pod of the same ReplicaSet ran, and is given to the next one once", async () => {
    const { ahead, loaded } = setUp();
    ahead.remember(pod("web-1-aaaaa"), codeOf("one"), {});
    ahead.prepare(pod("web-1-aaaaa"));
    ahead.prepare(pod("web-1-aaaaa"));
    assert.equal(loaded.length, 1);

    const cage = ahead.take(pod("web-1-bbbbb"));
    assert.ok(cage);
    assert.equal(ahead.take(pod("web-1-ccccc")), undefined);
    assert.equal(ahead.fits(cage, codeOf("one")), true);
    assert.equal(await ahead.loading(cage), undefined);
    assert.equal(ahead.loading(cage), undefined);
  });

  it("is given to no pod of another ReplicaSet or namespace, and taken away when none comes", async () => {
    const { ahead, clock, discarded } = setUp();
    ahead.remember(pod("web-1-aaaaa"), codeOf("one"), {});
    ahead.prepare(pod("web-1-aaaaa"));

    assert.equal(ahead.take(pod("web-2-aaaaa")), undefined);
    assert.equal(ahead.take(pod("web-1-aaaaa", "other")), undefined);
    await clock.advance(9_999);
    assert.equal(discarded.length, 0);
    await clock.advance(1);
    await settle();
    assert.equal(discarded.length, 1);
    assert.equal(ahead.take(pod("web-1-bbbbb")), undefined);
  });

  it("does not fit a pod whose own code is another; where that happens again nothing is loaded ahead any more", () => {
    const { ahead, loaded } = setUp();
    ahead.remember(pod("web-1-aaaaa"), codeOf("one"), {});
    for (const code of ["two", "three"]) {
      ahead.prepare(pod("web-1-aaaaa"));
      const cage = ahead.take(pod("web-1-bbbbb"));
      assert.ok(cage);
      assert.equal(ahead.fits(cage, codeOf(code)), false);
      ahead.remember(pod("web-1-bbbbb"), codeOf(code), {});
    }

    ahead.prepare(pod("web-1-bbbbb"));
    assert.equal(loaded.length, 2);
  });

  it("is not loaded for what is unknown or without a process that waits", async () => {
    const { ahead, loaded, discarded } = setUp(0);
    ahead.prepare(pod("web-1-aaaaa"));
    ahead.remember(pod("web-1-aaaaa"), codeOf("one"), {});
    ahead.prepare(pod("web-1-aaaaa"));

    assert.deepEqual(loaded, []);
    await ahead.stop();
    assert.deepEqual(discarded, []);
  });

  it("remembers no more than so much code", () => {
    const { ahead, loaded } = setUp();
    const large = "x".repeat(600);
    ahead.remember(pod("web-1-aaaaa"), codeOf(large), {});
    ahead.remember(pod("web-2-aaaaa"), codeOf(large), {});
    ahead.prepare(pod("web-1-aaaaa"));
    ahead.prepare(pod("web-2-aaaaa"));

    assert.equal(loaded.length, 1);
  });
});
