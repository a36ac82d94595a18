import assert from "node:assert/strict";
import { test } from "node:test";
import { containerSpec } from "./container-spec.ts";

test("a container's spec says which of its probes and hooks run commands, for runtimes that cannot", () => {
  const exec = { command: ["true"] };
  const spec = (container: object) =>
    containerSpec(
      { metadata: { name: "web", namespace: "default", uid: "u" }, spec: { containers: [] } },
      { name: "main", ...container },
      {
        attempt: 0,
        imageId: "",
        environment: new Map(),
        mounts: [],
        logPath: "/log",
        nodeMemoryBytes: 1,
        seccompFolder: "/",
      },
    );

  const some = spec({
    livenessProbe: { exec },
    readinessProbe: { httpGet: { port: 80 } },
    lifecycle: { preStop: { exec }, postStart: { sleep: { seconds: 1 } } },
  });

  assert.deepEqual(some.execs, ["livenessProbe", "lifecycle.preStop"]);
  assert.equal("execs" in spec({}), false);
});
