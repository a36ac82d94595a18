import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { takeAtOnce } from "#apimachinery/steps.ts";
import { countMembersSteps, parseJsonSteps } from "./json-pieces.ts";
import { countMembersOf, type JsonText, parseJson } from "./json-text.ts";

function inPieces(text: string): JsonText {
  return takeAtOnce(parseJsonSteps(Buffer.from(text)));
}

function outcome(parse: () => JsonText): unknown {
  try {
    return parse();
  } catch (error) {
    return (error as Error).message;
  }
}

/** Without those that are refused: see own-key.ts. Objects that have them would confuse the platform for the rest of the process. */
const keys = fc.oneof(
  fc.string().filter((key) => !key.endsWith("\\")),
  fc.constantFrom("__proto__", "a,b", 'a"b', "7"),
);

/** Long enough to be cut in several places, at any depth. */
const values = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(null, true, false, "x".repeat(9000), "__proto__", '"},{"[,'),
    fc.array(tie("value"), { maxLength: 30 }),
    fc.dictionary(keys, tie("value"), { maxKeys: 30 }),
  ),
})).value;

test("a text read in pieces is what it is read at once", () => {
  fc.assert(
    fc.property(fc.array(values, { minLength: 1, maxLength: 20 }), fc.nat(3), (value, indent) => {
      const text = JSON.stringify({ a: value, b: { c: value, d: 1 } }, null, indent);

      const read = inPieces(text);

      assert.deepEqual(read, parseJson(Buffer.from(text)));
      assert.equal(JSON.stringify(read.value), JSON.stringify(JSON.parse(text)));
    }),
    { numRuns: 60 },
  );
});

test("a text with something wrong in it is refused as it is at once", () => {
  const long = `{"a":${JSON.stringify(Array.from({ length: 4000 }, (_, index) => ({ name: `n${index}`, value: "v" })))},"b":{"c":[1,2]}}`;
  fc.assert(
    fc.property(
      fc.nat(long.length - 1),
      fc.constantFrom("", ",", "}", "]", "{", "[", '"', ":", " ", "x", "\\", "1"),
      (at, put) => {
        const text = long.slice(0, at) + put + long.slice(at + 1);

        assert.deepEqual(
          outcome(() => inPieces(text)),
          outcome(() => parseJson(Buffer.from(text))),
        );
      },
    ),
    { numRuns: 60 },
  );
});

test("commas where nothing stands are refused wherever the text is cut", () => {
  const items = Array(9000).fill("1").join(",");
  for (const text of [
    `[${items},]`,
    `[,${items}]`,
    `[${items},,1]`,
    `{"a":[${items}],}`,
    `{"a":[${items}],,"b":1}`,
    `[[${items}]1]`,
    `[[${items}]`,
    `[[${items}]]]`,
    `{"a" "b":[${items}]}`,
  ]) {
    assert.equal(typeof outcome(() => inPieces(text)), "string", text.slice(-10));
  }
});

test("keys that stand twice are counted, and the last one counts", () => {
  const padding = `"${"x".repeat(20_000)}"`;
  const text = `{"a":${padding},"b":{"a":1,"z":${padding},"y":2},"a":2,"b":{"c":${padding},"d":3}}`;

  assert.deepEqual(inPieces(text), { value: JSON.parse(text), memberCount: 9 });
});

test("members are as many counted in steps as at once", () => {
  fc.assert(
    fc.property(fc.array(values, { maxLength: 20 }), (value) => {
      const { value: read } = inPieces(JSON.stringify({ a: value, many: value }));

      assert.equal(takeAtOnce(countMembersSteps(read)), countMembersOf(read));
    }),
    { numRuns: 30 },
  );
});
