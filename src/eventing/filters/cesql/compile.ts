/**
 * From a CESQL expression to a function: a parser by precedence whose every step gives a closure (`nodes.ts`), with the type of its value where that is known. Precedence and the right-to-left grouping of AND, OR and XOR, which share one
 * level, are the specification's grammar's (CESQLParser.g4), as Knative has them: `a AND b OR c` is `a AND (b OR c)`.
 */
import { CesqlParseError, type EvaluationError } from "./cesql-error.ts";
import { tokenize, type Token } from "./lexer.ts";
import {
  attributeNode,
  callNode,
  comparisonNode,
  existsNode,
  inNode,
  likeNode,
  literal,
  logicNode,
  mathNode,
  missingFunctionNode,
  negationNode,
  type Node,
  notNode,
} from "./nodes.ts";
import { parseInteger, type Run, type Value, type ValueType } from "./values.ts";

/** A compiled expression. */
export type Expression = {
  /** What it gives; "Any" when that depends on the event. */
  readonly type: ValueType | "Any";
  /** Functions it calls that do not exist: every event would fail there. */
  readonly missingFunctions: readonly string[];
  /** Never throws. */
  evaluate(attributes: Run["attributes"]): { readonly value: Value; readonly error?: EvaluationError };
  /** As a filter: true when it gives true without an error. */
  test(attributes: Run["attributes"]): boolean;
};

/** Longest expression, and how deep it may nest. */
export const expressionBounds = { characters: 8192, depth: 100 } as const;

/** Throws {@link CesqlParseError}. */
export function compileCesql(text: string): Expression {
  if (text.length > expressionBounds.characters)
    throw new CesqlParseError(`an expression has at most ${expressionBounds.characters} characters`, text.length);
  const parser = new Parser(tokenize(text));
  const { type, run } = parser.parse();
  return {
    type,
    missingFunctions: parser.missingFunctions,
    evaluate(attributes) {
      const state: Run = { attributes, error: undefined };
      const value = run(state);
      return state.error === undefined ? { value } : { value, error: state.error };
    },
    test(attributes) {
      const state: Run = { attributes, error: undefined };
      return run(state) === true && state.error === undefined;
    },
  };
}

class Parser {
  readonly missingFunctions: string[] = [];
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  parse(): Node {
    const node = this.#logic();
    if (this.#next.kind !== "end") throw this.#unexpected();
    return node;
  }

  get #next(): Token {
    return this.#tokens[this.#at] ?? { kind: "end", text: "", position: 0 };
  }

  #take(): Token {
    const token = this.#next;
    this.#at++;
    return token;
  }

  #is(kind: "word" | "symbol", ...texts: readonly string[]): boolean {
    return this.#next.kind === kind && texts.includes(this.#next.text);
  }

  #expect(symbol: string): void {
    if (!this.#is("symbol", symbol)) throw this.#unexpected(`${symbol} was expected`);
    this.#at++;
  }

  #unexpected(wanted = "an operand was expected"): CesqlParseError {
    const { kind, text, position } = this.#next;
    return new CesqlParseError(`unexpected ${kind === "end" ? "end" : JSON.stringify(text)}, ${wanted}`, position);
  }

  #nested<T>(parse: () => T): T {
    if (++this.#depth > expressionBounds.depth)
      throw new CesqlParseError(`nested deeper than ${expressionBounds.depth}`, this.#next.position);
    const node = parse();
    this.#depth--;
    return node;
  }

  #logic(): Node {
    const operands = [this.#comparison()];
    const operators: string[] = [];
    while (this.#is("word", "AND", "OR", "XOR")) {
      operators.push(this.#take().text);
      operands.push(this.#comparison());
    }
    return operands.reduceRight((right, left, index) => logicNode(operators[index] ?? "", left, right));
  }

  #comparison(): Node {
    let left = this.#additive();
    while (this.#is("symbol", "=", "!=", "<>", "<", "<=", ">", ">=")) {
      left = comparisonNode(this.#take().text, left, this.#additive());
    }
    return left;
  }

  #additive(): Node {
    let left = this.#multiplicative();
    while (this.#is("symbol", "+", "-")) left = mathNode(this.#take().text, left, this.#multiplicative());
    return left;
  }

  #multiplicative(): Node {
    let left = this.#membership();
    while (this.#is("symbol", "*", "/", "%")) left = mathNode(this.#take().text, left, this.#membership());
    return left;
  }

  #membership(): Node {
    let left = this.#likeness();
    for (;;) {
      const isNegated = this.#isNegated("IN");
      if (!isNegated && !this.#is("word", "IN")) return left;
      this.#at += isNegated ? 2 : 1;
      const found = inNode(left, this.#list(1));
      left = isNegated ? notNode(found) : found;
    }
  }

  #likeness(): Node {
    let left = this.#unary();
    for (;;) {
      const isNegated = this.#isNegated("LIKE");
      if (!isNegated && !this.#is("word", "LIKE")) return left;
      this.#at += isNegated ? 2 : 1;
      if (this.#next.kind !== "string") throw this.#unexpected("LIKE wants a string literal");
      const found = likeNode(left, this.#take().text);
      left = isNegated ? notNode(found) : found;
    }
  }

  #isNegated(word: string): boolean {
    const following = this.#tokens[this.#at + 1];
    return this.#is("word", "NOT") && following?.kind === "word" && following.text === word;
  }

  #unary(): Node {
    if (this.#is("word", "NOT")) {
      this.#at++;
      return notNode(this.#nested(() => this.#unary()));
    }
    if (this.#is("symbol", "-")) {
      this.#at++;
      return negationNode(this.#nested(() => this.#unary()));
    }
    return this.#primary();
  }

  #primary(): Node {
    const token = this.#next;
    if (token.kind === "string") return literal(this.#take().text);
    if (token.kind === "integer") return this.#integer();
    if (this.#is("symbol", "(")) {
      this.#at++;
      const node = this.#nested(() => this.#logic());
      this.#expect(")");
      return node;
    }
    if (token.kind !== "word") throw this.#unexpected();
    return this.#word();
  }

  #integer(): Node {
    const { text, position } = this.#take();
    const value = parseInteger(text);
    if (value === undefined) throw new CesqlParseError(`${text} is no whole number of 32 bits`, position);
    return literal(value);
  }

  #word(): Node {
    const { text, position } = this.#next;
    if (["AND", "OR", "XOR", "LIKE", "IN"].includes(text)) throw this.#unexpected();
    this.#at++;
    if (text === "TRUE" || text === "FALSE") return literal(text === "TRUE");
    if (text === "EXISTS") return existsNode(this.#attribute());
    if (this.#is("symbol", "(")) return this.#call(text, position);
    this.#at--;
    return attributeNode(this.#attribute());
  }

  #attribute(): string {
    const { kind, text } = this.#next;
    if ((kind !== "word" && kind !== "integer") || !/^[A-Z0-9]+$/.test(text))
      throw this.#unexpected("an attribute was expected");
    this.#at++;
    return text.toLowerCase();
  }

  #call(name: string, position: number): Node {
    if (!/^[A-Z][A-Z_]*$/.test(name))
      throw new CesqlParseError(`${JSON.stringify(name)} is no name of a function`, position);
    const args = this.#list(0);
    const node = callNode(name, args);
    if (node !== undefined) return node;
    this.missingFunctions.push(`${name} with ${args.length} argument${args.length === 1 ? "" : "s"}`);
    return missingFunctionNode();
  }

  #list(least: number): readonly Node[] {
    this.#expect("(");
    const nodes: Node[] = [];
    if (least === 0 && this.#is("symbol", ")")) {
      this.#at++;
      return nodes;
    }
    do nodes.push(this.#nested(() => this.#logic()));
    while (this.#is("symbol", ",") && this.#at++ >= 0);
    this.#expect(")");
    return nodes;
  }
}
