import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { describeFunction } from "./describe-function.ts";

test("all lines of a cause are shown, once", async () => {
  const message = "Container failed with: Error: Failed to start Worker:\nUncaught Error: at load\n";
  const conditions = [
    { type: "Built", status: "True" },
    { type: "Ready", status: "False", reason: "RevisionFailed", message },
    { type: "ServiceReady", status: "False", reason: "RevisionFailed", message },
  ];
  const client = {
    async get({ resource }: { readonly resource: { readonly resource: string } }) {
      if (resource.resource === "functions") return { metadata: { name: "hello" }, status: { conditions } };
      throw new StatusError({ reason: "NotFound", code: 404, message: "not found" });
    },
    list: async () => ({ items: [], metadata: {} }),
  } as unknown as Client;

  const text = (await describeFunction(client, "default", "hello")).join("\n");

  assert.match(text, /Ready +False +RevisionFailed +Container failed with: Error: Failed to start Worker:\n/);
  assert.match(text, /ServiceReady +False +RevisionFailed +[^\n]*Worker:\n +Uncaught Error: at load/);
  assert.equal(text.split("at load").length, 2);
});
