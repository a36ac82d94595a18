import assert from "node:assert/strict";
import { test } from "node:test";
import { podOf } from "#kubelet/testing/engine-house.ts";
import { resizeMessage } from "./resize-events.ts";

test("events of resizes say what was asked for, as JSON", () => {
  const pod = podOf("web", [{ resources: { limits: { cpu: "1" } } }, {}]);

  assert.equal(
    resizeMessage(pod, "Infeasible", "too much"),
    'Pod resize Infeasible: {"containers":[{"name":"main","resources":{"limits":{"cpu":"1"}}},{"name":"c1","resources":{}}],"generation":1,"error":"too much"}',
  );
});
