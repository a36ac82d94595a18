import assert from "node:assert/strict";
import { test } from "node:test";
import { describeConnectionError } from "./connection-errors.ts";

test("connection errors read as registries' users know them", () => {
  const target = new URL("https://reg.example.com:5000/v2/");
  const cases: readonly (readonly [object, string])[] = [
    [{ code: "ECONNREFUSED", address: "10.0.0.1", port: 5000 }, "dial tcp 10.0.0.1:5000: connect: connection refused"],
    [
      { code: "ECONNREFUSED", errors: [{ code: "ECONNREFUSED", address: "::1", port: 5000 }] },
      "dial tcp ::1:5000: connect: connection refused",
    ],
    [{ code: "ENOTFOUND", hostname: "reg.example.com" }, "dial tcp: lookup reg.example.com: no such host"],
    [{ code: "UND_ERR_CONNECT_TIMEOUT" }, "dial tcp reg.example.com:5000: i/o timeout"],
    [
      { code: "DEPTH_ZERO_SELF_SIGNED_CERT" },
      "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    ],
    [{ message: "something else" }, "something else"],
  ];
  for (const [error, text] of cases) assert.equal(describeConnectionError(error, target), text);
});
