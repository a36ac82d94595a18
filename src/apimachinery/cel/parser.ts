/**
 * Parses CEL expressions: the grammar of the language's definition, with optional selection (`a.?b`, `a[?b]`).
 */
import { isInt64, type Token, tokenize } from "./lexer.ts";
import { CelSyntaxError, type Entry, type Expression, type Field, type Item, type Literal } from "./syntax.ts";

const MAX_DEPTH = 250;
const MAX_LENGTH = 100_000;
/** Binary operators from the weakest to the strongest, below && and ||. */
const LEVELS: readonly (readonly string[])[] = [
  ["==", "!=", "<", "<=", ">", ">=", "in"],
  ["+", "-"],
  ["*", "/", "%"],
];
const RESERVED = new Set(
  "as break const continue else for function if import let loop package namespace return var void while".split(" "),
);

/** Beginnings of names of types that have dots in them. */
const QUALIFIED =
  /^(?:google\.protobuf(?:\.(?:Timestamp|Duration))?|net\.(?:IP|CIDR)|kubernetes\.(?:URL|Quantity|Semver))$/;

/** The tree of an expression. Throws a CelSyntaxError. */
export function parseCel(text: string): Expression {
  if (text.length > MAX_LENGTH) throw new CelSyntaxError("expression code point size exceeds limit", 0);
  const parser = new Parser(tokenize(text));
  const expression = parser.expression();
  parser.end();
  return expression;
}

class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  end(): void {
    if (this.#token.type !== "end") this.#fail("<EOF>");
  }

  expression(): Expression {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) {
      throw new CelSyntaxError(`expression recursion limit exceeded: ${MAX_DEPTH}`, this.#token.at);
    }
    const test = this.#logical("||");
    const { at } = this.#token;
    const result = this.#accept("?") ? this.#conditional(test, at) : test;
    this.#depth -= 1;
    return result;
  }

  #conditional(test: Expression, at: number): Expression {
    const yes = this.#logical("||");
    this.#expect(":");
    return { kind: "conditional", at, test, yes, no: this.expression() };
  }

  #logical(operator: "||" | "&&"): Expression {
    const operand = (): Expression => (operator === "||" ? this.#logical("&&") : this.#binary(0));
    let left = operand();
    for (let { at } = this.#token; this.#accept(operator); { at } = this.#token) {
      left = { kind: operator === "||" ? "or" : "and", at, left, right: operand() };
    }
    return left;
  }

  #binary(level: number): Expression {
    const operators = LEVELS[level];
    if (operators === undefined) return this.#unary();
    let left = this.#binary(level + 1);
    for (;;) {
      const { type, text, at } = this.#token;
      if (type !== "operator" || !operators.includes(text)) return left;
      this.#next += 1;
      const right = this.#binary(level + 1);
      left = { kind: "call", at, name: text === "in" ? "@in" : `_${text}_`, target: undefined, args: [left, right] };
    }
  }

  #unary(): Expression {
    const { at } = this.#token;
    let nots = 0;
    while (this.#accept("!")) nots += 1;
    if (nots > 0) return this.#repeated("!_", nots, this.#member(), at);
    let minuses = 0;
    while (this.#accept("-")) minuses += 1;
    if (minuses === 0) return this.#member();
    const token = this.#token;
    if (token.type === "literal" && (typeof token.value === "bigint" || typeof token.value === "number")) {
      const { value } = token;
      this.#next += 1;
      return this.#repeated("-_", minuses - 1, this.#suffixes(literal(-value, at)), at);
    }
    return this.#repeated("-_", minuses, this.#member(), at);
  }

  #repeated(name: string, times: number, operand: Expression, at: number): Expression {
    if (times % 2 === 0) return operand;
    return { kind: "call", at, name, target: undefined, args: [operand] };
  }

  #member(): Expression {
    return this.#suffixes(this.#primary());
  }

  #suffixes(start: Expression): Expression {
    let operand = start;
    for (;;) {
      const { at } = this.#token;
      if (this.#accept(".")) operand = this.#selection(operand, at);
      else if (this.#accept("[")) {
        const isOptional = this.#accept("?");
        const key = this.expression();
        this.#expect("]");
        operand = { kind: "index", at, operand, key, isOptional };
      } else if (this.#token.text === "{" && this.#token.type === "operator" && typeName(operand) !== undefined) {
        operand = this.#struct(typeName(operand) as string, operand.at);
      } else return operand;
    }
  }

  #selection(operand: Expression, at: number): Expression {
    const isOptional = this.#accept("?");
    const name = this.#name();
    const call = this.#token.at;
    if (!isOptional && this.#accept("(")) {
      return { kind: "call", at: call, name, target: operand, args: this.#list(")", () => this.expression()) };
    }
    const type = isOptional || operand.kind !== "name" ? undefined : `${operand.name}.${name}`;
    if (type !== undefined && QUALIFIED.test(type)) return { kind: "name", at: operand.at, name: type };
    return { kind: "select", at, operand, field: name, isOptional };
  }

  #primary(): Expression {
    const token = this.#token;
    const { at } = token;
    if (token.type === "literal") {
      this.#next += 1;
      return literal(token.value, at);
    }
    if (this.#accept("(")) {
      const inner = this.expression();
      this.#expect(")");
      return inner;
    }
    if (this.#accept("[")) return { kind: "list", at, items: this.#list("]", () => this.#item()) };
    if (this.#accept("{")) return { kind: "map", at, entries: this.#list("}", () => this.#entry()) };
    this.#accept(".");
    if (this.#token.type !== "name") this.#fail("an expression");
    const name = this.#name();
    const call = this.#token.at;
    if (RESERVED.has(name)) throw new CelSyntaxError(`reserved identifier: ${name}`, at);
    if (!this.#accept("(")) return { kind: "name", at, name };
    return { kind: "call", at: call, name, target: undefined, args: this.#list(")", () => this.expression()) };
  }

  #struct(type: string, at: number): Expression {
    this.#expect("{");
    return { kind: "struct", at, type, fields: this.#list("}", () => this.#field()) };
  }

  #item(): Item {
    const isOptional = this.#accept("?");
    return { isOptional, value: this.expression() };
  }

  #entry(): Entry {
    const isOptional = this.#accept("?");
    const key = this.expression();
    this.#expect(":");
    return { isOptional, key, value: this.expression() };
  }

  #field(): Field {
    const isOptional = this.#accept("?");
    const name = this.#name();
    this.#expect(":");
    return { isOptional, name, value: this.expression() };
  }

  /** Elements up to `close`, which the opening stands before already. A comma may follow the last. */
  #list<T>(close: string, element: () => T): readonly T[] {
    const found: T[] = [];
    while (!this.#accept(close)) {
      found.push(element());
      if (this.#accept(",")) continue;
      this.#expect(close);
      break;
    }
    return found;
  }

  #name(): string {
    const { type, text } = this.#token;
    if (type !== "name" && text !== "in") this.#fail("IDENTIFIER");
    this.#next += 1;
    return text;
  }

  #accept(operator: string): boolean {
    const { type, text } = this.#token;
    if (type !== "operator" || text !== operator) return false;
    this.#next += 1;
    return true;
  }

  #expect(operator: string): void {
    if (!this.#accept(operator)) this.#fail(`'${operator}'`);
  }

  #fail(expected: string): never {
    const { text, at } = this.#token;
    throw new CelSyntaxError(`Syntax error: mismatched input '${text}' expecting ${expected}`, at);
  }

  get #token(): Token {
    return this.#tokens[this.#next] as Token;
  }
}

function literal(value: Literal, at: number): Expression {
  if (typeof value === "bigint" && !isInt64(value)) throw new CelSyntaxError("Syntax error: invalid int literal", at);
  return { kind: "literal", at, value };
}

/** A dotted name, as types of struct literals have. */
function typeName(expression: Expression): string | undefined {
  if (expression.kind === "name") return expression.name;
  if (expression.kind !== "select" || expression.isOptional) return undefined;
  const operand = typeName(expression.operand);
  return operand === undefined ? undefined : `${operand}.${expression.field}`;
}
