/**
 * Makes small pictures of large ones: an event brings a PNG file, the answer is an event with a PNG that is at most 64 pixels wide and high.
 */
import { decodePng, encodePng, type Picture } from "./png.ts";

const largest = 64;

export default {
  async fetch(request: Request): Promise<Response> {
    const key = request.headers.get("ce-subject") ?? "";
    if (request.headers.get("content-type") !== "image/png") return new Response("no picture", { status: 202 });
    const picture = await decodePng(new Uint8Array(await request.arrayBuffer()));
    const small = shrink(picture);
    console.log(`${key}: ${picture.width}x${picture.height} -> ${small.width}x${small.height}`);
    const headers = {
      "ce-specversion": "1.0",
      "ce-id": `${request.headers.get("ce-id")}-thumbnail`,
      "ce-source": "/thumbnails",
      "ce-type": "thumbnail.created",
      "ce-subject": encodeURIComponent(key),
      "content-type": "image/png",
    };
    return new Response(await encodePng(small), { headers });
  },
};

/** Each pixel is the mean of those that it stands for. */
function shrink(picture: Picture): Picture {
  const scale = Math.max(1, picture.width / largest, picture.height / largest);
  const width = Math.max(1, Math.floor(picture.width / scale));
  const height = Math.max(1, Math.floor(picture.height / scale));
  const pixels = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) pixels.set(mean(picture, x * scale, y * scale, scale), (y * width + x) * 4);
  return { width, height, pixels };
}

function mean({ width, height, pixels }: Picture, left: number, top: number, size: number): number[] {
  const sum = [0, 0, 0, 0];
  let count = 0;
  for (let y = Math.floor(top); y < Math.min(height, Math.ceil(top + size)); y++)
    for (let x = Math.floor(left); x < Math.min(width, Math.ceil(left + size)); x++) {
      count++;
      for (let channel = 0; channel < 4; channel++)
        sum[channel] = (sum[channel] ?? 0) + (pixels[(y * width + x) * 4 + channel] ?? 0);
    }
  return sum.map((value) => Math.round(value / count));
}
