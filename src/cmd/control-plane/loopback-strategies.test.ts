import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#apimachinery/meta.ts";
import { loopbackStrategyOf } from "./loopback-strategies.ts";

const allowed = ["127.42.0.", "127.42.255.1"];

test("endpoints may name pods of loopback addresses and the API server, and nothing else of this machine", () => {
  const wrong = (address: string) => {
    const slice = { addressType: "IPv4", endpoints: [{ addresses: [address] }] } as unknown as KubeObject;
    const endpoints = {
      subsets: [{ addresses: [{ ip: address }], ports: [{ port: 80, protocol: "TCP" }] }],
    } as unknown as KubeObject;
    return [
      loopbackStrategyOf("discovery.k8s.io", "EndpointSlice", allowed).validate?.(slice).length,
      loopbackStrategyOf("", "Endpoints", allowed).validate?.(endpoints).length,
    ];
  };

  assert.deepEqual(
    [wrong("127.42.0.7"), wrong("127.42.255.1")],
    [
      [0, 0],
      [0, 0],
    ],
  );
  assert.deepEqual(
    [wrong("127.0.0.1"), wrong("127.42.255.10"), wrong("169.254.169.254")],
    [
      [1, 1],
      [1, 1],
      [1, 1],
    ],
  );
});
