/**
 * What is wrong with a text that is no JSON, in the words of Go's encoding/json, which clients and their users know. Only for texts that the platform's parser
 * refused; nesting was bounded before.
 */

const unexpectedEnd = "unexpected end of JSON input";
const shortEscapes: Readonly<Record<number, string>> = {
  7: "\\a",
  8: "\\b",
  9: "\\t",
  10: "\\n",
  11: "\\v",
  12: "\\f",
  13: "\\r",
  39: "\\'",
};

/** The first complaint about the bytes; undefined where there is none. */
export function findSyntaxError(bytes: Uint8Array): string | undefined {
  try {
    new Scanner(bytes).document();
    return undefined;
  } catch (error) {
    if (error instanceof SyntaxComplaint) return error.message;
    throw error;
  }
}

class SyntaxComplaint extends Error {
  readonly kind = "SyntaxComplaint";
}

class Scanner {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  document(): void {
    this.#value();
    this.#skipSpace();
    if (this.#at < this.#bytes.length) throw this.#wrong("after top-level value");
  }

  #value(): void {
    this.#skipSpace();
    switch (this.#character()) {
      case "{":
        return this.#object();
      case "[":
        return this.#array();
      case '"':
        return this.#string();
      case "t":
        return this.#literal("true");
      case "f":
        return this.#literal("false");
      case "n":
        return this.#literal("null");
      default:
        if (!/[-0-9]/.test(this.#character())) throw this.#wrong("looking for beginning of value");
        return this.#number();
    }
  }

  #object(): void {
    this.#at++;
    this.#skipSpace();
    if (this.#takes("}")) return;
    for (;;) {
      this.#skipSpace();
      if (this.#character() !== '"') throw this.#wrong("looking for beginning of object key string");
      this.#string();
      this.#skipSpace();
      if (!this.#takes(":")) throw this.#wrong("after object key");
      this.#value();
      this.#skipSpace();
      if (this.#takes("}")) return;
      if (!this.#takes(",")) throw this.#wrong("after object key:value pair");
    }
  }

  #array(): void {
    this.#at++;
    this.#skipSpace();
    if (this.#takes("]")) return;
    for (;;) {
      this.#value();
      this.#skipSpace();
      if (this.#takes("]")) return;
      if (!this.#takes(",")) throw this.#wrong("after array element");
    }
  }

  #string(): void {
    this.#at++;
    while (!this.#takes('"')) {
      if (this.#takes("\\")) this.#escape();
      else if (this.#byte() < 0x20) throw this.#wrong("in string literal");
      else this.#at++;
    }
  }

  #escape(): void {
    if (!/["\\/bfnrtu]/.test(this.#character())) throw this.#wrong("in string escape code");
    if (!this.#takes("u")) {
      this.#at++;
      return;
    }
    for (let digit = 0; digit < 4; digit++) {
      if (!/[0-9a-fA-F]/.test(this.#character())) throw this.#wrong("in \\u hexadecimal character escape");
      this.#at++;
    }
  }

  #number(): void {
    this.#takes("-");
    if (!this.#takes("0")) this.#digits("in numeric literal");
    if (this.#at < this.#bytes.length && this.#takes(".")) this.#digits("after decimal point in numeric literal");
    if (this.#at < this.#bytes.length && /[eE]/.test(this.#character())) {
      this.#at++;
      if (!this.#takes("+")) this.#takes("-");
      this.#digits("in exponent of numeric literal");
    }
  }

  #digits(where: string): void {
    if (!/[0-9]/.test(this.#character())) throw this.#wrong(where);
    while (this.#at < this.#bytes.length && /[0-9]/.test(this.#character())) this.#at++;
  }

  #literal(word: string): void {
    for (const expected of word) {
      if (!this.#takes(expected)) throw this.#wrong(`in literal ${word} (expecting '${expected}')`);
    }
  }

  #skipSpace(): void {
    while (this.#at < this.#bytes.length && /[ \t\r\n]/.test(this.#character())) this.#at++;
  }

  #takes(character: string): boolean {
    if (this.#character() !== character) return false;
    this.#at++;
    return true;
  }

  #character(): string {
    return String.fromCharCode(this.#byte());
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new SyntaxComplaint(unexpectedEnd);
    return byte;
  }

  #wrong(where: string): SyntaxComplaint {
    return new SyntaxComplaint(`invalid character ${quote(this.#byte())} ${where}`);
  }
}

/** A byte as Go quotes it: 'a', '\n', '\x01'. Bytes of longer characters appear one by one. */
function quote(byte: number): string {
  const short = shortEscapes[byte];
  if (short !== undefined) return `'${short}'`;
  if (byte === 0x5c) return "'\\\\'";
  if (byte < 0x20 || byte === 0x7f) return `'\\x${byte.toString(16).padStart(2, "0")}'`;
  if ((byte >= 0x80 && byte <= 0xa0) || byte === 0xad) return `'\\u00${byte.toString(16)}'`;
  return `'${String.fromCharCode(byte)}'`;
}
