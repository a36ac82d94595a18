import assert from "node:assert/strict";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { PackLog, TagReader } from "./pack-log.ts";

const time = "2026-01-01T00:00:00.000000000+00:00";
const mark = "\u001e";

describe("the log of a pack", () => {
  const folder = mkdtempSync(join(tmpdir(), "pack-log-"));
  after(() => rmSync(folder, { recursive: true }));
  let count = 0;

  function house(): {
    readonly path: string;
    readonly log: PackLog;
    readonly say: (text: string) => void;
    readonly of: (tag: string) => string;
  } {
    const own = join(folder, String(count++));
    mkdirSync(own);
    const path = join(own, "0.log");
    writeFileSync(path, "");
    const log = new PackLog({
      path,
      reopen: () => writeFileSync(path, ""),
      onFailure: (error) => assert.fail(String(error)),
    });
    const say = (text: string) => appendFileSync(path, `${time} stdout F ${text}\n`);
    return { path, log, say, of: (tag) => (existsSync(join(own, tag)) ? readFileSync(join(own, tag), "utf8") : "") };
  }
  const target = (path: string, tag: string) => join(path, "..", tag);

  it("gives each message to whose tag it has, in as many lines as it has", () => {
    const reader = new TagReader();
    const read = (text: string, stream = "stdout") => reader.read(`${time} ${stream} F ${text}`);

    assert.deepEqual(read(`${mark}aa hello ${mark}`), { tag: "aa", text: `${time} stdout F hello\n` });
    assert.equal(read(`${mark}aa first`)?.text, `${time} stdout F first\n`);
    assert.equal(read(`${mark}bb beside ${mark}`, "stderr")?.tag, "bb");
    assert.deepEqual(read(`last ${mark}`), { tag: "aa", text: `${time} stdout F last\n` });
    assert.equal(read(`${mark}aa ${mark}`)?.text, `${time} stdout F \n`);
  });

  it("leaves out what has no tag: the engine's own", () => {
    const reader = new TagReader();

    assert.equal(reader.read(`${time} stderr F workerd: error`), undefined);
    assert.equal(reader.read("no line of a log"), undefined);
    reader.read(`${time} stdout F ${mark}aa said ${mark}`);
    assert.equal(reader.read(`${time} stdout F after it`), undefined);
  });

  it("goes into the pods' own logs, begun anew when they are rotated", () => {
    const { path, log, say, of } = house();
    log.assign("aa", target(path, "aa"));
    say(`${mark}aa one ${mark}`);
    say(`${mark}zz of nobody ${mark}`);
    log.drain();
    renameSync(target(path, "aa"), target(path, "aa.old"));
    log.reopen("aa");
    say(`${mark}aa two ${mark}`);
    log.drain();
    log.stop();

    assert.equal(of("aa.old"), `${time} stdout F one\n`);
    assert.equal(of("aa"), `${time} stdout F two\n`);
  });

  it("is taken up by the next agent where the last one was, a half line included", () => {
    const { path, log, say, of } = house();
    log.assign("aa", target(path, "aa"));
    say(`${mark}aa one ${mark}`);
    appendFileSync(path, `${time} stdout F ${mark}aa tw`);
    log.drain();
    log.stop();
    appendFileSync(path, `o ${mark}\n`);
    const next = new PackLog({ path, reopen: () => {}, onFailure: (error) => assert.fail(String(error)) });
    next.assign("aa", target(path, "aa"));

    next.drain();
    next.stop();

    assert.equal(of("aa"), `${time} stdout F one\n${time} stdout F two\n`);
  });

  it("is begun anew when it has grown, and nothing of it is lost", () => {
    const { path, log, say, of } = house();
    log.assign("aa", target(path, "aa"));
    const long = "x".repeat(1000);
    for (let index = 0; index < 4300; index++) say(`${mark}aa ${long} ${mark}`);

    log.drain(); // reads all, and has it begun anew
    say(`${mark}aa after ${mark}`);
    log.drain();
    log.stop();

    assert.equal(of("aa").split("\n").length, 4302);
    assert.ok(readFileSync(path).length < 1000);
    assert.equal(existsSync(`${path}.old`), false);
  });
});
