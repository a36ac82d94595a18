import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { constants, createDeflate } from "node:zlib";
import { spdyDictionary } from "./dictionary.ts";
import { HeaderReader, HeaderWriter } from "./header-block.ts";

test("the dictionary is the specification's", () => {
  const digest = createHash("sha256").update(spdyDictionary()).digest("hex");

  assert.equal(digest, "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02");
});

test("headers that a client compresses with the dictionary are read, block after block", async () => {
  const deflate = createDeflate({ dictionary: spdyDictionary(), flush: constants.Z_SYNC_FLUSH });
  const chunks: Buffer[] = [];
  deflate.on("data", (chunk: Buffer) => chunks.push(chunk));
  const compress = async (text: Buffer) => {
    chunks.length = 0;
    await new Promise((resolve) => deflate.write(text, resolve));
    return Buffer.concat(chunks);
  };
  const block = (name: string, value: string) => {
    const parts = [name, value].flatMap((word) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(word.length);
      return [length, Buffer.from(word)];
    });
    return Buffer.concat([Buffer.from([0, 0, 0, 1]), ...parts]);
  };
  const reader = new HeaderReader();

  assert.deepEqual([...(await reader.read(await compress(block("streamtype", "error"))))], [["streamtype", "error"]]);
  assert.deepEqual([...(await reader.read(await compress(block("Port", "80"))))], [["port", "80"]]);
  reader.close();
});

test("headers that are written can be read", async () => {
  const writer = new HeaderWriter();
  const reader = new HeaderReader();

  assert.deepEqual([...(await reader.read(writer.write(new Map())))], []);
  assert.deepEqual([...(await reader.read(writer.write(new Map([["A", "b"]]))))], [["a", "b"]]);
  reader.close();
});

test("a damaged block is refused", async () => {
  await assert.rejects(new HeaderReader().read(Buffer.from("not zlib")), /damaged/);
});
