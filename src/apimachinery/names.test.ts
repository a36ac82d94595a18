import assert from "node:assert/strict";
import { test } from "node:test";
import * as names from "./names.ts";

test("DNS labels and subdomains are told from what is none", () => {
  assert.deepEqual(names.isDns1123Label("a-1"), []);
  assert.deepEqual(names.isDns1123Label("a.b"), ["must not contain dots"]);
  assert.deepEqual(names.isDns1123Label("A"), [
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  ]);
  assert.deepEqual(names.isDns1123Label("a".repeat(64)), ["must be no more than 63 characters"]);
  assert.deepEqual(names.isDns1123Subdomain("a.b-c.d"), []);
  assert.equal(names.isDns1123Subdomain("a..b").length, 1);
  assert.equal(names.isDns1035Label("1a").length, 1);
  assert.deepEqual(names.isWildcardDns1123Subdomain("*.a.b"), []);
});

test("label keys and values follow upstream's rules", () => {
  for (const good of ["simple", "1234/5678", "example.com/Upper_Is.OK", "a".repeat(63)]) {
    assert.deepEqual(names.isQualifiedName(good), [], good);
  }
  for (const bad of ["a%", "a-", "only/one/slash", "Example.com/a", "/a", "a/", "a".repeat(64)]) {
    assert.notDeepEqual(names.isQualifiedName(bad), [], bad);
  }
  assert.deepEqual(names.isLabelValue(""), []);
  assert.equal(names.isLabelValue("-a").length, 1);
});

test("ports, path segments and config keys follow upstream's rules", () => {
  assert.deepEqual(names.isValidPortName("http-2"), []);
  assert.deepEqual(names.isValidPortName("8080"), ["must contain at least one letter (a-z)"]);
  assert.deepEqual(names.isValidPortNumber(0), ["must be between 1 and 65535, inclusive"]);
  assert.deepEqual(names.isPathSegmentName("a%b"), ["may not contain '%'"]);
  assert.deepEqual(names.isPathSegmentName(".."), ["may not be '..'"]);
  assert.deepEqual(names.isConfigMapKey("a.b"), []);
  assert.deepEqual(names.isConfigMapKey("..a"), ["must not start with '..'"]);
});
