import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { FakeClock } from "#component-base/clock.ts";
import { DeployFailed } from "#delivery/deploy/deploy-failed.ts";
import { branchesOf } from "#delivery/git/bare-repository.ts";
import { failToDeploy, GitHouse, hasGit } from "#delivery/testing/git-house.ts";
import { readRecord, type RepositoryRecord, withBranch, writeRecord } from "./records.ts";

const skip = hasGit() ? false : "needs git";

describe("a push", { skip }, () => {
  const clock = new FakeClock();
  const house = new GitHouse(clock);
  const somebody = { name: "somebody", groups: [] };
  const refs = async () =>
    Object.fromEntries((await branchesOf(house.folders.git("u1"))).map(({ branch, commit }) => [branch, commit]));
  const record = () => readRecord(house.folders.git("u1").folder);
  const quarantines = () =>
    readdirSync(join(house.folders.git("u1").folder, "repo.git/objects")).filter((name) =>
      name.startsWith("tmp_objdir"),
    );

  before(() => house.start());
  after(() => house.stop());
  beforeEach(() => {
    house.onDeploy = async () => {};
    house.deployed.length = 0;
  });

  it("is deployed before it counts, and says so", async () => {
    const commit = await house.commit({ "index.ts": "1" });
    house.onDeploy = async ({ say, branch }) => {
      assert.equal((await refs())[branch], undefined);
      say("Bundling\u001b[2J index.ts");
    };

    const { text, isDone } = await house.push("main");

    assert.ok(isDone, text);
    assert.match(text, /remote: Bundling\[2J index\.ts[^]*remote: ✓ main is ready: http:\/\/main\.test/);
    assert.equal((await refs())["main"], commit);
    assert.equal((await record()).branches[0]?.commit, commit);
  });

  it("that cannot be deployed leaves ref and deployment as they were", async () => {
    const before = (await refs())["main"] ?? "";
    const commit = await house.commit({ "index.ts": "2" });
    house.onDeploy = async (deployment) => {
      if (deployment.commit === commit) await failToDeploy();
    };

    const { text, isDone } = await house.push("main");

    assert.ok(!isDone);
    assert.match(text, /remote: ✗ it does not build[^]*Going back to[^]*pre-receive hook declined/);
    assert.equal((await refs())["main"], before);
    assert.deepEqual(house.deployed, [`main@${before.slice(0, 7)}`]);
    const { pending, lastPush, branches } = await record();
    assert.deepEqual([pending.length, lastPush?.outcome, branches[0]?.commit], [0, "Rejected", before]);
    assert.match(house.logs.at(-1) ?? "", /✗ it does not build\nGoing back to/);
    await house.git("reset", "--hard", "HEAD^");
  });

  it("that fails before anything of it was written has nothing to go back from", async () => {
    const before = (await refs())["main"] ?? "";
    await house.commit({ "index.ts": "early" });
    house.onDeploy = async () => {
      throw new DeployFailed("there is nothing to deploy", { isEarly: true });
    };

    const { text } = await house.push("main");

    assert.doesNotMatch(text, /Going back/);
    assert.deepEqual(house.deployed, []);
    const { pending, lastPush, branches } = await record();
    assert.deepEqual(
      [pending.length, lastPush?.message, branches.find(({ branch }) => branch === "main")?.commit],
      [0, "there is nothing to deploy", before],
    );
    assert.equal(house.events.at(-1), "Rejected");
    await house.git("reset", "--hard", "HEAD^");
  });

  it("whose sender goes away is given up, and brought back to what was", async () => {
    const before = (await refs())["main"] ?? "";
    const commit = await house.commit({ "index.ts": "gone" });
    let leave = () => {};
    house.onDeploy = async (deployment) => {
      if (deployment.commit !== commit) return;
      leave();
      await new Promise((_resolve, reject) => {
        deployment.signal.addEventListener("abort", () => reject(deployment.signal.reason as Error));
      });
    };
    leave = house.startPush("main");
    const isOver = async () => (await record()).lastPush?.message === "whoever pushed is gone";
    while (!(await isOver())) await new Promise((resolve) => setTimeout(resolve, 10));

    assert.equal((await refs())["main"], before);
    assert.deepEqual(house.deployed, [`main@${before.slice(0, 7)}`]);
    while (quarantines().length > 0) await new Promise(setImmediate);
    await house.git("reset", "--hard", "HEAD^");
  });

  it("of several branches is taken whole or not at all", async () => {
    await house.git("branch", "good");
    await house.git("branch", "wrong");
    house.onDeploy = async ({ branch }) => {
      if (branch === "wrong") await failToDeploy();
    };

    const { isDone } = await house.push("good", "wrong");

    assert.ok(!isDone);
    assert.deepEqual(Object.keys(await refs()), ["main"]);
    assert.deepEqual(house.deployed.slice(-2), ["-wrong", "-good"]);
  });

  it("that deletes a branch takes its preview away; the live one cannot be deleted", async () => {
    await house.push("main:feature");
    assert.deepEqual(house.deployed.length, 1);

    const removal = await house.push(":feature");
    assert.ok(removal.isDone);
    assert.match(removal.text, /The preview of feature goes with it/);
    assert.deepEqual(house.deployed.slice(-1), ["-feature"]);
    const { text, isDone } = await house.push(":main");
    assert.ok(!isDone);
    assert.match(text, /main is live/);
  });

  it("to a branch that is no preview is kept and not deployed", async () => {
    house.repository = { ...house.repository, spec: { previews: { branches: ["feature/*"] } } };

    const { text, isDone } = await house.push("main:notes");

    assert.ok(isDone);
    assert.match(text, /notes is kept, not deployed/);
    assert.deepEqual(house.deployed, []);
    assert.deepEqual((await record()).branches.find(({ branch }) => branch === "notes")?.urls, []);
    await house.push(":notes");
    assert.equal(
      (await record()).branches.find(({ branch }) => branch === "notes"),
      undefined,
    );
    house.repository = { ...house.repository, spec: {} };
  });

  it("waits for the one before it", async () => {
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    house.onDeploy = async ({ branch }) => {
      if (branch !== "first") return;
      begun.resolve();
      await gate.promise;
    };
    const first = house.push("main:first");
    await begun.promise;

    const { receivedCount } = house;
    const second = house.push("main:second");
    while (house.receivedCount === receivedCount) await new Promise(setImmediate);
    gate.resolve();

    assert.ok((await first).isDone);
    assert.match((await second).text, /remote: Waiting for the push before this one/);
    assert.deepEqual(
      house.deployed.map((one) => one.split("@")[0]),
      ["first", "second"],
    );
    await house.push(":first", ":second");
  });

  it("whose process died is brought to where its branch is by the next one", async () => {
    const { folder } = house.folders.git("u1");
    const main = (await refs())["main"] ?? "";
    const pending = [
      { branch: "main", commit: "f".repeat(40), user: somebody },
      { branch: "half", commit: "f".repeat(40), user: somebody },
    ];
    await writeRecord(folder, { ...(await record()), pending });

    await house.pushes.reconcile(house.repository);

    assert.deepEqual(house.deployed, [`main@${main.slice(0, 7)}`, "-half"]);
    const { pending: left, lastPush } = await record();
    assert.deepEqual(left, []);
    assert.deepEqual(
      [lastPush?.outcome, lastPush?.message],
      ["Rejected", "nodeless ended while it was deployed: push it again"],
    );
    assert.match(house.logs.at(-1) ?? "", /^Deploying fffffff of half\n✗ nodeless ended/);
    assert.equal(house.events.at(-1), "Rejected");
  });

  it("of a preview ends when its time is over, and comes back with the next", async () => {
    await house.push("main:short");
    house.deployed.length = 0;

    await clock.advance(72 * 3_600_000 - 1000);
    await house.pushes.reconcile(house.repository);
    assert.deepEqual(house.deployed, []);
    await clock.advance(1000);
    await house.pushes.reconcile(house.repository);

    assert.deepEqual(house.deployed, ["-short"]);
    assert.equal((await record()).branches.find(({ branch }) => branch === "short")?.isOver, true);
    await house.commit({ "index.ts": "3" });
    await house.push("HEAD:short");
    assert.equal((await record()).branches.find(({ branch }) => branch === "short")?.isOver, undefined);
  });

  it("with anything but branches and tags is refused", async () => {
    const { text, isDone } = await house.push("main:refs/notes/x");

    assert.ok(!isDone);
    assert.match(text, /only branches and tags/);
  });

  it("that is larger than it may be is refused, and nothing of it stays", async () => {
    house.repository = { ...house.repository, spec: { maxPushSize: "20k" } };
    await house.git("checkout", "--quiet", "-b", "large");
    await house.commit({ large: Array.from({ length: 40_000 }, (_, index) => index * 7919).join(",") });

    const { text, isDone } = await house.push("large");

    assert.ok(!isDone);
    assert.match(text, /pack exceeds maximum allowed size/);
    assert.deepEqual(quarantines(), []);
    house.repository = { ...house.repository, spec: {} };
  });

  it("that makes the repository larger than it may be is refused", async () => {
    house.repository = { ...house.repository, spec: { maxSize: "10" } };

    const { text, isDone } = await house.push("main:more");

    assert.ok(!isDone);
    assert.match(text, /larger than it may be \(spec\.maxSize: 10\)/);
    house.repository = { ...house.repository, spec: {} };
  });

  it("whose pack is broken, or is none, is refused", async () => {
    const before = await refs();
    const main = before["main"] ?? "";
    const line = `${"0".repeat(40)} ${main.replace(/^./, "0")} refs/heads/broken\0 report-status\n`;
    const command = `${(line.length + 4).toString(16).padStart(4, "0")}${line}0000`;
    const packs = ["", "PACK", "PACK\0\0\0\x02\0\0\0\x01garbage", "x".repeat(10_000)];
    for (const pack of packs) {
      const answer = await fetch(`${house.url}/default/site.git/git-receive-pack`, {
        method: "POST",
        headers: { authorization: "Bearer x", "content-type": "application/x-git-receive-pack-request" },
        body: command + pack,
      });
      const text = await answer.text();
      assert.match(text, /unpack (?!ok)|ng refs\/heads\/broken/, JSON.stringify(text));
    }
    // No commands at all, and lines that are none.
    for (const body of ["", "0000", "zzzz", "ffff"])
      await (
        await fetch(`${house.url}/default/site.git/git-receive-pack`, {
          method: "POST",
          headers: { authorization: "Bearer x", "content-type": "application/x-git-receive-pack-request" },
          body,
        })
      ).text();

    assert.deepEqual(await refs(), before);
    assert.ok((await house.push("main")).isDone);
  });

  it("with a tree that leads elsewhere is refused by Git", async () => {
    const blob = (await house.git("rev-parse", "main:index.ts")).text.trim();
    const entry = Buffer.concat([Buffer.from("100644 ..\0"), Buffer.from(blob, "hex")]);
    const tree = await house.writeObject("tree", entry);
    const commit = (await house.git("commit-tree", tree, "-m", "evil")).text.trim();

    const { text, isDone } = await house.push(`${commit}:refs/heads/evil`);

    assert.ok(!isDone);
    assert.match(text, /hasDotdot/);
  });

  it("is written down with who pushed it and where it is", async () => {
    await house.git("checkout", "--quiet", "main");
    const commit = await house.commit({ "index.ts": "4" });

    await house.push("main");

    const { user, ...branch } = (await record()).branches.find(({ branch: name }) => name === "main") ?? {};
    assert.deepEqual(branch, { branch: "main", commit, deployedAtMs: clock.now(), urls: ["http://main.test"] });
    assert.equal(user?.name, "somebody");
    const { pushes = [] } = await record();
    const [last, next] = [pushes.at(-1), pushes.at(-2)];
    assert.deepEqual([last?.branch, last?.commit, last?.user], ["main", commit, "somebody"]);
    assert.equal(last?.number, (next?.number ?? 0) + 1);
    assert.deepEqual(
      pushes.map(({ number }) => number),
      pushes.map((_, index) => index + 1),
      "each is counted once, and none that was refused",
    );
  });

  it("is remembered until fifty others have come", () => {
    const user = { name: "jane", groups: [] };
    let all: RepositoryRecord = { branches: [], pending: [] };
    for (let turn = 1; turn <= 60; turn++)
      all = withBranch(all, "main", { branch: "main", commit: `c${turn}`, user, deployedAtMs: turn, urls: [] });
    all = withBranch(all, "main", { branch: "main", commit: "c60", user, deployedAtMs: 61, urls: ["again"] });
    all = withBranch(all, "main", undefined);

    assert.deepEqual([all.pushes?.length, all.pushes?.[0]?.number], [50, 11]);
    const last = { number: 60, branch: "main", commit: "c60", before: "c59", user: "jane", atMs: 60 };
    assert.deepEqual(all.pushes?.at(-1), last);
  });
});
