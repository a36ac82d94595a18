import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { defaultGcConfig, disabled, type GcConfig } from "#serving/config/other-configs.ts";
import type { Revision } from "#serving/kinds.ts";
import { collectable } from "./gc-controller.ts";

const now = Date.UTC(2026, 0, 31);
const hourMs = 3_600_000;

function revision(
  name: string,
  hoursIdle: number,
  more: { readonly state?: string; readonly noGc?: string } = {},
): Revision {
  return {
    metadata: {
      name,
      creationTimestamp: new Date(now - 100 * hourMs).toISOString(),
      labels: { "serving.knative.dev/routingState": more.state ?? "reserve" },
      annotations: {
        "serving.knative.dev/routingStateModified": new Date(now - hoursIdle * hourMs).toISOString(),
        ...(more.noGc === undefined ? {} : { "serving.knative.dev/no-gc": more.noGc }),
      },
    },
  };
}

function gone(
  all: readonly Revision[],
  config: Partial<GcConfig>,
  latestReady?: string,
): readonly (string | undefined)[] {
  const options = { latestReady, config: { ...defaultGcConfig, minNonActiveRevisions: 0, ...config }, nowMs: now };
  return collectable(all, options).map(({ metadata }) => metadata?.name);
}

describe("collecting revisions", () => {
  it("takes those that were idle for long, oldest first", () => {
    const all = [revision("a", 20), revision("b", 50), revision("c", 1)];

    assert.deepEqual(gone(all, {}), ["b", "a"]);
  });

  it("leaves what is routed, pending, marked, or the latest ready", () => {
    const all = [
      revision("active", 90, { state: "active" }),
      revision("pending", 90, { state: "pending" }),
      revision("kept", 90, { noGc: "true" }),
      revision("latest", 90),
    ];

    assert.deepEqual(gone(all, {}, "latest"), []);
  });

  it("leaves the least number of idle ones, whatever their age", () => {
    const all = [revision("a", 20), revision("b", 50), revision("c", 60)];

    assert.deepEqual(gone(all, { minNonActiveRevisions: 2 }), ["c"]);
    assert.deepEqual(gone(all, { minNonActiveRevisions: 3 }), []);
  });

  it("takes the oldest beyond the most, even when none is stale", () => {
    const all = [revision("a", 3), revision("b", 2), revision("c", 1)];

    assert.deepEqual(gone(all, { maxNonActiveRevisions: 1 }), ["a", "b"]);
  });

  it("takes nothing when all rules are disabled", () => {
    const off = {
      retainSinceCreateTimeMs: disabled,
      retainSinceLastActiveTimeMs: disabled,
      maxNonActiveRevisions: disabled,
    };

    assert.deepEqual(gone([revision("a", 90)], off), []);
  });
});
