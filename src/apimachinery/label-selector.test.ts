import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compileLabelSelector,
  formatLabelSelector,
  formatSelector,
  matchesLabelSelector,
  matchesSelector,
  validateLabelSelector,
} from "./label-selector.ts";
import { parseLabelSelector } from "./label-selector-parser.ts";

test("the string form is parsed and printed sorted by key", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["", ""],
    ["x=a,y=b,z=c", "x=a,y=b,z=c"],
    ["y==b, x", "x,y==b"],
    ["x!=a", "x!=a"],
    ["!x", "!x"],
    ["x in (b,a)", "x in (a,b)"],
    ["x notin ( a , b )", "x notin (a,b)"],
    ["x in ()", "x in ()"],
    ["x in (a,,b)", "x in (,a,b)"],
    ["x>1,z<5", "x>1,z<5"],
    ["x=", "x="],
    ["in=notin", "in=notin"],
    ["a.b/c=1", "a.b/c=1"],
  ];
  for (const [given, expected] of cases) assert.equal(formatSelector(parseLabelSelector(given)), expected, given);
});

test("wrong selectors are refused in upstream's words", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["x=a y=b", "found 'y', expected: ',' or 'end of string'"],
    ["x,", "found '', expected: identifier after ','"],
    [",x", "found ',', expected: !, identifier, or 'end of string'"],
    ["x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"],
    ["x in a", "unable to parse requirement: found 'a' expected: '('"],
    ["x in (a", "unable to parse requirement: found '', expected: ',' or ')'"],
    [
      "x>a",
      "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer",
    ],
  ];
  for (const [given, expected] of cases) {
    assert.throws(() => parseLabelSelector(given), { kind: "SelectorError", message: expected }, given);
  }
  assert.throws(
    () => parseLabelSelector("a_b/c=1"),
    /unable to parse requirement: <nil>: Invalid value: "a_b\/c": prefix/,
  );
  assert.throws(() => parseLabelSelector("x=-a"), /values\[0\]\[x\]: Invalid value: "-a": a valid label must be/);
});

test("selectors match as upstream: absent labels meet != and notin, never = and in", () => {
  const labels = { app: "web", tier: "front", version: "3" };
  const yes = ["", "app=web", "app in (web,db)", "!old", "old!=1", "old notin (1)", "version>2,version<4", "app"];
  const no = ["app=db", "old", "old=1", "!app", "version>3", "app>1", "tier notin (front)"];
  for (const text of yes) assert.equal(matchesSelector(parseLabelSelector(text), labels), true, text);
  for (const text of no) assert.equal(matchesSelector(parseLabelSelector(text), labels), false, text);
});

test("an absent LabelSelector selects nothing, an empty one everything", () => {
  assert.equal(matchesLabelSelector(undefined, { a: "b" }), false);
  assert.equal(matchesLabelSelector({}, { a: "b" }), true);
  assert.equal(matchesSelector(compileLabelSelector(undefined), {}), false);
  const selector = { matchLabels: { a: "b" }, matchExpressions: [{ key: "c", operator: "In", values: ["e", "d"] }] };
  assert.equal(matchesLabelSelector(selector, { a: "b", c: "d" }), true);
  assert.equal(matchesLabelSelector(selector, { a: "b" }), false);
  assert.equal(formatLabelSelector(selector), "a=b,c in (d,e)");
  assert.equal(formatLabelSelector({}), "<none>");
});

test("validation names each wrong part of a LabelSelector", () => {
  const errors = validateLabelSelector(
    {
      matchLabels: { "a b": "c" },
      matchExpressions: [
        { key: "x", operator: "In" },
        { key: "x", operator: "Gt" },
      ],
    },
    "spec.selector",
  );
  assert.deepEqual(
    errors.map((error) => `${error.field} ${error.type}`),
    [
      "spec.selector.matchLabels FieldValueInvalid",
      "spec.selector.matchExpressions[0].values FieldValueRequired",
      "spec.selector.matchExpressions[1].operator FieldValueInvalid",
    ],
  );
});

test("labels named like object internals are ordinary labels", () => {
  assert.equal(matchesSelector(parseLabelSelector("constructor"), {}), false);
  assert.equal(matchesSelector(parseLabelSelector("!toString"), {}), true);
});

test("many requirements mean what each of them means", () => {
  const operators = ["=a", "!=a", " in (a,b)", " notin (a)", "", ">1"];
  const labels = [{}, { k0: "a" }, { k0: "b", k7: "a" }, { k0: "2", k3: "a", k4: "" }, undefined];
  // Requirements that hold for every object, so that it is the last of them that decides.
  const many = Array.from({ length: 300 }, (_, index) => `k${index}!=never`);
  let met = 0;
  for (const key of ["k0", "k3", "k299", "z"]) {
    for (const operator of [...operators, "not"]) {
      const one = operator === "not" ? `!${key}` : `${key}${operator}`;
      const selector = parseLabelSelector([...many, one].join(","));
      assert.ok(selector.needing !== undefined);
      for (const given of labels) {
        const expected = matchesSelector({ requirements: selector.requirements, matchesNothing: false }, given);
        assert.equal(matchesSelector(selector, given), expected, `${one} on ${JSON.stringify(given)}`);
        if (expected) met++;
      }
    }
  }
  assert.ok(met > 40 && met < 110, String(met));
});

test("a selector of thousands of requirements and values, parsed in steps, is in order and refused for the same reasons", () => {
  const names = Array.from({ length: 3000 }, (_, index) => `k${(index * 7919) % 3000}`);

  assert.equal(
    formatSelector(parseLabelSelector(`a in (${names.join(",")},k1)`)),
    `a in (${names.toSorted().join(",")})`,
  );
  assert.equal(
    formatSelector(parseLabelSelector(names.map((name) => `${name}!=v`).join(","))),
    names
      .toSorted()
      .map((name) => `${name}!=v`)
      .join(","),
  );
  assert.throws(
    () => parseLabelSelector(`a in (${names.join(",")},-x)`),
    /values\[0\]\[a\]: Invalid value: "-x": a valid label/,
  );
  assert.throws(() => parseLabelSelector(`-a in (${names.join(",")})`), /Invalid value: "-a"/);
});
