import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { findSyntaxError } from "./json-syntax-error.ts";

test("complaints are in Go's words", () => {
  const cases: [string, string][] = [
    ["", "unexpected end of JSON input"],
    ['{"a":', "unexpected end of JSON input"],
    ["nope", "invalid character 'o' in literal null (expecting 'u')"],
    ["{a:1}", "invalid character 'a' looking for beginning of object key string"],
    ['{"a" 1}', "invalid character '1' after object key"],
    ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
    ['{"a":1 "b":2}', "invalid character '\"' after object key:value pair"],
    ["[1 2]", "invalid character '2' after array element"],
    ["[1,]", "invalid character ']' looking for beginning of value"],
    ["{}x", "invalid character 'x' after top-level value"],
    ['"\u0001"', "invalid character '\\x01' in string literal"],
    ['"\\x"', "invalid character 'x' in string escape code"],
    ['"\\u12"', "invalid character '\"' in \\u hexadecimal character escape"],
    ["[1.]", "invalid character ']' after decimal point in numeric literal"],
    ["[1e]", "invalid character ']' in exponent of numeric literal"],
    ["{'a':1}", "invalid character '\\'' looking for beginning of object key string"],
  ];

  for (const [text, message] of cases) assert.equal(findSyntaxError(Buffer.from(text)), message, text);
});

test("there is a complaint exactly where the platform's parser refuses", () => {
  const text = fc.oneof(
    fc.json(),
    fc.string(),
    fc.array(fc.constantFrom(...'{}[]",:0123.eE+-tfn \\u'.split(""))).map((all) => all.join("")),
  );
  const check = fc.property(text, (each) => {
    let isJson = true;
    try {
      JSON.parse(each);
    } catch {
      isJson = false;
    }
    assert.equal(findSyntaxError(Buffer.from(each)) === undefined, isJson);
  });

  fc.assert(check, { numRuns: 300, seed: 7 });
});
