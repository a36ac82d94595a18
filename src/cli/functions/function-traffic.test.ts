import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { FunctionObject } from "#api/nodeless/function.ts";
import { addressOf, shareLine } from "./function-traffic.ts";

const ready: FunctionObject = {
  metadata: { name: "hello", namespace: "default" },
  status: { url: "http://hello.default.localhost", latestReadyRevisionName: "hello-00003" },
};

describe("where a function's requests go", () => {
  it("is said where what was deployed does not get all of them", () => {
    const pinned = [
      { revisionName: "hello-00001", percent: 90 },
      { revisionName: "hello-00002", percent: 10, tag: "next" },
    ];

    assert.match(
      shareLine(ready, pinned) ?? "",
      /^ ! hello-00003 gets 0 % of the traffic: spec\.traffic names revisions/,
    );
    const byTag = [...pinned, { revisionName: "hello-00003", percent: 0, tag: "new" }];
    assert.match(shareLine(ready, byTag) ?? "", /gets 0 % of the traffic, besides what asks for "new":/);
    assert.equal(shareLine(ready, [{ revisionName: "hello-00003", percent: 100 }]), undefined);
    assert.equal(shareLine(ready, []), undefined);
  });

  it("is its address, or that of a tag which there is", () => {
    const traffic = [{ revisionName: "hello-00002", percent: 10, tag: "next" }];
    const of = (tag: string | undefined) => addressOf(ready, { traffic, tag }).href;

    assert.equal(of(undefined), "http://hello.default.localhost/");
    assert.equal(of("next"), "http://next-hello.default.localhost/");
    assert.throws(() => of("nope"), { kind: "UserError", message: 'function hello has no tag "nope": it has next' });
  });

  it("is nowhere as long as it never was ready", () => {
    const conditions = [{ type: "Ready", status: "False" as const, reason: "RevisionFailed", message: "no\nat all" }];
    const failed = { ...ready, status: { url: "http://hello.default.localhost", conditions } };

    assert.throws(() => addressOf(failed, { traffic: [], tag: undefined }), {
      kind: "UserError",
      message: "function hello is not ready (RevisionFailed: no): 'nodeless fn describe hello' says why",
    });
  });
});
