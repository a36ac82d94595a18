/**
 * Parser of the string form of label selectors. Grammar and error texts as in apimachinery's pkg/labels:
 * `x`, `!x`, `x=a`, `x==a`, `x!=a`, `x in (a,b)`, `x notin (a,b)`, `x>1`, `x<1`, joined by commas.
 */
import {
  everything,
  needsLabel,
  newRequirement,
  type Requirement,
  type Selector,
  SelectorError,
  type SelectorOperator,
  sortByKey,
} from "./label-selector.ts";
import { isLabelValue, isQualifiedName } from "./names.ts";
import { sortSteps } from "./sort-steps.ts";
import { takeAtOnce } from "./steps.ts";

type TokenKind = "error" | "end" | "identifier" | "operator" | "word" | "(" | ")" | "," | "!";
type Token = { readonly kind: TokenKind; readonly text: string };

const OPERATORS = new Map<string, SelectorOperator>([
  ["=", "="],
  ["==", "=="],
  ["!=", "!="],
  [">", "gt"],
  ["<", "lt"],
  ["in", "in"],
  ["notin", "notin"],
]);

/** Parses the string form. An empty text selects everything. Throws {@link SelectorError}. */
export function parseLabelSelector(text: string): Selector {
  return takeAtOnce(parseLabelSelectorSteps(text));
}

/** {@link parseLabelSelector} in steps: a text of a megabyte holds a hundred thousand requirements or values. */
export function* parseLabelSelectorSteps(text: string): Generator<void, Selector> {
  const requirements = yield* new Parser(text).parse();
  if (requirements.length === 0) return everything;
  if (requirements.length <= STEP) return { requirements: sortByKey(requirements), matchesNothing: false };
  yield* sortSteps(requirements, ({ key }) => key);
  let needing = 0;
  for (const requirement of requirements) if (needsLabel(requirement)) needing++;
  return { requirements, matchesNothing: false, needing };
}

/** A requirement whose list of values comes next. */
type Listed = { readonly key: string; readonly operator: "in" | "notin" };

/** Requirements and values of a step. */
const STEP = 100;

class Parser {
  readonly #text: string;
  #at = 0;
  #ahead: Token | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  *parse(): Generator<void, Requirement[]> {
    const requirements: Requirement[] = [];
    for (;;) {
      if (requirements.length % STEP === STEP - 1) yield;
      const token = this.#peek();
      if (token.kind === "end") return requirements;
      if (!startsRequirement(token)) {
        throw new SelectorError(`found '${token.text}', expected: !, identifier, or 'end of string'`);
      }
      try {
        // Few have a list of values; without a generator for each of the others, a hundred thousand leave less to collect.
        const begun = this.#begin();
        requirements.push("values" in begun ? begun : yield* this.#finish(begun));
      } catch (error) {
        if (!(error instanceof SelectorError)) throw error;
        throw new SelectorError(`unable to parse requirement: ${error.message}`, { cause: error });
      }
      const after = this.#next();
      if (after.kind === "end") return requirements;
      if (after.kind !== ",") {
        throw new SelectorError(`found '${after.text}', expected: ',' or 'end of string'`);
      }
      if (!startsRequirement(this.#peek())) {
        throw new SelectorError(`found '${this.#peek().text}', expected: identifier after ','`);
      }
    }
  }

  /** A requirement, but for the values of those that have a list. */
  #begin(): Requirement | Listed {
    let token = this.#next();
    const isNegated = token.kind === "!";
    if (isNegated) token = this.#next();
    if (!isIdentifier(token)) throw new SelectorError(`found '${token.text}', expected: identifier`);
    const key = token.text;
    const errors = isQualifiedName(key);
    if (errors.length > 0) {
      throw new SelectorError(`<nil>: Invalid value: ${JSON.stringify(key)}: ${errors.join("; ")}`);
    }
    const isAlone = this.#peek().kind === "end" || this.#peek().kind === ",";
    if (isNegated) return newRequirement(key, "!", []);
    if (isAlone) return newRequirement(key, "exists", []);
    const operator = this.#operator();
    return operator === "in" || operator === "notin"
      ? { key, operator }
      : newRequirement(key, operator, [this.#exactValue()]);
  }

  *#finish({ key, operator }: Listed): Generator<void, Requirement> {
    return yield* withValues(key, operator, [...(yield* this.#values())]);
  }

  #operator(): SelectorOperator {
    const token = this.#next();
    const operator = OPERATORS.get(token.text);
    if (operator === undefined || (token.kind !== "operator" && token.kind !== "word")) {
      throw new SelectorError(`found '${token.text}', expected: in, notin, =, ==, !=, gt, lt`);
    }
    return operator;
  }

  *#values(): Generator<void, ReadonlySet<string>> {
    const open = this.#next();
    if (open.kind !== "(") throw new SelectorError(`found '${open.text}' expected: '('`);
    const first = this.#peek();
    if (first.kind === ")") {
      this.#next();
      return new Set([""]);
    }
    if (!isIdentifier(first) && first.kind !== ",") {
      throw new SelectorError(`found '${first.text}', expected: ',', ')' or identifier`);
    }
    const values = yield* this.#identifiers();
    if (this.#next().kind !== ")") throw new SelectorError(`found '${first.text}', expected: ')'`);
    return values;
  }

  /** Stops before ")". Gaps between commas are empty values, as upstream has it. */
  *#identifiers(): Generator<void, ReadonlySet<string>> {
    const values = new Set<string>();
    for (let count = 1; ; count++) {
      if (count % STEP === 0) yield;
      const token = this.#next();
      const following = this.#peek();
      if (isIdentifier(token)) {
        values.add(token.text);
        if (following.kind === ")") return values;
        if (following.kind !== ",") throw new SelectorError(`found '${following.text}', expected: ',' or ')'`);
      } else if (token.kind === ",") {
        if (values.size === 0 || following.kind === "," || following.kind === ")") values.add("");
        if (following.kind === ")") return values;
      } else {
        throw new SelectorError(`found '${token.text}', expected: ',', or identifier`);
      }
    }
  }

  #exactValue(): string {
    const token = this.#peek();
    if (token.kind === "end" || token.kind === ",") return "";
    this.#next();
    if (!isIdentifier(token)) throw new SelectorError(`found '${token.text}', expected: identifier`);
    return token.text;
  }

  #peek(): Token {
    this.#ahead ??= this.#scan();
    return this.#ahead;
  }

  #next(): Token {
    const token = this.#peek();
    this.#ahead = undefined;
    return token;
  }

  // One token at a time: a selector may have hundreds of thousands.
  #scan(): Token {
    const text = this.#text;
    while (this.#at < text.length && isSpace(text, this.#at)) this.#at++;
    const start = this.#at;
    if (start >= text.length) return END;
    if (isSymbol(text, start)) {
      const symbol = SYMBOLS.get(text.slice(start, start + 2)) ?? SYMBOLS.get(text[start] as string);
      this.#at += symbol?.text.length ?? 1;
      return symbol ?? END;
    }
    while (this.#at < text.length && !isSymbol(text, this.#at) && !isSpace(text, this.#at)) this.#at++;
    const word = text.slice(start, this.#at);
    return { kind: word === "in" || word === "notin" ? "word" : "identifier", text: word };
  }
}

/** Many values are looked at in parts first, so that the whole need not be when nothing is wrong. */
function* withValues(key: string, operator: SelectorOperator, values: string[]): Generator<void, Requirement> {
  if (values.length <= STEP) return newRequirement(key, operator, values.sort());
  yield* sortSteps(values, (value) => value);
  for (let start = 0; start < values.length; start += STEP) {
    const part = values.slice(start, start + STEP);
    // What is wrong is told of all.
    if (!part.every((value) => isLabelValue(value).length === 0)) return newRequirement(key, operator, values);
    yield;
  }
  newRequirement(key, operator, values.slice(0, 2));
  return { key, operator, values };
}

const END: Token = { kind: "end", text: "" };

/** Longest match first: "==" and "!=" before "=" and "!". */
const SYMBOLS: ReadonlyMap<string, Token> = new Map(
  ["==", "!=", "=", "<", ">", "(", ")", ",", "!"].map((text) => {
    const isSyntax = text === "(" || text === ")" || text === "," || text === "!";
    return [text, { kind: isSyntax ? text : "operator", text }];
  }),
);

function isSymbol(text: string, at: number): boolean {
  switch (text.charCodeAt(at)) {
    case 0x21: // !
    case 0x28: // (
    case 0x29: // )
    case 0x2c: // ,
    case 0x3c: // <
    case 0x3d: // =
    case 0x3e: // >
      return true;
    default:
      return false;
  }
}

function isSpace(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code === 0x20 || (code >= 0x09 && code <= 0x0d) || (code > 0x7f && /\s/.test(text[at] as string));
}

function startsRequirement(token: Token): boolean {
  return isIdentifier(token) || token.kind === "!";
}

/** "in" and "notin" are also fine as keys and values. */
function isIdentifier(token: Token): boolean {
  return token.kind === "identifier" || token.kind === "word";
}
