import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import { describeFunction } from "./describe-function.ts";

const at = (secondsAgo: number) => new Date(Date.now() - secondsAgo * 1000).toISOString();

test("what went wrong with its instances lately is shown, newest first, and no other function's", async () => {
  const eventOf = (name: string, message: string, secondsAgo: number) => ({
    involvedObject: { kind: "Revision", name },
    type: "Warning",
    reason: "OOMKilled",
    message,
    count: 3,
    lastTimestamp: at(secondsAgo),
  });
  const lists: Readonly<Record<string, readonly object[]>> = {
    revisions: [{ metadata: { name: "hello-00001" } }],
    events: [
      eventOf("hello-00001", "older", 300),
      eventOf("other-00001", "another's", 1),
      eventOf("hello-00001", "newer", 7),
    ],
  };
  const client = {
    get: async () => ({ metadata: { name: "hello" } }),
    list: async ({ resource }: { readonly resource: { readonly resource: string } }) => ({
      items: lists[resource.resource] ?? [],
      metadata: {},
    }),
  } as unknown as Client;

  const text = (await describeFunction(client, "default", "hello")).join("\n");

  assert.match(text, /\n7s +3 +hello-00001 +OOMKilled +newer\n5m +3 +hello-00001 +OOMKilled +older/);
  assert.doesNotMatch(text, /another's/);
});

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
