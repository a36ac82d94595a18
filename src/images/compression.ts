/**
 * Layers come plain, with gzip or with zstd. Which one is seen from the first bytes, because media types are not always true.
 */
import { PassThrough, type Readable, type Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

/** Copies `source` decompressed; errors of the source arrive at what is returned. */
export async function decompress(source: Readable): Promise<Readable> {
  const iterator = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head: Buffer = Buffer.alloc(0);
  while (head.length < 4) {
    const { done, value } = await iterator.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  const decoder = decoderFor(head);
  void feed(iterator, head, decoder);
  return decoder;
}

function decoderFor(head: Buffer): Transform {
  if (head[0] === 0x1f && head[1] === 0x8b) return createGunzip({ chunkSize: 1 << 18 });
  if (head.length >= 4 && head.readUInt32LE(0) === 0xfd2fb528) return createZstdDecompress({ chunkSize: 1 << 18 });
  return new PassThrough({ highWaterMark: 1 << 18 });
}

async function feed(iterator: AsyncIterator<Buffer>, head: Buffer, decoder: Transform): Promise<void> {
  try {
    for (let chunk: Buffer | undefined = head; chunk; ) {
      if (decoder.destroyed) break;
      if (chunk.length > 0 && !decoder.write(chunk)) await drained(decoder);
      const { done, value } = await iterator.next();
      chunk = done ? undefined : value;
    }
    decoder.end();
  } catch (error) {
    decoder.destroy(error as Error);
  } finally {
    await iterator.return?.().catch(() => {}); // whoever reads the decoder has heard it
  }
}

function drained(decoder: Transform): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      decoder.off("drain", done).off("close", done);
      resolve();
    };
    decoder.on("drain", done).on("close", done);
  });
}
