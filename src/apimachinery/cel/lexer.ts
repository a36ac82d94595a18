/**
 * The words of a CEL expression.
 */
import { CelSyntaxError, type Literal } from "./syntax.ts";

/** A word: a literal with its value, a name, or an operator as it is written. */
export type Token =
  | { readonly type: "literal"; readonly at: number; readonly text: string; readonly value: Literal }
  | { readonly type: "name" | "operator" | "end"; readonly at: number; readonly text: string };

const SPACE = /(?:\s|\/\/[^\n]*)+/y;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const NUMBER = /0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)|\d+[uU]?/y;
const OPERATOR = /==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()[\]{}]/y;
const STRING =
  /([rR][bB]?|[bB][rR]?)?("""[^]*?(?<!\\)(?:\\\\)*"""|'''[^]*?(?<!\\)(?:\\\\)*'''|"(?:\\[^]|[^"\\\n])*"|'(?:\\[^]|[^'\\\n])*')/y;
const RAW_STRING = /([bB]?[rR][bB]?)("""[^]*?"""|'''[^]*?'''|"[^"\n]*"|'[^'\n]*')/y;
const MAX_INT = 2n ** 63n;

/** Splits an expression into words, the last of which is the end. */
export function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  for (;;) {
    at += matchAt(SPACE, text, at)?.[0].length ?? 0;
    if (at >= text.length) break;
    const token = nextToken(text, at);
    tokens.push(token);
    at += token.text.length;
  }
  return [...tokens, { type: "end", at: text.length, text: "<EOF>" }];
}

function nextToken(text: string, at: number): Token {
  const string = matchAt(RAW_STRING, text, at) ?? matchAt(STRING, text, at);
  if (string !== null) {
    return { type: "literal", at, text: string[0], value: stringValue(string[1] ?? "", string[2] as string, at) };
  }
  const number = matchAt(NUMBER, text, at);
  if (number !== null) return { type: "literal", at, text: number[0], value: numberValue(number[0]) };
  const name = matchAt(NAME, text, at);
  if (name !== null) return nameToken(name[0], at);
  const operator = matchAt(OPERATOR, text, at);
  if (operator !== null) return { type: "operator", at, text: operator[0] };
  throw new CelSyntaxError(`Syntax error: token recognition error at: '${text[at]}'`, at);
}

function nameToken(text: string, at: number): Token {
  if (text === "true" || text === "false") return { type: "literal", at, text, value: text === "true" };
  if (text === "null") return { type: "literal", at, text, value: null };
  return { type: text === "in" ? "operator" : "name", at, text };
}

/** Integers are checked for their range by the parser, which knows of a minus in front. */
function numberValue(text: string): Literal {
  if (/^0[xX]/.test(text) || /^\d+[uU]?$/.test(text)) {
    const isUnsigned = /[uU]$/.test(text);
    const value = BigInt(isUnsigned ? text.slice(0, -1) : text);
    return isUnsigned ? { unsigned: value } : value;
  }
  return Number(text);
}

/** True for what fits a signed 64-bit integer. */
export function isInt64(value: bigint): boolean {
  return value >= -MAX_INT && value < MAX_INT;
}

function stringValue(prefix: string, quoted: string, at: number): string | Uint8Array {
  const quotes = quoted.startsWith('"""') || quoted.startsWith("'''") ? 3 : 1;
  const body = quoted.slice(quotes, -quotes);
  const isRaw = /r/i.test(prefix);
  if (!/b/i.test(prefix)) return isRaw ? body : unescape(body, at);
  return isRaw ? new TextEncoder().encode(body) : bytesOf(body, at);
}

const ESCAPE = /\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([^]))/g;
const SIMPLE: Readonly<Record<string, string>> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
  "`": "`",
  "?": "?",
};

function unescape(body: string, at: number): string {
  return body.replace(ESCAPE, (_, hex, short, long, octal, simple) => {
    if (simple !== undefined) return simpleEscape(simple, at);
    const code = octal === undefined ? Number.parseInt(hex ?? short ?? long, 16) : Number.parseInt(octal, 8);
    if (code > 0x10ffff) throw new CelSyntaxError("Syntax error: invalid unicode code point", at);
    return String.fromCodePoint(code);
  });
}

function simpleEscape(letter: string, at: number): string {
  if (!Object.hasOwn(SIMPLE, letter)) throw new CelSyntaxError(`Syntax error: invalid escape '\\${letter}'`, at);
  return SIMPLE[letter] as string;
}

/** In bytes, \x and octal escapes are bytes, not code points. */
function bytesOf(body: string, at: number): Uint8Array {
  const bytes: number[] = [];
  let from = 0;
  for (const match of body.matchAll(ESCAPE)) {
    bytes.push(...new TextEncoder().encode(body.slice(from, match.index)));
    const [whole, hex, short, long, octal, simple] = match;
    if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else if (simple !== undefined) bytes.push(simpleEscape(simple, at).charCodeAt(0));
    else bytes.push(...new TextEncoder().encode(String.fromCodePoint(Number.parseInt((short ?? long) as string, 16))));
    from = match.index + whole.length;
  }
  bytes.push(...new TextEncoder().encode(body.slice(from)));
  return Uint8Array.from(bytes);
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}
