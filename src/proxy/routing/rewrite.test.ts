import assert from "node:assert/strict";
import { test } from "node:test";
import { changeFields } from "./field-changes.ts";
import { compileCaptures } from "./regex.ts";
import { changePath, redirectLocation } from "./rewrite.ts";

test("a prefix is replaced and the rest of the path stays", () => {
  const change = (path: string, prefix: string, value: string) =>
    changePath(path, { kind: "prefix", value }, { path: { kind: "prefix", value: prefix }, captures: undefined });

  assert.equal(change("/foo/bar", "/foo", "/xyz"), "/xyz/bar");
  assert.equal(change("/foo/bar", "/foo", "/xyz/"), "/xyz/bar");
  assert.equal(change("/foo", "/foo", "/"), "/");
  assert.equal(change("/foo/", "/foo", "/"), "/");
  assert.equal(change("/foo/bar", "/foo", ""), "/bar");
  assert.equal(change("/bar", "/", "/xyz"), "/xyz/bar");
});

test("what a regular expression found goes into another path", () => {
  const pattern = "(?i:/shop(/|$)(.*))";
  const matched = { path: { kind: "regex", value: pattern }, captures: compileCaptures(pattern) } as const;
  const change = (path: string, value: string) => changePath(path, { kind: "captures", value }, matched);

  assert.equal(change("/shop/a/b", "/$2"), "/a/b");
  assert.equal(change("/Shop", "/$2"), "/");
  assert.equal(change("/shop/a", "/x$1$2/$3"), "/x/a/");
});

test("a redirect keeps what it does not change, and no port that the scheme implies", () => {
  const request = {
    scheme: "http",
    authority: "a.example:8080",
    path: { path: "/p", query: "?q" },
    matched: { path: { kind: "prefix", value: "/" }, captures: undefined },
  } as const;

  assert.equal(redirectLocation({ kind: "redirect" }, request), "http://a.example:8080/p?q");
  assert.equal(redirectLocation({ kind: "redirect", scheme: "https" }, request), "https://a.example/p?q");
  assert.equal(
    redirectLocation({ kind: "redirect", scheme: "https", port: 8443 }, request),
    "https://a.example:8443/p?q",
  );
  assert.equal(
    redirectLocation({ kind: "redirect", host: "b", port: 80, path: { kind: "full", value: "/x" } }, request),
    "http://b/x?q",
  );
});

test("fields are removed, then set, then added", () => {
  const fields = ["a", "1", "b", "2", "a", "3"];

  assert.deepEqual(changeFields(fields, { remove: ["b"], set: [["a", "4"]], add: [["a", "5"]] }), ["a", "4", "a", "5"]);
  assert.equal(changeFields(fields, undefined), fields);
});
