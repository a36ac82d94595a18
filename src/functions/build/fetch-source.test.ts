import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { freePort } from "#component-base/testing/free-port.ts";
import type { FunctionSource } from "#api/nodeless/function.ts";
import { type FetchedSource, fetchSource } from "./fetch-source.ts";

const hasDaemon =
  spawnSync("git", ["daemon", "--help"]).error === undefined && existsSync(`${execPathOfGit()}/git-daemon`);
const root = mkdtempSync(join(tmpdir(), "nl-fetch-"));

describe("fetching a source", () => {
  let count = 0;
  const fetch = (source: FunctionSource, lines: string[] = []): Promise<FetchedSource> => {
    const work = join(root, `work-${count++}`);
    mkdirSync(join(work, "home"), { recursive: true });
    return fetchSource({
      source,
      folder: join(work, "source"),
      archive: undefined,
      home: join(work, "home"),
      mostBytes: 1 << 20,
      user: undefined,
      say: (line) => lines.push(line),
      signal: new AbortController().signal,
    });
  };
  after(() => rmSync(root, { recursive: true }));

  it("writes what is inline, and nothing elsewhere", async () => {
    const { folder } = await fetch({ inline: { files: { "lib/a.ts": "a" } } });

    assert.equal(readFileSync(join(folder, "lib/a.ts"), "utf8"), "a");
    await assert.rejects(fetch({ inline: { files: { "../a.ts": "a" } } }), /outside of itself/);
  });

  describe("from Git", { skip: hasDaemon ? false : "git daemon is not on this machine" }, () => {
    let url = "";
    let daemon: ReturnType<typeof spawn> | undefined;
    const git = (...args: readonly string[]) =>
      execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], {
        cwd: join(root, "repository"),
        encoding: "utf8",
      }).trim();
    before(async () => {
      const repository = join(root, "repository");
      mkdirSync(join(repository, "fn"), { recursive: true });
      git("init", "--quiet", "--initial-branch=main");
      writeFileSync(join(repository, "fn/index.ts"), "first");
      symlinkSync("/etc/passwd", join(repository, "fn/link"));
      git("add", "--all");
      git("commit", "--quiet", "--message=first");
      git("tag", "v1");
      writeFileSync(join(repository, "fn/index.ts"), "second");
      git("commit", "--quiet", "--all", "--message=second");
      const port = await freePort();
      url = `git://127.0.0.1:${port}/repository`;
      // Its own program: the one in front of it would not pass an end on.
      daemon = spawn(
        `${execPathOfGit()}/git-daemon`,
        ["--listen=127.0.0.1", `--port=${port}`, `--base-path=${root}`, "--export-all"],
        { stdio: "ignore" },
      );
      for (let round = 0; round < 100 && spawnSync("git", ["ls-remote", url]).status !== 0; round++);
    });
    after(() => daemon?.kill("SIGKILL"));

    it("takes a tag, a commit or the newest, and a folder in it", async () => {
      const tagged = await fetch({ git: { url, revision: "v1", path: "fn" } });
      const newest = await fetch({ git: { url } });
      const commit = await fetch({ git: { url, revision: newest.commit ?? "" } });

      assert.equal(readFileSync(join(tagged.folder, "index.ts"), "utf8"), "first");
      assert.equal(readFileSync(join(newest.folder, "fn/index.ts"), "utf8"), "second");
      assert.deepEqual([tagged.commit, commit.commit], [git("rev-parse", "v1"), git("rev-parse", "main")]);
    });

    it("makes no links, which could lead out", async () => {
      const { folder } = await fetch({ git: { url, path: "fn" } });

      assert.equal(readFileSync(join(folder, "link"), "utf8"), "/etc/passwd");
    });

    it("says what is not there, and what may come back", async () => {
      const failure = async (source: NonNullable<FunctionSource["git"]>) =>
        await fetch({ git: source }).then(
          () => undefined,
          (error: {
            readonly failure: { readonly reason: string; readonly message: string; readonly isPassing: boolean };
          }) => error.failure,
        );
      const revision = await failure({ url, revision: "nope" });
      const path = await failure({ url, path: "nope" });
      const place = await failure({ url: "git://127.0.0.1:1/x" });
      const file = await failure({ url: `file://${root}/repository` });

      assert.deepEqual([revision?.reason, revision?.isPassing], ["GitFailed", false]);
      assert.match(revision?.message ?? "", /couldn't find remote ref nope/);
      assert.equal(path?.message, "the repository has no folder nope at HEAD");
      assert.deepEqual([place?.reason, place?.isPassing], ["GitFailed", true]);
      assert.match(file?.message ?? "", /transport 'file' not allowed/);
    });
  });
});

function execPathOfGit(): string {
  return spawnSync("git", ["--exec-path"], { encoding: "utf8" }).stdout?.trim() ?? "";
}
