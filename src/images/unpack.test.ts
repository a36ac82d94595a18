import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, test } from "node:test";
import { type Header, pack } from "tar-stream";
import type { SpecialFiles } from "./special-files.ts";
import { unpackLayer } from "./unpack.ts";

describe("unpacking", () => {
  type Item = Partial<Header> & { readonly name: string; readonly content?: string };

  let folder: string;
  let root: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "nodeless-unpack-"));
    root = join(folder, "root");
    mkdirSync(root);
    writeFileSync(join(folder, "victim"), "untouched");
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function unpack(
    items: readonly Item[],
    options: { readonly lower?: readonly string[]; readonly specialFiles?: SpecialFiles } = {},
  ): Promise<void> {
    const archive = pack();
    for (const { content, ...header } of items)
      archive.entry({ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, ...header }, content ?? "");
    archive.finalize();
    const bytes: Buffer[] = [];
    for await (const chunk of archive as unknown as AsyncIterable<Buffer>) bytes.push(chunk);
    await unpackLayer({ archive: Readable.from(bytes), root, ...options });
  }

  /** Nothing outside of the root was made or changed. */
  function assertContained(): void {
    assert.deepEqual(readdirSync(folder).sort(), ["root", "victim"]);
    assert.equal(readFileSync(join(folder, "victim"), "utf8"), "untouched");
  }

  test("files, folders, links and modes arrive as they are in the archive", async () => {
    await unpack([
      { name: "bin/", type: "directory", mode: 0o751 },
      { name: "bin/su", mode: 0o4755, content: "x" },
      { name: "bin/other", type: "link", linkname: "bin/su" },
      { name: "sh", type: "symlink", linkname: "bin/su" },
    ]);

    assert.equal(lstatSync(join(root, "bin")).mode & 0o7777, 0o751);
    assert.equal(lstatSync(join(root, "bin/su")).mode & 0o7777, 0o4755);
    assert.equal(lstatSync(join(root, "bin/other")).ino, lstatSync(join(root, "bin/su")).ino);
    assert.equal(readlinkSync(join(root, "sh")), "bin/su");
  });

  test("names that climb or are absolute stay inside", async () => {
    await unpack([
      { name: "../victim", content: "a" },
      { name: "/abs", content: "b" },
      { name: "a/../../../victim", content: "c" },
      { name: "a/b/../../../../../../etc/x", content: "d" },
    ]);

    assertContained();
    assert.equal(readFileSync(join(root, "victim"), "utf8"), "c");
    assert.equal(readFileSync(join(root, "abs"), "utf8"), "b");
    assert.equal(readFileSync(join(root, "etc/x"), "utf8"), "d");
  });

  test("nothing is written through a symbolic link that leads out", async () => {
    await unpack([
      { name: "out", type: "symlink", linkname: folder },
      { name: "out/victim", content: "evil" },
      { name: "up", type: "symlink", linkname: "../.." },
      { name: "up/victim2", content: "evil" },
      { name: "victim3", type: "symlink", linkname: join(folder, "victim") },
      { name: "victim3", content: "evil" },
    ]);

    assertContained();
    assert.equal(readFileSync(join(root, folder, "victim"), "utf8"), "evil", "the link led to the same name inside");
    assert.equal(readFileSync(join(root, "victim2"), "utf8"), "evil");
  });

  test("a chain of links and a link put in the place of a folder lead nowhere else either", async () => {
    await unpack([
      { name: "a", type: "symlink", linkname: "b" },
      { name: "b", type: "symlink", linkname: "/" },
      { name: "a/../../deep/x", content: "1" },
      { name: "dir/", type: "directory" },
      { name: "dir/file", content: "2" },
      { name: "dir", type: "symlink", linkname: folder },
      { name: "dir/victim", content: "evil" },
    ]);

    assertContained();
    assert.equal(readFileSync(join(root, "deep/x"), "utf8"), "1");
  });

  test("hard links to what is outside are refused", async () => {
    symlinkSync(folder, join(root, "out"));

    await assert.rejects(unpack([{ name: "x", type: "link", linkname: "../victim" }]), /not there/);
    await assert.rejects(unpack([{ name: "x", type: "link", linkname: join(folder, "victim") }]), /not there/);
    await assert.rejects(unpack([{ name: "x", type: "link", linkname: "out/victim" }]), /not there/);
    assert.equal(lstatSync(join(folder, "victim")).nlink, 1);
  });

  test("a hard link to a symbolic link links the link and does not follow it", async () => {
    await unpack([
      { name: "s", type: "symlink", linkname: join(folder, "victim") },
      { name: "h", type: "link", linkname: "s" },
      { name: "h", content: "evil" },
    ]);

    assertContained();
  });

  test("endless links, files used as folders and names of dots are refused", async () => {
    const loop: Item[] = [
      { name: "a", type: "symlink", linkname: "b" },
      { name: "b", type: "symlink", linkname: "a" },
      { name: "a/x", content: "" },
    ];

    await assert.rejects(unpack(loop), /too many symbolic links/);
    await assert.rejects(
      unpack([
        { name: "f", content: "" },
        { name: "f/x", content: "" },
      ]),
      /used as a folder/,
    );
    await assert.rejects(unpack([{ name: "d/..", type: "symlink", linkname: "x" }]), /is called/);
  });

  test("a damaged archive is an error and not a shorter layer", async () => {
    const archive = pack();
    archive.entry({ name: "x" }, "y".repeat(2000));
    archive.finalize();
    const bytes: Buffer[] = [];
    for await (const chunk of archive as unknown as AsyncIterable<Buffer>) bytes.push(chunk);
    const half = Buffer.concat(bytes).subarray(0, 1500);

    await assert.rejects(unpackLayer({ archive: Readable.from([half]), root }));
  });

  test("whiteouts and opaque folders take overlayfs' form", {
    skip: process.getuid?.() !== 0 && "needs root",
  }, async () => {
    const calls: unknown[][] = [];
    const specialFiles = recorder(calls);

    await unpack([{ name: "etc/.wh.passwd" }, { name: "opt/.wh..wh..opq" }, { name: ".wh..wh.plnk", content: "" }], {
      specialFiles,
    });

    assert.deepEqual(calls, [
      ["mknod", "etc/passwd", 0o020000, 0, 0],
      ["setXattr", "opt", "trusted.overlay.opaque"],
    ]);
    for (const name of [".wh.", ".wh..", ".wh..."])
      await assert.rejects(unpack([{ name: `d/${name}` }], { specialFiles }), /hides/);
    assert.ok(!existsSync(join(root, ".wh..wh.plnk")));
  });

  test("what a layer hides and has itself is seen as it has it, in any order", {
    skip: process.getuid?.() !== 0 && "needs root",
  }, async () => {
    const calls: unknown[][] = [];
    const specialFiles = {
      ...recorder(calls),
      mknod: (path: string) => void execFileSync("mknod", [path, "c", "0", "0"]),
    };

    await unpack(
      [
        { name: ".wh.first" },
        { name: "first/", type: "directory" },
        { name: "second/new", content: "x" },
        { name: ".wh.second" },
        { name: ".wh.third" },
        { name: "third/deep/new", content: "x" },
        { name: "file", content: "mine" },
        { name: ".wh.file" },
      ],
      { specialFiles },
    );

    assert.deepEqual(
      calls.map((call) => call[1]),
      ["first", "second", "third"],
    );
    assert.equal(readFileSync(join(root, "second/new"), "utf8"), "x");
    assert.equal(readFileSync(join(root, "third/deep/new"), "utf8"), "x");
    assert.equal(readFileSync(join(root, "file"), "utf8"), "mine");
  });

  test("overlayfs' own attributes are never taken from an archive", {
    skip: process.getuid?.() !== 0 && "needs root",
  }, async () => {
    const calls: unknown[][] = [];
    const pax = {
      "SCHILY.xattr.trusted.overlay.redirect": "/etc",
      "SCHILY.xattr.user.overlay.metacopy": "",
      "SCHILY.xattr.security.capability": "cap",
      "SCHILY.xattr.user.note": "n",
    };

    await unpack([{ name: "f", pax, content: "" }], { specialFiles: recorder(calls) });

    assert.deepEqual(
      calls.map((call) => call[2]),
      ["security.capability", "user.note"],
    );
  });

  test("a folder that is not listed is as in the layer below, and links of below lead on", async () => {
    const lower = join(folder, "root", "..", "lower");
    mkdirSync(join(lower, "tmp"), { recursive: true, mode: 0o755 });
    mkdirSync(join(lower, "usr/lib"), { recursive: true });
    symlinkSync("usr/lib", join(lower, "lib"));
    const { chmodSync } = await import("node:fs");
    chmodSync(join(lower, "tmp"), 0o1777);

    await unpack(
      [
        { name: "tmp/x", content: "1" },
        { name: "lib/new.so", content: "2" },
      ],
      { lower: [lower] },
    );

    assert.equal(lstatSync(join(root, "tmp")).mode & 0o7777, 0o1777);
    assert.equal(readFileSync(join(root, "usr/lib/new.so"), "utf8"), "2");
    assert.ok(!existsSync(join(root, "lib")));
  });

  test("folders that are not listed anywhere are open to all, whatever the umask", async () => {
    const before = process.umask(0o077);
    try {
      await unpack([{ name: "a/b/file", content: "x", mode: 0o644 }]);
    } finally {
      process.umask(before);
    }

    assert.deepEqual(
      ["a", "a/b"].map((name) => lstatSync(join(root, name)).mode & 0o777),
      [0o755, 0o755],
    );
    assert.equal(lstatSync(join(root, "a/b/file")).mode & 0o777, 0o644);
  });

  test("a hard link to a file of the layer below copies it, and a whiteout below hides it", async () => {
    const lower = join(folder, "lower");
    mkdirSync(lower);
    writeFileSync(join(lower, "below"), "text");

    await unpack([{ name: "again", type: "link", linkname: "below" }], { lower: [lower] });

    assert.equal(readFileSync(join(root, "again"), "utf8"), "text");
    assert.notEqual(lstatSync(join(root, "below")).ino, lstatSync(join(lower, "below")).ino);
  });

  test("file capabilities arrive byte for byte", { skip: process.getuid?.() !== 0 && "needs root" }, async () => {
    const values: Uint8Array[] = [];
    const specialFiles = {
      ...recorder([]),
      setXattr: (_: string, __: string, value: Uint8Array) => void values.push(value),
    };
    const capability = Buffer.from([1, 0, 0, 2, 0x80, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const record = Buffer.concat([Buffer.from("SCHILY.xattr.security.capability="), capability, Buffer.from("\n")]);
    const pax = Buffer.concat([Buffer.from(`${record.length + 3} `), record]);
    const bytes = Buffer.concat([
      rawEntry("PaxHeaders/f", "x", pax),
      rawEntry("f", "0", Buffer.from("x")),
      Buffer.alloc(1024),
    ]);

    await unpackLayer({ archive: Readable.from([bytes]), root, specialFiles });

    assert.deepEqual(values, [capability]);
  });

  test("long names, big numbers and archives of GNU tar are read", async () => {
    const long = `${"folder-with-a-long-name/".repeat(8)}file`;
    const short = "folder-with-a-long-name";
    const source = join(folder, "root", "..", "source");
    mkdirSync(join(source, long, ".."), { recursive: true });
    writeFileSync(join(source, long), "deep");
    symlinkSync(short, join(source, "link"));
    for (const format of ["gnu", "pax", "ustar"]) {
      rmSync(root, { recursive: true });
      mkdirSync(root);
      const archive = execFileSync("tar", ["-C", source, `--format=${format}`, "--sort=name", "-cf", "-", "."]);

      await unpackLayer({ archive: Readable.from([archive.subarray(0, 700), archive.subarray(700)]), root });

      assert.equal(readFileSync(join(root, long), "utf8"), "deep", format);
      assert.equal(readlinkSync(join(root, "link")), short, format);
    }
  });

  /** An entry as the format has it: a header of 512 bytes with its sum, and the content in blocks. */
  function rawEntry(name: string, type: string, content: Buffer): Buffer {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write("0000644\0", 100);
    header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write(`        ${type}`, 148);
    header.write("ustar\u000000", 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
  }

  function recorder(calls: unknown[][]): SpecialFiles {
    const inside = (path: string) => path.slice(root.length + 1);
    return {
      mknod: (path, mode, major, minor) => void calls.push(["mknod", inside(path), mode, major, minor]),
      setXattr: (path, name) => void calls.push(["setXattr", inside(path), name]),
      getXattr: () => undefined,
      tryLock: () => true,
    };
  }
});
