/**
 * PNG files of 8 bits a channel that are not interlaced, read and written with what an isolate has.
 */

/** Four bytes a pixel: red, green, blue, opacity. */
export type Picture = { readonly width: number; readonly height: number; readonly pixels: Uint8Array };

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** Channels by the colour type of the file: grey, red-green-blue, and both with opacity. */
const channelsOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 4: 2, 6: 4 };
const mostPixels = 50_000_000;

/** Throws for what is no such file. */
export async function decodePng(file: Uint8Array): Promise<Picture> {
  if (signature.some((byte, index) => file[index] !== byte)) throw new Error("this is no PNG file");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const channels = channelsOf[file[25] ?? -1];
  if (file[24] !== 8 || file[28] !== 0 || channels === undefined || width * height > mostPixels)
    throw new Error("only pictures of 8 bits a channel that are not interlaced are read");
  const parts: Uint8Array[] = [];
  for (let at = 8; at + 8 <= file.length; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...file.subarray(at + 4, at + 8));
    if (name === "IDAT") parts.push(file.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const lines = await pipe(parts, new DecompressionStream("deflate"));
  return { width, height, pixels: toPixels(unfilter(lines, width * channels, height, channels), channels) };
}

export async function encodePng({ width, height, pixels }: Picture): Promise<Uint8Array> {
  const lines = new Uint8Array(height * (width * 4 + 1));
  for (let y = 0; y < height; y++)
    lines.set(pixels.subarray(y * width * 4, (y + 1) * width * 4), y * (width * 4 + 1) + 1);
  const head = new Uint8Array(13);
  new DataView(head.buffer).setUint32(0, width);
  new DataView(head.buffer).setUint32(4, height);
  head.set([8, 6, 0, 0, 0], 8);
  const data = await pipe([lines], new CompressionStream("deflate"));
  return concat([
    new Uint8Array(signature),
    chunk("IHDR", head),
    chunk("IDAT", data),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

/** Each line says in its first byte from which neighbours its bytes were subtracted. */
function unfilter(lines: Uint8Array, lineBytes: number, height: number, step: number): Uint8Array {
  const out = new Uint8Array(lineBytes * height);
  for (let y = 0; y < height; y++) {
    const filter = lines[y * (lineBytes + 1)] ?? 0;
    for (let x = 0; x < lineBytes; x++) {
      const at = y * lineBytes + x;
      const left = x < step ? 0 : (out[at - step] ?? 0);
      const above = y === 0 ? 0 : (out[at - lineBytes] ?? 0);
      const corner = x < step || y === 0 ? 0 : (out[at - lineBytes - step] ?? 0);
      const guess = [0, left, above, (left + above) >> 1, nearest(left, above, corner)][filter] ?? 0;
      out[at] = (lines[y * (lineBytes + 1) + 1 + x] ?? 0) + guess;
    }
  }
  return out;
}

function nearest(left: number, above: number, corner: number): number {
  const guess = left + above - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - above), Math.abs(guess - corner)];
  return a <= b && a <= c ? left : b <= c ? above : corner;
}

function toPixels(bytes: Uint8Array, channels: number): Uint8Array {
  const pixels = new Uint8Array((bytes.length / channels) * 4);
  for (let from = 0, to = 0; from < bytes.length; from += channels, to += 4) {
    const grey = bytes[from] ?? 0;
    const colours = channels < 3 ? [grey, grey, grey] : bytes.subarray(from, from + 3);
    pixels.set(colours, to);
    pixels[to + 3] = channels % 2 === 0 ? (bytes[from + channels - 1] ?? 255) : 255;
  }
  return pixels;
}

function chunk(name: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) out[4 + i] = name.charCodeAt(i);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc(out.subarray(4, 8 + data.length)));
  return out;
}

function crc(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  return (value ^ 0xffffffff) >>> 0;
}

async function pipe(
  parts: readonly Uint8Array[],
  through: CompressionStream | DecompressionStream,
): Promise<Uint8Array> {
  const stream = new Blob(parts as BlobPart[]).stream().pipeThrough(through);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
