import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { CesqlParseError } from "./cesql-error.ts";
import { compileCesql } from "./compile.ts";
import { compileLike } from "./like.ts";
import type { Value } from "./values.ts";

const event = new Map<string, Value>([
  ["specversion", "1.0"],
  ["id", "17"],
  ["source", "/orders/eu"],
  ["type", "order.created"],
  ["subject", "Müller 😀"],
  ["priority", 5],
  ["urgent", true],
  ["hop", "5"],
  ["123", "digits"],
]);

function value(text: string): Value {
  const result = compileCesql(text).evaluate(event);
  assert.equal(result.error, undefined, text);
  return result.value;
}

/** Expressions and what they give, without an error. */
function gives(cases: Readonly<Record<string, Value>>): void {
  for (const [text, expected] of Object.entries(cases)) assert.equal(value(text), expected, text);
}

/** Expressions, and the value and the error they give. */
function fails(cases: Readonly<Record<string, readonly [Value, string]>>): void {
  for (const [text, [expected, error]] of Object.entries(cases))
    assert.deepEqual(compileCesql(text).evaluate(event), { value: expected, error }, text);
}

function problem(text: string): string {
  try {
    compileCesql(text);
  } catch (error) {
    assert(error instanceof CesqlParseError, String(error));
    return error.message;
  }
  assert.fail(`${text} was taken`);
}

describe("a CESQL expression", () => {
  it("reads attributes in any case, with the types they have", () => {
    gives({
      id: "17",
      SUBJECT: "Müller 😀",
      priority: 5,
      urgent: true,
      "type = 'order.created'": true,
      "EXISTS 123a": false,
    });
  });

  it("has literals of three types", () => {
    gives({
      "'it\\'s'": "it's",
      "'it''s'": "it's",
      '"say \\"x\\""': 'say "x"',
      "'a\\b'": "a\\b",
      "+7": 7,
      "-2147483648": -2147483648,
    });
    gives({ tRuE: true, False: false, "''": "" });
  });

  it("computes with whole numbers of 32 bits, rounding towards zero", () => {
    gives({
      "1 + 2 * 3": 7,
      "(1 + 2) * 3": 9,
      "7 / -2": -3,
      "-7 % 3": -1,
      "4-1": 3,
      "4 -1": 3,
      "4 - -1": 5,
      "--4": 4,
      "0 % -5": 0,
    });
    gives({ "2147483647 + 1": -2147483648, "65536 * 65536": 0, "'5' + TRUE": 6, "-hop": -5 });
    fails({ "1 / 0": [0, "math"], "1 % 0": [0, "math"], "1 + 'x'": [0, "cast"] });
  });

  it("compares as its right side's type says", () => {
    gives({
      "hop = 5": true,
      "hop = '5'": true,
      "5 = hop": true,
      "urgent = 'TRUE'": false,
      "'TRUE' = urgent": true,
      "hop < 10": true,
    });
    gives({
      "'10' > '9'": true,
      "1 != 2": true,
      "1 <> 1": false,
      "2 >= 2": true,
      "'a' = 'A'": false,
      "1 < 2 = true": true,
    });
    fails({ "id = urgent": [false, "cast"], "'x' < 1": [false, "cast"] });
  });

  it("groups AND, OR and XOR from the right, and does not look where it need not", () => {
    gives({ "false AND false OR true": false, "(false AND false) OR true": true, "true XOR true XOR true": true });
    gives({ "false AND missing": false, "true OR 1 / 0 = 1": true, "NOT 'false' AND true": true });
    fails({ "true AND missing": [false, "missingAttribute"], "'x' OR true": [false, "cast"] });
  });

  it("binds NOT and minus tightest, then LIKE, then IN", () => {
    gives({
      "NOT EXISTS nothing": true,
      "NOT false = true": true,
      "- 2 + 3": 1,
      "NOT true LIKE 'f%'": true,
      "1 + 1 IN (1, 2)": 2,
    });
    gives({
      "id NOT LIKE '2%'": true,
      "id NOT IN ('1', '2')": true,
      "id IN (17, 'x')": true,
      "priority IN ('5')": true,
    });
    fails({ "priority IN ('x', 5)": [false, "cast"], "missing IN (1)": [false, "missingAttribute"] });
  });

  it("knows whether an attribute exists; required ones do", () => {
    gives({ "EXISTS subject": true, "EXISTS Nothing": false, "exists id": true, "EXISTS 123": true });
  });

  it("gives the zero value of whatever encloses an absent attribute", () => {
    fails({
      missing: [false, "missingAttribute"],
      "missing + 1": [0, "missingAttribute"],
      "1 / missing": [0, "missingAttribute"],
      "NOT missing": [false, "missingAttribute"],
      "missing LIKE '%'": [false, "missingAttribute"],
      "UPPER(missing)": ["", "missingAttribute"],
      "missing != 1": [false, "missingAttribute"],
    });
  });

  it("has functions on text that count characters, not halves of them", () => {
    gives({
      "LENGTH(subject)": 8,
      "right(subject, 1)": "😀",
      "LEFT(subject, 2)": "Mü",
      "LENGTH(12)": 2,
      "SUBSTRING('abc', -2, 1)": "b",
    });
    gives({
      "SUBSTRING('abc', 2)": "bc",
      "SUBSTRING('abc', 2, 9)": "bc",
      "SUBSTRING('abc', 0)": "",
      "SUBSTRING('', 0)": "",
      "LEFT('abc', 9)": "abc",
    });
    gives({
      "CONCAT()": "",
      "CONCAT(1, 'a', TRUE)": "1atrue",
      "CONCAT_WS('-', 1, 2)": "1-2",
      "CONCAT_WS('-')": "",
      "TRIM(' \t\u2003a b ')": "a b",
    });
    gives({ "lower('ÄB')": "äb", "UPPER('äb')": "ÄB", "ABS(-5)": 5 });
    fails({ "LEFT('abc', -1)": ["abc", "functionEvaluation"], "SUBSTRING('abc', 4)": ["", "functionEvaluation"] });
    fails({ "SUBSTRING('abc', 1, -1)": ["", "functionEvaluation"], "ABS(-2147483648)": [2147483647, "math"] });
  });

  it("casts between its types where that means something", () => {
    gives({
      "INT('+5')": 5,
      "INT(true)": 1,
      "BOOL(7)": true,
      "BOOL('FALSE')": false,
      "STRING(-1)": "-1",
      "IS_INT('x')": false,
      "IS_BOOL('True')": true,
    });
    fails({
      "INT('2147483648')": [0, "cast"],
      "INT('')": [0, "cast"],
      "INT('1.0')": [0, "cast"],
      "BOOL('yes')": [false, "cast"],
    });
  });

  it("names functions that do not exist, and gives an error when one is called", () => {
    assert.deepEqual(compileCesql("NOPE(1) OR LEFT('a')").missingFunctions, [
      "NOPE with 1 argument",
      "LEFT with 1 argument",
    ]);
    fails({ "CONCAT_WS()": [false, "missingFunction"], "LENGTH()": [false, "missingFunction"] });
  });

  it("that does not parse says where", () => {
    assert.match(problem("id = "), /unexpected end.* at position 6/);
    assert.match(problem("id ="), /at position 5/);
    assert.match(problem("id LIKE type"), /LIKE wants a string literal at position 9/);
    assert.match(problem("'open"), /no end at position 1/);
    assert.match(problem("id # 1"), /unexpected "#" at position 4/);
    assert.match(problem("2147483648 = 1"), /32 bits/);
    for (const text of [
      "",
      "(",
      ")",
      "id id",
      "ABC(",
      "f(1,)",
      "IN (1)",
      "id IN ()",
      "a_b = 1",
      "EXISTS 'x'",
      "EXISTS a_b",
      "f1(1)",
      "1x = +1x",
      "AND",
      "id LIKE",
    ])
      problem(text);
  });

  it("is bounded in length and depth", () => {
    assert.match(problem(`${"(".repeat(101)}1${")".repeat(101)}`), /nested deeper than 100/);
    assert.match(problem("NOT ".repeat(200)), /nested deeper/);
    assert.match(problem("x".repeat(8193)), /at most 8192/);
    assert.equal(value(Array.from({ length: 500 }, () => "true").join(" AND ")), true);
  });

  it("cannot fill the memory by doubling", () => {
    const doubled = "CONCAT(".repeat(1) + Array.from({ length: 900 }, () => "subject").join(",") + ")";
    assert.equal(compileCesql(`${doubled} = ''`).evaluate(event).error, undefined);
    const large = new Map(event).set("subject", "x".repeat(8000));
    assert.deepEqual(compileCesql(doubled).evaluate(large), { value: "", error: "functionEvaluation" });
  });

  it("never throws, whatever it says", () => {
    const words = fc.constantFrom(
      "id",
      "hop",
      "missing",
      "1",
      "-2",
      "'x'",
      "TRUE",
      "(",
      ")",
      "AND",
      "OR",
      "NOT",
      "=",
      "<",
      "+",
      "/",
      "IN",
      "LIKE",
      ",",
      "LENGTH",
      "EXISTS",
      "%",
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 12 }), (parts) => {
        const text = parts.join(" ");
        try {
          compileCesql(text).evaluate(event);
        } catch (error) {
          assert(error instanceof CesqlParseError, `${text}: ${String(error)}`);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("LIKE", () => {
  const cases: readonly (readonly [pattern: string, text: string, matches: boolean])[] = [
    ["abc", "abc", true],
    ["", "", true],
    ["", "a", false],
    ["%", "", true],
    ["a%", "ba", false],
    ["%a%b%", "xxaxxbxx", true],
    ["%a%b%", "b a", false],
    ["ab%ba", "aba", false],
    ["_", "😀", true],
    ["__", "😀", false],
    ["_%_", "a", false],
    ["%_b%", "ab", true],
    ["%_b%", "b", false],
    ["50\\%", "50%", true],
    ["50\\%", "50x", false],
    ["a\\_c", "abc", false],
    ["a\\b", "a\\b", true],
    [".*", "ab", false],
    ["%aab%", "aaab", true],
    ["a_c%e_g", "abcdexefg", true],
  ];

  for (const [pattern, text, matches] of cases) {
    it(`${matches ? "takes" : "does not take"} ${JSON.stringify(text)} for ${JSON.stringify(pattern)}`, () => {
      assert.equal(compileLike(pattern)(text), matches);
    });
  }

  it("says the same as the regular expression that it stands for", () => {
    const alphabet = fc.constantFrom("a", "b", "%", "_", "😀");
    const text = fc.array(fc.constantFrom("a", "b", "😀"), { maxLength: 12 }).map((all) => all.join(""));
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 7 }), text, (pattern, subject) => {
        const source = pattern.map((part) => (part === "%" ? ".*" : part === "_" ? "." : part)).join("");
        assert.equal(compileLike(pattern.join(""))(subject), new RegExp(`^${source}$`, "su").test(subject));
      }),
      { numRuns: 500 },
    );
  });

  it("takes no time that explodes", () => {
    const test = compileLike(`${"%a_".repeat(1000)}b`);
    const before = process.cpuUsage();

    assert.equal(test("a".repeat(8000)), false);

    const { user, system } = process.cpuUsage(before);
    assert(user + system < 200_000, `${user + system} µs`);
  });
});
