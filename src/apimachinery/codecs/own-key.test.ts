import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { StatusError } from "#apimachinery/status-error.ts";
import { takeAtOnce } from "#apimachinery/steps.ts";
import { applyJsonPatch } from "#apimachinery/patch/json-patch.ts";
import { parseJsonSteps } from "./json-pieces.ts";
import { parseJson } from "./json-text.ts";
import { parseYaml } from "./yaml-text.ts";

const isRefused = (error: unknown): boolean =>
  error instanceof StatusError && error.code === 400 && /a key ends with a backslash/.test(error.message);

suite("a key that ends with a backslash", () => {
  const texts = [
    String.raw`{"a":{},"\\":{}}`,
    String.raw`{"a":{},"x\\" : 1}`,
    String.raw`{"a":{"b":[{"c":1,"x\n\\\\\\":{}}]}}`,
    String.raw`{"a":{},"x\u005c":{}}`,
    String.raw`{"a":{},"x\u005C":{}}`,
  ];
  for (const text of texts) {
    test(`is refused in ${text}, at once and in steps`, () => {
      assert.throws(() => parseJson(Buffer.from(text)), isRefused);
      const large = Buffer.from(text.replace("{", `{"filler":"${"x".repeat(40_000)}",`));
      assert.throws(() => takeAtOnce(parseJsonSteps(large)), isRefused);
    });
  }

  test("is refused in YAML, plain and quoted", async () => {
    await assert.rejects(parseYaml(Buffer.from("a: 1\nx\\: 2\n")), isRefused);
    await assert.rejects(parseYaml(Buffer.from(String.raw`{"a": 1, "x\\": 2}`)), isRefused);
  });

  test("is refused in a JSON patch", () => {
    assert.throws(() => applyJsonPatch({}, [{ op: "add", path: "/x\\", value: 1 }]), isRefused);
  });
});

test("backslashes elsewhere are taken: within keys, in values, before a quote that does not end the text", () => {
  for (const text of [
    String.raw`{"^/v\\d+$":1,"C:\\dir":"C:\\","v:\"C:\\\\\"":{}}`,
    String.raw`{"list":["\\","x\\"],"\\n":"\\","x":"y\\" , "u005c":1}`,
    String.raw`{"last-applied":"{\"path\\\\\":\"a\"}","\"":1,"\t":2}`,
  ]) {
    const { value } = parseJson(Buffer.from(text));
    assert.equal(JSON.stringify(value), text.replaceAll(" ", ""));
    assert.deepEqual(takeAtOnce(parseJsonSteps(Buffer.from(text))).value, value);
  }
});
