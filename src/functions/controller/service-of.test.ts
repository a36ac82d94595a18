import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { FunctionSpec } from "#api/nodeless/function.ts";
import { serviceOf } from "./service-of.ts";

type Container = {
  readonly resources: {
    readonly limits?: Readonly<Record<string, unknown>>;
    readonly requests: Readonly<Record<string, unknown>>;
  };
  readonly livenessProbe?: object;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
};

describe("the Service of a Function", () => {
  const container = (spec: FunctionSpec): Container => {
    const template = serviceOf({ metadata: { name: "fn", namespace: "default" }, spec }, "image@sha256:1").spec
      ?.template?.spec;
    return (template as { readonly containers: readonly [Container] }).containers[0];
  };

  it("bounds the memory of code that says nothing, and keeps little for it", () => {
    assert.deepEqual(container({}).resources, {
      limits: { memory: "256Mi" },
      requests: { cpu: "25m", memory: "16Mi" },
    });
    assert.deepEqual(container({ runtime: "container" }).resources, { requests: { cpu: "25m", memory: "32Mi" } });
  });

  it("keeps no more than may be used, and what was asked for", () => {
    const limited = container({ resources: { limits: { cpu: "10m", memory: "12Mi" } } });
    const asked = container({ resources: { limits: { cpu: "2" }, requests: { cpu: "1", memory: "1Gi" } } });

    assert.deepEqual(limited.resources.requests, { cpu: "10m", memory: "12Mi" });
    assert.deepEqual(asked.resources, { limits: { cpu: "2", memory: "256Mi" }, requests: { cpu: "1", memory: "1Gi" } });
  });

  it("tells what has our shim around it how long an answer may take, and nobody else", () => {
    const env = [{ name: "A", value: "1" }];
    const patience = { name: "NODELESS_TIMEOUT_SECONDS", value: "7" };

    assert.deepEqual(container({ timeoutSeconds: 7, env }).env, [...env, patience]);
    assert.deepEqual(container({ timeoutSeconds: 7, env: [{ ...patience, value: "9" }] }).env, [patience]);
    assert.deepEqual(container({ timeoutSeconds: 7, env, runtime: "container" }).env, env);
    assert.equal(container({}).env, undefined);
  });

  it("asks only what has our shim around it whether it still turns", () => {
    assert.ok(container({ runtime: "python" }).livenessProbe);
    assert.equal(container({ runtime: "container" }).livenessProbe, undefined);
    assert.equal(container({ runtime: "node", source: { image: "nginx" } }).livenessProbe, undefined);
  });
});
