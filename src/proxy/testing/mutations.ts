/**
 * Requests with mistakes, the same in each run: for comparing parsers.
 */
import { honestRequests, smugglingVectors } from "./smuggling-vectors.ts";

/** As many honest ones as bad ones: only who takes something can take it differently. */
const ground: readonly string[] = [
  ...Array.from({ length: 8 }, () => honestRequests).flat(),
  ...smugglingVectors.map(({ bytes }) => bytes),
];

const snippets: readonly string[] = [
  ...'\r\n|\n|\r| |\t|:|;|,|\0|\x7f|\xff|0|1|f|0x|+|-|\v|\x0c|"|\\|chunked|identity|HTTP/1.0|HTTP/1.1|;a=b'.split("|"),
  "Content-Length: 3\r\n",
  "Content-Length: 0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: gzip\r\n",
  "Connection: close\r\n",
  "Upgrade: websocket\r\n",
  "Host: b\r\n",
  "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
  "0\r\n\r\n",
  "3\r\nabc\r\n",
  " \r\n",
  "\r\n\r\n",
];

/** `count` requests, each with one to three mistakes. */
export function mutations(seed: number, count: number): string[] {
  return mutated(ground, seed, count);
}

/** `count` of `ground`, each with one to three mistakes. */
export function mutated(ground: readonly string[], seed: number, count: number): string[] {
  const next = numbers(seed);
  return Array.from({ length: count }, () => mutate(ground[next(ground.length)] ?? "", next));
}

/** mulberry32. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function mutate(text: string, next: (below: number) => number): string {
  let result = text;
  for (let left = 1 + next(3); left > 0; left--) {
    const at = next(result.length + 1);
    const cut = next(4) === 0 ? next(6) : 0;
    const put = next(3) === 0 ? String.fromCharCode(next(256)) : (snippets[next(snippets.length)] ?? "");
    result = result.slice(0, at) + (next(6) === 0 ? "" : put) + result.slice(at + cut);
  }
  return result;
}
