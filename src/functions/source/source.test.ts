import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { listSourceFiles } from "./list-files.ts";
import { packFiles, unpackFiles } from "./tar.ts";

const bounds = { mostBytes: 1 << 20 };

describe("a function's folder", () => {
  it("is without what its .gitignore and .funcignore leave out, but with installed packages", () => {
    withFolder(
      {
        ".gitignore": "*.log\nnode_modules/\n/build\n",
        ".funcignore": "*.md\n",
        "index.ts": "",
        "a.log": "",
        "README.md": "",
        "build/x.js": "",
        "lib/build/y.js": "",
        ".git/config": "",
        "node_modules/left/index.js": "",
        "node_modules/left/x.log": "",
        "lib/.gitignore": "!kept.log\n",
        "lib/kept.log": "",
      },
      (folder) => {
        const files = listSourceFiles(folder, bounds).map(({ path }) => path);

        assert.deepEqual(files, [
          ".funcignore",
          ".gitignore",
          "index.ts",
          "lib/.gitignore",
          "lib/build/y.js",
          "lib/kept.log",
          "node_modules/left/index.js",
          "node_modules/left/x.log",
        ]);
      },
    );
  });

  it("leaves installed packages out when .funcignore does", () => {
    withFolder({ ".funcignore": "node_modules\n", "index.ts": "", "node_modules/left/index.js": "" }, (folder) => {
      assert.deepEqual(
        listSourceFiles(folder, bounds).map(({ path }) => path),
        [".funcignore", "index.ts"],
      );
    });
  });

  it("is refused when it is too large", () => {
    withFolder({ "big.bin": "x".repeat(100) }, (folder) => {
      assert.throws(() => listSourceFiles(folder, { mostBytes: 99 }), {
        kind: "SourceTooLarge",
        message: /\.funcignore/,
      });
    });
  });

  it("is the same archive each time, and comes out as it went in", async () => {
    await withFolderAsync(
      { "index.ts": "export default 1;\n", "lib/a.txt": "", "lib/b.txt": "b".repeat(100_000) },
      async (folder) => {
        const files = listSourceFiles(folder, bounds);
        const [one, other] = [await packFiles(folder, files), await packFiles(folder, files)];
        const out = join(folder, ".nodeless", "out");
        await unpackFiles(Readable.from([one]), out, bounds);

        assert.deepEqual(one, other);
        assert.equal(readFileSync(join(out, "index.ts"), "utf8"), "export default 1;\n");
        assert.equal(readFileSync(join(out, "lib/a.txt"), "utf8"), "");
        assert.equal(readFileSync(join(out, "lib/b.txt"), "utf8").length, 100_000);
      },
    );
  });
});

describe("an archive from a stranger", () => {
  const archiveOf = async (fill: (archive: ReturnType<typeof pack>) => void): Promise<Readable> => {
    const archive = pack();
    fill(archive);
    archive.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of archive) chunks.push(chunk as Buffer);
    return Readable.from([gzipSync(Buffer.concat(chunks))]);
  };

  it("is refused when it leads out of its folder, is too large, or is none", async () => {
    await withFolderAsync({}, async (folder) => {
      const refused = async (archive: Readable, message: RegExp) =>
        await assert.rejects(unpackFiles(archive, join(folder, "out"), { mostBytes: 1000 }), {
          kind: "SourceArchiveError",
          message,
        });

      await refused(await archiveOf((archive) => archive.entry({ name: "../x" }, "x")), /outside of itself/);
      await refused(await archiveOf((archive) => archive.entry({ name: "/etc/x" }, "x")), /outside of itself/);
      await refused(
        await archiveOf((archive) => archive.entry({ name: "x" }, "x".repeat(1001))),
        /more than 1000 bytes/,
      );
      await refused(Readable.from([Buffer.from("no archive")]), /it is no archive/);
    });
  });

  it("keeps its links to itself", async () => {
    await withFolderAsync({}, async (folder) => {
      const archive = await archiveOf((tar) => {
        tar.entry({ name: "passwd", type: "symlink", linkname: "/etc/passwd" });
        tar.entry({ name: "index.js" }, "1");
      });
      const { leftOut } = await unpackFiles(archive, join(folder, "out"), bounds);

      assert.deepEqual(leftOut, ["passwd"]);
      assert.equal(readFileSync(join(folder, "out", "index.js"), "utf8"), "1");
    });
  });
});

function fill(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "nl-source-"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

function withFolder(files: Readonly<Record<string, string>>, body: (folder: string) => void): void {
  const folder = fill(files);
  try {
    body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function withFolderAsync(
  files: Readonly<Record<string, string>>,
  body: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = fill(files);
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
