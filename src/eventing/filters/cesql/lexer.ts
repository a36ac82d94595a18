/**
 * CESQL's words. Keywords and identifiers are of any case; a sign belongs to a number only where no operand stands before it, so `4 -1` is what it looks like.
 */
import { CesqlParseError } from "./cesql-error.ts";

export type Token = {
  readonly kind: "word" | "integer" | "string" | "symbol" | "end";
  /** Words in upper case, strings without their quotes, symbols as they are. */
  readonly text: string;
  readonly position: number;
};

const space = /[ \t\r\n]/;
const wordCharacter = /[A-Za-z0-9_]/;
const symbols = ["!=", "<>", ">=", "<=", "(", ")", ",", "*", "/", "%", "+", "-", "=", "<", ">"];

/** All words of `text` and an `end`. Throws {@link CesqlParseError}. */
export function tokenize(text: string): readonly Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; ) {
    const character = text[at] ?? "";
    if (space.test(character)) {
      at++;
      continue;
    }
    const { token, end } = tokenAt(text, at, tokens.at(-1));
    tokens.push(token);
    at = end;
  }
  tokens.push({ kind: "end", text: "", position: text.length });
  return tokens;
}

function tokenAt(text: string, at: number, before: Token | undefined): { readonly token: Token; readonly end: number } {
  const character = text[at] ?? "";
  if (character === "'" || character === '"') return stringAt(text, at, character);
  const isSigned = (character === "-" || character === "+") && !isOperand(before) && /[0-9]/.test(text[at + 1] ?? "");
  if (isSigned || wordCharacter.test(character)) return wordAt(text, at, isSigned);
  const symbol = symbols.find((known) => text.startsWith(known, at));
  if (symbol === undefined) throw new CesqlParseError(`unexpected ${JSON.stringify(character)}`, at);
  return { token: { kind: "symbol", text: symbol, position: at }, end: at + symbol.length };
}

function isOperand(token: Token | undefined): boolean {
  if (token === undefined) return false;
  if (token.kind === "word") return !["AND", "OR", "XOR", "NOT", "LIKE", "IN", "EXISTS"].includes(token.text);
  return token.kind !== "symbol" || token.text === ")";
}

function wordAt(text: string, at: number, isSigned: boolean): { readonly token: Token; readonly end: number } {
  let end = at + (isSigned ? 1 : 0);
  while (end < text.length && wordCharacter.test(text[end] ?? "")) end++;
  const word = text.slice(at, end);
  if (/^[+-]?[0-9]+$/.test(word)) return { token: { kind: "integer", text: word, position: at }, end };
  if (isSigned) throw new CesqlParseError(`${JSON.stringify(word)} is no number`, at);
  return { token: { kind: "word", text: word.toUpperCase(), position: at }, end };
}

/** A quote inside is written with a backslash before it, or twice. Any other backslash is itself: LIKE has a use for it. */
function stringAt(text: string, at: number, quote: string): { readonly token: Token; readonly end: number } {
  let value = "";
  for (let i = at + 1; i < text.length; i++) {
    const character = text[i] ?? "";
    const next = text[i + 1];
    if (character === "\\" && next !== undefined) {
      value += next === quote ? quote : character + next;
      i++;
    } else if (character === quote && next === quote) {
      value += quote;
      i++;
    } else if (character === quote) {
      return { token: { kind: "string", text: value, position: at }, end: i + 1 };
    } else {
      value += character;
    }
  }
  throw new CesqlParseError("a string has no end", at);
}
