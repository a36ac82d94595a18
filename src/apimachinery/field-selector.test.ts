import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFieldSelector, matchesFields, parseFieldSelector, requiredFieldValue } from "./field-selector.ts";

test("field selectors are parsed, sorted, matched and printed", () => {
  const selector = parseFieldSelector("spec.nodeName=n1,metadata.name!=web,status.phase==Running");
  assert.equal(formatFieldSelector(selector), "metadata.name!=web,spec.nodeName=n1,status.phase=Running");
  assert.equal(matchesFields(selector, { "spec.nodeName": "n1", "status.phase": "Running" }), true);
  assert.equal(matchesFields(selector, { "spec.nodeName": "n2", "status.phase": "Running" }), false);
  assert.equal(requiredFieldValue(selector, "spec.nodeName"), "n1");
  assert.equal(requiredFieldValue(selector, "metadata.name"), undefined);
});

test("escapes stand for themselves and others are refused", () => {
  assert.equal(parseFieldSelector("a=b\\,c\\=d\\\\")[0]?.value, "b,c=d\\");
  assert.equal(formatFieldSelector(parseFieldSelector("a=b\\,c")), "a=b\\,c");
  assert.throws(() => parseFieldSelector("a=b\\x"), {
    message: "invalid field selector: invalid escape sequence: \\x",
  });
  assert.throws(() => parseFieldSelector("a=b=c"), {
    message: "invalid field selector: unescaped character in value: 61",
  });
  assert.throws(() => parseFieldSelector("abc"), { message: "invalid selector: 'abc'; can't understand 'abc'" });
});
