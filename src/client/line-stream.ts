/**
 * Splits a byte stream into lines of JSON, as watches send them. A line may span many chunks and a chunk hold many lines.
 */

/** Yields the parsed lines of `chunks`. A last line without an end is dropped: its sender broke off. */
export async function* parseJsonLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown, void, void> {
  let pieces: Buffer[] = [];
  for await (const chunk of chunks) {
    let rest = asBuffer(chunk);
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      pieces.push(rest.subarray(0, end));
      const line = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
      pieces = [];
      rest = rest.subarray(end + 1);
      if (line.length > 0) yield JSON.parse(line.toString("utf8"));
    }
    if (rest.length > 0) pieces.push(rest);
  }
}

function asBuffer(chunk: Uint8Array): Buffer {
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
