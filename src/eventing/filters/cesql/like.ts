/**
 * LIKE patterns without regular expressions: `%` cuts a pattern into pieces, the first and last of which stand at the ends of the text and the others are looked for from left to right. Time is at worst the text's length
 * times the longest piece's.
 */

/** What a pattern's piece is made of; `undefined` is any one character. */
type Piece = readonly (string | undefined)[];

/** A test for one pattern. `\%` and `\_` are the characters themselves. */
export function compileLike(pattern: string): (text: string) => boolean {
  const pieces = piecesOf(pattern);
  const literals = pieces.map((piece) => (piece.includes(undefined) ? undefined : piece.join("")));
  if (literals.every((literal) => literal !== undefined)) return matchLiterals(literals);
  return (text) => matchPieces(pieces, Array.from(text));
}

function piecesOf(pattern: string): readonly Piece[] {
  const pieces: (string | undefined)[][] = [[]];
  const all = Array.from(pattern);
  for (let i = 0; i < all.length; i++) {
    const [character, next] = [all[i], all[i + 1]];
    if (character === "\\" && (next === "%" || next === "_")) {
      pieces.at(-1)?.push(next);
      i++;
    } else if (character === "%") pieces.push([]);
    else pieces.at(-1)?.push(character === "_" ? undefined : character);
  }
  return pieces;
}

function matchLiterals(literals: readonly string[]): (text: string) => boolean {
  const first = literals[0] ?? "";
  if (literals.length === 1) return (text) => text === first;
  const last = literals.at(-1) ?? "";
  const inner = literals.slice(1, -1).filter((literal) => literal !== "");
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
    let at = first.length;
    for (const literal of inner) {
      const found = text.indexOf(literal, at);
      if (found < 0) return false;
      at = found + literal.length;
    }
    return at <= text.length - last.length;
  };
}

function matchPieces(pieces: readonly Piece[], text: readonly string[]): boolean {
  const first = pieces[0] ?? [];
  if (pieces.length === 1) return text.length === first.length && isAt(first, text, 0);
  const last = pieces.at(-1) ?? [];
  const end = text.length - last.length;
  if (end < first.length || !isAt(first, text, 0) || !isAt(last, text, end)) return false;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    while (at + piece.length <= end && !isAt(piece, text, at)) at++;
    if (at + piece.length > end) return false;
    at += piece.length;
  }
  return true;
}

function isAt(piece: Piece, text: readonly string[], at: number): boolean {
  for (let i = 0; i < piece.length; i++) {
    const wanted = piece[i];
    if (wanted !== undefined && wanted !== text[at + i]) return false;
  }
  return true;
}
