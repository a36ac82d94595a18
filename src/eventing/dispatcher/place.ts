/**
 * How far a subscription has come: all before `next` is done but for what is `open`, which is under way, waits for another try, or for its turn.
 */
export type Place = { readonly next: number /** Ascending. */; readonly open: readonly number[] };

/** As it is kept: numbers of seven bits a byte, each open position as its distance from the one before. */
export function placeToBytes({ next, open }: Place): Buffer {
  const bytes: number[] = [];
  push(bytes, next);
  let before = 0;
  for (const position of open) {
    push(bytes, position - before);
    before = position;
  }
  return Buffer.from(bytes);
}

/** The place that {@link placeToBytes} wrote. */
export function placeFromBytes(bytes: Uint8Array): Place {
  const numbers: number[] = [];
  let [value, factor] = [0, 1];
  for (const byte of bytes) {
    value += (byte & 0x7f) * factor;
    factor *= 128;
    if (byte >= 0x80) continue;
    numbers.push(value);
    [value, factor] = [0, 1];
  }
  const [next = 1, ...distances] = numbers;
  let position = 0;
  return { next, open: distances.map((distance) => (position += distance)) };
}

function push(bytes: number[], value: number): void {
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
}
