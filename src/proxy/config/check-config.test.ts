import assert from "node:assert/strict";
import { test } from "node:test";
import { findProblem } from "./check-config.ts";
import type { RouteRule } from "./route.ts";

function problemOfRule(rule: Partial<RouteRule>): string | undefined {
  const whole = { action: { kind: "respond", status: 200 }, ...rule } as RouteRule;
  return findProblem({ kind: "route", config: { name: "r", listeners: [], hosts: ["a"], rules: [whole] } });
}

test("a filter cannot break a head, nor change what frames a message", () => {
  assert.equal(problemOfRule({ requestFields: { set: [["x-a", "b"]] } }), undefined);
  assert.match(problemOfRule({ requestFields: { set: [["x-a", "b\r\nevil: 1"]] } }) ?? "", /control characters/);
  assert.match(problemOfRule({ responseFields: { add: [["x a", "b"]] } }) ?? "", /no field's name/);
  assert.match(
    problemOfRule({ requestFields: { set: [["transfer-encoding", "chunked"]] } }) ?? "",
    /belongs to the connection/,
  );
  assert.match(problemOfRule({ rewrite: { authority: "a\r\nb" } }) ?? "", /no host/);
  assert.match(problemOfRule({ rewrite: { path: { kind: "full", value: "/a b" } } }) ?? "", /no path/);
});

test("hosts, regular expressions, weights, addresses and ports are looked at", () => {
  const host = (name: string) =>
    findProblem({ kind: "route", config: { name: "r", listeners: [], hosts: [name], rules: [] } });
  assert.deepEqual(["*", "a.b", "*.a", "**.a"].map(host), [undefined, undefined, undefined, undefined]);
  assert.match(host("A") ?? "", /no host/);
  assert.match(host("a.*") ?? "", /no host/);
  assert.match(problemOfRule({ matches: [{ path: { kind: "regex", value: "(" } }] }) ?? "", /RE2/);
  const backends = [{ cluster: "c", weight: -1 }];
  assert.match(problemOfRule({ action: { kind: "forward", backends } }) ?? "", /negative/);
  const endpoints = [{ address: "localhost", port: 80 }];
  assert.match(findProblem({ kind: "cluster", config: { name: "c", endpoints } }) ?? "", /no IP/);
});

test("what TLS would throw at is refused before", () => {
  const endpoints = [{ address: "10.0.0.1", port: 80 }];
  const tls = { ca: "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n" };
  const key = "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n";

  assert.match(findProblem({ kind: "cluster", config: { name: "c", endpoints, tls } }) ?? "", /TLS does not take it/);
  const certificate = { name: "x", certificate: tls.ca, privateKey: key };
  assert.match(findProblem({ kind: "certificate", config: certificate }) ?? "", /TLS does not take it/);
  const listener = { name: "l", address: { host: "127.0.0.1", port: 0 }, tls: { certificates: ["x"], clientCa: "no" } };
  assert.equal(findProblem({ kind: "cluster", config: { name: "c", endpoints } }), undefined);
  assert.match(findProblem({ kind: "listener", config: listener }) ?? "", /TLS does not take it/);
});
