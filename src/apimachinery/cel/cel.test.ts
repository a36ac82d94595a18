import assert from "node:assert/strict";
import { test } from "node:test";
import type { Json } from "#apimachinery/meta.ts";
import type { JsonSchemaProps } from "#apimachinery/structural-schema/json-schema-props.ts";
import { fromJson } from "./json-values.ts";
import { CelProgram, compileCel } from "./program.ts";
import { DYN, type StaticType, typeOfSchema } from "./static-types.ts";
import { toJson } from "./values.ts";

/** What an expression gives as JSON, or the text of its error. */
function run(text: string, self: Json = {}, schema?: JsonSchemaProps): Json {
  const type = schema === undefined ? DYN : (typeOfSchema(schema) as StaticType);
  const program = compileCel(text, new Map([["self", type]]));
  if (typeof program === "string") return program;
  const { value } = program.run(new Map([["self", fromJson(self, schema)]]));
  return value instanceof Error ? `error: ${value.message}` : toJson(value);
}

function allTrue(expressions: readonly string[], self?: Json, schema?: JsonSchemaProps): void {
  for (const text of expressions) assert.equal(run(text, self, schema), true, text);
}

test("operators follow precedence, types and the limits of integers", () => {
  allTrue([
    "1 + 2 * 3 == 7",
    "(1 + 2) * 3 == 9",
    "-3 / 2 == -1 && -3 % 2 == -1",
    "7.0 / 2.0 == 3.5",
    "3u + 4u == 7u",
    "dyn(1) == 1.0",
    "1 < 2.5 && 2u > 1",
    "'a' + 'b' == 'ab' && b'a' + b'b' == b'ab'",
    "[1, 2] + [3] == [1, 2, 3]",
    "{'a': 1}.a == 1 && {1: 'x'}[1] == 'x'",
    "'a' in ['a', 'b'] && 'k' in {'k': 1} && !(3 in [1])",
    "true ? true : false",
    "!!true && !false",
    "-1 == 0 - 1 && - -1 == 1",
    "0x1F == 31 && 1e3 == 1000.0 && .5 == 0.5",
    "r'a\\d' == 'a\\\\d' && 'a\\x41\\u00e9\\101' == 'aAéA' && '''a'b''' == \"a'b\"",
    "null == null && type(1) == int && type('') == string",
    "// a comment\n true",
  ]);
  assert.equal(run("9223372036854775807 + 1"), "error: integer overflow");
  assert.equal(run("1 / 0"), "error: division by zero");
  assert.equal(run("dyn('a') < 1"), "error: no such overload");
});

test("an error does not matter where the other side decides", () => {
  allTrue(["true || 1 / 0 > 0", "1 / 0 > 0 || true", "!(false && 1 / 0 > 0)", "!(1 / 0 > 0 && false)"]);
  assert.equal(run("false || 1 / 0 > 0"), "error: division by zero");
  allTrue(["[1, 0].exists(x, 2 / x == 2)", "[0, 1].exists(x, 2 / x == 2)"]);
  assert.equal(run("[0, 1].all(x, 2 / x == 2)"), "error: division by zero");
});

test("macros walk lists and maps", () => {
  const self = {
    list: [
      { name: "a", n: 1 },
      { name: "b", n: 2 },
    ],
    map: { x: 1, y: 2 },
  };
  allTrue(
    [
      "self.list.all(e, e.n > 0) && !self.list.all(e, e.n > 1)",
      "self.list.exists_one(e, e.name == 'a')",
      "self.list.map(e, e.name) == ['a', 'b']",
      "self.list.map(e, e.n > 1, e.name) == ['b']",
      "self.list.filter(e, e.n == 1)[0].name == 'a'",
      "self.map.all(k, k in ['x', 'y']) && self.map.exists(k, self.map[k] == 2)",
      "self.map.all(k, v, v > 0) && self.list.exists(i, e, i == 1 && e.name == 'b')",
      "self.map.transformMap(k, v, v * 2).y == 4 && self.list.transformList(i, e, i) == [0, 1]",
      "has(self.list) && !has(self.none) && has(self.map.x)",
      "cel.bind(n, size(self.list), n == 2 && n < 3)",
      "self.list.all(e, self.list.exists(f, f.name == e.name))",
    ],
    self,
  );
});

test("optional values carry what may be missing", () => {
  const self = { a: { b: 1 } };
  allTrue(
    [
      "self.?a.?b.orValue(0) == 1",
      "self.?x.?b.orValue(7) == 7",
      "self.?x.hasValue() == false && self.?a.hasValue()",
      "self.?a.optMap(a, a.b + 1).value() == 2",
      "[?self.?x, 2] == [2] && {?'k': self.?x} == {}",
      "optional.none().or(optional.of(1)).value() == 1",
      "optional.ofNonZeroValue('') == optional.none()",
      "[1, 2][?5].orValue(3) == 3",
    ],
    self,
  );
  assert.equal(run("optional.none().value()"), "error: optional.none() dereference");
});

test("strings, regular expressions and formatting", () => {
  allTrue([
    "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')",
    "'abc'.matches('^a.c$') && matches('xabcx', 'abc')",
    "'abc123'.find('[0-9]+') == '123' && 'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a1b22'.findAll('[0-9]+', 1) == ['1']",
    "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && ['a', 'b'].join('-') == 'a-b'",
    "'TacoCat'.lowerAscii() == 'tacocat' && 'x'.upperAscii() == 'X'",
    "'hello hello'.replace('he', 'we', 1) == 'wello hello' && 'hello'.replace('l', 'L') == 'heLLo'",
    "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco' && ' x '.trim() == 'x'",
    "'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3 && 'hello'.charAt(1) == 'e' && 'abc'.indexOf('z') == -1",
    "size('é€😀') == 3 && 'abc'.size() == 3 && 'abc'.reverse() == 'cba'",
    "'%s has %d of %.1f'.format(['x', 3, 2.25]) == 'x has 3 of 2.3' || '%s has %d'.format(['x', 3]) == 'x has 3'",
    "string(1) == '1' && int('42') == 42 && double('1.5') == 1.5 && bool('true') && string(b'ab') == 'ab' && uint(3) == 3u",
  ]);
});

test("lists, sets and math", () => {
  allTrue([
    "[1, 2, 3].sum() == 6 && [1, 3, 2].max() == 3 && [2, 1].min() == 1 && [1, 2].isSorted() && !['b', 'a'].isSorted()",
    "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1, 2, 1].distinct() == [1, 2]",
    "[[1], [2]].flatten() == [1, 2] && [3, 1].sort() == [1, 3] && [1, 2, 3].slice(1, 2) == [2]",
    "sets.contains([1, 2], [1]) && sets.equivalent([1, 2, 2], [2, 1]) && sets.intersects([1], [1, 2])",
    "math.greatest(1, 5, 3) == 5 && math.least([2, 1]) == 1 && math.abs(-2) == 2 && math.ceil(1.2) == 2.0",
  ]);
});

test("times", () => {
  allTrue([
    "duration('1h30m') == duration('90m') && duration('90s').getMinutes() == 1 && duration('1.5s').getMilliseconds() == 500",
    "timestamp('2024-02-29T12:30:00Z').getDayOfYear() == 59 && timestamp('2024-02-29T12:30:00Z').getHours('+02:00') == 14",
    "timestamp('2024-01-01T00:00:00Z') + duration('24h') == timestamp('2024-01-02T00:00:00Z')",
    "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')",
    "string(timestamp('2024-01-01T00:00:00.5Z')) == '2024-01-01T00:00:00.5Z' && string(duration('90s')) == '90s'",
    "timestamp('2024-07-01T12:00:00Z').getHours('Europe/Berlin') == 14",
  ]);
});

test("Kubernetes' libraries: addresses, URLs, quantities, versions, formats", () => {
  allTrue([
    "isIP('10.0.0.1') && !isIP('10.0.0') && ip('10.0.0.1').family() == 4 && ip('::1').isLoopback() && ip('2001:db8::1').family() == 6",
    "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::1') && string(ip('2001:0:0:1::1')) == '2001:0:0:1::1'",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1')) && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8 && cidr('10.0.0.0/8').ip() == ip('10.0.0.0')",
    "ip('169.254.1.1').isLinkLocalUnicast() && ip('8.8.8.8').isGlobalUnicast() && !ip('127.0.0.1').isGlobalUnicast() && ip('0.0.0.0').isUnspecified()",
    "isURL('https://a.example:80/x?k=v') && !isURL('../relative') && url('https://a.example:80/x?k=v').getPort() == '80'",
    "url('https://[::1]:80/p').getHostname() == '::1' && url('https://a/x?k=v&k=w').getQuery()['k'] == ['v', 'w'] && url('/path').getScheme() == ''",
    "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('500m').add(quantity('0.5')) == quantity('1') && isQuantity('1Ki') && !isQuantity('x')",
    "quantity('50k').asInteger() == 50000 && quantity('1').sub(2).sign() == -1 && quantity('1').compareTo(quantity('1000m')) == 0",
    "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.2.3-rc.1').isLessThan(semver('1.2.3')) && semver('v1.2', true).minor() == 2 && !isSemver('1.2')",
    "!format.dns1123Label().validate('my-name').hasValue() && format.dns1123Label().validate('My').hasValue()",
    "format.named('uuid').value().validate('x').value() == ['does not match the UUID format']",
  ]);
});

const SCHEMA: JsonSchemaProps = {
  type: "object",
  properties: {
    replicas: { type: "integer" },
    ratio: { type: "number" },
    names: { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" } },
    "my-field": { type: "string" },
    if: { type: "string" },
    at: { type: "string", format: "date-time" },
    port: { "x-kubernetes-int-or-string": true },
    labels: { type: "object", additionalProperties: { type: "string" } },
    inner: { type: "object", properties: { a: { type: "integer" } } },
  },
};

test("values follow their schema", () => {
  const self = {
    replicas: 3,
    ratio: 2,
    names: ["a", "b"],
    "my-field": "x",
    if: "y",
    at: "2024-01-01T00:00:00Z",
    port: "http",
    labels: { "a-b": "c" },
    inner: { a: 1 },
  };
  allTrue(
    [
      "self.replicas == 3 && self.ratio == 2.0 && type(self.ratio) == double",
      "self.names == ['b', 'a'] || self.names.all(n, n in ['a', 'b'])",
      "self.my__dash__field == 'x' && self.__if__ == 'y'",
      "self.at < timestamp('2024-01-01T00:00:01Z')",
      "type(self.port) == string ? self.port == 'http' : self.port > 0",
      "self.labels['a-b'] == 'c' && 'a-b' in self.labels",
      "has(self.inner.a) && self.inner.a == 1",
      "(self.names + ['b']).size() == 2",
    ],
    self,
    SCHEMA,
  );
});

test("what can be known to be wrong is said before anything runs, with its place", () => {
  const problem = (text: string): string => String(run(text, {}, SCHEMA));
  assert.equal(problem("self.z == 1"), "ERROR: <input>:1:5: undefined field 'z'\n | self.z == 1\n | ....^");
  assert.match(problem("self.replicas == 'a'"), /found no matching overload for '_==_' applied to '\(int, string\)'/);
  assert.match(
    problem("self.replicas + 1.0 > 2.0"),
    /found no matching overload for '_\+_' applied to '\(int, double\)'/,
  );
  assert.match(problem("self.replicas > 'a'"), /no matching overload for '_>_'/);
  assert.match(problem("other.x"), /undeclared reference to 'other'/);
  assert.match(problem("foo(1)"), /undeclared reference to 'foo'/);
  assert.match(problem("self.replicas.all(x, true)"), /cannot be range of a comprehension/);
  assert.match(problem("self.replicas && true"), /expected type 'bool' but found 'int'/);
  assert.match(problem("self.replicas +"), /Syntax error: mismatched input '<EOF>'/);
  assert.match(problem("self.replicas # 2"), /Syntax error: token recognition error at: '#'/);
  assert.match(problem("'a' == \n 'b' + (1"), /ERROR: <input>:2:10/);
  assert.match(problem("(".repeat(300)), /recursion limit exceeded/);
});

test("a run ends when it costs too much", () => {
  const program = new CelProgram("self.all(x, self.all(y, self.all(z, x + y + z >= 0)))", new Map([["self", DYN]]));
  const self = fromJson(Array.from({ length: 200 }, (_, index) => index));
  const { value } = program.run(new Map([["self", self]]));
  assert.equal((value as Error).message, "operation cancelled: actual cost limit exceeded");
});

test("the check estimates the most that a rule costs", () => {
  const cost = (text: string): number =>
    new CelProgram(text, new Map([["self", typeOfSchema(SCHEMA) as StaticType]])).checked.cost;
  assert.ok(cost("self.replicas > 1") < 100);
  assert.ok(cost("self.names.all(x, self.names.all(y, x == y))") > 1e9);
});
